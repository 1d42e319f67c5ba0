"""/share-networks/{id}/subnets/{id}/removal: a subnet of share servers in use drains before it is
removed. An extension, which Manila does not have."""

from __future__ import annotations

from typing import Any

from abaca.api.call import Call
from abaca.api.declaration import Resource, Route, Takes, member, one, reader
from abaca.api.wire import bodies
from abaca.api.wire.subnet_drains import REMOVAL, RemovalSet
from abaca.db.session import begin, read
from abaca.domain.network_changes import subnet_drains
from abaca.errors import Invalid


def show(call: Call, share_network_id: str, subnet_id: str) -> dict[str, Any]:
    """GET /share-networks/{id}/subnets/{id}/removal"""
    with read(call.engine) as conn:
        drain = subnet_drains.get(conn, call.caller, share_network_id, subnet_id)
    return _shown(call, drain)


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
    return _shown(call, drain)


def delete(call: Call, share_network_id: str, subnet_id: str) -> None:
    """DELETE /share-networks/{id}/subnets/{id}/removal"""
    with begin(call.engine) as conn:
        subnet_drains.cancel(conn, call.caller, share_network_id, subnet_id, call.row_limits)


def _shown(call: Call, drain: dict[str, Any]) -> dict[str, Any]:
    refuses = drain["refuses_new_clients"]
    servers = [
        {"id": id_, "clients": None, "refuses_new_clients": refuses[id_]} for id_ in sorted(refuses)
    ]
    row = drain | {
        "refuses_new_clients": all(refuses.values()),
        "servers": servers,
        "clients": None,
    }
    return call.one("removal", REMOVAL, row)


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
        ),
        Route("PUT", _ONE, update, _UPDATE, Takes("", RemovalSet), _SHOWN, since=51),
        Route("DELETE", _ONE, delete, _UPDATE, since=51, status=204),
    ],
)
