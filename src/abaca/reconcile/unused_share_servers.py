"""Delete share servers that have been without a share for a while and may be deleted
automatically."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from abaca.db.session import utcnow
from abaca.db.tables import share_instances, share_servers
from abaca.reconcile.share_server_deletions import delete_each


def delete_unused(engine: Engine, hosts: set[str], unused_seconds: int) -> None:
    """Start the deletion of the unused servers of these back ends (host@backend), as an
    administrator would."""
    used = (
        sa.select(share_instances.c.id)
        .where(share_instances.c.share_server_id == share_servers.c.id)
        .exists()
    )
    since = sa.func.coalesce(share_servers.c.updated_at, share_servers.c.created_at)
    idle = sa.select(share_servers).where(
        share_servers.c.host.in_(hosts),
        share_servers.c.status == "active",
        share_servers.c.is_auto_deletable,
        since < utcnow() - timedelta(seconds=unused_seconds),
        ~used,
    )
    delete_each(engine, idle)
