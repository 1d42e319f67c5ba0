"""The states of access rules on each share instance: what operations read and write, and what
follows for rule and share.

Requests about rules are in `access_rules`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.tables import share_access_rules, share_instances
from abaca.db.tables import share_instance_access_map as table
from abaca.db.tables import shares as shares_table
from abaca.domain.rows import messages, rule_states, states
from abaca.domain.rows.states import Permit
from abaca.domain.shares import export_locations, shares
from abaca.domain.shares import share_instances as instances
from abaca.values import AccessRule, AccessUpdate

_INSTANCES: sa.Select[Any] = sa.select(
    *[shares_table.c[name] for name in ("id", "project_id")],
    share_instances.c.id.label("instance_id"),
    *[share_instances.c[name] for name in ("active", "status", "host", "share_server_id")],
).join(share_instances, share_instances.c.share_id == shares_table.c.id)

_of_rule = (
    sa.select(table.c.state)
    .where(table.c.access_id == share_access_rules.c.id)
    .correlate(share_access_rules)
)
_rank = sa.case(
    {state: rank for rank, state in enumerate(rule_states.WORST_FIRST)}, value=table.c.state
)
_worst = _of_rule.with_only_columns(rule_states.shown(table.c.state)).order_by(_rank)
STATE = _worst.limit(1).scalar_subquery()
"""SQL: the state of an access rule, which is active once it is so on every instance of its
share."""

_last_move = _of_rule.with_only_columns(sa.func.max(table.c.updated_at)).scalar_subquery()
_own = share_access_rules.c.updated_at
UPDATED_AT = sa.case((_own > _last_move, _own), else_=sa.func.coalesce(_last_move, _own))
"""SQL: when an access rule, or its state on an instance, changed last."""


def granted(conn: Connection, instance_ids: Sequence[str]) -> dict[str, list[AccessRule]]:
    """Share instance id → the rules to be enforced there, the oldest first."""
    rules = defaultdict(list)
    query = (
        sa.select(share_access_rules, table.c.share_instance_id)
        .join(table, table.c.access_id == share_access_rules.c.id)
        .where(table.c.share_instance_id.in_(instance_ids), table.c.state.in_(rule_states.GRANTED))
        .order_by(share_access_rules.c.created_at, share_access_rules.c.id)
    )
    for row in conn.execute(query):
        rule = AccessRule(
            id=row.id,
            access_type=row.access_type,
            access_to=row.access_to,
            access_level=row.access_level,
        )
        rules[row.share_instance_id].append(rule)
    return rules


def granted_to(conn: Connection, instance_id: str) -> list[AccessRule]:
    """The rules to be enforced on one share instance, the oldest first."""
    return granted(conn, [instance_id]).get(instance_id, [])


def begin_update(conn: Connection, instance_id: str) -> bool:
    """Mark queued rules as in progress; False, with nothing to apply, if the instance does not
    exist or is being deleted."""
    share = _locked(conn, instance_id)
    if share is None:
        return False
    if not states.SHARE.permits(share.status, Permit.HAS_RULES_APPLIED):
        states.give_up(conn, states.ACCESS_RULE, _on(instance_id))
        _settle(conn, share)
        return False
    rule_states.begin(conn, states.ACCESS_RULE, _on(instance_id))
    return True


def end_update(conn: Connection, instance_id: str, update: AccessUpdate) -> None:
    """The driver has enforced the rules that are in progress. A rule that is denied on every
    instance is deleted.

    `update.rejected`: rule id → why it cannot be enforced; each is reported to the project.
    """
    share = _locked(conn, instance_id)
    if share is None:
        return
    if update.export_locations is not None:
        export_locations.replace(conn, instance_id, update.export_locations)
        instances.show_change(conn, [share.id])
    for access_id in rule_states.end(conn, states.ACCESS_RULE, _on(instance_id), update.rejected):
        _tell(conn, share.project_id, share.id, update.rejected[access_id])
    instances.remove_rules_without_instance(conn, share.id)
    _settle(conn, share)


def fail_update(conn: Connection, instance_id: str, reason: str) -> None:
    """The rules could not be applied: those in progress are set to error, and the project gets a
    message."""
    share = _locked(conn, instance_id)
    if share is None:
        return
    states.give_up(conn, states.ACCESS_RULE, _on(instance_id))
    _tell(conn, share.project_id, share.id, reason)
    # not as the rules say: a share without any may have been left on subnets that were not chosen
    set_status(conn, [share], "error")


def fail_all(conn: Connection, instance_ids: Sequence[str]) -> None:
    """Set all rules of these share instances to error: their server's networks could not be
    changed."""
    held = _INSTANCES.where(share_instances.c.id.in_(instance_ids)).order_by(share_instances.c.id)
    found = conn.execute(held.with_for_update(of=share_instances)).all()
    here = table.c.share_instance_id.in_([row.instance_id for row in found])
    states.give_up(conn, states.ACCESS_RULE, here)
    rules = conn.execute(sa.select(table).where(here)).all()
    active = [rule.id for rule in rules if rule.state == "active"]
    states.move(conn, states.ACCESS_RULE, active, "error")
    concerned = {rule.share_instance_id for rule in rules}
    set_status(conn, [row for row in found if row.instance_id in concerned], "error")


def apply_again(conn: Connection, of: sa.ColumnElement[bool]) -> None:
    """Apply the rules in error of those share instances again, and deny those whose denial
    failed."""
    found = conn.execute(
        _INSTANCES.where(of, share_instances.c.access_rules_status == "error")
    ).all()
    here = table.c.share_instance_id.in_([row.instance_id for row in found])
    rule_states.queue_again(conn, states.ACCESS_RULE, here)
    set_status(conn, found, "syncing")
    for row in found:
        shares.start(conn, "access_apply", row)


def apply_all_again(conn: Connection, rows: Sequence[sa.Row[Any]]) -> None:
    """Apply all rules of these share instances (as `shares.lock` returns them) again, and where
    they are exported."""
    here = table.c.share_instance_id.in_([row.instance_id for row in rows])
    settled = conn.scalars(
        sa.select(table.c.id).where(here, table.c.state.in_(rule_states.SETTLED))
    )
    states.move(conn, states.ACCESS_RULE, list(settled), "queued_to_apply")
    set_status(conn, rows, "syncing")
    for row in rows:
        shares.start(conn, "access_apply", row)


def apply_choices_again(conn: Connection, share_server_id: str) -> None:
    """Do so for the shares of a server that are exported on chosen subnets, after its subnets
    changed."""
    bound = (share_instances.c.share_server_id == share_server_id) & (
        shares_table.c.export_choice.is_not(None)
    )
    rows = conn.execute(_INSTANCES.where(bound).order_by(share_instances.c.id)).all()
    apply_all_again(
        conn,
        [row for row in rows if states.SHARE.permits(row.status, Permit.HAS_RULES_APPLIED)],
    )


def set_status(conn: Connection, rows: Sequence[sa.Row[Any]], status: str) -> None:
    """Set the access_rules_status of share instances, as `shares.lock` returns them."""
    states.move(conn, states.ACCESS_RULES, [row.instance_id for row in rows], status)
    instances.show_change(conn, [row.id for row in rows if not row.active])


# -------------------------------------------------------------------------------------------------


def _locked(conn: Connection, instance_id: str) -> sa.Row[Any] | None:
    """Share and instance, both locked: requests and work that change the states of rules hold both.

    Two instances that end their updates at once wait for each other at the share, so the last one
    sees that a rule is to be deleted.
    """
    return conn.execute(
        _INSTANCES.where(share_instances.c.id == instance_id).with_for_update()
    ).one_or_none()


def _settle(conn: Connection, share: sa.Row[Any]) -> None:
    """Derive the instance's access_rules_status from the states of its rules."""
    found = set(
        conn.scalars(sa.select(table.c.state).where(table.c.share_instance_id == share.instance_id))
    )
    set_status(
        conn,
        [share],
        "syncing"
        if found & set(rule_states.PENDING)
        else "error"
        if found & set(rule_states.FAILED)
        else "active",
    )


def _on(instance_id: str) -> sa.ColumnElement[bool]:
    return table.c.share_instance_id == instance_id


def _tell(conn: Connection, project_id: str, share_id: str, reason: str) -> None:
    messages.create(
        conn,
        project_id=project_id,
        resource_type="SHARE",
        resource_id=share_id,
        action=messages.Action.UPDATE_ACCESS_RULES,
        text=reason,
    )
