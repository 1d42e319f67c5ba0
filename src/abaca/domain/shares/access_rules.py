"""Access rules: who may use a share. They are stored at once and applied in the background, all rules of a share together."""

from __future__ import annotations

import ipaddress
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.addresses import plain_network
from abaca.db.session import lock_row, utcnow
from abaca.db.tables import share_access_rules, share_instances, share_networks
from abaca.db.tables import shares as shares_table
from abaca.domain.rows import messages, share_network_lock, states
from abaca.domain.rows.listings import Listing, equal, having_pairs
from abaca.domain.rows.row_limits import NO_LIMITS, RowLimits, require_room, require_room_for_work
from abaca.domain.rows.states import Permit
from abaca.domain.shares import resource_lock_checks, resource_locks, shares
from abaca.errors import Invalid, Missing
from abaca.values import AccessRule, Caller, Page

TYPES = ("ip", "user", "cert", "cephx")
LEVELS = ("rw", "ro")
_GRANTED = ("queued_to_apply", "applying", "active", "error")
_FILTERS = ("access_type", "access_to", "access_level", "access_key", "state")
_HIDDEN = "******"
_USER = re.compile(r"[\w.\-' $@\\/]{4,255}")


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
    """Store a rule in `queued_to_apply` and have it applied. Its view. `locks`: what it is locked against from the beginning."""
    share = _ready(conn, caller, share_id)
    if access_type not in TYPES:
        raise Invalid(f"Invalid access rule: only {', '.join(TYPES)} access types are supported.")
    if access_level not in (*LEVELS, None):
        raise Invalid(f"Invalid access rule: Invalid share access level: {access_level}.")
    target = _normalised(access_type, access_to)
    table = share_access_rules
    same = (table.c.share_id == share_id) & (table.c.access_type == access_type)
    if conn.execute(sa.select(table.c.id).where(same, table.c.access_to.in_({access_to, *_spellings(access_type, target)}))).first():
        raise Invalid(f"Share access {access_type}:{access_to} exists.")
    require_room(conn, "access_rules_per_share", limits.access_rules_per_share, table.c.share_id == share_id, f"share {share_id}")
    require_room_for_work(conn, share.project_id, limits)
    rule_id = str(uuid4())
    conn.execute(
        sa.insert(table).values(
            id=rule_id,
            share_id=share_id,
            access_type=access_type,
            access_to=target,
            access_level=access_level or "rw",
            state="queued_to_apply",
            metadata=metadata or {},
            created_at=utcnow(),
        )
    )
    resource_locks.restrict_rule(conn, caller, share, rule_id, locks, lock_reason, limits)
    _start(conn, share)
    return get(conn, caller, rule_id)


def deny(conn: Connection, caller: Caller, share_id: str, access_id: str, *, unrestrict: bool = False) -> None:
    """Take a rule away, in the background. A rule that is being taken away already is left to it. Forbidden when it is locked, unless the
    caller, by `unrestrict`, wants that disregarded and may."""
    share = _ready(conn, caller, share_id)
    table = share_access_rules
    rule = conn.execute(sa.select(table).where(table.c.id == access_id, table.c.share_id == share_id)).one_or_none()
    if rule is None:
        raise Missing(f"Access rule {access_id} could not be found.")
    if rule.state in ("queued_to_deny", "denying"):
        return
    resource_lock_checks.require_rule_deletable(conn, caller, access_id, unrestrict=unrestrict)
    states.move(conn, states.ACCESS_RULE, access_id, "queued_to_deny")
    _start(conn, share)


