"""Shares: reading, renaming, deleting, resizing. Creating, with placement: `share_creation`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4
from zlib import crc32

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import dicts, lock_row, utcnow
from abaca.db.tables import (
    share_backups,
    share_instances,
    share_networks,
    share_snapshot_instances,
    share_snapshots,
    shares,
)
from abaca.domain.capacity import placement, quota_usages
from abaca.domain.rows import listings, messages, states
from abaca.domain.rows.states import Permit
from abaca.domain.share_servers import server_hosts, share_servers
from abaca.domain.share_types import share_types as share_types_of
from abaca.domain.shares import (
    affinity,
    export_locations,
    resource_lock_checks,
    share_membership,
    share_offers,
    share_queries,
    share_sizes,
)
from abaca.domain.shares.share_instances import IS_ACTIVE, force_status
from abaca.domain.shares.share_instances import remove as remove_instance
from abaca.domain.shares.share_queries import Search, is_by_network
from abaca.errors import Forbidden, Invalid, Missing, OverQuota, Refused
from abaca.values import Caller, Host, Page
from abaca.workflow.queue import LANES, Work, enqueue

ANYBODY = Caller(user_id="", project_id="", roles=("admin",), is_admin=True)
"""Who acts where nobody asks: work, and what is due."""

_LOCKED_COLUMNS = (
    "active",
    "status",
    "host",
    "share_network_id",
    "share_server_id",
    "share_type_id",
    "access_rules_status",
)


_OWNERS_COLUMNS = (
    "id",
    "project_id",
    "is_public",
    "scheduled_to_be_deleted_at",
    "deletion_deferred_at",
)


def get(
    conn: Connection, caller: Caller, share_id: str, *, with_export_locations: bool = False
) -> dict[str, Any]:
    """One share: the caller's own, a public one, or any for an administrator."""
    query = share_queries.SHARE[caller.is_admin, caller.is_shown_deferred]
    rows = dicts(conn.execute(query, {"share_id": share_id, "project_id": caller.project_id}))
    if not rows:
        raise Missing(f"Share {share_id} could not be found.")
    return _views(conn, rows, with_export_locations)[0]


def get_version(conn: Connection, caller: Caller, share_id: str) -> tuple[str, tuple[Any, ...]]:
    """Id and version of the share that `get` returns; `with_ids` returns the rest."""
    query = share_queries.VERSION_OF_SHARE[caller.is_admin, caller.is_shown_deferred]
    row = query.first(conn, {"share_id": share_id, "project_id": caller.project_id})
    if row is None:
        raise Missing(f"Share {share_id} could not be found.")
    return row[0], tuple(row[1:])


def find(
    conn: Connection,
    caller: Caller,
    filters: dict[str, Any],
    page: Page,
    all_projects: bool = False,
    *,
    with_export_locations: bool = False,
) -> list[dict[str, Any]]:
    """Shares, newest first unless sorted otherwise, in one statement (two with export locations).

    `filters`: fields of the view (text), is_public (bool: public ones of other projects too),
    is_soft_deleted (bool, default False), `name~`, `description~`, metadata and extra_specs (dict),
    export_location_id, export_location_path, share_group_id. Raises Invalid for an unknown sort
    key.
    """
    found = Search(caller, filters, all_projects).page(conn, page)
    return _views(conn, dicts(found), with_export_locations)


def following(
    page: Page, filters: dict[str, Any], count: int, last: Sequence[tuple[datetime, str]]
) -> Page | None:
    """As `listings.following`, after a page of `find` or `find_versions`."""
    return listings.following(page, count, [] if is_by_network(page, filters) else last)


def find_versions(
    conn: Connection,
    caller: Caller,
    filters: dict[str, Any],
    page: Page,
    all_projects: bool = False,
) -> Sequence[Sequence[Any]]:
    """The same shares as `find`, as ids with versions, in one statement. `with_ids` returns the
    rest.

    A version ends with the time at which the share was created.
    """
    return Search(caller, filters, all_projects).versions(conn, page)


def with_ids(conn: Connection, ids: Sequence[str]) -> list[dict[str, Any]]:
    """The views of these shares, unordered, each with its `version`; shares that no longer exist
    are left out."""
    rows = dicts(conn.execute(share_queries.WITH_IDS, {"ids": ids}))
    for row in rows:
        row["version"] = tuple(row[name] for name in share_queries.VERSION)
    return rows


