"""Whether anything of an installation runs: what moves or restores its database needs it to have
stopped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from oslo_config import cfg
from sqlalchemy.engine import Engine

from abaca import config
from abaca.admin import installed, state_dir
from abaca.db.session import database_now, is_sqlite, read
from abaca.db.tables import services, worker_leases
from abaca.domain.rows.heartbeats import is_up
from abaca.errors import Conflict


@contextmanager
def stopped(conf: cfg.ConfigOpts) -> Iterator[None]:
    """Nothing of it runs on this machine, and neither `abaca serve` nor `abaca api` starts
    meanwhile. Raises Conflict, which names what runs."""
    found = installed.running(conf)
    if found:
        raise Conflict(f"Stop {' and '.join(found)} on this machine first.")
    serving = config.state_path(conf, "serve.lock")
    with (
        state_dir.alone(serving, "Stop `abaca serve` on this machine first."),
        state_dir.alone(state_dir.api_lock(conf), "Stop `abaca api` on this machine first."),
    ):
        yield


def require_idle(engine: Engine) -> None:
    """Raises Conflict when a worker serves, on whichever machine, and on PostgreSQL when anybody
    else is connected to the database."""
    with read(engine) as conn:
        now = database_now(conn)
        leases = sa.select(worker_leases.c.host).where(worker_leases.c.expires_at > now)
        alive = [f"worker host {host}" for host in conn.scalars(leases)]
        alive += [
            f"back end {row['host']}"
            for row in conn.execute(sa.select(services)).mappings()
            if is_up(row)
        ]
        if not is_sqlite(conn):
            others = sa.text(
                "SELECT DISTINCT host(client_addr) FROM pg_stat_activity WHERE datname = "
                "current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
            alive += [
                f"a connection from {address}" if address else "another connection"
                for address in conn.scalars(others)
            ]
    if alive:
        raise Conflict(
            f"The database is in use: {', '.join(alive[:10])}. Stop the API and the workers of all "
            "hosts first; what was killed counts until its lease ends, half a minute later."
        )
