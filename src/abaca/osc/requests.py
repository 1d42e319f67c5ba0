"""Requests that python-manilaclient has no method for, through its client."""

from __future__ import annotations

from typing import Any

from osc_lib import utils


def get(client_manager: Any, path: str) -> Any:
    """The body of the answer to GET `path`, `/shares/…`. Raises what python-manilaclient raises."""
    return client_manager.share.client.get(path)[1]


def put(client_manager: Any, path: str, body: dict[str, Any]) -> Any:
    """The same of PUT `path` with a body."""
    return client_manager.share.client.put(path, body=body)[1]


def post(client_manager: Any, path: str, body: dict[str, Any]) -> Any:
    """The same of POST `path` with a body."""
    return client_manager.share.client.post(path, body=body)[1]


def share_network_id(client_manager: Any, name_or_id: str) -> str:
    """The id of a share network. Raises CommandError when there is none, or several."""
    return str(utils.find_resource(client_manager.share.share_networks, name_or_id).id)


def share_id(client_manager: Any, name_or_id: str) -> str:
    """The id of a share. Raises CommandError when there is none, or several."""
    return str(utils.find_resource(client_manager.share.shares, name_or_id).id)
