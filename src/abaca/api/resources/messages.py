"""/messages: user messages, since 2.37."""

from __future__ import annotations

from typing import Any

from abaca.api.call import Call
from abaca.api.declaration import PAGE, Resource, Route, many, member, one, reader
from abaca.api.wire.bodies import day
from abaca.api.wire.messages import MESSAGE
from abaca.db.session import begin, read
from abaca.domain.rows import messages

_FILTERS = ("request_id", "resource_type", "resource_id", "action_id", "detail_id", "message_level")
_TIMES = ("created_since", "created_before")
_SORT_KEYS = ("id", "project_id", "created_at", "expires_at", *_FILTERS)


def index(call: Call) -> dict[str, Any]:
    """GET /messages"""
    page = call.page(_SORT_KEYS)
    filters = call.filters(*_FILTERS)
    if call.version >= 52:
        filters |= {name: day(name, text) for name, text in call.filters(*_TIMES).items()}
    with read(call.engine) as conn:
        rows = messages.find(conn, call.caller, filters, page)
    return call.many("messages", MESSAGE, [_linked(call, row) for row in rows], page)


def show(call: Call, message_id: str) -> dict[str, Any]:
    """GET /messages/{id}"""
    with read(call.engine) as conn:
        return call.one("message", MESSAGE, _linked(call, messages.get(conn, call.caller, message_id)))


def delete(call: Call, message_id: str) -> None:
    """DELETE /messages/{id}"""
    with begin(call.engine) as conn:
        messages.delete(conn, call.caller, message_id)


def _linked(call: Call, row: dict[str, Any]) -> dict[str, Any]:
    return row | {"links": call.links("messages", row["id"])}


_ALL = "/v2/messages"
_ONE = f"{_ALL}/{{message_id}}"
_QUERY = (
    *PAGE, "request_id", "resource_type", "resource_id", "action_id", "detail_id",
    "message_level", "created_since", "created_before",
)  # fmt: skip

RESOURCE = Resource(
    routes=[
        Route(
            "GET", _ALL, index, reader("message:get_all"), gives=many("messages", MESSAGE),
            query=_QUERY, since=37,
        ),
        Route("GET", _ONE, show, reader("message:get"), gives=one("message", MESSAGE), since=37),
        Route("DELETE", _ONE, delete, member("message:delete"), since=37, status=204),
    ],
)
