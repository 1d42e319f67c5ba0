"""Snapshots of shares: taking, reading, changing their texts, deleting, and reverting a share to
its newest one.

What operations read and write: `share_snapshot_instances`. Making a share from a snapshot:
`share_creation`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import lock_row, utcnow
from abaca.db.tables import share_instances, share_snapshot_instances, share_snapshots
from abaca.db.tables import shares as shares_table
from abaca.domain.capacity import placement, quota_usages
from abaca.domain.rows import states
from abaca.domain.rows.listings import Listing, containing, equal, having_pairs
from abaca.domain.rows.states import Permit
from abaca.domain.shares import shares
from abaca.domain.shares.share_instances import require_not_given_up
from abaca.errors import Conflict, Forbidden, Invalid, Missing, OverQuota, Unprocessable
from abaca.values import Caller

_COLUMNS: dict[str, sa.ColumnElement[Any]] = {
    "name": share_snapshots.c.display_name,
    "display_name": share_snapshots.c.display_name,
    "description": share_snapshots.c.display_description,
    "display_description": share_snapshots.c.display_description,
    "share_id": share_snapshots.c.share_id,
    "size": share_snapshots.c.size,
    "status": share_snapshot_instances.c.status,
    "project_id": share_snapshots.c.project_id,
}
_TEXTS = {
    name: _COLUMNS[name] for name in ("name", "display_name", "description", "display_description")
}
# what was taken over may not be of the size of its share, which may have changed since
_SHARE_SIZE = sa.case(
    (
        share_snapshots.c.size == 0,
        sa.select(shares_table.c.size)
        .where(shares_table.c.id == share_snapshots.c.share_id)
        .scalar_subquery(),
    ),
    else_=share_snapshots.c.size,
).label("share_size")

MANAGED_AT = "__managed_at"
"""The metadata key that says when a snapshot was taken over. Nobody sets or removes it."""


class Held(NamedTuple):
    """A snapshot with its share (as `shares.lock` returns it), both rows locked."""

    snapshot: sa.Row[Any]
    share: sa.Row[Any]


def _select() -> sa.Select[Any]:
    """Without the members of group snapshots: they come and go with those."""
    selected = sa.select(
        share_snapshots,
        share_snapshots.c.display_name.label("name"),
        share_snapshots.c.display_description.label("description"),
        _SHARE_SIZE,
        share_snapshot_instances.c.id.label("instance_id"),
        *[
            share_snapshot_instances.c[name]
            for name in ("share_instance_id", "status", "provider_location")
        ],
    ).join(share_snapshot_instances, share_snapshot_instances.c.snapshot_id == share_snapshots.c.id)
    return selected.where(share_snapshots.c.share_group_snapshot_id.is_(None))


def _visible(caller: Caller, all_projects: bool) -> sa.Select[Any]:
    query = _select()
    if not caller.is_shown_deferred:
        query = query.where(share_snapshots.c.deletion_deferred_at.is_(None))
    return (
        query
        if all_projects and caller.is_admin
        else query.where(share_snapshots.c.project_id == caller.project_id)
    )


LISTING = Listing(
    "Snapshots",
    _visible,
    share_snapshots.c.id,
    conditions={
        **equal(_COLUMNS),
        **containing(_TEXTS),
        "metadata": having_pairs(share_snapshots.c.metadata),
    },
    sort_keys=_COLUMNS
    | {
        name: share_snapshots.c[name]
        for name in ("id", "created_at", "updated_at", "share_proto", "user_id")
    },
)


def create(
    conn: Connection,
    caller: Caller,
    share_id: str,
    *,
    name: str | None = None,
    description: str | None = None,
    metadata: dict[str, str] | None = None,
    force: bool = False,
    quota_defaults: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Store a snapshot in `creating` and have it taken; returns its view. `force`: also for a share
    whose resizing failed.

    Raises Unprocessable without snapshot_support, Invalid in a status that does not permit it,
    OverQuota.
    """
    share = shares.lock(conn, caller, share_id)
    shares.require_not_soft_deleted(share)
    if not share.snapshot_support:
        raise Unprocessable(
            f"Snapshots cannot be created for share '{share_id}' since it does not have that "
            "capability."
        )
    if not (force and states.SHARE.permits(share.status, Permit.FORCED_SNAPSHOT)):
        shares.require_available(share)
    quota_usages.claim(
        conn,
        share.project_id,
        caller.user_id,
        share.share_type_id,
        defaults=quota_defaults,
        snapshots=1,
        snapshot_gigabytes=share.size,
    )
    snapshot_id, instance_id, now = str(uuid4()), str(uuid4()), utcnow()
    conn.execute(
        sa.insert(share_snapshots).values(
            id=snapshot_id,
            project_id=share.project_id,
            user_id=caller.user_id,
            share_id=share_id,
            size=share.size,
            share_proto=share.share_proto,
            display_name=name,
            display_description=description,
            metadata=_with_fixed(metadata or {}, {}),
            created_at=now,
        )
    )
    conn.execute(
        sa.insert(share_snapshot_instances).values(
            id=instance_id,
            snapshot_id=snapshot_id,
            share_instance_id=share.instance_id,
            status="creating",
            created_at=now,
        )
    )
    shares.start(conn, "snapshot_create", share, instance_id)
    return get(conn, caller, snapshot_id)


