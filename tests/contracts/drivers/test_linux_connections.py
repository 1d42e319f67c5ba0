"""What one connection may keep of an NFS server: waiting threads, requests, answers. Strangers
without any access rule reach all of it."""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest

from abaca.drivers.linux import processes
from abaca.drivers.linux.file_services.nfs import nfs4
from abaca.drivers.linux.file_services.nfs.ganesha import GANESHA
from abaca.drivers.linux.file_services.nfs.nfs4 import Nfs4Error, putfh
from abaca.values import Share, ShareServer
from tests.attack.crowd import crowd
from tests.contracts.drivers.linux_site import BOTH, CLIENT, Site, assert_served, path, rule
from tests.nfs4 import operations as ops
from tests.nfs4.client import Client40, patiently
from tests.nfs4.connection import RawConnection, connect
from tests.stack import wait_for

pytestmark = [pytest.mark.root, pytest.mark.sampled_file(8)]

IPV4 = "10.0.0.5"
MIB = 1024**2
LAST = 1 << 31
SECONDS_TO_TAKE = 10


class Scene:
    """A server with a share that the client may use from any port, and a stranger with a rule on
    another share only."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.server: ShareServer = site.server(*BOTH)
        self.share: Share = site.share(
            self.server,
            rules=[rule("10.0.0.20"), rule("fd00::20")],
            extra_specs={"nfs:privileged_ports": "false"},
        )
        site.share(self.server, rules=[rule("10.0.0.0/24")])
        self.client = site.client("client", "net", *CLIENT)
        self.stranger = site.client("stranger", "net", "10.0.0.66/24")

    @property
    def pid(self) -> int:
        return processes.by_pid_file(self.site.layout(self.server).ganesha_pid, GANESHA) or 0

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def memory(self) -> int:
        (line,) = [
            line
            for line in Path(f"/proc/{self.pid}/status").read_text().splitlines()
            if line.startswith("VmRSS:")
        ]
        return int(line.split()[1]) * 1024


@pytest.fixture
def scene(site: Site) -> Iterator[Scene]:
    scene = Scene(site)
    pid = scene.pid
    yield scene
    assert scene.pid == pid != 0, "it lives"
    assert_served(scene.client, scene.share)


def is_ended(link: socket.socket) -> bool:
    """Whether the server has ended the connection; it has nothing to say on it otherwise."""
    try:
        return link.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def connection(netns: str) -> socket.socket:
    link = connect(netns, IPV4, source_port=0)
    link.setblocking(False)
    return link


def test_a_server_waits_for_the_rest_of_a_head_for_seconds_only_and_serves_meanwhile(
    scene: Scene,
) -> None:
    """More connections than it had threads before, each with three bytes of the four that say how
    long a request is."""
    sources = [f"10.0.0.{number}" for number in range(100, 106)]
    netns = scene.site.client("many", "net", *(f"{source}/24" for source in sources))
    with crowd(netns, IPV4, 300, sources) as made:
        assert made.send(b"\x80\0\0") == 3 * 300
        assert_served(scene.client, scene.share)
        wait_for(lambda: made.still_open() == 0, 10)


@pytest.mark.parametrize("fragments", ["one", "many"])
def test_a_request_is_not_longer_than_the_largest_write(scene: Scene, fragments: str) -> None:
    before = scene.memory()
    data = (
        struct.pack(">I", 0x7FFFFFFF) + bytes(MIB)
        if fragments == "one"
        else struct.pack(">I", 65536) + bytes(65536)
    )
    with connection(scene.stranger) as link:
        sent = 0
        for _ in range(1000):
            try:
                sent += link.send(data)
            except BlockingIOError:
                Event().wait(0.002)
            except OSError:
                break
        else:
            pytest.fail(f"the server has taken {sent // MIB} MiB and would go on")
    assert scene.memory() < before + 64 * MIB


def test_a_large_request_that_does_not_come_on_ends_and_a_small_one_may_wait(scene: Scene) -> None:
    with connection(scene.client) as large, connection(scene.client) as small:
        large.send(struct.pack(">I", LAST | MIB) + bytes(100))
        small.send(struct.pack(">I", LAST | 200) + bytes(100))
        wait_for(lambda: is_ended(large), 3 * SECONDS_TO_TAKE)
        assert not is_ended(small)


def test_a_mebibyte_is_written_and_read_at_once(scene: Scene) -> None:
    data = os.urandom(MIB)
    with Client40(scene.client, IPV4) as client:
        file = patiently(lambda: client.open(root_of(client, scene.share), "large", create=True))
        assert client.write(file, 0, data) == MIB
        assert client.read(file, 0, MIB) == data


def root_of(client: Client40, share: Share) -> bytes:
    return client.handle_of(path(share).split(":", 1)[1])


def large_file(client: Client40, share: Share, size: int) -> bytes:
    file = patiently(lambda: client.open(root_of(client, share), "large", create=True))
    client.run(putfh(file.handle), ops.setattr(ops.fattr(size=size), file.stateid))
    return file.handle


def test_one_request_reads_two_mebibytes_and_not_a_hundred(scene: Scene) -> None:
    """Else sixteen requests on each of a few connections would fill the server's memory."""
    with Client40(scene.client, IPV4) as client:
        handle = large_file(client, scene.share, MIB)
        assert len(client.run(putfh(handle), *[nfs4.read(0, MIB)] * 2)) == 3
        with pytest.raises(Nfs4Error, match="DELAY for operation 3"):
            client.run(putfh(handle), *[nfs4.read(0, MIB)] * 90)
        with crowd(scene.client, IPV4, 16) as made:
            made.send(client.asked(putfh(handle), *[nfs4.read(0, MIB)] * 60) * 16)
            Event().wait(3)
            assert scene.memory() < 1024 * MIB
            assert len(client.run(putfh(handle), nfs4.read(0, MIB))) == 2


