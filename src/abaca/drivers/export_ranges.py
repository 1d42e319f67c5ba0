"""What of an access rule holds for a share that is exported on chosen subnets of its server. Pure.

Clients are told apart by their addresses, so a rule grants what of it lies in the ranges of the
chosen subnets. Clients behind routers have addresses of other ranges: they need a rule of their
own, one that touches no range of the server's subnets.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_network

from abaca.addresses import Network
from abaca.errors import Refused
from abaca.values import ExportChoice, NetworkInfo, ShareServer


def granted(
    rule: Network, choice: ExportChoice, network_info: Sequence[NetworkInfo]
) -> list[Network]:
    """The parts of a rule's prefix that it grants, ascending; all of it where nothing was chosen.
    `network_info`: all networks of the share's server. Raises Refused when it grants nothing."""
    if choice.is_free:
        return [rule]
    chosen = _ranges(choice.of(network_info), rule.version)
    if not chosen:
        raise Refused(
            f"'{rule}': the share is exported on no IPv{rule.version} subnet", is_public=True
        )
    if not any(rule.overlaps(each) for each in _ranges(network_info, rule.version)):
        return [rule]
    # of two prefixes that overlap, one holds the other
    parts = {max(rule, each, key=_length) for each in chosen if rule.overlaps(each)}
    if not parts:
        raise Refused(
            f"'{rule}' is on a subnet on which the share is not exported; it is on "
            f"{', '.join(map(str, chosen))}",
            is_public=True,
        )
    return sorted(parts)


def exported_on(choice: ExportChoice, server: ShareServer) -> list[NetworkInfo]:
    """The networks of a server on which a share with this choice is exported. Raises Refused if
    there are none."""
    chosen = choice.of(server.network_info)
    if not chosen:
        raise Refused(
            "The share server is on none of the subnets that were chosen for the exports of the "
            "share.",
            is_public=True,
        )
    return chosen


def _ranges(network_info: Sequence[NetworkInfo], version: int) -> list[Network]:
    return sorted(
        {
            ip_network(info.subnet.cidr, strict=False)
            for info in network_info
            if info.subnet.ip_version == version
        }
    )


def _length(network: Network) -> int:
    return network.prefixlen
