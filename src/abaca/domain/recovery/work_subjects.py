"""The resources that work is about, for the log: those that its arguments name, and their
parents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.tables import (
    share_backups,
    share_group_snapshots,
    share_groups,
    share_instances,
    share_network_checks,
    share_network_subnets,
    share_servers,
    share_snapshot_instances,
)

_KINDS = (
    "share",
    "share_instance",
    "snapshot",
    "share_backup",
    "share_group",
    "share_group_snapshot",
    "share_server",
    "share_network",
    "share_network_subnet",
)
_GIVEN: sa.BindParameter[list[str]] = sa.bindparam("ids", expanding=True)


def _found_in(table: sa.Table, **columns: sa.Column[str]) -> sa.Select[*tuple[Any, ...]]:
    return sa.select(*(columns.get(kind, sa.null()).label(kind) for kind in _KINDS)).where(
        table.c.id.in_(_GIVEN)
    )


_SUBJECTS = sa.union_all(
    _found_in(
        share_instances,
        share=share_instances.c.share_id,
        share_instance=share_instances.c.id,
        share_server=share_instances.c.share_server_id,
        share_network=share_instances.c.share_network_id,
    ),
    _found_in(
        share_groups,
        share_group=share_groups.c.id,
        share_server=share_groups.c.share_server_id,
        share_network=share_groups.c.share_network_id,
    ),
    _found_in(
        share_group_snapshots,
        share_group_snapshot=share_group_snapshots.c.id,
        share_group=share_group_snapshots.c.share_group_id,
    ),
    _found_in(share_snapshot_instances, snapshot=share_snapshot_instances.c.snapshot_id),
    _found_in(share_backups, share_backup=share_backups.c.id, share=share_backups.c.share_id),
    _found_in(
        share_servers,
        share_server=share_servers.c.id,
        share_network=share_servers.c.share_network_id,
    ),
    _found_in(
        share_network_subnets,
        share_network_subnet=share_network_subnets.c.id,
        share_network=share_network_subnets.c.share_network_id,
    ),
    _found_in(share_network_checks, share_network=share_network_checks.c.share_network_id),
)


def of(conn: Connection, args: Sequence[str]) -> dict[str, str]:
    """Kind of resource → id, in one statement; without resources that no longer exist."""
    subjects: dict[str, str] = {}
    for row in conn.execute(_SUBJECTS, {"ids": list(args)}).mappings():
        subjects |= {kind: id_ for kind, id_ in row.items() if id_ is not None}
    return subjects
