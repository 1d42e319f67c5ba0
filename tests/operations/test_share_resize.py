"""share_extend and share_shrink: sizes, claimed room and what is told."""

from __future__ import annotations

import pytest

from abaca.domain.shares import shares
from abaca.drivers.fake import FakeDriver
from tests.operations.scene import (
    FAILURES,
    RETRIED,
    WHY,
    available_share,
    delete_share,
    failing,
    instance_of,
    plan,
    reason,
    share,
    slate,
    struck,
    told,
    world,
)
from tests.stack import MEMBER, Stack

GIB = 1024**3


def claimed(stack: Stack) -> int:
    (number,) = slate(stack)["claimed"].values()
    return int(number)


def size_there(stack: Stack, share_id: str) -> int:
    return int(world(stack)["shares"][instance_of(stack, share_id).id]["size"])


@pytest.fixture
def share_network(stack: Stack) -> str:
    return stack.share_network(*stack.network("10.1.0.0/24"))


def test_it_grows_and_shrinks(stack: Stack, share_network: str) -> None:
    id_ = available_share(stack, share_network)
    paths = stack.paths(id_)
    for verb, size in ((shares.extend, 5), (shares.shrink, 2)):
        stack.do(verb, MEMBER, id_, size)
        assert stack.settled_share(id_) == "available"
        assert (share(stack, id_)["size"], size_there(stack, id_), claimed(stack)) == (
            size,
            size,
            size,
        )
    assert stack.paths(id_) == paths
    assert told(stack) == []


def test_without_room_a_share_stays_as_it_is_and_its_project_is_told(
    stack: Stack, share_network: str
) -> None:
    id_ = available_share(stack, share_network)
    stack.do(shares.extend, MEMBER, id_, 5000)
    assert (share(stack, id_)["status"], share(stack, id_)["size"], claimed(stack)) == (
        "available",
        1,
        1,
    )
    assert told(stack) == ["The share keeps its 1 GiB: there is no room to extend it to 5000 GiB."]


def test_a_refused_shrink_leaves_it_available_and_says_why(
    stack: Stack, share_network: str
) -> None:
    id_ = available_share(stack, share_network, size=4)
    driver = FakeDriver("alpha", {"state_file": f"{stack.conf.state_dir}/worker/alpha.json"})
    driver.set_used_bytes(instance_of(stack, id_).id, 3 * GIB)
    stack.do(shares.shrink, MEMBER, id_, 2)
    assert stack.settled_share(id_) == "available"
    assert "3.00 GiB" in told(stack)[0] and "2 GiB" in told(stack)[0]
    assert (share(stack, id_)["size"], size_there(stack, id_), claimed(stack)) == (4, 4, 4)
    stack.do(shares.shrink, MEMBER, id_, 3)
    assert stack.settled_share(id_) == "available"
    assert (share(stack, id_)["size"], claimed(stack)) == (3, 3)


def test_each_failure_is_told_and_nothing_stays_claimed(stack: Stack, share_network: str) -> None:
    available_share(stack, share_network)
    before = slate(stack)
    for verb, method, size, status in (
        (shares.extend, "extend_share", 4, "extending_error"),
        (shares.shrink, "shrink_share", 1, "shrinking_error"),
    ):
        for error in (*FAILURES, "bug"):
            id_ = available_share(stack, share_network, size=2)
            plan(stack, failing(method, error))
            stack.do(verb, MEMBER, id_, size)
            refused = (method, error) == ("shrink_share", "Refused")
            assert stack.settled_share(id_) == ("available" if refused else status), error
            assert reason(error) in told(stack)[0]
            assert (share(stack, id_)["size"], claimed(stack)) == (2, 3), error
            plan(stack)
            delete_share(stack, id_)
            assert slate(stack) == before, error


def test_what_passes_is_tried_again(stack: Stack, share_network: str) -> None:
    id_ = available_share(stack, share_network)
    for size, error in enumerate(RETRIED, 2):
        plan(stack, failing("extend_share", error, times=1, when="after"))
        stack.do(shares.extend, MEMBER, id_, size)
        assert stack.settled_share(id_) == "available"
        assert (struck(stack), share(stack, id_)["size"], size_there(stack, id_)) == (1, size, size)
    assert WHY not in told(stack)
