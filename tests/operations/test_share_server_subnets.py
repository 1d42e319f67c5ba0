"""Which subnets a share server is on: how that is shown, when it takes a new share, and what
its network makes of what it supports."""

from __future__ import annotations

import sqlalchemy as sa

from abaca.db.tables import share_server_share_network_subnet_mappings as mappings
from abaca.db.tables import share_servers
from tests.operations.conftest import Install
from tests.operations.scene import available_share, network, server, server_of
from tests.stack import Stack


def test_subnets_are_shown_sorted_by_id(stack: Stack) -> None:
    share_network = stack.share_network(
        *stack.network(*(f"10.{number}.0.0/24" for number in range(1, 8)))
    )
    id_ = available_share(stack, share_network)
    shown = server(stack, server_of(stack, id_))["share_network_subnet_ids"]
    assert shown == sorted(
        subnet["id"] for subnet in network(stack, share_network)["share_network_subnets"]
    )


def test_a_server_that_does_not_stand_on_all_subnets_takes_no_new_share(stack: Stack) -> None:
    share_network = stack.share_network(*stack.network("10.1.0.0/24", "10.2.0.0/24"))
    first = available_share(stack, share_network)
    assert server_of(stack, available_share(stack, share_network)) == server_of(stack, first)
    latest = network(stack, share_network)["share_network_subnets"][1]["id"]
    stack.do(
        lambda conn: conn.execute(
            sa.delete(mappings).where(mappings.c.share_network_subnet_id == latest)
        )
    )
    later = available_share(stack, share_network)
    assert server_of(stack, later) != server_of(stack, first)
    assert len(stack.paths(later)) == 2


def test_a_network_supports_what_all_its_servers_support(install: Install) -> None:
    names = ("network_allocation_update_support", "security_service_update_support")
    stack = install(
        {
            "alpha": {"availability_zone": "zone-a"},
            "beta": {"availability_zone": "zone-b"} | dict.fromkeys(names, "false"),
        }
    )
    with stack.working():
        share_network = stack.share_network(*stack.network("10.1.0.0/24"))

        def supports() -> list[bool]:
            shown = network(stack, share_network)
            return [shown[name] for name in names]

        assert supports() == [True, True], "it has no server"
        available_share(stack, share_network, availability_zone="zone-a")
        assert supports() == [True, True]
        available_share(stack, share_network, availability_zone="zone-b")
        assert supports() == [False, False]
        for name, value in zip(names, ([True, False], [True, True]), strict=True):
            stack.do(
                lambda conn, name=name: conn.execute(sa.update(share_servers).values({name: True}))
            )
            assert supports() == value
