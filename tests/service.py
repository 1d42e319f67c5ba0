"""`abaca serve` as a process for tests: below a folder of its own, with the fake back end, as root
or as somebody else."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from abaca.admin.ports import free_port

PROGRAM = [sys.executable, "-P", "-m", "abaca.admin.cli"]
READY_SECONDS = 90.0
STOP_SECONDS = 60.0
PATIENCE = 3  # limits are for a quiet machine: a busy one gets so many times as long
FAKE_BACKEND = "[DEFAULT]\nenabled_share_backends = fake\n[fake]\nshare_driver = fake\n"
UNPRIVILEGED = "nobody"


def wait_until(
    condition: Callable[[], object], what: str | Callable[[], str], seconds: float = READY_SECONDS
) -> None:
    """Look again and again, for a bounded time. `what` is waited for; a function says it when time
    is up."""
    seconds *= PATIENCE
    deadline, pause = time.monotonic() + seconds, Event()
    while not condition():
        assert time.monotonic() < deadline, (
            f"waited {seconds:g} s for {what() if callable(what) else what}"
        )
        pause.wait(0.05)


class Installation:
    """A state directory, a port and the service on them. `user`: who runs it (root only); None: who
    runs the tests."""

    def __init__(
        self, folder: Path, user: str | None, config_text: str | None = FAKE_BACKEND
    ) -> None:
        self.folder = folder
        self.user = user
        self.state_dir = folder / "state"
        self.port = free_port()
        self.log = folder / "log"
        self._config = folder / "abaca.conf"
        self._config.write_text(config_text or "")
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def configure(self, text: str) -> None:
        """Replace the configuration file."""
        self._config.write_text(text)

    def command(self, *arguments: str) -> list[str]:
        """A command line of ours on this installation."""
        return [
            *PROGRAM,
            *arguments,
            "--config-file",
            str(self._config),
            "--state-dir",
            str(self.state_dir),
        ]

    def start(self, cwd: str | Path = "/") -> str:
        """Start it in that folder and wait until it said what its back ends are. Returns what it
        printed."""
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [*self.command("serve"), "--port", str(self.port)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                user=self.user,
                group=pwd.getpwnam(self.user).pw_gid if self.user else None,
                env={**os.environ, "HOME": "/nonexistent"},
            )
        wait_until(
            lambda: "Back end" in self.said() or self.has_ended(),
            lambda: f"the service: {self.said()}",
        )
        assert not self.has_ended(), self.said()
        return self.said()

    def refused(self, *more: str) -> str:
        """Start another one, which must end by itself with an error. Returns what it printed."""
        done = subprocess.run(
            [*self.command("serve"), "--port", str(self.port), *more],
            capture_output=True,
            text=True,
            timeout=READY_SECONDS,
            check=False,
            cwd="/",
        )
        assert done.returncode != 0
        return done.stdout + done.stderr

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it; its exit status."""
        assert self.process is not None
        if not self.has_ended():
            self.process.send_signal(number)
        return self.process.wait(STOP_SECONDS)

    def has_ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def said(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def answers(self) -> bool:
        """Whether the health check is answered."""
        try:
            with urllib.request.urlopen(f"{self.url}/healthcheck", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def children(self) -> dict[str, int]:
        """Process ids of the service's own children: `api`, `worker`."""
        assert self.process is not None
        found = {
            pid: arguments
            for pid, arguments in descendants(self.process.pid).items()
            if parent_of(pid) == self.process.pid
        }
        return {
            name: pid
            for name in ("api", "worker")
            for pid, arguments in found.items()
            if name in arguments
        }


@contextmanager
def reachable_folder() -> Iterator[Path]:
    """A folder that other users can enter, as the API process has to; pytest's own cannot be."""
    folder = Path(tempfile.mkdtemp(prefix="abaca-test-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def installation(
    user: str | None = None, config_text: str | None = FAKE_BACKEND
) -> Iterator[Installation]:
    """An installation that is not running yet; taken away afterwards with what runs of it."""
    with reachable_folder() as folder:
        if user is not None:
            shutil.chown(folder, user)
        made = Installation(folder, user, config_text)
        try:
            yield made
        finally:
            if not made.has_ended():
                made.stop()


def unprivileged_reason() -> str | None:
    """Why the service cannot be run by somebody else here, or None."""
    if os.geteuid() != 0:
        return "needs root, to become somebody else"
    command = [*PROGRAM, "--version"]
    try:
        done = subprocess.run(
            command, user=UNPRIVILEGED, cwd="/", capture_output=True, timeout=60, check=False
        )
    except PermissionError:  # not even Python: a clone below root's home
        return f"{UNPRIVILEGED} cannot run {sys.executable}"
    return None if done.returncode == 0 else f"{UNPRIVILEGED} cannot read this clone or its Python"


def descendants(pid: int) -> dict[int, list[str]]:
    """Process id → arguments of all processes below `pid`."""
    found: dict[int, list[str]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            chain = [int(entry.name)]
            while chain[-1] not in (0, 1, pid):
                chain.append(parent_of(chain[-1]))
            if chain[-1] == pid and len(chain) > 1:
                found[int(entry.name)] = arguments_of(int(entry.name))
    return found


def parent_of(pid: int) -> int:
    """The parent's process id; 0 when the process is gone."""
    try:
        return int(
            Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[1]
        )
    except (FileNotFoundError, ProcessLookupError):
        return 0


def arguments_of(pid: int) -> list[str]:
    """The command line; empty when the process is gone or only waits to be reaped."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


def users_of(pid: int) -> set[int]:
    """Real, effective, saved and file system user ids of a process."""
    (line,) = (
        line
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("Uid:")
    )
    return {int(number) for number in line.split()[1:]}
