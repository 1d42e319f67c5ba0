"""What clients are told of room (`df`): their share's, never the pool's."""

from __future__ import annotations

import os

import pytest

from abaca.drivers.linux.pools.room import GIB
from abaca.values import ExportLocation
from tests.contracts.drivers.linux_site import BOTH, CLIENT, Site
from tests.nfs4.client import Client, Client40, patiently

pytestmark = pytest.mark.root

MIB = 1024**2
NEAR = MIB  # btrfs counts what it needs itself for each file, too


def room(client: Client, location: ExportLocation) -> tuple[int, int, int]:
    """(size, use, free) in bytes."""
    handle = client.handle_of(location.path.split(":/", 1)[1])
    found = client.attributes(handle, "space_total", "space_free", "space_avail")
    assert found["space_free"] == found["space_avail"]
    return found["space_total"], found["space_total"] - found["space_free"], found["space_free"]


def test_clients_see_the_room_of_their_share(site: Site) -> None:
    server = site.server(*BOTH)
    share, neighbour = site.share(server, 2), site.share(server, 1)
    location = share.export_locations[0]
    with Client40(site.client("client", "net", *CLIENT), "10.0.0.5") as client:
        size, used, free = room(client, location)
        assert (size, free) == (2 * GIB, size - used) and used < NEAR
        file = patiently(
            lambda: client.open(client.handle_of(f"shares/{share.id}"), "file", create=True)
        )
        for number in range(40):
            client.write(file, number * MIB, os.urandom(MIB))
        (site.driver.pool.path(neighbour.id) / "file").write_bytes(os.urandom(20 * MIB))
        size, used, free = room(client, location)
        assert (size, free) == (2 * GIB, size - used) and abs(used - 40 * MIB) < NEAR
        site.driver.extend_share(share, 3, server)
        assert room(client, location)[0] == 3 * GIB
        site.driver.shrink_share(share, 1, server)
        size, used, free = room(client, location)
        assert (size, free) == (GIB, size - used) and abs(used - 40 * MIB) < NEAR
        neighbours = room(client, neighbour.export_locations[0])
        assert neighbours[0] == GIB and abs(neighbours[1] - 20 * MIB) < NEAR


def test_a_snapshot_is_as_large_as_what_it_holds(site: Site) -> None:
    server = site.server(*BOTH)
    share = site.share(server, 2)
    (site.driver.pool.path(share.id) / "file").write_bytes(os.urandom(30 * MIB))
    snapshot = site.snapshot(share, server, is_mountable=True)
    with Client40(site.client("client", "net", *CLIENT), "10.0.0.5") as client:
        size, used, free = room(client, snapshot.export_locations[0])
    assert (used, free) == (size, 0) and abs(size - 30 * MIB) < NEAR
