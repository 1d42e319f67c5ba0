"""The Linux back end for tests: made under a name of its own, lost as by a power cut, used by
clients, taken away whole."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from abaca.drivers.conformance.stage import address_of
from abaca.drivers.linux import namespaces
from abaca.drivers.linux.clients import attach_client, detach_client
from abaca.drivers.linux.driver import LinuxDriver
from abaca.drivers.linux.inventory import leftovers, remove_installation, simulate_reboot
from abaca.drivers.linux.pools.btrfs import BtrfsPool
from abaca.drivers.linux.pools.cephfs.file_systems import CephFileSystems
from abaca.drivers.linux.pools.file_systems import ImagePerServer
from abaca.drivers.linux.requirements import missing
from abaca.values import ExportLocation, NetworkInfo, SecurityService, Share, ShareServer
from tests.contracts.drivers import ldap_server
from tests.nfs4.connection import connect

POOL_GIB = 20
OF_THE_IMAGE = {"pool_size_gib": str(POOL_GIB), "pool_sparse": "true"}
PROBE_SECONDS = 90
BACKEND_NAME = "linux"


def unavailable_reason() -> str | None:
    """Why the Linux back end cannot be tested on this machine, or None."""
    lacking = missing()
    if importlib.util.find_spec("libnfs") is None:
        lacking.append("python package libnfs (built against Debian package libnfs-dev)")
    return "; ".join(lacking) or None


def make_linux_driver(tmp_path: Path, **more: str) -> LinuxDriver:
    """A back end of its own installation, ready to be used. Pass it to `cleanup` in the end."""
    options = {
        "state_dir": str(tmp_path / "state"),
        "namespace": f"t{uuid.uuid4().hex[:8]}",
        **({} if "ceph_config" in more else OF_THE_IMAGE),
    }
    driver = LinuxDriver(BACKEND_NAME, options | more)
    try:
        driver.check_for_setup_error()
    except BaseException:
        cleanup(driver)
        raise
    return driver


def successor(driver: LinuxDriver, **more: str) -> LinuxDriver:
    """The back end as a new worker process would have it: the same options, and more if need be;
    nothing remembered."""
    layout = driver.layout
    options = {
        "state_dir": str(layout.state_dir),
        "namespace": layout.namespace,
    }
    if isinstance(driver.file_systems, CephFileSystems):
        reached = driver.file_systems.reached._asdict()
        options |= {f"ceph_{name}": value for name, value in reached.items()}
    else:
        options |= OF_THE_IMAGE
    if driver.backup_target is not None:
        options["backup_folder"] = str(driver.backup_target.folder)
    options["image_per_share_server"] = str(isinstance(driver.file_systems, ImagePerServer)).lower()
    if driver.own is not None:
        options |= {
            "driver_handles_share_servers": "false",
            "export_addresses": ",".join(
                f"{each.ip_address}/{ip_network(info.subnet.cidr).prefixlen}"
                for info in driver.own.network_info
                for each in info.network_allocations
            ),
        }
    return LinuxDriver(BACKEND_NAME, options | more)


def cleanup(driver: LinuxDriver) -> None:
    """Take the installation away, clients included; fails when something is left."""
    layout = driver.layout
    if isinstance(driver.file_systems, CephFileSystems):
        driver.file_systems.remove_everything()
        driver.file_systems.close()
    remove_installation(layout.namespace, layout.state_dir)
    left = {
        kind: found
        for kind, found in leftovers(layout.namespace, layout.state_dir).items()
        if found
    }
    assert not left, f"left on this machine: {left}"


def btrfs_pool(driver: LinuxDriver) -> BtrfsPool:
    """The driver's pool, as what it is."""
    assert isinstance(driver.pool, BtrfsPool)
    return driver.pool


def lose_everything(driver: LinuxDriver) -> LinuxDriver:
    """A power cut: what is not on the disk is gone, without having been asked to end. Returns the
    back end of the next start, not yet set up."""
    layout = driver.layout
    simulate_reboot(layout.namespace, layout.state_dir)
    return successor(driver)


def stop_serving(driver: LinuxDriver, server: ShareServer) -> None:
    """Its Ganesha dies."""
    os.kill(int(driver.layout.server(server.id).ganesha_pid.read_text()), signal.SIGKILL)


def fill_share(driver: LinuxDriver, share: Share, server: ShareServer, gib: int) -> None:
    """Put a file of `gib` GiB into a share."""
    file = driver.file_systems.of(server.id).path(share.id) / "filling"
    with open(file, "wb") as filling:
        os.posix_fallocate(filling.fileno(), 0, gib * 1024**3)
        os.fsync(filling.fileno())


