"""Forget the records of work that ended some time ago, and give up on work that killed its worker again and again."""

from __future__ import annotations

from sqlalchemy.engine import Engine

from abaca.workflow import retention

KEPT_SECONDS = 24 * 3600


def tidy_up(engine: Engine, worker_host: str) -> None:
    """Delete what ended more than a day ago, successfully or not, and end what was given up."""
    retention.end_given_up(engine, worker_host)
    retention.delete_finished(KEPT_SECONDS)
