"""/snapshots/{id}/export-locations: the paths under which clients mount a snapshot, since 2.32."""

from __future__ import annotations

from typing import Any

from abaca.api.call import Call
from abaca.api.declaration import Resource, Route, many, one, reader
from abaca.api.wire.snapshots import SNAPSHOT_EXPORT_LOCATION
from abaca.db.session import read
from abaca.domain.snapshots import snapshot_export_locations

_COLLECTION = "share_snapshot_export_locations"


def index(call: Call, snapshot_id: str) -> dict[str, Any]:
    """GET /snapshots/{id}/export-locations"""
    with read(call.engine) as conn:
        rows = snapshot_export_locations.find(conn, call.caller, snapshot_id)
    return call.many(_COLLECTION, SNAPSHOT_EXPORT_LOCATION, [_linked(call, row) for row in rows])


def show(call: Call, snapshot_id: str, export_location_id: str) -> dict[str, Any]:
    """GET /snapshots/{id}/export-locations/{id}"""
    with read(call.engine) as conn:
        row = snapshot_export_locations.get(conn, call.caller, snapshot_id, export_location_id)
    return call.one("share_snapshot_export_location", SNAPSHOT_EXPORT_LOCATION, _linked(call, row))


def _linked(call: Call, row: dict[str, Any]) -> dict[str, Any]:
    return row | {"links": call.links(_COLLECTION, row["id"])}


_ALL = "/v2/snapshots/{snapshot_id}/export-locations"

RESOURCE = Resource(
    routes=[
        Route(
            "GET",
            _ALL,
            index,
            reader("share_snapshot_export_location:index"),
            gives=many("share_snapshot_export_locations", SNAPSHOT_EXPORT_LOCATION),
            since=32,
        ),
        Route(
            "GET",
            f"{_ALL}/{{export_location_id}}",
            show,
            reader("share_snapshot_export_location:show"),
            gives=one("share_snapshot_export_location", SNAPSHOT_EXPORT_LOCATION),
            since=32,
        ),
    ],
)