def count(
    conn: Connection, caller: Caller, filters: dict[str, Any], all_projects: bool = False
) -> int:
    """How many shares `find` returns without a page."""
    return Search(caller, filters, all_projects).number(conn)


def update(
    conn: Connection, caller: Caller, share_id: str, changes: dict[str, Any]
) -> dict[str, Any]:
    """Change display_name, display_description, is_public."""
    share = require_own(conn, caller, share_id)
    require_not_soft_deleted(share)
    allowed = {
        name: changes[name]
        for name in ("display_name", "display_description", "is_public")
        if name in changes
    }
    still = (shares.c.id == share_id) & (shares.c.project_id == share.project_id)
    changed = conn.execute(sa.update(shares).where(still).values(updated_at=utcnow(), **allowed))
    if not changed.rowcount:  # it went, or was handed over, while its row was waited for
        raise Missing(f"Share {share_id} could not be found.")
    return get(conn, caller, share_id)


def delete(
    conn: Connection,
    caller: Caller,
    share_id: str,
    group_id: str | None = None,
    *,
    is_deferred: bool = False,
) -> None:
    """Delete a share with its data and rules, in the background; at once if it was never placed on
    a pool. `group_id`: of the share group that it is in, which must be named.

    `is_deferred`: its project has its quota back and no longer sees the share from now on; what
    fails is tried again until it is gone. So it is, too, when deferred deletions of its snapshots
    are not done: the share can only go after them.
    """
    instances = lock_instances(conn, caller, share_id)
    share = instances[0]
    share_membership.require_named(share, group_id)
    require_status(share, Permit.DELETE)
    outlives_snapshots = require_no_snapshots(conn, share, but_deferred=True)
    is_deferred = is_deferred or outlives_snapshots or share.deletion_deferred_at is not None
    require_no_backups(conn, share)
    resource_lock_checks.require_share_deletable(conn, share_id)
    if is_deferred and share.deletion_deferred_at is None:
        _defer_deletion(conn, share)
    _start_deletion(conn, instances, "deferred_deleting" if is_deferred else "deleting")


def force_delete(conn: Connection, caller: Caller, share_id: str) -> None:
    """Delete a share whatever its status, unless it has snapshots or backups, or is locked."""
    instances = lock_instances(conn, caller, share_id)
    require_no_snapshots(conn, instances[0])
    require_no_backups(conn, instances[0])
    resource_lock_checks.require_share_deletable(conn, share_id)
    _start_deletion(conn, instances, _deleting(instances[0]))


def force_delete_instance(conn: Connection, instance_id: str) -> None:
    """Delete one instance of a share whatever its status, for administrators; the share goes with
    its last one.

    Raises Forbidden, as for the share, if it has snapshots or backups or is locked; and for the
    active instance while there are others.
    """
    share = lock_instance(conn, instance_id)
    if share is None:
        raise Missing(f"Share instance {instance_id} could not be found.")
    others = sa.select(share_instances.c.id).where(
        share_instances.c.share_id == share.id, share_instances.c.id != instance_id
    )
    if share.active and conn.scalar(others.limit(1)) is not None:
        raise Forbidden(
            f"Share instance {instance_id} is the active one of share {share.id}, which has "
            "others: delete those first."
        )
    require_no_snapshots(conn, share)
    require_no_backups(conn, share)
    resource_lock_checks.require_share_deletable(conn, share.id)
    _start_deletion(conn, [share], _deleting(share))


def reset_status(conn: Connection, caller: Caller, share_id: str, status: str) -> None:
    """The administrator sets a status by hand."""
    share = lock(conn, caller, share_id)
    require_not_soft_deleted(share)
    force_status(conn, share, share.instance_id, status)


def reset_task_state(
    conn: Connection, caller: Caller, share_id: str, task_state: str | None
) -> None:
    """The administrator sets a task state by hand."""
    require_not_soft_deleted(require_own(conn, caller, share_id))
    states.set_task_state(conn, shares, share_id, task_state)


