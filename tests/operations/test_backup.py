"""A backup, and what is restored of it: with work in flight, while others write, and when the
restore is interrupted. And a database that moves to the other kind."""

from __future__ import annotations

import io
import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread
from typing import IO

import pytest
import sqlalchemy as sa
from oslo_config import cfg
from sqlalchemy.engine import Connection

from abaca import config
from abaca.admin import archive, backup, restore, state_dir
from abaca.admin.progress import Progress
from abaca.admin.stopped import require_idle, stopped
from abaca.db.session import create_engine, read
from abaca.db.tables import local_networks, local_subnets, services, worker_leases
from abaca.errors import Conflict, Invalid
from tests.databases import Databases
from tests.operations import invariants
from tests.operations.conftest import Install
from tests.operations.scenarios import Ground
from tests.operations.scene import stored_slate
from tests.stack import Stack

pytestmark = pytest.mark.sampled_file(4)

ALL_ALLOWED: defaultdict[str, int] = defaultdict(lambda: 10_000)


def shown() -> Progress:
    return Progress("rows", 0, io.StringIO())


class Counted(Progress):
    """Counts what is done."""

    number = 0

    def done(self, number: int = 1, what: str = "") -> None:
        self.number += number


def made(stack: Stack, path: Path, *, with_key: bool = True) -> Path:
    with backup.new_file(path) as file:
        backup.make(stack.conf, stack.engine, file, shown(), with_key=with_key)
    return path


def restored(conf: cfg.ConfigOpts, path: Path, key: bytes | None = None) -> None:
    with archive.opened(path) as found:
        restore.require_fitting(conf, found.manifest)
        restore.restore(conf, found, key, shown())


@pytest.fixture
def lose(databases: Databases, database_kind: str) -> Iterator[Callable[[Stack], cfg.ConfigOpts]]:
    """`lose(stack)`: all but `worker/`, where the fake back end keeps its shares, is gone; the
    configuration names an empty database."""
    urls: list[str] = []

    def do(stack: Stack) -> cfg.ConfigOpts:
        stack.close()
        for path in Path(stack.conf.state_dir).iterdir():
            if path.is_file():
                path.unlink()
        if database_kind == "sqlite":
            stack.conf.set_override("connection", None, group="database")
        else:
            urls.append(databases.create())
            stack.conf.set_override("connection", urls[-1], group="database")
        stack.conf.set_override("user", "root", group="api")  # pytest's folders are closed
        return stack.conf

    yield do
    for url in urls:
        databases.drop(url)


def test_shares_and_work_in_flight_come_back(
    install: Install, lose: Callable[[Stack], cfg.ConfigOpts], tmp_path: Path
) -> None:
    stack = install()
    Path(stack.conf.state_dir, "users").write_text("# nobody yet\n")
    network = stack.share_network(*stack.network("10.0.0.0/24"))
    with stack.working():
        there = stack.share(network)
        assert stack.settled_share(there) == "available"
        paths = stack.paths(there)
    asked_for = stack.share(network)  # nobody works
    key = config.key_file(stack.conf).read_bytes()
    path = made(stack, tmp_path / "backup")
    assert os.stat(path).st_mode & 0o777 == 0o600
    leases = stack.ask(
        lambda conn: dict(
            conn.execute(sa.select(worker_leases.c.host, worker_leases.c.token)).all()
        )
    )
    conf = lose(stack)
    restored(conf, path)
    assert config.key_file(conf).read_bytes() == key
    assert not os.path.lexists(state_dir.restoring(conf))
    again = Stack(conf)
    try:
        with read(again.engine) as conn:
            tokens = dict(
                conn.execute(sa.select(worker_leases.c.host, worker_leases.c.token)).all()
            )
            assert tokens == {host: token + 1 for host, token in leases.items()}
            assert set(conn.scalars(sa.select(services.c.state_reason))) == {
                "restored from a backup"
            }
        with again.working():
            assert again.settled_share(asked_for) == "available"
            assert again.settled_share(there) == "available"
            assert again.paths(there) == paths
            assert invariants.broken(again.engine, ALL_ALLOWED, at_rest=True) == []
    finally:
        again.close()


def test_a_backup_is_of_one_moment_while_others_write(
    install: Install, lose: Callable[[Stack], cfg.ConfigOpts], tmp_path: Path
) -> None:
    """Each network is made, then its subnet: at any moment one network at most has none."""
    stack, enough, ended = install(), Event(), Event()

    def write() -> None:
        for number in range(500):
            if ended.is_set():
                return
            stack.network(f"10.{number % 250}.0.0/24")
            if number >= 3:
                enough.set()

    writer = Thread(target=write)
    writer.start()
    try:
        assert enough.wait(120)
        path = made(stack, tmp_path / "backup")
    finally:
        ended.set()
        writer.join()
    conf = lose(stack)
    restored(conf, path)
    engine = create_engine(config.database_url(conf), pool_size=1)
    with read(engine) as conn:
        networks = set(conn.scalars(sa.select(local_networks.c.id)))
        assert len(networks) >= 3
        with_subnet = set(conn.scalars(sa.select(local_subnets.c.network_id)))
        assert with_subnet <= networks
        assert len(networks - with_subnet) <= 1
    engine.dispose()


