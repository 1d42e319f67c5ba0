"""Workflows and their two kinds of step.

A workflow is a plain function of text arguments (ids). Its body reads and changes nothing itself: everything goes through steps,
called by `tx` and `effect`, whose results are stored; after a crash the body runs again and gets the stored results.

* `tx(function, *args)`: SQL only. `function(conn, *args)`; its result is stored in the same transaction as the rows it changes.
* `effect(function, *args)`: touches the world, may run twice, and so first looks for what it is about to make.

Step results are converted to the return annotation of the function, also the first time, so both times are alike.
The order of the steps of a workflow is part of the upgrade contract.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar, get_type_hints

import msgspec
from dbos import DBOS
from dbos._datasource import DatasourceOptions
from dbos._error import DBOSBaseException
from sqlalchemy.engine import Connection

from abaca.errors import BackendError, OutcomeUnknown, Unavailable
from abaca.workflow import crash_points, deadlines, locks
from abaca.workflow.runtime import Runtime, Stopping, current

P = ParamSpec("P")
R = TypeVar("R")

_LOG = logging.getLogger(__name__)


_LONGEST_PAUSE = 5.0

ENDINGS: dict[str, Callable[..., None]] = {}
"""Workflow name → what ends its nouns' transitional states when it cannot go on: its `on_failure`."""

RESUMPTIONS: dict[str, Callable[..., None]] = {}
"""Workflow name → what begins it once more after that: its `on_resume`."""

INTERNAL_ERROR = "An internal error occurred; the operation was ended. The administrator finds the cause in the log of the worker."


def workflow(
    *, on_failure: Callable[..., None], on_resume: Callable[..., None] | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a function a durable workflow, named as the function.

    `on_failure(conn, *args, reason)` is run as a step when the body lets an error out: it sets the nouns concerned to their error
    states, so that no transitional state outlives its work. A `BackendError` ends the work so; anything else does, too, and parks it:
    it is kept, marked as failed, for the administrator.

    `on_resume(conn, *args)` takes what was parked up again: it puts the nouns back into their transitional states and enqueues the work
    anew. It raises Conflict when they are not as `on_failure` left them. None: such work is asked for anew instead.
    """

    def decorate(body: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(body)
        def run(*args: str) -> None:
            name = body.__name__
            crash_points.enter(name)
            started = time.monotonic()
            try:
                body(*args)
            except BackendError as error:
                _LOG.warning("%s%s failed: %s", name, args, error.message)
                tx(on_failure, *args, error.message)
            except DBOSBaseException:
                raise
            except Exception:
                _LOG.exception("%s%s is parked", name, args)
                tx(on_failure, *args, INTERNAL_ERROR)
                raise
            else:
                _LOG.info("%s%s done in %.0f ms", name, args, (time.monotonic() - started) * 1000)

        run.__annotations__ = {}
        ENDINGS[body.__name__] = on_failure
        if on_resume is not None:
            RESUMPTIONS[body.__name__] = on_resume
        return DBOS.workflow(name=body.__name__)(run)

    return decorate


def tx(function: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run `function(conn, *args)` in a transaction that also stores its result."""
    runtime = _ready()
    step = crash_points.before(function.__qualname__)

    def body() -> Any:
        crash_points.about_to(step)
        result = function(runtime.datasource.sql_session().connection(), *args, **kwargs)
        crash_points.inside(step)
        return msgspec.to_builtins(result)

    options: DatasourceOptions = {"name": function.__qualname__, "isolation_level": runtime.isolation_level}
    stored = runtime.datasource.run_tx_step(options, body)
    crash_points.after(step)
    return _converted(stored, function)


def effect(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call `function(*args)` and store its result; `Unavailable` and `OutcomeUnknown` are tried again until the worker's patience ends.

    A call that does not come back in time is given up (see `deadlines`), and is not tried again.
    """
    runtime = _ready()
    name = getattr(function, "__qualname__", type(function).__name__)
    step = crash_points.before(name, is_effect=True)

    def attempt() -> Any:
        crash_points.about_to(step)
        result = function(*args, **kwargs)
        crash_points.inside(step)
        return result

    def body() -> Any:
        result = _patiently(runtime, lambda: deadlines.call(attempt, name, runtime))
        return msgspec.to_builtins(result)

    stored = DBOS.run_step({"name": name}, body)
    crash_points.after(step)
    return _converted(stored, function)


def _ready() -> Runtime:
    """The runtime of this process, unless it starts no step any more."""
    runtime = current()
    if runtime.stopping.is_set():
        raise Stopping
    runtime.guard()
    return runtime


def _patiently(runtime: Runtime, call: Callable[[], R]) -> R:
    deadline = time.monotonic() + min(runtime.limits.retry_seconds, runtime.limits.call_seconds)
    pause = 0.1
    while True:
        try:
            return call()
        except (Unavailable, OutcomeUnknown):
            if time.monotonic() + pause > deadline or locks.is_kept_out():
                raise
            if runtime.stopping.wait(pause):
                raise Stopping from None
            pause = min(pause * 2, _LONGEST_PAUSE)


def _converted(stored: Any, function: Callable[..., R]) -> R:
    converted: R = msgspec.convert(stored, _result_type(function))
    return converted


@functools.cache
def _result_type(function: Callable[..., Any]) -> Any:
    return get_type_hints(function).get("return", Any)
