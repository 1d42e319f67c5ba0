"""Try deferred deletions of snapshots and shares again that have failed: their projects no longer
see them, so nobody else does."""

from __future__ import annotations

import logging
from collections.abc import Callable

from sqlalchemy.engine import Connection, Engine

from abaca.db.session import begin, read
from abaca.domain.shares import share_instances, shares
from abaca.domain.snapshots import share_snapshot_instances, snapshots
from abaca.errors import CallerError

_LOG = logging.getLogger(__name__)


def retry(engine: Engine, hosts: set[str]) -> None:
    """Start each on these back ends (host@backend) again, one by one: one that cannot be started
    does not stop the others."""
    with read(engine) as conn:
        failed_snapshots = share_snapshot_instances.due_again(conn, hosts)
        failed_shares = share_instances.due_again(conn, hosts)
    for instance_id in failed_snapshots:
        _retry(engine, snapshots.retry_deletion, instance_id)
    for instance_id in failed_shares:
        _retry(engine, shares.retry_deletion, instance_id)


def _retry(engine: Engine, start: Callable[[Connection, str], bool], instance_id: str) -> None:
    try:
        with begin(engine) as conn:
            start(conn, instance_id)
    except CallerError as error:
        _LOG.warning("the deletion of %s is not tried again now: %s", instance_id, error.message)
