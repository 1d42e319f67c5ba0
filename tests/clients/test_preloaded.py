"""The preloaded `openstack` command is to its callers what the program is."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from pathlib import Path

import pytest

from abaca.admin.demo_scene import openstack_program
from tests.clients.command import COMMAND_SECONDS
from tests.clients.preloaded import preloaded_openstack
from tests.service import PATIENCE

pytest.importorskip(
    "openstackclient", reason="python-openstackclient is missing (pip install 'abaca[client]')"
)

CLOUD = """
clouds:
  here:
    auth_type: http_basic
    auth: {{endpoint: "{url}", username: mary, password: secret}}
    shared_file_system_endpoint_override: "{url}"
"""


def environment(folder: Path, url: str = "http://127.0.0.1:1") -> dict[str, str]:
    """For the cloud `here`, whose file is named as seen from that folder."""
    (folder / "clouds.yaml").write_text(CLOUD.format(url=url))
    plain = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
    return plain | {"OS_CLIENT_CONFIG_FILE": "clouds.yaml", "OS_CLOUD": "here"}


def run(program: str | Path, folder: Path, *arguments: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [program, *arguments],
        env=environment(folder),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS * PATIENCE,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_it_says_and_returns_what_the_program_does(tmp_path: Path) -> None:
    """The command shows what the environment and the file in the current folder say."""
    arguments = ("configuration", "show", "--unmask", "-f", "json")
    shown = run(preloaded_openstack(), tmp_path, *arguments)
    assert shown == run(openstack_program() or "openstack", tmp_path, *arguments)
    assert shown[0] == 0 and json.loads(shown[1])["auth.username"] == "mary"


def test_a_command_that_fails_has_its_status_and_says_why(tmp_path: Path) -> None:
    status, out, err = run(preloaded_openstack(), tmp_path, "share", "no-such-command")
    assert status == 2
    assert "is not an openstack command" in out + err


def test_with_its_caller_a_command_ends(tmp_path: Path) -> None:
    """One that waits for an answer that never comes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(COMMAND_SECONDS * PATIENCE)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with subprocess.Popen(
            [preloaded_openstack(), "share", "list"], env=environment(tmp_path, url), cwd=tmp_path
        ) as caller:
            connection, _ = listener.accept()
            with connection:
                caller.kill()
                connection.settimeout(COMMAND_SECONDS * PATIENCE)
                while connection.recv(4096):
                    continue
