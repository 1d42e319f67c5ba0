"""/share_instances: the instances of shares on back ends, for administrators, since 2.3."""

from __future__ import annotations

from typing import Any

from abaca.api.call import Call
from abaca.api.declaration import Resource, Route, action, admin, many, one, renamed
from abaca.api.lists import ListQuery, texts
from abaca.api.wire.share_networks import ResetStatus
from abaca.api.wire.shares import SHARE_INSTANCE
from abaca.db.session import begin, read
from abaca.domain.shares import share_instances, shares

_QUERY = ListQuery(
    [
        *texts(
            "share_id", "host", "status", "share_network_id", "share_server_id", "share_type_id"
        ),
        *texts("project_id"),
        *texts("export_location_id", "export_location_path", since=35),
    ]
)


def index(call: Call, share_id: str | None = None) -> dict[str, Any]:
    """GET /share_instances, GET /shares/{id}/instances"""
    page, filters = call.page(), _QUERY.read(call).filters
    with read(call.engine) as conn:
        if share_id is not None:
            filters["share_id"] = shares.get(conn, call.caller, share_id)["id"]
        return call.many(
            "share_instances",
            SHARE_INSTANCE,
            share_instances.LISTING.find(conn, call.caller, filters, page),
            page,
        )


def show(call: Call, instance_id: str) -> dict[str, Any]:
    """GET /share_instances/{id}"""
    with read(call.engine) as conn:
        return call.one("share_instance", SHARE_INSTANCE, share_instances.get(conn, instance_id))


def reset_status(call: Call, instance_id: str) -> None:
    """Action reset_status (os-reset_status up to 2.6)."""
    status = call.arguments(ResetStatus).status
    with begin(call.engine) as conn:
        share_instances.reset_status(conn, instance_id, status)


def force_delete(call: Call, instance_id: str) -> None:
    """Action force_delete (os-force_delete up to 2.6): the share goes with its last instance."""
    with begin(call.engine) as conn:
        shares.force_delete_instance(conn, instance_id)


_ALL = "/v2/share_instances"
_ONE = f"{_ALL}/{{instance_id}}"
_ACTION = f"{_ONE}/action"

RESOURCE = Resource(
    routes=[
        Route(
            "GET",
            _ALL,
            index,
            admin("share_instance:index"),
            gives=many("share_instances", SHARE_INSTANCE),
            query=_QUERY.names,
            since=3,
        ),
        Route(
            "GET",
            _ONE,
            show,
            admin("share_instance:show"),
            gives=one("share_instance", SHARE_INSTANCE),
            since=3,
        ),
        Route(
            "GET",
            "/v2/shares/{share_id}/instances",
            index,
            admin("share_instance:index"),
            gives=many("share_instances", SHARE_INSTANCE),
            query=_QUERY.names,
            since=3,
        ),
        *renamed(
            "os-reset_status",
            action(
                _ACTION,
                "reset_status",
                reset_status,
                admin("share_instance:reset_status"),
                ResetStatus,
                since=3,
            ),
        ),
        *renamed(
            "os-force_delete",
            action(
                _ACTION,
                "force_delete",
                force_delete,
                admin("share_instance:force_delete"),
                since=3,
            ),
        ),
    ],
)
