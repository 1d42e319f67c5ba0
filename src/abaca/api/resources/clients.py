"""/shares/{id}/clients, /share-servers/{id}/clients: who is connected, asked live of the back end.
An extension, which Manila does not have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from abaca.api.call import Call
from abaca.api.declaration import Resource, Route, admin, many, member
from abaca.api.pending import settled
from abaca.api.wire.clients import CLIENT
from abaca.api.wire.fields import timestamp
from abaca.api.wire.schemas import FLAG, TIME
from abaca.db.session import begin
from abaca.domain.network_changes import client_inquiries, connected_clients
from abaca.domain.network_changes.share_network_checks import PendingCheck
from abaca.errors import Conflict

_STILL_ASKED = "The back end is still being asked who is connected; repeat the request."


def of_share(call: Call, share_id: str) -> dict[str, Any]:
    """GET /shares/{id}/clients"""
    return _answered(call, connected_clients.of_share, share_id)


def of_share_server(call: Call, share_server_id: str) -> dict[str, Any]:
    """GET /share-servers/{id}/clients"""
    return _answered(call, connected_clients.of_server, share_server_id)


def _answered(
    call: Call, ask: Callable[..., dict[str, Any] | PendingCheck], subject_id: str
) -> dict[str, Any]:
    sees_all = call.permits("share_client:show_masked_addresses")

    def attempt() -> dict[str, Any] | PendingCheck:
        with begin(call.engine) as conn:
            return ask(conn, call.caller, subject_id, sees_all=sees_all, limits=call.row_limits)

    found = settled(call, attempt, Conflict(_STILL_ASKED), client_inquiries.is_pending)
    return call.many("clients", CLIENT, found["clients"]) | {
        "is_complete": found["is_complete"],
        "as_of": timestamp(found["as_of"]),
    }


_GIVEN = many("clients", CLIENT)._replace(more={"is_complete": FLAG, "as_of": TIME})

RESOURCE = Resource(
    routes=[
        Route(
            "GET",
            "/v2/shares/{share_id}/clients",
            of_share,
            member("share_client:index"),
            gives=_GIVEN,
            is_extension=True,
        ),
        Route(
            "GET",
            "/v2/share-servers/{share_server_id}/clients",
            of_share_server,
            admin("share_server_client:index"),
            gives=_GIVEN,
            is_extension=True,
        ),
    ],
    rules=[
        admin(
            "share_client:show_masked_addresses",
            "See the addresses of connected clients on networks of other projects, too.",
        ),
    ],
)
