"""Promised room is kept: whatever one tenant does within what it may, another's share can be filled
to its size."""

from __future__ import annotations

import errno
import logging
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from abaca.drivers.linux import beneath
from abaca.drivers.linux.driver import LinuxDriver
from abaca.drivers.linux.pools import subvolumes
from abaca.drivers.linux.pools.btrfs import BtrfsPool
from abaca.drivers.linux.pools.room import GIB, MIB
from abaca.drivers.linux.programs import run
from abaca.errors import NoSpace
from tests.contracts.drivers import linux_backend
from tests.stack import wait_for

pytestmark = [pytest.mark.sampled_file(8), pytest.mark.root, pytest.mark.timeout(300)]

COUNTED_FILES = 20_000


@pytest.fixture
def pool_of(tmp_path: Path) -> Iterator[Callable[[int], BtrfsPool]]:
    """Makes a pool of so many GiB."""
    if reason := linux_backend.unavailable_reason():
        pytest.skip(reason)
    drivers: list[LinuxDriver] = []

    def make(gib: int) -> BtrfsPool:
        drivers.append(linux_backend.make_linux_driver(tmp_path, pool_size_gib=str(gib)))
        return linux_backend.btrfs_pool(drivers[-1])

    yield make
    for driver in drivers:
        linux_backend.cleanup(driver)


def share(pool: BtrfsPool, size_gib: int) -> str:
    share_id = str(uuid.uuid4())
    pool.create(share_id, size_gib)
    return share_id


def rewrite(pool: BtrfsPool, share_id: str, size: int) -> None:
    """Give a share new data of `size` bytes in place of all that it holds."""
    file = pool.path(share_id) / "data"
    file.unlink(missing_ok=True)
    with open(file, "wb") as data:
        os.posix_fallocate(data.fileno(), 0, size)
    stored(pool)


def stored(pool: BtrfsPool) -> None:
    run("btrfs", "filesystem", "sync", str(pool.root), timeout=300)


