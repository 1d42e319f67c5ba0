"""`abaca-manage db move`: the whole database of an installation into another one, SQLite or
PostgreSQL."""

from __future__ import annotations

import os

import click
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from abaca import config
from abaca.admin import logs
from abaca.admin.database import database_errors, opened
from abaca.admin.progress import progress
from abaca.admin.settings import Settings, common_options
from abaca.admin.stopped import require_idle, stopped
from abaca.db import contents, migrations
from abaca.db.contents import Rows
from abaca.db.session import begin, create_engine, read
from abaca.errors import Conflict, Invalid
from abaca.workflow.queue import SCHEMA


@click.command("move")
@click.option(
    "--to",
    "target",
    required=True,
    metavar="URL",
    help="The other database, which exists and is empty: postgresql+psycopg://…, or "
    "sqlite:///PATH, whose folder exists. A password in it is seen by other users of this "
    "machine: ~/.pgpass or PGPASSWORD hide it.",
)
@click.option("--check", is_flag=True, help="Check whether the move is possible; change nothing.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
@common_options
def move(settings: Settings, target: str, check: bool, quiet: bool) -> None:
    """Copy the database into another one: from SQLite to PostgreSQL, or back.

    API and workers of all hosts must have stopped. Work that waits or was interrupted moves too,
    and goes on there. The old database stays as it is: when the new one is configured, and serves,
    delete it.

    \b
    Example:
      abaca-manage db move --to postgresql+psycopg://abaca@db.example.org/abaca
    """
    os.umask(0o077)
    conf = settings.load()
    url = _checked(target, config.database_url(conf))
    with database_errors(conf), stopped(conf), opened(conf) as source:
        migrations.refuse_older(source, migrations.revisions())
        require_idle(source)
        other = create_engine(url, pool_size=1)
        try:
            _require_empty(other)
            if check:
                click.echo(f"{logs.shown_url(url)} is empty, and nothing uses the old database.")
                return
            moved = _moved(source, other, quiet)
        except sa.exc.DBAPIError as error:
            raise click.ClickException(
                f"{logs.shown_url(url)}: {logs.escaped(str(error.orig))}"
            ) from error
        finally:
            other.dispose()
    total = sum(rows.number for rows in moved.values())
    click.echo(f"{total} rows of {len(moved)} tables are in the new database, and compared.")
    click.echo(f"Configure it everywhere:\n\n[database]\nconnection = {logs.shown_url(url)}\n")
    click.echo("Then start workers and APIs. The old database has not been changed.")


def _moved(source: Engine, target: Engine, is_quiet: bool) -> dict[str, Rows]:
    from abaca.workflow import dbos_database  # loads DBOS: not for every command

    migrations.upgrade(target)
    dbos_database.migrate(target.url.render_as_string(hide_password=False))
    with contents.snapshot(source) as old, begin(target) as new:
        with progress("Rows", contents.count(old, SCHEMA), is_quiet=is_quiet) as shown:
            sums: dict[str, Rows] = {}
            moved = contents.fill(new, SCHEMA, contents.lines(old, SCHEMA, sums), shown.done)
        for table, rows in sums.items():
            if rows.number and rows != moved.get(table):
                raise Conflict(f"Table {table} is not the same in the new database.")
    return moved


def _checked(target: str, source: str) -> str:
    try:
        url = sa.make_url(target)
    except sa.exc.ArgumentError:
        raise click.BadParameter("this is not a database URL.", param_hint="--to") from None
    if url.drivername not in ("sqlite", "postgresql+psycopg") or not url.database:
        raise click.BadParameter(
            "give postgresql+psycopg://USER@HOST/DATABASE or sqlite:///PATH.", param_hint="--to"
        )
    if url == sa.make_url(source):
        raise click.BadParameter("this is the database in use.", param_hint="--to")
    return target


def _require_empty(target: Engine) -> None:
    """Raises Conflict when the database holds rows, and Invalid when it holds somebody else's
    tables."""
    with read(target) as conn:
        names = {table.name for table in contents.tables(conn, SCHEMA)}
        if names and migrations.current(target) is None:
            raise Invalid(
                f"{logs.shown_url(str(target.url))} has tables that are not Abaca's, as "
                f"{min(names)}: give an empty database."
            )
        if names and contents.count(conn, SCHEMA):
            raise Conflict(f"{logs.shown_url(str(target.url))} holds rows: give an empty database.")
