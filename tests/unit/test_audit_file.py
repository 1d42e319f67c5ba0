"""The file of JSON lines: several processes append to it, it is moved away meanwhile, its disk is
full."""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

import pytest

from abaca.api.audit_file import AuditFile, complaint, turns

PROCESSES, EACH = 4, 500


def _append(path: str, name: str, turns: int) -> None:
    file = AuditFile(path, turns)
    for number in range(EACH):
        file.append({"process": name, "number": number, "filler": "ä" * 100})


def read(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def in_processes(path: Path) -> list[multiprocessing.process.BaseProcess]:
    context, shared = multiprocessing.get_context("fork"), turns()
    started: list[multiprocessing.process.BaseProcess] = [
        context.Process(target=_append, args=(str(path), str(n), shared)) for n in range(PROCESSES)
    ]
    for process in started:
        process.start()
    os.close(shared)
    return started


def test_several_processes_lose_no_line_while_the_file_is_rotated(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    moved: list[Path] = []
    started = in_processes(path)
    while any(process.is_alive() for process in started):
        if path.exists():  # as often as it can: what is lost is lost between two system calls
            moved.append(path.rename(tmp_path / f"audit.jsonl.{len(moved)}"))
    for process in started:
        process.join(60)
        assert process.exitcode == 0
    lines = [line for file in [*moved, path] if file.exists() for line in read(file)]
    assert len(lines) == PROCESSES * EACH
    assert {(line["process"], line["number"]) for line in lines} == {
        (str(p), n) for p in range(PROCESSES) for n in range(EACH)
    }


def test_a_file_that_was_moved_or_deleted_is_made_anew(tmp_path: Path) -> None:
    path, moved = tmp_path / "audit.jsonl", tmp_path / "audit.jsonl.1"
    file = AuditFile(str(path))
    file.append({"number": 1})
    path.rename(moved)
    file.append({"number": 2})
    assert (read(moved), read(path)) == ([{"number": 1}], [{"number": 2}])
    path.unlink()
    file.append({"number": 3})
    assert read(path) == [{"number": 3}]


def test_its_group_reads_it_and_nobody_else_whatever_the_umask(tmp_path: Path) -> None:
    for number, umask in enumerate((0o077, 0o000)):
        before = os.umask(umask)
        try:
            AuditFile(str(tmp_path / f"{number}")).append({"a": 1})
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / f"{number}").stat().st_mode) == 0o640


def test_one_that_the_administrator_made_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.touch(mode=0o600)
    AuditFile(str(path)).append({"a": 1})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and read(path) == [{"a": 1}]


@pytest.mark.parametrize("kind", ["link", "fifo", "folder"])
def test_what_is_no_file_is_not_written_and_holds_nobody_up(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    path, other = tmp_path / "audit.jsonl", tmp_path / "other"
    other.write_text("")
    make: dict[str, Callable[[], None]] = {
        "link": lambda: path.symlink_to(other),
        "fifo": lambda: os.mkfifo(path),
        "folder": path.mkdir,
    }
    make[kind]()
    file = AuditFile(str(path))
    for _ in range(3):
        file.append({"a": 1})
    assert other.read_text() == ""
    assert [record.levelname for record in caplog.records] == ["ERROR"]  # said once
    assert complaint(path, "abaca") == f"[api] audit_file {path} is not a regular file."


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("only root mounts a small disk")
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_costs_lines_and_nothing_else(
    small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = small_disk / "audit.jsonl"
    file, ballast = AuditFile(str(path)), small_disk / "ballast"
    file.append({"number": 0})
    ballast.write_bytes(bytes(60_000))
    for number in range(1, 200):
        file.append({"number": number, "filler": "x" * 200})
    assert path.stat().st_size < 10_000
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    ballast.unlink()
    file.append({"number": "after"})
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert json.loads(path.read_text().splitlines()[-1]) == {"number": "after"}


def test_a_line_that_was_cut_spoils_no_other(tmp_path: Path) -> None:
    """Whichever process it was of."""
    path = tmp_path / "audit.jsonl"
    path.write_text('{"number": 1}\n{"numb')
    AuditFile(str(path)).append({"number": 3})
    assert path.read_text().splitlines() == ['{"number": 1}', '{"numb', '{"number": 3}']


def test_whether_it_can_be_written_is_found_out_without_making_it(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    assert complaint(path, "abaca") is None and not path.exists()
    assert (
        complaint(tmp_path / "missing" / "audit.jsonl", "abaca")
        == f"abaca cannot create [api] audit_file {tmp_path}/missing/audit.jsonl."
    )


def test_a_reader_that_locks_the_file_holds_nobody_up(tmp_path: Path) -> None:
    """Whoever may read a file may lock it, as programs do that ship logs."""
    path, shared = tmp_path / "audit.jsonl", turns()
    file = AuditFile(str(path), shared)
    os.close(shared)
    file.append({"number": 0})
    with open(path, "rb") as reader:
        fcntl.flock(reader, fcntl.LOCK_SH)
        writing = Thread(target=file.append, args=({"number": 1},), daemon=True)
        writing.start()
        writing.join(30)
        assert not writing.is_alive()
    assert read(path) == [{"number": 0}, {"number": 1}]
