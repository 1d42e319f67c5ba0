"""Share servers whose addresses are ports of a real Neutron: none is made twice and none stays
behind, whatever becomes of a request."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest

from abaca.domain.services import services
from abaca.domain.share_networks import share_network_subnets, share_networks
from abaca.errors import Conflict
from abaca.reconcile import late_addresses
from abaca.workflow import queue
from tests.openstack.lab import NeutronLab
from tests.openstack.neutron import Neutron
from tests.openstack.proxy import Fault, Proxy
from tests.operations.conftest import Install
from tests.operations.scene import available_share, delete_share, server, server_of, share, told
from tests.stack import MEMBER, Stack, WorkerProcess, wait_for

# the first one starts Keystone and Neutron
pytestmark = [
    pytest.mark.sampled_file(8),
    pytest.mark.slow("a real Neutron, which serves one request at a time"),
    pytest.mark.timeout(300),
]

PROJECT = MEMBER.project_id
SECONDS = 60  # of one share's life; Neutron serves one request at a time
SETTINGS: dict[str, object] = {
    "enabled_share_backends": ["alpha"],
    "network_plugin": "neutron",
    "worker.retry_seconds": 10.0,
}


@pytest.fixture
def proxy(neutron: Neutron) -> Iterator[Proxy]:
    with Proxy(neutron.port).running() as made:
        yield made


@pytest.fixture
def backends(neutron_lab: NeutronLab, proxy: Proxy) -> dict[str, dict[str, str]]:
    """One back end, and the section of the network plug-in, which is beside it."""
    return {
        "alpha": {},
        "neutron": neutron_lab.options | {"endpoint_override": proxy.url, "timeout": "20"},
    }


@pytest.fixture
def idle(install: Install, backends: dict[str, dict[str, str]]) -> Stack:
    """An installation on Neutron without a running worker."""
    return install(backends, **SETTINGS)


@pytest.fixture
def stack(idle: Stack) -> Iterator[Stack]:
    with idle.working():
        yield idle


class Nets:
    """Subnets of MEMBER's project on one network, and the ports there."""

    def __init__(self, lab: NeutronLab) -> None:
        self._lab = lab
        self.network_id = lab.network(PROJECT)

    def subnet(self, cidr: str) -> tuple[str, str]:
        return self.network_id, self._lab.subnet_on(self.network_id, cidr, PROJECT)

    def foreign_port(self) -> str:
        """A port such as another installation's, whose share server nobody knows here; its
        address."""
        names = {
            "device_id": str(uuid4()),
            "device_owner": "manila:share",
            "name": f"abaca-{uuid4()}-0",
        }
        return str(
            self._lab.made("port", network_id=self.network_id, **names)["fixed_ips"][0][
                "ip_address"
            ]
        )

    def addresses(self) -> list[str]:
        return sorted(
            fixed["ip_address"]
            for port in self._lab.ports(self.network_id)
            for fixed in port["fixed_ips"]
        )


@pytest.fixture
def nets(neutron_lab: NeutronLab) -> Nets:
    return Nets(neutron_lab)


def settled(stack: Stack, share_id: str) -> str:
    wait_for(lambda: stack.settled_share(share_id), SECONDS)
    return stack.settled_share(share_id)


def is_resolved(stack: Stack, share_network_id: str) -> bool:
    """Whether each of its subnets has been read from Neutron."""
    return all(
        subnet["cidr"] for subnet in stack.ask(share_network_subnets.find, MEMBER, share_network_id)
    )


def no_ports(nets: Nets) -> bool:
    return nets.addresses() == []


def test_from_two_families_over_an_addition_in_use_to_nothing(stack: Stack, nets: Nets) -> None:
    share_network = stack.share_network(nets.subnet("10.1.0.0/24"), nets.subnet("fd00:1::/64"))
    share_id = stack.share(share_network)
    assert settled(stack, share_id) == "available"
    assert len(nets.addresses()) == 2
    added = stack.add_subnet(share_network, nets.subnet("10.2.0.0/24"))
    assert stack.settled_network(share_network) == "active"
    assert len(stack.paths(share_id)) == len(nets.addresses()) == 3
    (port, *_) = [
        port
        for port in nets._lab.ports(nets.network_id)
        if port["name"].startswith(f"abaca-{added['id']}-")
    ]
    assert (port["device_id"], port["project_id"]) == (server_of(stack, share_id), PROJECT)
    shown = [
        subnet
        for subnet in stack.ask(share_network_subnets.find, MEMBER, share_network)
        if subnet["id"] == added["id"]
    ]
    assert [
        (subnet["cidr"], subnet["ip_version"], subnet["gateway"], subnet["mtu"]) for subnet in shown
    ] == [("10.2.0.0/24", 4, "10.2.0.1", 1500)]
    assert shown[0]["network_type"] in ("vlan", "vxlan") and shown[0]["segmentation_id"] >= 100
    delete_share(stack, share_id)
    for subnet in stack.ask(share_network_subnets.find, MEMBER, share_network)[:-1]:
        stack.do(share_network_subnets.delete, MEMBER, share_network, subnet["id"])
    stack.do(share_networks.delete, MEMBER, share_network)
    wait_for(lambda: no_ports(nets), SECONDS)


