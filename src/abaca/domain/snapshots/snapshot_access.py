"""Access rules of snapshots' own: who may mount a snapshot, always to read only. They are stored at
once and applied in the background, all rules of a snapshot together.

Whose rules hold is in the share's `snapshot_inherit_share_access_support`, which comes from its
share type: those of the share (True), those of the snapshot (False), both (null). Their states, and
what operations do with them: `snapshot_access_states`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import dicts, lock_row, utcnow
from abaca.db.tables import (
    share_networks,
    share_snapshot_access_rules,
    share_snapshot_instance_access_map,
    shares,
)
from abaca.domain.rows import rule_states, share_network_lock, states
from abaca.domain.rows.row_limits import NO_LIMITS, RowLimits, require_room, require_room_for_work
from abaca.domain.shares import access_targets
from abaca.domain.snapshots import snapshot_access_states, snapshots
from abaca.domain.snapshots.snapshots import Held
from abaca.errors import Invalid, Missing
from abaca.values import Caller


def allow(
    conn: Connection,
    caller: Caller,
    snapshot_id: str,
    *,
    access_type: str,
    access_to: str,
    limits: RowLimits = NO_LIMITS,
) -> dict[str, Any]:
    """Store a rule in `queued_to_apply` and have it applied; returns its view. Raises Invalid for a
    snapshot that is not available, cannot be mounted or follows its share's rules, for a target
    that is not one or that has a rule already, and while the share network is not active."""
    held = _lock(conn, caller, snapshot_id)
    if held.snapshot.status != "available":
        raise Invalid(
            f"Snapshot {snapshot_id} must be available to get an access rule; it is "
            f"{held.snapshot.status}."
        )
    target = access_targets.normalised(access_type, access_to)
    table = share_snapshot_access_rules
    of_snapshot = table.c.snapshot_id == snapshot_id
    same = table.c.access_to.in_({access_to, *access_targets.spellings(access_type, target)})
    if conn.execute(
        sa.select(table.c.id).where(of_snapshot, table.c.access_type == access_type, same)
    ).first():
        raise Invalid(f"Share snapshot access {access_type}:{access_to} exists.")
    limit = limits.access_rules_per_share
    require_room(conn, "access_rules_per_share", limit, of_snapshot, f"snapshot {snapshot_id}")
    require_room_for_work(conn, held.share.project_id, limits)
    rule_id, now = str(uuid4()), utcnow()
    rule = {
        "id": rule_id,
        "snapshot_id": snapshot_id,
        "access_type": access_type,
        "access_to": target,
        "created_at": now,
    }
    conn.execute(sa.insert(table).values(rule))
    conn.execute(
        sa.insert(share_snapshot_instance_access_map).values(
            id=str(uuid4()),
            snapshot_instance_id=held.snapshot.instance_id,
            access_id=rule_id,
            state="queued_to_apply",
            created_at=now,
        )
    )
    snapshot_access_states.start(conn, held)
    return rule | {"state": "queued_to_apply"}


def deny(conn: Connection, caller: Caller, snapshot_id: str, access_id: str) -> None:
    """Delete a rule, in the background; does nothing for one that is already being deleted. Raises
    Missing if there is no such rule, Invalid if it is another snapshot's."""
    held = _lock(conn, caller, snapshot_id)
    table = share_snapshot_instance_access_map
    rule = conn.execute(
        sa.select(table, share_snapshot_access_rules.c.snapshot_id)
        .join(share_snapshot_access_rules)
        .where(table.c.access_id == access_id)
    ).one_or_none()
    if rule is None or rule.snapshot_id != snapshot_id:
        raise Missing(f"Access rule {access_id} of snapshot {snapshot_id} could not be found.")
    if rule.state not in rule_states.BEING_DENIED:
        states.move(conn, states.SNAPSHOT_ACCESS_RULE, rule.id, "queued_to_deny")
        snapshot_access_states.start(conn, held)


def deny_all(conn: Connection, caller: Caller, snapshot_ids: Collection[str]) -> None:
    """Delete all rules of these snapshots, which the caller holds, in the background."""
    table = share_snapshot_instance_access_map
    rows = conn.execute(
        sa.select(table.c.id, share_snapshot_access_rules.c.snapshot_id)
        .join(share_snapshot_access_rules)
        .where(
            share_snapshot_access_rules.c.snapshot_id.in_(snapshot_ids),
            table.c.state.not_in(rule_states.BEING_DENIED),
        )
    ).all()
    if rows:
        states.move(conn, states.SNAPSHOT_ACCESS_RULE, [row.id for row in rows], "queued_to_deny")
    for snapshot_id in sorted({row.snapshot_id for row in rows}):
        snapshot_access_states.start(conn, snapshots.lock(conn, caller, snapshot_id))


def find(conn: Connection, caller: Caller, snapshot_id: str) -> list[dict[str, Any]]:
    """The rules that a snapshot has of its own, the oldest first. Raises Invalid for one that
    cannot be mounted."""
    snapshot = snapshots.get(conn, caller, snapshot_id)
    _require_mountable(
        conn.execute(sa.select(shares).where(shares.c.id == snapshot["share_id"])).one()
    )
    table, state = share_snapshot_access_rules, share_snapshot_instance_access_map
    query = (
        sa.select(table, rule_states.shown(state.c.state).label("state"))
        .join(state, state.c.access_id == table.c.id)
        .where(table.c.snapshot_id == snapshot_id)
        .order_by(table.c.created_at, table.c.id)
    )
    return dicts(conn.execute(query))


def _lock(conn: Connection, caller: Caller, snapshot_id: str) -> Held:
    """A snapshot that can have rules of its own, locked, on a share network that is active."""
    held = snapshots.lock(conn, caller, snapshot_id)
    _require_mountable(held.share)
    if held.share.snapshot_inherit_share_access_support:
        raise Invalid(
            f"The snapshots of share {held.share.id} have the access rules of their share "
            "(snapshot_inherit_share_access_support=True): change those instead."
        )
    network = lock_row(conn, share_networks, held.share.share_network_id or "")
    if network is not None:
        share_network_lock.require_active(network)
    return held


def _require_mountable(share: sa.Row[Any]) -> None:
    if not share.mount_snapshot_support:
        raise Invalid(
            f"Cannot control access to the snapshots of share {share.id} since it does not "
            "support mounting snapshots."
        )
