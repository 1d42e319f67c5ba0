"""A login of the page where Keystone knows the users: `POST /ui/v3/auth/tokens`, handed on to the
configured Keystone and to nothing else. Nothing is kept.

The browser may ask only the server that the page is from. Open to everybody, so it is narrow: one
method, a small body that has the shape of a login, a fixed address, no redirects, an answer of
limited size within a limited time, and few requests at once, in threads of their own: whoever logs
in, right or wrong, takes none of the few that carry requests out (`LoginsInTurn`).

Needs the extra `openstack`; nothing imports this module unless `[api] auth_strategy = keystone`.
"""

from __future__ import annotations

import asyncio
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Literal

import falcon
import msgspec
from keystoneauth1.exceptions import ClientException
from keystoneauth1.loading import session as session_loading
from oslo_config import cfg
from requests import Response
from requests.exceptions import RequestException

from abaca.api import keystone
from abaca.api.authenticator import Authenticator
from abaca.api.door.checks import Checks
from abaca.api.faults import NotIdentified, TooLarge, UnsupportedMediaType
from abaca.api.wire import bodies
from abaca.bounded_http import bound
from abaca.errors import CallerError, Invalid, ServiceDown
from abaca.values import Caller

PATH = "/v3/auth/tokens"
MOST_BYTES = 8192
_ANSWER_BYTES, _SECONDS = 256 * 1024, 10.0
_AT_ONCE, _OF_ONE_CLIENT = 4, 2  # logins; others wait for their turn
_PATIENCE = 20.0  # seconds that a login waits for its turn and for Keystone
_OUTCOME = "abaca.login"  # in the environment: what Keystone said, None: nothing
_WHITESPACE = " \t"
_SUBJECT = "X-Subject-Token"

_JSON_ONLY = "A login is JSON (Content-Type: application/json)."
_AWAY = "Keystone does not answer, so nobody can log in. Try again later."
_WRONG = "Keystone does not accept these credentials for that project."


class _Identity(msgspec.Struct, forbid_unknown_fields=True):
    methods: list[Literal["password", "totp", "application_credential"]]
    password: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    totp: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    application_credential: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET


class _Auth(msgspec.Struct, forbid_unknown_fields=True):
    identity: _Identity
    scope: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET


class _Login(msgspec.Struct, forbid_unknown_fields=True):
    auth: _Auth


class KeystoneForward:
    """The route, as a Falcon resource."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        keystone.register(conf)
        options = conf[keystone.GROUP]
        home = options.auth_section or keystone.GROUP
        keystone.section_options(conf)  # auth_url among them
        base = str(conf[home].auth_url).rstrip("/").removesuffix("/v3")
        self._url = f"{base}{PATH}?nocatalog"
        self._session = bound(
            session_loading.Session().load_from_options(
                cert=options.certfile,
                key=options.keyfile,
                cacert=options.cafile,
                insecure=options.insecure,
                timeout=_SECONDS,
            ),
            _ANSWER_BYTES,
            _SECONDS,
        )
        # one session for everybody: what Keystone, or a proxy before it, would have one user keep
        self._session.session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def ask(self, login: dict[str, Any]) -> Response | None:
        """What Keystone says to a login; None when it says nothing."""
        try:
            answer: Response = self._session.request(
                self._url,
                "POST",
                json=login,
                authenticated=False,
                redirect=False,
                raise_exc=False,
                connect_retries=0,
                log=False,  # it holds a password
                headers={"Accept": "application/json"},
            )
        except (ClientException, RequestException):
            return None
        return answer

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Keystone's answer: its token in the header X-Subject-Token, and what it is for."""
        answer = req.env[_OUTCOME] if _OUTCOME in req.env else self.ask(read(req))
        if answer is None:
            raise ServiceDown(_AWAY)
        token = answer.headers.get(_SUBJECT, "")
        if answer.status_code in (400, 401, 403, 404):
            raise NotIdentified(_WRONG, "Keystone")
        if answer.status_code != 201 or not (token and token.isascii() and token.isprintable()):
            raise ServiceDown(_AWAY)
        resp.status = 201
        resp.set_header(_SUBJECT, token)
        resp.set_header("Cache-Control", "no-store")
        resp.content_type, resp.data = "application/json", answer.content


class LoginsInTurn:
    """An Authenticator that also has Keystone asked about logins, before they have a thread:
    clients take turns."""

    def __init__(self, authenticate: Authenticator, conf: cfg.ConfigOpts, path: str) -> None:
        self._authenticate = authenticate
        self._path = path
        self._forward = KeystoneForward(conf)
        self._checks = Checks(_AT_ONCE, of_one_client=_OF_ONE_CLIENT)

    def __call__(self, req: falcon.Request) -> Caller:
        """Who sends a request, by the authenticator that this one wraps."""
        return self._authenticate(req)

    def is_known(self, environ: dict[str, Any]) -> bool:
        """Whether the caller was checked lately. A login never counts as that."""
        return not self._is_login(environ) and self._authenticate.is_known(environ)

    async def prepare(
        self, environ: dict[str, Any], client: str, gone: asyncio.Future[None]
    ) -> None:
        """Let Keystone be asked. What is no login is left to the route, which says so. Raises Busy,
        ClientGone."""
        if not self._is_login(environ):
            await self._authenticate.prepare(environ, client, gone)
            return
        try:
            login = read(falcon.Request(environ))
        except CallerError:
            environ["wsgi.input"].seek(0)
            return
        outcome = self._checks.outcome(client, "", object(), lambda: self._forward.ask(login), gone)
        try:
            environ[_OUTCOME] = await asyncio.wait_for(outcome, _PATIENCE)
        except TimeoutError:
            environ[_OUTCOME] = None

    def _is_login(self, environ: dict[str, Any]) -> bool:
        return (
            "wsgi.input" in environ  # else there is no body, and nothing to ask
            and environ["REQUEST_METHOD"] == "POST"
            and str(environ["PATH_INFO"]) == self._path
        )


def read(req: falcon.Request) -> dict[str, Any]:
    """What is handed on: the login, written anew. Raises Invalid, TooLarge, and for another media
    type UnsupportedMediaType."""
    # another site's form cannot send this type without asking first, which nobody answers
    media_type = (req.content_type or "").partition(";")[0].strip(_WHITESPACE)
    if media_type.lower() != "application/json":
        raise UnsupportedMediaType(_JSON_ONLY)
    if (req.content_length or 0) > MOST_BYTES:
        raise TooLarge(f"The body of a login has more than {MOST_BYTES} bytes.")
    raw = req.bounded_stream.read(MOST_BYTES + 1)
    if len(raw) > MOST_BYTES:
        raise TooLarge(f"The body of a login has more than {MOST_BYTES} bytes.")
    login = bodies.shape(bodies.decode(raw), _Login)
    if not login.auth.identity.methods:
        raise Invalid("auth.identity.methods names no method.")
    written: dict[str, Any] = msgspec.to_builtins(login)
    return written
