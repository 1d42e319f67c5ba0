"""/share-group-snapshots: snapshots of all shares of a group, and their actions, since 2.31."""

from __future__ import annotations

from typing import Any

import msgspec

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
from abaca.api.wire.share_group_snapshots import (
    SHARE_GROUP_SNAPSHOT,
    SHARE_GROUP_SNAPSHOT_MEMBER,
    ShareGroupSnapshotCreate,
    ShareGroupSnapshotUpdate,
)
from abaca.api.wire.share_networks import ResetStatus
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


def index(call: Call) -> dict[str, Any]:
    """GET /share-group-snapshots"""
    return _list(call, SUMMARY)


def detail(call: Call) -> dict[str, Any]:
    """GET /share-group-snapshots/detail"""
    return _list(call, DETAIL)


def show(call: Call, share_group_snapshot_id: str) -> dict[str, Any]:
    """GET /share-group-snapshots/{id}"""
    with read(call.engine) as conn:
        return _one(call, share_group_snapshots.get(conn, call.caller, share_group_snapshot_id))


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
    return _one(call, made)


def update(call: Call, share_group_snapshot_id: str) -> dict[str, Any]:
    """PUT /share-group-snapshots/{id}"""
    body = call.body("share_group_snapshot", ShareGroupSnapshotUpdate, missing=Invalid(_NO_BODY))
    given = {name: getattr(body, name) for name in ("name", "description")}
    changes = {name: value for name, value in given.items() if value is not msgspec.UNSET}
    with begin(call.engine) as conn:
        return _one(
            call,
            share_group_snapshots.update(conn, call.caller, share_group_snapshot_id, changes),
        )


def delete(call: Call, share_group_snapshot_id: str) -> None:
    """DELETE /share-group-snapshots/{id}"""
    with begin(call.engine) as conn:
        share_group_snapshots.delete(conn, call.caller, share_group_snapshot_id)


def force_delete(call: Call, share_group_snapshot_id: str) -> None:
    """Action force_delete."""
    with begin(call.engine) as conn:
        share_group_snapshots.force_delete(conn, call.caller, share_group_snapshot_id)


def reset_status(call: Call, share_group_snapshot_id: str) -> None:
    """Action reset_status."""
    status = call.arguments(ResetStatus).status
    with begin(call.engine) as conn:
        share_group_snapshots.reset_status(conn, call.caller, share_group_snapshot_id, status)


def _list(call: Call, level: int) -> dict[str, Any]:
    return answer(
        call,
        _QUERY,
        share_group_snapshots.LISTING.find,
        "share_group_snapshots",
        SHARE_GROUP_SNAPSHOT,
        level=level,
        told=_linked,
    )


def _linked(call: Call, row: dict[str, Any]) -> dict[str, Any]:
    row["links"] = call.links("share-group-snapshots", row["id"])
    return row


def _one(call: Call, row: dict[str, Any]) -> dict[str, Any]:
    return call.one("share_group_snapshot", SHARE_GROUP_SNAPSHOT, _linked(call, row))


_ALL = "/v2/share-group-snapshots"
_ONE = f"{_ALL}/{{share_group_snapshot_id}}"
_SHOWN = one("share_group_snapshot", SHARE_GROUP_SNAPSHOT)
_ROUTES = [
    Route(
        "GET",
        _ALL,
        index,
        reader("share_group_snapshot:get_all"),
        gives=many("share_group_snapshots", SHARE_GROUP_SNAPSHOT, SUMMARY),
        query=_QUERY.names,
    ),
    Route(
        "POST",
        _ALL,
        create,
        member("share_group_snapshot:create"),
        takes=Takes("share_group_snapshot", ShareGroupSnapshotCreate),
        gives=_SHOWN,
        status=202,
    ),
    Route(
        "GET",
        f"{_ALL}/detail",
        detail,
        reader("share_group_snapshot:get_all"),
        gives=many("share_group_snapshots", SHARE_GROUP_SNAPSHOT),
        query=_QUERY.names,
    ),
    Route("GET", _ONE, show, reader("share_group_snapshot:get"), gives=_SHOWN),
    Route(
        "GET",
        f"{_ONE}/members",
        list_members,
        reader("share_group_snapshot:get"),
        gives=many("share_group_snapshot_members", SHARE_GROUP_SNAPSHOT_MEMBER),
    ),
    Route(
        "PUT",
        _ONE,
        update,
        member("share_group_snapshot:update"),
        takes=Takes("share_group_snapshot", ShareGroupSnapshotUpdate),
        gives=_SHOWN,
    ),
    Route("DELETE", _ONE, delete, member("share_group_snapshot:delete"), status=202),
    action(
        f"{_ONE}/action",
        "force_delete",
        force_delete,
        admin("share_group_snapshot:force_delete"),
    ),
    action(
        f"{_ONE}/action",
        "reset_status",
        reset_status,
        admin("share_group_snapshot:reset_status"),
        ResetStatus,
    ),
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
