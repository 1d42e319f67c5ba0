"""Several hosts played by network namespaces on one underlay: each with its own worker process,
state directory and run folder, against one PostgreSQL."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import sqlalchemy as sa
from click.testing import CliRunner

from abaca import config
from abaca.admin import client_commands
from abaca.db.tables import service_workers, share_servers
from abaca.domain.rows.heartbeats import is_up
from abaca.domain.services import hosts, services
from abaca.drivers.linux import inventory, namespaces
from abaca.drivers.linux.file_services.nfs.ganesha import GANESHA
from abaca.drivers.linux.layout import Layout
from abaca.drivers.linux.processes import by_pid_file
from abaca.worker.backends import network_namespace
from tests import ceph_cluster
from tests.ceph_cluster import Ceph
from tests.databases import Databases, PostgresqlCluster, PostgresqlDatabases, find_postgresql
from tests.forged_frames import checksum
from tests.service import wait_until
from tests.stack import NETNS, Stack, WorkerProcess, make_conf

POOL = {"share_driver": "linux", "pool_size_gib": "2", "pool_sparse": "true"}
INTERVAL = 300.0  # of the first host: what is there sooner was told


def run(*command: str) -> str:
    """What it prints."""
    done = subprocess.run(command, check=True, timeout=60, capture_output=True, text=True)
    return done.stdout


def ip(*arguments: str) -> None:
    run("ip", *arguments)


class Underlay:
    """A bridge in a namespace of its own, to which hosts are connected by `eth0`. `network`: with a
    place for the last part of addresses: `10.99.0.{}/24`."""

    def __init__(self, network: str) -> None:
        self.id = f"u{uuid4().hex[:7]}"
        self.network = network
        self._namespaces: list[str] = []
        self._add(self.id)
        ip("-n", self.id, "link", "add", "underlay", "type", "bridge")
        ip("-n", self.id, "link", "set", "underlay", "up")

    def address(self, number: int) -> str:
        """Without prefix length."""
        return self.network.format(number).partition("/")[0]

    def machine(self, number: int) -> str:
        """A namespace with the address of that number; its name."""
        name = f"{self.id}-{number}"
        self._add(name)
        outer = f"port{number}"
        pair = ["type", "veth", "peer", "name", "eth0", "netns", name]
        ip("-n", self.id, "link", "add", outer, *pair)
        ip("-n", self.id, "link", "set", outer, "master", "underlay", "up")
        more = ["nodad"] if ":" in self.network else []
        ip("-n", name, "addr", "add", self.network.format(number), "dev", "eth0", *more)
        ip("-n", name, "link", "set", "eth0", "up")
        ip("-n", name, "link", "set", "lo", "up")
        return name

    def close(self) -> None:
        for name in reversed(self._namespaces):
            ip("netns", "del", name)

    def _add(self, name: str) -> None:
        ip("netns", "add", name)
        self._namespaces.append(name)


class PlayedHost:
    """The host of that number on the underlay, named `host<number>`, with a back end `b<number>`
    whose shares the type of that name is for, or with that which `shared` hosts serve together.
    Its worker runs until it is stopped."""

    def __init__(
        self,
        underlay: Underlay,
        number: int,
        folder: Path,
        url: str,
        key: Path,
        shared: Mapping[str, str] | None = None,
        **more: object,
    ) -> None:
        self.underlay, self.number, self.url = underlay, number, url
        self.name = f"host{number}"
        self.backend = "shared" if shared else f"b{number}"
        self._backends = {self.backend: {"share_driver": "linux", **shared} if shared else POOL}
        self.address = underlay.address(number)
        self.netns = underlay.machine(number)
        self.state_dir = folder / self.name
        self.state_dir.mkdir()
        if key.exists():
            shutil.copy(key, self.state_dir / "key")
        self.options: dict[str, Any] = {
            "host": self.name,
            "worker.tunnel_address": underlay.network.format(number),
            "worker.tunnel_interval": INTERVAL if number == 1 else 1.0,
            **more,
        }
        self._machines: list[str] = []
        self._config = self.state_dir / "client.conf"
        self._config.write_text(
            f"[DEFAULT]\nhost = {self.name}\n[database]\nconnection = {url}\n"
            f"[worker]\ntunnel_address = {underlay.network.format(number)}\n"
        )
        self.stack = Stack(make_conf(self.state_dir, url, self._backends, **self.options))
        shutil.copy(self.state_dir / "key", key)
        self.namespace = network_namespace(self.stack.conf)
        self.service = config.backend_host(self.stack.conf, self.backend)
        self.worker: WorkerProcess | None = None

    def start(self) -> None:
        self.worker = WorkerProcess(
            self.state_dir, self.url, self._backends, {NETNS: self.netns}, **self.options
        )

    def wait_until_up(self) -> None:
        def states() -> list[object]:
            found = self.stack.ask(services.find, {"host": self.service})
            if self.service.startswith(self.name):
                return [each["state"] for each in found]
            return ["up"] if self.name in self.stack.ask(shared_by, self.service) else [*found]

        wait_until(lambda: states() == ["up"], lambda: f"{self.name}: {states()}", 40)

    def cut_off(self) -> None:
        """From the database, as its worker finds, which is killed: what it has started lives on."""
        assert self.worker is not None
        self.worker.kill()
        self.worker = None

    def lose_power(self) -> None:
        """All of its processes end at once, and nothing of it is on the underlay any more."""
        ip("-n", self.netns, "link", "set", "eth0", "down")
        if self.worker is not None:
            self.cut_off()
        for pid in inventory.leftovers(self.namespace, self.state_dir / "worker")["processes"]:
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)

    def come_back(self) -> None:
        """With power, network and worker; shares are put on it again."""
        ip("-n", self.netns, "link", "set", "eth0", "up")
        self.start()
        wait_until(self.lives, lambda: f"{self.name} is down", 60)
        self.stack.do(hosts.set_state, self.name, "up")
        self.wait_until_up()

    def lives(self) -> bool:
        """For the others: its worker holds its lease."""
        return bool(self.stack.ask(hosts.get, self.name)["lives"])

    def takes_over(self, server_id: str) -> None:
        """Wait until the share server stands here."""
        wait_until(lambda: stands_on(self.stack, server_id) == self.name, "it moves", 60)

    def file_server(self, server_id: str) -> int | None:
        """The share server's NFS server here."""
        layout = Layout(self.namespace, self.state_dir / "worker", self.backend)
        return by_pid_file(layout.server(server_id).ganesha_pid, GANESHA)

    def stop(self) -> None:
        if self.worker is not None:
            self.worker.stop()
        self.worker = None

    def machine(self, name: str, network_id: str, *addresses: str) -> str:
        """A tenant's machine of this host; its namespace."""
        netns = f"{self.underlay.id}-{self.number}-{name}"
        self._machines.append(netns)
        given = [argument for address in addresses for argument in ("--address", address)]
        self._client("add", netns, "--network", network_id, *given)
        return netns

    def has(self, netns: str) -> bool:
        """Whether that machine is one of this host's."""
        return netns in self._machines

    def take_away(self, netns: str) -> None:
        """A machine."""
        self._machines.remove(netns)
        self._client("remove", netns)

    def _client(self, *arguments: str) -> None:
        """`abaca client`, with what is configured on this host."""
        where = ["--config-file", str(self._config), "--state-dir", str(self.state_dir)]
        done = CliRunner().invoke(client_commands.commands, [*arguments, *where])
        assert done.exit_code == 0, (done.output, done.exception)

    def tunnels(self) -> str:
        """What its tunnels send where, and who has which address, as `bridge` and `ip` print it."""
        if not namespaces.exists(self.namespace):
            return ""
        inside = ["nsenter", f"--net=/run/netns/{self.namespace}"]
        ends = [line for line in run(*inside, "bridge", "fdb").splitlines() if " dst " in line]
        return "\n".join([*ends, run(*inside, "ip", "neigh")])

    def close(self) -> None:
        for netns in list(self._machines):
            self.take_away(netns)
        self.stop()
        self.stack.close()
        worker = Path(self.stack.conf.state_dir, "worker")
        inventory.remove_installation(self.namespace, worker)
        left = inventory.leftovers(self.namespace, worker)
        assert not any(left.values()), f"left on this machine: {left}"


