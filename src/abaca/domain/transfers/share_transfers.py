"""Share transfers: a project offers a share, and whoever is told the offer's id and key takes it
over into another project, with its snapshots and what quotas count.

A share that is offered is `awaiting_transfer` and nothing else happens to it. That ends with the
request that accepts or withdraws the offer, or when its time is over (`end_due`). Only shares that
are on no share server can be handed over: a share server and its subnets have one owner.

No back end is told: it knows nothing of projects but `Share.project_id`, given with each call.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import utcnow
from abaca.db.tables import (
    resource_locks,
    share_access_rules,
    share_snapshot_instances,
    share_snapshots,
    share_transfers,
    share_types,
    shares,
)
from abaca.domain.capacity import quota_usages
from abaca.domain.capacity.quota_usages import Owner
from abaca.domain.rows import states
from abaca.domain.rows.listings import Listing, containing, equal
from abaca.domain.share_types.share_types import KIND
from abaca.domain.shares import access_rules, affinity, dns_names, share_offers
from abaca.domain.shares import shares as share_rows
from abaca.domain.snapshots import snapshot_access
from abaca.errors import Invalid, Missing
from abaca.values import Caller

_LOG = logging.getLogger(__name__)

MOST_WRONG_KEYS = 20
"""An offer ends with that many wrong keys."""

_KEY_BYTES = 8
_SALT_BYTES = 16
_OF_DONOR = (affinity.SAME, affinity.DIFFERENT, dns_names.KEY)
"""Keys of a share's metadata that name things of the project that it leaves."""

_table = share_transfers
_COLUMNS: dict[str, sa.ColumnElement[Any]] = {
    **{name: _table.c[name] for name in ("id", "source_project_id", "created_at", "expires_at")},
    "name": _table.c.display_name,
    "resource_type": sa.literal("share"),
    "resource_id": _table.c.share_id,
}


class Offer(NamedTuple):
    """A new transfer, and its key, which is told once."""

    id: str
    auth_key: str


def create(
    conn: Connection, caller: Caller, share_id: str, name: str | None, kept_seconds: int
) -> Offer:
    """Offer a share for so many seconds. Raises Missing; Invalid for a share, or a snapshot of it,
    that is not available, is on a share network or in a share group, or is locked; Forbidden for
    one with backups."""
    instances = share_rows.lock_instances(conn, caller, share_id)
    share = instances[0]
    share_rows.require_available(share)
    _require_transferable(conn, instances)
    offer = Offer(str(uuid4()), secrets.token_hex(_KEY_BYTES))
    salt, now = secrets.token_hex(_SALT_BYTES), utcnow()
    conn.execute(
        sa.insert(_table).values(
            id=offer.id,
            share_id=share_id,
            display_name=name,
            source_project_id=share.project_id,
            salt=salt,
            key_hash=_hashed(salt, offer.auth_key),
            created_at=now,
            expires_at=now + timedelta(seconds=kept_seconds),
        )
    )
    states.move(conn, states.SHARE, share.instance_id, share_offers.STATUS)
    return offer


def get(conn: Connection, caller: Caller, transfer_id: str) -> dict[str, Any]:
    """One transfer of the caller's project, for administrators of any. Raises Missing."""
    query = _select(caller, caller.is_admin).where(_table.c.id == transfer_id)
    row = conn.execute(query).mappings().one_or_none()
    if row is None:
        raise Missing(f"Transfer {transfer_id} could not be found.")
    return dict(row)