def change_level(
    conn: Connection, caller: Caller, access_id: str, access_level: str, *, sees_hidden: bool = False, limits: RowLimits = NO_LIMITS
) -> dict[str, Any]:
    """Give a rule another level, applied in the background. Invalid unless the rule is at rest and the share can be used."""
    share = _ready(conn, caller, get(conn, caller, access_id)["share_id"])
    if access_level not in LEVELS:
        raise Invalid(f"Invalid access rule: Invalid share access level: {access_level}.")
    rule = get(conn, caller, access_id, sees_hidden=sees_hidden)  # its share's row is held now
    if rule["access_level"] == access_level:
        return rule
    if not states.ACCESS_RULE.permits(rule["state"], Permit.CHANGE_LEVEL):
        raise Invalid(f"Invalid access rule: {access_id} is {rule['state']}; its level can be changed when it is active or in error.")
    require_room_for_work(conn, share.project_id, limits)
    states.move(conn, states.ACCESS_RULE, access_id, "queued_to_apply", access_level=access_level)
    _start(conn, share)
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
    """The rules of a share, or of all shares that the caller may see the rules of, newest first unless sorted otherwise. `filters`: fields
    of the view, metadata (dict); what a lock hides from the caller is neither found nor sorted by. Invalid for a sort key that is not known."""
    if share_id is not None:
        shares.require_own(conn, caller, share_id)  # a public share may be seen by everyone, its rules may not
    return _listing(caller, share_id, sees_hidden).find(conn, caller, filters or {}, page or Page())


def get(conn: Connection, caller: Caller, access_id: str, *, sees_hidden: bool = False) -> dict[str, Any]:
    """One rule of a share of the caller's project."""
    query = sa.select(*[value.label(name) for name, value in _shown_to(caller, sees_hidden).items()])
    row = conn.execute(_of_owner(query, caller).where(share_access_rules.c.id == access_id)).mappings().one_or_none()
    if row is None:
        raise Missing(f"Access rule {access_id} could not be found.")
    return dict(row)


def change_metadata(conn: Connection, caller: Caller, access_id: str, change: Callable[[dict[str, str]], dict[str, str]]) -> dict[str, str]:
    """Replace the metadata of a rule by `change` of it, its row held; what it is then."""
    table = share_access_rules
    rule = conn.execute(_of_owner(sa.select(table), caller).where(table.c.id == access_id).with_for_update(of=table)).one_or_none()
    if rule is None:
        raise Missing(f"Access rule {access_id} could not be found.")
    metadata = change(rule.metadata)
    conn.execute(sa.update(table).where(table.c.id == access_id).values(metadata=metadata, updated_at=utcnow()))
    return metadata


# --- for operations ------------------------------------------------------------------------------------------------


def granted(conn: Connection, share_ids: Sequence[str]) -> dict[str, list[AccessRule]]:
    """Share id → the rules that shall hold, the oldest first."""
    table = share_access_rules
    rules = defaultdict(list)
    query = sa.select(table).where(table.c.share_id.in_(share_ids), table.c.state.in_(_GRANTED)).order_by(table.c.created_at, table.c.id)
    for row in conn.execute(query):
        rules[row.share_id].append(AccessRule(id=row.id, access_type=row.access_type, access_to=row.access_to, access_level=row.access_level))
    return rules


def granted_to(conn: Connection, instance_id: str) -> list[AccessRule]:
    """The rules that shall hold of a share instance's share, the oldest first."""
    share_id = conn.scalar(sa.select(share_instances.c.share_id).where(share_instances.c.id == instance_id)) or ""
    return granted(conn, [share_id]).get(share_id, [])


def begin_update(conn: Connection, instance_id: str) -> bool:
    """Mark what is queued as going on; False, and nothing is to be applied, when the share is gone or going."""
    share = lock_row(conn, share_instances, instance_id)
    if share is None:
        return False
    table = share_access_rules
    if not states.SHARE.permits(share.status, Permit.HAS_RULES_APPLIED):
        _fail_pending(conn, share.share_id)
        _settle(conn, share.share_id, instance_id)
        return False
    queued = conn.execute(
        sa.select(table.c.id, table.c.state).where(table.c.share_id == share.share_id, table.c.state.in_(("queued_to_apply", "queued_to_deny")))
    ).all()
    for state, next_state in (("queued_to_apply", "applying"), ("queued_to_deny", "denying")):
        states.move(conn, states.ACCESS_RULE, [row.id for row in queued if row.state == state], next_state)
    return True


