"""What shares know of offers to hand them over: an offer ends with its share's
`awaiting_transfer`, whoever ends that. Offering and accepting: `transfers.share_transfers`."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.tables import share_transfers

STATUS = "awaiting_transfer"


def withdraw(conn: Connection, share_id: str) -> None:
    """End the offer of a share, whose status the caller sets; does nothing without one."""
    conn.execute(sa.delete(share_transfers).where(share_transfers.c.share_id == share_id))
