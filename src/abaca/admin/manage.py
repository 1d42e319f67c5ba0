"""The command `abaca-manage`: the database's schema and the services, straight from the database,
without the API."""

from __future__ import annotations

from importlib.metadata import version as package_version

import click

from abaca import config
from abaca.admin import logs, state_dir
from abaca.admin.database import database_errors, reading, table
from abaca.admin.manage_hosts import host
from abaca.admin.manage_move import move
from abaca.admin.manage_operations import operations
from abaca.admin.manage_share_servers import share_server
from abaca.admin.settings import Settings, common_options
from abaca.db import migrations
from abaca.domain.capacity import pools
from abaca.domain.services import services


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_version("abaca"), prog_name="abaca-manage")
def main() -> None:
    """Look after an installation of Abaca from its database."""
    logs.guard_terminal()
    logs.set_up("manage", "WARNING")


@main.group()
def db() -> None:
    """The database's schema.

    \b
    Example:
      abaca-manage db sync
    """


@db.command()
@common_options
def sync(settings: Settings) -> None:
    """Make the tables, or bring them up to this release. `abaca serve` does so by itself.

    \b
    Example:
      abaca-manage db sync --config-file /etc/abaca/abaca.conf
    """
    conf = settings.load()
    with database_errors(conf):
        state_dir.prepare(conf)
    click.echo(f"{logs.shown_url(config.database_url(conf))} is at revision {migrations.head()}.")


@db.command()
@common_options
def version(settings: Settings) -> None:
    """Print the revision of the schema, and the newest one when that is another.

    \b
    Example:
      abaca-manage db version
    """
    conf = settings.load()
    with database_errors(conf):
        revision = (
            migrations.current(config.database_url(conf))
            if state_dir.database_exists(conf)
            else None
        )
    click.echo(logs.escaped(revision or "no tables"))
    if revision != migrations.head():
        click.echo(f"The newest is {migrations.head()}: run `abaca-manage db sync`.", err=True)


@main.group()
def service() -> None:
    """The back ends of the workers.

    \b
    Example:
      abaca-manage service list
    """


@service.command("list")
@common_options
def list_services(settings: Settings) -> None:
    """List the back ends: whether they are enabled, whether they give heartbeats, and their
    pools.

    \b
    Example:
      abaca-manage service list
    """
    conf = settings.load()
    with reading(conf) as conn:
        found = services.find(conn, {})
        names = [pool["name"] for pool in pools.find(conn, {}, {})]
    rows = [
        [
            view["host"],
            view["zone"],
            view["status"],
            view["state"],
            f"{view['updated_at']:%Y-%m-%d %H:%M:%S}" if view["updated_at"] else "-",
            ", ".join(
                name.partition("#")[2] for name in names if name.startswith(f"{view['host']}#")
            )
            or "-",
        ]
        for view in found
    ]
    click.echo(table(["Host", "Zone", "Status", "State", "Last heartbeat (UTC)", "Pools"], rows))


db.add_command(move)
main.add_command(host)
main.add_command(share_server)
main.add_command(operations)


if __name__ == "__main__":
    main()
