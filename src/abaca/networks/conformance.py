"""What every network plug-in must do, as tests: inherit `NetworkConformance` and give it a fixture
`network_lab`.

Needs pytest. Each test begins with a lab of its own, or with subnets of its own in a shared one.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from ipaddress import ip_address, ip_network
from typing import Protocol
from uuid import uuid4

import pytest

from abaca.errors import BackendError, NoSpace, Refused
from abaca.networks.interface import AllocationRequest, NetworkPlugin
from abaca.values import Subnet

PROJECT = "conformance"


class NetworkLab(Protocol):
    """A network plug-in and a way to make subnets that it knows."""

    @property
    def plugin(self) -> NetworkPlugin: ...

    def add_subnet(
        self, cidr: str, *, network_id: str | None = None, project_id: str = PROJECT
    ) -> Subnet:
        """A new subnet with the first host address as its gateway, on a new network unless one is
        named."""


def request(
    subnet: Subnet,
    *,
    count: int = 1,
    server_id: str | None = None,
    share_network_subnet_id: str | None = None,
    project_id: str = PROJECT,
) -> AllocationRequest:
    """A request on `subnet`, by a new share server and a new share network subnet unless they are
    named."""
    return AllocationRequest(
        server_id=server_id or str(uuid4()),
        share_network_subnet_id=share_network_subnet_id or str(uuid4()),
        neutron_net_id=subnet.neutron_net_id,
        neutron_subnet_id=subnet.neutron_subnet_id,
        count=count,
        project_id=project_id,
    )


class NetworkConformance:
    """The contract of `NetworkPlugin`."""

    @pytest.mark.parametrize("cidr", ["10.1.0.0/24", "fd00:1::/64"])
    def test_a_subnet_is_described(self, network_lab: NetworkLab, cidr: str) -> None:
        made = network_lab.add_subnet(cidr)
        found = network_lab.plugin.get_subnet(PROJECT, made.neutron_net_id, made.neutron_subnet_id)
        assert found == made
        assert found.cidr == cidr
        assert found.ip_version == ip_network(cidr).version
        assert found.gateway == str(ip_network(cidr).network_address + 1)
        assert found.mtu >= 1280

    def test_a_subnet_that_is_not_there_is_refused(self, network_lab: NetworkLab) -> None:
        made = network_lab.add_subnet("10.1.0.0/24")
        for network_id, subnet_id in (
            (made.neutron_net_id, str(uuid4())),
            (str(uuid4()), made.neutron_subnet_id),
            ("fake_net_id", "fake_subnet_id"),
            (None, None),
        ):
            with pytest.raises(Refused):
                network_lab.plugin.get_subnet(PROJECT, network_id, subnet_id)

    def test_another_projects_subnet_is_refused_as_if_it_were_not_there(
        self, network_lab: NetworkLab
    ) -> None:
        made = network_lab.add_subnet("10.1.0.0/24", project_id="another")
        with pytest.raises(Refused) as hidden:
            network_lab.plugin.get_subnet(PROJECT, made.neutron_net_id, made.neutron_subnet_id)
        absent = str(uuid4())
        with pytest.raises(Refused) as missing:
            network_lab.plugin.get_subnet(PROJECT, made.neutron_net_id, absent)
        assert hidden.value.message == missing.value.message.replace(absent, made.neutron_subnet_id)

    def test_the_owner_of_a_network_is_told_or_not_known(self, network_lab: NetworkLab) -> None:
        made = network_lab.add_subnet("10.1.0.0/24")
        other = network_lab.add_subnet("10.2.0.0/24", project_id="another")
        owners = [network_lab.plugin.owner(each.neutron_net_id) for each in (made, other)]
        assert owners in ([PROJECT, "another"], [None, None])
        with suppress(BackendError):  # it may say that there is no such network
            assert network_lab.plugin.owner(str(uuid4())) is None

    @pytest.mark.parametrize("cidr", ["10.1.0.0/28", "fd00:1::/64"])
    def test_addresses_are_host_addresses_of_the_subnet(
        self, network_lab: NetworkLab, cidr: str
    ) -> None:
        subnet = network_lab.add_subnet(cidr)
        network = ip_network(cidr)
        [given] = network_lab.plugin.allocate([request(subnet, count=13)])
        addresses = [ip_address(item.ip_address) for item in given]
        assert len(set(addresses)) == 13
        assert all(address in network for address in addresses)
        assert not {
            network.network_address,
            network.network_address + 1,
            network.broadcast_address,
        } & set(addresses)
        assert len({item.mac_address for item in given}) == 13
        assert len({item.id for item in given}) == 13
        assert all(int(item.mac_address[:2], 16) & 0x01 == 0 for item in given), "a multicast MAC"

    def test_a_repeated_request_gives_the_same(self, network_lab: NetworkLab) -> None:
        v4 = network_lab.add_subnet("10.1.0.0/24")
        v6 = network_lab.add_subnet("fd00:1::/64", network_id=v4.neutron_net_id)
        server_id = str(uuid4())
        both = [request(v4, count=2, server_id=server_id), request(v6, server_id=server_id)]
        first = network_lab.plugin.allocate(both)
        assert network_lab.plugin.allocate(both) == first
        assert network_lab.plugin.allocate(both[::-1]) == first[::-1]
        assert [len(given) for given in first] == [2, 1]

    def test_a_larger_request_adds_to_what_is_there(self, network_lab: NetworkLab) -> None:
        small = request(network_lab.add_subnet("10.1.0.0/24"), count=1)
        [first] = network_lab.plugin.allocate([small])
        [more] = network_lab.plugin.allocate([request_like(small, count=3)])
        assert more[:1] == first
        assert len({item.ip_address for item in more}) == 3

    def test_the_same_subnet_twice_means_different_addresses(self, network_lab: NetworkLab) -> None:
        subnet = network_lab.add_subnet("10.1.0.0/24")
        server_id = str(uuid4())
        [[one], [two]] = network_lab.plugin.allocate(
            [request(subnet, server_id=server_id), request(subnet, server_id=server_id)]
        )
        assert one.ip_address != two.ip_address

    def test_all_or_none(self, network_lab: NetworkLab) -> None:
        roomy, tight = network_lab.add_subnet("10.1.0.0/24"), network_lab.add_subnet("10.2.0.0/30")
        before = network_lab.plugin.free_addresses(roomy)
        server_id = str(uuid4())
        with pytest.raises(NoSpace) as error:
            network_lab.plugin.allocate(
                [
                    request(roomy, count=2, server_id=server_id),
                    request(tight, count=2, server_id=server_id),
                ]
            )
        assert network_lab.plugin.free_addresses(roomy) == before
        assert "10.2.0.0/30" in error.value.message and "2" in error.value.message

    def test_an_unknown_subnet_refuses_the_whole(self, network_lab: NetworkLab) -> None:
        subnet = network_lab.add_subnet("10.1.0.0/24")
        before = network_lab.plugin.free_addresses(subnet)
        with pytest.raises(Refused):
            network_lab.plugin.allocate(
                [request(subnet), request_like(request(subnet), neutron_subnet_id=str(uuid4()))]
            )
        assert network_lab.plugin.free_addresses(subnet) == before

    def test_a_full_subnet_gives_again_what_came_back(self, network_lab: NetworkLab) -> None:
        subnet = network_lab.add_subnet("10.1.0.0/29")
        servers = [request(subnet) for _ in range(5)]
        given = [network_lab.plugin.allocate([one])[0][0].ip_address for one in servers]
        assert len(set(given)) == 5
        with pytest.raises(NoSpace):
            network_lab.plugin.allocate([request(subnet)])
        network_lab.plugin.release(servers[2].server_id)
        assert network_lab.plugin.allocate([request(subnet)])[0][0].ip_address == given[2]

    def test_release_of_one_subnet_leaves_the_others(self, network_lab: NetworkLab) -> None:
        subnet = network_lab.add_subnet("10.1.0.0/24")
        server_id = str(uuid4())
        kept, gone = request(subnet, server_id=server_id), request(subnet, server_id=server_id)
        first = network_lab.plugin.allocate([kept, gone])
        network_lab.plugin.release(server_id, [gone.share_network_subnet_id])
        assert network_lab.plugin.allocate([kept]) == first[:1]

    def test_release_gives_every_address_back_and_may_be_repeated(
        self, network_lab: NetworkLab
    ) -> None:
        subnet = network_lab.add_subnet("10.1.0.0/24")
        before = network_lab.plugin.free_addresses(subnet)
        mine, other = request(subnet, count=3), request(subnet)
        network_lab.plugin.allocate([mine])
        others = network_lab.plugin.allocate([other])
        for _ in range(2):
            network_lab.plugin.release(mine.server_id)
        assert network_lab.plugin.allocate([other]) == others
        network_lab.plugin.release(other.server_id)
        assert network_lab.plugin.free_addresses(subnet) == before
        network_lab.plugin.release(str(uuid4()), [str(uuid4())])
        network_lab.plugin.release(str(uuid4()), [])

    def test_addresses_that_other_machines_use_are_taken_back(
        self, network_lab: NetworkLab
    ) -> None:
        """From that server only, and with nothing else of its; again after a crash."""
        plugin, subnet = network_lab.plugin, network_lab.add_subnet("10.1.0.0/24")
        v6 = network_lab.add_subnet("fd00:1::/64", network_id=subnet.neutron_net_id)
        server_id = str(uuid4())
        mine = [request(subnet, count=2, server_id=server_id), request(v6, server_id=server_id)]
        others = request(subnet)
        [[one, two], [three]] = plugin.allocate(mine)
        [[anothers]] = plugin.allocate([others])
        try:
            for _ in range(2):
                plugin.set_aside(server_id, [one.ip_address, anothers.ip_address])
        except Refused as refusal:
            pytest.skip(refusal.message)
        [given, [same]] = plugin.allocate(mine)
        assert (given[1], same) == (two, three)
        assert given[0].ip_address not in (two.ip_address, anothers.ip_address)
        assert plugin.allocate([others]) == [[anothers]]
        plugin.set_aside(str(uuid4()), [two.ip_address])
        assert plugin.allocate(mine) == [given, [same]]
        plugin.release(server_id)
        plugin.set_aside(server_id, [two.ip_address])
        assert len(plugin.allocate(mine)[0]) == 2

    @pytest.mark.parametrize(("cidr", "free", "wrong"), [
        ("10.1.0.0/24", "10.1.0.77",
         ["10.1.0.0", "10.1.0.1", "10.1.0.255", "10.2.0.7", "fd00:1::7"]),
        ("fd00:1::/64", "fd00:1::77", ["fd00:1::", "fd00:1::1", "fd00:2::7", "10.1.0.7"]),
    ])  # fmt: skip
    def test_addresses_of_a_managed_server_are_taken_over(
        self, network_lab: NetworkLab, cidr: str, free: str, wrong: list[str]
    ) -> None:
        """Through another share network subnet than before. One that nobody has is its own from now
        on, another's is not."""
        plugin, subnet, server_id = network_lab.plugin, network_lab.add_subnet(cidr), str(uuid4())
        [[own]] = plugin.allocate([request(subnet, server_id=server_id)])
        [[anothers]] = plugin.allocate([request(subnet)])
        later = request(subnet, count=2, server_id=server_id)
        try:
            kept = plugin.take_over(later, [own.ip_address, free])
        except Refused as refusal:
            pytest.skip(refusal.message)
        assert (kept[0], kept[1].ip_address) == (own, free)
        assert plugin.take_over(later, [own.ip_address, free]) == kept
        assert plugin.allocate([later]) == [kept]
        stranger = request(subnet)
        for address in (anothers.ip_address, free, *wrong):
            with pytest.raises(Refused):
                plugin.take_over(stranger, [address])
        before = plugin.free_addresses(subnet)
        plugin.release(server_id)
        assert before is None or plugin.free_addresses(subnet) == before + 2

    @pytest.mark.parametrize(("cidr", "size"), [("10.1.0.0/29", 5), ("fd00:1::/64", 2**64 - 2)])
    def test_free_addresses_are_counted(
        self, network_lab: NetworkLab, cidr: str, size: int
    ) -> None:
        subnet = network_lab.add_subnet(cidr)
        free = network_lab.plugin.free_addresses(subnet)
        if free is None:
            pytest.skip("this plug-in cannot know")
        network_lab.plugin.allocate([request(subnet, count=3)])
        assert (free, network_lab.plugin.free_addresses(subnet)) == (size, size - 3)

    def test_no_address_is_given_twice_at_once(self, network_lab: NetworkLab) -> None:
        subnet = network_lab.add_subnet("10.1.0.0/27")  # room for 29
        with ThreadPoolExecutor(8) as threads:
            outcomes = list(
                threads.map(
                    lambda one: outcome(network_lab.plugin, one),
                    [request(subnet, count=2) for _ in range(20)],
                )
            )
        addresses = [address for given in outcomes if given for address in given]
        assert len(addresses) == len(set(addresses)) == 28
        assert outcomes.count(None) == 6

    def test_the_same_request_at_once_gives_the_same(self, network_lab: NetworkLab) -> None:
        one = request(network_lab.add_subnet("10.1.0.0/27"), count=2)
        with ThreadPoolExecutor(8) as threads:
            outcomes = list(threads.map(lambda _: outcome(network_lab.plugin, one), range(8)))
        assert outcomes == [outcomes[0]] * 8
        assert outcomes[0] is not None

    def test_requests_for_several_subnets_in_any_order_do_not_lock_each_other_out(
        self, network_lab: NetworkLab
    ) -> None:
        subnets = [network_lab.add_subnet("10.1.0.0/24"), network_lab.add_subnet("fd00:1::/64")]
        orders = [subnets, subnets[::-1]] * 8
        with ThreadPoolExecutor(8) as threads:
            given = list(
                threads.map(
                    lambda order: network_lab.plugin.allocate(
                        [request(subnet) for subnet in order]
                    ),
                    orders,
                )
            )
        assert len({item.ip_address for batch in given for items in batch for item in items}) == 32


def request_like(
    original: AllocationRequest, *, count: int | None = None, neutron_subnet_id: str | None = None
) -> AllocationRequest:
    """`original` with another count or subnet."""
    return AllocationRequest(
        server_id=original.server_id,
        share_network_subnet_id=original.share_network_subnet_id,
        neutron_net_id=original.neutron_net_id,
        neutron_subnet_id=neutron_subnet_id or original.neutron_subnet_id,
        count=count or original.count,
        project_id=original.project_id,
    )


def outcome(plugin: NetworkPlugin, one: AllocationRequest) -> list[str] | None:
    """The addresses given, None when there was no space."""
    try:
        [given] = plugin.allocate([one])
    except NoSpace:
        return None
    return [item.ip_address for item in given]