@pytest.mark.parametrize("pause", [0.0, 0.02])
def test_a_client_that_asks_for_much_at_once_and_takes_it_has_every_answer(
    scene: Scene, pause: float
) -> None:
    """Slowly, too: 100 times a mebibyte and 200 small answers."""
    with Client40(scene.client, IPV4) as client:
        handle = large_file(client, scene.share, MIB)
        calls = [client.asked(putfh(handle), nfs4.read(0, MIB)) for _ in range(100)]
        calls += [client.asked(putfh(handle), nfs4.getattr("size")) for _ in range(200)]
        link = RawConnection(connect(scene.client, IPV4, source_port=0), patience=30)
        link.send(b"".join(calls))
        answers = link.link.makefile("rb")
        for _ in calls:
            head = int.from_bytes(answers.read(4), "big")
            assert head & LAST and len(answers.read(head & ~LAST)) == head & ~LAST
            Event().wait(pause)
        link.link.close()


def test_answers_that_nobody_takes_are_bounded_and_their_connections_end(scene: Scene) -> None:
    """Else they would fill the memory of the machine, and for a connection that breaks they would
    be kept for ever."""
    descriptors = scene.descriptors()
    with Client40(scene.client, IPV4) as client:
        handle = large_file(client, scene.share, MIB)
        with crowd(scene.client, IPV4, 40) as made:
            made.send(client.asked(putfh(handle), nfs4.read(0, MIB)) * 64)
            assert_served(scene.client, scene.share)
            Event().wait(2)
            assert scene.memory() < 512 * MIB
            began = time.monotonic()
            wait_for(lambda: scene.descriptors() < descriptors + 10, 6 * SECONDS_TO_TAKE)
            assert time.monotonic() - began > 0.5 * SECONDS_TO_TAKE, "they have time to take them"
    wait_for(lambda: scene.memory() < 128 * MIB, 30)


def test_a_client_that_breaks_off_leaves_nothing_behind(scene: Scene) -> None:
    with Client40(scene.client, IPV4) as client:
        handle = large_file(client, scene.share, MIB)
        descriptors = scene.descriptors()
        for _ in range(3):
            with crowd(scene.client, IPV4, 40) as made:
                made.send(client.asked(putfh(handle), nfs4.read(0, MIB)) * 64)
                Event().wait(1)
            wait_for(lambda: scene.descriptors() <= descriptors, 20)
    wait_for(lambda: scene.memory() < 128 * MIB, 30)
