"""A pool that is a sparse image on a disk that others have filled: what tenants and the service
see, and that it comes back by itself."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from abaca.drivers.linux.driver import LinuxDriver
from abaca.drivers.linux.inventory import simulate_reboot
from abaca.drivers.linux.pools.btrfs import ROOM_TO_GROW
from abaca.drivers.linux.pools.room import MIB
from abaca.errors import Unavailable
from tests.contracts.drivers import linux_backend
from tests.contracts.drivers.linux_backend import btrfs_pool, probe
from tests.contracts.drivers.linux_site import BOTH, CLIENT, Site, assert_served, path
from tests.stack import wait_for

pytestmark = [
    pytest.mark.sampled_file(8),
    pytest.mark.root,
    pytest.mark.slow("a disk is filled below real file systems"),
    pytest.mark.timeout(300),
]

DISK_MIB = 480
OTHERS_MIB = 120


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own, below the pool's image."""
    if reason := linux_backend.unavailable_reason():
        pytest.skip(reason)
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}M,mode=755", "disk", str(folder)],
        check=True,
    )
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def driver(disk: Path) -> Iterator[LinuxDriver]:
    made = linux_backend.make_linux_driver(disk, pool_size_gib="2")
    yield made
    # a pool that cannot be written cannot be emptied either
    simulate_reboot(made.layout.namespace, made.layout.state_dir)
    linux_backend.cleanup(made)


def fill(folder: Path) -> None:
    """As a tenant does who writes more than the disk has room for, until the kernel trusts the pool
    no more."""
    with suppress(OSError), open(folder / "large", "wb") as file:
        while True:
            file.write(os.urandom(MIB))
            if file.tell() % (16 * MIB) == 0:
                os.fsync(file.fileno())
    wait_for(lambda: not store(folder) and os.statvfs(folder).f_flag & os.ST_RDONLY, 90)


def store(folder: Path) -> bool:
    """Whether all that was written to the file system gets onto its disk."""
    return (
        subprocess.run(
            ["sync", "--file-system", str(folder)], capture_output=True, check=False
        ).returncode
        == 0
    )


def test_a_full_disk_below_takes_the_pool_down_until_there_is_room_again(
    driver: LinuxDriver, disk: Path
) -> None:
    others = disk / "others"
    others.write_bytes(bytes(OTHERS_MIB * MIB))
    site = Site(driver)
    server = site.server(*BOTH)
    share, greedy = site.share(server), site.share(server)
    client = site.client("client", "net", *CLIENT)
    assert probe(client, "write", path(share), "kept", "of before")["ok"]
    assert store(btrfs_pool(driver).root)
    (pool,) = driver.get_pools()
    assert pool.free_capacity_gb * 1024 < DISK_MIB, "the disk's room, not the image's"

    fill(driver.pool.path(greedy.id))
    with pytest.raises(Unavailable, match="has become read-only"):
        driver.get_pools()
    with pytest.raises(
        Unavailable, match=f"its image {driver.layout.state}/pool.img has no room to grow"
    ):
        driver.check_for_setup_error()
    assert not probe(client, "write", path(share), "more", "x")["ok"]
    assert probe(client, "read", path(share), "kept") == {"ok": True, "text": "of before"}

    others.unlink()
    assert os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize > ROOM_TO_GROW
    driver.check_for_setup_error()
    driver.ensure_server(server, [share, greedy])
    assert driver.get_pools()
    assert_served(client, share)
    assert probe(client, "read", path(share), "kept") == {"ok": True, "text": "of before"}
    driver.delete_share(greedy, server)
    assert driver.unserved([server.id]) == []
