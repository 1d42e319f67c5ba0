"""`abaca init`: makes what the service needs before it can start, so that API and worker can be
started by units of their own. `abaca serve` makes the same."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click
from oslo_config import cfg

from abaca import config
from abaca.admin import clouds_file, logs, own_tls, state_dir, users
from abaca.admin.configuration import files
from abaca.admin.database import database_errors
from abaca.admin.settings import Depth, Refused, Settings
from abaca.db import migrations


def run(settings: Settings) -> None:
    """Make what is missing and say what was made. Raises Refused for a wrong configuration, and
    click.ClickException when something cannot be made."""
    conf = settings.load(Depth.SERVICE, is_quiet=True)
    with users.failing_clearly(), database_errors(conf):
        if wrong := files.errors(conf):
            raise Refused(wrong)
        missing = [(what, path) for what, path in _files(conf) if not path.exists()]
        password = prepare(conf)
    for what, path in missing:
        click.echo(f"Made {what} {path}.")
    database = logs.shown_url(config.database_url(conf))
    click.echo(f"The database {database} is at revision {migrations.head()}.")
    tell_password(conf, password)


def prepare(conf: cfg.ConfigOpts) -> str | None:
    """The state directory, the tables, the key, a certificate where one of ours is needed, and on
    the first start the user `admin`, whose password is returned. Who calls this at the same time
    waits."""
    state_dir.make_folder(conf)
    with state_dir.one_at_a_time(conf):
        state_dir.prepare(conf)
        for line in own_tls.keep(conf):
            click.echo(logs.escaped(line))
        if conf.api.auth_strategy != "http_basic":
            return None
        password = users.make_first_admin(conf)
        clouds_file.follow_address(conf)
        return password


def tell_password(conf: cfg.ConfigOpts, password: str | None) -> None:
    """Show a new password to a terminal only: a log, or the journal below systemd, is read by
    others."""
    if password is None:
        return
    if sys.stdout.isatty():
        said = f"The password is shown only once: {password}"
    else:
        said = f"The password is in {clouds_file.path_of(conf)}."
    click.echo(f"\nCreated the user {users.ADMIN}. {said}")


def _files(conf: cfg.ConfigOpts) -> Iterator[tuple[str, Path]]:
    yield "the state directory", Path(conf.state_dir)
    yield "the key", config.key_file(conf)
    if conf.api.auth_strategy == "http_basic":
        yield "the users file", config.users_file(conf)
        yield "the entry for clients", clouds_file.path_of(conf)
