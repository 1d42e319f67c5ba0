"""Forget who was connected: answers are good for seconds. Who asks next deletes them; this pass is
for when nobody does."""

from __future__ import annotations

from sqlalchemy.engine import Engine

from abaca.db.session import begin
from abaca.domain.network_changes import client_inquiries


def forget_expired(engine: Engine) -> None:
    """Delete every answer, and every question without one, past its `expires_at`."""
    with begin(engine) as conn:
        client_inquiries.delete_expired(conn)
