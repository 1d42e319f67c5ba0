"""/ and /v2/: which versions are served; /healthcheck; /v2/extensions. The first three are open to
everyone."""

from __future__ import annotations

from typing import Any

from abaca.api import microversions
from abaca.api.call import Call
from abaca.api.declaration import Resource, Route, plain, reader
from abaca.api.wire.schemas import ANYTHINGS

_UPDATED = "2026-11-22T00:00:00Z"


def versions(call: Call) -> dict[str, Any]:
    """GET / and GET /v2/"""
    links = [
        {
            "rel": "describedby",
            "type": "text/html",
            "href": "https://docs.openstack.org/api-ref/shared-file-system/",
        },
        {"rel": "self", "href": f"{call.base_url}/v2/"},
    ]
    entry = {
        "id": "v2.0",
        "status": "CURRENT",
        "version": microversions.text(microversions.MAX_VERSION),
        "min_version": microversions.text(microversions.MIN_VERSION),
        "updated": _UPDATED,
        "links": links,
        "media-types": [
            {"base": "application/json", "type": "application/vnd.openstack.share+json;version=1"}
        ],
    }
    return {"versions": [entry]}


def healthcheck(_call: Call) -> str:
    """GET /healthcheck: this process answers."""
    return "OK"


def extensions(_call: Call) -> dict[str, Any]:
    """GET /extensions: there are none, versions took their place."""
    return {"extensions": []}


RESOURCE = Resource(
    routes=[
        Route("GET", "/", versions, None, gives=plain("versions", ANYTHINGS), status=300),
        Route("GET", "/v2/", versions, None, gives=plain("versions", ANYTHINGS)),
        Route("GET", "/healthcheck", healthcheck, None),
        Route(
            "GET",
            "/v2/extensions",
            extensions,
            reader("extension:index"),
            gives=plain("extensions", ANYTHINGS),
        ),
    ],
)
