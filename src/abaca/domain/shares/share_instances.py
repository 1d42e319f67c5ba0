"""Share instances: what a back end holds of a share. For administrators, and for operations.

A share has one or several; `IS_ACTIVE` says which one represents it. Requests about shares are in
`shares`.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from functools import partial
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import dicts, lock_row, utcnow
from abaca.db.tables import (
    availability_zones,
    share_access_rules,
    share_instance_access_map,
    share_instances,
    share_snapshot_instances,
    shares,
)
from abaca.domain.capacity import placement, quota_usages
from abaca.domain.rows import messages, states
from abaca.domain.rows.listings import Listing, among, equal
from abaca.domain.share_servers import share_servers
from abaca.domain.shares import affinity, export_locations, share_offers
from abaca.errors import Forbidden, Invalid, Missing
from abaca.values import ExportLocation, Host

_LOG = logging.getLogger(__name__)

_COLUMNS = (
    "id", "share_id", "created_at", "updated_at", "host", "status", "share_network_id",
     "share_server_id", "share_type_id", "access_rules_status",
    "progress",
)  # fmt: skip
_NOT_SETTABLE = (share_offers.STATUS, "deferred_deleting", "error_deferred_deleting")
_SETTABLE = [status for status in states.statuses(states.SHARE) if status not in _NOT_SETTABLE]
IS_ACTIVE = share_instances.c.active == sa.literal_column("1")
"""SQL: it is the instance that clients use, and whose status, host, network, server and paths are
those of its share."""


def get(conn: Connection, instance_id: str) -> dict[str, Any]:
    """One share instance: its columns, availability_zone (name) and export_locations (paths)."""
    views = _views(conn, dicts(conn.execute(_select().where(share_instances.c.id == instance_id))))
    if not views:
        raise Missing(f"Share instance {instance_id} could not be found.")
    return views[0]


def reset_status(conn: Connection, instance_id: str, status: str) -> None:
    """The administrator sets a status by hand."""
    if lock_row(conn, share_instances, instance_id) is None:
        raise Missing(f"Share instance {instance_id} could not be found.")
    force_status(conn, _existing(conn, instance_id), instance_id, status)


def force_status(conn: Connection, share: sa.Row[Any], instance_id: str, status: str) -> None:
    """Set the status of a share's instance by hand. An offer of the share to other projects ends
    with that. Raises Invalid for what is no status, or only follows from an offer or a deferred
    deletion, and for a share that was never taken over; Forbidden if its deletion is deferred."""
    if status not in _SETTABLE:
        raise Invalid(f"Invalid state. Valid states: {', '.join(_SETTABLE)}.")
    require_not_given_up(f"share {share.id}", share)
    require_taken_over(share.size)
    share_offers.withdraw(conn, share.id)
    states.force(conn, states.SHARE, instance_id, status)


def require_not_given_up(what: str, row: sa.Row[Any]) -> None:
    """Raises Forbidden for the row of a share or snapshot whose deletion is deferred: its project
    has its quota back and may have used it."""
    if row.deletion_deferred_at is not None:
        raise Forbidden(
            f"The deletion of {what} is deferred: its project has its quota back, so that it can "
            "only be deleted or unmanaged."
        )


def require_taken_over(size: int) -> None:
    """Raises Invalid for the size of a share that was to be managed and never was: what its id
    stands for on the back end is not its."""
    if size == 0:
        raise Invalid(
            "The share was never taken over from its back end: it can only be unmanaged or "
            "force-deleted."
        )


def on_back_ends(service_hosts: Collection[str]) -> sa.ColumnElement[bool]:
    """SQL condition: the instance is on a pool of one of these back ends (host@backend)."""
    on_each = [
        share_instances.c.host.startswith(f"{host}#", autoescape=True) for host in service_hosts
    ]
    return sa.or_(sa.false(), *on_each)


def without_server_on(service_host: str) -> sa.ColumnElement[bool]:
    """SQL condition: the instance is on that back end (host@backend) and on no share server."""
    return on_back_ends([service_host]) & share_instances.c.share_server_id.is_(None)


# --- for operations -------------------------------------------------------------------------------


class Place(NamedTuple):
    """Where an instance is: on a share server, if its back end has them, of the back end
    `service_host` (host@backend)."""

    server_id: str | None
    service_host: str | None


def place_of(conn: Connection, instance_id: str) -> Place:
    """Where the instance is; nowhere if it was never placed, or does not exist."""
    columns = share_instances.c.share_server_id, share_instances.c.host
    row = conn.execute(sa.select(*columns).where(share_instances.c.id == instance_id)).one_or_none()
    if row is None or row.host is None:
        return Place(row and row.share_server_id, None)
    return Place(row.share_server_id, Host.parse(row.host).service)


def created(conn: Connection, instance_id: str, locations: list[ExportLocation]) -> None:
    """The share exists, with these export locations."""
    row = _existing(conn, instance_id)
    export_locations.replace(conn, instance_id, locations)
    _settle(conn, row, instance_id, "available", progress="100%")


def resized(conn: Connection, instance_id: str, new_size: int) -> None:
    """The share has its new size; release what was claimed beyond it."""
    row = _existing(conn, instance_id)
    _release(conn, row, (row.growing_to or row.size) - new_size)
    conn.execute(
        sa.update(shares)
        .where(shares.c.id == row.id)
        .values(size=new_size, growing_to=None, updated_at=utcnow())
    )
    _settle(conn, row, instance_id, "available")


def not_extended(conn: Connection, instance_id: str, new_size: int) -> None:
    """The share did not grow: release what was claimed for it."""
    row = _row(conn, instance_id)
    if row is not None and row.growing_to == new_size:
        _release(conn, row, new_size - row.size)
        conn.execute(sa.update(shares).where(shares.c.id == row.id).values(growing_to=None))


def remove(conn: Connection, instance_id: str) -> None:
    """Delete the instance's rows and release its room; with the last instance, the share's too.
    Does nothing if there are none.

    If the active instance is removed first, another one becomes active.
    """
    hinted = conn.execute(_HINTED, {"instance_id": instance_id}).one_or_none()
    if hinted is not None:
        affinity.lock_with_others(conn, *hinted)
    row = _row(conn, instance_id)
    if row is None:
        return
    others = sa.select(share_instances.c.id).where(
        share_instances.c.share_id == row.id, share_instances.c.id != instance_id
    )
    heir = conn.scalar(others.order_by(share_instances.c.created_at, share_instances.c.id).limit(1))
    size = row.growing_to or row.size
    if heir is None:
        if row.deletion_deferred_at is None:
            quota_usages.release(
                conn, row.project_id, row.user_id, row.share_type_id, gigabytes=size, shares=1
            )
        affinity.forget(conn, row.id)
        conn.execute(sa.delete(shares).where(shares.c.id == row.id))
    else:
        conn.execute(sa.delete(share_instances).where(share_instances.c.id == instance_id))
        if row.active:
            conn.execute(
                sa.update(share_instances).where(share_instances.c.id == heir).values(active=1)
            )
        remove_rules_without_instance(conn, row.id)
        show_change(conn, [row.id])
    placement.release(conn, row.host, size)
    share_servers.restart_idle_timer(conn, row.share_server_id)


def remove_rules_without_instance(conn: Connection, share_id: str) -> None:
    """Delete access rules that were denied on each remaining instance of their share."""
    is_left = sa.exists().where(share_instance_access_map.c.access_id == share_access_rules.c.id)
    conn.execute(
        sa.delete(share_access_rules).where(share_access_rules.c.share_id == share_id, ~is_left)
    )


def show_change(conn: Connection, share_ids: Sequence[str]) -> None:
    """Invalidate the cached views of shares after a change that is not on their active
    instances."""
    if share_ids:
        changed = share_instances.c.share_id.in_(share_ids) & IS_ACTIVE
        conn.execute(sa.update(share_instances).where(changed).values(updated_at=utcnow()))


def due_again(conn: Connection, service_hosts: Collection[str]) -> list[str]:
    """The instances on these back ends whose deferred deletion has failed, without those that have
    snapshots: these go first."""
    failed = share_instances.c.status == "error_deferred_deleting"
    snapshots = sa.exists().where(
        share_snapshot_instances.c.share_instance_id == share_instances.c.id
    )
    query = sa.select(share_instances.c.id).where(failed, ~snapshots, on_back_ends(service_hosts))
    return list(conn.scalars(query.order_by(share_instances.c.updated_at)))


def fail_deletion(conn: Connection, instance_id: str, reason: str) -> None:
    """The share may be deleted again. A deferred deletion is tried again by itself, and its project
    has nothing to do with it any more: it gets no message."""
    row = _row(conn, instance_id)
    if row is None or row.deletion_deferred_at is None:
        fail(conn, instance_id, "error_deleting", messages.Action.DELETE, reason)
        return
    _LOG.warning("the deferred deletion of share %s failed: %s", row.id, reason)
    _settle(conn, row, instance_id, "error_deferred_deleting")


def fail(
    conn: Connection, instance_id: str, status: str, action: messages.Action, reason: str
) -> None:
    """Set the status after a failure and tell the project why. Does nothing if the instance does
    not exist."""
    row = _row(conn, instance_id)
    if row is not None:
        _settle(conn, row, instance_id, status)
        messages.create(
            conn,
            project_id=row.project_id,
            resource_type="SHARE",
            resource_id=row.id,
            action=action,
            text=reason,
        )


def _select() -> sa.Select[Any]:
    return sa.select(
        *[share_instances.c[name] for name in _COLUMNS],
        availability_zones.c.name.label("availability_zone"),
    ).outerjoin(
        availability_zones, availability_zones.c.id == share_instances.c.availability_zone_id
    )


def _views(conn: Connection, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    locations = export_locations.by_instance(conn, [row["id"] for row in rows])
    for row in rows:
        row["export_locations"] = [location.path for location in locations[row["id"]]]
    return rows


def _release(conn: Connection, row: sa.Row[Any], size: int) -> None:
    """Release GiB of quotas and pool; a negative size claims them regardless of limits, because the
    share already has them. The quotas of a share whose deletion is deferred were given back whole.
    """
    if row.deletion_deferred_at is None:
        quota_usages.release(conn, row.project_id, row.user_id, row.share_type_id, gigabytes=size)
    placement.release(conn, row.host, size)


def _settle(
    conn: Connection, row: sa.Row[Any], instance_id: str, status: str, **changes: Any
) -> None:
    """Set the final status of work; a status that an administrator or a forced deletion has set
    meanwhile stays."""
    if states.may_follow(states.SHARE, row.status, status):
        states.move(conn, states.SHARE, instance_id, status, **changes)


_HINTED = (
    sa.select(shares.c.id, shares.c.metadata)
    .join(share_instances, share_instances.c.share_id == shares.c.id)
    .where(share_instances.c.id == sa.bindparam("instance_id"))
)
_ROW = (
    sa.select(
        shares,
        *[
            share_instances.c[name]
            for name in ("active", "host", "share_server_id", "share_type_id", "status")
        ],
    )
    .join(share_instances, share_instances.c.share_id == shares.c.id)
    .where(share_instances.c.id == sa.bindparam("instance_id"))
    .with_for_update()
)


def _row(conn: Connection, instance_id: str) -> sa.Row[Any] | None:
    return conn.execute(_ROW, {"instance_id": instance_id}).one_or_none()


def _existing(conn: Connection, instance_id: str) -> sa.Row[Any]:
    row = _row(conn, instance_id)
    if row is None:
        raise LookupError(f"share instance {instance_id} is gone")
    return row


def _of_project(project_id: str) -> sa.Select[Any]:
    return sa.select(shares.c.id).where(shares.c.project_id == project_id)


_FILTERS = ("share_id", "host", "status", "share_network_id", "share_server_id", "share_type_id")
_COLUMNS_TO_FIND = {name: share_instances.c[name] for name in _FILTERS}
LISTING = Listing(
    "Share instances",
    lambda _caller, _all_projects: _select(),
    share_instances.c.id,
    conditions={
        **equal(_COLUMNS_TO_FIND),
        "project_id": among(share_instances.c.share_id, _of_project),
        "export_location_id": among(
            share_instances.c.id, partial(export_locations.instances_with, "id")
        ),
        "export_location_path": among(
            share_instances.c.id, partial(export_locations.instances_with, "path")
        ),
    },
    sort_keys=_COLUMNS_TO_FIND
    | {name: share_instances.c[name] for name in ("id", "created_at", "updated_at")},
    view=_views,
)
"""Share instances of all projects, for administrators; found in two statements."""
