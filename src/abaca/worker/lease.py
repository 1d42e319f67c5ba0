"""The right to serve a worker host: one process at a time, on one machine.

On a machine a file lock decides. Across machines it is a lease in the database with a fencing
token: a process that does not renew it in time has lost it, and starts no more steps. Times are the
database's, so a machine with a wrong clock takes no lease early, and the holder measures with a
monotonic clock.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import IO

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from abaca.db.session import begin, database_now
from abaca.db.tables import worker_leases
from abaca.domain.server_moves import share_server_moves
from abaca.errors import Conflict


class Lease:
    """Held from `acquire` on, as long as `renew` is called at least every `seconds`."""

    def __init__(self, engine: Engine, host: str, seconds: int, lock_path: Path) -> None:
        self._engine = engine
        self._host = host
        self._seconds = seconds
        self._lock_path = lock_path
        self._lock_file: IO[str] | None = None
        self.token = 0  # until `acquire`
        self._valid_until = 0.0
        self._is_over = False

    def acquire(self) -> None:
        """Take the lease. Raises Conflict if another process serves the host, here or elsewhere."""
        self._lock_file = self._lock_path.open("a", encoding="utf-8")
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(
                f"Another process on this machine already serves the worker host '{self._host}'."
            ) from None
        self._take()

    def renew(self) -> None:
        """Renew the lease. Raises Conflict if it was lost."""
        asked = time.monotonic()
        with begin(self._engine) as conn:
            renewed = conn.execute(
                sa.update(worker_leases)
                .where(worker_leases.c.host == self._host, worker_leases.c.token == self.token)
                .values(expires_at=database_now(conn) + timedelta(seconds=self._seconds))
            )
        if not renewed.rowcount:
            self._valid_until = 0.0
            raise Conflict(
                f"The worker host '{self._host}' was taken over by another machine, or evacuated."
            )
        self._valid_until = asked + self._seconds

    def is_held(self) -> bool:
        """Whether a step may start now; needs no database."""
        return time.monotonic() < self._valid_until and not self._is_over

    def release(self, is_unused: Callable[[], bool] = lambda: True) -> None:
        """Release the lease, so that the next process can start at once. From now on it is not
        held; if it is not unused even so, it runs out by itself, and only this machine can take it
        before."""
        self._is_over = True
        if is_unused():
            held = (worker_leases.c.host == self._host) & (worker_leases.c.token == self.token)
            with begin(self._engine) as conn:
                now = database_now(conn)
                conn.execute(sa.update(worker_leases).where(held).values(expires_at=now))
        if self._lock_file is not None:
            self._lock_file.close()

    def _take(self) -> None:
        asked = time.monotonic()
        with begin(self._engine) as conn:
            now = database_now(conn)
            values = {"machine": _machine(), "expires_at": now + timedelta(seconds=self._seconds)}
            row = conn.execute(
                sa.select(worker_leases).where(worker_leases.c.host == self._host).with_for_update()
            ).one_or_none()
            if row is None:
                self.token = 1
                conn.execute(sa.insert(worker_leases).values(host=self._host, token=1, **values))
            elif row.machine != _machine() and row.expires_at > now:
                raise Conflict(
                    f"Another machine serves the worker host '{self._host}'; its lease lasts "
                    f"until {row.expires_at} UTC."
                )
            else:
                if row.machine != _machine():
                    share_server_moves.shut_out_former_machine(conn, self._host)
                self.token = row.token + 1
                conn.execute(
                    sa.update(worker_leases)
                    .where(worker_leases.c.host == self._host)
                    .values(token=self.token, **values)
                )
            if conn.dialect.name == "sqlite":
                elsewhere = sa.select(worker_leases.c.host).where(
                    worker_leases.c.machine != _machine(), worker_leases.c.expires_at > now
                )
                if conn.execute(elsewhere).first():
                    raise Conflict(
                        "SQLite works on one machine only; workers on several machines need "
                        "PostgreSQL."
                    )
        self._valid_until = asked + self._seconds


def _machine() -> str:
    """What identifies this machine: systemd's machine id, or the host name."""
    try:
        return Path("/etc/machine-id").read_text(encoding="ascii").strip() or os.uname().nodename
    except OSError:
        return os.uname().nodename
