"""/share-servers: share servers, for administrators."""

from __future__ import annotations

from typing import Any

from abaca.api.call import Call
from abaca.api.declaration import PAGE, Resource, Route, Takes, action, admin, many, one, plain
from abaca.api.lists import ListQuery, texts
from abaca.api.wire import bodies
from abaca.api.wire.schemas import MAP
from abaca.api.wire.share_networks import ResetStatus, ResetTaskState
from abaca.api.wire.share_servers import SHARE_SERVER, ServerManage, Unmanage
from abaca.db.session import begin, read
from abaca.domain.network_changes import share_server_management, share_server_repairs
from abaca.domain.network_changes.share_server_management import ServerToManage
from abaca.domain.share_servers import share_servers
from abaca.domain.shares import dns_names
from abaca.errors import Invalid, Unprocessable

_SUBNET_SINCE = 51
_QUERY = ListQuery(texts(*share_servers.FILTERS))
_NOT_FILTERS = {*PAGE, "all_tenants"}


def index(call: Call) -> dict[str, Any]:
    """GET /share-servers. A parameter that is not known as a filter matches nothing."""
    page = call.page()
    filters = {name: value for name, value in call.query.items() if name not in _NOT_FILTERS}
    with read(call.engine) as conn:
        return call.many(
            "share_servers", SHARE_SERVER, share_servers.find(conn, filters, page), page
        )


def show(call: Call, share_server_id: str) -> dict[str, Any]:
    """GET /share-servers/{id}"""
    with read(call.engine) as conn:
        server = share_servers.get(conn, share_server_id)
    domain = call.conf.dns.domain
    name = dns_names.of_server(domain, share_server_id) if domain else None
    return call.one("share_server", SHARE_SERVER, {**server, "dns_name": name})


def details(call: Call, share_server_id: str) -> dict[str, Any]:
    """GET /share-servers/{id}/details: the driver's details of the server."""
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


def reset_task_state(call: Call, share_server_id: str) -> None:
    """Action reset_task_state, since 2.57. Nothing here migrates; python-manilaclient asks for it
    whenever it sets something."""
    task_state = call.arguments(ResetTaskState).task_state
    with begin(call.engine) as conn:
        share_servers.reset_task_state(conn, share_server_id, task_state)


def manage(call: Call) -> dict[str, Any]:
    """POST /share-servers/manage, since 2.49. Below 2.51 it is on the default subnet."""
    new = call.body(
        "share_server",
        ServerManage,
        missing=Unprocessable("Share Server entity not found in request body"),
    )
    for name in ("host", "share_network_id", "identifier"):
        if not getattr(new, name):
            raise Invalid(f"Required parameter {name} is missing or empty.")
    wanted = ServerToManage(
        host=new.host or "",
        share_network_id=new.share_network_id or "",
        identifier=new.identifier or "",
        share_network_subnet_id=(new.share_network_subnet_id or None)
        if call.version >= _SUBNET_SINCE
        else None,
        driver_options={name: str(value) for name, value in (new.driver_options or {}).items()},
    )
    with begin(call.engine) as conn:
        return call.one(
            "share_server", SHARE_SERVER, share_server_management.manage(conn, call.caller, wanted)
        )


def unmanage(call: Call, share_server_id: str) -> None:
    """Action unmanage, since 2.49."""
    force = call.arguments(Unmanage).force
    with begin(call.engine) as conn:
        share_server_management.unmanage(
            conn, share_server_id, forced=force is not None and bodies.boolean(force)
        )


def retry_network_update(call: Call, share_server_id: str) -> None:
    """Action retry_network_update: the addition or removal of a subnet that has failed there is
    begun again."""
    with begin(call.engine) as conn:
        share_server_repairs.retry_network_update(conn, share_server_id)


def abandon_network_update(call: Call, share_server_id: str) -> None:
    """Action abandon_network_update: it is taken back; the server serves as before."""
    with begin(call.engine) as conn:
        share_server_repairs.abandon_network_update(conn, share_server_id)


_ALL = "/v2/share-servers"
_ONE = f"{_ALL}/{{share_server_id}}"
_ACTION = f"{_ONE}/action"
_SHOWN = one("share_server", SHARE_SERVER)

RESOURCE = Resource(
    routes=[
        Route(
            "GET",
            _ALL,
            index,
            admin("share_server:index"),
            gives=many("share_servers", SHARE_SERVER),
            query=_QUERY.names,
        ),
        Route("GET", _ONE, show, admin("share_server:show"), gives=_SHOWN),
        Route(
            "GET",
            f"{_ONE}/details",
            details,
            admin("share_server:details"),
            gives=plain("details", MAP),
        ),
        Route("DELETE", _ONE, delete, admin("share_server:delete"), status=202),
        action(
            _ACTION,
            "reset_status",
            reset_status,
            admin("share_server:reset_status"),
            ResetStatus,
            since=49,
        ),
        action(
            _ACTION,
            "reset_task_state",
            reset_task_state,
            admin("share_server:reset_task_state"),
            ResetTaskState,
            since=57,
        ),
        Route(
            "POST",
            f"{_ALL}/manage",
            manage,
            admin("share_server:manage_share_server"),
            takes=Takes("share_server", ServerManage),
            gives=_SHOWN,
            since=49,
            status=202,
        ),
        action(
            _ACTION,
            "unmanage",
            unmanage,
            admin("share_server:unmanage_share_server"),
            Unmanage,
            since=49,
        ),
        action(
            _ACTION,
            "retry_network_update",
            retry_network_update,
            admin("share_server:retry_network_update"),
            since=70,
            is_extension=True,
        ),
        action(
            _ACTION,
            "abandon_network_update",
            abandon_network_update,
            admin("share_server:abandon_network_update"),
            since=70,
            is_extension=True,
        ),
    ],
)
