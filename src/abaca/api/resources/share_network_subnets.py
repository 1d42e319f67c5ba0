"""/share-networks/{id}/subnets: share network subnets, and the actions that check one before it is
added or removed, and remove one that is in use."""

from __future__ import annotations

from typing import Any

from abaca.api.call import Call
from abaca.api.declaration import (
    Resource,
    Route,
    Takes,
    action,
    admin,
    many,
    member,
    one,
    plain,
    reader,
)
from abaca.api.pending import settled, settled_or_none
from abaca.api.resources import metadata
from abaca.api.wire import bodies, share_network_checks
from abaca.api.wire.clients import CLIENT
from abaca.api.wire.fields import SHOW
from abaca.api.wire.share_network_subnets import DeleteCheck, SubnetCheck, SubnetCreate
from abaca.api.wire.share_networks import SUBNET
from abaca.db.session import begin, read
from abaca.domain.network_changes import (
    client_inquiries,
    connected_clients,
    subnet_additions,
    subnet_deletions,
    subnet_removals,
)
from abaca.domain.network_changes.share_network_checks import PendingCheck
from abaca.domain.network_changes.subnet_additions import SubnetRequest
from abaca.domain.share_networks import share_network_subnets
from abaca.errors import Conflict, Invalid

_MULTIPLE_SINCE = 70
_METADATA_SINCE = 78
_STILL_ASKED = (
    "The back ends are still being asked whether the subnet can be {} (check pending); repeat the "
    "request."
)


def index(call: Call, share_network_id: str) -> dict[str, Any]:
    """GET /share-networks/{id}/subnets"""
    with read(call.engine) as conn:
        return call.many(
            "share_network_subnets",
            SUBNET,
            share_network_subnets.find(conn, call.caller, share_network_id),
            level=SHOW,
        )


def show(call: Call, share_network_id: str, subnet_id: str) -> dict[str, Any]:
    """GET /share-networks/{id}/subnets/{id}"""
    with read(call.engine) as conn:
        return call.one(
            "share_network_subnet",
            SUBNET,
            share_network_subnets.get(conn, call.caller, share_network_id, subnet_id),
        )


def create(call: Call, share_network_id: str) -> dict[str, Any]:
    """POST /share-networks/{id}/subnets. When servers are there, their drivers are asked first,
    for two seconds at most."""
    missing = Invalid("Share Network Subnet is missing from the request body.")
    body = call.body("share-network-subnet", SubnetCreate, missing=missing)
    wanted = SubnetRequest(
        neutron_net_id=body.neutron_net_id,
        neutron_subnet_id=body.neutron_subnet_id,
        availability_zone=body.availability_zone,
        metadata=bodies.metadata(body.metadata) if call.version >= _METADATA_SINCE else {},
    )

    def attempt() -> dict[str, Any] | PendingCheck:
        with begin(call.engine) as conn:
            return subnet_additions.add(
                conn,
                call.caller,
                share_network_id,
                wanted,
                multiple_allowed=call.version >= _MULTIPLE_SINCE,
                limits=call.row_limits,
            )

    return call.one(
        "share_network_subnet",
        SUBNET,
        settled(call, attempt, Conflict(_STILL_ASKED.format("added"))),
    )


def delete(call: Call, share_network_id: str, subnet_id: str) -> None:
    """DELETE /share-networks/{id}/subnets/{id}. Of one that drains and has shares, back ends are
    asked first who is connected, and whether it can be removed, for two seconds at most."""

    def attempt() -> PendingCheck | None:
        with begin(call.engine) as conn:
            return subnet_deletions.delete(conn, call.caller, share_network_id, subnet_id)

    settled(call, attempt, Conflict(_STILL_ASKED.format("removed")), subnet_deletions.is_pending)


def force_delete(call: Call, share_network_id: str, subnet_id: str) -> None:
    """Action force_delete of a subnet, with shares on it or not, since 2.70. When servers have to
    give it up, their drivers are asked first, for two seconds at most."""

    def attempt() -> PendingCheck | None:
        with begin(call.engine) as conn:
            return subnet_removals.begin(conn, call.caller, share_network_id, subnet_id)

    settled(call, attempt, Conflict(_STILL_ASKED.format("removed")))


