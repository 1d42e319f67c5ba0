"""Whose password is checked when, in the event loop, against a real users file."""

from __future__ import annotations

import asyncio
import io
import json
import time
from pathlib import Path
from threading import Event

import bcrypt
import pytest

from abaca.api.door.refusals import Busy
from abaca.api.http_basic import HttpBasic
from abaca.api.passwords import Known, Passwords
from abaca.api.tokens_file import ApplicationTokens, digest
from abaca.api.users_file import UsersFile
from tests.raw_http import basic

FLOOD, ELSEWHERE = "192.0.2.1", "192.0.2.2"
HEAD = {"REQUEST_METHOD": "GET", "PATH_INFO": "/v2/shares"}


class Slow(Passwords):
    """A check of a password that begins with `slow` ends when it may, as one does that a busy
    machine holds up."""

    def __init__(self, file: UsersFile) -> None:
        super().__init__(file)
        self.go = Event()
        self.checked: list[str] = []

    def check(self, name: str, password: str) -> Known:
        if password.startswith("slow"):
            assert self.go.wait(20)
        self.checked.append(password)
        return super().check(name, password)


def slow(tmp_path: Path, *names: str) -> Slow:
    path = tmp_path / "users"
    hashed = bcrypt.hashpw(b"right", bcrypt.gensalt(4)).decode()
    path.write_text("".join(f"{name}:{hashed}:red:member\n" for name in names))
    path.chmod(0o600)
    return Slow(UsersFile(path))


async def log_in(checking: HttpBasic, client: str, name: str, password: str) -> bool:
    environ = {**HEAD, "HTTP_AUTHORIZATION": basic(name, password)}
    await checking.prepare(environ, client, asyncio.get_running_loop().create_future())
    return checking.is_known(environ) and environ["abaca.known_password"].user is not None  # type: ignore[attr-defined]


def test_a_first_login_waits_for_no_check_of_those_who_have_been_wrong(tmp_path: Path) -> None:
    passwords = slow(tmp_path, "mary", "anna")

    async def ask() -> None:
        checking = HttpBasic(passwords)
        assert not await log_in(checking, FLOOD, "mary", "wrong")
        flood = [
            asyncio.ensure_future(log_in(checking, FLOOD, "mary", f"slow-{number}"))
            for number in range(3)
        ]
        await asyncio.sleep(0)
        try:
            for client, name in ((ELSEWHERE, "mary"), (ELSEWHERE, "anna"), (FLOOD, "anna")):
                assert await asyncio.wait_for(log_in(checking, client, name, "right"), 10), (
                    client,
                    name,
                )
        finally:
            passwords.go.set()
        assert await asyncio.gather(*flood) == [False] * 3

    asyncio.run(ask())


def test_of_several_first_passwords_for_a_name_one_goes_before_and_the_others_wait(
    tmp_path: Path,
) -> None:
    passwords = slow(tmp_path, "mary", "anna")

    async def ask() -> None:
        checking = HttpBasic(passwords)
        flood = [
            asyncio.ensure_future(log_in(checking, FLOOD, "mary", password))
            for password in ("first", *["slow"] * 3, "slow-too")
        ]
        await asyncio.sleep(0)
        try:
            assert await asyncio.wait_for(log_in(checking, ELSEWHERE, "anna", "right"), 10)
        finally:
            passwords.go.set()
        assert await asyncio.gather(*flood) == [False] * 5
        assert sorted(passwords.checked) == ["first", "right", "slow", "slow-too"], (
            "equal ones are checked once"
        )

    asyncio.run(ask())


def test_who_is_right_is_not_in_doubt(tmp_path: Path) -> None:
    passwords = slow(tmp_path, "mary", "anna")

    async def ask() -> None:
        checking = HttpBasic(passwords)
        assert await log_in(checking, FLOOD, "mary", "right")
        flood = asyncio.ensure_future(log_in(checking, ELSEWHERE, "anna", "wrong"))
        await flood
        held = asyncio.ensure_future(log_in(checking, ELSEWHERE, "anna", "slow"))
        await asyncio.sleep(0)
        try:
            assert not await asyncio.wait_for(log_in(checking, FLOOD, "mary", "mistyped"), 10), (
                "its first mistake waits for nobody"
            )
        finally:
            passwords.go.set()
        await held

    asyncio.run(ask())


def test_a_full_lane_tells_nobody_which_names_there_are(tmp_path: Path) -> None:
    """Forty wrong passwords at once: as many are refused for want of room whether there is such a
    user or not."""
    passwords = slow(tmp_path, "mary")

    async def refused(name: str) -> int:
        checking = HttpBasic(passwords)
        outcomes = await asyncio.gather(
            *(log_in(checking, FLOOD, name, f"{number}") for number in range(40)),
            return_exceptions=True,
        )
        assert all(outcome is False or isinstance(outcome, Busy) for outcome in outcomes), outcomes
        return sum(isinstance(outcome, Busy) for outcome in outcomes)

    of_mary, of_nobody = asyncio.run(refused("mary")), asyncio.run(refused("nobody"))
    assert of_mary == of_nobody > 0


