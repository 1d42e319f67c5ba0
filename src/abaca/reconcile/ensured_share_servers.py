"""Ensure share servers, each under its lock: one, or all of a back end. A back end without share
servers is ensured as one.

For a worker that starts, and for servers that stopped serving by themselves. An administrator's
request is a workflow: `service_ensure_shares`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TypeVar

from sqlalchemy.engine import Engine

from abaca.db.session import begin, read
from abaca.domain.driver_views import driver_values, snapshot_values
from abaca.domain.share_servers import share_servers
from abaca.domain.snapshots import share_snapshot_instances
from abaca.errors import BackendError, NoSpace, Refused
from abaca.operations import driver_calls, serving
from abaca.workflow import deadlines
from abaca.workflow.runtime import Runtime

T = TypeVar("T")

_LOG = logging.getLogger(__name__)

MOST_AT_ONCE = 8
"""Servers of one back end that are ensured at a time: most of the time is spent waiting for their
processes."""


def ensure_all(engine: Engine, host: str, runtime: Runtime) -> None:
    """Ensure every server on the back end `host`, or all shares of one without servers. Tries all
    servers, and then raises the first error that affects the whole back end.

    A server that cannot be described, or that makes the driver raise an unexpected exception, is
    logged and does not stop the others.
    """
    with read(engine) as conn:
        server_ids = share_servers.serving_ids(conn, host, runtime.worker_host)
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
    if not serving.current().driver(host).capabilities.driver_handles_share_servers:
        ensure_back_end(engine, host, runtime)


def ensure(
    engine: Engine,
    host: str,
    server_id: str,
    runtime: Runtime,
    is_wanted: Callable[[], bool] = lambda: True,
    room: AbstractContextManager[object] | None = None,
) -> bool:
    """Ensure one server, if it still exists and `is_wanted()`, called under its lock, is true.
    Refused and NoSpace are logged, other errors are raised. Whether it has been ensured.

    `room`: a context entered for the driver's call, but not while waiting for the lock.
    """
    with serving.current().locks.exclusive(server_id):
        with read(engine) as conn:
            if not share_servers.is_serving(conn, server_id, runtime.worker_host):
                return False  # it went, to another host perhaps, while its lock was waited for
            server = driver_values.server_with_added_subnets(conn, server_id)
            shares = driver_values.shares_of_server(conn, server_id)
            snapshots = snapshot_values.of_server(conn, server_id)
        if not is_wanted():
            return False

        def ensure_it() -> bool:
            driver_calls.ensure_server(host, server, shares, snapshots)
            return True

        return _call(ensure_it, f"share server {server.id}", runtime, room) is not None


def ensure_back_end(
    engine: Engine,
    host: str,
    runtime: Runtime,
    is_wanted: Callable[[], bool] = lambda: True,
    room: AbstractContextManager[object] | None = None,
) -> None:
    """Ensure all shares of the back end `host`, which has no share servers. As `ensure`."""
    with serving.back_end(host):
        with read(engine) as conn:
            shares = driver_values.shares_of_back_end(conn, host)
            snapshots = snapshot_values.of_back_end(conn, host)
        if is_wanted():
            ensure_them = partial(serving.current().driver(host).ensure_shares, shares, snapshots)
            moved = _call(ensure_them, f"back end {host}", runtime, room)
            if moved is not None:
                with begin(engine) as conn:
                    share_snapshot_instances.moved(conn, moved)


def _call(
    function: Callable[[], T | None],
    what: str,
    runtime: Runtime,
    room: AbstractContextManager[object] | None,
) -> T | None:
    """What the function returns; None if the driver refuses."""
    try:
        with room or nullcontext():
            return deadlines.call(function, f"ensure {what}", runtime)
    except (Refused, NoSpace) as error:
        _LOG.error("%s could not be ensured: %s", what, error.message)
        return None
