"""Making a backup: the rows of one moment, the files that are kept, and the configuration.

Nothing has to stop, and nobody is held up.
"""

from __future__ import annotations

import gzip
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import IO

import sqlalchemy as sa
from oslo_config import cfg
from sqlalchemy.engine import Connection, Engine

from abaca import config
from abaca.admin import archive, logs, state_dir
from abaca.admin.archive import Manifest
from abaca.admin.progress import Progress
from abaca.db import contents
from abaca.db.contents import Rows
from abaca.db.session import is_sqlite, utcnow
from abaca.drivers import registry
from abaca.errors import Conflict, Invalid
from abaca.regular_files import require_regular
from abaca.workflow.queue import SCHEMA


def make(
    conf: cfg.ConfigOpts,
    engine: Engine,
    target: IO[bytes],
    shown: Progress,
    *,
    with_key: bool,
    room: Path | None = None,
    try_out: Callable[[Manifest, IO[bytes]], None] | None = None,
) -> Manifest:
    """Write an archive of the installation; returns what is in it. `room`: a folder that has room
    for it, for a file without a name. `try_out` is given the rows before anything is written.
    Raises Conflict and Invalid."""
    with tempfile.TemporaryFile(dir=room) as rows:
        with contents.snapshot(engine) as conn:
            sums: dict[str, Rows] = {}
            with gzip.GzipFile(fileobj=rows, mode="wb", mtime=0, compresslevel=6) as packed:
                for line in contents.lines(conn, SCHEMA, sums):
                    packed.write(line + b"\n")
                    shown.done(line.startswith(b"["))  # else it names a table
            manifest = _manifest(conf, conn, sums)
        if try_out is not None:
            try_out(manifest, rows)
        archive.write(target, manifest, rows, _files(conf, with_key))
    return manifest


@contextmanager
def new_file(path: Path) -> Iterator[IO[bytes]]:
    """A file that only we may read, and that has its name once it is whole and on stable
    storage. Raises Invalid."""
    if not path.parent.is_dir():
        raise Invalid(f"There is no folder {path.parent}: make it, or name a file elsewhere.")
    if path.is_dir():
        raise Invalid(f"{path} is a folder: name a file in it.")
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    try:
        with open(new, "wb", opener=lambda name, _: os.open(name, flags, 0o600)) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
    handle = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def engine_revision(conn: Connection, schema: str = SCHEMA) -> int:
    """Of the tables of the work engine; `schema`: where PostgreSQL has them."""
    where = None if is_sqlite(conn) else schema
    table = sa.table("dbos_migrations", sa.column("version"), schema=where)
    return int(conn.scalar(sa.select(table.c.version)) or 0)


def _manifest(conf: cfg.ConfigOpts, conn: Connection, sums: dict[str, Rows]) -> Manifest:
    revision = conn.scalar(sa.select(sa.table("alembic_version", sa.column("version_num"))))
    if revision is None:
        raise Conflict("The database has no tables yet: there is nothing to back up.")
    return Manifest(
        format=archive.FORMAT,
        release=version("abaca"),
        revision=revision,
        engine_revision=engine_revision(conn),
        host=conf.host,
        state_dir=conf.state_dir,
        database=logs.shown_url(config.database_url(conf)),
        pools=list(_pools(conf)),
        made_at=f"{utcnow():%Y-%m-%d %H:%M:%S}",
        tables=sums,
        members={},
    )


def _files(conf: cfg.ConfigOpts, with_key: bool) -> dict[str, bytes]:
    """The members but the rows: files that are kept, and those of the configuration."""
    found = {
        f"kept/{kept.name}": _content(kept.place(conf))
        for kept in state_dir.KEPT
        if kept.place(conf).exists() and (with_key or kept.name not in state_dir.KEYS)
    }
    for number, name in enumerate(conf.config_file or ()):
        plain = re.sub(r"[^A-Za-z0-9._-]", "_", Path(name).name)[-80:]
        if name != os.devnull:
            found[f"config/{number:02}-{plain}"] = _content(Path(name))
    return found


def _content(path: Path) -> bytes:
    require_regular(path)
    with open(path, "rb") as file:
        data = file.read(archive.LARGEST_FILE + 1)
    if len(data) > archive.LARGEST_FILE:
        raise Invalid(f"{path} is larger than 1 MiB: it is not put into a backup.")
    return data


def _pools(conf: cfg.ConfigOpts) -> Iterator[str]:
    """Where the Linux back ends of this host have the data of shares."""
    for name in conf.enabled_share_backends or ["linux"]:
        driver = config.backend_driver(conf, name)[0] if conf.enabled_share_backends else name
        if driver == "linux":
            options = registry.driver_class(driver).OPTIONS
            given = config.plugin_settings(conf, name, options).get("pool_path")
            yield given or str(config.state_path(conf, "worker", name))