def stands_on(stack: Stack, server_id: str) -> str | None:
    """The host on which the share server stands; None while it moves."""
    columns = share_servers.c.worker_host, share_servers.c.is_moving
    query = sa.select(*columns).where(share_servers.c.id == server_id)
    row = stack.ask(lambda conn: conn.execute(query).one())
    return None if row.is_moving else row.worker_host


def shared_by(conn: sa.Connection, service_host: str) -> set[str]:
    """The workers that serve a shared back end and are ready."""
    query = service_workers.select().where(service_workers.c.service_host == service_host)
    return {row.worker_host for row in conn.execute(query) if is_up(row._mapping)}


class Town:
    """Played hosts on one underlay. `shared`: the options of a back end that they serve
    together; `more`: their other options."""

    def __init__(
        self,
        underlay: Underlay,
        folder: Path,
        url: str,
        shared: Mapping[str, str] | None = None,
        **more: object,
    ) -> None:
        self.underlay, self._folder, self.url = underlay, folder, url
        self._shared, self._more = shared, more
        self.hosts: list[PlayedHost] = []

    def host(self) -> PlayedHost:
        """Another host, whose worker has been started."""
        number = len(self.hosts) + 1
        key = self._folder / "key"
        host = PlayedHost(
            self.underlay, number, self._folder, self.url, key, self._shared, **self._more
        )
        self.hosts.append(host)
        if not self._shared or number == 1:
            host.stack.share_type(host.backend, share_backend_name=host.backend)
        host.start()
        return host