def get(conn: Connection, caller: Caller, snapshot_id: str) -> dict[str, Any]:
    """One snapshot of the caller's project."""
    row = _row(conn, caller, snapshot_id)
    if row is None:
        raise _missing(snapshot_id)
    return dict(row._mapping)


def update(
    conn: Connection, caller: Caller, snapshot_id: str, changes: dict[str, Any]
) -> dict[str, Any]:
    """Change display_name, display_description."""
    found = get(conn, caller, snapshot_id)
    allowed = {
        name: changes[name] for name in ("display_name", "display_description") if name in changes
    }
    conn.execute(
        sa.update(share_snapshots)
        .where(
            share_snapshots.c.id == snapshot_id,
            share_snapshots.c.project_id == found["project_id"],  # not handed over meanwhile
        )
        .values(updated_at=utcnow(), **allowed)
    )
    return get(conn, caller, snapshot_id)


def change_metadata(
    conn: Connection,
    caller: Caller,
    snapshot_id: str,
    change: Callable[[dict[str, str]], dict[str, str]],
) -> dict[str, str]:
    """Replace the metadata of a snapshot by the result of `change`, with its row locked; returns
    the new metadata."""
    found = get(conn, caller, snapshot_id)
    snapshot = lock_row(conn, share_snapshots, snapshot_id)
    if snapshot is None or snapshot.project_id != found["project_id"]:  # handed over meanwhile
        raise _missing(snapshot_id)
    metadata = _with_fixed(change(snapshot.metadata), snapshot.metadata)
    conn.execute(
        sa.update(share_snapshots)
        .where(share_snapshots.c.id == snapshot_id)
        .values(metadata=metadata, updated_at=utcnow())
    )
    return metadata


def delete(
    conn: Connection, caller: Caller, snapshot_id: str, *, is_deferred: bool = False
) -> None:
    """Delete a snapshot, in the background; `is_deferred`: as of shares. Raises Invalid in a status
    that does not permit it, and while a share is being made from it."""
    held = lock(conn, caller, snapshot_id)
    if not states.SNAPSHOT.permits(held.snapshot.status, Permit.DELETE):
        permitting = ", ".join(states.SNAPSHOT.permitted[Permit.DELETE])
        raise Invalid(
            f"Invalid share snapshot: Share Snapshot status must be one of {permitting}; it is "
            f"{held.snapshot.status}."
        )
    require_not_being_copied(conn, snapshot_id)
    start_deletion(conn, held, is_deferred=is_deferred)


def force_delete(conn: Connection, caller: Caller, snapshot_id: str) -> None:
    """Delete a snapshot whatever its status."""
    held = lock(conn, caller, snapshot_id)
    to = _deleting(held, is_deferred=False)
    if not states.may_follow(states.SNAPSHOT, held.snapshot.status, to):
        states.force(conn, states.SNAPSHOT, held.snapshot.instance_id, "error")
    start_deletion(conn, held)