def end_update(conn: Connection, instance_id: str, rejected: dict[str, str]) -> None:
    """The driver made the rules hold that are not queued any more. `rejected`: rule id → why it could not; each is told to the project."""
    share = _locked(conn, instance_id)
    if share is None:
        return
    table = share_access_rules
    conn.execute(sa.delete(table).where(table.c.share_id == share.id, table.c.state == "denying"))
    given = sa.select(table.c.id, table.c.state).where(table.c.share_id == share.id, table.c.state.in_(("applying", "active", "error")))
    before = {rule.id: rule.state for rule in conn.execute(given.order_by(table.c.id))}
    states.move(conn, states.ACCESS_RULE, [rule for rule in before if rule not in rejected], "active")
    states.move(conn, states.ACCESS_RULE, [rule for rule in before if rule in rejected], "error")
    for rule_id in [rule for rule, state in before.items() if rule in rejected and state != "error"]:
        _tell(conn, share.project_id, share.id, rejected[rule_id])
    _settle(conn, share.id, instance_id)


def fail_update(conn: Connection, instance_id: str, reason: str) -> None:
    """The rules could not be applied: those that were being changed are in error, and the project is told."""
    share = _locked(conn, instance_id)
    if share is None:
        return
    _fail_pending(conn, share.id)
    _tell(conn, share.project_id, share.id, reason)
    _settle(conn, share.id, instance_id)


def fail_all(conn: Connection, instance_ids: Sequence[str]) -> None:
    """Set all rules of these share instances to error: their server's networks could not be changed."""
    table = share_access_rules
    held = sa.select(share_instances.c.id, share_instances.c.share_id).where(share_instances.c.id.in_(instance_ids))
    instances = conn.execute(held.order_by(share_instances.c.id).with_for_update()).all()
    rules = conn.execute(sa.select(table.c.id, table.c.share_id).where(table.c.share_id.in_([i.share_id for i in instances]))).all()
    states.move(conn, states.ACCESS_RULE, [rule.id for rule in rules], "error")
    concerned = {rule.share_id for rule in rules}
    states.move(conn, states.ACCESS_RULES, [instance.id for instance in instances if instance.share_id in concerned], "error")


def apply_again(conn: Connection, of: sa.ColumnElement[bool]) -> None:
    """Have the rules that are in error of those share instances applied once more."""
    table = share_access_rules
    instances = conn.execute(
        sa.select(share_instances, shares_table.c.project_id)
        .join(shares_table, shares_table.c.id == share_instances.c.share_id)
        .where(of, share_instances.c.access_rules_status == "error")
    ).all()
    failed = conn.scalars(sa.select(table.c.id).where(table.c.share_id.in_([row.share_id for row in instances]), table.c.state == "error"))
    states.move(conn, states.ACCESS_RULE, list(failed), "queued_to_apply")
    for row in instances:
        states.move(conn, states.ACCESS_RULES, row.id, "syncing")
        shares.start_on(conn, "access_apply", row.id, row.host, row.share_server_id, row.project_id)


# -------------------------------------------------------------------------------------------------------------------


def _of_owner(query: sa.Select[Any], caller: Caller) -> sa.Select[Any]:
    query = query.join(shares_table, shares_table.c.id == share_access_rules.c.share_id)
    return query if caller.is_admin else query.where(shares_table.c.project_id == caller.project_id)


def _listing(caller: Caller, share_id: str | None, sees_hidden: bool) -> Listing:
    """What `find` finds, by the columns as the caller may see them."""
    table, shown = share_access_rules, _shown_to(caller, sees_hidden)
    query = sa.select(*[value.label(name) for name, value in shown.items()])
    scoped = _of_owner(query, caller) if share_id is None else query.where(table.c.share_id == share_id)
    return Listing(
        "Access rules",
        lambda _caller, _all_projects: scoped,
        table.c.id,
        conditions={**equal({name: shown[name] for name in _FILTERS}), "metadata": having_pairs(table.c.metadata)},
        sort_keys={name: shown[name] for name in ("id", "created_at", "updated_at", *_FILTERS)},
    )


