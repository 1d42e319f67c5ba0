"""/availability-zones (os-availability-zone up to 2.6)."""

from __future__ import annotations

from typing import Any

from abaca.api.call import Call
from abaca.api.declaration import Resource, Route, many, reader, renamed
from abaca.api.wire.services import AVAILABILITY_ZONE
from abaca.db.session import read
from abaca.domain.services import availability_zones


def index(call: Call) -> dict[str, Any]:
    """GET /availability-zones"""
    with read(call.engine) as conn:
        return call.many("availability_zones", AVAILABILITY_ZONE, availability_zones.find(conn))


RESOURCE = Resource(
    routes=[
        *renamed(
            "/v2/os-availability-zone",
            Route(
                "GET",
                "/v2/availability-zones",
                index,
                reader("availability_zone:index"),
                gives=many("availability_zones", AVAILABILITY_ZONE),
            ),
        ),
    ],
)
