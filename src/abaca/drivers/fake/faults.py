"""Faults on demand: a plan in a JSON file, read at every call, so that a test in another process
can change it while a worker runs.

The plan is a list of objects with the fields of `Fault`. How often each has struck is counted in a
file beside the plan, so that the count outlives a killed process; `write_plan` starts the counts
afresh.
"""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from threading import Event
from typing import Literal

import msgspec

from abaca.drivers.fake.files import locked, replace
from abaca.errors import BACKEND_ERRORS, OutcomeUnknown

HANG_LIMIT_SECONDS = 900
_POLL_SECONDS = 0.05

When = Literal["before", "after"]


class Denied(Exception):
    """A check is to answer False."""


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of a plan.

    `method`: the driver's method, or `*` for every method that is about a server or a share.
    `match`: part of an id that the call is about (share server, share instance, share, share
    network subnet, neutron subnet). `when`: before or after its effect. `times`: how often it
    strikes; None: always. `error`: a back end error; `bug`: an error that no driver should raise;
    `hang`: until the entry leaves the plan; `deny`: the check answers False. `kill`: SIGKILL for
    the process instead of an error. `details`, `is_public`: what the error carries.
    """

    method: str = "*"
    match: str | None = None
    error: Literal["Unavailable", "OutcomeUnknown", "NoSpace", "Refused", "bug", "hang", "deny"] = (
        "Refused"
    )
    message: str = "The fault plan says so."
    is_public: bool = True
    times: int | None = None
    when: When = "before"
    kill: bool = False
    details: dict[str, str] = {}

    @property
    def key(self) -> str:
        """Names the entry in the file of counts; the same text is the same entry."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:16]

    def concerns(self, method: str, subjects: Sequence[str], when: When) -> bool:
        named = self.method == method or (self.method == "*" and bool(subjects))
        return (
            named
            and self.when == when
            and (self.match is None or any(self.match in subject for subject in subjects))
        )


def write_plan(path: Path, faults: Sequence[Fault]) -> None:
    """Replace the plan in one step and forget how often the former one struck. Hanging calls whose
    entry is gone go on."""
    with locked(path):
        _counts_file(path).unlink(missing_ok=True)
        replace(path, msgspec.json.encode(faults))


class FaultPlan:
    """Strikes when a call is in the plan. `released` lets every hanging call of this process
    continue."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.released = Event()

    def strike(self, method: str, subjects: Sequence[str], when: When) -> None:
        """Raise, hang or die, as the first entry says that concerns this call and has not struck
        often enough. Usually: nothing."""
        fault = self._take(method, subjects, when)
        if fault is None:
            return
        if fault.kill:
            os.kill(os.getpid(), signal.SIGKILL)
        if fault.error == "hang":
            self._hang(fault)
        elif fault.error == "deny":
            raise Denied
        elif fault.error == "bug":
            raise RuntimeError(fault.message)
        else:
            raise BACKEND_ERRORS[fault.error](
                fault.message, dict(fault.details), is_public=fault.is_public
            )

    def _take(self, method: str, subjects: Sequence[str], when: When) -> Fault | None:
        if self._path is None or not any(
            fault.concerns(method, subjects, when) for fault in self._read()
        ):
            return None
        with locked(self._path):
            counts = self._counts()
            for fault in self._read():
                struck = counts.get(fault.key, 0)
                if fault.concerns(method, subjects, when) and (
                    fault.times is None or struck < fault.times
                ):
                    # Counted before it strikes: a kill leaves no time for it afterwards.
                    replace(
                        _counts_file(self._path),
                        msgspec.json.encode(counts | {fault.key: struck + 1}),
                    )
                    return fault
        return None

    def _hang(self, fault: Fault) -> None:
        for _ in range(int(HANG_LIMIT_SECONDS / _POLL_SECONDS)):
            if self.released.wait(_POLL_SECONDS) or fault not in self._read():
                return
        raise OutcomeUnknown(f"No answer for {HANG_LIMIT_SECONDS} s.")

    def _read(self) -> list[Fault]:
        """No file, no faults. Written by hand, it may be caught half written: looked at again for
        half a second."""
        for _ in range(10):
            try:
                return (
                    msgspec.json.decode(self._path.read_bytes(), type=list[Fault])
                    if self._path
                    else []
                )
            except FileNotFoundError:
                return []
            except msgspec.ValidationError:
                # complete, but not a plan: a mistake in a test must not look like a healthy back
                # end
                raise
            except msgspec.DecodeError:
                Event().wait(_POLL_SECONDS)
        raise ValueError(f"the fault plan {self._path} is not JSON")

    def _counts(self) -> dict[str, int]:
        try:
            return (
                msgspec.json.decode(_counts_file(self._path).read_bytes(), type=dict[str, int])
                if self._path
                else {}
            )
        except FileNotFoundError:
            return {}


def _counts_file(plan: Path) -> Path:
    return plan.with_name(f"{plan.name}.counts")
