"""Workflows and their two kinds of step.

A workflow is a plain function of text arguments (ids). Its body reads and changes nothing itself:
everything goes through steps, called by `tx` and `effect`, whose results are stored. After a crash
the body runs again and gets the stored results.

* `tx(function, *args)`: SQL only. The result of `function(conn, *args)` is stored in the same
  transaction as the rows it changes.
* `effect(function, *args)`: has effects outside of the database and may run twice, so it first
  looks for what it is about to make. Its result is stored with the next step (see `journal`).

`look` reads what never changes, and is not a step.

Step results are converted to the return annotation of the function, also the first time, so that
both times are alike.

Work that older code began continues as long as its recorded steps are those of the current code;
otherwise it is parked (`Outgrown`).
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar, cast, get_type_hints

import msgspec
from dbos import DBOS
from dbos._context import get_local_dbos_context
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import OperationalError

from abaca import log_context
from abaca.db.session import begin, is_outage, read
from abaca.errors import BackendError, DatabaseAway, OutcomeUnknown, Stopping, Unavailable
from abaca.workflow import crash_points, deadlines, locks, slots
from abaca.workflow.journal import Journal, Outgrown, Step
from abaca.workflow.queue import request_of
from abaca.workflow.runtime import Runtime, current

P = ParamSpec("P")
R = TypeVar("R")

_LOG = logging.getLogger(__name__)


_LONGEST_PAUSE = 5.0

_journal: ContextVar[Journal] = ContextVar("journal")

ENDINGS: dict[str, Callable[..., None]] = {}
"""Workflow name → what ends its nouns' transitional states when it cannot go on: its
`on_failure`."""

RESUMPTIONS: dict[str, Callable[..., None]] = {}
"""Workflow name → what begins it once more after that: its `on_resume`."""

_describe: list[Callable[[Connection, Sequence[str]], dict[str, str]]] = []
_last_resorts: list[Callable[[Connection, Sequence[str], str], None]] = []

INTERNAL_ERROR = (
    "An internal error occurred; the operation was ended. The administrator finds "
    "the cause in the log of the worker."
)
OUTGROWN = (
    "The service was upgraded while this operation was going on. What can be taken up again is "
    "taken up again by itself, within a minute; "
    "a check has to be asked for anew."
)


def workflow(
    *,
    on_failure: Callable[..., None],
    on_resume: Callable[..., None] | None = None,
    is_check: bool = False,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a function a durable workflow of the same name.

    `on_failure(conn, *args, reason)` runs as a step when the body raises. It sets the resources to
    their error states, so that no transitional state outlives its work. A `BackendError` ends the
    work this way. Any other exception does too, and parks the work: it is stored as failed, for the
    administrator.

    `on_resume(conn, *args)` resumes parked work: it sets the resources to their transitional states
    and enqueues the work again. It raises Conflict if they are not as `on_failure` left them. None:
    such work cannot be resumed, only requested again.

    `is_check`: it only queries, and uses the slots for checks (see `slots`).
    """

    def decorate(body: Callable[..., None]) -> Callable[..., None]:
        name = body.__name__

        @functools.wraps(body)
        def run(*args: str) -> None:
            try:
                with log_context.working_for(*_asked_by()):
                    _run(body, args)
            finally:
                current().work_ended()

        run.__annotations__ = {}
        ENDINGS[name] = on_failure
        if on_resume is not None:
            RESUMPTIONS[name] = on_resume
        if is_check:
            slots.CHECKS.add(name)
        return DBOS.workflow(name=name)(run)

    return decorate


def describe_by(describe: Callable[[Connection, Sequence[str]], dict[str, str]]) -> None:
    """Set the function that names resources in log lines of work: `describe(conn, args)` returns
    kind → id."""
    _describe[:] = [describe]


def last_resort(end: Callable[[Connection, Sequence[str], str], None]) -> None:
    """Add a function `end(conn, args, reason)` that sets resources to their error states if
    `on_failure` itself fails, or if the kind of work is unknown."""
    _last_resorts[:] = [end]


def end_outside(engine: Engine, name: str, args: Sequence[str], reason: str) -> None:
    """Set the resources of work that does not continue to their error states, outside of its
    steps."""

    def run(function: Callable[..., None], *args: Any) -> None:
        with begin(engine) as conn:
            function(conn, *args)

    _end(run, name, args, reason)


def _asked_by() -> tuple[str, str]:
    """The request that the work of this thread was put in for, and the project that it is done
    for."""
    context = get_local_dbos_context()
    if context is None:
        return "", ""
    return request_of(context.authenticated_roles), context.authenticated_user or ""


def _run(body: Callable[..., None], args: Sequence[str]) -> None:
    name, started = body.__name__, time.monotonic()
    crash_points.enter(name)
    _journal.set(Journal(current().records))
    try:
        _carry_out(body, args)
    except Outgrown:
        # No step may be begun: its number may be that of a recorded one.
        _LOG.error("%s%s was started by a release whose steps differ; it is parked", name, args)
        current().records.patiently(lambda _: end_outside(current().engine, name, args, OUTGROWN))
        raise Outgrown(OUTGROWN) from None
    _LOG.info("%s%s ended after %.0f ms", name, args, (time.monotonic() - started) * 1000)


def _carry_out(body: Callable[..., None], args: Sequence[str]) -> None:
    try:
        for describe in _describe:
            log_context.name(look(describe, args))
        body(*args)
    except BackendError as error:
        _LOG.warning("%s%s failed: %s", body.__name__, args, error.message)
        _end(tx, body.__name__, args, error.public_text(log_context.request_id()))
    except Outgrown:
        raise
    except Exception:
        _LOG.exception("%s%s is parked", body.__name__, args)
        _end(tx, body.__name__, args, INTERNAL_ERROR)
        raise