@contextmanager
def neighbours() -> Iterator[tuple[Ceph, Databases]]:
    """A Ceph and a PostgreSQL of one's own, for who runs without pytest."""
    binaries = find_postgresql()
    assert binaries is not None, "PostgreSQL is missing (Debian: postgresql)"
    with ExitStack() as ending:
        folder = ending.enter_context(tempfile.TemporaryDirectory(prefix="abaca-ceph-"))
        cluster = PostgresqlCluster(binaries)
        ending.callback(cluster.stop)
        cluster.start()
        ceph = ending.enter_context(ceph_cluster.running(Path(folder)))
        yield ceph, PostgresqlDatabases(cluster.port)


def on_ceph(ceph: Ceph) -> dict[str, str]:
    """The options of a back end that hosts serve together: what they make has a name of its own."""
    return {"backend_host": "cluster", "ceph_prefix": f"t{uuid4().hex[:8]}", **ceph.options()}


@contextmanager
def town(
    folder: Path,
    url: str,
    network: str,
    number: int = 2,
    shared: Mapping[str, str] | None = None,
    **more: object,
) -> Iterator[Town]:
    """That many hosts on an underlay. In the end nothing of them may be left."""
    folder.chmod(0o755)
    underlay = Underlay(network)
    made = Town(underlay, folder, by_socket(url), shared, **more)
    try:
        for _ in range(number):
            made.host()
        for host in made.hosts:
            host.wait_until_up()
        yield made
    finally:
        for host in made.hosts:
            host.close()
        underlay.close()


def by_socket(url: str) -> str:
    """The same database by its Unix socket, which every network namespace reaches."""
    parts = sa.make_url(url)
    with psycopg.connect(
        host=parts.host, port=parts.port, user=parts.username, dbname=parts.database
    ) as conn:
        (folder,) = conn.execute("SHOW unix_socket_directories").fetchone() or ("",)
    return (
        f"postgresql+psycopg://{parts.username}@/{parts.database}?host={folder}&port={parts.port}"
    )


def pings(netns: str, *addresses: str, size: int = 56) -> Sequence[bool]:
    """Whether each answers an echo request of that many bytes, which is not to be fragmented,
    within two seconds."""

    def act(_: object) -> list[bool]:
        return [_answers(address, size) for address in addresses]

    return namespaces.inside(netns, act)


def _answers(address: str, size: int) -> bool:
    is_v4 = ":" not in address
    family, protocol = (
        (socket.AF_INET, socket.IPPROTO_ICMP) if is_v4 else (socket.AF_INET6, socket.IPPROTO_ICMPV6)
    )
    request, reply = (8, 0) if is_v4 else (128, 129)
    mark = os.urandom(size)
    message = struct.pack("!BBHHH", request, 0, 0, 7, 1) + mark
    with socket.socket(family, socket.SOCK_RAW, protocol) as raw:
        if is_v4:
            message = message[:2] + struct.pack("!H", checksum(message)) + message[4:]
            raw.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER: always
        try:
            raw.sendto(message, (address, 0))
        except OSError:
            return False
        end = time.monotonic() + 2
        while (left := end - time.monotonic()) > 0:
            raw.settimeout(left)
            try:
                got, sender = raw.recvfrom(65536)
            except OSError:
                return False
            if sender[0] == address and got.endswith(mark) and got[20 if is_v4 else 0] == reply:
                return True
    return False
