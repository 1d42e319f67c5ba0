"""The unmodified `openstack` command as a user of some cloud in some clouds.yaml."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from abaca.admin.demo_scene import openstack_program

COMMAND_SECONDS = 90
SHELL = Path(__file__).with_name("shell.py")


class Client:
    """The command as one user. Asks for JSON; `run` is for commands that cannot."""

    def __init__(self, clouds: Path, cloud: str) -> None:
        plain = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
        self.clouds = clouds
        self._environment = plain | {"OS_CLIENT_CONFIG_FILE": str(clouds), "OS_CLOUD": cloud}

    def tried(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [openstack_program() or "openstack", *arguments]
        return subprocess.run(
            command,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )

    def run(self, *arguments: str) -> str:
        done = self.tried(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def ask(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "-f", "json"))


class Shell(Client):
    """The same out of one process, for many commands: a start of the command takes longer than most
    of them. `called`: which were."""

    def __init__(self, clouds: Path, cloud: str) -> None:
        super().__init__(clouds, cloud)
        self.called: set[str] = set()
        self._process = subprocess.Popen(
            [sys.executable, str(SHELL)],
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def tried(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        assert self._process.stdin and self._process.stdout
        self.called.add(
            max(
                (
                    name
                    for name in share_commands()
                    if f"{' '.join(arguments)} ".startswith(f"{name} ")
                ),
                key=len,
                default="",
            )
        )
        self._process.stdin.write(json.dumps(arguments) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return subprocess.CompletedProcess(
            list(arguments), answer["status"], answer["out"], answer["err"]
        )

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(COMMAND_SECONDS)


def share_commands() -> list[str]:
    """What python-manilaclient adds to the command, and Abaca beside it: `share create` and so
    on."""
    return sorted(
        entry.name.replace("_", " ") for entry in entry_points(group="openstack.share.v2")
    )
