"""Which sets of subnets one share server cannot be on, and why. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_network
from itertools import combinations

from abaca.addresses import special_part
from abaca.errors import Refused
from abaca.values import NetworkInfo, Subnet

SMALLEST_IPV6_MTU = 1280


def refuse_unservable(network_info: Sequence[NetworkInfo]) -> None:
    """Raise Refused, naming the subnets, when a server on all of these could not answer all its
    clients. Allocations may be absent yet."""
    for info in network_info:
        _refuse_alone(info.subnet)
    for one, other in combinations(network_info, 2):
        _refuse_overlap(one.subnet, other.subnet)
    owners: dict[str, str] = {}
    for info in network_info:
        for allocation in info.network_allocations:
            if owners.setdefault(allocation.ip_address, allocation.id) != allocation.id:
                raise Refused(
                    f"address {allocation.ip_address} is given twice to the share server",
                    is_public=True,
                )


def _refuse_alone(subnet: Subnet) -> None:
    special = special_part(ip_network(subnet.cidr, strict=False))
    if special is not None:
        raise Refused(
            f"subnet {subnet.cidr} is not a range for hosts: it overlaps {special}",
            is_public=True,
        )
    if subnet.ip_version == 6 and subnet.mtu < SMALLEST_IPV6_MTU:
        raise Refused(
            f"subnet {subnet.cidr} has MTU {subnet.mtu}, IPv6 needs {SMALLEST_IPV6_MTU}",
            is_public=True,
        )


def _refuse_overlap(one: Subnet, other: Subnet) -> None:
    # On one network the same range is the same clients. On two networks a client can have the
    # address that the server itself has on the other one (the kernel drops what comes from an own
    # address), and access rules could not tell them apart.
    if one.neutron_net_id == other.neutron_net_id or one.ip_version != other.ip_version:
        return
    if ip_network(one.cidr, strict=False).overlaps(ip_network(other.cidr, strict=False)):
        raise Refused(
            f"subnet {other.cidr} of network {other.neutron_net_id} overlaps subnet {one.cidr} of "
            f"network {one.neutron_net_id}, "
            "and one share server cannot serve both",
            is_public=True,
        )
