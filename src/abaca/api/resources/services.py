"""/services: the back ends that workers serve (os-services up to 2.6)."""

from __future__ import annotations

from typing import Any

from abaca.api.call import Call
from abaca.api.declaration import Resource, Route, Takes, admin, many, plain, renamed
from abaca.api.wire import bodies
from abaca.api.wire.schemas import FLAG, TEXT, TEXT_OR_NULL, object_of
from abaca.api.wire.services import SERVICE, ServiceChoice, ServiceEnsure
from abaca.db.session import begin, read
from abaca.domain.services import services

_REASON_SINCE = 83
_FILTERS = ("host", "binary", "zone", "state", "status")
_ENSURING_SINCE = 93


def index(call: Call) -> dict[str, Any]:
    """GET /services"""
    filters = call.filters(*_FILTERS)
    if call.version >= _ENSURING_SINCE and "ensuring" in call.query:
        filters["ensuring"] = str(bodies.boolean(call.query["ensuring"]))
    with read(call.engine) as conn:
        return call.many("services", SERVICE, services.find(conn, filters))


def enable(call: Call) -> dict[str, Any]:
    """PUT /services/enable"""
    return _set_disabled(call, False)


def disable(call: Call) -> dict[str, Any]:
    """PUT /services/disable: no new shares go there."""
    return _set_disabled(call, True)


def ensure_shares(call: Call) -> None:
    """POST /services/ensure-shares, since 2.86: everything on a back end is brought into the state
    described."""
    body = call.json
    inner = body.get("ensure_shares") if isinstance(body, dict) else None  # since Manila's 2026.1
    host = bodies.shape(body if inner is None else inner, ServiceEnsure).host
    with begin(call.engine) as conn:
        services.ensure_shares(conn, host)


def _set_disabled(call: Call, disabled: bool) -> dict[str, Any]:
    chosen = bodies.shape(call.json, ServiceChoice)
    has_reason = call.version >= _REASON_SINCE
    reason = chosen.disabled_reason if has_reason and disabled else None
    with begin(call.engine) as conn:
        services.set_disabled(
            conn, host=chosen.host, binary=chosen.binary, disabled=disabled, reason=reason
        )
    return {"host": chosen.host, "binary": chosen.binary, "disabled": disabled} | (
        {"disabled_reason": reason} if has_reason else {}
    )


_ALL = "/v2/services"
_CHOSEN = {
    **object_of(host=TEXT, binary=TEXT, disabled=FLAG, disabled_reason=TEXT_OR_NULL),
    "required": ["host", "binary", "disabled"],  # the reason is there since 2.83
}

RESOURCE = Resource(
    routes=[
        *renamed(
            "/v2/os-services",
            Route(
                "GET",
                _ALL,
                index,
                admin("service:index"),
                gives=many("services", SERVICE),
                query=(*_FILTERS, "ensuring"),
            ),
        ),
        *renamed(
            "/v2/os-services/enable",
            Route(
                "PUT",
                f"{_ALL}/enable",
                enable,
                admin("service:update"),
                takes=Takes("", ServiceChoice),
                gives=plain("", _CHOSEN),
            ),
        ),
        *renamed(
            "/v2/os-services/disable",
            Route(
                "PUT",
                f"{_ALL}/disable",
                disable,
                admin("service:update"),
                takes=Takes("", ServiceChoice),
                gives=plain("", _CHOSEN),
            ),
        ),
        Route(
            "POST",
            f"{_ALL}/ensure-shares",
            ensure_shares,
            admin("service:ensure_shares"),
            takes=Takes("", ServiceEnsure),
            since=86,
            status=202,
        ),
    ],
)