def _shown_to(caller: Caller, sees_hidden: bool) -> dict[str, sa.ColumnElement[Any]]:
    """The columns of a rule as the caller may see them."""
    columns: dict[str, sa.ColumnElement[Any]] = dict(share_access_rules.c.items())
    if not (sees_hidden or caller.is_admin):
        hidden = resource_lock_checks.is_hidden_from(caller)
        columns |= {name: sa.case((hidden, _HIDDEN), else_=columns[name]) for name in ("access_to", "access_key")}
    return columns


def _locked(conn: Connection, instance_id: str) -> sa.Row[Any] | None:
    """The share, its instance held: whoever changes the states of its rules holds that, requests as well as work."""
    if lock_row(conn, share_instances, instance_id) is None:
        return None
    return conn.execute(sa.select(shares_table).join(share_instances).where(share_instances.c.id == instance_id)).one()


def _fail_pending(conn: Connection, share_id: str) -> None:
    table = share_access_rules
    pending = ("queued_to_apply", "applying", "queued_to_deny", "denying")
    rules = conn.scalars(sa.select(table.c.id).where(table.c.share_id == share_id, table.c.state.in_(pending)))
    states.move(conn, states.ACCESS_RULE, list(rules), "error")


def _settle(conn: Connection, share_id: str, instance_id: str) -> None:
    """The instance's access_rules_status follows from the states of its rules."""
    found = set(conn.scalars(sa.select(share_access_rules.c.state).where(share_access_rules.c.share_id == share_id)))
    going_on = found & {"queued_to_apply", "queued_to_deny", "applying", "denying"}
    states.move(conn, states.ACCESS_RULES, instance_id, "syncing" if going_on else "error" if "error" in found else "active")


def _ready(conn: Connection, caller: Caller, share_id: str) -> sa.Row[Any]:
    share = shares.lock(conn, caller, share_id)
    shares.require_available(share)
    if share.share_network_id is not None:
        share_network_lock.require_active(conn.execute(sa.select(share_networks).where(share_networks.c.id == share.share_network_id)).one())
    return share


def _start(conn: Connection, share: sa.Row[Any]) -> None:
    states.move(conn, states.ACCESS_RULES, share.instance_id, "syncing")
    shares.start(conn, "access_apply", share)


def _normalised(access_type: str, access_to: str) -> str:
    """An address or a prefix in its canonical form; other types as they are. Invalid when it cannot be one."""
    if access_type == "ip":
        try:
            network = plain_network(access_to, strict=False)
        except ValueError:
            raise Invalid(f"'{access_to}' does not appear to be an IPv4 or IPv6 network") from None
        return str(network) if "/" in access_to else str(network.network_address)
    if access_type == "user" and not _USER.fullmatch(access_to):
        raise Invalid(f"Invalid access rule: '{access_to}' is not a user or group name.")
    if not 0 < len(access_to) <= 255:
        raise Invalid("Invalid access rule: access_to must have between 1 and 255 characters.")
    return access_to


def _spellings(access_type: str, target: str) -> set[str]:
    """All canonical forms of what a rule is for: a single address may be written with its prefix length or without."""
    if access_type != "ip":
        return {target}
    network = ipaddress.ip_network(target)
    return {target, str(network), str(network.network_address)} if network.num_addresses == 1 else {target}


def _tell(conn: Connection, project_id: str, share_id: str, reason: str) -> None:
    messages.create(
        conn, project_id=project_id, resource_type="SHARE", resource_id=share_id, action=messages.Action.UPDATE_ACCESS_RULES, text=reason
    )
