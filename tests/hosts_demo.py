"""The demonstration with several hosts: a tenant's network over them, a share in CephFS, and a
client that writes and holds a lock while its server is moved, and while its server's host dies.

`python -m tests.hosts_demo` (`make demo-hosts`) plays it with a Ceph and a PostgreSQL of its own; a
test plays the same steps. Hosts are played by network namespaces, each with a worker process.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from abaca.admin import clouds_file, demo, demo_steps
from abaca.admin.demo_scene import READY_SECONDS, Scene, StepFailed
from abaca.admin.demo_steps import SUBNETS, Play
from abaca.drivers.linux import inventory
from tests import ceph_cluster
from tests.ceph_cluster import Ceph
from tests.databases import find_postgresql
from tests.nfs4.writer import Writer, writing
from tests.played_hosts import PlayedHost, Town, neighbours, on_ceph, stands_on, town

UNDERLAY = "10.99.7.{}/24"
LEASE = 30  # seconds: the default; on a busy machine a shorter one is lost
NETWORK, SHARE, TYPE = "blue", "docs", "shared"
MACHINES = {"writer": "10.77.1.200/24", "neighbour": "10.77.1.201/24"}
EVERYBODY = "10.77.1.0/24"
PATIENCE = 120.0  # seconds; a busy machine needs some


class HostsScene(Scene):
    """Two played hosts that serve one CephFS together, and an API. `ceph` and the PostgreSQL of
    `url` run already. `server`: the share server, which is on `old` and goes to `new`."""

    town: Town
    server: str
    old: PlayedHost
    new: PlayedHost
    writer: Writer

    def __init__(self, say: Callable[[str], None], ceph: Ceph, url: str) -> None:
        super().__init__(say)
        self.conf.set_override("connection", url, group="database")
        self._ceph, self._url = ceph, url
        self._ending = ExitStack()
        self._hosts: list[PlayedHost] = []

    # --- what is otherwise than by default --------------------------------------------------------

    def start(self) -> None:
        self.config_file.write_text(self.config_text())
        self.run(["abaca", "init"], self.own_command("cli", "init", *self._state), {})
        folder = self.folder / "hosts"
        folder.mkdir()
        shutil.copy(self.state_dir / "key", folder / "key")
        more: dict[str, Any] = {"worker.lease_seconds": LEASE, "worker.watch_interval": 1.0}
        self._say("$ abaca worker   (on host1 and on host2)")
        self.town = self._ending.enter_context(
            town(folder, self._url, UNDERLAY, 2, on_ceph(self._ceph), **more)
        )
        self._hosts = self.town.hosts
        self.start_process("api")
        self.until(self._answers, READY_SECONDS, "the API to answer")

    def config_text(self) -> str:
        return (
            f"[DEFAULT]\nhost = api\n[database]\nconnection = {self._url}\n"
            f"[api]\nport = {self.port}\n"
        )

    def remove(self) -> None:
        """As ever, and the hosts."""
        try:
            self._ending.close()
        finally:
            super().remove()

    def leftovers(self) -> dict[str, list[str]]:
        """On all hosts."""
        found = super().leftovers()
        for host in self._hosts:
            of_host = inventory.leftovers(host.namespace, host.state_dir / "worker")
            found = {kind: [*found[kind], *of_host[kind]] for kind in found}
        return found

    # --- hosts ------------------------------------------------------------------------------------

    def manage(self, *arguments: str) -> str:
        """Run `abaca-manage`, and say what it printed."""
        command = self.own_command("manage", *arguments, *self._state)
        out = self.run(["abaca-manage", *arguments], command, {})
        for line in out.splitlines():
            self._say(f"  {line}")
        return out

    def find_server(self) -> None:
        """Its id, and which host is `old`."""
        (server,) = self.openstack_json("share", "server", "list")
        self.server = server["ID"]
        self.turn()

    def turn(self) -> None:
        """The server stands where it went to."""
        here = stands_on(self._hosts[0].stack, self.server)
        self.old, self.new = sorted(self._hosts, key=lambda host: host.name != here)

    def has_moved(self) -> bool:
        return stands_on(self.new.stack, self.server) == self.new.name

    def write(self, netns: str, path: str) -> None:
        """Have a client write without a pause until `rest`."""
        self._writing = self._ending.enter_context(ExitStack())
        self.writer = self._writing.enter_context(writing(netns, path))

    def rest(self) -> None:
        self._writing.close()

    @property
    def _state(self) -> tuple[str, str]:
        return "--state-dir", str(self.state_dir)

    def _answers(self) -> bool:
        if self._service_ended():
            raise StepFailed("`abaca api` ended at once")
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"{clouds_file.listening_url(self.conf)}/healthcheck").close()
            return True
        return False


def scene_of(play: Play) -> HostsScene:
    assert isinstance(play.scene, HostsScene)
    return play.scene


def start(play: Play) -> None:
    """Two hosts start, each with a worker, and an API; beside them run Ceph and PostgreSQL."""
    scene = scene_of(play)
    scene.start()
    told = scene.manage("host", "list")
    play.require(told.count(" up ") == 2, "both hosts are up, and reach each other by tunnels")
    play.empty = play.scene.leftovers()


def make(play: Play) -> None:
    """A network of a tenant's over both hosts, a share in CephFS, a machine of the tenant's on the
    host of the share's server."""
    scene, run, ask = scene_of(play), play.scene.openstack, play.scene.openstack_json
    cidr, pool = SUBNETS[NETWORK, 4]
    play.networks[NETWORK] = network = ask("network", "create", NETWORK)["id"]
    ranges = ("--subnet-range", cidr, "--allocation-pool", pool)
    run("subnet", "create", "--network", NETWORK, *ranges, f"{NETWORK}-v4")
    of_network = ("--neutron-net-id", NETWORK, "--neutron-subnet-id", f"{NETWORK}-v4")
    run("share", "network", "create", "--name", NETWORK, *of_network)
    options = ("--name", SHARE, "--share-type", TYPE, "--share-network", NETWORK)
    play.share_id = ask("share", "create", *options, "NFS", "1")["id"]
    scene.until_status("shares", play.share_id, "available")
    run("share", "access", "create", SHARE, "ip", EVERYBODY)
    rules = f"/v2/share-access-rules?share_id={play.share_id}"
    scene.until(
        lambda: scene.get(rules)["access_list"][0]["state"] == "active", 60, "the access rule"
    )
    play.locations = ask("share", "export", "location", "list", SHARE)
    scene.find_server()
    play.require(True, f"its server stands on {scene.old.name}: {play.location(4)}")
    for name, address in MACHINES.items():
        play.clients[name] = scene.old.machine(name, network, address)


