"""Snapshots of the shares of a group are of one instant, while a client writes; how long it waits
for that is bounded."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from ipaddress import ip_interface

import pytest

from abaca.drivers.linux import client_pause
from abaca.drivers.linux.client_pause import Pause
from abaca.errors import Unavailable
from abaca.values import Share, ShareServer, Snapshot
from tests.contracts.drivers.linux_site import BOTH, CLIENT, Site, path
from tests.nfs4.client import Client41, OpenFile
from tests.nfs4.operations import FILE_SYNC, UNSTABLE

pytestmark = pytest.mark.root

SHARES = 4
ROUNDS = 4
DIGITS = 12
# A retransmission by TCP comes up to as long again after the pause.
LONGEST_WAIT_SECONDS = 2 * client_pause.MOST_SECONDS


class Writer:
    """Writes one number after the other, each to all the shares in turn: at any instant no share is
    ahead of one before it, and the last is behind the first by one at most. `longest`: seconds for
    which it waited for an answer."""

    def __init__(self, client: Client41, files: list[OpenFile], stable: int) -> None:
        self._client, self._files, self._stable = client, files, stable
        self.number, self.longest = 0, 0.0

    def write_until(self, done: threading.Event) -> None:
        while not done.is_set():
            for file in self._files:
                began = time.monotonic()
                self._client.write(file, 0, f"{self.number:{DIGITS}}".encode(), self._stable)
                self.longest = max(self.longest, time.monotonic() - began)
            self.number += 1


@contextmanager
def writing(
    site: Site, server: ShareServer, shares: list[Share], stable: int
) -> Iterator[tuple[Writer, Callable[[], None]]]:
    """A client that writes while the block runs; with a function that returns when it has written
    more."""
    netns = site.client("client", "net", *CLIENT)
    done = threading.Event()
    with Client41(netns, str(ip_interface(BOTH[0][1]).ip), patience=60.0) as client:
        paths = [path(share).split(":", 1)[1] for share in shares]
        files = [client.open(client.handle_of(one), "file", create=True) for one in paths]
        writer = Writer(client, files, stable)
        with ThreadPoolExecutor(1) as threads:
            running = threads.submit(writer.write_until, done)

            def goes_on() -> None:
                number, deadline = writer.number, time.monotonic() + 30
                while writer.number < number + 3:
                    assert time.monotonic() < deadline and not running.done()
                    threading.Event().wait(0.005)

            try:
                yield writer, goes_on
            finally:
                done.set()
            running.result()


def numbers(site: Site, snapshots: list[Snapshot], server: ShareServer) -> list[int]:
    """What was written last, in the order of the shares."""
    pool = site.driver.file_systems.of(server.id)
    return [int((pool.path(snapshot.id) / "file").read_text()) for snapshot in snapshots]


@pytest.mark.parametrize("stable", [FILE_SYNC, UNSTABLE], ids=["stable", "unstable"])
def test_they_are_of_one_instant_while_a_client_writes(site: Site, stable: int) -> None:
    server = site.server(*BOTH)
    shares = [site.share(server) for _ in range(SHARES)]
    with writing(site, server, shares, stable) as (writer, goes_on):
        goes_on()
        for _ in range(ROUNDS):
            snapshots = [site.new_snapshot(share, server) for share in shares]
            assert site.driver.create_group_snapshot(snapshots, server).keys() == {
                snapshot.id for snapshot in snapshots
            }
            goes_on()
            found = numbers(site, snapshots, server)
            assert found == sorted(found, reverse=True) and found[0] - found[-1] <= 1, found
            assert writer.number > found[0]
            for snapshot in snapshots:
                site.driver.delete_snapshot(snapshot, server)
    assert writer.longest < LONGEST_WAIT_SECONDS


def test_a_busy_file_service_has_none_taken(site: Site) -> None:
    """Requests that are under way could still be done between two of them."""
    server = site.server(*BOTH)
    snapshots = [site.new_snapshot(site.share(server), server) for _ in range(2)]
    before = site.driver.file_systems.of(server.id).share_ids()

    @contextmanager
    def busy() -> Iterator[None]:
        with client_pause.clients_paused(site.layout(server).namespace, lambda: False) as pause:
            pause.require_kept()
            yield

    with pytest.raises(Unavailable, match="under way"):
        site.driver.file_systems.of(server.id).snapshot_all(
            {each.id: each.share.id for each in snapshots}, busy()
        )
    assert site.driver.file_systems.of(server.id).share_ids() == before


def test_a_pause_that_has_ended_was_not_kept() -> None:
    Pause(is_complete=True, ends_at=time.monotonic() + 60).require_kept()
    with pytest.raises(Unavailable, match="longer than"):
        Pause(is_complete=True, ends_at=time.monotonic()).require_kept()
