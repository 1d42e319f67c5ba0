"""Archives of `abaca backup` that are not what they say: root reads them, and anybody may have made
them."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from abaca.admin import archive
from abaca.admin.archive import Manifest
from abaca.db.contents import LONGEST_LINE, Rows
from abaca.errors import Invalid
from abaca.regular_files import NotRegular

LINES = b'{"table":"t","columns":["a"]}\n["x"]\n'


def manifest(**more: object) -> Manifest:
    values: dict[str, object] = {
        "format": archive.FORMAT, "release": "1", "revision": "0001", "engine_revision": 1,
        "host": "h", "state_dir": "/s", "database": "sqlite:////d", "pools": [], "made_at": "now",
        "tables": {"t": Rows(1, "00")}, "members": {},
    }  # fmt: skip
    return msgspec.convert(values | more, Manifest)


def packed(lines: bytes = LINES, **more: object) -> bytes:
    whole = io.BytesIO()
    rows = io.BytesIO(gzip.compress(lines))
    archive.write(whole, manifest(**more), rows, {"kept/users": b"mary", "kept/key": b"k" * 600})
    return whole.getvalue()


def entry(name: str, data: bytes, kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.type, member.linkname = len(data), kind, link
    return member.tobuf(tarfile.GNU_FORMAT) + data + b"\0" * (-len(data) % 512)


def made_by_hand(*entries: bytes, **members: object) -> bytes:
    """An archive whose manifest says that there is what is there."""
    given = {
        name.replace("__", "/").replace("_dot_", "."): {
            "size": len(data), "sha256": hashlib.sha256(data).hexdigest()
        }
        for name, data in members.items()
        if isinstance(data, bytes)
    }  # fmt: skip
    first = msgspec.json.encode(manifest(members=given))
    return entry(archive.MANIFEST, first) + b"".join(entries) + b"\0" * 1024


def read(tmp_path: Path, data: bytes) -> list[bytes]:
    path = tmp_path / "archive"
    path.write_bytes(data)
    with archive.opened(path) as found:
        assert found.files == {"kept/users": b"mary", "kept/key": b"k" * 600}
        return list(found.lines())


def test_what_was_written_is_read_and_any_tar_reads_it(tmp_path: Path) -> None:
    assert read(tmp_path, packed()) == LINES.splitlines(keepends=True)
    with tarfile.open(tmp_path / "archive") as plain:
        assert plain.getnames() == ["manifest.json", "kept/users", "kept/key", "database.jsonl.gz"]


def test_cut_off_anywhere_it_is_refused(tmp_path: Path) -> None:
    whole = packed()
    for length in range(0, len(whole) - 1024, 512):
        with pytest.raises(Invalid):
            read(tmp_path, whole[:length])


def test_a_changed_byte_of_any_member_is_found(tmp_path: Path) -> None:
    whole = packed()
    for text in (b"mary", b"kkkk", gzip.compress(LINES)[10:20], b'"sqlite:////d"'):
        place = whole.index(text)
        changed = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        with pytest.raises(Invalid):
            read(tmp_path, changed)


ROWS = gzip.compress(LINES)
HOSTILE: dict[str, Callable[[], bytes]] = {
    "no archive": lambda: b"x" * 10_000,
    "an empty file": lambda: b"",
    "a manifest of another format": lambda: packed(format=2),
    "a large manifest": lambda: packed(pools=["x" * 2**20]),
    "a deep manifest": lambda: entry(archive.MANIFEST, b"[" * 100_000),
    "no rows": lambda: made_by_hand(entry("kept/users", b"m"), kept__users=b"m"),
    "a name that leads elsewhere": lambda: made_by_hand(
        entry("kept/../../etc/passwd", b"m"), **{"kept/../../etc/passwd": b"m"},
        database_dot_jsonl_dot_gz=ROWS,
    ),
    "a link": lambda: made_by_hand(
        entry("kept/users", b"", tarfile.SYMTYPE, "/etc/shadow"), kept__users=b"",
        database_dot_jsonl_dot_gz=ROWS,
    ),
    "a device": lambda: made_by_hand(
        entry("kept/users", b"", tarfile.CHRTYPE), kept__users=b"", database_dot_jsonl_dot_gz=ROWS
    ),
    "a long name of tar's extension": lambda: made_by_hand(
        entry("././@LongLink", b"kept/users", tarfile.GNUTYPE_LONGNAME), kept__users=b"m",
        database_dot_jsonl_dot_gz=ROWS,
    ),
    "a member too many": lambda: packed()[:-1024] + entry("kept/tokens", b"t") + b"\0" * 1024,
    "many members": lambda: made_by_hand(**{f"kept/n{n}": b"" for n in range(200)}),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_archive_is_refused(tmp_path: Path, what: str) -> None:
    with pytest.raises(Invalid) as refused:
        read(tmp_path, HOSTILE[what]())
    assert str(refused.value).isprintable()


def test_rows_that_never_end_are_not_read_into_memory(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="a row of more than 16 MiB"):
        read(tmp_path, packed(b"x" * (LONGEST_LINE + 2)))


def test_rows_that_are_no_gzip_are_an_error(tmp_path: Path) -> None:
    whole = io.BytesIO()
    files = {"kept/users": b"mary", "kept/key": b"k" * 600}
    archive.write(whole, manifest(), io.BytesIO(b"nonsense"), files)
    with pytest.raises(Invalid, match="rows cannot be read"):
        read(tmp_path, whole.getvalue())


def test_a_device_is_not_opened() -> None:
    with pytest.raises(NotRegular), archive.opened(Path("/dev/zero")):
        pass
