"""Share servers that carry nothing any more are deleted after a while, and no others."""

from __future__ import annotations

from abaca.db.session import begin, utcnow
from abaca.db.tables import share_servers as table
from abaca.reconcile import unused_share_servers
from tests.operations.scene import (
    addresses,
    all_servers,
    available_share,
    delete_share,
    server_of,
    world,
)
from tests.stack import Stack

HOSTS = {"host1@alpha"}


def delete_unused(stack: Stack, seconds: int = 0) -> None:
    unused_share_servers.delete_unused(stack.engine, HOSTS, seconds)


def test_only_the_unused_go(stack: Stack) -> None:
    used = available_share(stack, stack.share_network(*stack.network("10.1.0.0/24")))
    unused = available_share(stack, stack.share_network(*stack.network("10.2.0.0/24")))
    doomed = server_of(stack, unused)
    delete_share(stack, unused)
    delete_unused(stack, seconds=600)
    assert len(all_servers(stack)) == 2
    delete_unused(stack)
    stack.wait(lambda _: len(all_servers(stack)) == 1)
    assert [server.id for server in all_servers(stack)] == [server_of(stack, used)]
    assert doomed not in world(stack)["servers"]
    assert addresses(stack) == 1


def test_those_kept_by_hand_stay(stack: Stack) -> None:
    share = available_share(stack, stack.share_network(*stack.network("10.1.0.0/24")))
    server = server_of(stack, share)
    delete_share(stack, share)
    with begin(stack.engine) as conn:
        conn.execute(
            table.update()
            .where(table.c.id == server)
            .values(is_auto_deletable=False, updated_at=utcnow())
        )
    delete_unused(stack)
    assert [row.status for row in all_servers(stack)] == ["active"]
    unused_share_servers.delete_unused(stack.engine, {"host1@other"}, 0)
    assert [row.status for row in all_servers(stack)] == ["active"]
