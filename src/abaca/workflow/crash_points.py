"""Points at which a test lets the worker die, or a step fail: before a step, inside its effect and
after it; and the list of steps that ran.

Set by the environment of the worker process, nothing happens without it:

* `ABACA_CRASH_AT=workflow/3/inside`: the process kills itself (SIGKILL) at the third step of that
  workflow, counted from 1. before: nothing happened yet; inside: the world or the rows changed,
  nothing is recorded; after: it is over, and recorded unless it is an effect, which is recorded
  with the next step.
* `ABACA_FAIL_AT=workflow/3/inside/Refused`: the step raises that back end error there, each time it
  is tried, before its effect or when that has happened; `bug`: an error that nobody expects. The
  step may be given by its name, too.
* `ABACA_STEP_LOG=file`: each step appends a line `workflow/3/name`, and `+` to the name of one that
  reaches outside of the database.
"""

from __future__ import annotations

import os
import signal
from contextvars import ContextVar

from abaca.errors import BACKEND_ERRORS

FAILURE = "a test lets this step fail"

_workflow: ContextVar[str] = ContextVar("workflow", default="")
_count: ContextVar[int] = ContextVar("count", default=0)
_name: ContextVar[str] = ContextVar("name", default="")


def enter(workflow: str) -> None:
    """A workflow begins in this thread."""
    _workflow.set(workflow)
    _count.set(0)


def before(name: str, *, is_effect: bool = False) -> str:
    """The next step begins; returns `workflow/number`."""
    number = _count.get() + 1
    _count.set(number)
    _name.set(name)
    step = f"{_workflow.get()}/{number}"
    step_log = os.environ.get("ABACA_STEP_LOG")
    if step_log:
        with open(step_log, "a", encoding="utf-8") as log:
            log.write(f"{step}/{name}{'+' if is_effect else ''}\n")
    _die(f"{step}/before")
    return step


def about_to(step: str) -> None:
    """The step's effect is about to run."""
    _fail(step, "before")


def inside(step: str) -> None:
    """The step's effect has happened, its record is not written."""
    _die(f"{step}/inside")
    _fail(step, "inside")


def after(step: str) -> None:
    """The step has ended."""
    _die(f"{step}/after")


def _fail(step: str, moment: str) -> None:
    wanted, _, error = os.environ.get("ABACA_FAIL_AT", "").rpartition("/")
    if wanted in (f"{step}/{moment}", f"{_workflow.get()}/{_name.get()}/{moment}"):
        raise (
            BACKEND_ERRORS[error](FAILURE, is_public=True)
            if error in BACKEND_ERRORS
            else RuntimeError(FAILURE)
        )


def _die(point: str) -> None:
    if point == os.environ.get("ABACA_CRASH_AT"):
        os.kill(os.getpid(), signal.SIGKILL)
