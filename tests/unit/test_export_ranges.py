"""What of an access rule holds where a share is exported on chosen subnets."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from abaca.drivers.export_ranges import granted
from abaca.errors import Refused
from abaca.values import ExportChoice, NetworkInfo, Subnet

CIDRS = {"a": "10.1.0.0/24", "b": "10.2.0.0/24", "c": "fd00:c::/64", "d": "10.1.0.0/24"}
SERVER = [
    NetworkInfo(
        server_id="s",
        share_network_subnet_id=id_,
        subnet=Subnet(
            neutron_net_id="n",
            neutron_subnet_id=id_,
            cidr=cidr,
            ip_version=6 if ":" in cidr else 4,
        ),
        network_allocations=[],
    )
    for id_, cidr in CIDRS.items()
]
ONLY_A = ExportChoice(share_network_subnet_ids=["a"])
ONLY_C = ExportChoice(share_network_subnet_ids=["c"])
IPV4, IPV6 = ExportChoice(ip_version=4), ExportChoice(ip_version=6)


@pytest.mark.parametrize(
    ("rule", "choice", "parts"),
    [
        ("0.0.0.0/0", ExportChoice(), ["0.0.0.0/0"]),
        ("0.0.0.0/0", ONLY_A, ["10.1.0.0/24"]),
        ("10.0.0.0/8", ONLY_A, ["10.1.0.0/24"]),
        ("10.1.0.7/32", ONLY_A, ["10.1.0.7/32"]),
        ("10.1.0.128/25", ONLY_A, ["10.1.0.128/25"]),
        ("10.0.0.0/8", IPV4, ["10.1.0.0/24", "10.2.0.0/24"]),
        ("::/0", IPV6, ["fd00:c::/64"]),
        ("fd00:c::9/128", ONLY_C, ["fd00:c::9/128"]),
        # clients behind routers: by a rule that touches no range of the server's subnets
        ("192.0.2.0/24", ONLY_A, ["192.0.2.0/24"]),
        ("2001:db8::/32", IPV6, ["2001:db8::/32"]),
    ],
)
def test_a_rule_grants_its_part_of_the_chosen_ranges(
    rule: str, choice: ExportChoice, parts: list[str]
) -> None:
    assert [str(part) for part in granted(ip_network(rule), choice, SERVER)] == parts


@pytest.mark.parametrize(
    ("rule", "choice", "reason"),
    [
        ("10.2.0.0/24", ONLY_A, "not exported; it is on 10.1.0.0/24"),
        ("10.2.0.9/32", ONLY_A, "not exported; it is on 10.1.0.0/24"),
        ("::/0", ONLY_A, "on no IPv6 subnet"),
        ("2001:db8::/32", IPV4, "on no IPv6 subnet"),
        ("0.0.0.0/0", ONLY_C, "on no IPv4 subnet"),
        ("10.1.0.0/24", ExportChoice(share_network_subnet_ids=["gone"]), "on no IPv4 subnet"),
        ("10.1.0.0/24", ExportChoice(share_network_subnet_ids=[]), "on no IPv4 subnet"),
    ],
)
def test_one_that_grants_nothing_says_why(rule: str, choice: ExportChoice, reason: str) -> None:
    with pytest.raises(Refused) as refusal:
        granted(ip_network(rule), choice, SERVER)
    assert reason in refusal.value.message and refusal.value.is_public
