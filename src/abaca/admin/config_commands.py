"""`abaca config check`."""

from __future__ import annotations

from contextlib import suppress

import click
from oslo_config import cfg

from abaca.admin import logs
from abaca.admin.settings import Refused, Settings, common_options


@click.group("config")
def commands() -> None:
    """The configuration.

    \b
    Example:
      abaca config check --config-file /etc/abaca/abaca.conf
    """


@commands.command("check")
@common_options
def check_command(settings: Settings) -> None:
    """Say everything that is wrong with the configuration, and start nothing.

    Looks at the configuration files, the environment (OS_<SECTION>__<OPTION>), the options of
    drivers and network plug-ins, the database's URL, and the files of policy, users, keys and
    certificates. Whether the machine has what it needs, and whether database and port are there, is
    what `abaca doctor` says. The exit status is 0 when nothing is wrong, else 1; warnings are not
    wrong.

    \b
    Example:
      abaca config check --config-file /etc/abaca/abaca.conf
    """
    from abaca.admin.configuration import check, files

    try:
        conf = settings.read()
        found = check.settings(conf)
    except Refused as refused:
        found = check.Found([*refused.errors], [])
    else:
        with suppress(cfg.Error):  # an invalid value, which is reported
            found.errors.extend(files.errors(conf))
    errors = found.errors
    for line in (*(f"warning: {text}" for text in found.warnings), *errors):
        click.echo(logs.escaped(line))
    if errors:
        number = "1 error" if len(errors) == 1 else f"{len(errors)} errors"
        click.echo(f"\n{number}: Abaca does not start with this configuration.")
        raise SystemExit(1)
    click.echo("The configuration is valid.")
