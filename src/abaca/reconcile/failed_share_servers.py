"""Delete share servers that are left over from failures: those that never became active, and those
whose deletion failed half-way.

Failed shares and share groups are first detached from a server that never became active: it holds
nothing of them.
"""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from abaca.db.session import utcnow
from abaca.db.tables import share_groups, share_instances, share_servers
from abaca.domain.rows import states
from abaca.domain.rows.states import Permit
from abaca.domain.share_servers import share_servers as servers
from abaca.reconcile.share_server_deletions import delete_each

AFTER_SECONDS = 20.0
"""Pause after a failure, so that a deletion that keeps failing is not tried in a tight loop."""


def delete_leftovers(engine: Engine, hosts: set[str], after_seconds: float = AFTER_SECONDS) -> None:
    """Start the deletion of leftover servers on these back ends (host@backend)."""
    due = sa.select(share_servers).where(
        share_servers.c.host.in_(hosts),
        servers.is_leftover(),
        share_servers.c.updated_at <= utcnow() - timedelta(seconds=after_seconds),
    )
    delete_each(engine, due, may_go=_has_no_shares_left)


def _has_no_shares_left(conn: Connection, share_server_id: str) -> bool:
    """Detach failed shares and share groups from the server; True if nothing is left on it."""
    on_it = share_instances.c.share_server_id == share_server_id
    failed = share_instances.c.status.in_(states.SHARE.permitted[Permit.LEAVE_SERVER])
    conn.execute(
        sa.update(share_instances)
        .where(on_it, failed)
        .values(share_server_id=None, updated_at=utcnow())
    )
    conn.execute(
        sa.update(share_groups)
        .where(share_groups.c.share_server_id == share_server_id, share_groups.c.status == "error")
        .values(share_server_id=None, updated_at=utcnow())
    )
    return not servers.is_in_use(conn, share_server_id)
