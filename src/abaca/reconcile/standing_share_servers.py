"""Bring existing share servers into the described state, each under its lock: one, or all of a
back end.

For a worker that starts, and for servers that stopped serving by themselves. What an administrator
asks for is a workflow: `service_ensure_shares`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import partial

from sqlalchemy.engine import Engine

from abaca.db.session import read
from abaca.domain.driver_views import driver_values, snapshot_values
from abaca.domain.share_servers import share_servers
from abaca.errors import BackendError, NoSpace, Refused
from abaca.operations import driver_calls, serving
from abaca.workflow import deadlines
from abaca.workflow.runtime import Runtime

_LOG = logging.getLogger(__name__)

MOST_AT_ONCE = 8
"""Servers of one back end that are brought up side by side: most of the time goes by waiting for
their processes."""


def ensure_all(engine: Engine, host: str, runtime: Runtime) -> None:
    """Every server that is on the back end `host`. Raises the first error that is not one
    server's own, after all have had their turn.

    A server that cannot even be described, or over which the driver shows a bug, does not keep the
    others from being served.
    """
    with read(engine) as conn:
        server_ids = share_servers.standing(conn, host)
    with ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix=f"ensure {host}") as threads:
        attempts = [
            threads.submit(ensure, engine, host, server_id, runtime) for server_id in server_ids
        ]
    for server_id, attempt in zip(server_ids, attempts, strict=True):
        error = attempt.exception()
        if isinstance(error, Exception) and not isinstance(error, BackendError):
            _LOG.error("share server %s could not be ensured", server_id, exc_info=error)
        elif error is not None:
            raise error


def ensure(
    engine: Engine,
    host: str,
    server_id: str,
    runtime: Runtime,
    is_wanted: Callable[[], bool] = lambda: True,
    room: AbstractContextManager[object] | None = None,
) -> None:
    """One server, if it still exists and, asked under its lock, `is_wanted`. What is refused for
    good on it is logged.

    `room` is held while the driver is busy with it, and not while its lock is waited for.
    """
    with serving.current().locks.exclusive(server_id):
        with read(engine) as conn:
            if not share_servers.stands(conn, server_id):
                return  # it went while its lock was waited for
            server = driver_values.standing_server(conn, server_id)
            shares = driver_values.shares_of_server(conn, server_id)
            snapshots = snapshot_values.of_server(conn, server_id)
        if not is_wanted():
            return
        try:
            with room or nullcontext():
                deadlines.call(
                    partial(driver_calls.ensure_server, host, server, shares, snapshots),
                    "ensure_server",
                    runtime,
                )
        except (Refused, NoSpace) as error:
            _LOG.error("share server %s could not be ensured: %s", server.id, error.message)
