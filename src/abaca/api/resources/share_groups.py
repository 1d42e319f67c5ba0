"""/share-groups and /share-group-snapshots, since 2.31: there are none yet.
Horizon asks for them before it makes a share."""

from __future__ import annotations

from typing import Any

from abaca.api.call import Call
from abaca.api.declaration import Resource, Route, plain, reader
from abaca.api.wire.schemas import NO_ITEMS


def index(_call: Call) -> dict[str, Any]:
    """GET /share-groups, GET /share-groups/detail"""
    return {"share_groups": []}


def list_snapshots(_call: Call) -> dict[str, Any]:
    """GET /share-group-snapshots, GET /share-group-snapshots/detail"""
    return {"share_group_snapshots": []}


RESOURCE = Resource(
    routes=[
        Route(
            "GET",
            "/v2/share-groups",
            index,
            reader("share_group:get_all"),
            gives=plain("share_groups", NO_ITEMS),
            since=31,
            experimental_until=54,
        ),
        Route(
            "GET",
            "/v2/share-groups/detail",
            index,
            reader("share_group:get_all"),
            gives=plain("share_groups", NO_ITEMS),
            since=31,
            experimental_until=54,
        ),
        Route(
            "GET",
            "/v2/share-group-snapshots",
            list_snapshots,
            reader("share_group_snapshot:get_all"),
            gives=plain("share_group_snapshots", NO_ITEMS),
            since=31,
            experimental_until=54,
        ),
        Route(
            "GET",
            "/v2/share-group-snapshots/detail",
            list_snapshots,
            reader("share_group_snapshot:get_all"),
            gives=plain("share_group_snapshots", NO_ITEMS),
            since=31,
            experimental_until=54,
        ),
    ],
)
