"""A zone file (RFC 1035, section 5) with all names, for a server that reads it again when it
changes.

It is replaced whole, and only when something in it changes; its serial then grows. Whoever reads it
sees the old file or the new one. What stands in its place otherwise, or was changed by hand, is
overwritten.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from abaca.dns.records import DnsError, ReadNames, by_type, is_name

_SERIAL = re.compile(r"^; serial ([0-9]{1,10})$", re.MULTILINE)
_REFRESH, _RETRY, _EXPIRE = 3600, 600, 604_800  # seconds, for secondary servers
_HALF = 2**31


@dataclass(frozen=True)
class ZoneFile:
    """The zone `domain` in the file at `path`, an absolute path; its folder exists. `ttl`: seconds,
    also of the answer that a name does not exist."""

    path: Path
    domain: str
    ttl: int
    nameservers: tuple[str, ...]
    hostmaster: str

    def publish(self, names: ReadNames) -> bool:
        """Bring the file in line; whether it changed. What is no name in the domain is left out.
        Raises DnsError: the old file, if there was one, is as it was."""
        body = "".join(f"{line}\n" for line in self._body(names))
        try:
            with _folder(self.path.parent) as folder:
                found = _read(folder, self.path.name, len(body) + len(self._head(2**32 - 1)))
                before = _SERIAL.search(found[:200])
                if before and found == self._head(int(before[1])) + body:
                    return False
                serial = next_serial(int(before[1]) if before else 0, int(time.time()))
                _replace(folder, self.path.name, (self._head(serial) + body).encode("ascii"))
                return True
        except OSError as error:
            raise DnsError(
                f"the zone file {self.path} cannot be written: {error.strerror or error}"
            ) from error

    def _head(self, serial: int) -> str:
        times = f"{_REFRESH} {_RETRY} {_EXPIRE} {self.ttl}"
        return (
            f"; written by Abaca: changes made by hand are lost\n; serial {serial}\n"
            f"$ORIGIN {self.domain}.\n$TTL {self.ttl}\n"
            f"@ SOA {self.nameservers[0]}. {self.hostmaster}. {serial} {times}\n"
        )

    def _body(self, names: ReadNames) -> Iterator[str]:
        for server in self.nameservers:
            yield f"@ NS {server}."
        for name, addresses in sorted(names().items()):
            if not is_name(name, self.domain):
                continue
            for kind, of_type in by_type(addresses).items():
                yield from (f"{name}. {kind} {address}" for address in of_type)


def next_serial(before: int, now: int) -> int:
    """A serial that follows `before` for servers (RFC 1982): the time `now` in seconds where that
    is one, else the next number. Never 0."""
    if 0 < (now - before) % 2**32 < _HALF:
        return now % 2**32
    return (before + 1) % 2**32 or 1


@contextlib.contextmanager
def _folder(path: Path) -> Iterator[int]:
    """The folder, held open: what is done in it is done in this one, whatever its path leads to
    meanwhile."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield folder
    finally:
        os.close(folder)


def _read(folder: int, name: str, most_bytes: int) -> str:
    """The text of a regular file that is no longer than `most_bytes`; else nothing, as it is not
    what it shall become."""
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        file = os.open(name, flags, dir_fd=folder)
    except OSError:
        return ""
    with open(file, "rb") as opened:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            return ""
        raw = opened.read(most_bytes + 1)
    return raw.decode("latin-1") if len(raw) <= most_bytes else ""


def _replace(folder: int, name: str, content: bytes) -> None:
    """Write it beside, then put it in place. A link there is replaced, not followed."""
    fresh = f".{name}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(fresh, dir_fd=folder)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with open(os.open(fresh, flags, 0o644, dir_fd=folder), "wb") as file:
            os.fchmod(file.fileno(), 0o644)  # the DNS server reads it, whatever the umask is
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.rename(fresh, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(fresh, dir_fd=folder)
        raise
    os.fsync(folder)
