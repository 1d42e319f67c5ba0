"""Delete the records of work that ended some time ago, give up on work that killed its worker again
and again, and what an upgrade brings."""

from __future__ import annotations

from sqlalchemy.engine import Engine

from abaca.workflow import inspection, retention

DONE_SECONDS = 3600
NOT_DONE_SECONDS = 30 * 24 * 3600


def tidy_up(engine: Engine, worker_host: str) -> None:
    """Delete the steps of what is done, and all of it an hour later, and what was parked or given
    up more than thirty days ago; end what DBOS gave up or this release does not know, and take up
    again what was lost and what an older one began otherwise."""
    retention.end_given_up(engine, worker_host)
    retention.take_up_lost(worker_host)
    inspection.resume_outgrown(engine, worker_host)
    retention.delete_steps()
    retention.delete_ended(retention.DONE, DONE_SECONDS)
    retention.delete_ended(retention.NOT_DONE, NOT_DONE_SECONDS)
