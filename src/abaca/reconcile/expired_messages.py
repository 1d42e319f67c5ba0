"""Forget user messages whose time is over."""

from __future__ import annotations

from sqlalchemy.engine import Engine

from abaca.db.session import begin
from abaca.domain import messages


def forget_expired(engine: Engine) -> None:
    """Delete every message past its `expires_at`."""
    with begin(engine) as conn:
        messages.delete_expired(conn)
