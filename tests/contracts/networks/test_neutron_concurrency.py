"""Many share servers' addresses at once, from a Neutron on MariaDB that several threads serve: none
twice, none left, whatever gets lost.

Takes more than three minutes, in most of which Neutron tries by itself to do the same twice: `make
neutron-load` runs it, `make test` does not.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar
from uuid import uuid4

import pytest

from abaca.errors import OutcomeUnknown, Refused, Unavailable
from abaca.networks import registry
from abaca.networks.conformance import PROJECT, request
from abaca.networks.fake import MemoryPorts
from abaca.networks.interface import AllocationRequest, NetworkPlugin
from abaca.values import NetworkAllocation, Subnet
from tests.openstack import mariadb as mariadb_module
from tests.openstack.keystone import Keystone
from tests.openstack.lab import NeutronLab
from tests.openstack.mariadb import Mariadb
from tests.openstack.neutron import NeutronOnMariadb
from tests.openstack.proxy import Fault, Proxy

pytestmark = [
    pytest.mark.slow("a Neutron on MariaDB"),
    pytest.mark.timeout(900),  # the first one starts Keystone, MariaDB and Neutron
    pytest.mark.skipif(
        "ABACA_NEUTRON_LOAD" not in os.environ,
        reason="takes more than three minutes: make neutron-load runs it",
    ),
]

API_THREADS, CALLERS = 6, 12
SERVERS, ASKED_FOR_TWICE, SERVERS_IN_TROUBLE = 50, 5, 12
ATTEMPTS = 12
# a request that is given up may be carried out after everything was released: see
# reconcile/late_addresses.py
PATIENCE_SECONDS = 300
Given = list[list[NetworkAllocation]]
Item = TypeVar("Item")
Result = TypeVar("Result")


@pytest.fixture(scope="module")
def busy_neutron(
    keystone: Keystone, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NeutronOnMariadb]:
    if reason := mariadb_module.missing():
        pytest.skip(reason)
    database = Mariadb()
    try:
        database.start()
        neutron = NeutronOnMariadb(
            database.url, tmp_path_factory.mktemp("busy") / "neutron", keystone, API_THREADS
        )
        try:
            neutron.start()
            yield neutron
        finally:
            neutron.stop()
    finally:
        database.stop()


@pytest.fixture(scope="module")
def lab(keystone: Keystone, busy_neutron: NeutronOnMariadb) -> NeutronLab:
    return NeutronLab(keystone, busy_neutron.url, timeout=PATIENCE_SECONDS)


@pytest.fixture
def subnets(lab: NeutronLab) -> list[Subnet]:
    """Of one network, with room for the servers and little more."""
    network_id = lab.network()
    return [lab.add_subnet(cidr, network_id=network_id) for cidr in ("10.1.0.0/26", "fd00:1::/64")]


def at_once(act: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    with ThreadPoolExecutor(CALLERS) as threads:
        return list(threads.map(act, items))


def requests_of(subnets: Sequence[Subnet]) -> list[AllocationRequest]:
    """One server's, on each of the subnets."""
    server_id = str(uuid4())
    return [request(subnet, server_id=server_id) for subnet in subnets]


def assert_exactly(lab: NeutronLab, subnets: Sequence[Subnet], given: Sequence[Given]) -> None:
    """Neutron's ports on the network are what was given, and no address was given twice."""
    allocations = [allocation for server in given for place in server for allocation in place]
    assert len({allocation.ip_address for allocation in allocations}) == len(allocations)
    assert sorted(port["id"] for port in lab.ports(subnets[0].neutron_net_id)) == sorted(
        allocation.id for allocation in allocations
    )


def test_fifty_servers_at_once_and_some_of_them_asked_for_twice(
    lab: NeutronLab, subnets: list[Subnet]
) -> None:
    """For some, a second worker thinks the first one dead and asks for the same at the same
    time."""
    servers = [requests_of(subnets[:1]) for _ in range(SERVERS)]
    twice = [server for server in servers[:ASKED_FOR_TWICE] for _ in range(2)]
    given = at_once(
        lambda server: persistently(lab.plugin, server), [*twice, *servers[ASKED_FOR_TWICE:]]
    )
    again, others = given[: len(twice)], given[len(twice) :]
    assert again[::2] == again[1::2]
    whole = [server for server in [*again[::2], *others] if server is not None]
    assert len(whole) == SERVERS
    assert_exactly(lab, subnets, whole)
    at_once(
        lambda server: until_released(lab.plugin, server[0].server_id),
        [*twice, *servers[ASKED_FOR_TWICE:]],
    )
    assert lab.ports(subnets[0].neutron_net_id) == []


def test_nothing_is_twice_or_left_when_answers_get_lost_meanwhile(
    lab: NeutronLab, subnets: list[Subnet], busy_neutron: NeutronOnMariadb
) -> None:
    faults = [
        Fault("POST", done, status)
        for done, status in (
            (True, None),
            (False, None),
            (True, 500),
            (False, 500),
            (True, 502),
            (False, 429),
            (False, 409),
        )
        for _ in range(2)
    ]
    random.Random(7).shuffle(faults)
    servers = [requests_of(subnets) for _ in range(SERVERS_IN_TROUBLE)]
    with Proxy(busy_neutron.port).running() as proxy:
        plugin = registry.load(
            "neutron",
            lab.options | {"endpoint_override": proxy.url, "timeout": str(PATIENCE_SECONDS)},
            MemoryPorts(),
        )
        # what openstacksdk asks first is over
        plugin.get_subnet(PROJECT, subnets[0].neutron_net_id, subnets[0].neutron_subnet_id)
        proxy.faults = list(faults)
        given = at_once(lambda server: persistently(plugin, server), servers)
        assert proxy.faults == []
        assert_exactly(lab, subnets, [server for server in given if server is not None])
        assert given.count(None) <= 2, "each 409 ends one server, and nothing else does"
        proxy.faults = [
            Fault("DELETE", done, status)
            for done, status in ((True, None), (False, 500), (True, 500))
        ]
        at_once(lambda server: until_released(plugin, server[0].server_id), servers)
    assert lab.ports(subnets[0].neutron_net_id) == []


def persistently(plugin: NetworkPlugin, server: list[AllocationRequest]) -> Given | None:
    """As operations do: look and ask again when that helps; when it is refused, give back what
    there may be. None then."""
    for _ in range(ATTEMPTS):
        try:
            return plugin.allocate(server)
        except (Unavailable, OutcomeUnknown):
            continue
        except Refused:
            until_released(plugin, server[0].server_id)
            return None
    raise AssertionError(f"not within {ATTEMPTS} attempts")


def until_released(plugin: NetworkPlugin, server_id: str) -> None:
    for _ in range(ATTEMPTS):
        try:
            plugin.release(server_id)
        except (Unavailable, OutcomeUnknown):
            continue
        return
    raise AssertionError(f"not within {ATTEMPTS} attempts")
