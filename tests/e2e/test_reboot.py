"""A reboot under the whole service: real processes, everything that is not on the disk gone,
everything rebuilt before the back end counts as up."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from abaca import config
from abaca.drivers.linux import inventory, namespaces
from abaca.drivers.linux.clients import attach_client
from abaca.worker.backends import network_namespace
from tests.clients.test_hanging_driver import Client
from tests.contracts.drivers.linux_backend import probe, unavailable_reason
from tests.service import Installation, arguments_of, descendants, installation, wait_until

pytestmark = [
    pytest.mark.sampled_file(8),
    pytest.mark.root,
    pytest.mark.slow("an installation comes back from a reboot"),
    pytest.mark.timeout(400),
]

LINUX = (
    "[DEFAULT]\nenabled_share_backends = linux\n[linux]\nshare_driver = linux\npool_size_gib "
    "= 8\npool_sparse = true\n"
)
V4, V6 = "10.74.0.0/24", "fd00:74::/64"
CLIENT = ("10.74.0.200/24", "fd00:74::200/64")
SERVERS, SHARES = 2, 2


class Machine:
    """An installation with the Linux back end, of which a reboot can be had."""

    def __init__(self, made: Installation) -> None:
        self.made = made
        self.worker_dir = made.state_dir / "worker"
        self.namespace = network_namespace(config.load([], {"state_dir": str(made.state_dir)}))

    def reboot(self) -> None:
        """The service and its processes are killed, at once; then goes what a reboot takes."""
        assert self.made.process is not None
        below = descendants(self.made.process.pid)
        for pid in (self.made.process.pid, *below):
            with suppress(ProcessLookupError):  # programs that the worker runs end by themselves
                os.kill(pid, signal.SIGKILL)
        self.made.process.wait()
        wait_until(lambda: not any(arguments_of(pid) for pid in below), "the processes to be gone")
        inventory.simulate_reboot(self.namespace, self.worker_dir)

    def client(self, network: str) -> str:
        netns = f"{self.namespace}-client"
        attach_client(self.namespace, network, netns, CLIENT)
        return netns


@pytest.fixture
def machine() -> Iterator[Machine]:
    if reason := unavailable_reason():
        pytest.skip(reason)
    with installation(config_text=LINUX) as made:
        machine = Machine(made)
        try:
            yield machine
        finally:
            if not made.has_ended():
                made.stop()
            inventory.remove_installation(machine.namespace, machine.worker_dir)


def make_shares(client: Client) -> tuple[str, list[str]]:
    """A network with an IPv4 and an IPv6 subnet, share servers on both and shares that everybody
    may write to: network and share ids."""
    specs = {"driver_handles_share_servers": "True"}
    client.made("/v2/types", {"share_type": {"name": "default", "extra_specs": specs}})
    net = client.made("/network/v2.0/networks", {"network": {"name": "net"}})["id"]
    pairs = [
        {
            "neutron_net_id": net,
            "neutron_subnet_id": client.made(
                "/network/v2.0/subnets", {"subnet": {"network_id": net, **subnet}}
            )["id"],
        }
        for subnet in ({"cidr": V4, "ip_version": 4}, {"cidr": V6, "ip_version": 6})
    ]
    shares = []
    for _ in range(SERVERS):
        network = client.made("/v2/share-networks", {"share_network": pairs[0]})["id"]
        client.made(f"/v2/share-networks/{network}/subnets", {"share-network-subnet": pairs[1]})
        body = {
            "share": {
                "share_proto": "NFS",
                "size": 1,
                "share_type": "default",
                "share_network_id": network,
            }
        }
        shares += [client.made("/v2/shares", body)["id"] for _ in range(SHARES)]
    for share in shares:
        wait_until(
            lambda: client("GET", f"/v2/shares/{share}")[1]["share"]["status"] == "available",  # noqa: B023
            "the share",
        )
        for everybody in ("0.0.0.0/0", "::/0"):
            rule = {"access_type": "ip", "access_to": everybody, "access_level": "rw"}
            assert client("POST", f"/v2/shares/{share}/action", {"allow_access": rule})[0] == 200
        wait_until(
            lambda: (
                client("GET", f"/v2/shares/{share}")[1]["share"]["access_rules_status"] == "active"  # noqa: B023
            ),
            "the rules",
        )
    return net, shares


def test_everything_is_there_again_before_the_back_end_counts_as_up(machine: Machine) -> None:
    machine.made.start()
    client = Client(machine.made)
    network, shares = make_shares(client)
    paths = {
        share: [
            each["path"]
            for each in client("GET", f"/v2/shares/{share}/export_locations")[1]["export_locations"]
        ]
        for share in shares
    }
    for share in shares:
        (file,) = machine.worker_dir.glob(
            f"*/servers/*/mounts/*{paths[share][0].rpartition('/')[2]}"
        )
        # not by NFS: new NFS servers wait for clients that they know of
        Path(file, "kept").write_text(share)
    machine.reboot()
    assert machine.namespace not in namespaces.names()

    machine.made.start()  # until it says that the back end is up
    assert "@linux is up" in machine.made.said()
    netns = machine.client(network)
    assert len(paths) == SERVERS * SHARES
    for share, (four, six) in paths.items():
        assert probe(netns, "read", four, "kept") == {"ok": True, "text": share}
        assert probe(netns, "write", six, "new", "more")["ok"]
    assert {each["status"] for each in client("GET", "/v2/share-servers")[1]["share_servers"]} == {
        "active"
    }
