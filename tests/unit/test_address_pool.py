"""Address arithmetic: bounds, determinism, nothing given twice, nothing enumerated."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

import pytest

from abaca.addresses import Network
from abaca.errors import Conflict, Invalid
from abaca.networks.address_pool import (
    AddressPool,
    AddressRange,
    checked_ranges,
    default_ranges,
    first_host,
    last_host,
)
from tests.properties import given, st


@st.composite
def networks(draw: st.DrawFn, *, smallest: int = 2) -> Network:
    """A network of either family with at least `smallest` host bits."""
    if draw(st.booleans()):
        bits = draw(st.integers(smallest, 24))
        return IPv4Network((draw(st.integers(0, 2**32 - 1)) >> bits << bits, 32 - bits))
    bits = draw(st.integers(smallest, 80))
    return IPv6Network((draw(st.integers(0, 2**128 - 1)) >> bits << bits, 128 - bits))


def pool_of(network: Network) -> AddressPool:
    return AddressPool(default_ranges(network, first_host(network)))


@given(networks(), st.lists(st.text(max_size=8), unique=True, max_size=12))
def test_picked_addresses_are_hosts_and_differ(network: Network, keys: list[str]) -> None:
    pool = pool_of(network)
    picked = pool.pick(keys[: pool.size], [])
    assert len(set(picked)) == len(picked)
    for text in picked:
        assert int(first_host(network)) < int(ip_address(text)) <= int(last_host(network))
        assert text == str(ip_address(text))


@given(networks(), st.text(max_size=8))
def test_a_pick_depends_on_the_key_and_on_what_is_taken_only(network: Network, key: str) -> None:
    first = pool_of(network).pick([key], [])
    assert pool_of(network).pick([key], []) == first
    if pool_of(network).size > 1:
        assert pool_of(network).pick([key], first) != first


@given(st.integers(2, 8), st.booleans())
def test_every_address_can_be_given_and_no_more(bits: int, v6: bool) -> None:
    network = ip_network(f"fd00::/{128 - bits}" if v6 else f"10.0.0.0/{32 - bits}")
    pool = pool_of(network)
    keys = [str(number) for number in range(pool.size)]
    picked = pool.pick(keys, [])
    assert sorted(int(ip_address(text)) for text in picked) == list(
        range(int(first_host(network)) + 1, int(last_host(network)) + 1)
    )
    with pytest.raises(ValueError, match="is free"):
        pool.pick(["one more"], picked)


@given(networks(smallest=4), st.data())
def test_default_ranges_hold_all_hosts_but_the_gateway(
    network: Network, data: st.DataObject
) -> None:
    gateway = network.network_address + data.draw(
        st.integers(1, int(last_host(network)) - int(network.network_address))
    )
    ranges = default_ranges(network, gateway)
    hosts = int(last_host(network)) - int(first_host(network)) + 1
    assert AddressPool(ranges).size == hosts - 1
    assert not any(
        int(ip_address(item.start)) <= int(gateway) <= int(ip_address(item.end)) for item in ranges
    )
    assert AddressPool(default_ranges(network, None)).size == hosts
    assert checked_ranges(network, gateway, ranges[::-1]) == ranges


def test_sizes() -> None:
    assert pool_of(ip_network("10.0.0.0/29")).size == 5
    assert pool_of(ip_network("fd00::/64")).size == 2**64 - 2
    assert AddressPool([]).size == 0


def test_several_ranges_are_one_pool() -> None:
    pool = AddressPool(
        [
            AddressRange(start="10.0.0.2", end="10.0.0.3"),
            AddressRange(start="10.0.0.250", end="10.0.0.250"),
        ]
    )
    assert sorted(pool.pick(["a", "b", "c"], [])) == ["10.0.0.2", "10.0.0.250", "10.0.0.3"]


@pytest.mark.parametrize(
    ("family", "other"), [("10.0.{}.{}", "::a00:9"), ("fd00::{:x}:{:x}", "10.0.0.9")]
)
def test_what_is_free_is_counted_by_range_once_and_in_its_family(family: str, other: str) -> None:
    bounds = [(family.format(n, 1), family.format(n, 100)) for n in range(64)]
    pool = AddressPool([AddressRange(start=start, end=end) for start, end in bounds])
    taken = [family.format(n, host) for n in range(70) for host in (0, 1, 100, 101)]
    assert pool.free([*taken, *taken, other]) == 6400 - 128
    assert pool.free([]) == 6400 and AddressPool([]).free(taken) == 0


def test_addresses_taken_outside_of_the_pool_do_not_matter() -> None:
    pool = AddressPool([AddressRange(start="10.0.0.2", end="10.0.0.2")])
    assert pool.pick(["a"], ["10.0.0.3", "10.0.0.4"]) == ["10.0.0.2"]


@pytest.mark.parametrize(
    ("ranges", "error"),
    [
        ([("10.0.0.9", "10.0.0.8")], Invalid),
        ([("10.0.0.0", "10.0.0.8")], Invalid),
        ([("10.0.0.250", "10.0.0.255")], Invalid),
        ([("10.0.1.2", "10.0.1.3")], Invalid),
        ([("fd00::1", "fd00::2")], Invalid),
        ([("10.0.0.2", "x")], Invalid),
        ([("10.0.0.2", "10.0.0.9"), ("10.0.0.9", "10.0.0.12")], Conflict),
        ([("10.0.0.1", "10.0.0.9")], Conflict),
    ],
)
def test_ranges_that_make_no_sense(ranges: list[tuple[str, str]], error: type[Exception]) -> None:
    with pytest.raises(error):
        checked_ranges(
            ip_network("10.0.0.0/24"),
            ip_address("10.0.0.1"),
            [AddressRange(start=start, end=end) for start, end in ranges],
        )


@pytest.mark.parametrize("cidr", ["10.0.0.0/16", "fd00::/64"])
def test_a_large_subnet_with_much_taken(cidr: str) -> None:
    """The first is nearly full; the second would take for ever if it were enumerated."""
    network = ip_network(cidr)
    taken = [str(network.network_address + number) for number in range(2, 65534)]
    [picked] = pool_of(network).pick(["key"], taken)
    assert picked not in taken
    assert ip_address(picked) in network
