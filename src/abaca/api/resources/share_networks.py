"""/share-networks: share networks. Their subnets: `share_network_subnets`."""

from __future__ import annotations

from typing import Any

import msgspec

from abaca.api.call import Call
from abaca.api.declaration import (
    Resource,
    Route,
    Takes,
    action,
    admin,
    creator,
    many,
    member,
    one,
    reader,
)
from abaca.api.lists import Find, ListQuery, answer, texts
from abaca.api.wire.fields import DETAIL, SUMMARY
from abaca.api.wire.share_networks import (
    SHARE_NETWORK,
    ResetStatus,
    ShareNetworkCreate,
    ShareNetworkUpdate,
)
from abaca.db.session import begin, read
from abaca.domain.share_networks import share_networks
from abaca.errors import Invalid, Unprocessable

UNPROCESSABLE = "Unable to process the contained instructions"

_QUERY = ListQuery(
    [
        *texts("name", "status", "neutron_net_id", "neutron_subnet_id", "ip_version", "cidr"),
        *texts("availability_zone", "created_since", "created_before", "security_service_id"),
        *texts("network_type", "segmentation_id", "share_server_id", "project_id", is_admins=True),
        *texts("name~", "description~", since=36),
    ],
    all_projects="share_network:get_all_share_networks",
)


def index(call: Call) -> dict[str, Any]:
    """GET /share-networks"""
    return _list(call, share_networks.find_names, SUMMARY)


def detail(call: Call) -> dict[str, Any]:
    """GET /share-networks/detail"""
    return _list(call, share_networks.find, DETAIL)


def show(call: Call, share_network_id: str) -> dict[str, Any]:
    """GET /share-networks/{id}"""
    with read(call.engine) as conn:
        return call.one(
            "share_network", SHARE_NETWORK, share_networks.get(conn, call.caller, share_network_id)
        )


def create(call: Call) -> dict[str, Any]:
    """POST /share-networks"""
    new = call.body("share_network", ShareNetworkCreate, missing=Unprocessable(UNPROCESSABLE))
    _refuse_nova(new.nova_net_id)
    with begin(call.engine) as conn:
        view = share_networks.create(
            conn,
            call.caller,
            name=new.name,
            description=new.description,
            neutron_net_id=new.neutron_net_id,
            neutron_subnet_id=new.neutron_subnet_id,
            availability_zone=(new.availability_zone or None) if call.version >= 51 else None,
            quota_defaults=call.quota_defaults,
        )
    return call.one("share_network", SHARE_NETWORK, view)


def update(call: Call, share_network_id: str) -> dict[str, Any]:
    """PUT /share-networks/{id}"""
    body = call.body("share_network", ShareNetworkUpdate, missing=Unprocessable(UNPROCESSABLE))
    _refuse_nova(body.nova_net_id)
    given = {
        name: getattr(body, name)
        for name in ("name", "description", "neutron_net_id", "neutron_subnet_id")
    }
    changes = {name: value for name, value in given.items() if value is not msgspec.UNSET}
    with begin(call.engine) as conn:
        return call.one(
            "share_network",
            SHARE_NETWORK,
            share_networks.update(conn, call.caller, share_network_id, changes),
        )


def delete(call: Call, share_network_id: str) -> None:
    """DELETE /share-networks/{id}"""
    with begin(call.engine) as conn:
        share_networks.delete(conn, call.caller, share_network_id)


def reset_status(call: Call, share_network_id: str) -> None:
    """Action reset_status, since 2.63."""
    status = call.arguments(ResetStatus).status
    with begin(call.engine) as conn:
        share_networks.reset_status(conn, call.caller, share_network_id, status)


def _list(call: Call, find: Find, level: int) -> dict[str, Any]:
    return answer(call, _QUERY, find, "share_networks", SHARE_NETWORK, level=level)


def _refuse_nova(nova_net_id: object) -> None:
    if nova_net_id is not None:
        raise Invalid(
            "nova networking is not supported: give neutron_net_id and neutron_subnet_id."
        )


_ALL = "/v2/share-networks"
_ONE = f"{_ALL}/{{share_network_id}}"
_SHOWN = one("share_network", SHARE_NETWORK)

RESOURCE = Resource(
    routes=[
        Route(
            "GET",
            _ALL,
            index,
            reader("share_network:index"),
            gives=many("share_networks", SHARE_NETWORK, SUMMARY),
            query=_QUERY.names,
        ),
        Route(
            "POST",
            _ALL,
            create,
            creator("share_network:create"),
            takes=Takes("share_network", ShareNetworkCreate),
            gives=_SHOWN,
        ),
        Route(
            "GET",
            f"{_ALL}/detail",
            detail,
            reader("share_network:index"),
            gives=many("share_networks", SHARE_NETWORK),
            query=_QUERY.names,
        ),
        Route("GET", _ONE, show, reader("share_network:show"), gives=_SHOWN),
        Route(
            "PUT",
            _ONE,
            update,
            member("share_network:update"),
            takes=Takes("share_network", ShareNetworkUpdate),
            gives=_SHOWN,
        ),
        Route("DELETE", _ONE, delete, member("share_network:delete"), status=202),
        action(
            f"{_ONE}/action",
            "reset_status",
            reset_status,
            admin("share_network:reset_status"),
            ResetStatus,
            since=63,
        ),
    ],
    rules=[
        admin("share_network:get_all_share_networks", "List the share networks of all projects."),
    ],
)
