"""/share-groups, /share-group-types and /share-group-snapshots, since 2.31: there are none yet. Horizon asks for all before it makes a share."""

from __future__ import annotations

from typing import Any

from abaca.api.call import Call


def index(_call: Call) -> dict[str, Any]:
    """GET /share-groups, GET /share-groups/detail"""
    return {"share_groups": []}


def list_types(_call: Call) -> dict[str, Any]:
    """GET /share-group-types"""
    return {"share_group_types": []}


def list_snapshots(_call: Call) -> dict[str, Any]:
    """GET /share-group-snapshots, GET /share-group-snapshots/detail"""
    return {"share_group_snapshots": []}