def extend(
    conn: Connection,
    caller: Caller,
    share_id: str,
    new_size: int,
    quota_defaults: Mapping[str, int] | None = None,
    *,
    forced: bool = False,
) -> None:
    """Grow a share to `new_size` GiB, in the background. Raises Forbidden if a quota would be
    exceeded.

    The room in the pool is claimed at once, with `forced` even if there is too little. Without room
    the share stays as it is and its project gets a message: clients would take an error for
    temporary, and retry for minutes.
    """
    share = lock(conn, caller, share_id)
    require_available(share)
    if new_size <= share.size:
        raise Invalid(
            "Invalid input received: New size for extend must be greater than current size. "
            f"(current: {share.size}, extended: {new_size})."
        )
    _require_permitted(conn, share, new_size, extended_by_administrator=caller.is_admin)
    if not start_extension(conn, share, new_size, quota_defaults, forced=forced):
        messages.create(
            conn,
            project_id=share.project_id,
            resource_type="SHARE",
            resource_id=share_id,
            action=messages.Action.EXTEND,
            detail=messages.Detail.FILTER_CAPACITY,
            text=f"The share keeps its {share.size} GiB: there is no room to extend it to "
            f"{new_size} GiB.",
        )


def start_extension(
    conn: Connection,
    share: sa.Row[Any],
    new_size: int,
    quota_defaults: Mapping[str, int] | None = None,
    *,
    forced: bool = False,
) -> bool:
    """Claim what a share (as `lock` returns it) needs to grow, and have it grown. Returns False,
    and changes nothing, if its pool has no room."""
    more = new_size - (share.growing_to or share.size)
    if not forced and not placement.claim_more(conn, share.host, more):
        return False
    scope = (share.project_id, share.user_id, share.share_type_id)
    try:
        quota_usages.claim(
            conn, *scope, defaults=quota_defaults, share_size=new_size, gigabytes=more
        )
    except OverQuota as over:
        raise Forbidden(over.message) from None
    if forced:
        placement.release(conn, share.host, -more)
    conn.execute(sa.update(shares).where(shares.c.id == share.id).values(growing_to=new_size))
    states.move(conn, states.SHARE, share.instance_id, "extending")
    start(conn, "share_extend", share, str(new_size))
    return True


def shrink(conn: Connection, caller: Caller, share_id: str, new_size: int) -> None:
    """Shrink a share to `new_size` GiB, in the background, where it is refused if the share holds
    more."""
    share = lock(conn, caller, share_id)
    require_available(share)
    if not 0 < new_size < share.size:
        raise Invalid(
            "Invalid input received: New size for shrink must be less than current size and "
            "greater than 0 "
            f"(current: {share.size}, new: {new_size})."
        )
    _require_permitted(conn, share, new_size)
    states.move(conn, states.SHARE, share.instance_id, "shrinking")
    start(conn, "share_shrink", share, str(new_size))


def _require_permitted(
    conn: Connection, share: sa.Row[Any], new_size: int, *, extended_by_administrator: bool = False
) -> None:
    """Raises Invalid if the type of a share (as `lock` returns it) does not permit that size."""
    specs = share_types_of.specs_of(conn, share.share_type_id)
    if complaint := share_sizes.complaint(
        new_size, specs, extended_by_administrator=extended_by_administrator
    ):
        raise Invalid(f"Invalid input received: {complaint}")


def lock(conn: Connection, caller: Caller, share_id: str) -> sa.Row[Any]:
    """The share with its active instance (`instance_id`, `status`, `host`, …), locked as by
    `lock_instances`."""
    return lock_instances(conn, caller, share_id)[0]


def lock_instance(conn: Connection, instance_id: str) -> sa.Row[Any] | None:
    """The share with that instance, locked as by `lock_instances`, whoever owns it; None if the
    instance does not exist."""
    share_id = conn.scalar(
        sa.select(share_instances.c.share_id).where(share_instances.c.id == instance_id)
    )
    held = lock_instances(conn, ANYBODY, share_id) if share_id else []
    return next((instance for instance in held if instance.instance_id == instance_id), None)


_TO_LOCK = (
    sa.select(share_instances.c.share_network_id, shares.c.metadata)
    .join(shares, shares.c.id == share_instances.c.share_id)
    .where(shares.c.id == sa.bindparam("share_id"), IS_ACTIVE)
)


