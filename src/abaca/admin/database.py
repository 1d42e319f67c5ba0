"""What the commands of `abaca-manage` share: the database, its errors in clear words, and tables of
text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click
import sqlalchemy as sa
from oslo_config import cfg
from sqlalchemy.engine import Connection, Engine

from abaca import config
from abaca.admin import logs, state_dir
from abaca.admin.users import failing_clearly
from abaca.db.session import begin, create_engine, read
from abaca.errors import Invalid
from abaca.values import Caller


@contextmanager
def opened(conf: cfg.ConfigOpts) -> Iterator[Engine]:
    """The database, which must be there already."""
    with database_errors(conf):
        if not state_dir.database_exists(conf):
            raise click.ClickException(
                f"There is no database at {logs.shown_url(config.database_url(conf))} yet: `abaca "
                "serve` makes it, or `abaca init` where API and worker start apart."
            )
        engine = create_engine(config.database_url(conf), pool_size=1)
        try:
            yield engine
        finally:
            engine.dispose()


@contextmanager
def reading(conf: cfg.ConfigOpts) -> Iterator[Connection]:
    """A connection to read from."""
    with opened(conf) as engine, read(engine) as conn:
        yield conn


@contextmanager
def writing(conf: cfg.ConfigOpts) -> Iterator[Connection]:
    """A transaction."""
    with opened(conf) as engine, begin(engine) as conn:
        yield conn


@contextmanager
def database_errors(conf: cfg.ConfigOpts) -> Iterator[None]:
    """Errors of the database and those meant for people end the command with their message."""
    try:
        with failing_clearly():
            yield
    except sa.exc.DBAPIError as error:
        raise click.ClickException(
            f"{logs.shown_url(config.database_url(conf))}: {logs.escaped(str(error.orig))}"
        ) from error


def local_network(conn: Connection, name_or_id: str) -> dict[str, Any]:
    """The local network of that name or id. Raises Invalid when there is none, or several."""
    from abaca.domain.local_networks import local_networks

    anybody = Caller(user_id="", project_id="", roles=("admin",), is_admin=True)
    found = local_networks.find(conn, anybody, {"id": [name_or_id]})
    found = found or local_networks.find(conn, anybody, {"name": [name_or_id]})
    if len(found) != 1:
        many = "several local networks have that name: give the id" if found else "no local network"
        raise Invalid(f"--network {name_or_id}: {many}.")
    return found[0]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Text in columns. Whatever the rows hold, each stays one line and steers no terminal."""
    rows = [[logs.escaped(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = [
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [head, *rows]
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])
