"""Bringing a backup back on a machine that has nothing of the installation any more but, perhaps,
the pool with the shares' data.

A marker is in the state directory from before the first change until the last one. While it is
there nothing starts, and the next restore begins anew.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import msgspec
import sqlalchemy as sa
from oslo_config import cfg
from sqlalchemy.engine import Connection, Engine

from abaca import config
from abaca.admin import logs, state_dir
from abaca.admin.archive import Archive, Manifest
from abaca.admin.backup import engine_revision
from abaca.admin.progress import Progress
from abaca.admin.stopped import stopped
from abaca.db import contents, migrations
from abaca.db.owner_rights import owner_rights
from abaca.db.session import begin, create_engine, database_now, read
from abaca.db.tables import services, worker_leases
from abaca.errors import Conflict, Invalid
from abaca.workflow.queue import SCHEMA

_TRIED, _TRIED_WORK = "abaca_tried", "abaca_tried_work"
"""Schemas of PostgreSQL that exist while rows are tried out."""
_TRIES = 0x61626164  # any number that nothing else in the database locks


def require_fitting(conf: cfg.ConfigOpts, manifest: Manifest) -> None:
    """Raises Invalid when this release cannot read the rows, and Conflict when the installation
    would not find its shares."""
    of = logs.escaped(manifest.release)
    if manifest.revision not in migrations.revisions():
        raise Invalid(
            f"The archive is at revision {logs.escaped(manifest.revision)}, which this release "
            f"does not know: use release {of}, which made it, or a newer one."
        )
    for option, wanted, found, why in (
        ("state_dir", manifest.state_dir, conf.state_dir, "names network namespaces"),
        ("host", manifest.host, conf.host, "names the back ends that have the shares"),
    ):
        if wanted != found:
            raise Conflict(
                f"The archive is of an installation with [DEFAULT] {option} = "
                f"{logs.escaped(wanted)}, here it is {found}. It {why}: set it to what it was."
            )


def restore(
    conf: cfg.ConfigOpts, found: Archive, key: bytes | None, shown: Progress
) -> dict[Path, bytes]:
    """Bring everything back; returns the files that were written. Raises Conflict and Invalid,
    and then nothing starts until a restore has succeeded."""
    state_dir.make_folder(conf)
    with stopped(conf), state_dir.one_at_a_time(conf):
        is_repeated = _is_repeated(conf)
        files = _files_to_write(conf, found, key)
        _require_bare(conf, is_repeated)
        _mark(conf)
        database = state_dir.sqlite_file(conf)
        if database is None:
            _fill(config.database_url(conf), found.manifest, found.lines(), shown)
        else:
            new = _unfinished(database)
            state_dir.prepare_sqlite(conf, new)
            _fill(f"sqlite:///{new}", found.manifest, found.lines(), shown)
        for path, data in files.items():
            _write(conf, path, data)
        if database is not None:
            with owner_rights(database.parent):
                new.rename(database)
        state_dir.restoring(conf).unlink()
        _sync(Path(conf.state_dir))
    return files


def try_out(
    conf: cfg.ConfigOpts, manifest: Manifest, lines: Iterable[bytes], shown: Progress
) -> None:
    """Put the rows where they are then thrown away: into a database of SQLite in the folder of
    temporary files, or into schemas of their own in the configured database of PostgreSQL. Raises
    Conflict and Invalid as `restore` would."""
    if state_dir.sqlite_file(conf) is not None:
        with tempfile.TemporaryDirectory() as folder:
            _fill(f"sqlite:///{folder}/abaca.sqlite", manifest, lines, shown)
        return
    with _set_aside(config.database_url(conf)) as url:
        _fill(url, manifest, lines, shown, _TRIED_WORK)


def configuration_to_look_at(conf: cfg.ConfigOpts, found: Archive) -> list[Path]:
    """Files of the archive's configuration that are not in use here as they were: written below
    the state directory, for somebody to look at."""
    in_use = {Path(name).read_bytes() for name in conf.config_file or () if name != os.devnull}
    written = []
    for name, data in found.files.items():
        kind, _, plain = name.partition("/")
        if kind == "config" and data not in in_use:
            folder = state_dir.restored_configuration(conf)
            folder.mkdir(mode=0o700, exist_ok=True)
            state_dir.replace(folder / plain, data.decode(errors="replace"), 0o600, -1)
            written.append(folder / plain)
    return written


def _files_to_write(conf: cfg.ConfigOpts, found: Archive, key: bytes | None) -> dict[Path, bytes]:
    """Raises Conflict when a file is there already and is another one."""
    given = {
        name.partition("/")[2]: data
        for name, data in found.files.items()
        if name.startswith("kept/")
    }
    if key is not None:
        given["key"] = key
    files = {}
    for kept in state_dir.KEPT:
        path = kept.place(conf)
        if kept.name not in given:
            if kept.name == "key" and not path.exists():
                raise Conflict(
                    f"The archive is without the key: put it at {path}, or name it with --key-file."
                )
        elif not os.path.lexists(path):
            files[path] = given[kept.name]
        elif path.is_symlink() or path.read_bytes() != given[kept.name]:
            raise Conflict(f"{path} exists, and differs from the archive's: move it away first.")
    return files


def _require_bare(conf: cfg.ConfigOpts, is_repeated: bool) -> None:
    """Remove what an interrupted restore has left of the database. Raises Conflict when there is
    one that is not ours."""
    file = state_dir.sqlite_file(conf)
    if file is not None:
        there = [path for path in _files_of(file) if os.path.lexists(path)]
        if there and not is_repeated:
            raise Conflict(f"There is a database already: {there[0]}. Move it away first.")
        with owner_rights(file.parent):
            for path in (*there, *_files_of(_unfinished(file))):
                path.unlink(missing_ok=True)
        return
    engine = create_engine(config.database_url(conf), pool_size=1)
    try:
        with begin(engine) as conn:
            if contents.tables(conn, SCHEMA):
                if not is_repeated:
                    raise Conflict(
                        f"The database {logs.shown_url(config.database_url(conf))} has tables "
                        "already: restore into an empty one."
                    )
                _drop_all(conn)
    finally:
        engine.dispose()


def _files_of(database: Path) -> list[Path]:
    """A database of SQLite, and what SQLite puts beside it and would take for its own."""
    return [database.with_name(database.name + end) for end in ("", "-wal", "-shm", "-journal")]


def _unfinished(database: Path) -> Path:
    """The file that has the rows until all else is in its place."""
    return database.with_name(f"{database.name}.restoring")


def _drop_all(conn: Connection) -> None:
    tables = sa.MetaData()
    tables.reflect(conn)
    tables.drop_all(conn)
    conn.execute(sa.text(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE"))


@contextmanager
def _set_aside(url: str) -> Iterator[str]:
    """The URL of the same database of PostgreSQL by which tables are made in, and found in, schemas
    that are there meanwhile; those of an attempt that was killed go first."""
    engine = create_engine(url, pool_size=1)
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
            if not conn.scalar(sa.select(sa.func.pg_try_advisory_lock(_TRIES))):
                raise Conflict("Another backup is being made or checked: wait until it has ended.")
            _drop_tried(conn)
            try:
                for schema in (_TRIED, _TRIED_WORK):
                    conn.execute(sa.schema.CreateSchema(schema))
                yield _searching(url)
            finally:
                _drop_tried(conn)
    finally:
        engine.dispose()


def _drop_tried(conn: Connection) -> None:
    for schema in (_TRIED, _TRIED_WORK):
        conn.execute(sa.schema.DropSchema(schema, cascade=True, if_exists=True))


def _searching(url: str) -> str:
    parsed = sa.make_url(url)
    given = parsed.query.get("options", "")
    options = f"{given} -csearch_path={_TRIED}".strip()
    return parsed.update_query_dict({"options": options}).render_as_string(hide_password=False)


def _fill(
    url: str,
    manifest: Manifest,
    lines: Iterable[bytes],
    shown: Progress,
    schema: str = SCHEMA,
) -> None:
    """Make the tables as they were, fill them, and bring them up to this release. `schema`: that of
    the work engine on PostgreSQL."""
    from abaca.workflow import dbos_database  # loads DBOS: not for every command

    engine = create_engine(url, pool_size=1)
    try:
        migrations.upgrade(engine, manifest.revision)
        dbos_database.migrate(url, schema)
        with read(engine) as conn:
            if engine_revision(conn, schema) != manifest.engine_revision:
                raise Invalid(
                    "The archive's work in flight is that of another release of the work engine: "
                    f"restore it with release {logs.escaped(manifest.release)}, then upgrade."
                )
        with begin(engine) as conn:
            filled = contents.fill(conn, schema, _counted(manifest, lines), shown.done)
            for table, rows in manifest.tables.items():
                if rows.number and filled.get(table) != rows:
                    raise Invalid(
                        f"Table {logs.escaped(table)} differs from what the archive says."
                    )
        migrations.upgrade(engine)
        _end_former_workers(engine)
    finally:
        engine.dispose()


def _counted(manifest: Manifest, lines: Iterable[bytes]) -> Iterator[bytes]:
    """As many of the lines as the manifest says."""
    tables = manifest.tables
    most = len(tables) + sum(rows.number for rows in tables.values())
    for number, line in enumerate(lines):
        if number >= most:
            raise Invalid("The archive has more rows than its manifest says.")
        yield line


def _end_former_workers(engine: Engine) -> None:
    """Whoever served when the backup was made has no right to any more, and gives no
    heartbeats."""
    with begin(engine) as conn:
        now = database_now(conn)
        conn.execute(
            sa.update(worker_leases).values(
                token=worker_leases.c.token + 1, expires_at=now - timedelta(seconds=1)
            )
        )
        conn.execute(
            sa.update(services).values(
                is_ready=False, state_reason="restored from a backup", expires_at=now
            )
        )


def _is_repeated(conf: cfg.ConfigOpts) -> bool:
    """Whether a restore into this database was interrupted. Raises Conflict when it was into
    another one."""
    try:
        begun = msgspec.json.decode(state_dir.restoring(conf).read_bytes(), type=dict[str, str])
    except FileNotFoundError:
        return False
    except msgspec.DecodeError as error:
        raise Conflict(f"{state_dir.restoring(conf)} cannot be read: {error}.") from None
    url = logs.shown_url(config.database_url(conf))
    if begun.get("database") != url:
        raise Conflict(
            f"A restore into {logs.escaped(begun.get('database', '?'))} was interrupted, and now "
            f"{url} is configured: finish that one, or empty its database and delete "
            f"{state_dir.restoring(conf)}."
        )
    return True


def _mark(conf: cfg.ConfigOpts) -> None:
    text = msgspec.json.encode({"database": logs.shown_url(config.database_url(conf))}).decode()
    state_dir.replace(state_dir.restoring(conf), text, 0o600, -1)
    _sync(Path(conf.state_dir))


def _write(conf: cfg.ConfigOpts, path: Path, data: bytes) -> None:
    (kept,) = [kept for kept in state_dir.KEPT if kept.place(conf) == path]
    group = state_dir.api_group(conf) if kept.is_for_api else -1
    state_dir.replace(path, data.decode(), kept.mode, group)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
