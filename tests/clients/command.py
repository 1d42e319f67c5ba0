"""The unmodified `openstack` command as a user of some cloud in some clouds.yaml."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from abaca.admin.demo_scene import openstack_program

COMMAND_SECONDS = 90


class Client:
    """The command as one user. Asks for JSON; `run` is for commands that cannot."""

    def __init__(self, clouds: Path, cloud: str) -> None:
        plain = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
        self._environment = plain | {"OS_CLIENT_CONFIG_FILE": str(clouds), "OS_CLOUD": cloud}

    def tried(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [openstack_program() or "openstack", *arguments]
        return subprocess.run(command, env=self._environment, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)

    def run(self, *arguments: str) -> str:
        done = self.tried(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def ask(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "-f", "json"))
