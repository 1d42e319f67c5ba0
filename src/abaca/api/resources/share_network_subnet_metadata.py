"""/share-networks/{id}/subnets/{id}/metadata: what its owner notes on a share network subnet, since 2.78."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from abaca.api.call import Call
from abaca.api.wire import bodies
from abaca.db.session import begin, read
from abaca.domain import share_network_subnets
from abaca.errors import Invalid, Missing


def index(call: Call, share_network_id: str, subnet_id: str) -> dict[str, Any]:
    """GET …/metadata"""
    with read(call.engine) as conn:
        return {"metadata": share_network_subnets.get(conn, call.caller, share_network_id, subnet_id)["metadata"]}


def merge(call: Call, share_network_id: str, subnet_id: str) -> dict[str, Any]:
    """POST …/metadata: the pairs given are added to those that are there."""
    return {"metadata": _change(call, share_network_id, subnet_id, lambda old: old | _pairs(call, "metadata"))}


def replace(call: Call, share_network_id: str, subnet_id: str) -> dict[str, Any]:
    """PUT …/metadata: the pairs given take the place of all that are there."""
    return {"metadata": _change(call, share_network_id, subnet_id, lambda _old: _pairs(call, "metadata"))}


def show(call: Call, share_network_id: str, subnet_id: str, key: str) -> dict[str, Any]:
    """GET …/metadata/{key}"""
    return {"meta": _one(index(call, share_network_id, subnet_id)["metadata"], key)}


def set_one(call: Call, share_network_id: str, subnet_id: str, key: str) -> dict[str, Any]:
    """PUT or POST …/metadata/{key}"""
    pair = _pairs(call, "meta")
    if pair.keys() != {key}:
        raise Invalid("Request body and URI mismatch: the body holds another key or several.")
    return {"meta": _one(_change(call, share_network_id, subnet_id, lambda old: old | pair), key)}


def delete(call: Call, share_network_id: str, subnet_id: str, key: str) -> None:
    """DELETE …/metadata/{key}"""

    def without(old: dict[str, str]) -> dict[str, str]:
        _one(old, key)
        return {name: value for name, value in old.items() if name != key}

    _change(call, share_network_id, subnet_id, without)


def _change(
    call: Call, share_network_id: str, subnet_id: str, change: Callable[[dict[str, str]], dict[str, str]]
) -> dict[str, str]:
    with begin(call.engine) as conn:
        old = share_network_subnets.get(conn, call.caller, share_network_id, subnet_id)["metadata"]
        return share_network_subnets.set_metadata(conn, call.caller, share_network_id, subnet_id, change(old))


def _pairs(call: Call, member: str) -> dict[str, str]:
    return bodies.metadata(call.body(member, dict[str, str], missing=Invalid("Malformed request body")))


def _one(metadata: dict[str, str], key: str) -> dict[str, str]:
    if key not in metadata:
        raise Missing(f"Metadata item {key} was not found.")
    return {key: metadata[key]}
