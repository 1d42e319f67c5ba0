"""A small NFSv4 client over libnfs: tries an export location out and prints what it saw as one line
of JSON.

Run as a script, inside the client's network namespace:

    nsenter --net=/run/netns/client python -m abaca.admin.nfs_probe write 10.0.0.5:/shares/<id>
    hello.txt "some text"

Every command answers `{"ok": true, …}` or `{"ok": false, "error": text}`; the exit status is 0 or
1. `loop` works until its standard input is closed. libnfs is imported when it is needed only: it is
for tests and the demonstration, the service does not use it.

libnfs 4.0.0 is worked around: writes above about 3.9 kB fail (so they are cut), a server in its
grace period is not asked again (so it is here).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

import click

CHUNK = 3072
GRACE_SECONDS = 60.0  # that of a server in CephFS is 45
GRACE_PAUSE = 0.25
ANSWER_SECONDS = 60


class NfsError(Exception):
    """An NFS call failed; the text is libnfs's, with the name of the protocol's error in it."""


class Mount:
    """A share mounted by its export location, `10.0.0.5:/shares/<id>` or `[fd00::5]:/shares/<id>`.
    Raises NfsError.

    `uid`: whom it says it is, as user and as group; this process's own ids without it.
    """

    def __init__(self, location: str, uid: int | None = None) -> None:
        import libnfs

        self._nfs = libnfs
        self._location = location
        self._uid = uid
        self._context = self._mounted()

    def __enter__(self) -> Mount:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._nfs.nfs_destroy_context(self._context)

    def write(self, name: str, data: bytes, *, append: bool = False) -> int:
        """Make or replace a file, or add to its end. Returns the bytes that it now holds; what
        failed raises with how much was written."""
        flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if append else os.O_TRUNC)
        file = self._open(name, flags)
        try:
            start = self._size(file) if append else 0
            written = 0
            while written < len(data):
                chunk = bytearray(data[written : written + CHUNK])
                count = self._nfs.nfs_pwrite(
                    self._context, file, start + written, len(chunk), chunk
                )
                if count <= 0:  # fewer bytes than asked for are no error: the next write tells why
                    raise NfsError(f"write after {written} bytes: {self._error()}")
                written += count
            return start + len(data)
        finally:
            self._nfs.nfs_close(self._context, file)

    def read(self, name: str) -> bytes:
        file = self._open(name, os.O_RDONLY)
        try:
            data = bytearray()
            buffer = bytearray(CHUNK)
            while count := self._checked(
                self._nfs.nfs_pread(self._context, file, len(data), len(buffer), buffer), "read"
            ):
                data += buffer[:count]
            return bytes(data)
        finally:
            self._nfs.nfs_close(self._context, file)

    def remove(self, name: str) -> None:
        self._checked(
            self._until_out_of_grace(lambda: self._nfs.nfs_unlink(self._context, f"/{name}")),
            f"remove {name}",
        )

    def names(self) -> list[str]:
        """What is in the root, without `.` and `..`."""
        holder = self._nfs.new_NFSDirHandle()
        self._checked(self._nfs.nfs_opendir(self._context, "/", holder), "list")
        folder = self._nfs.NFSDirHandle_value(holder)
        names = []
        while entry := self._nfs.nfs_readdir(self._context, folder):
            names.append(entry.name)
        self._nfs.nfs_closedir(self._context, folder)
        return sorted(set(names) - {".", ".."})

    def _mounted(self) -> Any:
        host, _, path = self._location.rpartition(":/")
        deadline = time.monotonic() + GRACE_SECONDS
        while True:
            context = self._nfs.nfs_init_context()
            # The binding sets the version of the protocol by URL only. libnfs 4.0.0 takes no
            # brackets there.
            url = self._nfs.nfs_parse_url_dir(context, f"nfs://{host.strip('[]')}/{path}?version=4")
            self._nfs.nfs_destroy_url(url)
            if self._uid is not None:
                self._nfs.nfs_set_uid(context, self._uid)
                self._nfs.nfs_set_gid(context, self._uid)
            if self._nfs.nfs_mount(context, host.strip("[]"), f"/{path}") == 0:
                return context
            said = self._nfs.nfs_get_error(context)
            self._nfs.nfs_destroy_context(context)
            if "GRACE" not in said or time.monotonic() > deadline:
                raise NfsError(f"mount {self._location}: {said}")
            threading.Event().wait(GRACE_PAUSE)

    def _open(self, name: str, flags: int) -> Any:
        holder = self._nfs.new_NFSFileHandle()
        # libnfs 4.0.0 cannot open an existing file with O_CREAT.
        if (
            self._until_out_of_grace(
                lambda: self._nfs.nfs_open(self._context, f"/{name}", flags & ~os.O_CREAT, holder)
            )
            < 0
        ):
            if not flags & os.O_CREAT or "NOENT" not in self._error():
                raise NfsError(f"open {name}: {self._error()}")
            self._checked(
                self._until_out_of_grace(
                    lambda: self._nfs.nfs_open(self._context, f"/{name}", flags, holder)
                ),
                f"create {name}",
            )
        return self._nfs.NFSFileHandle_value(holder)

    def _size(self, file: Any) -> int:
        status = self._nfs.nfs_stat_64()
        self._checked(self._nfs.nfs_fstat64(self._context, file, status), "stat")
        return int(status.nfs_size)

    def _until_out_of_grace(self, act: Callable[[], int]) -> int:
        """Do it, and again while the server is in its grace period; returns what it returned
        last."""
        deadline = time.monotonic() + GRACE_SECONDS
        while (result := act()) < 0 and "GRACE" in self._error() and time.monotonic() < deadline:
            threading.Event().wait(GRACE_PAUSE)
        return result

    def _checked(self, result: int, what: str) -> int:
        if result < 0:
            raise NfsError(f"{what}: {self._error()}")
        return result

    def _error(self) -> str:
        return str(self._nfs.nfs_get_error(self._context))


def answer(act: Callable[[], dict[str, Any]]) -> None:
    """Do it, print what came of it as JSON and end; a server that does not answer at all ends the
    process by SIGALRM."""
    signal.alarm(ANSWER_SECONDS)
    try:
        print(json.dumps({"ok": True, **act()}))
    except NfsError as error:
        print(json.dumps({"ok": False, "error": str(error)}))
        raise SystemExit(1) from error


@click.group()
def main() -> None:
    """Try an export location out."""


@main.command()
@click.argument("location")
def mount(location: str) -> None:
    """Mount only, and list what is there."""

    def act() -> dict[str, Any]:
        with Mount(location) as share:
            return {"names": share.names()}

    answer(act)


@main.command()
@click.argument("location")
@click.argument("name")
@click.argument("text")
@click.option("--append", is_flag=True, help="Add to the end of the file.")
@click.option("--times", default=1, help="Write the text this many times.")
def write(location: str, name: str, text: str, append: bool, times: int) -> None:
    """Write a file."""

    def act() -> dict[str, Any]:
        with Mount(location) as share:
            return {"size": share.write(name, text.encode() * times, append=append)}

    answer(act)


@main.command()
@click.argument("location")
@click.argument("name")
def read(location: str, name: str) -> None:
    """Read a file of text."""

    def act() -> dict[str, Any]:
        with Mount(location) as share:
            return {"text": share.read(name).decode(errors="replace")}

    answer(act)


@main.command()
@click.argument("location")
@click.argument("name")
def remove(location: str, name: str) -> None:
    """Delete a file."""

    def act() -> dict[str, Any]:
        with Mount(location) as share:
            share.remove(name)
            return {}

    answer(act)


@main.command()
@click.argument("location")
@click.argument("name")
@click.option("--pause", default=0.01, help="Seconds between two rounds.")
@click.option("--seconds", default=600.0, help="Stop after this many seconds at the latest.")
def loop(location: str, name: str, pause: float, seconds: float) -> None:
    """Write, read back and compare a file until standard input is closed; tells rounds, errors and
    the longest round."""
    done = threading.Event()
    threading.Thread(target=_set_at_end_of_input, args=(done,), daemon=True).start()
    rounds, errors, longest, deadline = 0, [], 0.0, time.monotonic() + seconds
    with Mount(location) as share:
        print(json.dumps({"ready": True}), flush=True)
        while not done.wait(pause) and time.monotonic() < deadline:
            signal.alarm(ANSWER_SECONDS)
            began = time.monotonic()
            text = f"round {rounds}".encode()
            try:
                share.write(name, text)
                if share.read(name) != text:
                    errors.append(f"round {rounds}: read something other than what was written")
            except NfsError as error:
                errors.append(f"round {rounds}: {error}")
            rounds += 1
            longest = max(longest, time.monotonic() - began)
    print(
        json.dumps(
            {
                "ok": not errors,
                "rounds": rounds,
                "errors": errors[:20],
                "error_count": len(errors),
                "longest_seconds": round(longest, 3),
            }
        )
    )
    raise SystemExit(1 if errors else 0)


def _set_at_end_of_input(done: threading.Event) -> None:
    sys.stdin.read()
    done.set()


if __name__ == "__main__":
    main()
