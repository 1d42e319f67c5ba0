"""/share-groups: share groups and their actions, since 2.31. Types: `share_group_types`; snapshots:
`share_group_snapshots`."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from abaca.api.call import Call
from abaca.api.declaration import (
    Resource,
    Route,
    Takes,
    action,
    admin,
    many,
    member,
    one,
    reader,
)
from abaca.api.lists import ListQuery, answer, texts
from abaca.api.wire.fields import DETAIL, SUMMARY
from abaca.api.wire.share_groups import SHARE_GROUP, ShareGroupCreate, ShareGroupUpdate
from abaca.api.wire.share_networks import ResetStatus
from abaca.db.session import begin, read
from abaca.domain.share_group_types import share_group_types
from abaca.domain.share_groups import share_group_creation, share_groups
from abaca.domain.share_groups.share_group_creation import GroupRequest
from abaca.errors import Invalid, Missing

_NO_BODY = "'share_group' is missing from the request body."
_QUERY = ListQuery(
    [
        *texts("name", "description", "status", "share_server_id", "share_group_type_id", "host"),
        *texts("project_id", "source_share_group_snapshot_id", "share_network_id"),
        *texts("name~", "description~", since=36),
    ],
    all_projects="share_group:get_all_share_groups",
)
_SINCE, _LAST_EXPERIMENTAL = 31, 54


def index(call: Call) -> dict[str, Any]:
    """GET /share-groups"""
    return _list(call, SUMMARY)


def detail(call: Call) -> dict[str, Any]:
    """GET /share-groups/detail"""
    return _list(call, DETAIL)


def show(call: Call, share_group_id: str) -> dict[str, Any]:
    """GET /share-groups/{id}"""
    with read(call.engine) as conn:
        return _one(call, share_groups.get(conn, call.caller, share_group_id))


def create(call: Call) -> dict[str, Any]:
    """POST /share-groups"""
    new = call.body("share_group", ShareGroupCreate, missing=Invalid(_NO_BODY))
    if new.source_share_group_snapshot_id:
        raise Missing(
            f"Share group snapshot {new.source_share_group_snapshot_id} could not be found."
        )
    share_types = new.share_types or [call.conf.default_share_type]
    if None in share_types:
        raise Invalid("Share types must be given: no default share type is configured.")
    with begin(call.engine) as conn:
        request = GroupRequest(
            share_group_type_id=new.share_group_type_id or _default_type(call, conn),
            share_types=share_types,
            name=new.name,
            description=new.description,
            share_network_id=new.share_network_id or None,
            availability_zone=new.availability_zone or None,
        )
        return _one(
            call, share_group_creation.create(conn, call.caller, request, call.quota_defaults)
        )


def update(call: Call, share_group_id: str) -> dict[str, Any]:
    """PUT /share-groups/{id}"""
    body = call.body("share_group", ShareGroupUpdate, missing=Invalid(_NO_BODY))
    given = {name: getattr(body, name) for name in ("name", "description")}
    changes = {name: value for name, value in given.items() if value is not msgspec.UNSET}
    with begin(call.engine) as conn:
        return _one(call, share_groups.update(conn, call.caller, share_group_id, changes))


def delete(call: Call, share_group_id: str) -> None:
    """DELETE /share-groups/{id}"""
    with begin(call.engine) as conn:
        share_groups.delete(conn, call.caller, share_group_id)


def force_delete(call: Call, share_group_id: str) -> None:
    """Action force_delete."""
    with begin(call.engine) as conn:
        share_groups.force_delete(conn, call.caller, share_group_id)


def reset_status(call: Call, share_group_id: str) -> None:
    """Action reset_status."""
    status = call.arguments(ResetStatus).status
    with begin(call.engine) as conn:
        share_groups.reset_status(conn, call.caller, share_group_id, status)


def _default_type(call: Call, conn: Connection) -> str:
    """The id of the share group type of groups that are made without one."""
    name = call.conf.default_share_group_type
    if not name:
        raise Invalid("A share group type must be given: no default one is configured.")
    type_id: str = share_group_types.get_by_name(conn, call.caller, name)["id"]
    return type_id


def _list(call: Call, level: int) -> dict[str, Any]:
    find = share_groups.LISTING.find
    return answer(call, _QUERY, find, "share_groups", SHARE_GROUP, level=level, told=_linked)


def _linked(call: Call, row: dict[str, Any]) -> dict[str, Any]:
    row["links"] = call.links("share-groups", row["id"])
    return row


def _one(call: Call, row: dict[str, Any]) -> dict[str, Any]:
    return call.one("share_group", SHARE_GROUP, _linked(call, row))


_ALL = "/v2/share-groups"
_ONE = f"{_ALL}/{{share_group_id}}"
_SHOWN = one("share_group", SHARE_GROUP)
_ROUTES = [
    Route(
        "GET",
        _ALL,
        index,
        reader("share_group:get_all"),
        gives=many("share_groups", SHARE_GROUP, SUMMARY),
        query=_QUERY.names,
    ),
    Route(
        "POST",
        _ALL,
        create,
        member("share_group:create"),
        takes=Takes("share_group", ShareGroupCreate),
        gives=_SHOWN,
        status=202,
    ),
    Route(
        "GET",
        f"{_ALL}/detail",
        detail,
        reader("share_group:get_all"),
        gives=many("share_groups", SHARE_GROUP),
        query=_QUERY.names,
    ),
    Route("GET", _ONE, show, reader("share_group:get"), gives=_SHOWN),
    Route(
        "PUT",
        _ONE,
        update,
        member("share_group:update"),
        takes=Takes("share_group", ShareGroupUpdate),
        gives=_SHOWN,
    ),
    Route("DELETE", _ONE, delete, member("share_group:delete"), status=202),
    action(f"{_ONE}/action", "force_delete", force_delete, admin("share_group:force_delete")),
    action(
        f"{_ONE}/action",
        "reset_status",
        reset_status,
        admin("share_group:reset_status"),
        ResetStatus,
    ),
]

RESOURCE = Resource(
    routes=[
        route._replace(since=_SINCE, experimental_until=_LAST_EXPERIMENTAL) for route in _ROUTES
    ],
    rules=[admin("share_group:get_all_share_groups", "List the share groups of all projects.")],
)