def accept(
    conn: Connection,
    caller: Caller,
    transfer_id: str,
    auth_key: str,
    *,
    clear_access_rules: bool,
    quota_defaults: Mapping[str, int] | None,
) -> bool:
    """Take a share over into the caller's project. Returns False for an unknown transfer and for a
    wrong key alike; that a key was wrong is stored, so the caller commits then, too.

    `clear_access_rules`: the rules of share and snapshots are deleted, in the background; else
    clients of the other project keep their access. Raises Invalid for a share that cannot be handed
    over (any more), or whose type the project may not use; Forbidden for one with backups;
    OverQuota.
    """
    held = _lock(conn, transfer_id)
    if held is None or held.transfer.expires_at <= utcnow():
        return False
    if not hmac.compare_digest(_hashed(held.transfer.salt, auth_key), held.transfer.key_hash):
        _count_wrong_key(conn, held)
        return False
    share = held.instances[0]
    if caller.project_id == share.project_id:
        raise Invalid(f"Share {share.id} already belongs to this project.")
    snapshots = _require_transferable(conn, held.instances)
    _require_type(conn, caller, share)
    _move_quotas(conn, caller, share, snapshots, quota_defaults)
    _change_owner(conn, caller, share)
    _end(conn, share)
    if clear_access_rules:
        access_rules.deny_all(conn, share_rows.lock_instances(conn, caller, share.id))
        snapshot_access.deny_all(conn, caller, [snapshot.id for snapshot in snapshots])
    _LOG.info(
        "share %s of project %s was taken over by project %s (transfer %s)",
        share.id,
        share.project_id,
        caller.project_id,
        transfer_id,
    )
    return True


def delete(conn: Connection, caller: Caller, transfer_id: str) -> None:
    """Withdraw an offer: the share is available again. Raises Missing."""
    get(conn, caller, transfer_id)
    held = _lock(conn, transfer_id)
    if held is None:
        raise Missing(f"Transfer {transfer_id} could not be found.")
    _end(conn, held.instances[0])


def due(conn: Connection) -> list[str]:
    """The shares whose offer's time is over."""
    ended = sa.select(_table.c.share_id).where(_table.c.expires_at <= utcnow())
    return list(conn.scalars(ended.order_by(_table.c.share_id)))


def end_due(conn: Connection, share_id: str) -> None:
    """Make such a share available again, unless its transfer was accepted, withdrawn or begun anew
    meanwhile. Raises Missing if the share has gone."""
    share = share_rows.lock(conn, share_rows.ANYBODY, share_id)
    ends = conn.scalar(sa.select(_table.c.expires_at).where(_table.c.share_id == share_id))
    if ends is not None and ends <= utcnow():
        _end(conn, share)


class _Held(NamedTuple):
    """A transfer and the instances of its share, as `shares.lock_instances` returns them, with the
    rows of share and instances locked. Who changes a transfer holds its share."""

    transfer: Any
    instances: Sequence[sa.Row[Any]]


def _lock(conn: Connection, transfer_id: str) -> _Held | None:
    query = sa.select(_table).where(_table.c.id == transfer_id)
    transfer = conn.execute(query).one_or_none()
    if transfer is None:
        return None
    try:
        instances = share_rows.lock_instances(conn, share_rows.ANYBODY, transfer.share_id)
    except Missing:
        return None
    transfer = conn.execute(query).one_or_none()  # accepted or withdrawn meanwhile?
    if transfer is None or instances[0].status != share_offers.STATUS:
        return None
    return _Held(transfer, instances)


def _hashed(salt: str, auth_key: str) -> str:
    return hmac.new(bytes.fromhex(salt), auth_key.encode(), hashlib.sha256).hexdigest()


def _count_wrong_key(conn: Connection, held: _Held) -> None:
    wrong_keys = held.transfer.wrong_keys + 1
    if wrong_keys >= MOST_WRONG_KEYS:
        _end(conn, held.instances[0])
        return
    conn.execute(
        sa.update(_table).where(_table.c.id == held.transfer.id).values(wrong_keys=wrong_keys)
    )


def _end(conn: Connection, share: sa.Row[Any]) -> None:
    share_offers.withdraw(conn, share.id)
    if share.status == share_offers.STATUS:  # else somebody has written to the database by hand
        states.move(conn, states.SHARE, share.instance_id, "available")


