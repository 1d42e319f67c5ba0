"""Backups of shares on the Linux back end: a real restic in its cell, and what is in its way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from abaca.drivers.linux import control_groups, processes
from abaca.drivers.linux.backups.cell import READING
from abaca.drivers.linux.backups.target import MARK, Target
from abaca.drivers.linux.driver import LinuxDriver
from abaca.drivers.linux.pools.room import GIB
from abaca.errors import BackendError, NoSpace, OutcomeUnknown, Refused, Unavailable
from abaca.values import Backup, BackupProgress, Share, ShareServer
from tests.contracts.drivers import linux_backend, odd_tree
from tests.contracts.drivers.linux_site import BOTH, Site

pytestmark = [pytest.mark.root, pytest.mark.sampled_file(8)]

PROJECT = "project"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("backups")


@pytest.fixture(scope="module")
def backup_driver(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[LinuxDriver]:
    if reason := linux_backend.unavailable_reason():
        pytest.skip(reason)
    driver = linux_backend.make_linux_driver(
        tmp_path_factory.mktemp("linux"), backup_folder=str(folder)
    )
    yield driver
    linux_backend.cleanup(driver)


class Scene(NamedTuple):
    """A share, its data, and where its backups are."""

    site: Site
    driver: LinuxDriver
    server: ShareServer
    share: Share
    data: Path
    folder: Path

    def backup(self) -> Backup:
        return Backup(
            id=str(uuid.uuid4()), share_id=self.share.share_id, project_id=PROJECT, size=1
        )

    def make(self, backup: Backup) -> None:
        self.driver.begin_backup(backup, self.share, self.server)
        carry_on(lambda: self.driver.continue_backup(backup))
        self.driver.end_backup(backup, self.share, self.server)

    def restore(self, backup: Backup, share: Share | None = None) -> None:
        into = share or self.share
        carry_on(lambda: self.driver.continue_restore(backup, into))
        self.driver.end_restore(backup, into, self.server)

    def password(self, backup: Backup) -> bytes:
        target = Target.of({"backup_folder": str(self.folder)}, self.driver.layout)
        assert target is not None
        return target.password(backup).encode()

    def repository(self) -> Path:
        return self.folder / PROJECT / self.share.share_id


@pytest.fixture
def scene(backup_driver: LinuxDriver, folder: Path) -> Iterator[Scene]:
    site = Site(backup_driver)
    server = site.server(*BOTH[:1])
    share = site.share(server)
    yield Scene(site, backup_driver, server, share, site.data(share), folder)
    site.clear()


def carry_on(call: Callable[[], BackupProgress]) -> None:
    for _ in range(20):
        if call().is_done:
            return
    raise AssertionError("it is not done")


def random_data(folder: Path, mib: int) -> None:
    with open(folder / "random", "wb") as file:
        for _ in range(mib):
            file.write(os.urandom(1 << 20))


def left(scene: Scene) -> list[str]:
    """What work on backups has left beside shares and repositories."""
    jobs = scene.driver.layout.backup_jobs
    names = control_groups.names()
    return [
        *(
            each.name
            for each in scene.data.parent.iterdir()
            if each.name[:7] in ("backup-", "restore")
        ),
        *(each.name for each in (jobs.iterdir() if jobs.exists() else ())),
        *(each for each in names if each.startswith(f"{scene.driver.layout.namespace}.copy-")),
        *(each for each in names if each.startswith(f"{scene.driver.layout.namespace}.fetch-")),
    ]


def snapshots(scene: Scene) -> int:
    """How many backups the repository of the share has."""
    return len(list((scene.repository() / "snapshots").iterdir()))


def working(backup: Backup) -> list[int]:
    """What works on a backup, outside of the cell."""
    python = Path(sys.executable).name
    return [
        pid
        for pid in processes.find(python, "abaca.drivers.linux.backups.work")
        if backup.id.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


def restic_at(backup: Backup, command: str) -> int | None:
    """The restic that does this for a backup now."""
    for pid in working(backup):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            if command.encode() in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0"):
                return int(child)
    return None


@contextmanager
def copying(scene: Scene, backup: Backup) -> Iterator[int]:
    """In this block restic copies the share; its process. It does not wait for the reader."""
    random_data(scene.data, 200)
    scene.driver.begin_backup(backup, scene.share, scene.server)
    scene.driver.call_seconds = 0
    try:
        assert not scene.driver.continue_backup(backup).is_done
        found: list[int] = []

        def is_there() -> bool:
            pid = restic_at(backup, "backup")
            found.extend([pid] if pid else [])
            return pid is not None

        assert processes.wait_until(is_there, 120)
        yield found[0]
    finally:
        scene.driver.call_seconds = 50


def test_a_share_gets_back_what_it_held(scene: Scene) -> None:
    (scene.data / "file").write_text("before")
    backup = scene.backup()
    scene.make(backup)
    (scene.data / "file").write_text("after")
    (scene.data / "new").write_text("new")
    scene.restore(backup)
    assert [each.name for each in scene.data.iterdir()] == ["file"]
    assert (scene.data / "file").read_text() == "before"
    assert scene.driver.pool.used(scene.share.id) < 1 << 20
    with pytest.raises(OSError, match="quota"):
        random_data(scene.data, 1100)
    scene.driver.delete_backup(backup)
    assert not scene.repository().exists() and left(scene) == []


def test_a_hostile_tree_comes_back_as_it_was(scene: Scene) -> None:
    odd_tree.make(scene.data)
    lost = odd_tree.add_what_is_not_kept(scene.data)
    before = odd_tree.seen(scene.data)
    backup, again = scene.backup(), scene.backup()
    scene.make(backup)
    first = stored(scene)
    scene.make(again)
    assert stored(scene) - first < first / 2  # the names of all files
    other = scene.site.share(scene.server)
    scene.restore(again, other)
    after = odd_tree.seen(scene.site.data(other))
    assert {os.fsdecode(name) for name in before.keys() - after.keys()} == set(lost)
    assert after == {name: seen for name, seen in before.items() if name in after}
    assert odd_tree.seen(scene.data) == before
    scene.driver.delete_backup(backup)
    assert snapshots(scene) == 1 and left(scene) == []
    scene.driver.delete_backup(again)


def stored(scene: Scene) -> int:
    """Bytes of all backups of the share."""
    return sum(each.stat().st_size for each in scene.repository().rglob("*"))


def test_what_lies_too_deep_is_said(scene: Scene) -> None:
    top = os.open(scene.data, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("d" * 250, dir_fd=top)
        below = os.open("d" * 250, os.O_RDONLY, dir_fd=top)
        os.close(top)
        top = below
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=top))
    os.close(top)
    backup = scene.backup()
    with pytest.raises(Refused, match="cannot be backed up") as refused:
        scene.make(backup)
    assert refused.value.is_public
    scene.driver.end_backup(backup, scene.share, scene.server)
    scene.driver.delete_backup(backup)
    assert not scene.repository().exists() and left(scene) == []


def test_restic_sees_one_share_and_its_backups_only(scene: Scene) -> None:
    backup = scene.backup()
    with copying(scene, backup) as pid:
        process = Path(f"/proc/{pid}")
        status = dict(
            line.split(":\t", 1) for line in (process / "status").read_text().splitlines()
        )
        mounted = {
            line.split(" ")[4]: set(line.split(" ")[5].split(","))
            for line in (process / "mountinfo").read_text().splitlines()
        }
        outside = [
            kind
            for kind in ("mnt", "net", "pid", "ipc", "uts", "cgroup")
            if os.readlink(process / "ns" / kind) == os.readlink(f"/proc/self/ns/{kind}")
        ]
        passwords = [
            each
            for file in ("cmdline", "environ")
            for each in (pid, *working(backup))
            if scene.password(backup) in Path(f"/proc/{each}/{file}").read_bytes()
        ]
        reached = sorted(os.listdir(process / "root"))
        limits = control_groups.limits_of(pid)
    assert outside == [] and passwords == []
    assert {status[name] for name in ("CapEff", "CapPrm", "CapBnd")} == {f"{READING:016x}"}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert mounted.keys() <= {
        "/", "/usr/lib", "/usr/lib64", "/usr/bin/restic", "/repository", "/share",
    }  # fmt: skip
    assert {"ro", "nodev", "nosuid", "noexec", "nosymfollow"} <= mounted["/share"]
    assert {"nodev", "nosuid", "noexec"} <= mounted["/repository"] and "ro" in mounted["/"]
    assert set(reached) <= {"lib", "lib64", "usr", "repository", "share"}
    assert not limits or limits[control_groups.MEMORY] == 1 << 30
    scene.driver.end_backup(backup, scene.share, scene.server)
    assert working(backup) == []
    scene.driver.delete_backup(backup)
    assert left(scene) == []


IN_A_CELL = """
import json, sys
from abaca.drivers.linux.backups import cell
program, argv, view = json.loads(sys.argv[1])
cell.become(program, argv, {}, cell.View(*view))
"""
MAKE_A_SUBVOLUME = """
import fcntl, os, struct
open("/share/file", "w").close()
made = bytearray(struct.pack("q", 0) + b"more".ljust(4088, b"\\0"))
try:
    fcntl.ioctl(os.open("/share", os.O_RDONLY), 0x5000940E, made)
