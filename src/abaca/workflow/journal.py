"""The journal of a workflow's steps: each step's result, or the error it raised, by its number. A
workflow that is restarted reads them from here.

Stored in DBOS's tables and read by DBOS's own functions, but written here: the record of a step
that changes rows commits in the transaction of those rows, where DBOS would need two transactions
and seven statements. The result of an effect is written with the next step, before another effect
begins: if the worker dies in between, the effect runs again, which every effect must allow anyway.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from threading import Event
from typing import Any, NamedTuple, TypeVar

import sqlalchemy as sa
from dbos._context import get_local_dbos_context
from dbos._error import DBOSWorkflowCancelledError, DBOSWorkflowConflictIDError
from dbos._sys_db import SystemDatabase
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError

from abaca.db.session import begin, is_outage, read
from abaca.errors import AbacaError, Stopping
from abaca.workflow.serializer import JsonSerializer, PickleRefused

T = TypeVar("T")

_LOG = logging.getLogger(__name__)
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 2.0
_SERIALIZER = JsonSerializer()


class Outgrown(AbacaError):
    """The recorded steps of the work are not those of the current code."""


class Step(NamedTuple):
    """A step of a workflow: its number (from 1), its name, and when it began, in milliseconds."""

    number: int
    name: str
    began: int


class Records:
    """DBOS's tables of workflows and steps, and the statements on them: built once, executed at
    every step."""

    def __init__(self, engine: Engine, system_database: SystemDatabase, stopping: Event) -> None:
        self.engine = engine
        self.stopping = stopping
        schema: Any = None if engine.dialect.name == "sqlite" else system_database.schema
        tables = sa.MetaData()
        status = system_database.tables.workflow_status.to_metadata(tables, schema=schema)
        outputs = system_database.tables.operation_outputs.to_metadata(tables, schema=schema)
        self.application = system_database.app_name
        workflow_id: sa.BindParameter[str] = sa.bindparam("workflow_id")
        mine = status.c.workflow_uuid == workflow_id
        # NO KEY: work that refers to this one does not wait. SQLite has one writer at a time.
        self.ownership = (
            sa.select(status.c.status, status.c.owner_xid)
            .where(mine)
            .with_for_update(key_share=True)
        )
        self.everything = (
            sa.select(status.c.status, status.c.owner_xid, outputs.c.function_id,
             outputs.c.function_name, outputs.c.output, outputs.c.error,
                      outputs.c.serialization)
            .outerjoin(outputs, outputs.c.workflow_uuid == status.c.workflow_uuid)
            .where(mine)
        )  # fmt: skip
        self.step = sa.select(outputs.c.function_id).where(
            outputs.c.workflow_uuid == workflow_id, outputs.c.function_id == sa.bindparam("number")
        )
        self.insert = sa.insert(outputs)

    def patiently(self, attempt: Callable[[bool], T]) -> T:
        """Call `attempt(again)` until the database is available. Raises Stopping if the worker
        stops first."""
        pause, again = _FIRST_PAUSE, False
        while True:
            try:
                return attempt(again)
            except DBAPIError as error:
                if not _passes(error):
                    raise
                _LOG.warning("the database does not answer; trying again: %s", error.orig)
            if self.stopping.wait(pause):
                raise Stopping
            pause, again = min(pause * 2, _LONGEST_PAUSE), True


class Journal:
    """The journal of one workflow that runs in this process."""

    def __init__(self, records: Records) -> None:
        context = get_local_dbos_context()
        if context is None or not context.is_workflow():
            raise RuntimeError("steps belong to a workflow")
        self._records = records
        self._workflow_id, self._owner = context.workflow_id, context.owner_xid
        self._number = 0
        self._unwritten: list[dict[str, Any]] = []
        rows = records.patiently(lambda _: self._read_everything())
        self._known = {row.function_id: row for row in rows if row.function_id is not None}

    def next(self, name: str) -> Step:
        """Begin the next step."""
        self._number += 1
        return Step(self._number, name, _now())

    def recorded(self, step: Step) -> tuple[bool, Any]:
        """(True, its result) if an earlier run completed the step; raises the error if it raised
        one. (False, None) if it has to run."""
        row = self._known.get(step.number)
        if row is None:
            return False, None
        if row.function_name != step.name:
            raise Outgrown(
                f"step {step.number} of {self._workflow_id} is {step.name} now; recorded is "
                f"{row.function_name}"
            )
        if row.error is not None:
            raise _read(row.error, row.serialization)
        return True, _read(row.output, row.serialization)

    def transaction(self, step: Step, body: Callable[[Connection], Any]) -> Any:
        """Run `body(conn)` and record its result in one transaction. Returns the result as
        recorded."""
        return self._records.patiently(lambda again: self._attempt(step, body, again))

    def effect(self, step: Step, body: Callable[[], Any]) -> Any:
        """Run `body()`. Its result is recorded with the next step, at the latest before the next
        effect."""
        if self._unwritten:
            self._records.patiently(self._write_unwritten)
        result = body()
        self._unwritten.append(self._row(step, output=_SERIALIZER.serialize(result)))
        return result

    def failed(self, step: Step, error: Exception) -> None:
        """The step raised that error: recorded with the next step too."""
        self._unwritten.append(self._row(step, error=_SERIALIZER.serialize(error)))

    def _attempt(self, step: Step, body: Callable[[Connection], Any], again: bool) -> Any:
        with begin(self._records.engine) as conn:
            self._require_ownership(conn)
            # the answer to the commit was lost, not the commit
            if again and self._is_written(conn, step.number):
                self._known = {
                    row.function_id: row
                    for row in self._require_mine(
                        conn.execute(self._records.everything, self._key).all()
                    )
                }
                self._unwritten = []
                return self.recorded(step)[1]
            result = body(conn)
            conn.execute(
                self._records.insert,
                [*self._unwritten, self._row(step, output=_SERIALIZER.serialize(result))],
            )
        self._unwritten = []
        return result

    def _write_unwritten(self, again: bool) -> None:
        with begin(self._records.engine) as conn:
            self._require_ownership(conn)
            if not (again and self._is_written(conn, self._unwritten[0]["function_id"])):
                conn.execute(self._records.insert, self._unwritten)
        self._unwritten = []

    def _is_written(self, conn: Connection, number: int) -> bool:
        return conn.execute(self._records.step, {**self._key, "number": number}).first() is not None

    def _row(
        self, step: Step, output: str | None = None, error: str | None = None
    ) -> dict[str, Any]:
        return {
            "workflow_uuid": self._workflow_id,
            "function_id": step.number,
            "function_name": step.name,
            "output": output,
            "error": error,
            "started_at_epoch_ms": step.began,
            "completed_at_epoch_ms": _now(),
            "serialization": _SERIALIZER.name(),
            "application_name": self._records.application,
            "retention_timestamp": _now(),
        }

    @property
    def _key(self) -> dict[str, str]:
        return {"workflow_id": self._workflow_id}

    def _require_ownership(self, conn: Connection) -> None:
        self._require_mine(conn.execute(self._records.ownership, self._key).all())

    def _read_everything(self) -> Sequence[Any]:
        with read(self._records.engine) as conn:
            return self._require_mine(conn.execute(self._records.everything, self._key).all())

    def _require_mine(self, rows: Sequence[Any]) -> Sequence[Any]:
        """The rows, unless the work was given up or belongs to another run by now: then what DBOS
        stops a run with is raised."""
        if rows and rows[0].status == "CANCELLED":
            raise DBOSWorkflowCancelledError(f"Workflow {self._workflow_id} was given up.")
        if not rows or rows[0].owner_xid != self._owner:
            raise DBOSWorkflowConflictIDError(self._workflow_id)
        return rows


def _passes(error: DBAPIError) -> bool:
    return error.connection_invalidated or (
        isinstance(error, OperationalError) and is_outage(error)
    )


def _read(stored: str, serialization: str | None) -> Any:
    if serialization != _SERIALIZER.name():
        raise PickleRefused(f"a stored result is labelled as {serialization} and was not read")
    return _SERIALIZER.deserialize(stored)


def _now() -> int:
    return int(time.time() * 1000)
