"""A login of the page where Keystone knows the users: `POST /ui/v3/auth/tokens`, handed on to the
configured Keystone and to nothing else. Nothing is kept.

The browser may ask only the server that the page is from. Open to everybody, so it is narrow: one
method, a small body that has the shape of a login, a fixed address, no redirects, an answer of
limited size within a limited time, and few requests at once.

Needs the extra `openstack`; nothing imports this module unless `[api] auth_strategy = keystone`.
"""

from __future__ import annotations

from threading import BoundedSemaphore
from typing import Any, Literal

import falcon
import msgspec
from keystoneauth1.exceptions import ClientException
from keystoneauth1.loading import session as session_loading
from oslo_config import cfg
from requests.exceptions import RequestException

from abaca.api import keystone
from abaca.api.faults import NotIdentified, TooLarge, UnsupportedMediaType
from abaca.api.wire import bodies
from abaca.bounded_http import bound
from abaca.errors import Invalid, ServiceDown

PATH = "/v3/auth/tokens"
MOST_BYTES = 8192
_ANSWER_BYTES, _SECONDS = 256 * 1024, 10.0
_AT_ONCE = 4  # threads that wait for Keystone; others are told to try again
_WHITESPACE = " \t"
_SUBJECT = "X-Subject-Token"

_JSON_ONLY = "A login is JSON (Content-Type: application/json)."
_MANY = "Too many logins at once. Try again."
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
        self._free = BoundedSemaphore(_AT_ONCE)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Keystone's answer: its token in the header X-Subject-Token, and what it is for."""
        login = _login(req)
        if not self._free.acquire(blocking=False):
            raise ServiceDown(_MANY)
        try:
            answer = self._session.request(
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
        except (ClientException, RequestException) as error:
            raise ServiceDown(_AWAY) from error
        finally:
            self._free.release()
        token = answer.headers.get(_SUBJECT, "")
        if answer.status_code in (400, 401, 403, 404):
            raise NotIdentified(_WRONG, "Keystone")
        if answer.status_code != 201 or not (token and token.isascii() and token.isprintable()):
            raise ServiceDown(_AWAY)
        resp.status = 201
        resp.set_header(_SUBJECT, token)
        resp.set_header("Cache-Control", "no-store")
        resp.content_type, resp.data = "application/json", answer.content


def _login(req: falcon.Request) -> dict[str, Any]:
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
