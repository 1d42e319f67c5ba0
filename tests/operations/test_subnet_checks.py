"""Whom the drivers' check of a new subnet asks and what it counts, where one back end has several
servers of the share network."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import sqlalchemy as sa

from abaca.db.tables import share_network_checks
from abaca.domain.network_changes import share_server_repairs, subnet_additions
from abaca.domain.network_changes.subnet_additions import SubnetRequest
from abaca.errors import Conflict
from abaca.workflow import inspection
from tests.operations.conftest import Install
from tests.operations.scene import (
    WHY,
    addresses,
    all_servers,
    available_share,
    declare,
    failing,
    network,
    plan,
    told,
)
from tests.stack import MEMBER, Stack, wait_for

CHECK = "check_update_share_server_network_allocations"


def two_servers(stack: Stack) -> tuple[str, list[str]]:
    """A share network with a server on its default subnet and one on its subnet in zone-a, both of
    back end alpha; and a share on each."""
    first, second = stack.network("10.1.0.0/24", "10.2.0.0/24")
    share_network = stack.share_network(first)
    shares = [available_share(stack, share_network, availability_zone="zone-a")]
    stack.add_subnet(share_network, second, zone="zone-a")
    shares.append(available_share(stack, share_network, availability_zone="zone-a"))
    assert len(all_servers(stack)) == 2
    return share_network, shares


def test_every_server_of_a_back_end_is_asked(install: Install) -> None:
    stack = install({"alpha": {"availability_zone": "zone-a"}})
    with stack.working():
        share_network, shares = two_servers(stack)
        for share in shares:
            plan(stack, failing(CHECK, "Refused", match=share))
            with pytest.raises(Conflict, match=WHY):
                stack.add_subnet(share_network, stack.network("10.3.0.0/24")[0])
        plan(stack)
        assert network(stack, share_network)["status"] == "active"


def test_the_answer_belongs_to_network_and_zone_too(install: Install) -> None:
    stack = install({"alpha": {"availability_zone": "zone-a"}})
    with stack.working():
        share_network, _ = two_servers(stack)
        net, subnet = stack.network("10.3.0.0/24")[0]

        def answer(neutron_net_id: str, zone: str | None) -> bool | None:
            wanted = SubnetRequest(
                neutron_net_id=neutron_net_id, neutron_subnet_id=subnet, availability_zone=zone
            )
            compatible: bool | None = stack.do(
                subnet_additions.check, MEMBER, share_network, wanted, reset_operation=False
            )["compatible"]
            return compatible

        assert wait_for(lambda: answer(net, None)) is True
        assert answer("another network", None) is None
        assert answer(net, "zone-a") is None
        assert wait_for(lambda: answer("another network", None) is False)
        assert wait_for(lambda: answer(net, "zone-a")) is True
        assert answer(net, None) is True


def test_a_denial_is_logged_with_its_reason(stack: Stack, caplog: pytest.LogCaptureFixture) -> None:
    first, second = stack.network("10.1.0.0/24", "10.2.0.0/24")
    share_network = stack.share_network(first)
    available_share(stack, share_network)
    plan(stack, failing(CHECK, "Refused"))
    with caplog.at_level(logging.WARNING, "abaca"), pytest.raises(Conflict, match=WHY):
        stack.add_subnet(share_network, second)
    assert [
        record
        for record in caplog.records
        if "share_network_subnet_check" in record.getMessage() and WHY in record.getMessage()
    ]


def test_a_back_end_that_has_ceased_to_support_it_denies_and_refuses(install: Install) -> None:
    """What it declared once is stored with the server; that it has ceased is no bug of
    anybody's."""
    stack = install()
    with stack.working() as worker:
        first, second, third = stack.network("10.1.0.0/24", "10.2.0.0/24", "10.3.0.0/24")
        share_network = stack.share_network(first)
        available_share(stack, share_network)
        stack.checked(share_network, second)
        declare(worker, network_allocation_update_support=False)
        with pytest.raises(Conflict, match="does not support this"):
            stack.add_subnet(share_network, third)
        stack.add_subnet(share_network, second)  # it had agreed to this one
        assert stack.settled_network(share_network) == "active"
        assert [row.status for row in all_servers(stack)] == ["error"]
        assert "does not support this" in told(stack)[0]
        wait_for(lambda: inspection.find(stack.engine) == [])
        declare(worker, network_allocation_update_support=True)
        stack.do(share_server_repairs.retry_network_update, all_servers(stack)[0].id)
        assert stack.settled_network(share_network) == "active"
        assert [row.status for row in all_servers(stack)] == ["active"]


def test_the_addresses_are_those_of_the_servers_that_grow(install: Install) -> None:
    stack = install({"alpha": {"availability_zone": "zone-a", "network_allocations_number": "2"}})
    with stack.working():
        share_network, (_, other) = two_servers(stack)
        small, exact = stack.network("10.3.0.0/30", "fd00:4::/126")  # one address, two addresses
        with pytest.raises(Conflict, match=r"10\.3\.0\.0/30.* 1 free addresses.* need 2"):
            stack.add_subnet(share_network, small)
        stack.do(lambda conn: conn.execute(sa.delete(share_network_checks)))
        stack.add_subnet(share_network, exact)
        assert stack.settled_network(share_network) == "active"
        assert addresses(stack) == 6
        assert len(stack.paths(other)) == 2, "the server in the zone has not changed"
        assert {row.status for row in all_servers(stack)} == {"active"}


def test_the_numbers_and_the_reasons_are_told(install: Install) -> None:
    """With two servers, of which each needs one address."""
    stack = install({"alpha": {"availability_zone": "zone-a"}})
    with stack.working():
        share_network, _ = two_servers(stack)
        roomy, tight = stack.network("10.3.0.0/28", "10.4.0.0/30")

        def answer(pair: tuple[str, str], zone: str | None = None) -> dict[str, Any]:
            wanted = SubnetRequest(
                neutron_net_id=pair[0], neutron_subnet_id=pair[1], availability_zone=zone
            )
            return stack.do(
                subnet_additions.check, MEMBER, share_network, wanted, reset_operation=False
            )

        assert answer(roomy)["addresses_free"] is None
        wait_for(lambda: answer(roomy)["compatible"])
        told = answer(roomy)
        assert (told["addresses_needed"], told["addresses_free"], told["reasons"]) == (1, 13, [])
        (huge,) = stack.network("fd00:3::/64")
        wait_for(lambda: answer(huge)["compatible"])
        assert answer(huge)["addresses_free"] == 2**31 - 1
        plan(stack, failing(CHECK, "Refused"))
        wait_for(lambda: answer(tight)["compatible"] is False)
        assert answer(tight)["reasons"] == [WHY]