def _require_transferable(
    conn: Connection, instances: Sequence[sa.Row[Any]]
) -> Sequence[sa.Row[Any]]:
    """The snapshots of a share, locked, without those whose deletion is deferred: no quota counts
    them. Raises Invalid for what keeps it from changing hands; Forbidden for backups."""
    share = instances[0]
    if any(instance.share_network_id is not None for instance in instances):
        raise Invalid("Invalid share: Shares exported over share networks cannot be transferred.")
    if len(instances) > 1:
        raise Invalid(f"Invalid share: share {share.id} has several instances.")
    share_rows.require_no_backups(conn, share)
    if share.share_group_id is not None:
        raise Invalid(f"Invalid share: share {share.id} is in share group {share.share_group_id}.")
    if (share.mount_point_name or "").startswith(share.project_id):
        raise Invalid(
            f"Invalid share: the mount point name of share {share.id} begins with the id of its "
            "project."
        )
    rules = sa.select(share_access_rules.c.id).where(share_access_rules.c.share_id == share.id)
    locks = sa.select(resource_locks.c.id).where(
        (resource_locks.c.share_id == share.id) | resource_locks.c.access_rule_id.in_(rules)
    )
    if lock_id := conn.scalar(locks.limit(1)):
        raise Invalid(f"Invalid share: resource lock {lock_id} is on it or on its access rules.")
    snapshots = conn.execute(
        sa.select(share_snapshots, share_snapshot_instances.c.status)
        .join(
            share_snapshot_instances, share_snapshot_instances.c.snapshot_id == share_snapshots.c.id
        )
        .where(
            share_snapshots.c.share_id == share.id, share_snapshots.c.deletion_deferred_at.is_(None)
        )
        .order_by(share_snapshots.c.id)
        .with_for_update()
    ).all()
    for snapshot in snapshots:
        if snapshot.status != "available":
            raise Invalid(
                f"Invalid snapshot: snapshot {snapshot.id} must be available, it is "
                f"{snapshot.status}."
            )
    return snapshots


def _require_type(conn: Connection, caller: Caller, share: sa.Row[Any]) -> None:
    usable = sa.select(share_types.c.id).where(
        share_types.c.id == share.share_type_id, KIND.open_to(caller)
    )
    if conn.execute(usable).first() is None:
        raise Invalid(
            f"Share type {share.share_type_id} is not accessible to project {caller.project_id}."
        )


def _move_quotas(
    conn: Connection,
    caller: Caller,
    share: sa.Row[Any],
    snapshots: Sequence[sa.Row[Any]],
    quota_defaults: Mapping[str, int] | None,
) -> None:
    target = Owner(caller.project_id, caller.user_id)
    quota_usages.move(
        conn,
        Owner(share.project_id, share.user_id),
        target,
        share.share_type_id,
        defaults=quota_defaults,
        share_size=share.size,
        shares=1,
        gigabytes=share.size,
    )
    numbers: Counter[str | None] = Counter()
    gigabytes: Counter[str | None] = Counter()
    for snapshot in snapshots:
        numbers[snapshot.user_id] += 1
        gigabytes[snapshot.user_id] += snapshot.size
    for user_id in sorted(numbers, key=str):
        quota_usages.move(
            conn,
            Owner(share.project_id, user_id),
            target,
            share.share_type_id,
            defaults=quota_defaults,
            snapshots=numbers[user_id],
            snapshot_gigabytes=gigabytes[user_id],
        )


def _change_owner(conn: Connection, caller: Caller, share: sa.Row[Any]) -> None:
    affinity.forget(conn, share.id)
    owner = {"project_id": caller.project_id, "user_id": caller.user_id, "updated_at": utcnow()}
    kept = {key: value for key, value in share.metadata.items() if key not in _OF_DONOR}
    conn.execute(
        sa.update(shares).where(shares.c.id == share.id).values({**owner, "metadata": kept})
    )
    conn.execute(
        sa.update(share_snapshots).where(share_snapshots.c.share_id == share.id).values(owner)
    )


def _select(caller: Caller, all_projects: bool) -> sa.Select[Any]:
    query = sa.select(*[column.label(name) for name, column in _COLUMNS.items()])
    return (
        query
        if all_projects and caller.is_admin
        else query.where(_table.c.source_project_id == caller.project_id)
    )


LISTING = Listing(
    noun="Share transfers",
    select=_select,
    id_=_table.c.id,
    conditions={
        **equal(
            {
                name: _COLUMNS[name]
                for name in (
                    "id",
                    "name",
                    "resource_type",
                    "resource_id",
                    "source_project_id",
                )
            }
        ),
        **containing({"name": _table.c.display_name}),
    },
    sort_keys=_COLUMNS,
)
