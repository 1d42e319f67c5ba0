"""`abaca init`: it makes what API and worker need before they are started apart, once."""

from __future__ import annotations

import os
import pty
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from abaca.admin import cli
from abaca.db import migrations
from tests.service import FAKE_BACKEND, PROGRAM, reachable_folder

pytestmark = pytest.mark.slow("installations made by processes side by side")


@pytest.fixture
def folder() -> Iterator[Path]:
    with reachable_folder() as made:
        (made / "abaca.conf").write_text(FAKE_BACKEND)
        yield made


def command(folder: Path) -> list[str]:
    given = ["--config-file", str(folder / "abaca.conf"), "--state-dir", str(folder / "state")]
    return ["init", *given]


def init(folder: Path, status: int = 0) -> str:
    result = CliRunner().invoke(cli.main, command(folder))
    assert result.exit_code == status, result.output
    return result.output


def password(folder: Path) -> str:
    read = msgspec.yaml.decode((folder / "state" / "clouds.yaml").read_bytes())
    return str(read["clouds"]["abaca"]["auth"]["password"])


def test_it_makes_what_is_missing_once_and_says_what(folder: Path) -> None:
    said, state = init(folder), folder / "state"
    for line in (
        f"Made the state directory {state}.",
        f"Made the key {state}/key.",
        f"Made the users file {state}/users.",
        f"Made the entry for clients {state}/clouds.yaml.",
        f"The database sqlite:///{state}/db/abaca.sqlite is at revision {migrations.head()}.",
        f"Created the user admin. The password is in {state}/clouds.yaml.",
    ):
        assert line in said.splitlines()
    assert password(folder) not in said
    assert stat.S_IMODE((state / "clouds.yaml").stat().st_mode) == 0o600
    kept = {name: (state / name).read_bytes() for name in ("key", "users", "clouds.yaml")}
    again = init(folder)
    assert "Made" not in again and "Created" not in again
    assert kept == {name: (state / name).read_bytes() for name in kept}


def test_of_two_at_once_one_waits_and_a_terminal_is_shown_the_password(folder: Path) -> None:
    terminals = [pty.openpty() for _ in range(2)]
    crowd = [
        subprocess.Popen([*PROGRAM, *command(folder)], stdout=theirs, stdin=subprocess.DEVNULL)
        for _, theirs in terminals
    ]
    assert [one.wait() for one in crowd] == [0, 0]
    said = []
    for ours, theirs in terminals:
        said.append(os.read(ours, 65536).decode())
        os.close(theirs)
        os.close(ours)
    assert sorted(f"shown only once: {password(folder)}" in text for text in said) == [False, True]


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it becomes another user")
def test_another_user_of_the_machine_keeps_nobody_waiting(folder: Path) -> None:
    init(folder)
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    held = ["flock", "--no-fork", str(folder / "state"), "sh", "-c", "echo held; exec sleep 600"]
    with subprocess.Popen([*nobody, *held], stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
            done = subprocess.run([*PROGRAM, *command(folder)], timeout=120, check=False)
            assert done.returncode == 0
        finally:
            holder.kill()


def test_what_is_not_ours_is_named_and_left(folder: Path) -> None:
    (folder / "elsewhere").mkdir()
    (folder / "state").symlink_to(folder / "elsewhere")
    assert "must be a folder, not a symbolic link" in init(folder, status=1)
    assert list((folder / "elsewhere").iterdir()) == []
