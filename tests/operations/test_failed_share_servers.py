"""What failures leave of share servers goes by itself, and blocks nothing until then."""

from __future__ import annotations

import pytest

from abaca.db.session import begin, utcnow
from abaca.db.tables import share_servers as table
from abaca.domain.share_servers import share_servers
from abaca.domain.shares import shares
from abaca.reconcile import failed_share_servers
from tests.operations.scene import (
    addresses,
    all_servers,
    available_share,
    delete_share,
    failing,
    instance_of,
    plan,
    server_of,
    share,
    slate,
    told,
    world,
)
from tests.operations.test_resume import resume
from tests.stack import ADMIN, MEMBER, Stack

HOSTS = {"host1@alpha"}


def delete_leftovers(stack: Stack, seconds: float = 0) -> None:
    failed_share_servers.delete_leftovers(stack.engine, HOSTS, seconds)


def failed_share(stack: Stack, network: str, method: str = "setup_server") -> str:
    """A share whose server could not be set up, nor, with `teardown_server` too, taken away
    again."""
    plan(
        stack,
        failing("setup_server", "refused"),
        *([failing(method, "refused")] if method != "setup_server" else []),
    )
    made = stack.share(network)
    assert stack.settled_share(made) == "error"
    plan(stack)
    return made


@pytest.mark.parametrize("method", ["setup_server", "teardown_server"])
def test_three_failed_creations_leave_nothing(stack: Stack, method: str) -> None:
    network = stack.share_network(*stack.network("10.1.0.0/24"))
    before = slate(stack)
    failed = [failed_share(stack, network, method) for _ in range(3)]
    assert all(told(stack))
    delete_leftovers(stack, seconds=20)
    assert {server.status for server in all_servers(stack)} == {"error"}, "not at once"
    delete_leftovers(stack)
    stack.wait(lambda _: not all_servers(stack))
    assert addresses(stack) == 0 and not world(stack)["servers"]
    assert [
        (share(stack, each)["status"], instance_of(stack, each).share_server_id) for each in failed
    ] == [("error", None)] * 3
    for each in failed:
        stack.do(shares.delete, MEMBER, each)
    assert slate(stack) == before


def test_a_server_that_never_stood_blocks_no_addition(stack: Stack) -> None:
    first, second = stack.network("10.1.0.0/24", "10.2.0.0/24")
    network = stack.share_network(first)
    standing = available_share(stack, network)
    other = stack.share_network(first)
    failed_share(stack, other)
    stack.add_subnet(other, second)
    stack.settled_network(other)
    assert share(stack, standing)["status"] == "available"


def test_a_half_deleted_server_goes_by_itself(stack: Stack) -> None:
    made = available_share(stack, stack.share_network(*stack.network("10.1.0.0/24")))
    server_id = server_of(stack, made)
    delete_share(stack, made)
    plan(stack, failing("teardown_server", "refused"))
    stack.do(share_servers.delete, server_id)
    stack.wait(lambda _: all_servers(stack)[0].status == "error")
    plan(stack)
    delete_leftovers(stack)
    stack.wait(lambda _: not all_servers(stack))


def test_a_creation_is_resumed_on_another_server(stack: Stack) -> None:
    plan(stack, failing("setup_server", "bug"))
    made = stack.share(stack.share_network(*stack.network("10.1.0.0/24")))
    assert stack.settled_share(made) == "error"
    plan(stack)
    delete_leftovers(stack)
    stack.wait(lambda _: not all_servers(stack))
    resume(stack)
    assert stack.settled_share(made) == "available"


def test_a_server_of_an_early_release_that_is_in_error_is_kept(stack: Stack) -> None:
    """It has no identifier, as those that never stood; its failed share stays on it."""
    made = available_share(stack, stack.share_network(*stack.network("10.1.0.0/24")))
    server_id = server_of(stack, made)
    stack.do(shares.reset_status, ADMIN, made, "error")
    with begin(stack.engine) as conn:
        conn.execute(
            table.update()
            .where(table.c.id == server_id)
            .values(identifier=None, status="error", updated_at=utcnow())
        )
    delete_leftovers(stack)
    assert [server.status for server in all_servers(stack)] == ["error"]
    assert server_of(stack, made) == server_id
