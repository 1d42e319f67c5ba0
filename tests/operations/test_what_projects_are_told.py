"""What a back end says when it fails is for the log, where it may name paths, programs and hosts;
the project is told a sentence of ours, unless the back end says that its words are for the project.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from abaca import log_context
from abaca.domain.shares import shares
from abaca.drivers.linux import mounts
from abaca.drivers.linux.layout import Layout
from abaca.errors import BACKEND_ERRORS, BackendError, Conflict
from abaca.worker.backends import network_namespace
from abaca.workflow.serializer import JsonSerializer
from tests.databases import SqliteDatabases
from tests.linux_walk import BACKEND, LinuxWorld, linux_installation
from tests.operations.scenarios import Ground
from tests.operations.scene import (
    FAILURES,
    WHY,
    allow,
    available_share,
    failing,
    plan,
    settled_rules,
    share,
    told,
)
from tests.stack import MEMBER, Stack, initialise

pytestmark = pytest.mark.sampled_file(4)

REQUEST = "req-00000000-0000-4000-8000-00000000000a"
OURS = "The administrator finds the reason in the log"


@pytest.fixture
def share_network(stack: Stack) -> str:
    return stack.share_network(*stack.network("10.1.0.0/24"))


def logged(caplog: pytest.LogCaptureFixture, text: str) -> bool:
    return any(text in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("error", FAILURES)
@pytest.mark.parametrize("method", ["create_share", "setup_server"])
def test_a_creation_that_failed(
    stack: Stack, share_network: str, caplog: pytest.LogCaptureFixture, method: str, error: str
) -> None:
    plan(stack, failing(method, error, is_public=False))
    with caplog.at_level(logging.WARNING, "abaca"):
        with log_context.working_for(REQUEST):
            made = [stack.share(share_network) for _ in range(2)]
        assert [stack.settled_share(share) for share in made] == ["error", "error"]
    texts = told(stack)
    assert len(texts) == 2 and all(OURS in text and WHY not in text for text in texts), texts
    assert all(f"under request {REQUEST}." in text for text in texts), (
        "by which the administrator finds the line"
    )
    assert logged(caplog, WHY)


def test_what_is_for_the_project_reaches_whoever_waited_for_the_server_too(
    stack: Stack, share_network: str
) -> None:
    plan(stack, failing("setup_server", "Refused"))
    for made in [stack.share(share_network) for _ in range(2)]:
        assert stack.settled_share(made) == "error"
    assert all(WHY in text for text in told(stack))


@pytest.mark.parametrize(
    ("method", "status"),
    [
        ("extend_share", "extending_error"),
        ("shrink_share", "available"),
        ("delete_share", "error_deleting"),
    ],
)
def test_a_change_that_failed(
    stack: Stack, share_network: str, caplog: pytest.LogCaptureFixture, method: str, status: str
) -> None:
    """A refused shrinkage leaves the share as it was; that, too, is told in words of ours."""
    id_ = available_share(stack, share_network, size=2)
    plan(stack, failing(method, "Refused", is_public=False))
    verbs: dict[str, tuple[Any, ...]] = {
        "extend_share": (shares.extend, 3),
        "shrink_share": (shares.shrink, 1),
        "delete_share": (shares.delete,),
    }
    verb, *arguments = verbs[method]
    with caplog.at_level(logging.WARNING, "abaca"):
        stack.do(verb, MEMBER, id_, *arguments)
        assert stack.settled_share(id_) == status
    (text,) = told(stack)
    assert OURS in text and WHY not in text
    assert logged(caplog, WHY)


def test_rules_that_failed(stack: Stack, share_network: str) -> None:
    id_ = available_share(stack, share_network)
    plan(stack, failing("update_access", "Refused", is_public=False))
    allow(stack, id_, "10.0.0.0/8")
    assert settled_rules(stack, id_) == "error"
    assert OURS in told(stack)[0] and WHY not in told(stack)[0]


def test_a_denial_of_a_subnet(stack: Stack) -> None:
    first, second, third = stack.network("10.1.0.0/24", "10.2.0.0/24", "10.3.0.0/24")
    network = stack.share_network(first)
    available_share(stack, network)
    plan(
        stack, failing("check_update_share_server_network_allocations", "Refused", is_public=False)
    )
    with pytest.raises(Conflict, match=OURS) as refused:
        stack.add_subnet(network, second)
    assert WHY not in refused.value.message + told(stack)[0]
    plan(stack, failing("update_share_server_network_allocations", "Refused", is_public=False))
    stack.checked(network, third)
    stack.add_subnet(network, third)
    assert stack.settled_network(network) == "active"
    assert OURS in told(stack)[0] and WHY not in told(stack)[0]


@pytest.mark.parametrize("kind", BACKEND_ERRORS.values())
@pytest.mark.parametrize("is_public", [True, False])
def test_whether_it_is_for_the_project_is_recorded_with_the_error(
    kind: type[BackendError], is_public: bool
) -> None:
    stored = JsonSerializer().serialize(kind("why", {"a": "b"}, is_public=is_public))
    read = JsonSerializer().deserialize(stored)
    assert type(read) is kind and (read.message, read.details, read.is_public) == (
        "why",
        {"a": "b"},
        is_public,
    )


def test_what_an_earlier_release_recorded_is_for_the_log() -> None:
    read = JsonSerializer().deserialize(
        '{"error": {"name": "Refused", "message": "why", "details": {}}}'
    )
    assert (read.message, read.is_public) == ("why", False)


@pytest.fixture
def installed(
    sqlite_databases: SqliteDatabases, tmp_path: Path
) -> Iterator[tuple[Stack, LinuxWorld]]:
    overrides: dict[str, Any] = {"worker.retry_seconds": 0.15, "service_down_time": 600}
    with linux_installation(
        sqlite_databases.create_from(initialise), tmp_path, **overrides
    ) as made:
        yield made


@pytest.mark.root
@pytest.mark.slow("an installation on Linux of its own")
@pytest.mark.timeout(300)
def test_paths_of_a_linux_back_end_stay_in_the_log(
    installed: tuple[Stack, LinuxWorld], caplog: pytest.LogCaptureFixture
) -> None:
    """Its pool is taken away below it; what it then says names the folder."""
    stack, _ = installed
    with stack.working():
        network, id_ = Ground(stack).share()
        pool = (
            Layout(
                network_namespace(stack.conf),
                Path(stack.conf.state_dir, "worker").resolve(),
                BACKEND,
            ).state
            / "pool"
        )
        assert mounts.mount_at(pool) is not None
        mounts.unmount(pool)
        with caplog.at_level(logging.WARNING, "abaca"):
            stack.do(shares.extend, MEMBER, id_, 2)
            assert stack.settled_share(id_) == "extending_error"
            assert stack.settled_share(stack.share(network, share_type="snap")) == "error"
    assert share(stack, id_)["size"] == 1
    texts = told(stack)
    assert len(texts) == 2 and any(OURS in text for text in texts), texts
    assert not any("/" in text for text in texts), texts  # the back end may count as down meanwhile
    assert logged(caplog, str(pool))
