"""/share-networks/{id}/subnets/{id}/removal: a subnet of share servers in use drains before it is
removed. An extension, which Manila does not have."""

from __future__ import annotations

from typing import Any

from abaca.api.call import Call
from abaca.api.declaration import Resource, Route, Takes, member, one, reader
from abaca.api.pending import settled_or_none
from abaca.api.wire import bodies
from abaca.api.wire.subnet_drains import REMOVAL, RemovalSet
from abaca.db.session import begin
from abaca.domain.network_changes import (
    client_inquiries,
    connected_clients,
    subnet_drains,
    subnet_removals,
)
from abaca.domain.network_changes.share_network_checks import PendingCheck
from abaca.errors import Invalid


def show(call: Call, share_network_id: str, subnet_id: str) -> dict[str, Any]:
    """GET /share-networks/{id}/subnets/{id}/removal. Who is connected is asked of the back ends,
    for two seconds at most."""
    with begin(call.engine) as conn:  # as it holds the network's row
        drain = subnet_drains.get(conn, call.caller, share_network_id, subnet_id)
        drain["obstacle"] = subnet_removals.obstacle(conn, call.caller, share_network_id, subnet_id)
    return _shown(call, drain, _connected(call, subnet_id))


def update(call: Call, share_network_id: str, subnet_id: str) -> dict[str, Any]:
    """PUT /share-networks/{id}/subnets/{id}/removal"""
    body = call.json
    if not isinstance(body, dict | None):
        raise Invalid(bodies.MALFORMED)
    asked = bodies.shape(body or {}, RemovalSet)
    with begin(call.engine) as conn:
        subnet_drains.start(
            conn,
            call.caller,
            share_network_id,
            subnet_id,
            seconds=asked.seconds() or subnet_drains.DEFAULT_SECONDS,
            at_deadline=asked.at_deadline or subnet_drains.CANCEL,
            limits=call.row_limits,
        )
        drain = subnet_drains.get(conn, call.caller, share_network_id, subnet_id)
        drain["obstacle"] = subnet_removals.obstacle(conn, call.caller, share_network_id, subnet_id)
    return _shown(call, drain)


def delete(call: Call, share_network_id: str, subnet_id: str) -> None:
    """DELETE /share-networks/{id}/subnets/{id}/removal"""
    with begin(call.engine) as conn:
        subnet_drains.cancel(conn, call.caller, share_network_id, subnet_id)


def _connected(call: Call, subnet_id: str) -> dict[str, int | None]:
    """How many clients are connected by the subnet, by share server; nothing for those who may not
    know, and while the back ends have not answered."""

    def attempt() -> dict[str, Any] | PendingCheck:
        with begin(call.engine) as conn:
            found = connected_clients.on_subnet(
                conn, call.caller.project_id, subnet_id, limits=call.row_limits
            )
            return found if isinstance(found, PendingCheck) else {**found.counts}

    if not call.permits("share_client:index"):
        return {}
    return settled_or_none(call, attempt, client_inquiries.is_pending) or {}


def _shown(
    call: Call, drain: dict[str, Any], connected: dict[str, int | None] | None = None
) -> dict[str, Any]:
    refuses, counts = drain["refuses_new_clients"], connected or {}
    servers = [
        {"id": id_, "clients": counts.get(id_), "refuses_new_clients": refuses[id_]}
        for id_ in sorted(refuses)
    ]
    each = [server["clients"] for server in servers]
    row = {
        "refuses_new_clients": all(refuses.values()),
        "servers": servers,
        "clients": None if None in each else sum(each),
    }
    return call.one("removal", REMOVAL, drain | row)


_ONE = "/v2/share-networks/{share_network_id}/subnets/{subnet_id}/removal"
_SHOWN = one("removal", REMOVAL)
_UPDATE = member("share_network_subnet:update_removal")

RESOURCE = Resource(
    routes=[
        Route(
            "GET",
            _ONE,
            show,
            reader("share_network_subnet:get_removal"),
            gives=_SHOWN,
            since=51,
            is_extension=True,
        ),
        Route(
            "PUT",
            _ONE,
            update,
            _UPDATE,
            Takes("", RemovalSet),
            _SHOWN,
            since=51,
            is_extension=True,
        ),
        Route("DELETE", _ONE, delete, _UPDATE, since=51, status=204, is_extension=True),
    ],
)
