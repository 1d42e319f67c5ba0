"""/snapshots: snapshots of shares and their actions; a share's action revert. Export locations:
`snapshot_export_locations`."""

from __future__ import annotations

from typing import Any

from abaca.api.call import Call
from abaca.api.declaration import (
    Resource,
    Route,
    Takes,
    action,
    admin,
    member,
    one,
    reader,
    renamed,
)
from abaca.api.lists import Filter, ListQuery, texts
from abaca.api.resources import metadata
from abaca.api.row_routes import Names, RowRoutes, Rules, only
from abaca.api.wire import bodies
from abaca.api.wire.shares import same_or_none
from abaca.api.wire.snapshots import SNAPSHOT, Revert, SnapshotCreate, SnapshotUpdate
from abaca.db.session import begin
from abaca.domain.snapshots import snapshots
from abaca.errors import Unprocessable
from abaca.values import Caller

_UNPROCESSABLE = "Unable to process the contained instructions"
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


class _Snapshots(RowRoutes):
    def reader(self, call: Call) -> Caller:
        return call.shown_deferred_by("share_snapshot:list_snapshots_in_deferred_deletion_states")

    def delete(self, call: Call, **ids: str) -> None:
        """DELETE /snapshots/{id}"""
        is_deferred = call.conf.is_deferred_deletion_enabled
        with begin(call.engine) as conn:
            snapshots.delete(conn, call.caller, only(ids), is_deferred=is_deferred)


ROWS = _Snapshots(
    snapshots,
    Names(
        "snapshots",
        "/v2/snapshots",
        "snapshot_id",
        "snapshot",
        "snapshots",
        "share_snapshots_links",
    ),
    SNAPSHOT,
    _QUERY,
    SnapshotUpdate,
    Unprocessable,
    _UNPROCESSABLE,
)


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
        return ROWS.one(call, made)


def revert(call: Call, share_id: str) -> None:
    """Action revert of a share, since 2.27."""
    snapshot_id = call.arguments(Revert).snapshot_id
    with begin(call.engine) as conn:
        snapshots.revert(conn, call.caller, share_id, snapshot_id, call.quota_defaults)


RESOURCE = Resource(
    routes=[
        *ROWS.usual(
            Rules(
                reader("share_snapshot:get_all_snapshots"),
                reader("share_snapshot:get_snapshot"),
                member("share:snapshot_update"),
                member("share:delete_snapshot"),
            )
        ),
        Route(
            "POST",
            ROWS.names.url,
            create,
            member("share:create_snapshot"),
            takes=Takes("snapshot", SnapshotCreate),
            gives=one("snapshot", SNAPSHOT),
            status=202,
        ),
        *renamed("os-reset_status", ROWS.reset_status_by(admin("share_snapshot:reset_status"))),
        *renamed(
            "os-force_delete",
            ROWS.force_delete_by(admin("share_snapshot:force_delete"), snapshots.force_delete),
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
            ROWS.one_url,
            reader("share_snapshot:get_metadata"),
            member("share_snapshot:update_metadata"),
            member("share_snapshot:delete_metadata"),
            since=73,
        ),
    ],
    rules=[
        admin("share_snapshot:list_all_projects", "List the snapshots of all projects."),
        admin(
            "share_snapshot:list_snapshots_in_deferred_deletion_states",
            "Have snapshots shown and listed whose deletion is deferred.",
        ),
    ],
)
