"""The actions of /share-networks/{id}/action about security services: attaching, taking away,
exchanging, and the checks before."""

from __future__ import annotations

from typing import Any

from abaca.api.call import Call
from abaca.api.declaration import Resource, action, member, one, plain
from abaca.api.pending import settled
from abaca.api.wire import share_network_checks
from abaca.api.wire.security_services import Attach, Exchange
from abaca.api.wire.share_networks import SHARE_NETWORK
from abaca.db.session import begin
from abaca.domain.network_changes import security_service_changes
from abaca.domain.network_changes.security_service_changes import ChangeRequest
from abaca.domain.network_changes.share_network_checks import PendingCheck
from abaca.errors import Invalid

_IN_USE_SINCE = 63
_STILL_ASKED = (
    "The back ends are still being asked whether the security service can be changed "
    "so (check pending); repeat the request."
)


def add(call: Call, share_network_id: str) -> dict[str, Any]:
    """Action add_security_service; on a network in use since 2.63."""
    return _change(
        call, share_network_id, ChangeRequest(new_id=call.arguments(Attach).security_service_id)
    )


def remove(call: Call, share_network_id: str) -> dict[str, Any]:
    """Action remove_security_service."""
    body = call.arguments(Attach)
    with begin(call.engine) as conn:
        view = security_service_changes.remove(
            conn, call.caller, share_network_id, body.security_service_id
        )
    return call.one("share_network", SHARE_NETWORK, view)


def update(call: Call, share_network_id: str) -> dict[str, Any]:
    """Action update_security_service, since 2.63."""
    return _change(call, share_network_id, _exchange(call.arguments(Exchange)))


def add_check(call: Call, share_network_id: str) -> dict[str, Any]:
    """Action add_security_service_check, since 2.63."""
    body = call.arguments(Attach)
    return _check(
        call, share_network_id, ChangeRequest(new_id=body.security_service_id), body.reset_operation
    )


def update_check(call: Call, share_network_id: str) -> dict[str, Any]:
    """Action update_security_service_check, since 2.63."""
    body = call.arguments(Exchange)
    return _check(call, share_network_id, _exchange(body), body.reset_operation)


def _exchange(body: Exchange) -> ChangeRequest:
    return ChangeRequest(new_id=body.new_service_id, current_id=body.current_service_id)


def _change(call: Call, share_network_id: str, wanted: ChangeRequest) -> dict[str, Any]:
    """When servers are there, their drivers are asked first, for two seconds at most."""

    def attempt() -> dict[str, Any] | PendingCheck:
        with begin(call.engine) as conn:
            allowed = call.version >= _IN_USE_SINCE
            return security_service_changes.change(
                conn,
                call.caller,
                share_network_id,
                wanted,
                in_use_allowed=allowed,
                limits=call.row_limits,
            )

    return call.one("share_network", SHARE_NETWORK, settled(call, attempt, Invalid(_STILL_ASKED)))


def _check(
    call: Call, share_network_id: str, wanted: ChangeRequest, reset_operation: bool | None
) -> dict[str, Any]:
    with begin(call.engine) as conn:
        answer = security_service_changes.check(
            conn,
            call.caller,
            share_network_id,
            wanted,
            reset_operation=bool(reset_operation),
            limits=call.row_limits,
        )
    shown = {
        "compatible": answer["compatible"],
        "requested_operation": {
            "operation": "update_security_service" if wanted.current_id else "add_security_service",
            "current_security_service": wanted.current_id,
            "new_security_service": wanted.new_id,
        },
    }
    return (
        {**shown, "hosts_check_result": answer["hosts_check_result"]}
        if call.caller.is_admin
        else shown
    )


_ACTION = "/v2/share-networks/{share_network_id}/action"
_SHOWN = one("share_network", SHARE_NETWORK)

RESOURCE = Resource(
    routes=[
        action(
            _ACTION,
            "add_security_service",
            add,
            member("share_network:add_security_service"),
            Attach,
            gives=_SHOWN,
            status=200,
        ),
        action(
            _ACTION,
            "remove_security_service",
            remove,
            member("share_network:remove_security_service"),
            Attach,
            gives=_SHOWN,
            status=200,
        ),
        action(
            _ACTION,
            "update_security_service",
            update,
            member("share_network:update_security_service"),
            Exchange,
            gives=_SHOWN,
            since=63,
        ),
        action(
            _ACTION,
            "add_security_service_check",
            add_check,
            member("share_network:add_security_service_check"),
            Attach,
            gives=plain("", share_network_checks.SECURITY_SERVICE),
            since=63,
        ),
        action(
            _ACTION,
            "update_security_service_check",
            update_check,
            member("share_network:update_security_service_check"),
            Exchange,
            gives=plain("", share_network_checks.SECURITY_SERVICE),
            since=63,
        ),
    ],
)
