"""The table of who has files open (`holders.py`), read out of a process that may write into it what
it likes."""

from __future__ import annotations

import os
import subprocess
import sys
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest

from abaca.drivers.linux.file_services.nfs.holders import MOST_BYTES, holders, start_of

# Opens the file at descriptors 60 and 61, beside a table with these bytes.
PROGRAM = """
import os, sys
table = os.memfd_create("abaca-holders")
os.write(table, bytes.fromhex(sys.argv[2]))
os.ftruncate(table, int(sys.argv[3]) or os.fstat(table).st_size)
for number in (60, 61):
    opened = os.open(sys.argv[1], os.O_RDONLY)
    os.dup2(opened, number)
    os.close(opened)
print("ready", flush=True)
sys.stdin.read()
"""
FOUR, SIX = bytes(10) + b"\xff\xff" + bytes([10, 0, 0, 66]), IPv6Address("fd00::66").packed
NOTHING = bytes(16)


def found(
    tmp_path: Path, table: bytes, length: int = 0, device: int | None = None
) -> set[IPv4Address | IPv6Address]:
    file = tmp_path / "file"
    file.touch()
    command = [sys.executable, "-c", PROGRAM, str(file), table.hex(), str(length)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        here = file.stat().st_dev if device is None else device
        seen = holders(process.pid, here)
        process.communicate("")
    return seen


def test_who_has_files_of_a_file_system_open(tmp_path: Path) -> None:
    both = NOTHING * 60 + FOUR + SIX
    assert found(tmp_path, both) == {IPv4Address("10.0.0.66"), IPv6Address("fd00::66")}
    assert found(tmp_path, NOTHING * 60 + FOUR + NOTHING) == {IPv4Address("10.0.0.66")}
    assert found(tmp_path, both, device=os.stat("/proc").st_dev) == set()
    assert found(tmp_path, FOUR * 2 + NOTHING * 60) == set(), "these are pipes"


@pytest.mark.parametrize(
    ("table", "length", "expected"),
    [
        (b"", 0, set()),
        (NOTHING * 60 + FOUR[:-1], 0, set()),
        (NOTHING * 60 + FOUR, 1 << 40, {IPv4Address("10.0.0.66")}),
        (b"\xff" * 16 * 62, 0, {IPv6Address(b"\xff" * 16)}),
    ],
    ids=["empty", "cut off", "endless", "nonsense"],
)
def test_a_table_that_lies_is_read_to_its_bounds(
    tmp_path: Path, table: bytes, length: int, expected: set[object]
) -> None:
    assert found(tmp_path, table, length) == expected
    assert MOST_BYTES <= 1 << 20


def test_a_process_that_is_gone_has_nothing_open() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait(60)
    assert holders(process.pid, 0) == set()


def test_the_network_of_a_link_local_address_is_no_part_of_it(tmp_path: Path) -> None:
    noted = IPv6Address("fe80:0:700::66").packed
    assert found(tmp_path, NOTHING * 60 + noted) == {IPv6Address("fe80::66")}


def test_what_is_no_table_keeps_nobody_waiting(tmp_path: Path) -> None:
    """A pipe in its place, which somebody could write to and nobody does."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    held = os.open(pipe, os.O_RDWR)
    try:
        assert start_of(pipe) == b""
    finally:
        os.close(held)
