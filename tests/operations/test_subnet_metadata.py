"""share_server_update_subnet_metadata: metadata of a subnet reaches the drivers of all servers
there, and the project is told how it went."""

from __future__ import annotations

from collections.abc import Collection

import pytest
from sqlalchemy.engine import Connection

from abaca.domain.network_changes import subnet_metadata
from abaca.domain.share_networks import share_network_subnets
from abaca.domain.share_servers import share_servers
from abaca.workflow import queue
from tests.operations.scene import (
    FAILURES,
    RETRIED,
    all_servers,
    available_share,
    failing,
    plan,
    reason,
    told,
    world,
)
from tests.stack import MEMBER, Stack, wait_for

METHOD = "update_share_network_subnet_from_metadata"


def change(
    stack: Stack,
    network: str,
    subnet: str,
    metadata: dict[str, str],
    given: Collection[str],
    dropped: Collection[str] = (),
) -> None:
    """As the API does, and until it is done."""

    def both(conn: Connection) -> None:
        share_network_subnets.change_metadata(conn, MEMBER, network, subnet, lambda _old: metadata)
        subnet_metadata.hand_over(conn, subnet, given, dropped)

    stack.do(both)
    wait_for(lambda: queue.unfinished(stack.engine) == [])


def held(stack: Stack) -> list[dict[str, str]]:
    """The metadata of each subnet of each server in the back end."""
    return [
        entry["subnet_metadata"]
        for server in world(stack)["servers"].values()
        for entry in server["network_info"]
    ]


@pytest.fixture
def network(stack: Stack) -> str:
    """A share network on two subnets, with a share."""
    made = stack.share_network(*stack.network("10.1.0.0/24", "10.2.0.0/24"))
    available_share(stack, made)
    return made


def subnets(stack: Stack, network: str) -> list[str]:
    return [subnet["id"] for subnet in stack.ask(share_network_subnets.find, MEMBER, network)]


def test_the_drivers_get_what_is_given_and_later_servers_have_it(
    stack: Stack, network: str
) -> None:
    first, _ = subnets(stack, network)
    change(stack, network, first, {"vlan": "7", "mtu": "9000", "note": "mine"}, {"vlan", "mtu"})
    assert held(stack) == [{"vlan": "7", "mtu": "9000"}, {}]
    (server,) = all_servers(stack)
    assert told(stack) == [
        f"The metadata mtu, vlan of the subnet is in effect on share server {server.id}."
    ]
    change(stack, network, first, {"mtu": "9000", "note": "mine"}, (), {"vlan"})
    assert held(stack)[0] == {"vlan": "7", "mtu": "9000"}
    assert (
        told(stack)[0]
        == "The metadata vlan of the subnet has been deleted, but stays in effect on the share "
        "servers there."
    )


def test_a_server_that_is_set_up_later_gets_all_of_it(stack: Stack) -> None:
    network = stack.share_network(*stack.network("10.1.0.0/24"))
    change(stack, network, subnets(stack, network)[0], {"vlan": "7"}, {"vlan"}, {"mtu"})
    assert told(stack) == []
    available_share(stack, network)
    assert held(stack) == [{"vlan": "7"}]


@pytest.mark.parametrize("error", [*FAILURES, "bug"])
def test_each_failure_is_told_and_harms_nothing(stack: Stack, network: str, error: str) -> None:
    first, _ = subnets(stack, network)
    plan(stack, failing(METHOD, error))
    change(stack, network, first, {"vlan": "7"}, {"vlan"})
    (server,) = all_servers(stack)
    assert told(stack)[0].startswith(
        f"The metadata vlan of the subnet could not take effect on share server {server.id}: "
        f"{reason(error)}"
    )
    assert (server.status, held(stack)) == ("active", [{}, {}])
    plan(stack)
    change(stack, network, first, {"vlan": "8"}, {"vlan"})
    assert held(stack) == [{"vlan": "8"}, {}]


@pytest.mark.parametrize("error", RETRIED)
def test_a_failure_that_passes_is_retried(stack: Stack, network: str, error: str) -> None:
    plan(stack, failing(METHOD, error, times=1))
    change(stack, network, subnets(stack, network)[0], {"vlan": "7"}, {"vlan"})
    assert held(stack) == [{"vlan": "7"}, {}]


def test_a_server_that_does_not_serve_is_told_of(stack: Stack, network: str) -> None:
    (server,) = all_servers(stack)
    stack.do(share_servers.mark_error, server.id, "broken")
    change(stack, network, subnets(stack, network)[0], {"vlan": "7"}, {"vlan"})
    assert told(stack)[0].endswith("the share server is error.")
    assert held(stack) == [{}, {}]


def test_what_is_gone_is_not_asked_about(stack: Stack, network: str) -> None:
    (subnet, _), (server,) = subnets(stack, network), all_servers(stack)
    assert stack.ask(subnet_metadata.wanted, "no-such-server", subnet, ["vlan"]) is None
    assert stack.ask(subnet_metadata.wanted, server.id, subnet, ["vlan"]) is None