except PermissionError:
    print("refused")
"""


def test_restic_taken_over_makes_no_subvolumes(backup_driver: LinuxDriver, tmp_path: Path) -> None:
    """Which would have no limit, and keep the share from being deleted."""
    pool, name = backup_driver.pool, "restore-probe"
    pool.create(name, 1)
    for folder in ("root", "repository"):
        (tmp_path / folder).mkdir()
    view = (str(tmp_path / "root"), str(tmp_path / "repository"), *pool.place(name), True)
    program = "/usr/bin/python3"
    argv = [program, "-c", MAKE_A_SUBVOLUME]
    given = json.dumps([os.path.realpath(program), argv, view])
    done = subprocess.run(
        [sys.executable, "-c", IN_A_CELL, given], capture_output=True, text=True, check=False
    )
    try:
        assert (done.stdout, done.stderr) == ("refused\n", "")
    finally:
        pool.delete(name)


@pytest.mark.parametrize("who", ["restic", "work"])
def test_what_was_killed_begins_anew(scene: Scene, who: str) -> None:
    backup = scene.backup()
    with copying(scene, backup) as pid:
        os.kill(pid if who == "restic" else working(backup)[0], signal.SIGKILL)
        assert processes.wait_until(lambda: not Path(f"/proc/{pid}").exists(), 60)
    if who == "restic":  # and what runs it says so
        with pytest.raises(OutcomeUnknown, match="killed"):
            scene.driver.continue_backup(backup)
    carry_on(lambda: scene.driver.continue_backup(backup))
    assert snapshots(scene) == 1
    scene.driver.end_backup(backup, scene.share, scene.server)
    scene.driver.delete_backup(backup)
    assert left(scene) == []


def test_the_next_worker_goes_on_with_what_runs(scene: Scene) -> None:
    backup = scene.backup()
    with copying(scene, backup) as pid:
        successor = linux_backend.successor(scene.driver)
        carry_on(lambda: successor.continue_backup(backup))
        assert not Path(f"/proc/{pid}").exists() or restic_at(backup, "backup") in (None, pid)
    assert scene.driver.continue_backup(backup).is_done and snapshots(scene) == 1
    # All that is known of it is lost, as by a restart of the machine.
    subprocess.run(["rm", "-r", str(scene.driver.layout.backup_jobs)], check=True)
    carry_on(lambda: scene.driver.continue_backup(backup))
    assert snapshots(scene) == 1
    scene.driver.end_backup(backup, scene.share, scene.server)
    scene.driver.delete_backup(backup)
    assert left(scene) == []


def test_ending_stops_the_copying(scene: Scene) -> None:
    backup = scene.backup()
    with copying(scene, backup) as pid:
        scene.driver.end_backup(backup, scene.share, scene.server)
        assert not Path(f"/proc/{pid}").exists() or restic_at(backup, "backup") is None
        assert working(backup) == [] and left(scene) == []
    scene.driver.delete_backup(backup)
    assert not scene.repository().exists()


def test_a_full_target_is_said_and_can_be_used_again(scene: Scene, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m,mode=0700", "none", small], check=True)
    try:
        driver = linux_backend.successor(scene.driver, backup_folder=str(small))
        tight = scene._replace(driver=driver, folder=small)
        random_data(scene.data, 40)
        backup = scene.backup()
        with pytest.raises(NoSpace, match="no room left where backups are kept") as full:
            tight.make(backup)
        assert full.value.is_public
        driver.end_backup(backup, scene.share, scene.server)
        driver.delete_backup(backup)
        assert [each.name for each in small.iterdir()] == [MARK] and left(scene) == []
        (scene.data / "random").unlink()
        tight.make(scene.backup())
    finally:
        subprocess.run(["umount", small], check=True)


@pytest.mark.slow("a folder of backups that answers nothing for more than a minute")
def test_a_slow_target_has_the_time_that_it_needs_to_remove_a_repository(
    scene: Scene, tmp_path: Path
) -> None:
    """As with tens of thousands of files over a network: with each of them a request."""
    slow, image = tmp_path / "slow", tmp_path / "image"
    slow.mkdir()
    with image.open("wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, slow], check=True)
    thaw = threading.Timer(66, subprocess.run, (["fsfreeze", "--unfreeze", slow],))
    try:
        slow.chmod(0o700)
        driver = linux_backend.successor(scene.driver, backup_folder=str(slow))
        slowly = scene._replace(driver=driver, folder=slow)
        backup = scene.backup()
        target = driver.backup_target
        assert target is not None
        target.require()
        (slowly.repository() / "data" / "00").mkdir(parents=True)  # its removal has begun
        subprocess.run(["fsfreeze", "--freeze", slow], check=True)
        thaw.start()
        driver.delete_backup(backup)
        assert not slowly.repository().exists() and left(scene) == []
    finally:
        if thaw.ident is not None:
            thaw.join()
        subprocess.run(["umount", slow], check=True)


def test_a_target_that_vanishes_is_said(scene: Scene) -> None:
    backup, away = scene.backup(), scene.folder.with_name("away")
    scene.driver.begin_backup(backup, scene.share, scene.server)
    scene.folder.rename(away)
    try:
        for call in (
            lambda: scene.driver.begin_backup(scene.backup(), scene.share, scene.server),
            lambda: scene.driver.continue_backup(backup),
            lambda: scene.driver.continue_restore(backup, scene.share),
            lambda: scene.driver.delete_backup(backup),
        ):
            with pytest.raises(Unavailable, match="is not there: make it, or mount it again"):
                call()
    finally:
        away.rename(scene.folder)
    carry_on(lambda: scene.driver.continue_backup(backup))
    scene.driver.end_backup(backup, scene.share, scene.server)
    scene.driver.delete_backup(backup)
    assert left(scene) == []


def test_a_full_pool_is_said(scene: Scene) -> None:
    (scene.data / "file").write_text("kept")
    backup = scene.backup()
    scene.make(backup)
    scene.site.share(scene.server, size=linux_backend.btrfs_pool(scene.driver).left() // GIB)
    with pytest.raises(NoSpace, match="no room to restore the backup") as full:
        carry_on(lambda: scene.driver.continue_restore(backup, scene.share))
    assert full.value.is_public
    scene.driver.abandon_restore(backup, scene.share, scene.server)
    assert (scene.data / "file").read_text() == "kept" and left(scene) == []
    scene.driver.delete_backup(backup)


def test_holes_that_do_not_fit_are_said(scene: Scene) -> None:
    with open(scene.data / "sparse", "wb") as sparse:
        sparse.truncate(1200 << 20)
    backup = scene.backup()
    scene.make(backup)
    with pytest.raises(NoSpace, match="holes of sparse files") as full:
        scene.restore(backup)
    assert full.value.is_public
    scene.driver.abandon_restore(backup, scene.share, scene.server)
    assert (scene.data / "sparse").stat().st_blocks == 0 and left(scene) == []
    scene.driver.delete_backup(backup)


def test_nobody_reads_backups_without_the_key(scene: Scene) -> None:
    (scene.data / "file").write_text("a secret that nobody else reads" * 100)
    backup, foreign = scene.backup(), scene.backup()
    scene.make(backup)
    other = Backup(id=foreign.id, share_id=str(uuid.uuid4()), project_id=PROJECT, size=1)
    command = ["restic", "--no-cache", "--no-lock", "-r", str(scene.repository()), "snapshots"]
    answers = [
        subprocess.run(command, input=scene.password(each), capture_output=True, check=False)
        for each in (backup, other)
    ]
    assert [answer.returncode == 0 for answer in answers] == [True, False]
    held = b"".join(each.read_bytes() for each in scene.repository().rglob("*") if each.is_file())
    assert b"a secret that" not in held and b"file" not in held
    scene.driver.delete_backup(backup)


def test_without_the_option_there_are_no_backups(scene: Scene) -> None:
    plain = linux_backend.successor(scene.driver, backup_folder="")
    assert scene.driver.capabilities.backup_support and not plain.capabilities.backup_support
    for call in (plain.continue_backup, plain.delete_backup):
        with pytest.raises(BackendError, match="keeps no backups"):
            call(scene.backup())
    plain.end_backup(scene.backup(), scene.share, scene.server)
