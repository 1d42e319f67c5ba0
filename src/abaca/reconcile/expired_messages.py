"""Delete expired user messages, and the oldest of projects that have too many."""

from __future__ import annotations

from sqlalchemy.engine import Engine

from abaca.db.session import begin
from abaca.domain.rows import messages


def forget_expired(engine: Engine, most: int = -1) -> None:
    """Delete every message past its `expires_at`, and all but the newest `most` of each project
    (-1: no limit)."""
    with begin(engine) as conn:
        messages.delete_expired(conn)
        if most >= 0:
            messages.keep_newest(conn, most)
