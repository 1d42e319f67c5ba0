"""Work is stored as DBOS itself would store it, by processes that load nothing of DBOS."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from abaca import log_context
from abaca.db.session import begin, create_engine, read
from abaca.workflow import dbos_database, queue
from abaca.workflow.queue import APPLICATION, VERSION, Work, enqueue

OF_ITS_OWN = {"workflow_uuid", "creator_xid", "created_at", "updated_at", "retention_timestamp"}
REQUEST_ID = "req-3f0d5c5e-8d2f-4a57-9a52-0f3f5ac5f0a1"
ASK_FOR_WORK = """
import importlib, sys
importlib.import_module(sys.argv[1])
from abaca.db.session import begin, create_engine
from abaca.workflow.queue import Work, enqueue, unfinished
engine = create_engine(sys.argv[2])
with begin(engine) as conn:
    work = dict(name="noun_verb", worker_host="host1", project_id="p", key="key", args=())
    enqueue(conn, Work(id=sys.argv[1], **work))
assert unfinished(engine) == [sys.argv[1]]
print(sorted(name for name in sys.modules if name.partition(".")[0] == "dbos"))
"""


@pytest.fixture
def engine(database_url: str) -> Any:
    dbos_database.migrate(database_url)
    made = create_engine(database_url)
    yield made
    made.dispose()


def stored(engine: Engine, work_id: str) -> dict[str, Any]:
    """The rows of a piece of work, with the columns that differ between two pieces alike left
    out."""
    found: dict[str, Any] = {}
    with read(engine) as conn:
        for table in (queue.status_table(conn), queue.input_table(conn)):
            whole = sa.table(table.name, schema=table.schema)
            query: sa.Select[Any] = (
                sa.select(sa.literal_column("*"))
                .select_from(whole)
                .where(sa.column("workflow_uuid") == work_id)
            )
            (row,) = conn.execute(query).mappings()
            assert all(row[name] is not None for name in OF_ITS_OWN & row.keys())
            # DBOS stores JSON's null where there are no attributes. It reads that, and SQL's, as
            # none.
            found |= {
                f"{table.name}.{name}": row[name] if row[name] != "null" else None
                for name in row
                if name not in OF_ITS_OWN
            }
    return found


@pytest.mark.parametrize(
    "request_id", ["", REQUEST_ID], ids=["asked for by nobody", "asked for by a request"]
)
def test_work_is_stored_as_dbos_stores_it(engine: Engine, request_id: str) -> None:
    arguments = ("id", 'text with "quotes", \\ and ü', "")
    with log_context.working_for(request_id), begin(engine) as conn:
        enqueue(
            conn,
            Work(
                name="noun_verb",
                worker_host="host1",
                project_id="project",
                id="ours",
                key="key",
                args=arguments,
            ),
        )
    options: Any = {
        "workflow_name": "noun_verb",
        "queue_name": queue.queue_name("host1"),
        "workflow_id": "theirs",
        "queue_partition_key": "key",
        "authenticated_user": "project",
        "authenticated_roles": [request_id] if request_id else [],
        "app_version": VERSION,
    }
    with begin(engine) as conn:
        dbos_database.client(engine).enqueue_in_transaction(conn, options, *arguments)
    ours, theirs = stored(engine, "ours"), stored(engine, "theirs")
    assert theirs["workflow_status.application_name"] == APPLICATION
    assert len(theirs) > 30, "all columns are compared"
    assert ours == theirs


def test_the_same_work_is_stored_once_as_it_was_first(engine: Engine) -> None:
    first, second = (
        Work(
            name="noun_verb",
            worker_host="host1",
            project_id="p",
            id="once",
            key="key",
            args=(text,),
        )
        for text in ("first", "second")
    )
    with begin(engine) as conn:
        enqueue(conn, first, first)
    before = stored(engine, "once")
    with begin(engine) as conn:
        enqueue(conn, second)
    assert stored(engine, "once") == before
    assert queue.unfinished(engine) == ["once"]


@pytest.mark.parametrize(
    "module",
    [
        "abaca.api.server",
        "abaca.admin.configuration.check",
        "abaca.admin.manage",
        "abaca.admin.serve",
    ],
)
def test_who_only_asks_for_work_loads_no_engine(
    engine: Engine, database_url: str, module: str
) -> None:
    """The API with what it starts by, `abaca-manage`, and `abaca serve`, which starts the
    others."""
    command = [sys.executable, "-c", ASK_FOR_WORK, module, database_url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
