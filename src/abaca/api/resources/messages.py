"""/messages: user messages, since 2.37."""

from __future__ import annotations

from typing import Any

from abaca.api.call import Call
from abaca.api.declaration import Resource, Route, many, member, one, reader
from abaca.api.lists import ListQuery, answer, texts, times
from abaca.api.wire.messages import MESSAGE
from abaca.db.session import begin, read
from abaca.domain.rows import messages

_QUERY = ListQuery(
    [
        *texts(
            "request_id", "resource_type", "resource_id", "action_id", "detail_id", "message_level"
        ),
        *times(since=52),
    ]
)


def index(call: Call) -> dict[str, Any]:
    """GET /messages"""
    return answer(call, _QUERY, messages.LISTING.find, "messages", MESSAGE, told=_linked)


def show(call: Call, message_id: str) -> dict[str, Any]:
    """GET /messages/{id}"""
    with read(call.engine) as conn:
        return call.one(
            "message", MESSAGE, _linked(call, messages.get(conn, call.caller, message_id))
        )


def delete(call: Call, message_id: str) -> None:
    """DELETE /messages/{id}"""
    with begin(call.engine) as conn:
        messages.delete(conn, call.caller, message_id)


def _linked(call: Call, row: dict[str, Any]) -> dict[str, Any]:
    return row | {"links": call.links("messages", row["id"])}


_ALL = "/v2/messages"
_ONE = f"{_ALL}/{{message_id}}"

RESOURCE = Resource(
    routes=[
        Route(
            "GET",
            _ALL,
            index,
            reader("message:get_all"),
            gives=many("messages", MESSAGE),
            query=_QUERY.names,
            since=37,
        ),
        Route("GET", _ONE, show, reader("message:get"), gives=one("message", MESSAGE), since=37),
        Route("DELETE", _ONE, delete, member("message:delete"), since=37, status=204),
    ],
)