def write(play: Play) -> None:
    """A client writes without a pause and holds a lock, which another one is refused."""
    scene = scene_of(play)
    scene.write(play.clients["writer"], play.location(4))
    require_the_lock(play)


def drain(play: Play) -> None:
    """The host is drained while the client writes: its server goes to the other host."""
    scene = scene_of(play)
    old, new, writer = scene.old, scene.new, scene.writer
    writer.stall, began = 0.0, time.monotonic()
    scene.manage("host", "drain", old.name, "--reason", "new disks on Friday")
    scene.until(scene.has_moved, PATIENCE, "the server to move")
    play.require(
        old.file_server(scene.server) is None and new.file_server(scene.server) is not None,
        f"{time.monotonic() - began:.1f} s after the command the server stands on {new.name}, and "
        f"nothing of it on {old.name}",
    )
    require_it_goes_on(play)
    scene.manage("host", "enable", old.name)
    scene.turn()


def die(play: Play) -> None:
    """The host on which the server stands now dies: its processes are killed, its cable is cut. Its
    server is given to the other host."""
    scene = scene_of(play)
    dead, new, writer = scene.old, scene.new, scene.writer
    writer.stall, died = 0.0, time.monotonic()
    dead.lose_power()
    play.say(f"    {dead.name} is dead")
    scene.until(lambda: not dead.lives(), PATIENCE, "its lease to end")
    play.say(f"    {time.monotonic() - died:.1f} s later it is missed: a lease takes {LEASE} s")
    began = time.monotonic()
    scene.manage("host", "evacuate", dead.name, "--reason", "its power supply has burnt")
    scene.until(scene.has_moved, PATIENCE, "the server to be taken over")
    play.require(
        new.file_server(scene.server) is not None,
        f"{time.monotonic() - began:.1f} s after the command the server stands on {new.name}",
    )
    require_it_goes_on(play)


def come_back(play: Play) -> None:
    """The dead host starts again. It takes away what it still had of the server, and is put to work
    again."""
    scene = scene_of(play)
    back = scene.old
    back.come_back()
    play.require(back.file_server(scene.server) is None, f"{back.name} is up, without the server")
    play.require(scene.has_moved(), f"which still stands on {scene.new.name}")
    require_it_goes_on(play)


def delete(play: Play) -> None:
    """Everything is deleted again, and nothing is left, on no host."""
    scene, run, ask = scene_of(play), play.scene.openstack, play.scene.openstack_json
    scene.rest()
    for netns in play.clients.values():
        next(host for host in scene.town.hosts if host.has(netns)).take_away(netns)
    run("share", "delete", "--wait", SHARE)
    for server in ask("share", "server", "list"):
        run("share", "server", "delete", "--wait", server["ID"])
    run("share", "network", "delete", "--wait", NETWORK)
    run("subnet", "delete", f"{NETWORK}-v4")
    run("network", "delete", NETWORK)
    left = {
        kind: sorted(set(found) - set(play.empty.get(kind, [])))
        for kind, found in scene.leftovers().items()
    }
    play.require(not any(left.values()), f"left on the hosts: {demo_steps.counted(left)}")
    scene.stop()


def require_it_goes_on(play: Play) -> None:
    """Fail unless the writer writes on, without an error, at the same path, and has its lock."""
    writer, scene = scene_of(play).writer, scene_of(play)
    before = writer.written
    scene.until(lambda: writer.has_gone_on(before), PATIENCE, "the client to write on")
    play.require(
        not writer.errors,
        f"the client writes on by the same path: {writer.written} writes, 0 errors, the longest "
        f"pause {writer.stall:.1f} s",
    )
    require_the_lock(play)


def require_the_lock(play: Play) -> None:
    address = play.location(4).partition(":/")[0]
    kept = scene_of(play).writer.keeps_its_lock(play.clients["neighbour"], address)
    play.require(kept, "another client is refused the lock that it holds")


STEPS = (start, make, write, drain, die, come_back, delete)


def lacks() -> list[str]:
    """What it needs beside what the demonstration of one host does."""
    reason = ceph_cluster.unavailable_reason()
    lacking = [reason] if reason else []
    return [*lacking, *([] if find_postgresql() else ["PostgreSQL (Debian: postgresql)"])]


def main() -> int:
    with ExitStack() as ending:

        def scene(say: Callable[[str], None]) -> Scene:
            say("Ceph and PostgreSQL are made and started: half a minute")
            ceph, databases = ending.enter_context(neighbours())
            return HostsScene(say, ceph, databases.create())

        return demo.run("--keep" in sys.argv[1:], scene, STEPS, lacks())


if __name__ == "__main__":
    sys.exit(main())
