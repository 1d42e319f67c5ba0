"""The history of the schema: one file a revision in `versions/`, run by Alembic without an ini
file.

Only one process changes a schema at a time, the others wait and find it done: PostgreSQL by an
advisory lock, SQLite by its write lock. A migration is one transaction on both. SQLite rebuilds
tables by dropping the old one, which would delete the rows that refer to it; so foreign keys are
off meanwhile, and checked before the commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.runtime.migration import MigrationInfo
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.engine import Connection, Engine

from abaca.db.session import begin, create_engine, is_sqlite, read
from abaca.errors import Conflict

_LOCK = 0x61626163  # any number that nothing else in the database locks


def upgrade(
    database: Engine | str,
    revision: str = "head",
    done: Callable[[str], None] = lambda revision: None,
) -> None:
    """Bring the schema up to `revision`; where it is there already, nothing happens. `done` hears
    of each revision on the way. Raises Conflict when it is one that this release does not know."""

    def run(config: Config) -> None:
        conn = config.attributes["connection"]
        try:
            before = MigrationContext.configure(conn).get_current_revision()
            command.upgrade(config, revision)
        except CommandError as error:
            raise Conflict(
                f"This release cannot upgrade the database's schema: {error}. Use the release that "
                "made it, or a newer one."
            ) from error
        if (
            not is_sqlite(conn)
            and MigrationContext.configure(conn).get_current_revision() != before
        ):
            # PostgreSQL knows nothing of a new column, takes nearly all rows for having a value in
            # it, and chooses its plans by that.
            conn.execute(sa.text("ANALYZE"))

    def applied(step: MigrationInfo, **_: Any) -> None:
        done(str(step.up_revision_id))

    _migrate(database, run, applied=applied)


def downgrade(database: Engine | str, revision: str, allow_data_loss: bool = False) -> None:
    """Bring the schema down to `revision` (`base`: no tables). Raises Conflict when rows would be
    lost, unless `allow_data_loss`."""
    _migrate(
        database,
        lambda config: command.downgrade(config, revision),
        allow_data_loss=allow_data_loss,
    )


def current(database: Engine | str) -> str | None:
    """The revision that the database has; None: it has no schema yet."""
    with _opened(database) as engine, read(engine) as conn:
        return MigrationContext.configure(conn).get_current_revision()


def head() -> str:
    """The newest revision."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    assert revision is not None
    return revision


def revisions() -> list[str]:
    """All revisions, the newest first."""
    return [script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()]


def refuse_older(database: Engine | str, known: Sequence[str]) -> None:
    """Raises Conflict when the schema is missing, or an older one of those `known` (as `revisions`
    gives them). One that is not known is newer."""
    revision = current(database)
    if revision is None:
        raise Conflict("The database has no tables yet: run `abaca-manage db sync`.")
    if revision in known[1:]:
        raise Conflict(
            f"The database is at revision {revision}, this release needs {known[0]}: run "
            "`abaca-manage db sync`."
        )


def _config(**attributes: Any) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes.update(attributes)
    return config


def _migrate(database: Engine | str, run: Callable[[Config], None], **attributes: Any) -> None:
    with _opened(database) as engine, _alone(engine) as conn:
        run(_config(connection=conn, **attributes))


@contextmanager
def _opened(database: Engine | str) -> Iterator[Engine]:
    """The engine given, or one of our own that is closed again."""
    if isinstance(database, Engine):
        yield database
        return
    engine = create_engine(database)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def _alone(engine: Engine) -> Iterator[Connection]:
    """A transaction in which no other process migrates."""
    if engine.dialect.name == "sqlite":
        with _without_foreign_keys(engine) as conn:
            yield conn
        return
    with begin(engine) as conn:
        conn.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        yield conn


@contextmanager
def _without_foreign_keys(engine: Engine) -> Iterator[Connection]:
    with engine.connect() as conn:
        assert is_sqlite(conn)
        driver: Any = conn.connection.driver_connection
        # inside a transaction it would do nothing, silently
        driver.execute("PRAGMA foreign_keys=OFF")
        try:
            with conn.begin():
                yield conn
                broken = conn.exec_driver_sql("PRAGMA foreign_key_check").all()
                if broken:
                    raise Conflict(
                        "Rows would refer to nothing after the migration: "
                        f"{sorted({str(row[0]) for row in broken})}"
                    )
        finally:
            driver.execute("PRAGMA foreign_keys=ON")
