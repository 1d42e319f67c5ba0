"""share_network_subnet_resolve: a new subnet's Neutron ids are looked up at once, and its owner is
told when they stand for nothing."""

from __future__ import annotations

import pytest

from abaca.domain.local_networks import local_networks, local_subnets, rbac_policies
from abaca.domain.share_networks import share_network_subnets, share_networks
from abaca.errors import Conflict
from abaca.values import Caller, Subnet
from tests.operations.conftest import Install
from tests.operations.scene import available_share, network, told
from tests.stack import ADMIN, MEMBER, Stack, wait_for


def resolved(stack: Stack, share_network: str) -> dict[str, object]:
    """The network's only subnet, once it is known."""
    return (
        wait_for(
            lambda: next(
                (
                    subnet
                    for subnet in network(stack, share_network)["share_network_subnets"]
                    if subnet["cidr"]
                ),
                None,
            )
        )
        or {}
    )


def test_the_fields_are_filled(stack: Stack) -> None:
    (pair,) = stack.network("fd00:1::/64")
    subnet = resolved(stack, stack.share_network(pair))
    assert (subnet["cidr"], subnet["ip_version"], subnet["network_type"], subnet["gateway"]) == (
        "fd00:1::/64",
        6,
        "vxlan",
        "fd00:1::1",
    )
    assert isinstance(subnet["segmentation_id"], int) and isinstance(subnet["mtu"], int)
    assert told(stack) == []


def test_ids_that_stand_for_nothing_are_accepted_and_told(stack: Stack) -> None:
    share_network = stack.share_network(("no such network", "no such subnet"))
    assert network(stack, share_network)["share_network_subnets"][0]["cidr"] is None
    wait_for(lambda: told(stack))
    assert "no such subnet" in told(stack)[0]
    assert network(stack, share_network)["status"] == "active"


def test_corrected_ids_are_looked_up_again(stack: Stack) -> None:
    (pair,) = stack.network("10.1.0.0/24")
    share_network = stack.share_network(("no such network", "no such subnet"))
    wait_for(lambda: told(stack))
    stack.do(
        share_networks.update,
        MEMBER,
        share_network,
        {"neutron_net_id": pair[0], "neutron_subnet_id": pair[1]},
    )
    assert resolved(stack, share_network)["cidr"] == "10.1.0.0/24"


def test_another_project_s_subnet_is_not_there(stack: Stack) -> None:
    stranger = MEMBER.__class__(user_id="other", project_id="other", roles=("member",))
    (pair,) = stack.network("10.1.0.0/24", caller=stranger)
    stack.share_network(pair)
    wait_for(lambda: told(stack))
    assert pair[1] in told(stack)[0]


def test_a_network_that_is_shared_with_the_project_serves_it(stack: Stack) -> None:
    """A central team's network: an application has its share there, and the team sees to it that
    it stays."""
    team = Caller(user_id="t", project_id="team", roles=("member",))
    (pair,) = stack.network("10.1.0.0/24", caller=team)
    policy = stack.do(
        rbac_policies.create, team, network_id=pair[0], target_project=MEMBER.project_id
    )
    (path,) = stack.paths(available_share(stack, stack.share_network(pair)))
    assert path.startswith("10.1.0.")
    with pytest.raises(Conflict, match=MEMBER.project_id):
        stack.do(rbac_policies.delete, team, policy["id"])


def test_without_a_worker_it_is_done_when_a_server_is_made(install: Install) -> None:
    stack = install()
    (pair,) = stack.network("10.1.0.0/24")
    share_network = stack.share_network(pair)
    with stack.working():
        available_share(stack, share_network)
        assert resolved(stack, share_network)["cidr"] == "10.1.0.0/24"


def shared_subnet(stack: Stack, cidr: str) -> tuple[str, str]:
    """A subnet for all projects: (network id, subnet id)."""
    made = stack.do(local_networks.create, ADMIN, name="shared", shared=True)
    return made["id"], stack.do(
        local_subnets.create, ADMIN, network_id=made["id"], cidr=cidr, ip_version=4
    )["id"]


def test_where_nothing_is_named_the_shared_subnet_is_meant(stack: Stack) -> None:
    stack.network("10.1.0.0/24")  # its owner's alone
    pair = shared_subnet(stack, "10.2.0.0/24")
    share_network = stack.share_network((None, None))  # type: ignore[arg-type]
    (path,) = stack.paths(available_share(stack, share_network))
    assert path.startswith("10.2.0.")
    stack.add_subnet(share_network, (None, None))  # type: ignore[arg-type]
    assert stack.settled_network(share_network) == "active"
    subnets = network(stack, share_network)["share_network_subnets"]
    assert [
        (subnet["neutron_net_id"], subnet["neutron_subnet_id"], subnet["cidr"])
        for subnet in subnets
    ] == [(*pair, "10.2.0.0/24")] * 2


def test_where_nothing_is_named_and_no_or_two_subnets_are_shared_the_reason_is_told(
    stack: Stack,
) -> None:
    for count in ("no", "2"):
        share_id = stack.share(stack.share_network((None, None)))  # type: ignore[arg-type]
        assert stack.settled_share(share_id) == "error"
        assert any(f"{count} subnets are shared" in text for text in told(stack))
        shared_subnet(stack, "10.2.0.0/24")
        shared_subnet(stack, "10.3.0.0/24")


def test_what_is_found_of_former_ids_is_dropped(install: Install) -> None:
    stack = install()
    first, second = stack.network("10.1.0.0/24", "10.2.0.0/24")
    share_network = stack.share_network(first)
    (subnet,) = network(stack, share_network)["share_network_subnets"]
    stack.do(
        share_networks.update,
        MEMBER,
        share_network,
        {"neutron_net_id": second[0], "neutron_subnet_id": second[1]},
    )
    found = Subnet(
        neutron_net_id=first[0], neutron_subnet_id=first[1], cidr="10.1.0.0/24", ip_version=4
    )
    # its work had looked the former ones up just before
    stack.do(share_network_subnets.resolve, subnet["id"], found)
    (subnet,) = network(stack, share_network)["share_network_subnets"]
    assert (subnet["neutron_subnet_id"], subnet["cidr"]) == (second[1], None)
