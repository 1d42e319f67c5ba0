"""The file that `abaca backup` writes: a plain tar of regular files, the manifest first.

Root reads archives, which may come from anybody. So they are read here, by a reader that knows no
links, no folders and no extensions of tar: members are those that the manifest names, in its order,
with its sizes and digests, and their names are never used as paths. Nothing is made of an archive
before all of it has been compared.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import re
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import msgspec

from abaca.db.contents import LONGEST_LINE, Rows
from abaca.errors import Invalid
from abaca.regular_files import require_regular

FORMAT = 1
MANIFEST, DATABASE = "manifest.json", "database.jsonl.gz"
LARGEST_FILE = 2**20
_LARGEST_DATABASE = 2**40
_MOST_MEMBERS = 100
_BLOCK = 512
_CHUNK = 2**20
_NAME = re.compile(r"(kept|config)/[A-Za-z0-9][A-Za-z0-9._-]{0,90}")


class Member(msgspec.Struct, forbid_unknown_fields=True):
    """Size in bytes and SHA-256 of a file in the archive."""

    size: int
    sha256: str


class Manifest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What the archive is of. `revision`, `engine_revision`: of Abaca's tables and of those of the
    work engine. `pools`: where the shares' data is, which is not in it. `made_at`: UTC."""

    format: int
    release: str
    revision: str
    engine_revision: int
    host: str
    state_dir: str
    database: str
    pools: list[str]
    made_at: str
    tables: dict[str, Rows]
    members: dict[str, Member]


class Archive:
    """An archive all of whose members have been compared with its manifest."""

    def __init__(self, file: IO[bytes], manifest: Manifest) -> None:
        self._file = file
        self.manifest = manifest
        self.files: dict[str, bytes] = {}  # all members but the database
        self._database_at = 0
        for name, member in manifest.members.items():
            if _next_size(file, name) != member.size:
                raise Invalid(f"The archive's member {name} has another size than its manifest.")
            if name == DATABASE:
                self._database_at = file.tell()
                if _digest(file, member.size) != member.sha256:
                    raise Invalid("The archive's rows are not those of its manifest.")
            else:
                self.files[name] = _read(file, member.size)
                if hashlib.sha256(self.files[name]).hexdigest() != member.sha256:
                    raise Invalid(f"The archive's member {name} is not that of its manifest.")
            _skip_padding(file, member.size)
        if file.read(2 * _BLOCK).strip(b"\0"):
            raise Invalid("The archive has members that its manifest does not name.")

    def lines(self) -> Iterator[bytes]:
        """The database's lines. Raises Invalid for one that is too long or is no gzip."""
        self._file.seek(self._database_at)
        return packed_lines(self._file, self.manifest.members[DATABASE].size)


def packed_lines(file: IO[bytes], size: int) -> Iterator[bytes]:
    """The lines in so many bytes of a file, from where it is. Raises Invalid for one that is too
    long or is no gzip."""
    try:
        with gzip.GzipFile(fileobj=io.BufferedReader(_Part(file, size))) as rows:
            while line := rows.readline(LONGEST_LINE + 1):
                if len(line) > LONGEST_LINE:
                    raise Invalid("The archive has a row of more than 16 MiB.")
                yield line
    except (OSError, EOFError) as error:
        raise Invalid(f"The archive's rows cannot be read: {error}.") from None


class _Part(io.RawIOBase):
    """So many bytes of a file, from where it is: what gzip reads."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self._left = size

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """At most as many bytes as the buffer takes, and none beyond the part."""
        data = self._file.read(min(len(buffer), self._left))
        buffer[: len(data)] = data
        self._left -= len(data)
        return len(data)


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """The archive in a file. Raises Invalid for what is none, or not whole; OSError."""
    require_regular(path)
    with open(path, "rb") as file:
        size = _next_size(file, MANIFEST)
        if size > LARGEST_FILE:
            raise Invalid("The archive's manifest is too large.")
        try:
            manifest = msgspec.json.decode(_read(file, size), type=Manifest)
        except (msgspec.DecodeError, RecursionError) as error:
            raise Invalid(f"This is not an archive made by `abaca backup`: {error}.") from None
        _skip_padding(file, size)
        _require_sound(manifest)
        yield Archive(file, manifest)


def write(
    target: IO[bytes], manifest: Manifest, rows: IO[bytes], files: Mapping[str, bytes]
) -> None:
    """Write an archive; fills `manifest.members` in. `rows`: the database's member, of which all is
    read."""
    rows.seek(0, os.SEEK_END)
    size = rows.tell()
    rows.seek(0)
    manifest.members = {
        name: Member(len(data), hashlib.sha256(data).hexdigest()) for name, data in files.items()
    }
    manifest.members[DATABASE] = Member(size, _digest(rows, size))
    _write_member(target, MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)))
    for name, data in files.items():
        _write_member(target, name, data)
    rows.seek(0)
    target.write(_header(DATABASE, size))
    while chunk := rows.read(_CHUNK):
        target.write(chunk)
    target.write(b"\0" * (-size % _BLOCK))
    target.write(b"\0" * 2 * _BLOCK)


def _require_sound(manifest: Manifest) -> None:
    if manifest.format != FORMAT:
        raise Invalid(
            f"The archive has the format {manifest.format}, and this release knows {FORMAT}: use "
            f"the release that made it, {manifest.release!r}, or a newer one."
        )
    if DATABASE not in manifest.members or len(manifest.members) > _MOST_MEMBERS:
        raise Invalid("The archive has no rows, or too many members.")
    for name, member in manifest.members.items():
        most = _LARGEST_DATABASE if name == DATABASE else LARGEST_FILE
        if not (name == DATABASE or _NAME.fullmatch(name)) or not 0 <= member.size <= most:
            raise Invalid(f"The archive has a member that does not belong there: {name[:100]!r}.")


def _next_size(file: IO[bytes], name: str) -> int:
    """The size of the member that comes next, which must be a regular file of that name."""
    try:
        found = tarfile.TarInfo.frombuf(file.read(_BLOCK), "utf-8", "strict")
    except (tarfile.HeaderError, UnicodeDecodeError):
        raise Invalid("This is not an archive made by `abaca backup`, or it is cut off.") from None
    if found.name != name or found.type != tarfile.REGTYPE or found.size < 0:
        raise Invalid(f"The archive has {found.name[:100]!r} where {name} belongs.")
    return found.size


def _read(file: IO[bytes], size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise Invalid("The archive is cut off.")
    return data


def _digest(file: IO[bytes], size: int) -> str:
    digest = hashlib.sha256()
    while size:
        chunk = _read(file, min(size, _CHUNK))
        digest.update(chunk)
        size -= len(chunk)
    return digest.hexdigest()


def _skip_padding(file: IO[bytes], size: int) -> None:
    _read(file, -size % _BLOCK)


def _header(name: str, size: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    # sizes beyond 8 GiB as GNU tar writes them; no other extension is used
    return member.tobuf(tarfile.GNU_FORMAT)


def _write_member(target: IO[bytes], name: str, data: bytes) -> None:
    target.write(_header(name, len(data)) + data + b"\0" * (-len(data) % _BLOCK))
