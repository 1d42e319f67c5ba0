"""Calls that may never return: each runs in a thread of its own and is given up after a time limit.

Python cannot end a thread: one that was given up ends when its call returns. At most `MOST_HANGING`
of them exist.
"""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from threading import Lock, Thread
from typing import Any, TypeVar

from abaca.errors import OutcomeUnknown, Stopping, Unavailable
from abaca.workflow.locks import held
from abaca.workflow.runtime import Runtime

R = TypeVar("R")

MOST_HANGING = 64

_LOG = logging.getLogger(__name__)
_lock = Lock()
_hanging: dict[Future[Any], str] = {}


def call(function: Callable[[], R], name: str, runtime: Runtime) -> R:
    """Return `function()`, waiting at most the runtime's `call_seconds`. Passes its errors on;
    raises Stopping if the worker stops first.

    Raises OutcomeUnknown on timeout: until the call returns, the share server whose lock is held is
    excluded from all work. Raises Unavailable, without calling, if too many calls hang or the share
    server is excluded.
    """
    _refuse_in_vain(name)
    future: Future[R] = Future()
    runtime.calls.add(future)
    future.add_done_callback(runtime.calls.discard)
    context = contextvars.copy_context()
    Thread(target=context.run, args=(_run, function, future), name=name, daemon=True).start()
    either: list[Future[Any]] = [future, runtime.leaving]
    wait(either, runtime.limits.call_seconds, FIRST_COMPLETED)
    if future.done():
        return future.result()
    if runtime.leaving.done():
        raise Stopping
    _give_up(future, name)
    raise OutcomeUnknown(
        f"The back end has not answered within {runtime.limits.call_seconds:g} seconds.",
        is_public=True,
    )


def hanging() -> list[str]:
    """The names of calls that were given up and have not returned."""
    with _lock:
        return sorted(_hanging.values())


def _refuse_in_vain(name: str) -> None:
    hold = held()
    if hold is not None and (hanging_one := hold.hanging) is not None:
        said = (
            f"The back end has not answered an earlier call about {hanging_one}; nothing is begun "
            "on it until it does."
        )
        raise Unavailable(said, is_public=True)
    if len(hanging()) >= MOST_HANGING:
        raise Unavailable(
            f"{MOST_HANGING} calls to back ends have not returned; {name} is not started."
        )


def _give_up(future: Future[Any], name: str) -> None:
    with _lock:
        _hanging[future] = name
    future.add_done_callback(_came_back)
    hold = held()
    if hold is not None:
        hold.keep_out_until(future)
    _LOG.error(
        "%s has not returned in time%s",
        name,
        f"; {hold.server_id} is left alone until it does" if hold else "",
    )


def _run(function: Callable[[], R], future: Future[R]) -> None:
    try:
        future.set_result(function())
    except BaseException as error:
        future.set_exception(error)


def _came_back(future: Future[Any]) -> None:
    with _lock:
        name = _hanging.pop(future)
    _LOG.warning("%s has returned after all", name)