@pytest.mark.parametrize("name", ["mary", "nobody"])
def test_an_equal_wrong_password_is_not_answered_before_the_first_one(
    tmp_path: Path, name: str
) -> None:
    """Else who sends it twice learns from the second answer whether the first one is still being
    checked."""
    passwords = slow(tmp_path, "mary")

    async def ask() -> None:
        checking = HttpBasic(passwords)
        environ = {**HEAD, "HTTP_AUTHORIZATION": basic(name, "wrong")}
        first = asyncio.ensure_future(log_in(checking, FLOOD, name, "wrong"))
        while not first.done():
            assert not checking.is_known({**environ}), "known before it was told"
            await asyncio.sleep(0)
        assert checking.is_known({**environ})

    asyncio.run(ask())


def test_a_password_that_is_too_long_costs_as_much_as_any_other(tmp_path: Path) -> None:
    """Wrong answers take as long as checks have taken: one that cost nothing would make the next
    ones tell existing names apart."""
    path = tmp_path / "users"
    path.write_text(f"mary:{bcrypt.hashpw(b'right', bcrypt.gensalt(10)).decode()}:red:member\n")
    path.chmod(0o600)
    passwords = Passwords(UsersFile(path))

    def cost(password: str) -> float:
        began = time.thread_time()
        assert passwords.check("mary", password) == Known(None)
        return time.thread_time() - began

    assert cost("x" * 5000) > cost("short") / 4


def test_a_right_password_waits_for_no_wrong_ones(tmp_path: Path) -> None:
    """However many wrong answers have yet to be given to the same client."""
    passwords = slow(tmp_path, "mary")

    async def ask() -> None:
        checking = HttpBasic(passwords)
        flood = [
            asyncio.ensure_future(log_in(checking, FLOOD, f"nobody-{number % 200}", f"{number}"))
            for number in range(2000)
        ]
        await asyncio.sleep(0)
        assert await asyncio.wait_for(log_in(checking, FLOOD, "mary", "right"), 20)
        assert not all(each.done() for each in flood), "they are refused at their leisure"
        for each in flood:
            each.cancel()
        await asyncio.gather(*flood, return_exceptions=True)

    asyncio.run(ask())


def test_a_right_token_waits_for_no_check_and_a_wrong_one_for_its_turn(tmp_path: Path) -> None:
    passwords = slow(tmp_path, "mary")
    (tmp_path / "tokens").touch(0o600)
    (tmp_path / "tokens").write_text(f"mary:csi:{digest('secret')}:member:never\n")
    tokens = ApplicationTokens(tmp_path / "tokens", UsersFile(tmp_path / "users"))

    async def ask() -> None:
        checking = HttpBasic(passwords, tokens)
        flood = asyncio.ensure_future(log_in(checking, FLOOD, "mary", "slow"))
        await asyncio.sleep(0)
        try:
            environ = {**HEAD, "HTTP_AUTHORIZATION": basic("mary+csi", "secret")}
            assert checking.is_known(environ)
            environ["HTTP_AUTHORIZATION"] = basic("mary+csi", "Secret")
            assert not checking.is_known(environ), "it is refused no sooner than a wrong password"
            assert not await asyncio.wait_for(log_in(checking, ELSEWHERE, "mary+csi", "Secret"), 10)
        finally:
            passwords.go.set()
        await flood
        assert passwords.checked == ["slow"]

    asyncio.run(ask())


def test_a_wrong_login_by_body_waits_as_one_by_header_does(tmp_path: Path) -> None:
    """They are one guess: in the same lane, checked once, and a client that was wrong by header is
    in doubt by body."""
    passwords = slow(tmp_path, "mary", "anna")

    async def ask() -> None:
        checking = HttpBasic(passwords)
        assert not await log_in(checking, FLOOD, "mary", "wrong")
        flood = asyncio.ensure_future(log_in(checking, FLOOD, "mary", "slow"))
        await asyncio.sleep(0)
        guesses = [
            asyncio.ensure_future(log_in_by_body(checking, FLOOD, "mary", password))
            for password in ("slow", "slow-too")
        ]
        await asyncio.sleep(0)
        try:
            assert await asyncio.wait_for(log_in_by_body(checking, ELSEWHERE, "anna", "right"), 10)
            assert not any(each.done() for each in guesses)
        finally:
            passwords.go.set()
        assert await asyncio.gather(flood, *guesses) == [False] * 3
        assert sorted(passwords.checked) == ["right", "slow", "slow-too", "wrong"]

    asyncio.run(ask())


def test_a_body_that_is_no_login_waits_for_nothing(tmp_path: Path) -> None:
    """The application refuses it; a domain or method that there is not tells nothing of users."""
    checking = HttpBasic(slow(tmp_path, "mary"))
    for body in (b"", b"nonsense", login("mary", "x").replace(b"password", b"totp")):
        assert checking.is_known(environ_of(body)), body
    assert not checking.is_known(environ_of(login("mary", "x")))


def login(name: str, password: str) -> bytes:
    user = {"name": name, "password": password}
    return json.dumps(
        {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}}}
    ).encode()


def environ_of(body: bytes) -> dict[str, object]:
    """Of a login, as the door makes it."""
    return {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/v3/auth/tokens",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
    }


async def log_in_by_body(checking: HttpBasic, client: str, name: str, password: str) -> bool:
    environ = environ_of(login(name, password))
    await checking.prepare(environ, client, asyncio.get_running_loop().create_future())
    return checking.is_known(environ) and environ["abaca.known_password"].user is not None  # type: ignore[attr-defined]
