"""`abaca api` without `abaca serve`: what moves or removes the installation notices it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import msgspec
import pytest

from tests.service import Installation, installation, wait_until

pytestmark = [
    pytest.mark.slow("a running API"),
    pytest.mark.timeout(300),
    pytest.mark.sampled_file(4),
]


def tried(command: list[str]) -> tuple[int, str]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def made() -> Iterator[Installation]:
    with installation() as found:
        assert tried(found.command("init"))[0] == 0
        yield found


def test_who_moves_or_removes_the_installation_notices_it(made: Installation) -> None:
    api = subprocess.Popen(
        [*made.command("api"), "--port", str(made.port)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    remove = made.command("uninstall", "--state", "--data", "--yes")
    manage = [sys.executable, "-P", "-m", "abaca.admin.manage", *made.command("db", "move")[4:]]
    move = [*manage, "--to", f"sqlite:///{made.folder}/other.sqlite"]
    try:
        wait_until(made.answers, "the API")
        status = msgspec.json.decode(tried(made.command("status", "--json"))[1])
        assert status["running_here"] == ["abaca api"]
        for command in (remove, move):
            code, said = tried(command)
            assert code == 1 and "abaca api" in said and "top" in said, said
        assert made.answers()
    finally:
        api.terminate()
        api.wait(60)
    code, said = tried(remove)
    assert code == 0 and not made.state_dir.exists(), said


def test_it_says_what_it_lacks(made: Installation) -> None:
    (made.state_dir / "api.lock").unlink()
    code, said = tried(made.command("api"))
    assert code == 1 and "api.lock" in said and "Run `abaca init` first." in said
