"""Subnets of share servers in use drain: what is new is placed without them, drivers are told, and
both are taken back."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from abaca.db.tables import share_server_share_network_subnet_mappings as mappings
from abaca.domain.network_changes import subnet_drains
from abaca.domain.network_changes.subnet_drains import CANCEL, FORCE
from abaca.domain.rows.row_limits import RowLimits
from abaca.domain.share_networks import share_network_subnets, share_networks
from abaca.domain.share_servers import share_servers
from abaca.errors import Conflict, Invalid, Missing, OverQuota
from abaca.values import Caller
from abaca.workflow import queue
from tests.operations.conftest import Install
from tests.operations.scene import (
    FAILURES,
    RETRIED,
    all_servers,
    available_share,
    failing,
    plan,
    reason,
    server_of,
    struck,
    told,
    world,
)
from tests.operations.scene import (
    network as network_of,
)
from tests.stack import ADMIN, MEMBER, Stack, wait_for

pytestmark = pytest.mark.sampled_file(4)

METHOD = "update_share_server_drains"
STRANGER = Caller(user_id="bob", project_id="blue", roles=("member",))


@pytest.fixture
def network(stack: Stack) -> str:
    """A share network on two subnets."""
    return stack.share_network(*stack.network("10.1.0.0/24", "10.2.0.0/24"))


def subnets(stack: Stack, network: str) -> list[str]:
    return [subnet["id"] for subnet in stack.ask(share_network_subnets.find, MEMBER, network)]


def idle(stack: Stack) -> None:
    wait_for(lambda: queue.unfinished(stack.engine) == [])


def start(stack: Stack, network: str, subnet: str, **how: Any) -> None:
    stack.do(subnet_drains.start, MEMBER, network, subnet, **how)
    idle(stack)


def cancel(stack: Stack, network: str, subnet: str) -> None:
    stack.do(subnet_drains.cancel, MEMBER, network, subnet)
    idle(stack)


def drain(stack: Stack, network: str, subnet: str) -> dict[str, Any]:
    return stack.ask(subnet_drains.get, MEMBER, network, subnet)


def hosts(stack: Stack, share: str) -> list[str]:
    """The first two numbers of the addresses that a share is reached on."""
    return [".".join(path.split(".")[:2]) for path in stack.paths(share)]


def draining(stack: Stack) -> list[bool]:
    """What the back end knows of each subnet of each server."""
    return [
        entry["is_draining"]
        for server in world(stack)["servers"].values()
        for entry in server["network_info"]
    ]


def test_what_is_new_leaves_the_subnet_out_and_the_rest_goes_on(stack: Stack, network: str) -> None:
    first, _ = subnets(stack, network)
    old = available_share(stack, network)
    start(stack, network, first)
    assert drain(stack, network, first)["refuses_new_clients"] == {server_of(stack, old): True}
    assert draining(stack) == [True, False]
    assert network_of(stack, network)["status"] == "active"

    new = available_share(stack, network)
    assert server_of(stack, new) == server_of(stack, old), "its other subnets are the same"
    assert (hosts(stack, old), hosts(stack, new)) == (["10.1", "10.2"], ["10.2"])

    cancel(stack, network, first)
    assert hosts(stack, new) == ["10.2", "10.1"], "what was made meanwhile is exported there, too"
    assert hosts(stack, old) == ["10.1", "10.2"]
    assert (draining(stack), told(stack)) == ([False, False], [])
    with pytest.raises(Missing, match="does not drain"):
        drain(stack, network, first)


def test_new_servers_leave_it_out(stack: Stack, network: str) -> None:
    first, _ = subnets(stack, network)
    start(stack, network, first)
    share = available_share(stack, network)
    assert hosts(stack, share) == ["10.2"]
    cancel(stack, network, first)
    assert available_share(stack, network)
    assert len(all_servers(stack)) == 2, "the first stands on one of the two only"


def test_nothing_is_placed_where_all_subnets_drain(stack: Stack, network: str) -> None:
    supports = ("snapshot_support", "create_share_from_snapshot_support")
    stack.share_type("snap", **dict.fromkeys(supports, "True"))
    share = available_share(stack, network, share_type="snap")
    for subnet in subnets(stack, network):
        start(stack, network, subnet)
    with pytest.raises(Invalid, match="that does not drain"):
        stack.share(network)
    snapshot = stack.snapshot(share)
    stack.settled_snapshot(snapshot)
    with pytest.raises(Invalid, match="could not be reached"):
        stack.share(network, share_type="snap", snapshot_id=snapshot)
    assert hosts(stack, share) == ["10.1", "10.2"]
    cancel(stack, network, subnets(stack, network)[1])
    assert hosts(
        stack, available_share(stack, network, share_type="snap", snapshot_id=snapshot)
    ) == ["10.2"]


def test_no_subnet_is_added_meanwhile(stack: Stack, network: str) -> None:
    first, _ = subnets(stack, network)
    available_share(stack, network)
    start(stack, network, first)
    third = stack.network("10.3.0.0/24")[0]
    with pytest.raises(Conflict, match=f"{first} .* drains"):
        stack.add_subnet(network, third)
    cancel(stack, network, first)
    stack.add_subnet(network, third)
    assert stack.settled_network(network) == "active"


def test_a_subnet_that_drains_gets_a_new_deadline(stack: Stack, network: str) -> None:
    first, _ = subnets(stack, network)
    start(stack, network, first)
    before = drain(stack, network, first)
    assert (before["deadline"], before["at_deadline"]) == (86_400, CANCEL)
    start(stack, network, first, seconds=60, at_deadline=FORCE)
    after = drain(stack, network, first)
    assert (after["deadline"], after["at_deadline"]) == (60, FORCE)
    assert after["ends_at"] < before["ends_at"]


@pytest.mark.parametrize("error", [*FAILURES, "bug"])
def test_without_the_driver_a_drain_goes_on_and_says_so(
    stack: Stack, network: str, error: str
) -> None:
    first, _ = subnets(stack, network)
    share = available_share(stack, network)
    plan(stack, failing(METHOD, error))
    start(stack, network, first)
    assert drain(stack, network, first)["refuses_new_clients"] == {server_of(stack, share): False}
    assert told(stack)[0].startswith(
        "The subnet drains, but new clients can still connect there to one of the share servers: "
        f"{reason(error)}"
    )
    assert hosts(stack, available_share(stack, network)) == ["10.2"]
    plan(stack)
    start(stack, network, first)
    assert drain(stack, network, first)["refuses_new_clients"] == {server_of(stack, share): True}


@pytest.mark.parametrize("error", RETRIED)
def test_a_failure_that_passes_is_retried(stack: Stack, network: str, error: str) -> None:
    first, _ = subnets(stack, network)
    share = available_share(stack, network)
    plan(stack, failing(METHOD, error, times=1))
    start(stack, network, first)
    assert drain(stack, network, first)["refuses_new_clients"] == {server_of(stack, share): True}


def test_a_drain_that_cannot_be_taken_back_is_told_of(stack: Stack, network: str) -> None:
    first, _ = subnets(stack, network)
    available_share(stack, network)
    start(stack, network, first)
    plan(stack, failing(METHOD, "Refused"))
    cancel(stack, network, first)
    assert told(stack)[0].startswith("The subnet does not drain any more, but")
    plan(stack)
    start(stack, network, first)
    cancel(stack, network, first)
    assert draining(stack) == [False, False]


def test_it_drains_still_after_a_restart(install: Install) -> None:
    stack = install()
    with stack.working():
        network = stack.share_network(*stack.network("10.1.0.0/24", "10.2.0.0/24"))
        share = available_share(stack, network)
        first, _ = subnets(stack, network)
        plan(stack, failing(METHOD, "Refused"))
        start(stack, network, first)
        assert draining(stack) == [False, False]
        plan(stack)
    with stack.working():
        wait_for(lambda: draining(stack) == [True, False])
        assert hosts(stack, share) == ["10.1", "10.2"]


def test_a_drain_that_begins_while_another_ends_is_told(stack: Stack, network: str) -> None:
    """The driver has been told already that the subnet does not drain, but that is not stored."""
    first, _ = subnets(stack, network)
    available_share(stack, network)
    start(stack, network, first)
    plan(stack, failing(METHOD, "hang", when="after"))
    stack.do(subnet_drains.cancel, MEMBER, network, first)
    wait_for(lambda: struck(stack) == 1)
    stack.do(subnet_drains.start, MEMBER, network, first)
    plan(stack)
    idle(stack)
    assert draining(stack) == [True, False]
    assert set(drain(stack, network, first)["refuses_new_clients"].values()) == {True}


def test_a_drain_that_the_driver_was_not_told_of_does_not_look_as_if(
    stack: Stack, network: str
) -> None:
    """The end of the one before is stored when the next one has begun."""
    first, _ = subnets(stack, network)
    available_share(stack, network)
    start(stack, network, first)
    plan(stack, failing(METHOD, "hang", when="after", times=1), failing(METHOD, "Refused"))
    stack.do(subnet_drains.cancel, MEMBER, network, first)
    wait_for(lambda: struck(stack) == 1)
    stack.do(subnet_drains.start, MEMBER, network, first)
    plan(stack, failing(METHOD, "Refused"))
    idle(stack)
    assert set(drain(stack, network, first)["refuses_new_clients"].values()) == {False}
    assert told(stack)[0].startswith("The subnet drains, but new clients can still connect")


def test_what_may_not_drain(stack: Stack, network: str) -> None:
    first, _ = subnets(stack, network)
    for method in (subnet_drains.start, subnet_drains.cancel, subnet_drains.get):
        with pytest.raises(Missing):
            stack.do(method, STRANGER, network, first)
        with pytest.raises(Missing):
            stack.do(method, MEMBER, network, network)
    with pytest.raises(Missing, match="does not drain"):
        cancel(stack, network, first)
    for status in ("network_change", "error"):
        stack.do(share_networks.reset_status, ADMIN, network, status)
        with pytest.raises(Conflict):
            start(stack, network, first)
    stack.do(share_networks.reset_status, ADMIN, network, "active")
    start(stack, network, first)


def test_a_project_with_too_much_work_starts_no_drain(stack: Stack, network: str) -> None:
    first, _ = subnets(stack, network)
    start(stack, network, first, limits=RowLimits(waiting_work=0))
    cancel(stack, network, first)
    available_share(stack, network)
    with pytest.raises(OverQuota):
        start(stack, network, first, limits=RowLimits(waiting_work=0))
    with pytest.raises(Missing):
        drain(stack, network, first)


def test_a_network_that_drains_is_deleted_as_any_other(stack: Stack) -> None:
    network = stack.share_network(*stack.network("10.1.0.0/24"))
    (first,) = subnets(stack, network)
    start(stack, network, first)
    stack.do(share_networks.delete, MEMBER, network)
    idle(stack)
    assert "share_network_subnets" not in stack.rows()


def test_a_server_that_is_gone_is_told_nothing(stack: Stack, network: str) -> None:
    first, _ = subnets(stack, network)
    available_share(stack, network)
    (server,) = all_servers(stack)
    assert stack.ask(subnet_drains.to_tell, "no-such-server") is None
    stack.do(share_servers.mark_error, server.id, "broken")
    assert stack.ask(subnet_drains.to_tell, server.id) is None
    start(stack, network, first)
    flags = stack.ask(lambda conn: conn.scalars(sa.select(mappings.c.refuses_new_clients)).all())
    assert flags == [False, False]
