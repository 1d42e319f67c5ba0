"""/share-group-snapshots: snapshots of all shares of a group, and their actions, since 2.31."""

from __future__ import annotations

from typing import Any

from abaca.api.call import Call
from abaca.api.declaration import Resource, Route, Takes, admin, many, member, one, reader
from abaca.api.lists import ListQuery, texts
from abaca.api.row_routes import Names, RowRoutes, Rules
from abaca.api.wire.share_group_snapshots import (
    SHARE_GROUP_SNAPSHOT,
    SHARE_GROUP_SNAPSHOT_MEMBER,
    ShareGroupSnapshotCreate,
    ShareGroupSnapshotUpdate,
)
from abaca.db.session import begin, read
from abaca.domain.share_groups import share_group_snapshots
from abaca.errors import Invalid

_NO_BODY = "'share_group_snapshot' is missing from the request body."
_QUERY = ListQuery(
    [
        *texts("name", "description", "status", "share_group_id", "project_id"),
        *texts("name~", "description~", since=36),
    ],
    all_projects="share_group_snapshot:get_all_share_group_snapshots",
)
_SINCE, _LAST_EXPERIMENTAL = 31, 54
_ROWS = RowRoutes(
    share_group_snapshots,
    Names(
        "share_group_snapshots",
        "/v2/share-group-snapshots",
        "share_group_snapshot_id",
        "share_group_snapshot",
        "share_group_snapshots",
        "share_group_snapshots_links",
    ),
    SHARE_GROUP_SNAPSHOT,
    _QUERY,
    ShareGroupSnapshotUpdate,
    Invalid,
    _NO_BODY,
)


def list_members(call: Call, share_group_snapshot_id: str) -> dict[str, Any]:
    """GET /share-group-snapshots/{id}/members"""
    with read(call.engine) as conn:
        rows = share_group_snapshots.find_members(conn, call.caller, share_group_snapshot_id)
    return call.many("share_group_snapshot_members", SHARE_GROUP_SNAPSHOT_MEMBER, rows)


def create(call: Call) -> dict[str, Any]:
    """POST /share-group-snapshots"""
    new = call.body("share_group_snapshot", ShareGroupSnapshotCreate, missing=Invalid(_NO_BODY))
    with begin(call.engine) as conn:
        made = share_group_snapshots.create(
            conn,
            call.caller,
            new.share_group_id,
            name=new.name,
            description=new.description,
            quota_defaults=call.quota_defaults,
        )
    return _ROWS.one(call, made)


_ROUTES = [
    *_ROWS.usual(
        Rules(
            reader("share_group_snapshot:get_all"),
            reader("share_group_snapshot:get"),
            member("share_group_snapshot:update"),
            member("share_group_snapshot:delete"),
        )
    ),
    Route(
        "POST",
        _ROWS.names.url,
        create,
        member("share_group_snapshot:create"),
        takes=Takes("share_group_snapshot", ShareGroupSnapshotCreate),
        gives=one("share_group_snapshot", SHARE_GROUP_SNAPSHOT),
        status=202,
    ),
    Route(
        "GET",
        f"{_ROWS.one_url}/members",
        list_members,
        reader("share_group_snapshot:get"),
        gives=many("share_group_snapshot_members", SHARE_GROUP_SNAPSHOT_MEMBER),
    ),
    _ROWS.force_delete_by(
        admin("share_group_snapshot:force_delete"), share_group_snapshots.force_delete
    ),
    _ROWS.reset_status_by(admin("share_group_snapshot:reset_status")),
]

RESOURCE = Resource(
    routes=[
        route._replace(since=_SINCE, experimental_until=_LAST_EXPERIMENTAL) for route in _ROUTES
    ],
    rules=[
        admin(
            "share_group_snapshot:get_all_share_group_snapshots",
            "List the share group snapshots of all projects.",
        )
    ],
)
