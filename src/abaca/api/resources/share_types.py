"""/types: share types."""

from __future__ import annotations

from typing import Any

import msgspec

from abaca.api import pagination
from abaca.api.call import Call
from abaca.api.declaration import Gives, Resource, Route, Takes, admin, reader
from abaca.api.lists import Filter, ListQuery
from abaca.api.wire import bodies
from abaca.api.wire.fields import SHOW
from abaca.api.wire.share_types import (
    SHARE_TYPE,
    ShareTypeCreate,
    ShareTypeUpdate,
    spec_texts,
    type_name,
)
from abaca.db.session import begin, read
from abaca.domain.share_types import share_types
from abaca.errors import Invalid, Missing

MALFORMED = (
    "The server could not comply with the request since it is either malformed or "
    "otherwise incorrect."
)
_EVERY = ("all", "none")


def public_or_every(text: str) -> bool | None:
    """The value of `is_public`; None: public and other types."""
    return None if text.lower() in _EVERY else bodies.boolean(text)


# Others than administrators see what is public or opened to them, whatever they ask for.
_QUERY = ListQuery(
    [
        Filter("is_public", public_or_every, is_admins=True),
        Filter("extra_specs", bodies.mapping, since=43),
    ]
)


def index(call: Call) -> dict[str, Any]:
    """GET /types"""
    page, filters = call.page(), _QUERY.read(call).filters
    is_public = filters.get("is_public", True) if call.caller.is_admin else None
    with read(call.engine) as conn:
        rows = share_types.find(
            conn, call.caller, page, is_public=is_public, extra_specs=filters.get("extra_specs")
        )
    types = SHARE_TYPE.render_all(
        [_told(call, row) for row in rows], call.version, level=SHOW, is_admin=call.caller.is_admin
    )
    answer: dict[str, Any] = {"share_types": types, "volume_types": types}
    links = pagination.next_links(call.url, call.query, page, rows)
    return answer | {"share_types_links": links} if links else answer


def show(call: Call, type_id: str) -> dict[str, Any]:
    """GET /types/{id}"""
    with read(call.engine) as conn:
        return _one(call, share_types.get(conn, call.caller, type_id))


def default(call: Call) -> dict[str, Any]:
    """GET /types/default"""
    name = call.conf.default_share_type
    if not name:
        raise Missing("Default share type not found.")
    with read(call.engine) as conn:
        return _one(call, share_types.lookup(conn, call.caller, name))


def create(call: Call) -> dict[str, Any]:
    """POST /types. Below 2.24 snapshot_support is True unless said otherwise."""
    new = call.body(_member(call), ShareTypeCreate, missing=Invalid(MALFORMED))
    if new.description is not None and call.version < 41:
        raise Invalid("The description of a share type needs version 2.41.")
    specs = spec_texts(new.extra_specs or {})
    if call.version < 24:
        specs = {share_types.SNAPSHOT_SUPPORT: "True"} | specs
    with begin(call.engine) as conn:
        row = share_types.create(
            conn,
            call.caller,
            name=type_name(new.name),
            description=new.description,
            is_public=new.wanted_is_public is not False,
            extra_specs=specs,
        )
    return _one(call, row)


def update(call: Call, type_id: str) -> dict[str, Any]:
    """PUT /types/{id}, since 2.50."""
    body = call.body(_member(call), ShareTypeUpdate, missing=Invalid(MALFORMED))
    changes: dict[str, Any] = {}
    if body.name is not msgspec.UNSET:
        changes["name"] = type_name(body.name)
    if body.description is not msgspec.UNSET:
        changes["description"] = body.description or None
    if body.wanted_is_public is not None:
        changes["is_public"] = body.wanted_is_public
    if not changes:
        raise Invalid(
            "Specify share type name, description, share_type_access:is_public or a combination "
            "thereof."
        )
    with begin(call.engine) as conn:
        return _one(call, share_types.update(conn, call.caller, type_id, changes))


def delete(call: Call, type_id: str) -> None:
    """DELETE /types/{id}"""
    with begin(call.engine) as conn:
        share_types.delete(conn, call.caller, type_id)


def _member(call: Call) -> str:
    return (
        "volume_type"
        if isinstance(call.json, dict) and "share_type" not in call.json
        else "share_type"
    )


def _told(call: Call, row: dict[str, Any]) -> dict[str, Any]:
    return row | {"is_default": row["name"] == call.conf.default_share_type}


def _one(call: Call, row: dict[str, Any]) -> dict[str, Any]:
    shown = SHARE_TYPE.render(_told(call, row), call.version, is_admin=call.caller.is_admin)
    return {"share_type": shown, "volume_type": shown}


_ALL = "/v2/types"
_ONE = f"{_ALL}/{{type_id}}"
_SHOWN = Gives("share_type", SHARE_TYPE, also="volume_type")

RESOURCE = Resource(
    routes=[
        Route(
            "GET",
            _ALL,
            index,
            reader("share_type:index"),
            gives=Gives("share_types", SHARE_TYPE, is_list=True, also="volume_types"),
            query=_QUERY.names,
        ),
        Route(
            "POST",
            _ALL,
            create,
            admin("share_type:create"),
            takes=Takes("share_type", ShareTypeCreate),
            gives=_SHOWN,
        ),
        Route("GET", f"{_ALL}/default", default, reader("share_type:default"), gives=_SHOWN),
        Route("GET", _ONE, show, reader("share_type:show"), gives=_SHOWN),
        Route(
            "PUT",
            _ONE,
            update,
            admin("share_type:update"),
            takes=Takes("share_type", ShareTypeUpdate),
            gives=_SHOWN,
            since=50,
        ),
        Route("DELETE", _ONE, delete, admin("share_type:delete"), status=202),
    ],
)
