"""Authentication by http_basic: passwords against the users file, application tokens, and the login
tokens that both can be exchanged for.

Name and password are in the header or, for that exchange, in the body (`keystone_login`); from
there on it is one way. An application token that is right costs a hash and is answered at once; one
that is wrong is a wrong password. A login token costs a decryption, right or wrong.

A password that is not remembered is checked before the request takes a thread, in separate threads.
A client that has just given a wrong password queues behind others that did, and not in front of
anybody's first login.

The time of a refusal depends neither on whether the user exists, nor on the cost of the hash: each
request also waits in a queue of wrong answers, where a turn takes longer than a check, and is
refused if its lane there is full. Only a right password is answered as soon as its check is done.
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

from abaca.api import keystone_login
from abaca.api.authenticator import MISSING, caller
from abaca.api.door.checks import Checks, QueueFull, Turn
from abaca.api.door.refusals import Busy, ClientGone
from abaca.api.faults import Attempt, NotIdentified
from abaca.api.login_tokens import Login, LoginTokens
from abaca.api.passwords import Known, Passwords
from abaca.api.tokens_file import ApplicationTokens
from abaca.errors import CallerError
from abaca.values import Caller

_MALFORMED = "The Authorization header is malformed."
_WRONG = "Wrong user name or password."
_WRONG_TOKEN = "The token in X-Auth-Token is not valid here, or not any more: log in again."

_KNOWN = "abaca.known_password"  # in the environment: what was found out about this request's
_LOGIN_TOKEN = "HTTP_X_AUTH_TOKEN"
_FIRSTS = 2  # first checks of a client at once, one of them for one client
_NICE = 5  # the others run at a lower priority than these and requests
_DOUBT_SECONDS, _DOUBTS = 60.0, 4096
_SLOWER = 1.25  # than a check of the most costly hash: so long takes a turn among the wrong answers
_SPREAD = 0.1  # of that, more or less


class HttpBasic:
    """An Authenticator."""

    def __init__(
        self,
        passwords: Passwords,
        tokens: ApplicationTokens | None = None,
        logins: LoginTokens | None = None,
    ) -> None:
        self._passwords = passwords
        self._tokens = tokens
        self._logins = logins
        self._firsts = Checks(_FIRSTS, of_one_client=1)
        self._repeated = Checks(1, nice=_NICE)
        self._wrong_answers = Checks(1)
        self._doubts = _Doubts()
        self._pace = _Pace(passwords)

    def __call__(self, req: falcon.Request) -> Caller:
        """The caller; `req.context.login`: the login token that was shown, or made now. Raises
        NotIdentified and, for the body of a login, Invalid and TooLarge."""
        if _has_login_token(req.env):
            known, req.context.login = self._logged_in(req.env[_LOGIN_TOKEN])
        else:
            known = self._identified(req.env)
            if keystone_login.is_login(req.env):
                req.context.login = self._log_in(req.env, known)
        assert known.user is not None
        user = known.user
        return caller(req, user.name, user.project_id, user.roles, known.token)

    def _identified(self, environ: dict[str, Any]) -> Known:
        """Whose name and password the request has. Raises NotIdentified."""
        name, password = _credentials(environ)
        known: Known = (
            environ.get(_KNOWN)
            or self._recall(name, password)
            or self._passwords.check(name, password)
        )
        if known.user is None:
            raise NotIdentified(_WRONG, attempt=Attempt("password", f"as {name[:64]!a}"))
        return known

    def _logged_in(self, token: str) -> tuple[Known, Login]:
        """Whose login token it is. Raises NotIdentified."""
        found = self._logins.find(token) if self._logins is not None else None
        if found is None:
            raise NotIdentified(_WRONG_TOKEN, attempt=Attempt("token", "with a login token"))
        return found

    def _log_in(self, environ: dict[str, Any], known: Known) -> Login | None:
        """A token for who is identified. Raises NotIdentified for a scope that is not theirs."""
        assert known.user is not None
        keystone_login.require_scope(keystone_login.asked(environ), known.user.project_id)
        return self._logins.issue(known) if self._logins is not None else None

    def is_known(self, environ: dict[str, Any]) -> bool:
        """Whether the answer is known without a check."""
        if _has_login_token(environ):
            return True
        try:
            known = self._recall(*_credentials(environ))
        except CallerError:  # the application says so
            return True
        environ[_KNOWN] = known
        return known is not None

    async def prepare(
        self, environ: dict[str, Any], client: str, gone: asyncio.Future[None]
    ) -> None:
        """Have the password checked. Raises Busy, ClientGone."""
        name, password = _credentials(environ)
        turn = self._turn_of_wrong_answer(client, name, password)
        try:
            is_wrong = self._passwords.is_wrong(name, password)
            known = Known(None) if is_wrong else await self._checked(client, name, password, gone)
            if known.user is None:
                await self._wait(turn, gone)
                self._passwords.tell(name, password)
        finally:
            if turn is not None:
                turn.leave()
        environ[_KNOWN] = known

    def _recall(self, name: str, password: str) -> Known | None:
        """What may be answered at once."""
        found = self._tokens.find(name, password) if self._tokens is not None else None
        return found or self._passwords.recall(name, password)

    def _turn_of_wrong_answer(self, client: str, name: str, password: str) -> Turn | None:
        """A turn in the queue of wrong answers; None if there is no room, which only wrong
        passwords will notice. Raises Busy if the lane is full."""
        try:
            return self._wrong_answers.enter(
                client, name, self._passwords.digest(name, password), self._pace.spend
            )
        except QueueFull:
            return None

    async def _checked(
        self, client: str, name: str, password: str, gone: asyncio.Future[None]
    ) -> Known:
        """The outcome of a check, in its turn among those of its kind. A client's first check of a
        name is in doubt until it is right."""
        same = self._passwords.digest(name, password)
        is_first = self._firsts.is_waited_for(same) or not self._doubts.has(client, name)
        self._doubts.add(client, name)
        checks = self._firsts if is_first else self._repeated
        known: Known = await checks.outcome(
            client, name, same, lambda: self._pace.timed(name, password), gone
        )
        if known.user is not None:
            self._doubts.drop(client, name)
        return known

    async def _wait(self, turn: Turn | None, gone: asyncio.Future[None]) -> None:
        """Until the password may be said to be wrong. Raises Busy when it may not, after as
        long."""
        if turn is not None:
            await turn.outcome(gone)
            return
        await asyncio.wait({gone}, timeout=self._pace.seconds())
        raise ClientGone() if gone.done() else Busy()


class _Doubts:
    """Which clients have recently been wrong about which names, or are being checked. Bounded; the
    oldest are dropped first."""

    def __init__(self) -> None:
        self._until: dict[tuple[str, str], float] = {}

    def has(self, client: str, name: str) -> bool:
        """Whether the client has been wrong about that name."""
        return self._until.get((client, name), 0.0) > time.monotonic()

    def add(self, client: str, name: str) -> None:
        """Record it for a minute."""
        self.drop(client, name)
        self._until[client, name] = time.monotonic() + _DOUBT_SECONDS
        if len(self._until) > _DOUBTS:
            del self._until[next(iter(self._until))]

    def drop(self, client: str, name: str) -> None:
        """Remove it."""
        self._until.pop((client, name), None)


class _Pace:
    """How long a turn among the wrong answers takes: longer than the check of the most costly
    hash."""

    def __init__(self, passwords: Passwords) -> None:
        self._passwords = passwords
        self._cost = 0
        self._check_seconds = 0.0  # at that cost

    def timed(self, name: str, password: str) -> Known:
        """Check a password, and learn from it."""
        user, cost = self._passwords.find(name), self._passwords.highest_cost()
        began = time.perf_counter()
        known = self._passwords.check(name, password)
        if user is not None and user.cost == cost:
            self._learn(cost, time.perf_counter() - began)
        return known

    def seconds(self) -> float:
        """How long the next one takes."""
        return self._check_seconds * _SLOWER * random.uniform(1 - _SPREAD, 1 + _SPREAD)

    def spend(self) -> None:
        """Let that time pass, in a thread. If no check of the highest cost was timed yet, this one
        is."""
        began, cost = time.perf_counter(), self._passwords.highest_cost()
        if self._cost != cost:
            bcrypt.hashpw(b"nobody's", bcrypt.gensalt(cost))
            self._learn(cost, time.perf_counter() - began)
        time.sleep(max(0.0, began + self.seconds() - time.perf_counter()))

    def _learn(self, cost: int, seconds: float) -> None:
        """Half of it is the last one's; the other half goes back to those before."""
        self._check_seconds = seconds if cost != self._cost else (self._check_seconds + seconds) / 2
        self._cost = cost


def _has_login_token(environ: dict[str, Any]) -> bool:
    """Whether a login token counts: no password is given beside it."""
    return (
        bool(environ.get(_LOGIN_TOKEN))
        and "HTTP_AUTHORIZATION" not in environ
        and not keystone_login.is_login(environ)
    )


def _credentials(environ: dict[str, Any]) -> tuple[str, str]:
    """Name and password, from the body of a login or else the header. Raises NotIdentified, and
    what `keystone_login.asked` does."""
    if keystone_login.is_login(environ):
        asked = keystone_login.asked(environ)
        return asked.name, asked.password
    return _from_header(environ.get("HTTP_AUTHORIZATION"))


def _from_header(header: str | None) -> tuple[str, str]:
    scheme, _, encoded = (header or "").partition(" ")
    if scheme.lower() != "basic":
        raise NotIdentified(MISSING)
    try:
        name, colon, password = (
            base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
        )
    except (binascii.Error, UnicodeDecodeError):
        raise NotIdentified(
            _MALFORMED, attempt=Attempt("header", "with a malformed header")
        ) from None
    if not colon:
        raise NotIdentified(_MALFORMED, attempt=Attempt("header", "with a malformed header"))
    return name, password
