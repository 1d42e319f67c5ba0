"""/share-groups: share groups and their actions, since 2.31. Types: `share_group_types`; snapshots:
`share_group_snapshots`."""

from __future__ import annotations

from typing import Any

from sqlalchemy.engine import Connection

from abaca.api.call import Call
from abaca.api.declaration import Resource, Route, Takes, admin, member, one, reader
from abaca.api.lists import ListQuery, texts
from abaca.api.row_routes import Names, RowRoutes, Rules
from abaca.api.wire.share_groups import SHARE_GROUP, ShareGroupCreate, ShareGroupUpdate
from abaca.db.session import begin
from abaca.domain.share_group_types import share_group_types
from abaca.domain.share_groups import group_from_snapshot, share_group_creation, share_groups
from abaca.domain.share_groups.share_group_creation import GroupRequest
from abaca.errors import Invalid

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
_ROWS = RowRoutes(
    share_groups,
    Names(
        "share_groups",
        "/v2/share-groups",
        "share_group_id",
        "share_group",
        "share_groups",
        "share_groups_links",
    ),
    SHARE_GROUP,
    _QUERY,
    ShareGroupUpdate,
    Invalid,
    _NO_BODY,
)


def create(call: Call) -> dict[str, Any]:
    """POST /share-groups"""
    new = call.body("share_group", ShareGroupCreate, missing=Invalid(_NO_BODY))
    source = new.source_share_group_snapshot_id
    if source:
        _require_nothing_inherited(new)
    share_types = [] if source else new.share_types or [call.conf.default_share_type]
    if None in share_types:
        raise Invalid("Share types must be given: no default share type is configured.")
    make = group_from_snapshot.create if source else share_group_creation.create
    with begin(call.engine) as conn:
        request = GroupRequest(
            share_group_type_id=new.share_group_type_id or _default_type(call, conn),
            share_types=share_types,
            name=new.name,
            description=new.description,
            share_network_id=new.share_network_id or None,
            availability_zone=new.availability_zone or None,
            source_share_group_snapshot_id=source or None,
        )
        made = make(conn, call.caller, request, call.quota_defaults)
    return _ROWS.one(call, made)


def _require_nothing_inherited(new: ShareGroupCreate) -> None:
    """Raises Invalid if the request has what a group gets from its source."""
    for name in ("share_types", "share_network_id", "availability_zone"):
        if getattr(new, name):
            raise Invalid(
                f"Cannot supply both '{name}' and 'source_share_group_snapshot_id': the group gets "
                "that from its source."
            )


def _default_type(call: Call, conn: Connection) -> str:
    """The id of the share group type of groups that are made without one."""
    name = call.conf.default_share_group_type
    if not name:
        raise Invalid("A share group type must be given: no default one is configured.")
    type_id: str = share_group_types.get_by_name(conn, call.caller, name)["id"]
    return type_id


_ROUTES = [
    *_ROWS.usual(
        Rules(
            reader("share_group:get_all"),
            reader("share_group:get"),
            member("share_group:update"),
            member("share_group:delete"),
        )
    ),
    Route(
        "POST",
        _ROWS.names.url,
        create,
        member("share_group:create"),
        takes=Takes("share_group", ShareGroupCreate),
        gives=one("share_group", SHARE_GROUP),
        status=202,
    ),
    _ROWS.force_delete_by(admin("share_group:force_delete"), share_groups.force_delete),
    _ROWS.reset_status_by(admin("share_group:reset_status")),
]

RESOURCE = Resource(
    routes=[
        route._replace(since=_SINCE, experimental_until=_LAST_EXPERIMENTAL) for route in _ROUTES
    ],
    rules=[admin("share_group:get_all_share_groups", "List the share groups of all projects.")],
)
