"""Make the snapshots and backups whose time has come, and delete the surplus of those that were
made."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import ModuleType

from sqlalchemy.engine import Engine

from abaca.db.session import begin, read
from abaca.domain.backups import scheduled_backups
from abaca.domain.shares.schedules import BACKUPS, SNAPSHOTS, Schedules
from abaca.domain.snapshots import scheduled_snapshots
from abaca.errors import CallerError

_LOG = logging.getLogger(__name__)


def take_due(engine: Engine, hosts: set[str], quota_defaults: Mapping[str, int]) -> None:
    """For the shares on these back ends (host@backend), each in a transaction of its own: one that
    fails does not stop the others."""
    _take(engine, hosts, quota_defaults, SNAPSHOTS, scheduled_snapshots)
    _take(engine, hosts, quota_defaults, BACKUPS, scheduled_backups)


def _take(
    engine: Engine,
    hosts: set[str],
    quota_defaults: Mapping[str, int],
    schedules: Schedules,
    work: ModuleType,
) -> None:
    """`work`: how they are made and deleted."""
    with read(engine) as conn:
        due, taken = schedules.due(conn, hosts), schedules.taken(conn, hosts)
    for scheduled in due:
        try:
            with begin(engine) as conn:
                work.take(conn, scheduled, quota_defaults)
        except CallerError as error:  # the share has gone
            share_id, frequency = scheduled
            _LOG.info(
                "no %s %s of share %s: %s", frequency, schedules.what, share_id, error.message
            )
    for scheduled in taken:
        try:
            with begin(engine) as conn:
                work.delete_surplus(conn, scheduled)
        except CallerError as error:
            _LOG.info("%ss of share %s stay: %s", schedules.what, scheduled.share_id, error.message)
