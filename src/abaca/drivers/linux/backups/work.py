"""The program that works on the repository of a share: `python -m …backups.work FOLDER`, with an
`Order` as JSON on its standard input.

It goes on when the worker that started it ends. Restic runs in a cell, one command after another;
this program, outside, only reads what restic prints, and writes into FOLDER how far it has come and
how it has ended.

What was backed up whole has the tag `<backup id>`, and only that: restic saves what it could not
read all of, too.
"""

from __future__ import annotations

import json  # not msgspec: loading that takes longer
import os
import selectors
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from abaca.drivers.linux.backups import cell
from abaca.drivers.linux.file_services.nfs.cell import kernel
from abaca.drivers.linux.file_services.nfs.cell.kernel import check, libc
from abaca.drivers.linux.programs import remove_tree
from abaca.errors import BackendError

PROGRESS, RESULT = "progress", "result"
BACK_UP, RESTORE, DELETE = "back up", "restore", "delete"
UNFINISHED = "-unfinished"
_HOST = "share"
_INCOMPLETE = 3  # restic's exit code for that
_NICE = 19
_REMOVAL_SECONDS = 86_400.0  # hundreds of thousands of files, over a network
_LONGEST_OUTPUT = 4096
_LONGEST_LINE = 1 << 20
_ENVIRONMENT = {
    "TMPDIR": f"{cell.REPOSITORY}/{cell.TEMPORARY}",
    "GOMAXPROCS": "1",  # no more than one processor
    "GOMEMLIMIT": "768MiB",
    "RESTIC_PROGRESS_FPS": "0.2",
}


class Order(NamedTuple):
    """`kind`: BACK_UP, RESTORE or DELETE. `repository`: its folder. `device`, `option`: how the
    data is mounted; empty for DELETE. `lock`: a descriptor to keep. `groups`: as those of cells."""

    kind: str
    backup_id: str
    repository: str
    password: str
    program: str
    device: str = ""
    option: str = ""
    lock: int = -1
    groups: tuple[str, ...] | list[str] = ()


class Progress(NamedTuple):
    """`total_bytes`: of what is restored, once that is known."""

    percent: int = 0
    total_bytes: int = 0


class Result(NamedTuple):
    """`lack`: None after success; else what restic said. `is_incomplete`: it could not read all
    that it was to back up."""

    lack: str | None
    is_incomplete: bool = False


class Failed(Exception):
    """A command of restic's failed, with this exit code; None: it was killed, or did not run."""

    def __init__(self, said: str, code: int | None = None) -> None:
        super().__init__(said)
        self.code = code


class Work:
    """What an order asks for."""

    def __init__(self, folder: Path, order: Order) -> None:
        self._folder, self._order = folder, order
        self._repository = Path(order.repository)
        self._root = folder / "root"

    def do(self) -> None:
        """Raises Failed, or OSError."""
        self._root.mkdir(mode=0o700, exist_ok=True)
        {BACK_UP: self._back_up, RESTORE: self._restore, DELETE: self._delete}[self._order.kind]()

    def _back_up(self) -> None:
        self._repository.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (self._repository / "config").exists():
            self._restic("init")
        self._unlock()
        tag = self._order.backup_id
        if self._tagged(tag):
            return
        if unfinished := self._tagged(tag + UNFINISHED):
            self._restic("forget", *unfinished)
        self._restic(
            "backup", "--json", "--one-file-system", "--host", _HOST, "--tag", tag + UNFINISHED,
            cell.SHARE, on_line=self._note, share=True,
        )  # fmt: skip
        self._restic("tag", "--tag", tag + UNFINISHED, "--set", tag)

    def _restore(self) -> None:
        self._unlock()
        found = self._tagged(self._order.backup_id)
        if not found:
            raise Failed("the repository does not have this backup")
        stats = json.loads("".join(self._said("stats", "--json", "--mode", "restore-size", *found)))
        _write(self._folder / PROGRESS, Progress(0, stats["total_size"]))
        try:
            self._restic("restore", found[-1], "--target", "/", share=True, is_written=True)
        except Failed as error:
            # Device nodes are not made again: each is an error, and none may be anything else.
            said = str(error)
            if error.code is None or f"There were {self._devices(found[-1])} errors" not in said:
                raise

    def _delete(self) -> None:
        """With what a failed one has left. The last one takes the repository with it, which needs
        no room on its disk."""
        if not (self._repository / "config").exists():
            self._remove_repository()
            return
        own = {self._order.backup_id, self._order.backup_id + UNFINISHED}
        snapshots = list(self._snapshots())
        gone = [each["id"] for each in snapshots if own & set(each.get("tags") or ())]
        if len(gone) == len(snapshots):
            self._remove_repository()
            return
        self._unlock()
        if gone:
            self._restic("forget", *gone)
        self._restic("prune")

    def _remove_repository(self) -> None:
        remove_tree(self._repository, _REMOVAL_SECONDS)
        with suppress(OSError):  # other shares of the project have backups
            self._repository.parent.rmdir()

    def _unlock(self) -> None:
        """Of what was killed: nobody else works on this repository."""
        locks = self._repository / "locks"
        if locks.is_dir() and any(locks.iterdir()):
            self._restic("unlock", "--remove-all")

    def _tagged(self, tag: str) -> list[str]:
        return [each["id"] for each in self._snapshots("--tag", tag)]

    def _snapshots(self, *arguments: str) -> Iterator[dict[str, Any]]:
        for line in self._said("snapshots", "--json", "--no-lock", *arguments):
            yield from json.loads(line)

    def _devices(self, snapshot: str) -> int:
        """How many device nodes were backed up."""
        found = 0

        def count(line: bytes) -> None:
            nonlocal found
            found += json.loads(line).get("type") in ("dev", "chardev")

        self._restic("ls", "--json", "--no-lock", snapshot, on_line=count)
        return found

    def _note(self, line: bytes) -> None:
        """How far a backup has come."""
        percent = int(100 * json.loads(line).get("percent_done", 0))
        _write(self._folder / PROGRESS, Progress(min(percent, 99)))

    def _said(self, *arguments: str) -> list[str]:
        lines: list[bytes] = []
        self._restic(*arguments, on_line=lines.append)
        return [line.decode() for line in lines]

    def _restic(
        self,
        *arguments: str,
        on_line: Callable[[bytes], None] = lambda line: None,
        share: bool = False,
        is_written: bool = False,
    ) -> None:
        """Run restic in its cell; it reads the password from a descriptor. Raises Failed."""
        order = self._order
        (self._repository / cell.TEMPORARY).mkdir(mode=0o700, exist_ok=True)
        view = cell.View(
            str(self._root),
            order.repository,
            order.device if share else "",
            order.option if share else "",
            is_written,
        )
        argv = ["restic", "--no-cache", "--repo", cell.REPOSITORY, *arguments]
        run = _Run(order.password, lambda: cell.become(order.program, argv, _ENVIRONMENT, view))
        said = run.read(on_line)
        status = run.wait()
        if os.WIFSIGNALED(status):
            raise Failed(f"restic was killed by signal {os.WTERMSIG(status)}")
        if code := os.waitstatus_to_exitcode(status):
            raise Failed(f"restic {arguments[0]} ({code}): {_one_line(said)}", code)


