"""/snapshot-instances: the instances of snapshots on back ends, for administrators, since 2.19.

Their export locations: `snapshot_export_locations`.
"""

from __future__ import annotations

from typing import Any

from abaca.api.call import Call
from abaca.api.declaration import Resource, Route, action, admin, many, one
from abaca.api.lists import ListQuery, texts
from abaca.api.wire.fields import DETAIL, SUMMARY
from abaca.api.wire.share_networks import ResetStatus
from abaca.api.wire.snapshots import SNAPSHOT_INSTANCE
from abaca.db.session import begin, read
from abaca.domain.snapshots import share_snapshot_instances

_QUERY = ListQuery([*texts("snapshot_id")])


def index(call: Call) -> dict[str, Any]:
    """GET /snapshot-instances"""
    return _list(call, SUMMARY)


def detail(call: Call) -> dict[str, Any]:
    """GET /snapshot-instances/detail"""
    return _list(call, DETAIL)


def show(call: Call, snapshot_instance_id: str) -> dict[str, Any]:
    """GET /snapshot-instances/{id}"""
    with read(call.engine) as conn:
        return call.one(
            "snapshot_instance",
            SNAPSHOT_INSTANCE,
            share_snapshot_instances.get(conn, snapshot_instance_id),
        )


def reset_status(call: Call, snapshot_instance_id: str) -> None:
    """Action reset_status."""
    status = call.arguments(ResetStatus).status
    with begin(call.engine) as conn:
        share_snapshot_instances.reset_status(conn, snapshot_instance_id, status)


def _list(call: Call, level: int) -> dict[str, Any]:
    page, filters = call.page(), _QUERY.read(call).filters
    with read(call.engine) as conn:
        rows = share_snapshot_instances.LISTING.find(conn, call.caller, filters, page)
    return call.many("snapshot_instances", SNAPSHOT_INSTANCE, rows, page, level=level)


_ALL = "/v2/snapshot-instances"
_ONE = f"{_ALL}/{{snapshot_instance_id}}"

RESOURCE = Resource(
    routes=[
        Route(
            "GET",
            _ALL,
            index,
            admin("share_snapshot_instance:index"),
            gives=many("snapshot_instances", SNAPSHOT_INSTANCE, SUMMARY),
            query=_QUERY.names,
            since=19,
        ),
        Route(
            "GET",
            f"{_ALL}/detail",
            detail,
            admin("share_snapshot_instance:detail"),
            gives=many("snapshot_instances", SNAPSHOT_INSTANCE),
            query=_QUERY.names,
            since=19,
        ),
        Route(
            "GET",
            _ONE,
            show,
            admin("share_snapshot_instance:show"),
            gives=one("snapshot_instance", SNAPSHOT_INSTANCE),
            since=19,
        ),
        action(
            f"{_ONE}/action",
            "reset_status",
            reset_status,
            admin("share_snapshot_instance:reset_status"),
            ResetStatus,
            since=19,
        ),
    ],
)
