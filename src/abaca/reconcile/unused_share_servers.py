"""Delete share servers that have been without a share for a while and may be deleted
automatically."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from abaca.db.session import utcnow
from abaca.db.tables import share_servers
from abaca.domain.share_servers import share_servers as servers
from abaca.reconcile.share_server_deletions import delete_each


def delete_unused(engine: Engine, hosts: set[str], unused_seconds: int) -> None:
    """Start the deletion of the unused servers of these back ends (host@backend), as an
    administrator would."""
    since = sa.func.coalesce(share_servers.c.updated_at, share_servers.c.created_at)
    idle = sa.select(share_servers).where(
        share_servers.c.host.in_(hosts),
        share_servers.c.status == "active",
        share_servers.c.is_auto_deletable,
        since < utcnow() - timedelta(seconds=unused_seconds),
        ~servers.carries(share_servers.c.id),
    )
    delete_each(engine, idle)
