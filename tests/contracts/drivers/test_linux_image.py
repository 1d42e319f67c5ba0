"""The image of a pool: its room on the disk below is taken at once, so nobody who fills that disk
takes what tenants are promised."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from abaca.drivers.linux.driver import LinuxDriver
from abaca.drivers.linux.pools.image import STATE_RESERVE
from abaca.drivers.linux.pools.room import GIB, MIB
from abaca.drivers.linux.programs import run
from abaca.errors import Unavailable
from tests.contracts.drivers import linux_backend
from tests.contracts.drivers.test_linux_promises import write_all

pytestmark = [pytest.mark.sampled_file(8), pytest.mark.root, pytest.mark.timeout(300)]

DISK_MIB = 3300


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
def reserving(disk: Path) -> Iterator[LinuxDriver]:
    driver = linux_backend.make_linux_driver(disk, pool_size_gib="1", pool_sparse="false")
    yield driver
    linux_backend.cleanup(driver)


def image_of(driver: LinuxDriver) -> Path:
    return driver.layout.state / "pool.img"


def is_reserved(driver: LinuxDriver) -> bool:
    found = image_of(driver).stat()
    return found.st_blocks * 512 >= found.st_size


def fill(disk: Path) -> None:
    """As anybody else does who writes to that disk."""
    left = os.statvfs(disk)
    with open(disk / "others", "wb") as file:
        os.posix_fallocate(file.fileno(), 0, left.f_bavail * left.f_frsize)


@pytest.mark.slow("gigabytes are written")
def test_a_full_disk_below_takes_nothing_from_a_pool(reserving: LinuxDriver, disk: Path) -> None:
    pool = linux_backend.btrfs_pool(reserving)
    pool.create("share", 1)
    assert is_reserved(reserving)
    left = os.statvfs(disk)
    assert left.f_bavail * left.f_frsize >= STATE_RESERVE
    fill(disk)
    assert write_all(pool.path("share")) > GIB - 32 * MIB
    run("btrfs", "filesystem", "sync", str(pool.root))
    assert reserving.get_pools()


def test_what_is_deleted_stays_reserved(reserving: LinuxDriver) -> None:
    """Also after an fstrim, which gives to the disk for a moment what is free, such as the end of a
    pool that is nearly empty."""
    pool = linux_backend.btrfs_pool(reserving)
    pool.create("share", 1)
    (pool.path("share") / "data").write_bytes(os.urandom(64 * MIB))
    run("btrfs", "filesystem", "sync", str(pool.root))
    (pool.path("share") / "data").unlink()
    run("btrfs", "filesystem", "sync", str(pool.root))
    assert is_reserved(reserving)
    size = image_of(reserving).stat().st_size
    run(
        "fallocate",
        "--punch-hole",
        "--offset",
        str(size - 64 * MIB),
        "--length",
        str(32 * MIB),
        str(image_of(reserving)),
    )
    assert not is_reserved(reserving)
    reserving.get_pools()
    assert is_reserved(reserving)


def test_a_disk_without_room_says_so_and_is_not_filled(disk: Path) -> None:
    """Something must be left to the database and the logs beside the image."""
    before = os.statvfs(disk).f_bavail
    with pytest.raises(
        Unavailable,
        match=r"needs 4\.0 GiB more on its disk, which has 3\.2, of which 1 must be left: .* "
        r"pool_sparse = true",
    ):
        linux_backend.make_linux_driver(disk, pool_size_gib="3", pool_sparse="false")
    assert os.statvfs(disk).f_bavail >= before - 16


def test_a_sparse_image_of_before_is_reserved_at_the_next_start(disk: Path) -> None:
    sparse = linux_backend.make_linux_driver(disk, pool_size_gib="1")
    try:
        sparse.pool.create("share", 1)
        (sparse.pool.path("share") / "kept").write_text("of before")
        assert not is_reserved(sparse)
        reserving = linux_backend.successor(sparse, pool_sparse="false")
        reserving.check_for_setup_error()
        assert is_reserved(reserving)
        assert (reserving.pool.path("share") / "kept").read_text() == "of before"
    finally:
        linux_backend.cleanup(sparse)


def test_a_pool_of_no_given_size_leaves_half_of_a_small_disk(disk: Path) -> None:
    driver = linux_backend.make_linux_driver(disk, pool_size_gib="")
    try:
        (pool,) = driver.get_pools()
        assert 1 <= pool.total_capacity_gb < 1.5
    finally:
        linux_backend.cleanup(driver)


def test_an_image_whose_making_was_cut_off_is_made_again(disk: Path) -> None:
    driver = linux_backend.make_linux_driver(disk, pool_size_gib="1")
    try:
        image = image_of(driver)
        image.rename(image.with_name(".pool.img.new"))  # as it is until it is whole, and mounted
        driver.check_for_setup_error()
        assert image.exists()
        driver.pool.create("share", 1)
    finally:
        linux_backend.cleanup(driver)


def on_stable_storage(driver: LinuxDriver) -> set[str]:
    """What is in the pool after a power cut in this moment: by the image alone, not by the mounted
    file system."""
    image = str(image_of(driver))
    names = run("btrfs", "inspect-internal", "dump-tree", "--noscan", "--tree", "root", image)
    return {line.split(" name ")[1] for line in names.splitlines() if "root ref key" in line}


def test_what_a_call_has_made_or_deleted_outlives_a_power_cut(disk: Path) -> None:
    driver = linux_backend.make_linux_driver(disk, pool_size_gib="1")
    try:
        pool = driver.pool
        pool.create("share", 1)
        assert "share" in on_stable_storage(driver)
        pool.snapshot("snapshot", "share")
        assert "snapshot" in on_stable_storage(driver)
        pool.delete("snapshot")
        assert not {"snapshot"} & on_stable_storage(driver)
        pool.delete("share")
        assert not {"share"} & on_stable_storage(driver)
    finally:
        linux_backend.cleanup(driver)