def reset_status(conn: Connection, caller: Caller, snapshot_id: str, status: str) -> None:
    """The administrator sets a status by hand."""
    states.require_settable(status)
    snapshot = lock(conn, caller, snapshot_id).snapshot
    require_taken_over(snapshot)
    require_not_given_up(f"snapshot {snapshot_id}", snapshot)
    states.force(conn, states.SNAPSHOT, snapshot.instance_id, status)


def revert(
    conn: Connection,
    caller: Caller,
    share_id: str,
    snapshot_id: str,
    quota_defaults: Mapping[str, int] | None = None,
) -> None:
    """Revert a share to its newest snapshot, in the background.

    Raises Invalid if the share cannot be reverted or the snapshot is another's; Conflict for a
    status, rules or a newer snapshot that prevent it, and if the pool has no room; Forbidden if a
    quota would be exceeded.
    """
    share = shares.lock(conn, caller, share_id)
    shares.require_not_soft_deleted(share)
    snapshot = _row(conn, caller, snapshot_id)
    if snapshot is None:
        raise Invalid(_missing(snapshot_id).message)
    if not share.revert_to_snapshot_support:
        raise Invalid(
            f"Share {share_id} may not be reverted to snapshot {snapshot_id}, because the share "
            "does not have that capability."
        )
    if snapshot.share_id != share_id:
        raise Invalid(f"Snapshot {snapshot_id} is not associated with share {share_id}.")
    _require_at_rest(conn, share, snapshot)
    start_reversion(conn, share, snapshot, quota_defaults)


def start_reversion(
    conn: Connection,
    share: sa.Row[Any],
    snapshot: sa.Row[Any],
    quota_defaults: Mapping[str, int] | None = None,
) -> None:
    """Claim what a share (as `shares.lock` returns it) needs for the size of its snapshot, and have
    it reverted."""
    _claim(conn, share, snapshot.size, quota_defaults)
    states.move(conn, states.SHARE, share.instance_id, "reverting")
    states.move(conn, states.SNAPSHOT, snapshot.instance_id, "restoring")
    shares.start(conn, "share_revert", share, snapshot.instance_id, str(snapshot.size))


def _require_at_rest(conn: Connection, share: sa.Row[Any], snapshot: sa.Row[Any]) -> None:
    if share.status != "available":
        raise Conflict(
            f"Share {share.id} is in '{share.status}' state, but it must be in 'available' state "
            "to be reverted to a snapshot."
        )
    if snapshot.status != "available":
        raise Conflict(
            f"Snapshot {snapshot.id} is in '{snapshot.status}' state, but it must be in "
            "'available' state to be restored."
        )
    newest = share_snapshots.c.created_at.desc(), share_snapshots.c.id
    latest = conn.scalar(
        sa.select(share_snapshots.c.id)
        .where(
            share_snapshots.c.share_id == share.id, share_snapshots.c.deletion_deferred_at.is_(None)
        )
        .order_by(*newest)
        .limit(1)
    )
    if latest != snapshot.id:
        raise Conflict(
            f"Snapshot {snapshot.id} may not be restored because it is not the most recent "
            f"snapshot of share {share.id}. "
            f"Currently the latest snapshot is {latest}."
        )
    if share.access_rules_status != "active":
        raise Conflict(
            f"Snapshot {snapshot.id} belongs to a share {share.id} which has access rules that "
            "are not active."
        )


def _claim(
    conn: Connection, share: sa.Row[Any], size: int, quota_defaults: Mapping[str, int] | None
) -> None:
    """Claim what the share needs if it was shrunk since, as `shares.extend` does."""
    more = size - share.size
    if more <= 0:
        return
    try:
        quota_usages.claim(
            conn,
            share.project_id,
            share.user_id,
            share.share_type_id,
            defaults=quota_defaults,
            share_size=size,
            gigabytes=more,
        )
    except OverQuota as over:
        raise Forbidden(over.message) from None
    if not placement.claim_more(conn, share.host, more):
        raise Conflict(
            f"Share {share.id} cannot be reverted: there is no room for the {more} GiB by which "
            "it grows to the size of its snapshot."
        )
    conn.execute(
        sa.update(shares_table).where(shares_table.c.id == share.id).values(growing_to=size)
    )


