"""Delete lists of connected clients, which are valid for seconds. The next request deletes them
too; this pass is for when there is none."""

from __future__ import annotations

from sqlalchemy.engine import Engine

from abaca.db.session import begin
from abaca.domain.network_changes import client_inquiries


def forget_expired(engine: Engine) -> None:
    """Delete every answer, and every question without an answer, past its `expires_at`."""
    with begin(engine) as conn:
        client_inquiries.delete_expired(conn)