@pytest.mark.parametrize(
    "faults",
    [
        [Fault("POST", done=True)],
        [Fault("POST", done=False), Fault("POST", done=True, status=502)],
        [Fault("POST", done=False, status=429)],
        [Fault("GET", done=True, status=500), Fault("POST", done=True, status=500)],
    ],
    ids=str,
)
def test_work_goes_on_after_answers_that_are_lost(
    stack: Stack, nets: Nets, proxy: Proxy, faults: list[Fault]
) -> None:
    share_network = stack.share_network(nets.subnet("10.1.0.0/24"))
    proxy.faults = list(faults)
    share_id = stack.share(share_network)
    assert settled(stack, share_id) == "available"
    assert proxy.faults == []
    assert [path.partition(":")[0] for path in stack.paths(share_id)] == nets.addresses()


@pytest.mark.parametrize("done", [False, True])
def test_a_server_that_is_given_up_leaves_no_port(
    install: Install, backends: dict[str, dict[str, str]], nets: Nets, proxy: Proxy, done: bool
) -> None:
    stack = install(backends, **SETTINGS | {"worker.retry_seconds": 0.2})
    with stack.working():
        share_network = stack.share_network(nets.subnet("10.1.0.0/24"))
        stack.wait(lambda conn: share_network_subnets.find(conn, MEMBER, share_network)[0]["cidr"])
        proxy.faults = [Fault("POST", done=done, status=503) for _ in range(50)]
        share_id = stack.share(share_network)
        if settled(stack, share_id) == "error":
            assert "network service" in told(stack)[-1]
        else:
            assert done  # a second look was in time, and found what the first request had made
        proxy.faults = []
        delete_share(stack, share_id)
        stack.do(share_networks.delete, MEMBER, share_network)
        wait_for(lambda: no_ports(nets), SECONDS)


def test_a_port_that_is_made_after_its_server_was_deleted_is_deleted_too(
    install: Install, backends: dict[str, dict[str, str]], nets: Nets, proxy: Proxy
) -> None:
    stack = install(backends, **SETTINGS | {"worker.retry_seconds": 0.2})
    with stack.working() as worker:
        hosts = {backend.host for backend in worker.backends}
        share_network = stack.share_network(nets.subnet("10.1.0.0/24"))
        stack.wait(lambda conn: share_network_subnets.find(conn, MEMBER, share_network)[0]["cidr"])
        proxy.faults = [
            Fault("POST", done=False, late=True),
            *(Fault("POST", done=False, status=503) for _ in range(50)),
        ]
        share_id = stack.share(share_network)
        assert settled(stack, share_id) == "error"
        proxy.faults = []
        delete_share(stack, share_id)
        stack.do(share_networks.delete, MEMBER, share_network)
        wait_for(lambda: "share_servers" not in stack.rows(), SECONDS)
        assert proxy.carry_out_late() == [201]
        assert len(nets.addresses()) == 1
        foreign = nets.foreign_port()
        late_addresses.give_back(stack.engine, hosts, worker._runtime)
        assert len(nets.addresses()) == 2, "it waits for its time"
        proxy.faults = [Fault("GET", done=False, status=503)]
        late_addresses.give_back(stack.engine, hosts, worker._runtime, 0)
        assert len(nets.addresses()) == 2, "what failed is not forgotten"
        late_addresses.give_back(stack.engine, hosts, worker._runtime, 0)
        assert nets.addresses() == [foreign]
        assert "departed_share_servers" not in stack.rows()


@pytest.mark.parametrize(
    "lie",
    [None, b"null", b'{"ports": [{"fixed_ips": 5}]}', b'{"ports": ' + b" " * 20_000_000],
    ids=["hang", "null", "shape", "endless"],
)
def test_a_neutron_that_lies_about_one_network_costs_the_shares_there_and_no_others(
    install: Install,
    backends: dict[str, dict[str, str]],
    neutron_lab: NeutronLab,
    nets: Nets,
    proxy: Proxy,
    lie: bytes | None,
) -> None:
    stack = install(backends, **SETTINGS)
    with stack.working():
        lied_about = Nets(neutron_lab)
        there, elsewhere = (
            stack.share_network(lied_about.subnet("10.1.0.0/24")),
            stack.share_network(nets.subnet("10.2.0.0/24")),
        )
        for share_network in (there, elsewhere):
            wait_for(partial(is_resolved, stack, share_network))
        proxy.lies = {lied_about.network_id: lie}
        lost = [stack.share(there) for _ in range(3)]
        others = stack.share(elsewhere)
        wait_for(lambda: share(stack, others)["status"] == "available", SECONDS)
        wait_for(
            lambda: all(share(stack, share_id)["status"] == "error" for share_id in lost),
            2 * SECONDS,
        )
        assert "log of the worker" in told(stack)[-1], "whose log holds what Neutron said"
        proxy.lies = {}
        for share_id in (*lost, others):
            delete_share(stack, share_id)


