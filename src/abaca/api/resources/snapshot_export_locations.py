"""/snapshots/{id}/export-locations, /snapshot-instances/{id}/export-locations: the paths under
which clients mount a snapshot, since 2.32."""

from __future__ import annotations

from typing import Any

from abaca.api.call import Call
from abaca.api.declaration import Resource, Route, admin, many, one, reader
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


def of_instance(call: Call, snapshot_instance_id: str) -> dict[str, Any]:
    """GET /snapshot-instances/{id}/export-locations"""
    with read(call.engine) as conn:
        rows = snapshot_export_locations.find_of_instance(conn, call.caller, snapshot_instance_id)
    return call.many(_COLLECTION, SNAPSHOT_EXPORT_LOCATION, [_linked(call, row) for row in rows])


def show_of_instance(
    call: Call, snapshot_instance_id: str, export_location_id: str
) -> dict[str, Any]:
    """GET /snapshot-instances/{id}/export-locations/{id}"""
    with read(call.engine) as conn:
        row = snapshot_export_locations.get_of_instance(
            conn, call.caller, snapshot_instance_id, export_location_id
        )
    return call.one("share_snapshot_export_location", SNAPSHOT_EXPORT_LOCATION, _linked(call, row))


def _linked(call: Call, row: dict[str, Any]) -> dict[str, Any]:
    return row | {"links": call.links(_COLLECTION, row["id"])}


_ALL = "/v2/snapshots/{snapshot_id}/export-locations"
_OF_INSTANCE = "/v2/snapshot-instances/{snapshot_instance_id}/export-locations"
_SHOWN = one("share_snapshot_export_location", SNAPSHOT_EXPORT_LOCATION)
_LISTED = many("share_snapshot_export_locations", SNAPSHOT_EXPORT_LOCATION)

RESOURCE = Resource(
    routes=[
        Route(
            "GET",
            _ALL,
            index,
            reader("share_snapshot_export_location:index"),
            gives=_LISTED,
            since=32,
        ),
        Route(
            "GET",
            f"{_ALL}/{{export_location_id}}",
            show,
            reader("share_snapshot_export_location:show"),
            gives=_SHOWN,
            since=32,
        ),
        Route(
            "GET",
            _OF_INSTANCE,
            of_instance,
            admin("share_snapshot_instance_export_location:index"),
            gives=_LISTED,
            since=32,
        ),
        Route(
            "GET",
            f"{_OF_INSTANCE}/{{export_location_id}}",
            show_of_instance,
            admin("share_snapshot_instance_export_location:show"),
            gives=_SHOWN,
            since=32,
        ),
    ],
)
