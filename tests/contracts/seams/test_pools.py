"""What every kind of pool must do: the contract of `pools/interface.py`, tried without networks,
servers and clients."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import pytest

from abaca.drivers.linux import mounts
from abaca.drivers.linux.pools.cephfs.file_systems import CephFileSystems
from abaca.drivers.linux.pools.cephfs.pool import CephPool
from abaca.drivers.linux.pools.interface import FileSystems, NotThere, Pool
from abaca.errors import NoSpace, Refused, Unavailable
from tests.contracts.seams.installation import installation, pools

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]

KINDS = {
    "one for all": {},
    "an image a share server": {"image_per_share_server": "true"},
    "CephFS": {"pool_size_gib": "", "pool_sparse": "false"},
}
GIB = 1024**3
DATA_ONLY = {"nodev", "nosuid", "noexec", "nosymfollow"}


@pytest.fixture(scope="module", params=KINDS)
def again(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], FileSystems]]:
    """Makes the pools as a new worker has them, that remembers nothing. An installation's are of
    one kind for life."""
    options = dict(KINDS[request.param])
    if request.param == "CephFS":
        options |= request.getfixturevalue("ceph").options()
    installed = installation(tmp_path_factory)
    layout = next(installed)
    made: list[FileSystems] = []

    def make() -> FileSystems:
        made.append(pools(layout, **options))
        made[-1].prepare()
        return made[-1]

    yield make
    for each in made:
        if isinstance(each, CephFileSystems):
            each.remove_everything()
            each.close()
    next(installed, None)


@pytest.fixture(scope="module")
def all_pools(again: Callable[[], FileSystems]) -> FileSystems:
    return again()


@pytest.fixture
def server_id(all_pools: FileSystems) -> Iterator[str]:
    made = f"server-{uuid.uuid4().hex[:8]}"
    all_pools.ensure(made)
    yield made
    with suppress(NotThere):
        pool = all_pools.of(made)
        for share_id in pool.share_ids():
            pool.delete(share_id)
    all_pools.remove(made)


@pytest.fixture
def pool(all_pools: FileSystems, server_id: str) -> Pool:
    return all_pools.of(server_id)


@pytest.fixture
def here(pool: Pool) -> None:
    """Skips where the data of shares are not on this host."""
    if isinstance(pool, CephPool):
        pytest.skip("this host mounts nothing of CephFS")


@pytest.fixture
def point(here: None, tmp_path: Path) -> Iterator[Path]:
    """Where a test mounts something."""
    made = tmp_path / "point"
    yield made
    mounts.unmount(made)


def text_of(pool: Pool, share_id: str) -> str:
    return (pool.path(share_id) / "file").read_text()


def write(pool: Pool, share_id: str, text: str) -> None:
    (pool.path(share_id) / "file").write_text(text)


def test_a_share_is_made_once_and_found_by_a_new_worker(
    again: Callable[[], FileSystems], pool: Pool, server_id: str, here: None
) -> None:
    assert not pool.has("share")
    pool.create("share", 1)
    write(pool, "share", "kept")
    pool.create("share", 1)
    for found in (pool, again().of(server_id)):
        assert (
            found.has("share")
            and found.share_ids() == ["share"]
            and text_of(found, "share") == "kept"
        )


def test_a_share_without_room_is_no_space_and_leaves_nothing(pool: Pool) -> None:
    with pytest.raises(NoSpace):
        pool.create("share", 5000)
    assert pool.share_ids() == []


def test_a_share_is_mounted_by_itself_as_data_only_and_takes_no_more_than_its_size(
    pool: Pool, point: Path
) -> None:
    pool.create("share", 1)
    pool.create("other", 1)
    assert pool.mount("share", point)
    assert not pool.mount("share", point), "it is mounted"
    (mounted,) = mounts.mounts_below(point)
    assert mounted.flags >= DATA_ONLY and "ro" not in mounted.flags
    (point / "file").write_text("by its mount")
    assert text_of(pool, "share") == "by its mount" and list(pool.path("other").iterdir()) == []
    with open(point / "large", "wb") as file, pytest.raises(OSError) as full:
        os.posix_fallocate(file.fileno(), 0, 2 * GIB)
    assert full.value.errno == errno.EDQUOT
    assert pool.mount("other", point), "what was mounted there is replaced"
    assert len(mounts.mounts_below(point)) == 1 and list(point.iterdir()) == []
    with pytest.raises(NotThere):
        pool.mount("gone", point)


def test_a_snapshot_keeps_what_the_share_held_and_is_only_read(pool: Pool, point: Path) -> None:
    pool.create("share", 1)
    write(pool, "share", "before")
    pool.snapshot("snapshot", "share")
    write(pool, "share", "after")
    pool.snapshot("snapshot", "share")
    assert (text_of(pool, "snapshot"), text_of(pool, "share")) == ("before", "after")
    assert pool.mount("snapshot", point, read_only=True)
    (mounted,) = mounts.mounts_below(point)
    assert mounted.flags >= {*DATA_ONLY, "ro"}
    for file in (point / "file", pool.path("snapshot") / "file"):
        with pytest.raises(OSError) as refused:
            file.write_text("changed")
        assert refused.value.errno == errno.EROFS


def test_snapshots_of_several_shares_are_all_taken_anew_or_none_is_left(
    pool: Pool, here: None
) -> None:
    shares = ("one", "two")
    for share in shares:
        pool.create(share, 1)
        write(pool, share, "before")
    taken = {f"of-{share}": share for share in shares}
    pool.snapshot("of-one", "one")  # of a call that was lost
    seen: list[list[str]] = []

    @contextmanager
    def still(fault: Exception | None = None) -> Iterator[None]:
        for share in shares:
            write(pool, share, "after")
        seen.append(pool.share_ids())
        yield
        seen.append(pool.share_ids())
        if fault is not None:
            raise fault

    pool.snapshot_all(taken, still())
    assert seen == [["one", "two"], ["of-one", "of-two", "one", "two"]], "all within the moment"
    assert [text_of(pool, snapshot) for snapshot in taken] == ["after"] * 2
    with pytest.raises(Unavailable):
        pool.snapshot_all(taken, still(Unavailable("not kept")))
    assert pool.share_ids() == ["one", "two"]
    with pytest.raises(NotThere):
        pool.snapshot_all({"of-one": "one", "of-gone": "gone"}, nullcontext())
    assert pool.share_ids() == ["one", "two"]


def test_whose_snapshot_one_is(pool: Pool) -> None:
    for share in ("share", "other"):
        pool.create(share, 1)
    pool.snapshot("snapshot", "share")
    pool.clone("clone", "snapshot", 1)
    told = {
        (one, share): pool.is_snapshot_of(one, share)
        for one in ("snapshot", "clone", "share", "other", "nothing")
        for share in ("share", "other", "nothing")
    }
    assert [pair for pair, is_so in told.items() if is_so] == [("snapshot", "share")]


def test_a_clone_is_a_share_of_its_own(pool: Pool, here: None) -> None:
    pool.create("share", 1)
    write(pool, "share", "kept")
    pool.snapshot("snapshot", "share")
    pool.clone("clone", "snapshot", 2)
    write(pool, "clone", "its own")
    pool.clone("clone", "snapshot", 2)
    pool.delete("snapshot")
    assert (text_of(pool, "share"), text_of(pool, "clone")) == ("kept", "its own")
    pool.delete("share")
    assert pool.share_ids() == ["clone"]
    with pytest.raises(NotThere):
        pool.clone("another", "snapshot", 1)


@contextmanager
def counted(times: list[str]) -> Iterator[None]:
    times.append("unused")
    yield


class CutOff(Exception):
    """Whatever may end a call early."""


@contextmanager
def cut_off() -> Iterator[None]:
    yield from ()
    raise CutOff


def test_a_share_is_reverted_however_often_that_was_cut_off(pool: Pool, here: None) -> None:
    pool.create("share", 1)
    write(pool, "share", "before")
    pool.snapshot("snapshot", "share")
    pool.resize("share", 2)
    write(pool, "share", "after")
    with pytest.raises(CutOff):
        pool.revert("share", "snapshot", 1, cut_off())
    assert text_of(pool, "share") == "after" and pool.share_ids() == ["share", "snapshot"]
    entered: list[str] = []
    for _ in range(2):
        pool.revert("share", "snapshot", 1, counted(entered))
        assert text_of(pool, "share") == text_of(pool, "snapshot") == "before"
    assert entered == ["unused", "unused"] and pool.share_ids() == ["share", "snapshot"]
    write(pool, "share", "again")
    assert text_of(pool, "snapshot") == "before"


def test_a_share_is_resized_but_not_below_what_it_holds(pool: Pool, here: None) -> None:
    pool.create("share", 2)
    with open(pool.path("share") / "large", "wb") as file:
        os.posix_fallocate(file.fileno(), 0, 3 * GIB // 2)
        os.fsync(file.fileno())
    assert pool.used("share") >= 3 * GIB // 2
    with pytest.raises(Refused, match=r"1\.50 GiB.*1 GiB") as refused:
        pool.resize("share", 1)
    assert refused.value.is_public
    with pytest.raises(NoSpace):
        pool.resize("share", 5000)
    for _ in range(2):
        pool.resize("share", 3)
    with open(pool.path("share") / "more", "wb") as file:
        os.posix_fallocate(file.fileno(), 0, GIB)
    pool.ensure_limits({"share": 1})
    with pytest.raises(OSError, match="quota"):
        (pool.path("share") / "one more").write_text("x")


def test_a_share_is_deleted_again_and_what_is_no_share_counts_for_none(
    all_pools: FileSystems, pool: Pool
) -> None:
    pool.create("share", 1)
    pool.snapshot("snapshot", "share")
    number = pool.ensure_empty("proof-own")
    assert number == pool.ensure_empty("proof-own") != pool.ensure_empty("proof-other")
    assert "proof-own" not in pool.share_ids()
    assert pool.used("share") >= 0
    assert all_pools.used_by_share().keys() & {"share", "snapshot", "proof-own", "proof-other"} == {
        "share"
    }
    for _ in range(2):
        pool.delete("share")
        pool.delete("snapshot")
    assert pool.share_ids() == []


def test_nothing_is_followed_that_is_in_the_place_of_a_share(
    pool: Pool, point: Path, tmp_path: Path
) -> None:
    pool.create("share", 1)
    target = tmp_path / "target"
    target.mkdir()
    (target / "file").write_text("of this host")
    pool.path("link").symlink_to(target)
    pool.path("folder").mkdir()
    try:
        for name in ("link", "folder"):
            for act in (
                lambda name=name: pool.mount(name, point),
                lambda name=name: pool.create(name, 1),
                lambda name=name: pool.snapshot("snapshot", name),
                lambda name=name: pool.delete(name),
                lambda name=name: pool.resize(name, 1),
            ):
                with pytest.raises(Refused):
                    act()
        for bad in ("../share", ".", "", "a/b"):
            with pytest.raises(Refused):
                pool.create(bad, 1)
        assert (target / "file").read_text() == "of this host" and not mounts.mounts_below(point)
        assert pool.share_ids() == ["share"]
    finally:
        pool.path("link").unlink()
        pool.path("folder").rmdir()


def test_what_holds_shares_is_not_removed_with_its_server(
    all_pools: FileSystems, pool: Pool, server_id: str, here: None
) -> None:
    pool.create("share", 1)
    write(pool, "share", "kept")
    all_pools.remove(server_id)
    all_pools.ensure(server_id)
    assert text_of(all_pools.of(server_id), "share") == "kept"
    all_pools.of(server_id).delete("share")
    for _ in range(2):
        all_pools.remove(server_id)
    all_pools.ensure(server_id)
    assert all_pools.of(server_id).share_ids() == []


def test_it_tells_its_capacity_and_that_its_disk_answers(
    all_pools: FileSystems, pool: Pool
) -> None:
    before = all_pools.capacity()
    assert before.total >= before.free > GIB and before.kept_beside >= 0
    assert all_pools.answers(60)
    counts = pool.counts()
    assert counts is None or counts.is_dir()


def test_what_is_not_on_this_host_is_found_by_a_source(
    again: Callable[[], FileSystems], pool: Pool, server_id: str
) -> None:
    """Each share by one of its own, the same for a new worker; a mounted one by none."""
    for share in ("share", "other"):
        pool.create(share, 1)
    found = {share: pool.source(share) for share in ("share", "other")}
    if not isinstance(pool, CephPool):
        assert found == {"share": None, "other": None}
        return
    for one, other in zip(found["share"] or (), found["other"] or (), strict=True):
        assert one != other or one == "cephfs"
    assert again().of(server_id).source("share") == found["share"]
    with pytest.raises(NotThere):
        pool.source("gone")
    pool.snapshot("snapshot", "share")
    pool.clone("clone", "snapshot", 2)
    for share in ("share", "snapshot", "other", "clone"):
        pool.delete(share)
        with pytest.raises(NotThere):
            pool.source(share)
    assert pool.share_ids() == []
