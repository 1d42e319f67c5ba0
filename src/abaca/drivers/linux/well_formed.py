"""Values from rows are what they should be, or refused: what the API checks can have been written
past it. Ids are checked in `layout.py`."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from abaca.addresses import Address, Network, plain_address, plain_network
from abaca.drivers.linux.layout import safe_id
from abaca.errors import Refused
from abaca.values import NetworkInfo, Subnet

MAC_PATTERN = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", re.IGNORECASE)
MTUS = range(68, 65536)
SEGMENTATION_IDS = range(2**24)


def refuse_malformed(network_info: Sequence[NetworkInfo]) -> None:
    """Raise Refused, naming the share network subnet, for an address, a range or a number that is
    none."""
    for info in network_info:
        try:
            # SQLite keeps text in columns of numbers
            msgspec.convert(msgspec.to_builtins(info), NetworkInfo)
            _require(info.subnet)
            for allocation in info.network_allocations:
                _require_version(plain_address(allocation.ip_address), info.subnet)
                if not MAC_PATTERN.fullmatch(allocation.mac_address):
                    raise ValueError(f"{allocation.mac_address!r} is not a MAC address")
        except (ValueError, msgspec.ValidationError) as error:
            raise Refused(
                f"share network subnet {info.share_network_subnet_id} cannot be served: {error}",
                is_public=True,
            ) from error


def _require(subnet: Subnet) -> None:
    _require_version(plain_network(subnet.cidr, strict=False), subnet)
    if subnet.gateway is not None:
        _require_version(plain_address(subnet.gateway), subnet)
    if subnet.mtu not in MTUS:
        raise ValueError(f"{subnet.mtu!r} is not an MTU")
    if subnet.segmentation_id is not None and subnet.segmentation_id not in SEGMENTATION_IDS:
        raise ValueError(f"{subnet.segmentation_id!r} is not a segmentation id")
    safe_id(subnet.neutron_net_id)


def _require_version(found: Address | Network, subnet: Subnet) -> None:
    if found.version != subnet.ip_version:
        raise ValueError(f"{found} is not of IPv{subnet.ip_version}")