class Interrupted(Exception):
    """The process is killed."""


def test_an_interrupted_restore_begins_anew(
    install: Install, lose: Callable[[Stack], cfg.ConfigOpts], tmp_path: Path
) -> None:
    stack = install()
    path = made(stack, tmp_path / "backup")
    conf = lose(stack)
    with archive.opened(path) as found:
        for steps in (0, 1):

            class Killing(Progress):
                left = steps

                def done(self, number: int = 1, what: str = "") -> None:
                    if self.left == 0:
                        raise Interrupted
                    self.left -= 1

            with pytest.raises(Interrupted):
                restore.restore(conf, found, None, Killing("rows", 0, io.StringIO()))
            with pytest.raises(Conflict, match=r"A restore into .* was interrupted"):
                state_dir.prepare(conf)
        # killed when the files and the rows are there, before the marker goes
        restore.restore(conf, found, None, shown())
        state_dir.restoring(conf).write_text(f'{{"database": "{config.database_url(conf)}"}}')
        restore.restore(conf, found, None, shown())
    state_dir.prepare(conf)
    leftovers = [p.name for p in Path(conf.state_dir).rglob("*") if "restoring" in p.name]
    assert leftovers == []


def test_what_is_there_is_not_overwritten(
    install: Install, lose: Callable[[Stack], cfg.ConfigOpts], tmp_path: Path
) -> None:
    stack = install()
    path = made(stack, tmp_path / "backup", with_key=False)
    key = config.key_file(stack.conf).read_bytes()
    conf = lose(stack)
    with pytest.raises(Conflict, match="The archive is without the key"):
        restored(conf, path)
    assert list(Path(conf.state_dir).glob(".restoring")) == []
    restored(conf, path, key)
    with pytest.raises(Conflict, match="already"):
        restored(conf, path, key)
    config.key_file(conf).write_text("another")
    with pytest.raises(Conflict, match="exists, and differs from the archive"):
        restored(conf, path, key)
    for option, value in (("host", "other"), ("state_dir", "/elsewhere")):
        before = conf[option]
        conf.set_override(option, value)
        with pytest.raises(Conflict, match=rf"\[DEFAULT\] {option} = {before}"):
            restored(conf, path, key)
        conf.set_override(option, before)


def test_rows_that_could_not_be_restored_are_told_and_nothing_of_the_attempt_stays(
    stack: Stack, tmp_path: Path
) -> None:
    """On each database, while a worker runs; also when an attempt before was killed."""
    Ground(stack).snapshot()
    before = stored_slate(stack)

    def tried() -> tuple[int, int]:
        """How many rows there are, and how many were told to be done."""
        counted = Counted("rows", 0, io.StringIO())
        with backup.new_file(tmp_path / "backup") as file:
            manifest = backup.make(
                stack.conf,
                stack.engine,
                file,
                counted,
                with_key=True,
                try_out=lambda manifest, rows: restore.try_out(
                    stack.conf, manifest, packed(rows), counted
                ),
            )
        return sum(table.number for table in manifest.tables.values()), counted.number

    def packed(rows: IO[bytes]) -> Iterator[bytes]:
        size = rows.seek(0, os.SEEK_END)
        rows.seek(0)
        return archive.packed_lines(rows, size)

    there, done = tried()
    assert done == 2 * there
    if not is_sqlite_url(stack.conf):
        for schema in ("abaca_tried", "abaca_tried_work"):
            stack.do(Connection.execute, sa.schema.CreateSchema(schema))
    tried()
    assert stored_slate(stack) == before
    assert [name for name in stack.ask(schemas) if "tried" in name] == []
    stack.do(Connection.execute, sa.text("CREATE TABLE theirs (a INTEGER)"))
    stack.do(Connection.execute, sa.text("INSERT INTO theirs VALUES (1)"))
    with pytest.raises(Invalid, match="Table theirs has rows"):
        tried()
    assert [name for name in stack.ask(schemas) if "tried" in name] == []


def schemas(conn: Connection) -> list[str]:
    return sa.inspect(conn).get_schema_names()


def is_sqlite_url(conf: cfg.ConfigOpts) -> bool:
    return config.database_url(conf).startswith("sqlite")


def test_a_database_in_use_is_not_moved(stack: Stack) -> None:
    with pytest.raises(Conflict, match="Stop worker host1"), stopped(stack.conf):
        pass
    with pytest.raises(Conflict, match="worker host host1"):
        require_idle(stack.engine)
