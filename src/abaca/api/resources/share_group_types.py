"""/share-group-types: what groups of shares administrators offer."""

from __future__ import annotations

from typing import Any

from abaca.api.call import Call
from abaca.api.declaration import Resource, Route, Takes, admin, many, one, reader
from abaca.api.lists import Filter, ListQuery
from abaca.api.resources.share_types import MALFORMED, public_or_every
from abaca.api.wire import bodies
from abaca.api.wire.share_group_types import SHARE_GROUP_TYPE, ShareGroupTypeCreate
from abaca.api.wire.share_types import spec_texts, type_name
from abaca.db.session import begin, read
from abaca.domain.share_group_types import share_group_types
from abaca.domain.share_types import share_types
from abaca.errors import Invalid, Missing

# Others than administrators see what is public or opened to them, whatever they ask for.
_QUERY = ListQuery(
    [
        Filter("is_public", public_or_every, is_admins=True),
        Filter("group_specs", bodies.mapping, since=66),
    ]
)


def index(call: Call) -> dict[str, Any]:
    """GET /share-group-types"""
    page, filters = call.page(), _QUERY.read(call).filters
    is_public = filters.pop("is_public", True)
    if is_public is False:
        filters["is_public"] = False
    with read(call.engine) as conn:
        rows = share_group_types.LISTING.find(
            conn, call.caller, filters, page, is_public is not True
        )
    return call.many(
        "share_group_types", SHARE_GROUP_TYPE, [_told(call, row) for row in rows], page
    )


def show(call: Call, share_group_type_id: str) -> dict[str, Any]:
    """GET /share-group-types/{id}"""
    with read(call.engine) as conn:
        return _one(call, share_group_types.get(conn, call.caller, share_group_type_id))


def default(call: Call) -> dict[str, Any]:
    """GET /share-group-types/default"""
    name = call.conf.default_share_group_type
    if not name:
        raise Missing("Default share group type not found.")
    with read(call.engine) as conn:
        return _one(call, share_group_types.get_by_name(conn, call.caller, name))


def create(call: Call) -> dict[str, Any]:
    """POST /share-group-types"""
    new = call.body("share_group_type", ShareGroupTypeCreate, missing=Invalid(MALFORMED))
    name = type_name(new.name, "share group type")
    if not new.share_types:
        raise Invalid("Supported share types must be provided.")
    specs = spec_texts(new.group_specs or {}, "group_spec")
    with begin(call.engine) as conn:
        row = share_group_types.create(
            conn,
            name=name,
            is_public=new.wanted_is_public,
            share_type_ids=share_types.ids_of(conn, call.caller, new.share_types),
            group_specs=specs,
        )
    return _one(call, row)


def delete(call: Call, share_group_type_id: str) -> None:
    """DELETE /share-group-types/{id}"""
    with begin(call.engine) as conn:
        share_group_types.delete(conn, call.caller, share_group_type_id)


def _told(call: Call, row: dict[str, Any]) -> dict[str, Any]:
    return row | {"is_default": row["name"] == call.conf.default_share_group_type}


def _one(call: Call, row: dict[str, Any]) -> dict[str, Any]:
    return call.one("share_group_type", SHARE_GROUP_TYPE, _told(call, row))


_ALL = "/v2/share-group-types"
_ONE = f"{_ALL}/{{share_group_type_id}}"
_SHOWN = one("share_group_type", SHARE_GROUP_TYPE)

RESOURCE = Resource(
    routes=[
        Route(
            "GET",
            _ALL,
            index,
            reader("share_group_type:index"),
            gives=many("share_group_types", SHARE_GROUP_TYPE),
            query=_QUERY.names,
            since=31,
            experimental_until=54,
        ),
        Route(
            "POST",
            _ALL,
            create,
            admin("share_group_type:create"),
            takes=Takes("share_group_type", ShareGroupTypeCreate),
            gives=_SHOWN,
            since=31,
            experimental_until=54,
        ),
        Route(
            "GET",
            f"{_ALL}/default",
            default,
            reader("share_group_type:default"),
            gives=_SHOWN,
            since=31,
            experimental_until=54,
        ),
        Route(
            "GET",
            _ONE,
            show,
            reader("share_group_type:show"),
            gives=_SHOWN,
            since=31,
            experimental_until=54,
        ),
        Route(
            "DELETE",
            _ONE,
            delete,
            admin("share_group_type:delete"),
            status=204,
            since=31,
            experimental_until=54,
        ),
    ],
)
