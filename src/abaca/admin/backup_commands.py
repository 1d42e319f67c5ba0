"""`abaca backup` and `abaca restore`."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click
from oslo_config import cfg

from abaca.admin import logs
from abaca.admin.settings import Settings, common_options
from abaca.errors import AbacaError, Conflict

if TYPE_CHECKING:
    from abaca.admin.archive import Manifest
    from abaca.admin.progress import Progress

_quiet = click.option("--quiet", is_flag=True, help="Show no progress.")


@click.command("backup")
@click.argument("file", metavar="FILE|-")
@click.option(
    "--without-key",
    is_flag=True,
    help="Leave the key of stored passwords out, and that of the certificate authority.",
)
@click.option("--no-check", is_flag=True, help="Do not try whether the rows can be restored.")
@_quiet
@common_options
def backup(settings: Settings, file: str, without_key: bool, no_check: bool, quiet: bool) -> None:
    """Write the database, users, tokens, key, policy and configuration into one file, while
    everything runs. With -, to standard output.

    The rows are first restored where they are then deleted: with SQLite into a database in the
    folder of temporary files, with PostgreSQL into schemas of their own. What could not be restored
    is named, and no file is made.

    The data of the shares is not in it: back the pools up by other means. Whoever can read the
    file has hashes of all passwords, and with the key the passwords of security services.

    \b
    Examples:
      abaca backup /backup/abaca-$(date +%F).tar
      abaca backup --without-key - | ssh vault 'cat > abaca.tar'
    """
    from abaca.admin import backup as making
    from abaca.admin.database import opened
    from abaca.admin.progress import progress
    from abaca.db import contents
    from abaca.workflow.queue import SCHEMA

    if file == "-" and sys.stdout.isatty():
        raise click.UsageError("An archive with secrets is not written to a terminal.")
    conf = settings.load(is_quiet=file == "-")
    with opened(conf) as engine:
        with contents.snapshot(engine) as conn:
            total = contents.count(conn, SCHEMA)
        with progress("Rows", (2 - no_check) * total, is_quiet=quiet) as shown:

            def make(target: IO[bytes], room: Path | None) -> Manifest:
                return making.make(
                    conf, engine, target, shown, with_key=not without_key, room=room,
                    try_out=None if no_check else partial(_try_out, conf, shown),
                )  # fmt: skip

            if file == "-":
                manifest = make(sys.stdout.buffer, None)
                sys.stdout.buffer.flush()
            else:
                with making.new_file(Path(file)) as target:
                    manifest = make(target, Path(file).parent)
    rows = sum(table.number for table in manifest.tables.values())
    kept = [name.partition("/")[2] for name in manifest.members if name.startswith("kept/")]
    _tell(f"{rows} rows of {len(manifest.tables)} tables; {', '.join(kept) or 'no files'}.")
    if "key" in kept:
        _tell("The key is in it: keep the file as safe as the passwords of security services.")
    if manifest.pools:
        _tell(f"The data of shares is not in it. It is in {', '.join(manifest.pools)}.")


@click.command("restore")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--key-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The key, when the backup was made without it.",
)
@click.option(
    "--check", is_flag=True, help="Say what is in it and whether it fits; change nothing."
)
@_quiet
@common_options
def restore(
    settings: Settings, file: Path, key_file: Path | None, check: bool, quiet: bool
) -> None:
    """Bring back what `abaca backup` wrote, where the installation is gone: no database, no users,
    no key. The configuration comes first, and the pools must be where they were.

    When it is interrupted, nothing starts until it is run again; it then begins anew.

    \b
    Examples:
      abaca restore --check /backup/abaca-2026-11-29.tar
      abaca restore /backup/abaca-2026-11-29.tar
    """
    from abaca.admin import archive
    from abaca.admin import restore as bringing_back
    from abaca.admin.database import database_errors
    from abaca.admin.progress import progress

    conf = settings.load()
    with database_errors(conf), archive.opened(file) as found:
        manifest = found.manifest
        rows = sum(table.number for table in manifest.tables.values())
        _say(
            f"Made {manifest.made_at} UTC by Abaca {manifest.release} on {manifest.host}, "
            f"{manifest.state_dir}, {manifest.database}: {rows} rows, {', '.join(found.files)}."
        )
        bringing_back.require_fitting(conf, manifest)
        if check:
            with progress("Rows", rows, is_quiet=quiet) as shown:
                bringing_back.try_out(conf, manifest, found.lines(), shown)
            _say("It fits this configuration.")
            return
        key = key_file.read_bytes() if key_file else None
        with progress("Rows", rows, is_quiet=quiet) as shown:
            written = bringing_back.restore(conf, found, key, shown)
        for path in written:
            _say(f"restored  {path}")
        for path in bringing_back.configuration_to_look_at(conf, found):
            _say(f"The backup's configuration differs from the one in use: compare {path}.")
    _say("Everything is back. Start Abaca; each share is served again once its back end is up.")


def _try_out(conf: cfg.ConfigOpts, shown: Progress, manifest: Manifest, rows: IO[bytes]) -> None:
    from abaca.admin import archive, restore

    size = rows.seek(0, os.SEEK_END)
    rows.seek(0)
    try:
        restore.try_out(conf, manifest, archive.packed_lines(rows, size), shown)
    except AbacaError as error:
        raise Conflict(
            f"{error.message} So this could not be restored, and nothing was written. Mend it, or "
            "give --no-check."
        ) from error


def _tell(text: str) -> None:
    """On standard error: standard output may be the archive."""
    click.echo(logs.escaped(text), err=True)


def _say(text: str) -> None:
    click.echo(logs.escaped(text))