def empty_share(driver: LinuxDriver, share: Share, server: ShareServer) -> None:
    """Remove what `fill_share` has put there."""
    (driver.file_systems.of(server.id).path(share.id) / "filling").unlink(missing_ok=True)


def held_gib(driver: LinuxDriver, share: Share, server: ShareServer) -> int:
    """Whole GiB of what `fill_share` has put there."""
    file = driver.file_systems.of(server.id).path(share.id) / "filling"
    return file.stat().st_size // 1024**3 if file.exists() else 0


def own_server(driver: LinuxDriver) -> ShareServer:
    """The one file server of a back end without share servers."""
    assert driver.own is not None
    return driver.own


def can_read(
    driver: LinuxDriver, location: ExportLocation, client: str, entry: NetworkInfo
) -> bool:
    """Whether a client with the address `client` on the entry's subnet can use the share behind
    `location`."""
    netns = client_namespace(driver, "reader")
    prefix_length = ip_network(entry.subnet.cidr, strict=False).prefixlen
    attach_client(
        driver.layout.namespace, entry.subnet.neutron_net_id, netns, [f"{client}/{prefix_length}"]
    )
    try:
        return bool(probe(netns, "mount", location.path)["ok"])
    finally:
        detach_client(netns, driver.layout.namespace)


@contextmanager
def nfs_client(
    driver: LinuxDriver, location: ExportLocation, client: str, entry: NetworkInfo
) -> Iterator[socket.socket]:
    """A connection to the NFS server of `location`, from a privileged port of a client with the
    address `client` on the entry's subnet."""
    netns = client_namespace(driver, "nfs")
    prefix_length = ip_network(entry.subnet.cidr, strict=False).prefixlen
    attach_client(
        driver.layout.namespace, entry.subnet.neutron_net_id, netns, [f"{client}/{prefix_length}"]
    )
    try:
        with connect(netns, address_of(location)) as link:
            yield link
    finally:
        detach_client(netns, driver.layout.namespace)


@contextmanager
def directory(driver: LinuxDriver, entry: NetworkInfo) -> Iterator[list[SecurityService]]:
    """A slapd on the entry's subnet, and two security services that are it."""
    if reason := ldap_server.unavailable_reason():
        pytest.skip(reason)
    netns, address = client_namespace(driver, "ldap"), ip_network(entry.subnet.cidr)[250]
    attach_client(
        driver.layout.namespace,
        entry.subnet.neutron_net_id,
        netns,
        [f"{address}/{ip_network(entry.subnet.cidr).prefixlen}"],
    )
    fields = {
        "type": "ldap",
        "server": str(address),
        "domain": ldap_server.BASE,
        "user": ldap_server.USER,
        "password": ldap_server.PASSWORD,
    }
    try:
        with tempfile.TemporaryDirectory() as folder, ldap_server.slapd(netns, Path(folder)):
            yield [SecurityService(id=str(uuid.uuid4()), **fields) for _ in range(2)]
    finally:
        detach_client(netns, driver.layout.namespace)


def client_namespace(driver: LinuxDriver, name: str) -> str:
    """The name of a client's namespace, for tests of this installation only."""
    return f"{driver.layout.namespace}-{name}"


def probe(netns: str, *arguments: str, through: Sequence[str] = ()) -> dict[str, Any]:
    """Run the NFS client in a namespace, `through` another program if need be; its answer."""
    command = _probe_command(netns, *arguments, through=through)
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=PROBE_SECONDS, check=False
    )
    assert done.stdout, f"the NFS client said nothing ({done.returncode}): {done.stderr[-500:]}"
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


class Loop:
    """A client that writes, reads and compares without pause while the block runs; `answer`
    afterwards."""

    def __init__(self, netns: str, location: str, name: str) -> None:
        self._command = _probe_command(netns, "loop", location, name)
        self.answer: dict[str, Any] = {}

    def __enter__(self) -> Loop:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        first = self._process.stdout.readline()
        assert "ready" in first, f"the NFS client did not start: {first}"
        return self

    def __exit__(self, *error: object) -> None:
        out, _ = self._process.communicate(timeout=PROBE_SECONDS)
        self.answer = json.loads(out.splitlines()[-1])


def _probe_command(netns: str, *arguments: str, through: Sequence[str] = ()) -> list[str]:
    entered = ["nsenter", f"--net={namespaces.path_of(netns)}", *through]
    return [*entered, sys.executable, "-m", "abaca.admin.nfs_probe", *arguments]
