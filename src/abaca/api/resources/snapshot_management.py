"""POST /snapshots/manage and a snapshot's action unmanage, for administrators, since 2.12."""

from __future__ import annotations

from typing import Any

from abaca.api.call import Call
from abaca.api.declaration import Resource, Route, Takes, action, admin, one
from abaca.api.resources.snapshots import ROWS
from abaca.api.wire import bodies
from abaca.api.wire.shares import same_or_none
from abaca.api.wire.snapshots import SNAPSHOT, SnapshotManage
from abaca.db.session import begin
from abaca.domain.snapshots import snapshot_management
from abaca.domain.snapshots.snapshot_management import SnapshotToManage
from abaca.errors import Invalid, Unprocessable

_ON_SERVERS_SINCE = 49
_METADATA_SINCE = 73
_LONGEST_LOCATION = 255


def manage(call: Call) -> dict[str, Any]:
    """POST /snapshots/manage: a snapshot that is on the back end of its share already."""
    missing = Unprocessable("Snapshot entity not found in request body.")
    new = call.body("snapshot", SnapshotManage, missing=missing)
    for name in ("share_id", "provider_location"):
        if not getattr(new, name):
            raise Unprocessable(f"Required parameter {name} is missing or empty.")
    location = new.provider_location or ""
    if len(location) > _LONGEST_LOCATION:
        raise Invalid(f"The provider location has more than {_LONGEST_LOCATION} characters.")
    wanted = SnapshotToManage(
        share_id=new.share_id or "",
        provider_location=location,
        name=same_or_none(new.name, new.display_name),
        description=same_or_none(new.description, new.display_description),
        metadata=bodies.metadata(new.metadata) if call.version >= _METADATA_SINCE else {},
        driver_options={name: str(value) for name, value in (new.driver_options or {}).items()},
    )
    with begin(call.engine) as conn:
        made = snapshot_management.manage(conn, call.caller, wanted)
        return ROWS.one(call, made)


def unmanage(call: Call, snapshot_id: str) -> None:
    """Action unmanage; of snapshots on share servers since 2.49."""
    with begin(call.engine) as conn:
        snapshot_management.unmanage(
            conn, call.caller, snapshot_id, on_servers=call.version >= _ON_SERVERS_SINCE
        )


RESOURCE = Resource(
    routes=[
        Route(
            "POST",
            "/v2/snapshots/manage",
            manage,
            admin("share_snapshot:manage_snapshot"),
            takes=Takes("snapshot", SnapshotManage),
            gives=one("snapshot", SNAPSHOT),
            status=202,
            since=12,
        ),
        action(
            "/v2/snapshots/{snapshot_id}/action",
            "unmanage",
            unmanage,
            admin("share_snapshot:unmanage_snapshot"),
            since=12,
        ),
    ],
)
