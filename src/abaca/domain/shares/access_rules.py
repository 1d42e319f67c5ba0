"""Access rules: who may use a share. They are stored at once and applied in the background, all
rules of a share instance together.

Their states, and what operations do with them: `access_rule_states`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import utcnow
from abaca.db.tables import share_access_rules, share_instance_access_map, share_networks
from abaca.db.tables import shares as shares_table
from abaca.domain.rows import rule_states, share_network_lock, states
from abaca.domain.rows.listings import Listing, equal, having_pairs
from abaca.domain.rows.row_limits import NO_LIMITS, RowLimits, require_room, require_room_for_work
from abaca.domain.rows.states import Permit
from abaca.domain.shares import (
    access_rule_states,
    access_targets,
    resource_lock_checks,
    resource_locks,
    shares,
)
from abaca.errors import Invalid, Missing
from abaca.values import Caller, Page

LEVELS = ("rw", "ro")
_FILTERS = ("access_type", "access_to", "access_level", "access_key", "state")
_HIDDEN = "******"


def allow(
    conn: Connection,
    caller: Caller,
    share_id: str,
    *,
    access_type: str,
    access_to: str,
    access_level: str | None,
    metadata: dict[str, str] | None = None,
    locks: Collection[str] = (),
    lock_reason: str | None = None,
    limits: RowLimits = NO_LIMITS,
) -> dict[str, Any]:
    """Store a rule in `queued_to_apply` and have it applied; returns its view. `locks`: actions
    that it is locked against from the beginning."""
    instances = require_ready(conn, shares.lock_instances(conn, caller, share_id))
    share = instances[0]
    target = access_targets.normalised(access_type, access_to)
    if access_level not in (*LEVELS, None):
        raise Invalid(f"Invalid access rule: Invalid share access level: {access_level}.")
    table = share_access_rules
    same = (table.c.share_id == share_id) & (table.c.access_type == access_type)
    if conn.execute(
        sa.select(table.c.id).where(
            same, table.c.access_to.in_({access_to, *access_targets.spellings(access_type, target)})
        )
    ).first():
        raise Invalid(f"Share access {access_type}:{access_to} exists.")
    require_room(
        conn,
        "access_rules_per_share",
        limits.access_rules_per_share,
        table.c.share_id == share_id,
        f"share {share_id}",
    )
    require_room_for_work(conn, share.project_id, limits)
    rule_id = str(uuid4())
    conn.execute(
        sa.insert(table).values(
            id=rule_id,
            share_id=share_id,
            access_type=access_type,
            access_to=target,
            access_level=access_level or "rw",
            metadata=metadata or {},
            created_at=utcnow(),
        )
    )
    state = {"access_id": rule_id, "state": "queued_to_apply", "created_at": utcnow()}
    ids = [
        {"id": str(uuid4()), "share_instance_id": instance.instance_id} for instance in instances
    ]
    conn.execute(sa.insert(share_instance_access_map), [state | each for each in ids])
    resource_locks.restrict_rule(conn, caller, share, rule_id, locks, lock_reason, limits)
    _start(conn, instances)
    return get(conn, caller, rule_id)


def deny(
    conn: Connection, caller: Caller, share_id: str, access_id: str, *, unrestrict: bool = False
) -> None:
    """Delete a rule, in the background; does nothing for one that is already being deleted. Raises
    Forbidden if it is locked, unless the caller overrides that by `unrestrict` and may."""
    instances = require_ready(conn, shares.lock_instances(conn, caller, share_id))
    if (
        conn.scalar(
            sa.select(share_access_rules.c.share_id).where(share_access_rules.c.id == access_id)
        )
        != share_id
    ):
        raise Missing(f"Access rule {access_id} could not be found.")
    left = [row for row in _states(conn, access_id) if row.state not in rule_states.BEING_DENIED]
    if not left:
        return
    resource_lock_checks.require_rule_deletable(conn, caller, access_id, unrestrict=unrestrict)
    states.move(conn, states.ACCESS_RULE, [row.id for row in left], "queued_to_deny")
    on = {row.share_instance_id for row in left}
    _start(conn, [instance for instance in instances if instance.instance_id in on])


def deny_all(conn: Connection, instances: Sequence[sa.Row[Any]]) -> None:
    """Delete all rules of a share in the background, whoever has locked them. `instances`: all of
    the share, as `shares.lock_instances` returns them."""
    table = share_instance_access_map
    left = conn.scalars(
        sa.select(table.c.id).where(
            table.c.share_instance_id.in_([instance.instance_id for instance in instances]),
            table.c.state.not_in(rule_states.BEING_DENIED),
        )
    ).all()
    if left:
        states.move(conn, states.ACCESS_RULE, left, "queued_to_deny")
        _start(conn, instances)


def change_level(
    conn: Connection,
    caller: Caller,
    access_id: str,
    access_level: str,
    *,
    sees_hidden: bool = False,
    limits: RowLimits = NO_LIMITS,
) -> dict[str, Any]:
    """Change a rule's access level, in the background. Raises Invalid unless the rule is active or
    in error and the share is available."""
    instances = require_ready(
        conn, shares.lock_instances(conn, caller, get(conn, caller, access_id)["share_id"])
    )
    if access_level not in LEVELS:
        raise Invalid(f"Invalid access rule: Invalid share access level: {access_level}.")
    rule = get(conn, caller, access_id, sees_hidden=sees_hidden)  # its share's row is held now
    if rule["access_level"] == access_level:
        return rule
    rows = _states(conn, access_id)
    if any(row.state == "error_denying" for row in rows):
        raise Invalid(
            f"Invalid access rule: {access_id} was to be deleted, and that failed: delete it again."
        )
    if not all(states.ACCESS_RULE.permits(row.state, Permit.CHANGE_LEVEL) for row in rows):
        raise Invalid(
            f"Invalid access rule: {access_id} is {rule['state']}; its level can be changed when "
            "it is active or in error."
        )
    if access_level != "ro":  # what takes the right to write away is taken always
        require_room_for_work(conn, instances[0].project_id, limits)
    conn.execute(
        sa.update(share_access_rules)
        .where(share_access_rules.c.id == access_id)
        .values(access_level=access_level)
    )
    states.move(conn, states.ACCESS_RULE, [row.id for row in rows], "queued_to_apply")
    _start(conn, instances)
    return get(conn, caller, access_id, sees_hidden=sees_hidden)


def find(
    conn: Connection,
    caller: Caller,
    share_id: str | None,
    filters: dict[str, Any] | None = None,
    page: Page | None = None,
    *,
    sees_hidden: bool = False,
) -> list[dict[str, Any]]:
    """The rules of a share, or of all shares whose rules the caller may see, newest first unless
    sorted otherwise. `filters`: fields of the view, metadata (dict). What a lock hides from the
    caller is neither searched nor sorted by. Raises Invalid for an unknown sort key."""
    if share_id is not None:
        # a public share may be seen by everyone, its rules may not
        shares.require_own(conn, caller, share_id)
    return _listing(caller, share_id, sees_hidden).find(conn, caller, filters or {}, page or Page())


def get(
    conn: Connection, caller: Caller, access_id: str, *, sees_hidden: bool = False
) -> dict[str, Any]:
    """One rule of a share of the caller's project."""
    query = sa.select(
        *[value.label(name) for name, value in _shown_to(caller, sees_hidden).items()]
    )
    row = (
        conn.execute(_of_owner(query, caller).where(share_access_rules.c.id == access_id))
        .mappings()
        .one_or_none()
    )
    if row is None:
        raise Missing(f"Access rule {access_id} could not be found.")
    return dict(row)


