"""Callers by http_basic: the password that a request carries, against the users file.

Behind the door a password that is not remembered is checked before the request takes a thread, in threads of their own: whoever has just
given a wrong one queues behind others who did the same, and not in the way of a first login. A wrong password is answered after a
time that does not depend on whether there is such a user, nor on what the hash costs.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import random
import time
from typing import Any

import bcrypt
import falcon

from abaca.api.authenticator import MISSING, caller
from abaca.api.door.checks import Checks
from abaca.api.door.refusals import Busy, ClientGone
from abaca.api.faults import Attempt, NotIdentified
from abaca.api.passwords import Known, Passwords
from abaca.values import Caller

_MALFORMED = "The Authorization header is malformed."
_WRONG = "Wrong user name or password."

_KNOWN = "abaca.known_password"  # in the environment: what was found out about this request's
_FIRSTS = 2  # first checks of a client at once, one of them for one client
_NICE = 5  # the others stand back behind these and behind requests
_DOUBT_SECONDS, _DOUBTS = 60.0, 4096
_SLOWER = 1.25  # than the slowest check: so long takes the answer to a wrong password
_SPREAD = 0.1  # of that, more or less
_WAITING = 1024  # for the answer to a wrong password
_RECENT = 10.0  # seconds


class HttpBasic:
    """An Authenticator."""

    def __init__(self, passwords: Passwords) -> None:
        self._passwords = passwords
        self._firsts = Checks(_FIRSTS, of_one_client=1)
        self._repeated = Checks(1, nice=_NICE)
        self._doubts = _Doubts()
        self._pace = _Pace(passwords)
        self._answered_late = 0

    def __call__(self, req: falcon.Request) -> Caller:
        """The caller. Raises NotIdentified."""
        name, password = _credentials(req.env.get("HTTP_AUTHORIZATION"))
        known = req.env.get(_KNOWN) or self._passwords.recall(name, password) or self._passwords.check(name, password)
        if known.user is None:
            raise NotIdentified(_WRONG, attempt=Attempt("password", f"as {name[:64]!a}"))
        return caller(req, known.user.name, known.user.project_id, known.user.roles)

    def is_known(self, environ: dict[str, Any]) -> bool:
        """Whether the answer is known without a check."""
        try:
            known = self._passwords.recall(*_credentials(environ.get("HTTP_AUTHORIZATION")))
        except NotIdentified:  # the application says so
            return True
        environ[_KNOWN] = known
        return known is not None

    async def prepare(self, environ: dict[str, Any], client: str, gone: asyncio.Future[None]) -> None:
        """Have the password checked. Raises Busy, ClientGone."""
        name, password = _credentials(environ.get("HTTP_AUTHORIZATION"))
        began = time.monotonic()
        if self._passwords.find(name) is None:
            known = self._passwords.check(name, password)
        else:
            known = await self._checked(client, name, password, gone)
            self._pace.note(time.monotonic() - began)
        if known.user is None:
            await self._pace.be_known(self._repeated, client, gone)
            await self._wait(began + self._pace.seconds() - time.monotonic(), gone)
        environ[_KNOWN] = known

    async def _checked(self, client: str, name: str, password: str, gone: asyncio.Future[None]) -> Known:
        """The outcome of a check, in its turn among those of its kind. A client's first check of a name is in doubt until it is right."""
        same = self._passwords.digest(name, password)
        is_first = self._firsts.is_waited_for(same) or not self._doubts.has(client, name)
        self._doubts.add(client, name)
        checks = self._firsts if is_first else self._repeated
        known: Known = await checks.outcome(client, name, same, lambda: self._pace.timed(name, password), gone)
        if known.user is not None:
            self._doubts.drop(client, name)
        return known

    async def _wait(self, seconds: float, gone: asyncio.Future[None]) -> None:
        if self._answered_late >= _WAITING:
            raise Busy()
        self._answered_late += 1
        try:
            await asyncio.wait({gone}, timeout=max(0.0, seconds))
        finally:
            self._answered_late -= 1
        if gone.done():
            raise ClientGone()


class _Doubts:
    """Which clients have lately been wrong about which names, or are being checked: bounded, the oldest are forgotten first."""

    def __init__(self) -> None:
        self._until: dict[tuple[str, str], float] = {}

    def has(self, client: str, name: str) -> bool:
        """Whether the client is in doubt as that user."""
        return self._until.get((client, name), 0.0) > time.monotonic()

    def add(self, client: str, name: str) -> None:
        """It is, for a minute from now on."""
        self.drop(client, name)
        self._until[client, name] = time.monotonic() + _DOUBT_SECONDS
        if len(self._until) > _DOUBTS:
            del self._until[next(iter(self._until))]

    def drop(self, client: str, name: str) -> None:
        """It is not any more."""
        self._until.pop((client, name), None)


class _Pace:
    """How long the answer to a wrong password takes: longer than the check of the most costly hash, or as long as checks waited lately."""

    def __init__(self, passwords: Passwords) -> None:
        self._passwords = passwords
        self._cost = 0
        self._check_seconds = 0.0  # at that cost
        self._whole = (0.0, float("-inf"))  # how long somebody waited for a check and had it, and when

    async def be_known(self, checks: Checks, client: str, gone: asyncio.Future[None]) -> None:
        """See to it that a check of the highest cost was timed."""
        cost = self._passwords.highest_cost()
        if self._cost != cost:
            await checks.outcome(client, "", self, lambda: self._time_one(cost), gone)

    def timed(self, name: str, password: str) -> Known:
        """Check a password, and learn from it."""
        user, cost = self._passwords.find(name), self._passwords.highest_cost()
        began = time.perf_counter()
        known = self._passwords.check(name, password)
        if user is not None and user.cost == cost:
            self._learn(cost, time.perf_counter() - began)
        return known

    def note(self, seconds: float) -> None:
        """Somebody waited so long for a check."""
        self._whole = (seconds, time.monotonic())

    def seconds(self) -> float:
        """How long the next answer takes, from when the request was there."""
        whole, when = self._whole
        lately = whole if time.monotonic() - when < _RECENT else 0.0
        return max(self._check_seconds * _SLOWER, lately) * random.uniform(1 - _SPREAD, 1 + _SPREAD)

    def _time_one(self, cost: int) -> None:
        salt = bcrypt.gensalt(cost)
        began = time.perf_counter()
        bcrypt.hashpw(b"nobody's", salt)
        self._learn(cost, time.perf_counter() - began)

    def _learn(self, cost: int, seconds: float) -> None:
        """Half of it is the last one's; the other half goes back to those before."""
        self._check_seconds = seconds if cost != self._cost else (self._check_seconds + seconds) / 2
        self._cost = cost


def _credentials(header: str | None) -> tuple[str, str]:
    scheme, _, encoded = (header or "").partition(" ")
    if scheme.lower() != "basic":
        raise NotIdentified(MISSING)
    try:
        name, colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise NotIdentified(_MALFORMED, attempt=Attempt("header", "with a malformed header")) from None
    if not colon:
        raise NotIdentified(_MALFORMED, attempt=Attempt("header", "with a malformed header"))
    return name, password