def lock_instances(conn: Connection, caller: Caller, share_id: str) -> Sequence[sa.Row[Any]]:
    """The share once with each of its instances, the active one first, with all their rows and that
    of their network locked, and those of the shares that it has scheduler hints in common with.

    Only for the owner's project and administrators.
    """
    require_own(conn, caller, share_id)
    network_id, metadata = conn.execute(_TO_LOCK, {"share_id": share_id}).one_or_none() or (
        None,
        {},
    )
    if network_id is not None:
        lock_row(conn, share_networks, network_id)
    affinity.lock_with_others(conn, share_id, metadata)
    locked = conn.execute(
        sa.select(
            shares,
            share_instances.c.id.label("instance_id"),
            *[share_instances.c[name] for name in _LOCKED_COLUMNS],
        )
        .join(share_instances, share_instances.c.share_id == shares.c.id)
        .where(shares.c.id == share_id)
        .order_by(
            share_instances.c.active.is_(None), share_instances.c.created_at, share_instances.c.id
        )
        .with_for_update()
    ).all()
    # it may have gone, or been handed over, while its row was waited for
    _require_owner(caller, share_id, locked[0] if locked else None)
    return locked


def start(conn: Connection, workflow: str, share: sa.Row[Any], *args: str) -> None:
    """Enqueue work on a share (as `lock` returns it) on its host: `workflow(instance_id,
    *args)`."""
    start_on(
        conn,
        workflow,
        share.instance_id,
        share.host,
        share.share_server_id,
        share.project_id,
        *args,
    )


def start_on(
    conn: Connection,
    workflow: str,
    instance_id: str,
    host: str,
    share_server_id: str | None,
    project_id: str,
    *args: str,
) -> None:
    """Enqueue work on a share instance, or on a share group, for the worker that serves
    host@backend#pool, in its lane of its share server."""
    if share_server_id is not None:
        worker_host = server_hosts.queues(conn, [share_server_id])[share_server_id]
    else:
        service = Host.parse(host).service
        worker_host = share_servers.worker_hosts(conn, {service})[service]
    work_id = f"{workflow}:{instance_id}:{uuid4()}"
    key = f"server:{share_server_id or instance_id}:{crc32(instance_id.encode()) % LANES}"
    enqueue(
        conn,
        Work(
            name=workflow,
            worker_host=worker_host,
            project_id=project_id,
            id=work_id,
            key=key,
            args=(instance_id, *args),
        ),
    )


def require_no_snapshots(
    conn: Connection, share: sa.Row[Any], *, but_deferred: bool = False
) -> bool:
    """Raises Forbidden for a share (as `lock` returns it) with snapshots, or with members of group
    snapshots. `but_deferred`: those whose deletion is deferred are not counted; returns whether
    there are any."""
    deferred_at = share_snapshots.c.deletion_deferred_at
    member_of = share_snapshots.c.share_group_snapshot_id
    there, members, deferred = conn.execute(
        sa.select(sa.func.count(), sa.func.count(member_of), sa.func.count(deferred_at)).where(
            share_snapshots.c.share_id == share.id
        )
    ).one()
    if dependent := there - deferred if but_deferred else there:
        what = "share group snapshot members" if members == dependent else "snapshots"
        raise Forbidden(f"Invalid share: Share still has {dependent} dependent {what}.")
    return bool(deferred)


def require_snapshots_gone(conn: Connection, instance_id: str) -> None:
    """Raises Refused while there are snapshots of a share instance."""
    of_instance = share_snapshot_instances.c.share_instance_id == instance_id
    left = conn.scalar(sa.select(sa.func.count()).where(of_instance))
    if left:
        raise Refused(f"{left} snapshots of the share are still there.", is_public=True)


def require_no_backups(conn: Connection, share: sa.Row[Any]) -> None:
    """Raises Forbidden for a share (as `lock` returns it) with backups."""
    if dependent := conn.scalar(
        sa.select(sa.func.count()).where(share_backups.c.share_id == share.id)
    ):
        raise Forbidden(f"Invalid share: Share still has {dependent} dependent backups.")


def retry_deletion(conn: Connection, instance_id: str) -> bool:
    """Start the deferred deletion of a share instance again; False if none has failed."""
    share = lock_instance(conn, instance_id)
    if share is None or share.status != "error_deferred_deleting":
        return False
    _start_deletion(conn, [share], "deferred_deleting")
    return True


def _defer_deletion(conn: Connection, share: sa.Row[Any]) -> None:
    """The share is its project's no longer: neither in its quotas, nor in a share group, nor soft-
    deleted, which would keep it from being unmanaged."""
    gigabytes = share.growing_to or share.size
    scope = (share.project_id, share.user_id, share.share_type_id)
    quota_usages.release(conn, *scope, shares=1, gigabytes=gigabytes)
    now = utcnow()
    conn.execute(
        sa.update(shares)
        .where(shares.c.id == share.id)
        .values(
            deletion_deferred_at=now,
            share_group_id=None,
            scheduled_to_be_deleted_at=None,
            updated_at=now,
        )
    )