def change_metadata(
    conn: Connection,
    caller: Caller,
    access_id: str,
    change: Callable[[dict[str, str]], dict[str, str]],
) -> dict[str, str]:
    """Replace the metadata of a rule by the result of `change`, with its row locked; returns the
    new metadata."""
    table = share_access_rules
    rule = conn.execute(
        _of_owner(sa.select(table), caller).where(table.c.id == access_id).with_for_update(of=table)
    ).one_or_none()
    if rule is None:
        raise Missing(f"Access rule {access_id} could not be found.")
    metadata = change(rule.metadata)
    conn.execute(
        sa.update(table)
        .where(table.c.id == access_id)
        .values(metadata=metadata, updated_at=utcnow())
    )
    return metadata


def require_ready(conn: Connection, instances: Sequence[sa.Row[Any]]) -> list[sa.Row[Any]]:
    """Those of a share's instances, as `shares.lock_instances` returns them, that are on a pool and
    so take rules. Raises as `shares.require_available` does; Invalid while the network is not
    active. A share that is being backed up, which may take a day, is in use as ever."""
    share = instances[0]
    shares.require_available(share, or_in="backup_creating")
    if share.share_network_id is not None:
        share_network_lock.require_active(
            conn.execute(
                sa.select(share_networks).where(share_networks.c.id == share.share_network_id)
            ).one()
        )
    return [instance for instance in instances if shares.is_placed(instance)]


# -------------------------------------------------------------------------------------------------


def _of_owner(query: sa.Select[Any], caller: Caller) -> sa.Select[Any]:
    query = query.select_from(share_access_rules).join(
        shares_table, shares_table.c.id == share_access_rules.c.share_id
    )
    return query if caller.is_admin else query.where(shares.is_of_project(caller))


def _listing(caller: Caller, share_id: str | None, sees_hidden: bool) -> Listing:
    """The listing of rules, with the columns as the caller may see them."""
    table, shown = share_access_rules, _shown_to(caller, sees_hidden)
    query = sa.select(*[value.label(name) for name, value in shown.items()])
    scoped = (
        _of_owner(query, caller) if share_id is None else query.where(table.c.share_id == share_id)
    )
    return Listing(
        "Access rules",
        lambda _caller, _all_projects: scoped,
        table.c.id,
        conditions={
            **equal({name: shown[name] for name in _FILTERS}),
            "metadata": having_pairs(table.c.metadata),
        },
        sort_keys={name: shown[name] for name in ("id", "created_at", "updated_at", *_FILTERS)},
    )


def _shown_to(caller: Caller, sees_hidden: bool) -> dict[str, sa.ColumnElement[Any]]:
    """The columns of a rule as the caller may see them."""
    derived: dict[str, sa.ColumnElement[Any]] = {
        "state": access_rule_states.STATE,
        "updated_at": access_rule_states.UPDATED_AT,
    }
    columns = dict(share_access_rules.c.items()) | derived
    if not (sees_hidden or caller.is_admin):
        hidden = resource_lock_checks.is_hidden_from(caller)
        columns |= {
            name: sa.case((hidden, _HIDDEN), else_=columns[name])
            for name in ("access_to", "access_key")
        }
    return columns


def _states(conn: Connection, access_id: str) -> Sequence[sa.Row[Any]]:
    """The rule's rows of share_instance_access_map: one for each instance that it is on."""
    table = share_instance_access_map
    return conn.execute(
        sa.select(table).where(table.c.access_id == access_id).order_by(table.c.share_instance_id)
    ).all()


def _start(conn: Connection, instances: Sequence[sa.Row[Any]]) -> None:
    """Have the rules of these share instances applied."""
    access_rule_states.set_status(conn, instances, "syncing")
    for instance in instances:
        shares.start(conn, "access_apply", instance)
