"""/share-servers: share servers, for administrators."""

from __future__ import annotations

from typing import Any

from abaca.api.call import Call
from abaca.api.wire.share_networks import ResetStatus
from abaca.api.wire.share_servers import SHARE_SERVER
from abaca.db.session import begin, read
from abaca.domain import share_servers

_NOT_FILTERS = {"limit", "offset", "sort_key", "sort_dir", "all_tenants"}


def index(call: Call) -> dict[str, Any]:
    """GET /share-servers. A parameter that is not known as a filter matches nothing."""
    page = call.page()
    filters = {name: value for name, value in call.query.items() if name not in _NOT_FILTERS}
    with read(call.engine) as conn:
        return call.many("share_servers", SHARE_SERVER, share_servers.find(conn, filters, page), page)


def show(call: Call, share_server_id: str) -> dict[str, Any]:
    """GET /share-servers/{id}"""
    with read(call.engine) as conn:
        return call.one("share_server", SHARE_SERVER, share_servers.get(conn, share_server_id))


def details(call: Call, share_server_id: str) -> dict[str, Any]:
    """GET /share-servers/{id}/details: what the driver keeps there."""
    with read(call.engine) as conn:
        return {"details": share_servers.details(conn, share_server_id)}


def delete(call: Call, share_server_id: str) -> None:
    """DELETE /share-servers/{id}"""
    with begin(call.engine) as conn:
        share_servers.delete(conn, share_server_id)


def reset_status(call: Call, share_server_id: str) -> None:
    """Action reset_status, since 2.49."""
    status = call.arguments(ResetStatus).status
    with begin(call.engine) as conn:
        share_servers.reset_status(conn, share_server_id, status)
