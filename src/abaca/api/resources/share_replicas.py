"""/share-replicas, since 2.11: there are none yet. Clients look for a share's replicas before they delete it."""

from __future__ import annotations

from typing import Any

from abaca.api.call import Call


def index(_call: Call) -> dict[str, Any]:
    """GET /share-replicas, GET /share-replicas/detail"""
    return {"share_replicas": []}
