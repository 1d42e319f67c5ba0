"""Access rules of snapshots' own: actions of a snapshot and their list, since 2.32."""

from __future__ import annotations

from typing import Any

from abaca.api.call import Call
from abaca.api.declaration import Resource, Route, action, many, member, one, reader
from abaca.api.wire.access_rules import require_known
from abaca.api.wire.snapshots import SNAPSHOT_ACCESS, SnapshotAccessAllow, SnapshotAccessDeny
from abaca.db.session import begin, read
from abaca.domain.snapshots import snapshot_access


def allow(call: Call, snapshot_id: str) -> dict[str, Any]:
    """Action allow_access."""
    wanted = call.arguments(SnapshotAccessAllow)
    require_known(wanted.access_type, wanted.access_to, call.version)
    with begin(call.engine) as conn:
        rule = snapshot_access.allow(
            conn,
            call.caller,
            snapshot_id,
            access_type=wanted.access_type,
            access_to=wanted.access_to,
            limits=call.row_limits,
        )
    return call.one("snapshot_access", SNAPSHOT_ACCESS, rule)


def deny(call: Call, snapshot_id: str) -> None:
    """Action deny_access."""
    access_id = call.arguments(SnapshotAccessDeny).access_id
    with begin(call.engine) as conn:
        snapshot_access.deny(conn, call.caller, snapshot_id, access_id)


def index(call: Call, snapshot_id: str) -> dict[str, Any]:
    """GET /snapshots/{id}/access-list"""
    with read(call.engine) as conn:
        rules = snapshot_access.find(conn, call.caller, snapshot_id)
    return call.many("snapshot_access_list", SNAPSHOT_ACCESS, rules)


_ONE = "/v2/snapshots/{snapshot_id}"

RESOURCE = Resource(
    routes=[
        action(
            f"{_ONE}/action",
            "allow_access",
            allow,
            member("share_snapshot:allow_access"),
            SnapshotAccessAllow,
            gives=one("snapshot_access", SNAPSHOT_ACCESS),
            since=32,
        ),
        action(
            f"{_ONE}/action",
            "deny_access",
            deny,
            member("share_snapshot:deny_access"),
            SnapshotAccessDeny,
            since=32,
        ),
        Route(
            "GET",
            f"{_ONE}/access-list",
            index,
            reader("share_snapshot:access_list"),
            gives=many("snapshot_access_list", SNAPSHOT_ACCESS),
            since=32,
        ),
    ],
)
