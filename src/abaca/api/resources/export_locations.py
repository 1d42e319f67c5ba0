"""/shares/{id}/export_locations: the paths under which clients reach a share, since 2.9."""

from __future__ import annotations

from typing import Any

from abaca.api.call import Call
from abaca.api.wire.export_locations import EXPORT_LOCATION
from abaca.db.session import read
from abaca.domain import export_locations


def index(call: Call, share_id: str) -> dict[str, Any]:
    """GET /shares/{id}/export_locations"""
    with read(call.engine) as conn:
        return call.many("export_locations", EXPORT_LOCATION, export_locations.find(conn, call.caller, share_id))


def show(call: Call, share_id: str, export_location_id: str) -> dict[str, Any]:
    """GET /shares/{id}/export_locations/{id}"""
    with read(call.engine) as conn:
        return call.one("export_location", EXPORT_LOCATION, export_locations.get(conn, call.caller, share_id, export_location_id))
