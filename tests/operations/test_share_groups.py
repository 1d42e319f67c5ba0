"""Share groups: where they and their shares are, with and without share servers, what stays while
they are there, and what becomes of them when their share server cannot be set up."""

from __future__ import annotations

from typing import Any

import pytest

from abaca.domain.share_groups import share_groups
from abaca.domain.share_servers import share_servers
from abaca.domain.shares import shares
from abaca.errors import Conflict, Invalid
from abaca.reconcile import failed_share_servers, unused_share_servers
from abaca.workflow import queue
from tests.operations.conftest import Install
from tests.operations.scenarios_groups import create_group
from tests.operations.scene import (
    all_servers,
    available_share,
    failing,
    instance_of,
    plan,
    share,
    told,
    world,
)
from tests.operations.test_resume import resume
from tests.operations.test_without_share_servers import plain
from tests.stack import MEMBER, Stack, wait_for

HOSTS = {"host1@alpha"}


def group_of(stack: Stack, group: str) -> dict[str, Any]:
    return stack.ask(share_groups.get, MEMBER, group)


def available_group(stack: Stack, network: str | None, share_type: str = "default") -> str:
    made = create_group(stack, network, share_type)
    assert stack.settled_group(made) == "available", told(stack)
    return made


def delete_all(stack: Stack, group: str, *members: str) -> None:
    """The group, after its shares."""
    for member in members:
        stack.do(shares.delete, MEMBER, member, group)
        assert stack.settled_share(member) == "gone"
    stack.do(share_groups.delete, MEMBER, group)


def test_shares_of_a_group_are_on_its_pool_and_its_server(install: Install) -> None:
    """Although another pool has more room by then."""
    stack = install({"alpha": {"pools": "small:5,large:9"}})
    with stack.working():
        network = stack.share_network(*stack.network("10.1.0.0/24", "fd00:1::/64"))
        group = available_group(stack, network)
        stands = group_of(stack, group)
        assert stands["host"] == "host1@alpha#large"
        assert [server.id for server in all_servers(stack)] == [stands["share_server_id"]]
        members = [available_share(stack, network, size=4, share_group_id=group) for _ in range(2)]
        for member in members:
            instance = instance_of(stack, member)
            assert (instance.host, instance.share_server_id) == (
                stands["host"],
                stands["share_server_id"],
            )
        full = stack.share(network, size=4, share_group_id=group)
        assert stack.settled_share(full) == "error"
        assert "room" in told(stack)[0] or "free" in told(stack)[0]
        delete_all(stack, group, *members, full)


def test_a_member_is_not_tried_on_another_pool(install: Install) -> None:
    stack = install({"alpha": {"pools": "one:9"}, "beta": {"pools": "two:5"}})
    with stack.working():
        network = stack.share_network(*stack.network("10.1.0.0/24"))
        group = available_group(stack, network)
        plan(stack, failing("create_share", "NoSpace", when="before"))
        member = stack.share(network, share_group_id=group)
        assert stack.settled_share(member) == "error"
        assert instance_of(stack, member).host == group_of(stack, group)["host"]
        assert world(stack, "beta")["shares"] == {}


def test_a_group_without_a_network_has_no_server(install: Install) -> None:
    stack = plain(install)
    with stack.working():
        group = available_group(stack, None, "plain")
        stands = group_of(stack, group)
        assert (stands["share_network_id"], stands["share_server_id"]) == (None, None)
        member = available_share(stack, None, share_type="plain", share_group_id=group)
        shown = share(stack, member)
        assert (shown["host"], shown["share_server_id"]) == (stands["host"], None)
        network = stack.share_network(*stack.network("10.1.0.0/24"))
        with pytest.raises(Invalid):
            create_group(stack, network, "plain")
        delete_all(stack, group, member)


def test_the_server_of_a_group_without_shares_stays(stack: Stack) -> None:
    network = stack.share_network(*stack.network("10.1.0.0/24"))
    group = available_group(stack, network)
    (server,) = all_servers(stack)
    unused_share_servers.delete_unused(stack.engine, HOSTS, 0)
    with pytest.raises(Conflict):
        stack.do(share_servers.delete, server.id)
    assert [each.status for each in all_servers(stack)] == ["active"]
    delete_all(stack, group)
    unused_share_servers.delete_unused(stack.engine, HOSTS, 600)
    assert all_servers(stack), "it is unused from now on only"
    stack.wait(lambda _: not _unused_is_left(stack))


def _unused_is_left(stack: Stack) -> bool:
    unused_share_servers.delete_unused(stack.engine, HOSTS, 0)
    return bool(all_servers(stack))


def test_a_server_that_cannot_be_set_up_is_told_and_set_up_after_all(stack: Stack) -> None:
    network = stack.share_network(*stack.network("10.1.0.0/24"))
    plan(stack, failing("setup_server", "bug"))
    group = create_group(stack, network, "default")
    assert stack.settled_group(group) == "error"
    assert told(stack)
    resume(stack)
    assert stack.settled_group(group) == "available"
    assert [server.status for server in all_servers(stack)] == ["active"]
    delete_all(stack, group, available_share(stack, network, share_group_id=group))


def test_a_group_is_not_resumed_when_its_server_is_gone(stack: Stack) -> None:
    network = stack.share_network(*stack.network("10.1.0.0/24"))
    plan(stack, failing("setup_server", "bug"))
    group = create_group(stack, network, "default")
    assert stack.settled_group(group) == "error"
    plan(stack)
    failed_share_servers.delete_leftovers(stack.engine, HOSTS, 0)
    stack.wait(lambda _: not all_servers(stack))
    with pytest.raises(Conflict, match="is gone: make another group"):
        resume(stack)
    stack.do(share_groups.reset_status, MEMBER, group, "available")
    with pytest.raises(Invalid, match="can only be deleted"):
        stack.share(network, share_group_id=group)
    delete_all(stack, group)


@pytest.mark.parametrize("works", [True, False])
def test_the_server_of_a_group_that_was_deleted_at_once_does_not_stay_in_creating(
    install: Install, works: bool
) -> None:
    stack = install()
    with stack.working():
        network = stack.share_network(*stack.network("10.1.0.0/24"))
    group = create_group(stack, network, "default")
    stack.do(share_groups.force_delete, MEMBER, group)
    plan(stack, *[] if works else [failing("setup_server", "bug")])
    with stack.working():
        stack.wait(lambda _: all_servers(stack)[0].status == ("active" if works else "error"))


def test_a_status_that_was_set_by_hand_meanwhile_stays(install: Install) -> None:
    stack = install()
    with stack.working():
        network = stack.share_network(*stack.network("10.1.0.0/24"))
    group = create_group(stack, network, "default")
    stack.do(share_groups.reset_status, MEMBER, group, "deleting")
    with stack.working():
        stack.wait(lambda _: all_servers(stack)[0].status == "active")
        wait_for(lambda: not queue.unfinished(stack.engine))
        assert group_of(stack, group)["status"] == "deleting"
