"""/security-services: there are none yet. Clients ask all the same: `openstack share network show` lists those of the network."""

from __future__ import annotations

from typing import Any

from abaca.api.call import Call


def index(_call: Call) -> dict[str, Any]:
    """GET /security-services, GET /security-services/detail"""
    return {"security_services": []}
