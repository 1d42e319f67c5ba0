"""The states of the access rules that a snapshot has of its own: what operations read and write.

Requests about them are in `snapshot_access`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.tables import share_snapshot_access_rules as rules_table
from abaca.db.tables import share_snapshot_instance_access_map as table
from abaca.db.tables import share_snapshot_instances
from abaca.domain.rows import messages, rule_states, states
from abaca.domain.rows.states import Permit
from abaca.domain.shares import export_locations, shares
from abaca.domain.snapshots import snapshots
from abaca.errors import Conflict
from abaca.values import AccessRule, AccessUpdate


def granted(conn: Connection, instance_ids: Sequence[str]) -> dict[str, list[AccessRule]]:
    """Snapshot instance id → the rules of its own to be enforced there, the oldest first."""
    found = defaultdict(list)
    query = (
        sa.select(rules_table, table.c.snapshot_instance_id)
        .join(table, table.c.access_id == rules_table.c.id)
        .where(
            table.c.snapshot_instance_id.in_(instance_ids),
            table.c.state.in_(rule_states.GRANTED),
        )
        .order_by(rules_table.c.created_at, rules_table.c.id)
    )
    for row in conn.execute(query):
        found[row.snapshot_instance_id].append(
            AccessRule(
                id=row.id, access_type=row.access_type, access_to=row.access_to, access_level="ro"
            )
        )
    return found


def begin_update(conn: Connection, share_instance_id: str, instance_id: str) -> bool:
    """Mark queued rules as in progress; False, with nothing to apply, if the snapshot does not
    exist or its data is not there."""
    row = _locked(conn, share_instance_id, instance_id)
    if row is None:
        return False
    if not states.SNAPSHOT.permits(row.status, Permit.HAS_ALL_DATA):
        states.give_up(conn, states.SNAPSHOT_ACCESS_RULE, _on(instance_id))
        _tell(
            conn,
            row,
            f"The snapshot is {row.status}: its access rules could not be changed.",
        )
        return False
    rule_states.begin(conn, states.SNAPSHOT_ACCESS_RULE, _on(instance_id))
    return True


def end_update(
    conn: Connection, share_instance_id: str, instance_id: str, update: AccessUpdate
) -> None:
    """The driver has enforced the rules that are in progress. Those that are denied are deleted.

    `update.rejected`: rule id → why it cannot be enforced; each is reported to the project. Rules
    of the share, which may be among them, have states of their own.
    """
    row = _locked(conn, share_instance_id, instance_id)
    if row is None:
        return
    if update.export_locations is not None:
        export_locations.replace_of_snapshot(conn, instance_id, update.export_locations)
    noun = states.SNAPSHOT_ACCESS_RULE
    for access_id in rule_states.end(conn, noun, _on(instance_id), update.rejected):
        _tell(conn, row, update.rejected[access_id])
    is_left = sa.exists().where(table.c.access_id == rules_table.c.id)
    conn.execute(
        sa.delete(rules_table).where(rules_table.c.snapshot_id == row.snapshot_id, ~is_left)
    )


def fail_update(conn: Connection, share_instance_id: str, instance_id: str, reason: str) -> None:
    """The rules could not be applied: those in progress are in error, and the project is told."""
    row = _locked(conn, share_instance_id, instance_id)
    if row is not None:
        states.give_up(conn, states.SNAPSHOT_ACCESS_RULE, _on(instance_id))
        _tell(conn, row, reason)


def resume_update(conn: Connection, _share_instance_id: str, instance_id: str) -> None:
    """The rules in error, and the denials that failed, are queued again. Raises Conflict if there
    are none."""
    held = snapshots.lock_instance(conn, instance_id)
    rules = states.SNAPSHOT_ACCESS_RULE, _on(instance_id)
    if held is None or not rule_states.queue_again(conn, *rules):
        raise Conflict(
            f"The snapshot instance {instance_id} has no access rules in error any more, so the "
            "operation cannot be resumed."
        )
    start(conn, held)


def start(conn: Connection, held: snapshots.Held) -> None:
    """Have the rules of a snapshot applied."""
    shares.start(conn, "snapshot_access_apply", held.share, held.snapshot.instance_id)


def _locked(conn: Connection, share_instance_id: str, instance_id: str) -> sa.Row[Any] | None:
    """The snapshot instance's row, with snapshot_id and project_id; None if it does not exist. The
    share's row is locked first, as requests do."""
    share = shares.lock_instance(conn, share_instance_id)
    if share is None:
        return None
    return conn.execute(
        sa.select(share_snapshot_instances, sa.literal(share.project_id).label("project_id"))
        .where(share_snapshot_instances.c.id == instance_id)
        .with_for_update()
    ).one_or_none()


def _on(instance_id: str) -> sa.ColumnElement[bool]:
    return table.c.snapshot_instance_id == instance_id


def _tell(conn: Connection, row: sa.Row[Any], reason: str) -> None:
    messages.create(
        conn,
        project_id=row.project_id,
        resource_type="SHARE_SNAPSHOT",
        resource_id=row.snapshot_id,
        action=messages.Action.UPDATE_ACCESS_RULES,
        text=reason,
    )