def test_a_full_subnet_is_told_with_numbers(stack: Stack, nets: Nets) -> None:
    share_network = stack.share_network(nets.subnet("10.1.0.0/24"), nets.subnet("10.2.0.0/30"))
    available_share(stack, share_network)
    before = nets.addresses()
    full = stack.share_network(
        nets.subnet("10.3.0.0/24"), stack_subnet(stack, share_network, "10.2.0.0/30")
    )
    assert settled(stack, stack.share(full)) == "error"
    assert "(10.2.0.0/30) has 0 free addresses, 1 is needed" in told(stack)[-1]
    assert nets.addresses() == before


def test_subnets_that_cannot_be_had_are_told_before_the_server_is_touched(
    stack: Stack, nets: Nets
) -> None:
    share_network = stack.share_network(nets.subnet("10.1.0.0/24"))
    share_id = available_share(stack, share_network)
    before = nets.addresses()
    other, full = Nets(nets._lab), nets.subnet("10.2.0.0/30")
    nets._lab.made("port", network_id=nets.network_id, fixed_ips=[{"subnet_id": full[1]}])
    hidden = nets._lab.network("another project")
    wanted = {
        "There is no subnet": (nets.network_id, other.subnet("10.3.0.0/24")[1]),
        f"There is no subnet .* on the network {hidden}": (
            hidden,
            nets._lab.subnet_on(hidden, "10.4.0.0/24", "another project"),
        ),
        r"\(10\.2\.0\.0/30\) has 0 free addresses, the share servers of the network need 1": full,
    }
    for why, pair in wanted.items():
        with pytest.raises(Conflict, match=why):
            stack.add_subnet(share_network, pair)
    assert [address for address in nets.addresses() if not address.startswith("10.2.")] == before
    assert (server(stack, server_of(stack, share_id))["status"], len(stack.paths(share_id))) == (
        "active",
        1,
    )


def stack_subnet(stack: Stack, share_network_id: str, cidr: str) -> tuple[str, str]:
    """The Neutron ids of the share network subnet with that range."""
    stack.wait(
        lambda conn: all(
            subnet["cidr"] for subnet in share_network_subnets.find(conn, MEMBER, share_network_id)
        )
    )
    (found,) = [
        s
        for s in stack.ask(share_network_subnets.find, MEMBER, share_network_id)
        if s["cidr"] == cidr
    ]
    return found["neutron_net_id"], found["neutron_subnet_id"]


@pytest.mark.parametrize("moment", ["inside", "after"])
def test_a_worker_that_is_killed_finds_its_ports(
    idle: Stack, backends: dict[str, dict[str, str]], nets: Nets, tmp_path: Path, moment: str
) -> None:
    other = Nets(nets._lab)
    with working(idle, backends):
        idle.wait(lambda conn: services.find(conn, {}), SECONDS)
        networks = [
            idle.share_network(where.subnet("10.1.0.0/24"), where.subnet("fd00:1::/64"))
            for where in (nets, other)
        ]
        for share_network in networks:  # so that both shares take the same steps
            wait_for(partial(is_resolved, idle, share_network), SECONDS)
    first = idle.share(networks[0])
    with working(idle, backends, ABACA_STEP_LOG=str(tmp_path / "steps")):
        assert settled(idle, first) == "available"
        wait_for(lambda: not queue.unfinished(idle.engine), SECONDS)
    lines = (tmp_path / "steps").read_text().splitlines()
    place = next(line.rpartition("/")[0] for line in lines if "NeutronNetworks.allocate" in line)
    second = idle.share(networks[1])
    with working(idle, backends, ABACA_CRASH_AT=f"{place}/{moment}") as killed:
        wait_for(lambda: killed.exit_code is not None, SECONDS)
        assert killed.exit_code == -signal.SIGKILL
    before = other.addresses()
    assert len(before) == 2
    with working(idle, backends):
        assert settled(idle, second) == "available"
        assert other.addresses() == before
        delete_share(idle, second)


@contextmanager
def working(
    stack: Stack, backends: dict[str, dict[str, str]], **environment: str
) -> Iterator[WorkerProcess]:
    """A worker in a process of its own, which is killed afterwards."""
    worker = WorkerProcess(
        Path(stack.conf.state_dir),
        str(stack.conf.database.connection),
        backends,
        environment,
        **SETTINGS,
    )
    try:
        yield worker
    finally:
        worker.kill()
