"""What the API's user puts beside the database, where it may write, is opened by root with that
user's rights: root's own files are safe."""

from __future__ import annotations

import os
import pwd
import struct
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
import sqlalchemy as sa
from oslo_config import cfg
from sqlalchemy.exc import OperationalError

from abaca import config
from abaca.admin import state_dir
from abaca.db.owner_rights import owner_rights
from abaca.db.session import begin, create_engine, read
from abaca.workflow.dbos_database import create_dbos_engine
from tests.service import UNPRIVILEGED, reachable_folder

pytestmark = [
    pytest.mark.slow("a process of another user each"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: what is looked at is what root does"),
]

SECTOR, PAGE = 512, 4096
JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")
LOCK_PAGE = 0x40000000 // PAGE + 1
ENGINES = pytest.mark.parametrize("make_engine", [create_engine, create_dbos_engine])
PRECIOUS = "for root only\n"


@pytest.fixture
def conf() -> Iterator[cfg.ConfigOpts]:
    with reachable_folder() as folder:
        conf = config.load([os.devnull], {"state_dir": str(folder / "state")})
        conf.set_override("user", UNPRIVILEGED, group="api")
        state_dir.prepare(conf)
        yield conf


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    path = tmp_path / "precious"
    path.write_text(PRECIOUS)
    return path


def plant(path: Path, content: bytes) -> None:
    """A file as the API process would write it."""
    account = pwd.getpwnam(UNPRIVILEGED)
    path.write_bytes(content)
    os.chown(path, account.pw_uid, account.pw_gid)


def journal_of_several(database: Path, named: Path) -> bytes:
    """The rollback journal of a transaction over several databases, whose list is `named`: recovery
    deletes that when the list is done with."""
    header = JOURNAL_MAGIC + struct.pack(
        ">IIIII", 0, 0, database.stat().st_size // PAGE, SECTOR, PAGE
    )
    name = bytes(named)
    checked = struct.pack(">II", len(name), sum(name)) + JOURNAL_MAGIC
    return header.ljust(SECTOR, b"\0") + struct.pack(">I", LOCK_PAGE) + name + checked


@ENGINES
def test_a_journal_that_names_a_file_of_roots_does_not_delete_it(
    conf: cfg.ConfigOpts, precious: Path, make_engine: type
) -> None:
    database = config.state_path(conf, "db", "abaca.sqlite")
    plant(database.with_name("abaca.sqlite-journal"), journal_of_several(database, precious))
    engine = make_engine(config.database_url(conf))
    with suppress(OperationalError), engine.connect() as conn:
        conn.execute(sa.text("SELECT count(*) FROM sqlite_master"))
    engine.dispose()
    assert precious.read_text() == PRECIOUS


def test_a_journal_is_believed_where_root_alone_may_write(tmp_path: Path, precious: Path) -> None:
    """So that the test above cannot pass for a journal that nobody would take for one."""
    database = tmp_path / "own.sqlite"
    engine = create_engine(f"sqlite:///{database}")
    with begin(engine) as conn:
        conn.execute(sa.text("CREATE TABLE t (x)"))
    engine.dispose()
    database.with_name("own.sqlite-journal").write_bytes(journal_of_several(database, precious))
    with read(engine) as conn:
        conn.execute(sa.text("SELECT * FROM t"))
    engine.dispose()
    assert not precious.exists()


@ENGINES
@pytest.mark.parametrize("side_file", ["-wal", "-shm", "-journal"])
def test_a_symbolic_link_to_a_file_of_roots_is_not_followed(
    conf: cfg.ConfigOpts, precious: Path, side_file: str, make_engine: type
) -> None:
    config.state_path(conf, "db", f"abaca.sqlite{side_file}").symlink_to(precious)
    engine = make_engine(config.database_url(conf))
    with suppress(OperationalError), engine.begin() as conn:
        conn.execute(sa.text("CREATE TABLE planted (x)"))
    engine.dispose()
    assert precious.read_text() == PRECIOUS


def test_a_database_that_is_a_link_to_one_of_roots_is_not_opened(
    conf: cfg.ConfigOpts, tmp_path: Path
) -> None:
    own = create_engine(f"sqlite:///{tmp_path / 'own.sqlite'}")
    with begin(own) as conn:
        conn.execute(sa.text("CREATE TABLE t (x)"))
    own.dispose()
    database = config.state_path(conf, "db", "abaca.sqlite")
    database.unlink()
    database.symlink_to(tmp_path / "own.sqlite")
    engine = create_engine(config.database_url(conf))
    with pytest.raises(OperationalError), read(engine) as conn:
        conn.execute(sa.text("SELECT * FROM t"))


def test_a_folder_that_is_not_there_is_told_by_sqlite(tmp_path: Path) -> None:
    with (
        pytest.raises(OperationalError, match="unable to open"),
        read(create_engine(f"sqlite:///{tmp_path}/none/abaca.sqlite")),
    ):
        pass


def test_other_threads_keep_their_rights(conf: cfg.ConfigOpts, precious: Path) -> None:
    precious.chmod(0o600)
    with ThreadPoolExecutor(1) as other:
        # its thread is there: one that is started meanwhile would have the rights of who starts it
        other.submit(os.getpid).result()
        with owner_rights(config.state_path(conf, "db")):
            with pytest.raises(PermissionError):
                precious.read_text()
            assert other.submit(precious.read_text).result() == PRECIOUS
    assert precious.read_text() == PRECIOUS


def test_the_apis_user_may_write_to_the_databases_folder_only(conf: cfg.ConfigOpts) -> None:
    find = ["find", conf.state_dir, "-writable", "!", "-type", "l"]
    writable = subprocess.run(
        find, user=UNPRIVILEGED, capture_output=True, text=True, check=False, cwd="/"
    ).stdout.split()
    assert writable == [
        str(config.state_path(conf, *names)) for names in (("db",), ("db", "abaca.sqlite"))
    ]