def delete_check(call: Call, share_network_id: str, subnet_id: str) -> dict[str, Any]:
    """Action share_network_subnet_delete_check, since 2.70. The drivers answer for themselves; who
    would be cut is waited for, two seconds at most."""
    body = call.arguments(DeleteCheck)
    with begin(call.engine) as conn:
        answer = subnet_removals.check(
            conn,
            call.caller,
            share_network_id,
            subnet_id,
            reset_operation=bool(body.reset_operation),
            limits=call.row_limits,
        )
    if not call.caller.is_admin:
        del answer["hosts_check_result"]
    return answer | _cut_clients(call, subnet_id)


def _cut_clients(call: Call, subnet_id: str) -> dict[str, Any]:
    """`clients`, None while the back ends have not said, and `all_clients`."""
    sees_all = call.permits("share_client:show_masked_addresses")

    def attempt() -> dict[str, Any] | PendingCheck:
        with begin(call.engine) as conn:
            return connected_clients.cut(conn, subnet_id, sees_all=sees_all, limits=call.row_limits)

    cut = settled_or_none(call, attempt, client_inquiries.is_pending)
    if cut is None:
        return {"clients": None, "all_clients": False}
    rows = cut["clients"]
    shown = CLIENT.render_all(rows, call.version)
    servers = [{"share_server_id": row["share_server_id"]} for row in rows]
    return cut | {"clients": [each | on for each, on in zip(shown, servers, strict=True)]}


def create_check(call: Call, share_network_id: str) -> dict[str, Any]:
    """Action share_network_subnet_create_check, since 2.70."""
    body = call.arguments(SubnetCheck)
    wanted = SubnetRequest(
        neutron_net_id=body.neutron_net_id,
        neutron_subnet_id=body.neutron_subnet_id,
        availability_zone=body.availability_zone,
    )
    with begin(call.engine) as conn:
        answer = subnet_additions.check(
            conn,
            call.caller,
            share_network_id,
            wanted,
            reset_operation=bool(body.reset_operation),
            limits=call.row_limits,
        )
    if not call.caller.is_admin:
        del answer["hosts_check_result"]
    return answer


_ALL = "/v2/share-networks/{share_network_id}/subnets"
_ONE = f"{_ALL}/{{subnet_id}}"
_ACTION = f"{_ONE}/action"
_NETWORK_ACTION = "/v2/share-networks/{share_network_id}/action"
_SHOWN = one("share_network_subnet", SUBNET)

RESOURCE = Resource(
    routes=[
        Route(
            "GET",
            _ALL,
            index,
            reader("share_network_subnet:index"),
            gives=many("share_network_subnets", SUBNET, SHOW),
            since=51,
        ),
        Route(
            "POST",
            _ALL,
            create,
            member("share_network_subnet:create"),
            takes=Takes("share-network-subnet", SubnetCreate),
            gives=_SHOWN,
            since=51,
        ),
        Route("GET", _ONE, show, reader("share_network_subnet:show"), gives=_SHOWN, since=51),
        Route("DELETE", _ONE, delete, member("share_network_subnet:delete"), since=51, status=202),
        action(
            _NETWORK_ACTION,
            "share_network_subnet_create_check",
            create_check,
            member("share_network:subnet_create_check"),
            SubnetCheck,
            gives=plain("", share_network_checks.ADDITION),
            since=70,
        ),
        action(
            _ACTION,
            "force_delete",
            force_delete,
            admin("share_network_subnet:force_delete"),
            since=70,
        ),
        action(
            _ACTION,
            "share_network_subnet_delete_check",
            delete_check,
            admin("share_network_subnet:delete_check"),
            DeleteCheck,
            gives=plain("", share_network_checks.REMOVAL),
            since=70,
        ),
        *metadata.SUBNET.routes(
            _ONE,
            reader("share_network_subnet:get_metadata"),
            member("share_network_subnet:update_metadata"),
            member("share_network_subnet:delete_metadata"),
            since=78,
        ),
    ],
)
