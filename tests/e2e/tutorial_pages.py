"""The commands of the tutorials, as their pages show them, who follows them, and what a script of
them printed. No tests here.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from abaca import config
from abaca.admin import demo
from abaca.admin.ports import free_port
from abaca.drivers.linux import inventory
from abaca.worker.backends import network_namespace
from tests.clients.preloaded import preloaded_openstack
from tests.service import PATIENCE, reachable_folder, wait_until

TUTORIALS = Path(__file__).parents[2] / "docs" / "tutorials"
BLOCK = re.compile(r"^```(console|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARK = "--- block {} ---"
FIRST_LINES = "set -eu -o pipefail\n"


@dataclass
class Blocks:
    """The commands of a page, and what it says that they print: by the number of their block."""

    commands: list[str]
    printed: dict[int, str]


def blocks_of(*names: str) -> Blocks:
    found = Blocks([], {})
    for name in names:
        for kind, text in BLOCK.findall((TUTORIALS / name).read_text()):
            if kind == "console":
                found.commands.append(text)
            else:
                found.printed[len(found.commands) - 1] = text
    return found


def marked(number: int) -> str:
    """The command that prints where the output of that block begins."""
    return f"echo '{MARK.format(number)}'\n"


def output_of(said: str, number: int) -> str:
    """What the block of that number printed."""
    after = said.partition(MARK.format(number) + "\n")[2]
    return after.partition(MARK.format(number + 1) + "\n")[0]


class Reader:
    """Somebody with a machine: a folder for what the page keeps below /var/lib and /tmp and in the
    clone, names of network namespaces that nobody else has, and a service.

    `machine`: the network namespace that stands for it; None: this machine itself. `others`: the
    network namespaces that the page names.
    """

    def __init__(self, folder: Path, others: Sequence[str]) -> None:
        self.state_dir, self.folder = folder / "state", folder
        self.machine: str | None = None
        self.conf = config.load([os.devnull], {"state_dir": str(self.state_dir)})
        self.namespace = network_namespace(self.conf)
        self.clients = {name: f"t{self.namespace[5:]}-{name}" for name in others}
        plain = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
        programs = preloaded_openstack().parent, Path(sys.executable).parent
        self.environment = plain | {
            "PATH": ":".join([*map(str, programs), plain["PATH"]]),
            "OS_DEFAULT__STATE_DIR": str(self.state_dir),
            "OS_API__PORT": str(free_port()),
            "BUSY_LOG": str(folder / "busy"),
        }

    def own(self, text: str) -> str:
        """A page's text with what is this reader's in it."""
        text = text.replace("/tmp/", f"{self.folder}/")
        text = text.replace("/var/lib/abaca", str(self.state_dir))
        for name, own in self.clients.items():
            text = re.sub(rf"\b{name}\b", own, text)
        return text

    def bash(self, script: str, **more: Any) -> subprocess.Popen[str]:
        command = ["bash", "-c", script]
        if self.machine:
            command = ["nsenter", f"--net=/run/netns/{self.machine}", *command]
        return subprocess.Popen(command, env=self.environment, text=True, cwd=self.folder, **more)

    @contextmanager
    def serving(self, command: str = "abaca serve") -> Iterator[Path]:
        """The first terminal; its log."""
        file = self.folder / "log"
        with file.open("w") as log:
            service = self.bash(f"exec {command}", stdout=log, stderr=log)
        try:
            wait_until(
                lambda: " is up" in file.read_text() or service.poll() is not None, file.read_text
            )
            assert service.poll() is None and "@linux" in file.read_text(), file.read_text()
            yield file
        finally:
            service.terminate()
            service.wait(60 * PATIENCE)

    def follows(self, commands: str, log: Path | None = None) -> str:
        """What a script of commands printed. `log`: the service's, for when it fails."""
        script = self.bash(self.own(commands), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            said, _ = script.communicate(timeout=400 * PATIENCE)
        finally:
            script.kill()
        assert script.returncode == 0, f"{said}\n{log.read_text() if log else ''}"
        return str(said)


@contextmanager
def a_reader(*others: str) -> Iterator[Reader]:
    """In the end nothing of the service is left. Skips, saying what this machine lacks."""
    if lacking := demo.lacks():
        pytest.skip("; ".join(lacking))
    with reachable_folder() as folder:
        somebody = Reader(folder, others)
        try:
            yield somebody
        finally:
            inventory.remove_installation(somebody.namespace, somebody.state_dir / "worker")