def start_deletion(conn: Connection, held: Held, *, is_deferred: bool = False) -> None:
    """Have a snapshot deleted. `is_deferred`: it is its project's no longer."""
    if is_deferred and held.snapshot.deletion_deferred_at is None:
        release(conn, held.snapshot, held.share.share_type_id)
        now = utcnow()
        conn.execute(
            sa.update(share_snapshots)
            .where(share_snapshots.c.id == held.snapshot.id)
            .values(deletion_deferred_at=now, updated_at=now)
        )
    to = _deleting(held, is_deferred=is_deferred)
    states.move(conn, states.SNAPSHOT, held.snapshot.instance_id, to)
    shares.start(conn, "snapshot_delete", held.share, held.snapshot.instance_id)


def retry_deletion(conn: Connection, instance_id: str) -> bool:
    """Start the deferred deletion of a snapshot instance again; False if none has failed."""
    held = lock_instance(conn, instance_id)
    if held is None or held.snapshot.status != "error_deferred_deleting":
        return False
    start_deletion(conn, held)
    return True


def release(conn: Connection, snapshot: sa.Row[Any], share_type_id: str) -> None:
    """Release the quotas of a snapshot."""
    quota_usages.release(
        conn,
        snapshot.project_id,
        snapshot.user_id,
        share_type_id,
        snapshots=1,
        snapshot_gigabytes=snapshot.size,
    )


def _deleting(held: Held, *, is_deferred: bool) -> str:
    was_deferred = held.snapshot.deletion_deferred_at is not None
    return "deferred_deleting" if is_deferred or was_deferred else "deleting"


def require_not_being_copied(conn: Connection, snapshot_id: str) -> None:
    """Raises Invalid while a share is being made from the snapshot."""
    being_made = sa.select(shares_table.c.id).join(
        share_instances, share_instances.c.share_id == shares_table.c.id
    )
    share_id = conn.scalar(
        being_made.where(
            shares_table.c.snapshot_id == snapshot_id, share_instances.c.status == "creating"
        ).limit(1)
    )
    if share_id is not None:
        raise Invalid(
            f"Invalid share snapshot: the share {share_id} is still being created from it."
        )


def require_taken_over(snapshot: sa.Row[Any]) -> None:
    """Raises Invalid for one that was to be managed and never was: what its id stands for on the
    back end is not its."""
    if snapshot.size == 0:
        raise Invalid(
            "The snapshot was never taken over from its back end: it can only be unmanaged or "
            "deleted."
        )


def lock_instance(conn: Connection, instance_id: str) -> Held | None:
    """The snapshot with that instance, locked as by `lock`, whoever owns it; None if the instance
    does not exist."""
    table = share_snapshot_instances
    snapshot_id = conn.scalar(sa.select(table.c.snapshot_id).where(table.c.id == instance_id))
    return None if snapshot_id is None else lock(conn, shares.ANYBODY, snapshot_id)


def lock(conn: Connection, caller: Caller, snapshot_id: str) -> Held:
    """A snapshot of the caller's project with its share, by the share instance that the snapshot is
    of."""
    instances = shares.lock_instances(conn, caller, get(conn, caller, snapshot_id)["share_id"])
    snapshot = conn.execute(
        _select().where(share_snapshots.c.id == snapshot_id).with_for_update()
    ).one_or_none()
    if snapshot is None:  # it went while its share's row was waited for
        raise _missing(snapshot_id)
    return Held(
        snapshot,
        next(share for share in instances if share.instance_id == snapshot.share_instance_id),
    )


def _with_fixed(metadata: dict[str, str], old: dict[str, str]) -> dict[str, str]:
    """The metadata, but MANAGED_AT as it was."""
    fixed = {MANAGED_AT: old[MANAGED_AT]} if MANAGED_AT in old else {}
    return {key: value for key, value in metadata.items() if key != MANAGED_AT} | fixed


def _row(conn: Connection, caller: Caller, snapshot_id: str) -> sa.Row[Any] | None:
    return conn.execute(
        _visible(caller, all_projects=True).where(share_snapshots.c.id == snapshot_id)
    ).one_or_none()


def _missing(snapshot_id: str) -> Missing:
    return Missing(f"ShareSnapshotNotFound: Snapshot {snapshot_id} could not be found.")
