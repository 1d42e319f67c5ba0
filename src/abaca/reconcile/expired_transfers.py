"""Make shares available again that nobody has taken over in time."""

from __future__ import annotations

import logging

from sqlalchemy.engine import Engine

from abaca.db.session import begin, read
from abaca.domain.transfers import share_transfers
from abaca.errors import CallerError

_LOG = logging.getLogger(__name__)


def end_due(engine: Engine) -> None:
    """End transfers whose time is over, one by one: one that cannot be ended holds up no other."""
    with read(engine) as conn:
        share_ids = share_transfers.due(conn)
    for share_id in share_ids:
        try:
            with begin(engine) as conn:
                share_transfers.end_due(conn, share_id)
        except CallerError as error:
            _LOG.warning("transfer of share %s is not ended now: %s", share_id, error.message)
