"""Take the snapshots whose time has come, and delete the surplus of those that were taken."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from sqlalchemy.engine import Engine

from abaca.db.session import begin, read
from abaca.domain.snapshots import scheduled_snapshots
from abaca.errors import CallerError

_LOG = logging.getLogger(__name__)


def take_due(engine: Engine, hosts: set[str], quota_defaults: Mapping[str, int]) -> None:
    """For the shares on these back ends (host@backend), each in a transaction of its own: one that
    fails does not stop the others."""
    with read(engine) as conn:
        due, taken = scheduled_snapshots.due(conn, hosts), scheduled_snapshots.taken(conn, hosts)
    for scheduled in due:
        try:
            with begin(engine) as conn:
                scheduled_snapshots.take(conn, scheduled, quota_defaults)
        except CallerError as error:  # the share has gone
            _LOG.info("no %s snapshot of share %s: %s", *scheduled[::-1], error.message)
    for scheduled in taken:
        try:
            with begin(engine) as conn:
                scheduled_snapshots.delete_surplus(conn, scheduled)
        except CallerError as error:
            _LOG.info("snapshots of share %s stay: %s", scheduled.share_id, error.message)