def write_all(folder: Path) -> int:
    """Write until the share's own limit is met; the bytes written. Fails when the pool is full
    before."""
    written = 0
    with open(folder / "all", "wb", buffering=0) as file:
        try:
            while True:
                written += file.write(b"0123456789abcdef" * (MIB // 16))
        except OSError as error:
            assert error.errno == errno.EDQUOT, f"after {written / MIB:.0f} MiB: {error}"
    return written


@pytest.mark.slow("gigabytes are written")
def test_snapshots_of_one_tenant_take_no_room_of_another(
    pool_of: Callable[[int], BtrfsPool], caplog: pytest.LogCaptureFixture
) -> None:
    """A share of 2 GiB, written anew and snapshotted five times; another's empty share in the same
    small pool can be filled all the same."""
    pool = pool_of(7)
    mine, others = share(pool, 2), share(pool, 2)
    kept, refused = [], []
    for _ in range(5):
        rewrite(pool, mine, 2 * GIB - 64 * MIB)
        snapshot = str(uuid.uuid4())
        try:
            with caplog.at_level(logging.WARNING):
                pool.snapshot(snapshot, mine)
            kept.append(snapshot)
        except NoSpace as error:
            refused.append(error.message)
            assert not pool.has(snapshot)
    assert len(kept) == 1 and len(refused) == 4
    assert all("1.94 GiB" in text and "2 GiB" in text and "7" not in text for text in refused), (
        "the tenant's own sizes, not the pool's"
    )
    assert "Promised: 4.00 of 7.00 GiB" in caplog.text, "the administrator is told"
    capacity = pool.capacity()
    assert 1.5 * GIB < capacity.kept_beside < 2 * GIB
    assert write_all(pool.path(others)) > 2 * GIB - 32 * MIB
    rewrite(pool, mine, 2 * GIB - 64 * MIB)
    pool.delete(kept[0])
    wait_for(lambda: pool.capacity().kept_beside < GIB // 4, 60)
    pool.snapshot(str(uuid.uuid4()), mine)


def test_a_snapshot_costs_what_its_share_has_written_since_the_last_one(
    pool_of: Callable[[int], BtrfsPool],
) -> None:
    pool = pool_of(2)
    mine = share(pool, 1)
    rewrite(pool, mine, 900 * MIB)
    for _ in range(5):
        pool.snapshot(str(uuid.uuid4()), mine)
    rewrite(pool, mine, 900 * MIB)
    with pytest.raises(NoSpace, match="no room for a snapshot"):
        pool.snapshot(str(uuid.uuid4()), mine)
    with pytest.raises(NoSpace, match="a share of 1 GiB"):
        share(pool, 1)
    with pytest.raises(NoSpace, match="a share of 2 GiB"):
        pool.resize(mine, 2)


def test_snapshots_of_a_group_need_room_for_all_of_them(
    pool_of: Callable[[int], BtrfsPool],
) -> None:
    """There is room for one: no client is made to wait for nothing."""
    pool = pool_of(3)
    mine = [share(pool, 1) for _ in range(2)]
    for each in mine:
        rewrite(pool, each, 900 * MIB)
    before, waited = pool.share_ids(), list[str]()

    @contextmanager
    def still() -> Iterator[None]:
        waited.append("clients")
        yield

    with pytest.raises(NoSpace, match=r"what the shares hold, 1\.76 GiB, beside .* of 2 GiB"):
        pool.snapshot_all({f"of-{number}": each for number, each in enumerate(mine)}, still())
    assert (pool.share_ids(), waited) == (before, [])
    pool.snapshot_all({"of-one": mine[0]}, nullcontext())


def test_what_was_written_a_moment_ago_counts(pool_of: Callable[[int], BtrfsPool]) -> None:
    """Data that is still in memory when its share is snapshotted."""
    pool = pool_of(2)
    mine, _ = share(pool, 1), share(pool, 1)
    (pool.path(mine) / "data").write_bytes(bytes(200 * MIB))
    with pytest.raises(NoSpace):
        pool.snapshot("snapshot", mine)
    assert not pool.has("snapshot")


def test_a_clone_is_promised_all_of_its_size(pool_of: Callable[[int], BtrfsPool]) -> None:
    pool = pool_of(3)
    mine = share(pool, 1)
    rewrite(pool, mine, 900 * MIB)
    pool.snapshot("snapshot", mine)
    with pytest.raises(NoSpace, match="a share of 2 GiB"):
        pool.clone("clone", "snapshot", 2)
    assert not pool.has("clone")
    pool.clone("clone", "snapshot", 1)
    rewrite(pool, "clone", 1000 * MIB)
    rewrite(pool, mine, 1000 * MIB)


def make_files(folder: Path, kind: str) -> None:
    first = folder / "first"
    first.touch()
    for number in range(COUNTED_FILES):
        name = folder / f"{number:0200}"
        if kind == "hard links" and number % 60_000 < 50_000:
            os.link(first, name)
            continue
        with open(name, "wb") as file:
            if kind == "small files":
                file.write(bytes(1000))
            if kind == "extended attributes":
                os.setxattr(file.fileno(), "user.large", bytes(3000))


@pytest.mark.parametrize(
    ("kind", "bytes_each"),
    [
        ("empty files", 500),
        ("hard links", 400),
        ("small files", 1500),
        ("extended attributes", 3500),
    ],
)
def test_what_has_no_data_counts_against_its_share(
    pool_of: Callable[[int], BtrfsPool], kind: str, bytes_each: int
) -> None:
    pool = pool_of(2)
    mine, others = share(pool, 1), share(pool, 1)
    before = pool.used(others)
    make_files(pool.path(mine), kind)
    assert pool.used(mine) > COUNTED_FILES * bytes_each
    assert pool.used(others) == before


def fill_with_names(folder: Path) -> int:
    """Write what is only metadata until the share's own limit is met; the files made. Fails when
    the pool is full before."""
    number = 0
    with pytest.raises(OSError, match="quota"):
        while True:
            number += 1
            with open(folder / f"names-{number}", "wb") as file:
                for attribute in range(4):
                    os.setxattr(file.fileno(), f"user.{attribute}", bytes(3500))
    return number


@pytest.mark.slow("50,000 files are made")
def test_a_share_full_of_what_has_no_data_takes_no_room_of_another(
    pool_of: Callable[[int], BtrfsPool],
) -> None:
    pool = pool_of(2)
    mine, others = share(pool, 1), share(pool, 1)
    assert fill_with_names(pool.path(mine)) > 50_000
    assert write_all(pool.path(others)) > GIB - 32 * MIB
    (pool.path(mine) / "names-1").unlink()


@pytest.mark.slow("gigabytes are written")
def test_room_that_data_has_left_behind_can_hold_names(pool_of: Callable[[int], BtrfsPool]) -> None:
    """btrfs keeps it for data, even when nearly all of that has been deleted: nobody could make a
    file any more."""
    pool = pool_of(2)
    shares = [share(pool, 1), share(pool, 1)]
    for share_id in shares:
        for number in range(250):
            with open(pool.path(share_id) / f"data-{number}", "wb") as file:
                os.posix_fallocate(file.fileno(), 0, 4 * MIB)
    stored(pool)
    for share_id in shares:
        for number in range(250):
            if number % 8:
                (pool.path(share_id) / f"data-{number}").unlink()
    stored(pool)
    with beneath.folder(pool.root) as top:
        data = subvolumes.settings(top) / "allocation" / "data" / "total_bytes"
    assert int(data.read_text()) > GIB
    wait_for(lambda: pool.capacity() and int(data.read_text()) < GIB, 90)
    for share_id in shares:
        assert fill_with_names(pool.path(share_id)) > 40_000


def test_a_count_that_btrfs_has_lost_is_made_again(pool_of: Callable[[int], BtrfsPool]) -> None:
    """Newer kernels stop counting when something large is deleted, unless told otherwise: nobody
    would have a limit."""
    pool = pool_of(2)
    with beneath.folder(pool.root) as top:
        settings = subvolumes.settings(top) / "qgroups"
    if not (settings / "drop_subtree_threshold").exists():
        pytest.skip("this kernel always counts")
    assert (settings / "drop_subtree_threshold").read_text().strip() == "8"
    large = share(pool, 1)
    make_files(pool.path(large), "empty files")
    pool.snapshot("large", large)
    (pool.path(large) / "first").unlink()
    stored(pool)
    (settings / "drop_subtree_threshold").write_text("0")
    pool.delete("large")
    run("btrfs", "subvolume", "sync", str(pool.root), timeout=90)
    wait_for(lambda: (settings / "inconsistent").read_text().strip() == "1", 30)
    pool.capacity()
    wait_for(lambda: (settings / "inconsistent").read_text().strip() == "0", 90)
    mine = share(pool, 1)
    rewrite(pool, mine, 900 * MIB)
    with open(pool.path(mine) / "more", "wb") as more, pytest.raises(OSError, match="quota"):
        os.posix_fallocate(more.fileno(), 0, 200 * MIB)


def test_a_pool_that_keeps_metadata_twice_is_told(
    pool_of: Callable[[int], BtrfsPool], caplog: pytest.LogCaptureFixture
) -> None:
    pool = pool_of(2)
    assert "metadata" not in caplog.text
    run("btrfs", "balance", "start", "-mconvert=dup", str(pool.root))
    with caplog.at_level(logging.WARNING):
        pool.prepare(lambda: None)
    assert "keeps metadata twice" in caplog.text
