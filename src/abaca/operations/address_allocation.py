"""Giving a share server its addresses: not a workflow of its own but a part of setting a server up
and of adding a subnet to it.

An address on a network that machines of others are on is looked for there before it is used: the
network plug-in does not know who else uses it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection

from msgspec import structs

from abaca.addresses import first_of
from abaca.domain.network_changes import duplicate_addresses
from abaca.domain.network_changes.share_server_networks import Place
from abaca.domain.share_networks import share_network_subnets
from abaca.errors import BackendError, NoSpace
from abaca.networks.interface import AllocationRequest
from abaca.operations import serving
from abaca.values import NetworkAllocation, NetworkInfo, Subnet
from abaca.workflow.steps import effect, tx

_LOG = logging.getLogger(__name__)

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
    in_use, free = [], set[str]()
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
        in_use = _in_use(host, infos, free)
        if not in_use:
            return {info.share_network_subnet_id: info.network_allocations for info in infos}
        free |= {each.ip_address for info in infos for each in info.network_allocations}
        free -= set(in_use)
        effect(networks.set_aside, share_server_id, in_use)
        known = _shown(requests, infos, in_use)
        tx(duplicate_addresses.tell, share_server_id, known)
    raise NoSpace(
        f"{MOST_ATTEMPTS} times the share server was given addresses that other machines on the "
        f"network already use, the last time {known}. Keep those out of the subnet's allocation "
        "pools, or find the machine that answers for all of them.",
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


def _shown(requests: list[AllocationRequest], infos: list[NetworkInfo], in_use: list[str]) -> str:
    """The addresses as the project is told of them: on networks of others it does not learn who is
    there."""
    owned: list[str] = effect(_networks_of_their_own, requests)
    own = [
        allocation.ip_address
        for info in infos
        for allocation in info.network_allocations
        if info.subnet.neutron_net_id in owned and allocation.ip_address in in_use
    ]
    others = len(in_use) - len(own)
    hidden = [f"{others} on a network of another project"] if others else []
    return " and ".join([*([first_of(own)] if own else []), *hidden])


def _networks_of_their_own(requests: list[AllocationRequest]) -> list[str]:
    """Those that belong to the project that asks, as far as that is known now."""
    found: dict[str, None] = {}
    for request in requests:
        try:
            owner = serving.current().networks.owner(request.neutron_net_id)
        except BackendError as error:
            _LOG.warning("the owner of a network is not known: %s", error.message)
            continue
        if owner == request.project_id:
            found[request.neutron_net_id] = None
    return list(found)


def _in_use(host: str, infos: list[NetworkInfo], free: set[str]) -> list[str]:
    """Those of the addresses that other machines use."""
    asked = to_ask(infos, free)
    if not asked:
        return []
    found: list[str] = effect(serving.current().driver(host).addresses_in_use, asked)
    return [
        allocation.ip_address
        for info in asked
        for allocation in info.network_allocations
        if allocation.ip_address in found
    ]


def to_ask(infos: list[NetworkInfo], free: Collection[str]) -> list[NetworkInfo]:
    """What the driver is asked about: where there can be machines of others, and not again about
    what it has found to be free."""
    return [
        structs.replace(info, network_allocations=new)
        for info in infos
        if info.subnet.network_type in _SHARED_WITH_MACHINES
        and (new := [each for each in info.network_allocations if each.ip_address not in free])
    ]
