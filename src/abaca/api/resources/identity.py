"""/v3: a login that has Keystone's shape, for clients that know no other. Only where the users of a
file log in (http_basic): with Keystone there is the real one.

The credentials in the body are checked by `http_basic`, as all are, before a handler is called.
"""

from __future__ import annotations

from typing import Any

from abaca.api import keystone_login
from abaca.api.call import Call, WithHeaders
from abaca.api.declaration import Resource, Route, Rule, Takes, plain
from abaca.api.faults import NoSuchRoute
from abaca.api.login_tokens import Login
from abaca.api.policy import ANY_ROLE
from abaca.api.wire import identity
from abaca.api.wire.schemas import ANYTHING, ANYTHINGS
from abaca.errors import Invalid, Missing

_SUBJECT = "X-Subject-Token"


def version(call: Call) -> dict[str, Any]:
    """GET /v3, for everyone: clients look here before they log in."""
    _require_http_basic(call)
    return {"version": identity.version(call.base_url)}


def log_in(call: Call) -> WithHeaders:
    """POST /v3/auth/tokens"""
    _require_http_basic(call)
    return _shown(call, call.login)


def show(call: Call) -> WithHeaders:
    """GET /v3/auth/tokens: about the token that the request is made with, and no other."""
    _require_http_basic(call)
    subject = call.header(_SUBJECT)
    if subject is None:
        raise Invalid(f"The header {_SUBJECT} is missing.")
    if call.login is None or call.login.token != subject:
        raise Missing("There is no such token, or it is not the one that the request is made with.")
    return _shown(call, call.login)


def catalog(call: Call) -> dict[str, Any]:
    """GET /v3/auth/catalog"""
    _require_http_basic(call)
    return {
        "catalog": identity.catalog(call.base_url),
        "links": {"self": f"{call.base_url}/v3/auth/catalog", "previous": None, "next": None},
    }


def _shown(call: Call, login: Login | None) -> WithHeaders:
    if login is None:
        raise NoSuchRoute()
    shown = identity.token(
        call.caller, login.token, login.issued_at, login.expires_at, call.base_url
    )
    return WithHeaders({"token": shown}, {_SUBJECT: login.token, "Vary": "X-Auth-Token"})


def _require_http_basic(call: Call) -> None:
    if call.conf.api.auth_strategy != "http_basic":
        raise NoSuchRoute()


_TOKENS = keystone_login.PATH
_LOGGED_IN = Rule("identity:log_in", ANY_ROLE)

RESOURCE = Resource(
    routes=[
        Route("GET", "/v3", version, None, gives=plain("version", ANYTHING)),
        Route(
            "POST",
            _TOKENS,
            log_in,
            _LOGGED_IN,
            Takes("auth", identity.Auth),
            gives=plain("token", ANYTHING),
            status=201,
        ),
        Route("GET", _TOKENS, show, _LOGGED_IN, gives=plain("token", ANYTHING)),
        Route(
            "GET",
            "/v3/auth/catalog",
            catalog,
            _LOGGED_IN,
            gives=plain("catalog", ANYTHINGS)._replace(more={"links": ANYTHING}),
        ),
    ],
)
