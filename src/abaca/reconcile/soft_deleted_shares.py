"""Delete soft-deleted shares whose retention time is over."""

from __future__ import annotations

import logging

from sqlalchemy.engine import Engine

from abaca.db.session import begin, read
from abaca.domain.shares import soft_deletion
from abaca.errors import CallerError

_LOG = logging.getLogger(__name__)


def delete_due(engine: Engine, hosts: set[str], *, is_deferred: bool = False) -> None:
    """Start the deletion of those on these back ends (host@backend), one by one: a share that
    cannot be deleted does not stop the others."""
    with read(engine) as conn:
        share_ids = soft_deletion.due(conn, hosts)
    for share_id in share_ids:
        try:
            with begin(engine) as conn:
                soft_deletion.delete_due(conn, share_id, is_deferred=is_deferred)
        except CallerError as error:
            _LOG.warning("soft-deleted share %s is not deleted now: %s", share_id, error.message)
