"""/services: the back ends that workers serve (os-services up to 2.6)."""

from __future__ import annotations

from typing import Any

from abaca.api.call import Call
from abaca.api.wire import bodies
from abaca.api.wire.services import SERVICE, ServiceChoice
from abaca.db.session import begin, read
from abaca.domain import services

_FILTERS = ("host", "binary", "zone", "state", "status")


def index(call: Call) -> dict[str, Any]:
    """GET /services"""
    with read(call.engine) as conn:
        return call.many("services", SERVICE, services.find(conn, call.filters(*_FILTERS)))


def enable(call: Call) -> dict[str, Any]:
    """PUT /services/enable"""
    return _set_disabled(call, False)


def disable(call: Call) -> dict[str, Any]:
    """PUT /services/disable: no new shares go there."""
    return _set_disabled(call, True)


def _set_disabled(call: Call, disabled: bool) -> dict[str, Any]:
    chosen = bodies.shape(call.json, ServiceChoice)
    with begin(call.engine) as conn:
        services.set_disabled(conn, host=chosen.host, binary=chosen.binary, disabled=disabled)
    return {"host": chosen.host, "binary": chosen.binary, "disabled": disabled}
