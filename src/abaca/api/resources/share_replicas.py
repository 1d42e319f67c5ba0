"""/share-replicas, since 2.11: there are none yet. Clients look for a share's replicas before they
delete it."""

from __future__ import annotations

from typing import Any

from abaca.api.call import Call
from abaca.api.declaration import Resource, Route, plain, reader
from abaca.api.wire.schemas import NO_ITEMS


def index(_call: Call) -> dict[str, Any]:
    """GET /share-replicas, GET /share-replicas/detail"""
    return {"share_replicas": []}


RESOURCE = Resource(
    routes=[
        Route(
            "GET",
            "/v2/share-replicas",
            index,
            reader("share_replica:get_all"),
            gives=plain("share_replicas", NO_ITEMS),
            since=11,
        ),
        Route(
            "GET",
            "/v2/share-replicas/detail",
            index,
            reader("share_replica:get_all"),
            gives=plain("share_replicas", NO_ITEMS),
            since=11,
        ),
    ],
)
