"""Passwords against the users file: what is remembered of them, for how long, and when many ask at
once."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bcrypt
import pytest

from abaca.api.passwords import Known, Passwords
from abaca.api.users_file import UsersFile
from tests.stack import wait_for


def line(name: str, password: str, cost: int = 4, roles: str = "member") -> str:
    return (
        f"{name}:{bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost)).decode()}:blue:{roles}\n"
    )


def passwords(path: Path, *lines: str) -> Passwords:
    path.write_text("".join(lines))
    path.chmod(0o600)
    return Passwords(UsersFile(path))


def is_right(known: Known | None) -> bool | None:
    return known if known is None else known.user is not None


def test_what_was_checked_is_remembered_right_or_wrong(tmp_path: Path) -> None:
    of_mary = passwords(tmp_path / "users", line("mary", "secret"))
    for name, password, right in (
        ("mary", "secret", True),
        ("mary", "Secret", False),
        ("eve", "secret", False),
    ):
        assert is_right(of_mary.recall(name, password)) is None
        assert is_right(of_mary.check(name, password)) is right
        assert of_mary.is_wrong(name, password) is not right
        if not right:
            assert of_mary.recall(name, password) is None, "nobody was told yet"
            of_mary.tell(name, password)
        assert is_right(of_mary.recall(name, password)) is right


def test_all_is_forgotten_of_a_user_whose_line_changes_and_nothing_of_the_others(
    tmp_path: Path,
) -> None:
    path, anna = tmp_path / "users", line("anna", "pw")
    both = passwords(path, line("mary", "secret"), anna)
    for name, password in (("mary", "secret"), ("mary", "new"), ("anna", "pw"), ("eve", "x")):
        if not is_right(both.check(name, password)):
            both.tell(name, password)
    path.write_text(line("mary", "new") + anna + line("eve", "x"))
    wait_for(lambda: both.recall("mary", "secret") is None, 5)
    assert [
        is_right(both.recall(*pair)) for pair in (("mary", "new"), ("anna", "pw"), ("eve", "x"))
    ] == [None, True, None]
    assert is_right(both.check("mary", "new"))


def test_roles_that_change_count_at_once(tmp_path: Path) -> None:
    path, hashed = tmp_path / "users", line("mary", "secret")
    of_mary = passwords(path, hashed)
    of_mary.check("mary", "secret")
    path.write_text(hashed.replace(":member", ":reader"))
    wait_for(lambda: of_mary.recall("mary", "secret") is None, 5)
    found = of_mary.check("mary", "secret").user
    assert found is not None and found.roles == ("reader",)


def test_a_flood_of_wrong_passwords_makes_no_right_one_forgotten(tmp_path: Path) -> None:
    of_mary = passwords(tmp_path / "users", line("mary", "secret"))
    of_mary.check("mary", "secret")
    for number in range(5000):
        of_mary.tell(f"nobody-{number}", "x")
    assert is_right(of_mary.recall("mary", "secret"))
    assert of_mary.recall("nobody-1", "x") is None  # and memory has an end
    assert is_right(of_mary.recall("nobody-4999", "x")) is False


def test_the_password_is_nowhere_in_memory(tmp_path: Path) -> None:
    of_mary = passwords(tmp_path / "users", line("mary", "se:cret"))
    assert is_right(of_mary.check("mary", "se:cret"))
    assert "se:cret" not in repr(vars(of_mary))


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o620, 0o644, 0o666])
def test_a_file_that_others_may_read_or_write_is_refused(
    tmp_path: Path, mode: int, caplog: pytest.LogCaptureFixture
) -> None:
    of_mary = passwords(tmp_path / "users", line("mary", "secret"))
    (tmp_path / "users").chmod(mode)
    assert not is_right(of_mary.check("mary", "secret"))
    assert f"may be read or written by others (mode {mode:04o}): chmod 640" in caplog.text


def test_a_file_that_is_gone_changes_nothing(tmp_path: Path) -> None:
    of_mary = passwords(tmp_path / "users", line("mary", "secret"))
    of_mary.check("mary", "secret")
    os.unlink(tmp_path / "users")
    begun = time.monotonic()
    wait_for(lambda: time.monotonic() - begun > 1.1, 5)
    assert is_right(of_mary.check("mary", "secret"))


def test_the_first_requests_of_a_process_wait_until_the_file_has_been_read(tmp_path: Path) -> None:
    """They come together when a process is started under load; none may be told that its password
    is wrong."""
    many = [line(f"user-{number}", "x") for number in range(30)] * 100  # reading takes its time
    users = passwords(tmp_path / "users", *many, line("mary", "secret"))
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: users.check("mary", "secret").user, range(4)))
    assert [user is not None and user.project_id for user in found] == ["blue"] * 4