def _deleting(share: sa.Row[Any]) -> str:
    return "deleting" if share.deletion_deferred_at is None else "deferred_deleting"


def _start_deletion(conn: Connection, instances: Sequence[sa.Row[Any]], status: str) -> None:
    """Have these instances of a share deleted, whatever their status, which becomes `status`; at
    once if nothing can be on a back end."""
    for instance in instances:
        if not is_placed(instance):
            remove_instance(conn, instance.instance_id)
            continue
        if instance.status == share_offers.STATUS:
            share_offers.withdraw(conn, instance.id)
        if not states.may_follow(states.SHARE, instance.status, status):
            states.force(conn, states.SHARE, instance.instance_id, "error")
        states.move(conn, states.SHARE, instance.instance_id, status)
        start(conn, "share_delete", instance)


def is_of_project(caller: Caller) -> sa.ColumnElement[bool]:
    """SQL condition: the share is the caller's project's, and will be: its deletion is not
    deferred."""
    return (shares.c.project_id == caller.project_id) & shares.c.deletion_deferred_at.is_(None)


def require_own(conn: Connection, caller: Caller, share_id: str) -> sa.Row[Any]:
    """The share's row. Raises Missing unless it is of the caller's project, or the caller an
    administrator; Forbidden if the caller sees it because it is public."""
    columns = [shares.c[name] for name in _OWNERS_COLUMNS]
    share = conn.execute(sa.select(*columns).where(shares.c.id == share_id)).one_or_none()
    return _require_owner(caller, share_id, share)


def _require_owner(caller: Caller, share_id: str, share: sa.Row[Any] | None) -> sa.Row[Any]:
    """The row of a share, if the caller owns it; raises as `require_own`. To others than
    administrators one whose deletion is deferred is gone."""
    if share is not None and share.deletion_deferred_at is not None and not caller.is_admin:
        share = None
    if share is not None and (caller.is_admin or share.project_id == caller.project_id):
        return share
    if share is not None and share.is_public:
        raise Forbidden(f"Share {share_id} belongs to another project.")
    raise Missing(f"Share {share_id} could not be found.")


def require_status(share: sa.Row[Any], what: Permit) -> None:
    """Raises Forbidden unless the status of a share (as `lock` returns it) permits the action."""
    if not states.SHARE.permits(share.status, what):
        permitting = ", ".join(states.SHARE.permitted[what])
        raise Forbidden(
            f"Invalid share: share {share.id} is {share.status}; its status must be one of "
            f"{permitting}."
        )


def require_not_soft_deleted(share: sa.Row[Any]) -> None:
    """Raises Forbidden for a share (as `lock` or `require_own` returns it) that is soft-deleted: it
    can only be restored or deleted."""
    if share.scheduled_to_be_deleted_at is not None:
        raise Forbidden(f"Share {share.id} has been soft-deleted; restore it first.")


def is_placed(share: sa.Row[Any]) -> bool:
    """Whether there may be anything of the share (as `lock` returns it) on a back end: it has a
    pool, and its server was or is to be set up."""
    return share.host is not None and (
        share.share_server_id is not None or share.share_network_id is None
    )


def require_available(share: sa.Row[Any], *, or_in: str = "available") -> None:
    """Raises Invalid unless the share (as `lock` returns it) is available, or in the status
    `or_in`, and not only by an administrator's reset; Forbidden if it is soft-deleted."""
    require_not_soft_deleted(share)
    if share.status not in ("available", or_in):
        raise Invalid(f"Invalid share: share {share.id} must be available, it is {share.status}.")
    if not is_placed(share):
        raise Invalid(
            f"Invalid share: share {share.id} was never created on a back end; it can only be "
            "deleted."
        )


def _views(
    conn: Connection, rows: list[dict[str, Any]], with_export_locations: bool
) -> list[dict[str, Any]]:
    if with_export_locations:
        locations = export_locations.by_instance(conn, [row["instance_id"] for row in rows])
        for row in rows:
            # Shown to whoever is shown the share. Those for administrators only are in the list of
            # its export locations.
            row["export_locations"] = [
                location.path
                for location in locations[row["instance_id"]]
                if not location.is_admin_only
            ]
    return rows
