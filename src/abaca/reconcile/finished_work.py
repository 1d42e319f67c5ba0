"""Delete the records of ended work, end work that killed its worker repeatedly, and resume work
after an upgrade."""

from __future__ import annotations

from sqlalchemy.engine import Engine

from abaca.workflow import inspection, retention

DONE_SECONDS = 3600
NOT_DONE_SECONDS = 30 * 24 * 3600


def tidy_up(engine: Engine, worker_host: str) -> None:
    """Delete the steps of work that succeeded, its records an hour later, and parked or given-up
    work after thirty days. End what DBOS gave up or this release does not know, and resume what has
    outgrown steps."""
    retention.end_given_up(engine, worker_host)
    inspection.resume_outgrown(engine, worker_host)
    retention.delete_steps()
    retention.delete_ended(retention.DONE, DONE_SECONDS)
    retention.delete_ended(retention.NOT_DONE, NOT_DONE_SECONDS)
