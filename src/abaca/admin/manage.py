"""The command `abaca-manage`: the database's schema and the services, straight from the database, without the API."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version as package_version

import click
import sqlalchemy as sa
from oslo_config import cfg
from sqlalchemy.engine import Connection

from abaca import config
from abaca.admin import logs, state_dir
from abaca.admin.settings import Settings, common_options
from abaca.admin.users import failing_clearly
from abaca.db import migrations
from abaca.db.session import create_engine, read
from abaca.domain import pools, services


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_version("abaca"), prog_name="abaca-manage")
def main() -> None:
    """Look after an installation of Abaca from its database."""


@main.group()
def db() -> None:
    """The database's schema."""


@db.command()
@common_options
def sync(settings: Settings) -> None:
    """Make the tables, or bring them up to this release. `abaca serve` does so by itself.

    \b
    Example:
      abaca-manage db sync --config-file /etc/abaca/abaca.conf
    """
    conf = settings.load()
    with _database_errors(conf):
        state_dir.prepare(conf)
    click.echo(f"{logs.shown_url(config.database_url(conf))} is at revision {migrations.head()}.")


@db.command()
@common_options
def version(settings: Settings) -> None:
    """Print the revision of the schema, and the newest one when that is another."""
    conf = settings.load()
    with _database_errors(conf):
        revision = migrations.current(config.database_url(conf)) if state_dir.database_exists(conf) else None
    click.echo(revision or "no tables")
    if revision != migrations.head():
        click.echo(f"The newest is {migrations.head()}: run `abaca-manage db sync`.", err=True)


@main.group()
def service() -> None:
    """The back ends of the workers."""


@service.command("list")
@common_options
def list_services(settings: Settings) -> None:
    """List the back ends: whether they are enabled, whether they give signs of life, and their pools.

    \b
    Example:
      abaca-manage service list
    """
    conf = settings.load()
    with _reading(conf) as conn:
        found = services.find(conn, {})
        names = [pool["name"] for pool in pools.find(conn, {}, {})]
    rows = [
        [
            view["host"],
            view["zone"],
            view["status"],
            view["state"],
            f"{view['updated_at']:%Y-%m-%d %H:%M:%S}" if view["updated_at"] else "-",
            ", ".join(name.partition("#")[2] for name in names if name.startswith(f"{view['host']}#")) or "-",
        ]
        for view in found
    ]
    click.echo(table(["Host", "Zone", "Status", "State", "Last sign of life (UTC)", "Pools"], rows))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Text in columns."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = ["  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in [head, *rows]]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


@contextmanager
def _reading(conf: cfg.ConfigOpts) -> Iterator[Connection]:
    with _database_errors(conf):
        if not state_dir.database_exists(conf):
            raise click.ClickException(f"There is no database at {logs.shown_url(config.database_url(conf))} yet.")
        engine = create_engine(config.database_url(conf), pool_size=1)
        try:
            with read(engine) as conn:
                yield conn
        finally:
            engine.dispose()


@contextmanager
def _database_errors(conf: cfg.ConfigOpts) -> Iterator[None]:
    try:
        with failing_clearly():
            yield
    except sa.exc.DBAPIError as error:
        raise click.ClickException(f"{logs.shown_url(config.database_url(conf))}: {error.orig}") from error


if __name__ == "__main__":
    main()
