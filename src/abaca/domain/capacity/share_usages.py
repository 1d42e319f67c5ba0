"""How much shares use: stored as a back end measures it, all of its shares at once, and summed up
for metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import is_sqlite, upsert, utcnow
from abaca.db.tables import services, share_instances, share_usages, shares

_MOST = 2**63 - 1
_GIB = 1024**3


class ProjectUsage(NamedTuple):
    """What a project's shares on a pool (host@backend#pool) use, and their sizes. `used_bytes`
    covers those that were measured."""

    project_id: str
    pool: str
    used_bytes: int
    allocated_bytes: int


class ShareUsage(NamedTuple):
    """What one share uses."""

    share_id: str
    project_id: str
    pool: str
    used_bytes: int


def store(conn: Connection, service_host: str, used_bytes: Mapping[str, int]) -> None:
    """Store the usage of all shares on host@backend, by share instance id, replacing what was
    known.

    In three statements, however many there are. Unchanged rows are not written; unknown ids are
    skipped.
    """
    known = {id_: min(max(used, 0), _MOST) for id_, used in used_bytes.items()}
    given = _pairs(conn, known)
    rows = sa.select(
        share_instances.c.id, sa.literal(service_host), sa.cast(given.c.value, sa.BigInteger)
    ).where(share_instances.c.id == given.c.key)
    insert = upsert(conn, share_usages).from_select(
        ["share_instance_id", "service_host", "used_bytes"], rows
    )
    changed = {
        "service_host": insert.excluded.service_host,
        "used_bytes": insert.excluded.used_bytes,
    }
    is_changed = (share_usages.c.used_bytes != insert.excluded.used_bytes) | (
        share_usages.c.service_host != service_host
    )
    conn.execute(
        insert.on_conflict_do_update(
            index_elements=["share_instance_id"], set_=changed, where=is_changed
        )
    )
    gone = sa.or_(
        share_usages.c.share_instance_id.not_in(sa.select(given.c.key)),
        share_usages.c.share_instance_id.not_in(sa.select(share_instances.c.id)),
    )
    conn.execute(sa.delete(share_usages).where(share_usages.c.service_host == service_host, gone))
    conn.execute(
        sa.update(services)
        .where(services.c.host == service_host)
        .values(usage_measured_at=utcnow())
    )


def by_project(conn: Connection) -> list[ProjectUsage]:
    """Summed up by project and pool, in one statement."""
    query = (
        sa.select(
            shares.c.project_id,
            share_instances.c.host,
            sa.func.coalesce(sa.func.sum(share_usages.c.used_bytes), 0),
            sa.func.sum(shares.c.size),
        )
        .join(shares, shares.c.id == share_instances.c.share_id)
        .outerjoin(share_usages, share_usages.c.share_instance_id == share_instances.c.id)
        .where(share_instances.c.host.is_not(None))
        .group_by(shares.c.project_id, share_instances.c.host)
    )
    return [
        ProjectUsage(project, pool, int(used), int(size) * _GIB)
        for project, pool, used, size in conn.execute(query)
    ]


def by_share(conn: Connection) -> list[ShareUsage]:
    """Each measured share, on each of its pools, in one statement."""
    place = (shares.c.id, shares.c.project_id, share_instances.c.host)
    query = (
        sa.select(*place, sa.func.sum(share_usages.c.used_bytes))
        .join(share_instances, share_instances.c.share_id == shares.c.id)
        .join(share_usages, share_usages.c.share_instance_id == share_instances.c.id)
        .where(share_instances.c.host.is_not(None))
        .group_by(*place)
    )
    return [
        ShareUsage(share_id, project, pool, int(used))
        for share_id, project, pool, used in conn.execute(query)
    ]


def _pairs(conn: Connection, values: Mapping[str, int]) -> Any:
    """A table of key and value, passed as one parameter: as a statement of its own, ten thousand
    rows take seconds to compile."""
    text = sa.literal(msgspec.json.encode(values).decode(), sa.Text)
    if is_sqlite(conn):
        return sa.func.json_each(text).table_valued("key", "value", name="given")
    return sa.func.json_each_text(sa.cast(text, sa.JSON)).table_valued("key", "value", name="given")
