"""Giving a share server its addresses: not a workflow of its own but a part of setting a server up
and of adding a subnet to it.

An address on a network that machines of others are on is looked for there before it is used: the
network plug-in does not know who else uses it.
"""

from __future__ import annotations

from abaca.domain.network_changes import duplicate_addresses
from abaca.domain.network_changes.share_server_networks import Place
from abaca.domain.share_networks import share_network_subnets
from abaca.errors import NoSpace
from abaca.networks.interface import AllocationRequest
from abaca.operations import serving
from abaca.values import NetworkAllocation, NetworkInfo, Subnet
from abaca.workflow.steps import effect, tx

MOST_ATTEMPTS = 5
"""So often is a server given other addresses; somebody may claim whatever is asked for."""

_SHARED_WITH_MACHINES = ("flat", "vlan")


def allocate(
    share_server_id: str, host: str, places: list[Place]
) -> dict[str, list[NetworkAllocation]]:
    """Find out what each subnet is, where that is not known yet, and give the server its addresses
    on all of them, or on none: such that no other machine uses.

    Share network subnet id → the addresses, which are yet to be stored. Raises NoSpace when a
    subnet is full, or every attempt gave an address that another machine uses.
    """
    networks = serving.current().networks
    subnets = [_resolved(place) for place in places]
    requests = [
        _request(share_server_id, place, subnet)
        for place, subnet in zip(places, subnets, strict=True)
    ]
    in_use: list[str] = []
    for _ in range(MOST_ATTEMPTS):
        given: list[list[NetworkAllocation]] = effect(networks.allocate, requests)
        infos = [
            NetworkInfo(
                server_id=share_server_id,
                share_network_subnet_id=place.share_network_subnet_id,
                subnet=subnet,
                network_allocations=allocations,
            )
            for place, subnet, allocations in zip(places, subnets, given, strict=True)
        ]
        in_use = _in_use(host, infos)
        if not in_use:
            return {info.share_network_subnet_id: info.network_allocations for info in infos}
        effect(networks.set_aside, share_server_id, in_use)
        tx(duplicate_addresses.tell, share_server_id, in_use)
    raise NoSpace(
        f"{MOST_ATTEMPTS} times the share server was given addresses that other machines on the "
        f"network already use, the last time {', '.join(in_use)}. Keep those out of the subnet's "
        "allocation pools, or find the machine that answers for all of them.",
        is_public=True,
    )


def _resolved(place: Place) -> Subnet:
    """What the subnet is; stored, if it has to be asked for."""
    if place.subnet is not None:
        return place.subnet
    subnet: Subnet = effect(
        serving.current().networks.get_subnet,
        place.project_id,
        place.neutron_net_id,
        place.neutron_subnet_id,
    )
    tx(share_network_subnets.resolve, place.share_network_subnet_id, subnet)
    return subnet


def _request(share_server_id: str, place: Place, subnet: Subnet) -> AllocationRequest:
    return AllocationRequest(
        server_id=share_server_id,
        share_network_subnet_id=place.share_network_subnet_id,
        neutron_net_id=subnet.neutron_net_id,
        neutron_subnet_id=subnet.neutron_subnet_id,
        count=place.count,
        project_id=place.project_id,
    )


def _in_use(host: str, infos: list[NetworkInfo]) -> list[str]:
    """Those of the addresses that other machines use. The driver is asked only where there can be
    machines of others."""
    asked = [info for info in infos if info.subnet.network_type in _SHARED_WITH_MACHINES]
    if not asked:
        return []
    found: list[str] = effect(serving.current().driver(host).addresses_in_use, asked)
    return [
        allocation.ip_address
        for info in asked
        for allocation in info.network_allocations
        if allocation.ip_address in found
    ]
