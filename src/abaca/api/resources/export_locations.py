"""/shares/{id}/export_locations, /share_instances/{id}/export_locations: the paths under which
clients reach a share, since 2.9."""

from __future__ import annotations

from typing import Any

from abaca.api.call import Call
from abaca.api.declaration import Resource, Route, admin, many, member, one, reader
from abaca.api.resources import metadata
from abaca.api.wire.export_locations import EXPORT_LOCATION
from abaca.db.session import read
from abaca.domain.shares import share_export_locations
from abaca.errors import Missing


def index(call: Call, share_id: str) -> dict[str, Any]:
    """GET /shares/{id}/export_locations"""
    with read(call.engine) as conn:
        return call.many(
            "export_locations",
            EXPORT_LOCATION,
            share_export_locations.find(conn, call.caller, share_id, call.conf.dns.domain),
        )


def show(call: Call, share_id: str, export_location_id: str) -> dict[str, Any]:
    """GET /shares/{id}/export_locations/{id}"""
    with read(call.engine) as conn:
        return call.one(
            "export_location",
            EXPORT_LOCATION,
            share_export_locations.get(
                conn, call.caller, share_id, export_location_id, call.conf.dns.domain
            ),
        )


def of_instance(call: Call, instance_id: str) -> dict[str, Any]:
    """GET /share_instances/{id}/export_locations"""
    with read(call.engine) as conn:
        return call.many(
            "export_locations",
            EXPORT_LOCATION,
            share_export_locations.find_of_instance(conn, instance_id, call.conf.dns.domain),
        )


def show_of_instance(call: Call, instance_id: str, export_location_id: str) -> dict[str, Any]:
    """GET /share_instances/{id}/export_locations/{id}"""
    with read(call.engine) as conn:
        rows = share_export_locations.find_of_instance(conn, instance_id, call.conf.dns.domain)
    location = next((row for row in rows if row["id"] == export_location_id), None)
    if location is None:
        raise Missing(f"Export location '{export_location_id}' not found.")
    return call.one("export_location", EXPORT_LOCATION, location)


_ALL = "/v2/shares/{share_id}/export_locations"
_ONE = f"{_ALL}/{{export_location_id}}"
_OF_INSTANCE = "/v2/share_instances/{instance_id}/export_locations"
_SHOWN = one("export_location", EXPORT_LOCATION)

RESOURCE = Resource(
    routes=[
        Route(
            "GET",
            _ALL,
            index,
            reader("share_export_location:index"),
            gives=many("export_locations", EXPORT_LOCATION),
            since=9,
        ),
        Route("GET", _ONE, show, reader("share_export_location:show"), gives=_SHOWN, since=9),
        Route(
            "GET",
            _OF_INSTANCE,
            of_instance,
            admin("share_instance_export_location:index"),
            gives=many("export_locations", EXPORT_LOCATION),
            since=9,
        ),
        Route(
            "GET",
            f"{_OF_INSTANCE}/{{export_location_id}}",
            show_of_instance,
            admin("share_instance_export_location:show"),
            gives=_SHOWN,
            since=9,
        ),
        *metadata.EXPORT_LOCATION.routes(
            _ONE,
            reader("share_export_location:get_metadata"),
            member("share_export_location:update_metadata"),
            member("share_export_location:delete_metadata"),
            since=87,
        ),
    ],
    rules=[
        admin(
            "share_export_location:update_admin_only_metadata",
            "Change metadata of export locations whose keys [DEFAULT] admin_only_el_metadata "
            "lists.",
        ),
    ],
)
