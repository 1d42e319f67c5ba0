"""share_delete: a share goes with its data; its server stays."""

from __future__ import annotations

from abaca.domain.shares import shares
from tests.operations.scene import (
    FAILURES,
    RETRIED,
    all_servers,
    allow,
    available_share,
    delete_server,
    delete_share,
    failing,
    plan,
    reason,
    server_of,
    settled_rules,
    slate,
    struck,
    told,
)
from tests.stack import ADMIN, MEMBER, Stack, wait_for


def test_it_goes_with_its_rules_and_gives_its_room_back(stack: Stack) -> None:
    share_network = stack.share_network(*stack.network("10.1.0.0/24"))
    before = slate(stack)
    id_ = available_share(stack, share_network, size=3)
    allow(stack, id_, "10.0.0.0/8")
    assert settled_rules(stack, id_) == "active"
    server = server_of(stack, id_)
    delete_share(stack, id_)
    (row,) = all_servers(stack)
    assert (row.status, row.updated_at is not None) == ("active", True)
    delete_server(stack, server)
    assert slate(stack) == before
    assert told(stack) == []


def test_each_failure_is_told_and_it_can_be_deleted_again(stack: Stack) -> None:
    share_network = stack.share_network(*stack.network("10.1.0.0/24"))
    available_share(stack, share_network)
    before = slate(stack)
    for when in ("before", "after"):
        for error in (*FAILURES, "bug"):
            id_ = available_share(stack, share_network)
            plan(stack, failing("delete_share", error, when=when))
            stack.do(shares.delete, MEMBER, id_)
            assert stack.settled_share(id_) == "error_deleting", error
            assert reason(error) in told(stack)[0]
            plan(stack)
            delete_share(stack, id_)
            assert slate(stack) == before, error


def test_what_passes_is_tried_again(stack: Stack) -> None:
    share_network = stack.share_network(*stack.network("10.1.0.0/24"))
    for error in RETRIED:
        id_ = available_share(stack, share_network)
        plan(stack, failing("delete_share", error, times=1))
        delete_share(stack, id_)
        assert struck(stack) == 1
    assert told(stack) == []


def test_forced_while_it_grows_it_goes_and_no_room_is_lost(stack: Stack) -> None:
    share_network = stack.share_network(*stack.network("10.1.0.0/24"))
    available_share(stack, share_network)
    before = slate(stack)
    for ending in ((), (failing("extend_share", "Refused"),)):
        id_ = available_share(stack, share_network)
        plan(stack, failing("extend_share", "hang"))
        stack.do(shares.extend, MEMBER, id_, 5)
        wait_for(lambda: struck(stack))
        stack.do(shares.force_delete, ADMIN, id_)
        plan(stack, *ending)
        assert stack.settled_share(id_) == "gone"
        assert slate(stack) == before


def test_forced_while_it_is_made_it_goes(stack: Stack) -> None:
    share_network = stack.share_network(*stack.network("10.1.0.0/24"))
    available_share(stack, share_network)
    before = slate(stack)
    plan(stack, failing("create_share", "hang"))
    id_ = stack.share(share_network)
    wait_for(lambda: struck(stack))
    stack.do(shares.force_delete, ADMIN, id_)
    plan(stack)
    assert stack.settled_share(id_) == "gone"
    assert slate(stack) == before