def _end(run: Callable[..., object], name: str, args: Sequence[str], reason: str) -> None:
    """Run `on_failure` or, if that fails too, the last resorts. `run(function, *args)` gives each a
    transaction."""
    if name in ENDINGS:
        try:
            run(ENDINGS[name], *args, reason)
            return
        except Outgrown:
            raise
        except Exception as error:
            if isinstance(error, OperationalError) and is_outage(error):
                raise
            _LOG.exception(
                "%s%s: its failure handler failed, too; what it works on is set to error",
                name,
                args,
            )
    for end in _last_resorts:
        run(end, list(args), reason)


def tx(function: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run `function(conn, *args)` in a transaction that also stores its result."""
    _ready()
    journal, name = _journal.get(), function.__qualname__
    step = crash_points.before(name)

    def body(conn: Connection) -> Any:
        crash_points.about_to(step)
        result = function(conn, *args, **kwargs)
        crash_points.inside(step)
        return msgspec.to_builtins(result)

    stored = _once(journal, name, lambda entry: journal.transaction(entry, body))
    crash_points.after(step)
    return _converted(stored, function)


def look(function: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Read `function(conn, *args)` without a step and without storing it: only for what never
    changes, or for one call."""
    runtime = _ready()

    def attempt(_again: bool) -> R:
        with read(runtime.engine) as conn:
            return function(conn, *args, **kwargs)

    return runtime.records.patiently(attempt)


class _Later(NamedTuple):
    function: Callable[..., Any]
    args: tuple[Any, ...]


def later(function: Callable[Concatenate[Connection, P], R], *args: P.args, **_: P.kwargs) -> R:
    """An argument for `effect`: the result of `function(conn, *args)`, read when the call is made,
    each time anew, and not stored.

    So records of work contain no copies of rows, however large those are. Whatever decides how the
    work continues is read by `tx`.
    """
    return cast(R, _Later(function, args))


def read_within(
    engine: Engine,
    function: Callable[Concatenate[Connection, P], R],
    *args: P.args,
    **kwargs: P.kwargs,
) -> R:
    """Read `function(conn, *args)` within an effect. Like a step, it waits for a database that is
    unavailable, because that is not a failure of the back end.

    Outside of a workflow it does not wait.
    """

    def attempt(_again: bool) -> R:
        with read(engine) as conn:
            return function(conn, *args, **kwargs)

    return attempt(False) if _journal.get(None) is None else current().records.patiently(attempt)


def effect(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call `function(*args)` and store its result. `Unavailable` and `OutcomeUnknown` are retried
    for `retry_seconds`.

    A call that does not return in time is given up (see `deadlines`) and not retried.
    """
    runtime = _ready()
    name = getattr(function, "__qualname__", type(function).__name__)
    journal, step = _journal.get(), crash_points.before(name, is_effect=True)

    def attempt(given: Sequence[Any]) -> Any:
        crash_points.about_to(step)
        result = function(*given, **kwargs)
        crash_points.inside(step)
        return result

    def call() -> Any:
        given = [look(arg.function, *arg.args) if isinstance(arg, _Later) else arg for arg in args]
        return deadlines.call(lambda: attempt(given), name, runtime)

    def body() -> Any:
        return msgspec.to_builtins(_patiently(runtime, call))

    stored = _once(journal, name, lambda entry: journal.effect(entry, body))
    crash_points.after(step)
    return _converted(stored, function)


def _once(journal: Journal, name: str, do: Callable[[Step], Any]) -> Any:
    """The result of the next step: its recorded one, or that of `do`."""
    step = journal.next(name)
    is_recorded, stored = journal.recorded(step)
    if is_recorded:
        return stored
    try:
        return do(step)
    except Exception as error:
        journal.failed(step, error)
        raise


def _ready() -> Runtime:
    """The runtime of this process. Raises Stopping if no further step may start."""
    runtime = current()
    if runtime.stopping.is_set():
        raise Stopping
    runtime.guard()
    return runtime


def _patiently(runtime: Runtime, call: Callable[[], R]) -> R:
    """Retry for `retry_seconds`, and at least once: the first try may have taken all of it."""
    patience = min(runtime.limits.retry_seconds, runtime.limits.call_seconds)
    deadline = time.monotonic() + patience
    pause, is_last = 0.1, patience == 0
    while True:
        try:
            return call()
        except (Unavailable, OutcomeUnknown) as error:
            if (is_last and not isinstance(error, DatabaseAway)) or locks.is_kept_out():
                raise
            if runtime.stopping.wait(pause):
                raise Stopping from None
            pause = min(pause * 2, _LONGEST_PAUSE)
            is_last = time.monotonic() + pause > deadline


def _converted(stored: Any, function: Callable[..., R]) -> R:
    try:
        converted: R = msgspec.convert(stored, _result_type(function))
    except msgspec.ValidationError as error:
        raise Outgrown(f"{function} returns something else now: {error}") from error
    return converted


@functools.cache
def _result_type(function: Callable[..., Any]) -> Any:
    """The return annotation. Of a method it is that of the interface which it implements: a driver
    from elsewhere may have none, others, or such as only a type checker can read, and may wrap its
    methods."""
    owner, inner = (
        type(getattr(function, "__self__", None)),
        getattr(function, "__func__", function),
    )
    names = {name for base in owner.__mro__ for name, found in vars(base).items() if found is inner}
    same = [
        *(
            vars(base)[name]
            for base in reversed(owner.__mro__)
            for name in names
            if name in vars(base)
        ),
        function,
    ]
    hints = (get_type_hints(each) for each in same if callable(each))
    return next((hint["return"] for hint in hints if "return" in hint), Any)
