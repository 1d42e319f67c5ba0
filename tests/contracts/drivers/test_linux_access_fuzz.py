"""Random access rules against random clients: what Abaca says is allowed is what a client can do
with the real NFS server.

The model here is the contract: of the rules that are not refused and hold the client's address, the
longest prefix decides, and `ro` before `rw`. `ABACA_FUZZ_EXAMPLES` says how many sets of rules are
tried.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

import pytest

from abaca.drivers.linux.driver import LinuxDriver
from abaca.values import AccessRule
from tests.contracts.drivers.linux_site import Site, access_of, path, rule
from tests.properties import drawn, given, st
from tests.sample import FACTOR

pytestmark = [pytest.mark.root, pytest.mark.timeout(600)]

EXAMPLES = int(os.environ.get("ABACA_FUZZ_EXAMPLES", 20 * FACTOR))
SERVER = ("10.0.0.5/8", "fd00::5/16")
CLIENTS = (
    ("10.0.0.20", "fd00::a5:20"),
    ("10.0.0.21", "fd00::a5:21"),
    ("10.77.128.1", "fd00:77:8000::1"),
    ("10.255.255.254", "fd00:ffff:ffff:ffff:ffff:ffff:ffff:fffe"),
)
ADDRESSES = [ip_address(address) for pair in CLIENTS for address in pair]


@st.composite
def prefixes(draw: st.DrawFn) -> str:
    """Of any length: around a client, just beside it, or anywhere. Host bits may be set."""
    near: IPv4Address | IPv6Address = draw(st.sampled_from(ADDRESSES))
    bits = near.max_prefixlen
    number = int(near)
    how = draw(st.sampled_from(("around", "beside", "anywhere")))
    if how == "beside":
        number ^= 1 << draw(st.integers(0, bits - 1))
    elif how == "anywhere":
        number = draw(st.integers(0, 2**bits - 1))
    usual = [length for length in (0, 1, 8, 24, 31, 64, 99, 120, 127) if length < bits]
    length = draw(st.one_of(st.just(bits), st.integers(0, bits), st.sampled_from(usual)))
    return f"{type(near)(number)}/{length}"


RULES = st.lists(
    st.tuples(prefixes(), st.sampled_from(("rw", "ro"))), max_size=7, unique_by=lambda each: each[0]
)


def is_enforceable(access_to: str) -> bool:
    """What the administrator guide says of this back end."""
    network = ip_network(access_to, strict=False)
    is_mapped = isinstance(network, IPv6Network) and network.subnet_of(IPv6Network("::ffff:0:0/96"))
    is_nobody = network.num_addresses == 1 and network.network_address.is_unspecified
    return not (is_mapped or is_nobody or (network.version == 6 and 100 <= network.prefixlen < 120))


def expected(client: IPv4Address | IPv6Address, rules: Sequence[AccessRule]) -> str:
    networks = [
        (ip_network(rule.access_to, strict=False), rule.access_level)
        for rule in rules
        if is_enforceable(rule.access_to)
    ]
    matching = [(network.prefixlen, level) for network, level in networks if client in network]
    longest = max((length for length, _ in matching), default=None)
    return min((level for length, level in matching if length == longest), default="none")


def test_what_is_allowed_is_what_clients_can_do(linux_driver: LinuxDriver) -> None:
    site = Site(linux_driver)
    try:
        _compare(site)
    finally:
        site.clear()


def _compare(site: Site) -> None:
    server = site.server(("net", SERVER[0]), ("net", SERVER[1]))
    share = site.share(server, rules=[])
    doors = []
    for number, (four, six) in enumerate(CLIENTS):
        netns = site.client(f"c{number}", "net", f"{four}/8", f"{six}/16")
        doors += [
            (netns, ip_address(four), path(share, 0)),
            (netns, ip_address(six), path(share, 1)),
        ]

    @drawn(EXAMPLES, "access rules")
    @given(RULES)
    def compare(wanted: list[tuple[str, str]]) -> None:
        rules = [rule(access_to, level) for access_to, level in wanted]
        refused = site.driver.update_access(share, rules, server)
        assert set(refused) == {each.id for each in rules if not is_enforceable(each.access_to)}
        found = {str(address): access_of(netns, location) for netns, address, location in doors}
        assert found == {str(address): expected(address, rules) for _, address, _ in doors}, wanted
        granted.update(found.values())

    granted: set[str] = set()
    compare()
    assert granted == {"rw", "ro", "none"}, "the examples tell something"
