"""Subnets on which the Linux back end sets up no share server."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from abaca.drivers.linux.unservable import refuse_unservable
from abaca.errors import Refused
from abaca.values import NetworkInfo, Subnet


def on(cidr: str) -> NetworkInfo:
    subnet = Subnet(
        neutron_net_id="net",
        neutron_subnet_id="subnet",
        cidr=cidr,
        ip_version=ip_network(cidr).version,
        gateway=None,
        mtu=1500,
    )
    return NetworkInfo(
        server_id="server", share_network_subnet_id="sns", subnet=subnet, network_allocations=[]
    )


@pytest.mark.parametrize(
    "cidr",
    [
        "169.254.1.0/24",
        "168.0.0.0/7",
        "126.0.0.0/7",
        "0.0.0.0/24",
        "192.0.0.0/2",
        "fe80::/64",
        "fe00::/8",
        "::ffff:10.0.0.0/120",
        "::/64",
    ],
)
def test_a_range_that_is_special_in_part_is_refused(cidr: str) -> None:
    with pytest.raises(Refused, match="it overlaps") as refused:
        refuse_unservable([on(cidr)])
    assert cidr in refused.value.message


@pytest.mark.parametrize("cidr", ["10.0.0.0/8", "126.0.0.0/8", "203.0.113.0/24", "fd00::/64"])
def test_others_are_served(cidr: str) -> None:
    refuse_unservable([on(cidr)])
