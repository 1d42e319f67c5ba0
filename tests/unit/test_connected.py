"""Clients of an NFS server, put together: of connections, of what its bus says and of what is open.
Clients choose how much of each there is, and a captured server says what it likes."""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from abaca.drivers.interface import MOST_CLIENTS
from abaca.drivers.linux import connections
from abaca.drivers.linux.connections import Connection
from abaca.drivers.linux.file_services.nfs import connected, holders
from abaca.errors import OutcomeUnknown
from abaca.values import OpenFiles
from tests.unit.test_lying_bus import LIES, bus

FIRST, SECOND = ip_address("10.0.0.5"), ip_address("fd00::5")
CLIENT, OTHER = ip_address("10.0.0.20"), ip_address("fd00::20")
OFD_SETLK = 37
LOOK_SECONDS = 60.0


def test_connections_between_the_same_addresses_are_one_client() -> None:
    told = connected.clients(
        [
            Connection(CLIENT, FIRST, 9),
            Connection(CLIENT, FIRST, 3),
            Connection(OTHER, SECOND, None),
        ],
        {CLIENT: "4.1"},
        {CLIENT: {"share": OpenFiles(files=2, locks=1)}},
    )
    assert told.is_complete
    shown = {client.address: client for client in told.listed}
    mine, other = shown[str(CLIENT)], shown[str(OTHER)]
    assert (mine.connections, mine.idle_seconds, mine.protocol_version) == (2, 3, "4.1")
    assert mine.open_files == {"share": OpenFiles(files=2, locks=1)}
    assert (other.idle_seconds, other.protocol_version, other.open_files) == (None, None, {})


def test_by_which_of_two_addresses_a_file_is_open_is_not_guessed() -> None:
    both = [Connection(CLIENT, FIRST, 0), Connection(CLIENT, ip_address("10.9.0.5"), 0)]
    told = connected.clients(both, {}, {CLIENT: {"share": OpenFiles(files=1, locks=0)}})
    assert [client.open_files for client in told.listed] == [None, None]


def test_there_is_a_most_of_clients_and_the_most_recent_are_told() -> None:
    many = [
        Connection(ip_address(f"10.1.{n // 250}.{n % 250}"), FIRST, 5000 - n)
        for n in range(MOST_CLIENTS + 1)
    ]
    told = connected.clients(many, {}, None)
    assert len(told.listed) == MOST_CLIENTS and not told.is_complete
    assert "10.1.0.0" not in {client.address for client in told.listed}
    assert {client.open_files for client in told.listed} == {None}
    assert connected.clients(many[1:], {}, None).is_complete


# --- the bus --------------------------------------------------------------------------------------

KINDS = ("NFSv3", "MNT", "NLMv4", "RQUOTA", "NFSv40", "NFSv41", "NFSv42", "9P")
CLIENTS = f"(tt)a(s({'(sb)' * 8})(tt))"


def spoken(address: str, *versions: str) -> tuple[object, ...]:
    return address, tuple((kind, kind in versions) for kind in KINDS), (1, 2)


def test_the_version_is_told_where_a_client_has_spoken_only_one(tmp_path: Path) -> None:
    listed = [
        spoken("::ffff:10.0.0.20", "NFSv41"),
        spoken("fd00::20", "NFSv40"),
        spoken("fd00::21", "NFSv40", "NFSv41"),
        spoken("::ffff:127.0.0.1"),
        spoken("no address", "NFSv41"),
        spoken("1" * 100_000, "NFSv41"),
    ]
    with bus(tmp_path / "bus", (CLIENTS, ((0, 0), listed))):
        assert connected.versions(tmp_path / "bus") == {CLIENT: "4.1", OTHER: "4.0"}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_lies_on_the_bus_are_no_version(tmp_path: Path, lie: object) -> None:
    with bus(tmp_path / "bus", lie):  # type: ignore[arg-type]
        assert connected.versions(tmp_path / "bus") == {}


def test_without_a_bus_no_version_is_told(tmp_path: Path) -> None:
    assert connected.versions(tmp_path / "bus") == {}


# --- what is open ---------------------------------------------------------------------------------


@pytest.fixture
def table() -> Iterator[int]:
    """This process is the server: the table of its library, in which nobody is noted yet."""
    made = os.memfd_create("abaca-holders")
    os.ftruncate(made, 1 << 16)
    yield made
    os.close(made)


class Held:
    """Files in a folder, opened for clients by this process."""

    def __init__(self, folder: Path, table: int) -> None:
        self._folder, self._table = folder, table
        self._files: list[int] = []
        self.shares = {folder.stat().st_dev: "share"}

    def open(self, name: str, client: str) -> int:
        file = os.open(self._folder / name, os.O_CREAT | os.O_RDWR)
        self._files.append(file)
        address = ip_address(client)
        written = (
            address.packed if address.version == 6 else b"\0" * 10 + b"\xff" * 2 + address.packed
        )
        os.pwrite(self._table, written, file * 16)
        return file

    def lock(self, file: int, start: int) -> None:
        wanted = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, start, 1, 0)
        fcntl.fcntl(file, OFD_SETLK, wanted)

    def told(self, seconds: float = LOOK_SECONDS) -> object:
        return holders.held(os.getpid(), self.shares, seconds)

    def close(self) -> None:
        for file in self._files:
            os.close(file)
            os.pwrite(self._table, bytes(16), file * 16)


@pytest.fixture
def files(tmp_path: Path, table: int) -> Iterator[Held]:
    made = Held(tmp_path, table)
    yield made
    made.close()


def test_files_and_locks_are_counted_by_client(files: Held) -> None:
    one = files.open("one", str(CLIENT))
    files.open("one", str(CLIENT))  # the same file
    files.open("two", str(CLIENT))
    files.lock(one, 0)
    files.lock(one, 100)
    files.open("three", str(OTHER))
    assert files.told() == {
        CLIENT: {"share": OpenFiles(files=2, locks=2)},
        OTHER: {"share": OpenFiles(files=1, locks=0)},
    }


@pytest.mark.parametrize("locks", [3000, 6000], ids=["of a file", "of the machine"])
def test_more_locks_than_can_be_read_are_not_counted(files: Held, locks: int) -> None:
    """Those of other files are."""
    many = files.open("many", str(CLIENT))
    for number in range(locks):
        files.lock(many, 2 * number)
    files.lock(files.open("one", str(OTHER)), 0)
    assert files.told() == {
        CLIENT: {"share": OpenFiles(files=1, locks=None)},
        OTHER: {"share": OpenFiles(files=1, locks=1)},
    }


def test_looking_has_an_end(files: Held) -> None:
    files.open("one", str(CLIENT))
    assert files.told(-1.0) is None


def test_a_server_that_is_gone_has_nothing_open(files: Held) -> None:
    assert holders.held(2**22 - 1, files.shares, LOOK_SECONDS) == {}


def test_a_kernel_that_does_not_answer_leaves_the_outcome_unknown() -> None:
    """An error of the system would count as a bug of the driver, and park the work."""
    nothing, no_acknowledgement = 1, 1
    with (
        pytest.raises(OutcomeUnknown),
        connections._asked(nothing, no_acknowledgement, b"") as link,
    ):
        link.recv(1)
