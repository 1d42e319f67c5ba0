"""/snapshots: snapshots of shares and their actions; a share's action revert. Export locations:
`snapshot_export_locations`."""

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
    renamed,
)
from abaca.api.lists import Filter, ListQuery, texts
from abaca.api.resources import metadata
from abaca.api.whole_lists import Part
from abaca.api.wire import bodies
from abaca.api.wire.fields import DETAIL, SUMMARY
from abaca.api.wire.share_networks import ResetStatus
from abaca.api.wire.shares import same_or_none
from abaca.api.wire.snapshots import SNAPSHOT, Revert, SnapshotCreate, SnapshotUpdate
from abaca.db.session import begin, read
from abaca.domain.rows import listings
from abaca.domain.snapshots import snapshots
from abaca.errors import Unprocessable
from abaca.values import Page

_UNPROCESSABLE = "Unable to process the contained instructions"
_LINKS = "share_snapshots_links"
_QUERY = ListQuery(
    [
        *texts("name", "display_name", "status", "share_id"),
        *texts("description", "display_description", since=36),
        *texts("name~", "description~", "display_name~", "display_description~", since=36),
        Filter("size", lambda text: bodies.integer(text, "size must be an integer.")),
        Filter("metadata", bodies.mapping, since=73),
    ],
    all_projects="share_snapshot:list_all_projects",
    counted_since=79,
)


def index(call: Call) -> Any:
    """GET /snapshots"""
    return _list(call, SUMMARY)


def detail(call: Call) -> Any:
    """GET /snapshots/detail"""
    return _list(call, DETAIL)


def show(call: Call, snapshot_id: str) -> dict[str, Any]:
    """GET /snapshots/{id}"""
    with read(call.engine) as conn:
        return _one(call, snapshots.get(conn, call.caller, snapshot_id))


def create(call: Call) -> dict[str, Any]:
    """POST /snapshots"""
    new = call.body("snapshot", SnapshotCreate, missing=Unprocessable(_UNPROCESSABLE))
    with begin(call.engine) as conn:
        made = snapshots.create(
            conn,
            call.caller,
            new.share_id,
            name=same_or_none(new.name, new.display_name),
            description=same_or_none(new.description, new.display_description),
            metadata=bodies.metadata(new.metadata) if call.version >= 73 else {},
            force=new.force is not None and bodies.boolean(new.force),
            quota_defaults=call.quota_defaults,
        )
        return _one(call, made)


def update(call: Call, snapshot_id: str) -> dict[str, Any]:
    """PUT /snapshots/{id}"""
    body = call.body("snapshot", SnapshotUpdate, missing=Unprocessable(_UNPROCESSABLE))
    given = {name: getattr(body, name) for name in ("display_name", "display_description")}
    with begin(call.engine) as conn:
        changes = {name: value for name, value in given.items() if value is not msgspec.UNSET}
        return _one(call, snapshots.update(conn, call.caller, snapshot_id, changes))


def delete(call: Call, snapshot_id: str) -> None:
    """DELETE /snapshots/{id}"""
    with begin(call.engine) as conn:
        snapshots.delete(conn, call.caller, snapshot_id)


def force_delete(call: Call, snapshot_id: str) -> None:
    """Action force_delete (os-force_delete up to 2.6)."""
    with begin(call.engine) as conn:
        snapshots.force_delete(conn, call.caller, snapshot_id)


def reset_status(call: Call, snapshot_id: str) -> None:
    """Action reset_status (os-reset_status up to 2.6)."""
    status = call.arguments(ResetStatus).status
    with begin(call.engine) as conn:
        snapshots.reset_status(conn, call.caller, snapshot_id, status)


def revert(call: Call, share_id: str) -> None:
    """Action revert of a share, since 2.27."""
    snapshot_id = call.arguments(Revert).snapshot_id
    with begin(call.engine) as conn:
        snapshots.revert(conn, call.caller, share_id, snapshot_id, call.quota_defaults)


def _list(call: Call, level: int) -> Any:
    listing, wanted = snapshots.LISTING, _QUERY.read(call)
    more = {}
    if wanted.counted:
        with read(call.engine) as conn:
            more["count"] = listing.count(conn, call.caller, wanted.filters, wanted.all_projects)

    def fetch(page: Page) -> Part:
        with read(call.engine) as conn:
            rows = listing.find(conn, call.caller, wanted.filters, page, wanted.all_projects)
        following = listings.following(
            page, len(rows), [(row["created_at"], row["id"]) for row in rows[-1:]]
        )
        return Part(
            call.shown(SNAPSHOT, [linked(call, row) for row in rows], level=level), following
        )

    return call.listed("snapshots", fetch, links=_LINKS, more=more)


def linked(call: Call, row: dict[str, Any]) -> dict[str, Any]:
    """The row with the links that are shown of it."""
    row["links"] = call.links("snapshots", row["id"])
    return row


def _one(call: Call, row: dict[str, Any]) -> dict[str, Any]:
    return call.one("snapshot", SNAPSHOT, linked(call, row))


_ALL = "/v2/snapshots"
_ONE = f"{_ALL}/{{snapshot_id}}"
_ACTION = f"{_ONE}/action"
_SHOWN = one("snapshot", SNAPSHOT)

RESOURCE = Resource(
    routes=[
        Route(
            "GET",
            _ALL,
            index,
            reader("share_snapshot:get_all_snapshots"),
            gives=many("snapshots", SNAPSHOT, SUMMARY, _LINKS),
            query=_QUERY.names,
        ),
        Route(
            "POST",
            _ALL,
            create,
            member("share:create_snapshot"),
            takes=Takes("snapshot", SnapshotCreate),
            gives=_SHOWN,
            status=202,
        ),
        Route(
            "GET",
            f"{_ALL}/detail",
            detail,
            reader("share_snapshot:get_all_snapshots"),
            gives=many("snapshots", SNAPSHOT, links=_LINKS),
            query=_QUERY.names,
        ),
        Route("GET", _ONE, show, reader("share_snapshot:get_snapshot"), gives=_SHOWN),
        Route(
            "PUT",
            _ONE,
            update,
            member("share:snapshot_update"),
            takes=Takes("snapshot", SnapshotUpdate),
            gives=_SHOWN,
        ),
        Route("DELETE", _ONE, delete, member("share:delete_snapshot"), status=202),
        *renamed(
            "os-reset_status",
            action(
                _ACTION,
                "reset_status",
                reset_status,
                admin("share_snapshot:reset_status"),
                ResetStatus,
            ),
        ),
        *renamed(
            "os-force_delete",
            action(
                _ACTION,
                "force_delete",
                force_delete,
                admin("share_snapshot:force_delete"),
            ),
        ),
        action(
            "/v2/shares/{share_id}/action",
            "revert",
            revert,
            member("share:revert_to_snapshot"),
            Revert,
            since=27,
        ),
        *metadata.SNAPSHOT.routes(
            _ONE,
            reader("share_snapshot:get_metadata"),
            member("share_snapshot:update_metadata"),
            member("share_snapshot:delete_metadata"),
            since=73,
        ),
    ],
    rules=[
        admin("share_snapshot:list_all_projects", "List the snapshots of all projects."),
    ],
)
