"""Changing the metadata of shares, and what follows: `export_subnets` moves the exports of a share
in use, `snapshot_schedule` and `backup_schedule` say when snapshots and backups are made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import utcnow
from abaca.db.tables import shares as shares_table
from abaca.domain.rows.row_limits import NO_LIMITS, RowLimits, require_room_for_work
from abaca.domain.share_types import share_types
from abaca.domain.shares import (
    access_rule_states,
    access_rules,
    export_choices,
    schedules,
    shares,
)
from abaca.errors import Invalid
from abaca.values import Caller, ExportChoice


def change(
    conn: Connection,
    caller: Caller,
    share_id: str,
    change: Callable[[dict[str, str]], dict[str, str]],
    *,
    limits: RowLimits = NO_LIMITS,
) -> dict[str, str]:
    """Replace the metadata of a share by the result of `change`, with its row locked; returns the
    new metadata.

    A new `export_subnets` is checked at once and takes effect in the background, with the rules.
    Raises Invalid if it names unknown subnets, or the share cannot be changed now, and for a
    `snapshot_schedule` or `backup_schedule` that makes no sense.
    """
    instances = shares.lock_instances(conn, caller, share_id)
    before, metadata = instances[0].metadata, change(instances[0].metadata)
    changes: dict[str, Any] = {"metadata": metadata, "updated_at": utcnow()}
    is_chosen_anew = before.get(export_choices.KEY) != metadata.get(export_choices.KEY)
    ready: list[sa.Row[Any]] = []
    if is_chosen_anew:
        ready = access_rules.require_ready(conn, instances)
        if export_choices.KEY in metadata:  # what takes a choice back is taken always
            require_room_for_work(conn, instances[0].project_id, limits)
        changes["export_choice"] = export_choices.stored(_chosen(conn, ready, metadata))
    conn.execute(sa.update(shares_table).where(shares_table.c.id == share_id).values(changes))
    changed = [each for each in schedules.KINDS if before.get(each.key) != metadata.get(each.key)]
    if changed:
        _schedule(conn, instances[0], metadata, changed)
    if is_chosen_anew:
        access_rule_states.apply_all_again(conn, ready)
    return metadata


def _schedule(
    conn: Connection,
    share: sa.Row[Any],
    metadata: dict[str, str],
    changed: Sequence[schedules.Schedules],
) -> None:
    plans = schedules.plans(
        metadata,
        share_types.specs_of(conn, share.share_type_id),
        snapshot_support=bool(share.snapshot_support),
    )
    for each, wanted in zip(schedules.KINDS, plans, strict=True):
        if each in changed:
            each.replace(conn, share.id, wanted)


def _chosen(
    conn: Connection, instances: Sequence[sa.Row[Any]], metadata: dict[str, str]
) -> ExportChoice:
    """The choice among the subnets of the instances' servers; each instance must be exported on one
    at least."""
    specs = share_types.specs_of(conn, instances[0].share_type_id)
    if not export_choices.is_made(metadata, specs):
        return ExportChoice()
    server_ids = {instance.share_server_id for instance in instances}
    if None in server_ids:
        raise export_choices.no_server()
    subnets = export_choices.subnets_of(conn, server_ids)
    choice = export_choices.choose(metadata, specs, subnets)
    exported = {
        each.share_server_id
        for each in subnets
        if choice.admits(each.id, each.ip_version) and not each.drains
    }
    if left_out := sorted(server_ids - exported):
        raise Invalid(
            f"Invalid {export_choices.KEY}: share server {', '.join(left_out)}, which has an "
            "instance of the share, is on none of the chosen subnets that do not drain."
        )
    export_choices.require_capable(conn, choice, {instance.host for instance in instances})
    return choice