class _Run:
    """A child that becomes a program, in a process namespace of its own."""

    def __init__(self, given: str, become: Callable[[], None]) -> None:
        (give, self._out, self._errors), theirs = self._pipes()
        host = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        check(libc.unshare(kernel.NEW_PROCESSES), "make a process namespace")
        self._pid = os.fork()
        if self._pid == 0:
            _become(become, theirs)
        check(libc.setns(host, kernel.NEW_PROCESSES), "leave the process namespace")
        for each in (host, *theirs):
            os.close(each)
        with suppress(BrokenPipeError), open(give, "w") as pipe:
            pipe.write(f"{given}\n")

    @staticmethod
    def _pipes() -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        """Ours and theirs, of its three streams."""
        read, give = os.pipe()
        out, write = os.pipe()
        errors, complain = os.pipe()
        return (give, out, errors), (read, write, complain)

    def read(self, on_line: Callable[[bytes], None]) -> bytes:
        """All that it says, to its end: each line of JSON, and the last of its errors."""
        rest, said = b"", b""
        with selectors.DefaultSelector() as waiting:
            for each in (self._out, self._errors):
                waiting.register(each, selectors.EVENT_READ)
            while waiting.get_map():
                for key, _ in waiting.select():
                    data = os.read(key.fd, 1 << 16)
                    if not data:
                        waiting.unregister(key.fd)
                        os.close(key.fd)
                    elif key.fd == self._errors:
                        said = (said + data)[-_LONGEST_OUTPUT:]
                    else:
                        *lines, rest = (rest + data).split(b"\n")
                        for line in filter(_is_json, lines):
                            on_line(line)
                        if len(rest) > _LONGEST_LINE:
                            raise Failed(
                                "restic printed a line that is too long to be one of its own"
                            )
        if _is_json(rest):
            on_line(rest)
        return said

    def wait(self) -> int:
        return os.waitpid(self._pid, 0)[1]


def _is_json(line: bytes) -> bool:
    """Not what restic says to people between."""
    return line.startswith((b"{", b"["))


def _become(become: Callable[[], None], streams: tuple[int, int, int]) -> None:
    said = "of an unexpected error"
    try:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        become()
    except OSError as error:
        said = str(error)
    finally:  # nothing may return from here into the parent's code
        os.write(2, f"it cannot be started in a cell: {said}".encode())
        os._exit(1)


def _write(file: Path, value: NamedTuple) -> None:
    new = file.with_name(f".{file.name}.new")
    new.write_text(json.dumps(value._asdict()))
    new.replace(file)


def _one_line(said: bytes) -> str:
    text = said.decode(errors="replace").strip()
    return "".join(character if character.isprintable() else " " for character in text)[-500:]


def _result(folder: Path, order: Order) -> Result:
    try:
        Work(folder, order).do()
    except Failed as error:
        return Result(str(error), error.code == _INCOMPLETE)
    except (OSError, ValueError, BackendError) as error:
        return Result(f"{order.kind}: {error}")
    return Result(None)


def main() -> None:
    folder, order = Path(sys.argv[1]), Order(**json.load(sys.stdin))
    if os.fork() != 0:
        os._exit(0)  # the worker has been waiting for this
    os.setsid()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.set_inheritable(order.lock, False)
    null = os.open("/dev/null", os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    for group in order.groups:
        Path(group).write_text("0")  # this process
    os.nice(_NICE)
    _write(folder / RESULT, _result(folder, order))


if __name__ == "__main__":
    main()
