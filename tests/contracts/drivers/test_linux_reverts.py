"""Clients of a share that is reverted: their mounts stay, and they notice nothing but what the
snapshot undid and a moment's wait."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from ipaddress import ip_interface
from typing import NamedTuple

import msgspec
import pytest

from abaca.drivers.linux import client_pause, namespaces, packet_filter
from abaca.drivers.linux.file_services.nfs.nfs4 import Nfs4Error, getattr, lookup, putfh, read
from abaca.drivers.linux.inventory import leftovers
from abaca.errors import Unavailable
from abaca.values import Share, ShareServer, Snapshot
from tests.contracts.drivers import linux_backend
from tests.contracts.drivers.linux_site import BOTH, CLIENT, Site, path
from tests.nfs4 import operations as ops
from tests.nfs4.client import Client, Client40, Client41, patiently
from tests.sample import sample

pytestmark = [pytest.mark.sampled_file(8), pytest.mark.root]

ADDRESSES = [str(ip_interface(address).ip) for _, address in BOTH]
REVERTS = 5
LOST = ("STALE", "BAD_STATEID", "EXPIRED", "OLD_STATEID")


class Scene(NamedTuple):
    """`other` is on the same server."""

    server: ShareServer
    share: Share
    other: Share
    netns: str


@pytest.fixture
def scene(site: Site) -> Scene:
    server = site.server(*BOTH)
    return Scene(
        server, site.share(server), site.share(server), site.client("client", "net", *CLIENT)
    )


def root_of(client: Client, share: Share | Snapshot) -> bytes:
    return client.handle_of(share.export_locations[0].path.split(":", 1)[1])


def text_of(client: Client, handle: bytes) -> bytes:
    data, _ = client.run(putfh(handle), read(0, 100))[-1]
    return bytes(data)


def make_files(client: Client, root: bytes) -> tuple[bytes, bytes, bytes]:
    """The handles of a folder, of a file in it and of one that will be changed."""
    changed = patiently(lambda: client.put(root, "changed", b"before"))
    client.run(putfh(root), ops.create("folder"))
    folder = bytes(
        client.run(putfh(root), lookup("folder"), getattr("filehandle"))[-1]["filehandle"]
    )
    return folder, client.put(folder, "kept", b"kept"), changed


@pytest.mark.parametrize("kind", [Client40, Client41])
def test_what_clients_hold_stays_good(site: Site, scene: Scene, kind: type[Client]) -> None:
    with kind(scene.netns, ADDRESSES[0]) as client:
        root, other = root_of(client, scene.share), root_of(client, scene.other)
        folder, kept, changed = make_files(client, root)
        snapshot = site.snapshot(scene.share, scene.server, is_mountable=True)
        inside = client.handle_of(
            f"{snapshot.export_locations[0].path.split(':', 1)[1]}/folder/kept"
        )
        file = client.open(root, "changed")
        client.write(file, 0, b"after ")
        new = client.put(root, "new", b"new")
        client.lock(file)
        elsewhere = client.open(other, "elsewhere", create=True)
        locked = client.lock(elsewhere)

        site.driver.revert_to_snapshot(snapshot, scene.share, scene.server)

        assert (
            client.attributes(root, "type")
            == client.attributes(folder, "type")
            == {"type": ops.DIRECTORY}
        )
        assert sorted(client.names_in(root)) == ["changed", "folder"]
        assert [text_of(client, handle) for handle in (kept, changed, inside)] == [
            b"kept",
            b"before",
            b"kept",
        ]
        with pytest.raises(Nfs4Error, match="STALE"):
            text_of(client, new)
        # What was open on the reverted share has to be opened and locked again. On others it stays
        # as it was.
        with pytest.raises(Nfs4Error) as lost:
            client.read(file)
        assert lost.value.name in LOST
        client.files.remove(file)
        again = client.open(root, "changed")
        client.lock(again)
        client.write(again, 0, b"and on")
        assert client.read(again) == b"and on"
        client.write(elsewhere, 0, b"text")
        client.unlock(elsewhere, locked)
        assert text_of(client, inside) == b"kept"


class Reader:
    """Reads the same files over and over, by handles that it has taken once, while the block
    runs."""

    def __init__(self, client: Client, scene: Scene) -> None:
        self._client = client
        self._root = root_of(client, scene.share)
        self._file = client.handle_of(f"{path(scene.share).split(':', 1)[1]}/folder/kept")
        self._other = root_of(client, scene.other)
        self.rounds = 0

    def read_until(self, done: threading.Event) -> None:
        while not done.is_set():
            assert self._client.attributes(self._root, "type") == {"type": ops.DIRECTORY}
            assert text_of(self._client, self._file) == b"kept"
            seen, _ = self._client.run(putfh(self._root), lookup("changed"), read(0, 100))[-1]
            assert seen in (b"before", b"after ")
            assert self._client.attributes(self._other, "type") == {"type": ops.DIRECTORY}
            self.rounds += 1


@contextmanager
def reading(scene: Scene, count: int) -> Iterator[Callable[[], None]]:
    """Readers by both families and all minor versions, while the block runs.

    Gives a function that returns once each has come round again, or raises what one has met.
    """
    done = threading.Event()
    kinds = (Client40, Client41)
    clients = [
        kinds[number // 2 % 2](scene.netns, ADDRESSES[number % 2]) for number in range(count)
    ]
    for client in clients:
        client.establish()
    readers = [Reader(client, scene) for client in clients]
    with ThreadPoolExecutor(count) as threads:
        running = [threads.submit(reader.read_until, done) for reader in readers]

        def come_round() -> None:
            before = [reader.rounds for reader in readers]
            deadline = time.monotonic() + 20
            while any(
                reader.rounds < rounds + 2 for reader, rounds in zip(readers, before, strict=True)
            ):
                for each in running:
                    if each.done():
                        each.result()
                assert time.monotonic() < deadline, "a reader waits for ever"
                threading.Event().wait(0.01)

        try:
            yield come_round
        finally:
            done.set()
    for client in clients:
        client.link.link.close()
    for each in running:
        each.result()


def test_readers_see_no_error(site: Site, scene: Scene) -> None:
    with Client41(scene.netns, ADDRESSES[0]) as client:
        root = root_of(client, scene.share)
        make_files(client, root)
        snapshot = site.snapshot(scene.share, scene.server)
        with reading(scene, 6) as come_round:
            for number in range(REVERTS):
                client.put(root, "changed", b"after ")
                client.put(root, f"new {number}", b"text")
                come_round()
                site.driver.revert_to_snapshot(snapshot, scene.share, scene.server)
                assert sorted(client.names_in(root)) == ["changed", "folder"]
                come_round()


def test_a_revert_that_fails_before_the_exchange_leaves_nothing(site: Site, scene: Scene) -> None:
    file = site.driver.pool.path(scene.share.id) / "file"
    file.write_bytes(b"before")
    snapshot = site.snapshot(scene.share, scene.server)
    file.write_bytes(b"after")
    site.driver.teardown_server(scene.server.id, {})
    with pytest.raises(Unavailable, match="not there"):
        site.driver.revert_to_snapshot(snapshot, scene.share, scene.server)
    assert file.read_bytes() == b"after"
    assert site.driver.pool.share_ids() == sorted((scene.share.id, scene.other.id, snapshot.id))


def is_held(site: Site, server: ShareServer) -> bool:
    return client_pause.TABLE in namespaces.inside(
        site.layout(server).namespace, lambda _: packet_filter.tables()
    )


def test_the_kernel_lets_clients_go_on_when_nobody_else_does(site: Site, scene: Scene) -> None:
    """The worker has died in between, and does not come back."""
    with Client40(scene.netns, ADDRESSES[0], patience=30.0) as client:
        root = root_of(client, scene.share)
        held = client_pause.clients_paused(site.layout(scene.server).namespace, lambda: True)
        held.__enter__()
        assert not site.driver.unserved([scene.server.id]), "the worker is not kept out"
        assert client.attributes(root, "type") == {"type": ops.DIRECTORY}


def test_ensuring_a_server_lets_clients_go_on(site: Site, scene: Scene) -> None:
    held = client_pause.clients_paused(site.layout(scene.server).namespace, lambda: True)
    held.__enter__()
    assert is_held(site, scene.server)
    linux_backend.successor(site.driver).ensure_server(scene.server, [scene.share, scene.other])
    assert not is_held(site, scene.server)


# Kills itself before the system call, program or connection of that number; says which it was, or
# how many there were.
REVERT_AND_DIE = """
import os, signal, sys, msgspec
from abaca.drivers.linux.driver import LinuxDriver
from abaca.values import Share, ShareServer, Snapshot
backend, options, snapshot, share, server, last = sys.argv[1:]
kinds = (dict[str, str], Snapshot, Share, ShareServer)
options, snapshot, share, server = (
    msgspec.json.decode(text, type=kind)
    for text, kind in zip((options, snapshot, share, server), kinds)
)
driver = LinuxDriver(backend, options)
passed = 0
def count(event, arguments):
    global passed
    if event in ("subprocess.Popen", "fcntl.ioctl", "socket.connect", "ctypes.dlsym"):
        if passed == int(last):
            print(event, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        passed += 1
sys.addaudithook(count)
driver.revert_to_snapshot(snapshot, share, server)
print(passed)
"""
NEVER = 10**6


def revert_and_die(site: Site, scene: Scene, snapshot: Snapshot, at: int = NEVER) -> str:
    """What the worker was about to do when it was killed, or how much there was to do."""
    layout = site.driver.layout
    options = {"state_dir": str(layout.state_dir), "namespace": layout.namespace}
    values = [
        msgspec.json.encode(value).decode()
        for value in (options, snapshot, scene.share, scene.server)
    ]
    command = [sys.executable, "-c", REVERT_AND_DIE, linux_backend.BACKEND_NAME, *values, str(at)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == (0 if at == NEVER else -signal.SIGKILL), done.stderr
    return done.stdout.strip()


def there(site: Site) -> dict[str, list[str]]:
    layout = site.driver.layout
    return {
        kind: sorted(found) for kind, found in leftovers(layout.namespace, layout.state_dir).items()
    }


@pytest.mark.slow("a worker is killed at many places")
@pytest.mark.timeout(900)
def test_a_worker_that_is_killed_anywhere_in_a_revert_ends_it_at_its_next_start(
    site: Site, scene: Scene
) -> None:
    reverting = msgspec.structs.replace(scene.share, is_complete=False, is_resizing=True)
    with Client40(scene.netns, ADDRESSES[0], patience=30.0) as client:
        root = root_of(client, scene.share)
        folder, kept, changed = make_files(client, root)
        snapshot = site.snapshot(scene.share, scene.server)
        before = there(site)
        places = range(int(revert_and_die(site, scene, snapshot)))
        assert len(places) > 20
        for place in sample(places, one_of=16):
            client.run(putfh(changed), ops.write(0, b"after "))
            doing = f"{place}: {revert_and_die(site, scene, snapshot, place)}"
            driver = linux_backend.successor(site.driver)
            driver.check_for_setup_error()
            driver.ensure_server(scene.server, [reverting, scene.other], [snapshot])
            assert not is_held(site, scene.server), doing
            assert text_of(client, changed) in (b"before", b"after "), doing
            driver.revert_to_snapshot(snapshot, scene.share, scene.server)
            assert (
                client.attributes(root, "type")
                == client.attributes(folder, "type")
                == {"type": ops.DIRECTORY}
            )
            assert [text_of(client, handle) for handle in (kept, changed)] == [
                b"kept",
                b"before",
            ], doing
            assert driver.pool.share_ids() == sorted(
                (scene.share.id, scene.other.id, snapshot.id)
            ), doing
            assert there(site) == before, doing
