"""`abaca backup`, `abaca restore` and `abaca-manage db move` as commands."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result
from oslo_config import cfg

from abaca import config
from abaca.admin import cli, manage, state_dir, users
from abaca.db.session import begin, create_engine, read
from tests.service import PROGRAM, reachable_folder

pytestmark = [
    pytest.mark.slow("an installation each, backed up and restored"),
    pytest.mark.sampled(4),
]


@pytest.fixture
def conf() -> Iterator[cfg.ConfigOpts]:
    """An installation with a user and a share type."""
    with reachable_folder() as folder:
        made = config.load([os.devnull], {"state_dir": str(folder / "state")})
        state_dir.prepare(made)
        users.make_first_admin(made)
        engine = create_engine(config.database_url(made), pool_size=1)
        with begin(engine) as conn:
            now = "CURRENT_TIMESTAMP"
            conn.execute(
                sa.text(
                    "INSERT INTO availability_zones (id, name, created_at) "
                    f"VALUES ('z', 'zone\x1b[2J', {now})"
                )
            )
        engine.dispose()
        yield made


def call(conf: cfg.ConfigOpts, group: click.Group, *arguments: str) -> Result:
    given = [*arguments, "--config-file", os.devnull, "--state-dir", conf.state_dir]
    return CliRunner().invoke(group, given, color=True)


def zones(url: str) -> list[str]:
    engine = create_engine(url, pool_size=1)
    with read(engine) as conn:
        found = list(conn.scalars(sa.text("SELECT name FROM availability_zones")))
    engine.dispose()
    return found


def test_an_installation_is_backed_up_lost_and_restored(conf: cfg.ConfigOpts) -> None:
    file = Path(conf.state_dir).parent / "backup.tar"
    made = call(conf, cli.main, "backup", str(file))
    assert made.exit_code == 0, made.output
    assert "users, key, clouds.yaml" in made.output and "The key is in it" in made.output
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir() if "backup" in path.name] == [file.name]
    kept = {
        one.name: (one.place(conf).read_bytes(), one.place(conf).stat().st_mode)
        for one in state_dir.KEPT
        if one.place(conf).exists()
    }
    refused = call(conf, cli.main, "restore", str(file))
    assert refused.exit_code == 1 and "There is a database already" in refused.output
    config.state_path(conf, "db", "abaca.sqlite").rename(
        config.state_path(conf, "db", "abaca.sqlite.old")
    )
    for name in ("users", "key", "clouds.yaml"):
        config.state_path(conf, name).unlink()
    for end in ("-wal", "-shm"):
        config.state_path(conf, "db", f"abaca.sqlite{end}").unlink(missing_ok=True)
    again = call(conf, cli.main, "restore", str(file))
    assert again.exit_code == 0, again.output
    assert config.state_path(conf, "db", "abaca.sqlite.old").exists(), "it is not ours to remove"
    shutil.rmtree(conf.state_dir)
    checked = call(conf, cli.main, "restore", "--check", str(file))
    assert checked.exit_code == 0 and "It fits" in checked.output, checked.output
    assert not Path(conf.state_dir).exists()
    back = call(conf, cli.main, "restore", str(file))
    assert back.exit_code == 0, back.output
    assert f"restored  {config.users_file(conf)}" in back.output
    assert zones(config.database_url(conf)) == ["zone\x1b[2J"]
    for one in state_dir.KEPT:
        if one.name in kept:
            found = one.place(conf).read_bytes(), one.place(conf).stat().st_mode
            assert found == kept[one.name], one.name
    state_dir.prepare(conf)  # owners and modes are those that a start asks for


def test_an_archive_that_has_no_place_is_told_by_its_own_name(conf: cfg.ConfigOpts) -> None:
    missing = Path(conf.state_dir) / "nowhere"
    refused = call(conf, cli.main, "backup", str(missing / "x.tar"))
    assert refused.exit_code == 1
    assert f"There is no folder {missing}: make it" in refused.output
    refused = call(conf, cli.main, "backup", conf.state_dir)
    assert f"{conf.state_dir} is a folder: name a file in it." in refused.output
    assert not [*Path(conf.state_dir).parent.glob("*.new")]


def test_a_backup_of_nothing_and_a_restore_of_nonsense_are_errors(conf: cfg.ConfigOpts) -> None:
    file = Path(conf.state_dir).parent / "backup.tar"
    file.write_text("nonsense")
    assert (
        "not an archive made by `abaca backup`" in call(conf, cli.main, "restore", str(file)).output
    )
    shutil.rmtree(conf.state_dir)
    nothing = call(conf, cli.main, "backup", str(file))
    assert nothing.exit_code == 1 and "There is no database" in nothing.output
    assert file.read_text() == "nonsense"


@pytest.mark.parametrize(
    ("statements", "status"),
    [
        (['CREATE TABLE t (a INTEGER REFERENCES "no\x1b]0;title\x07"(b))'], 1),
        (
            [
                'CREATE TABLE "t\x1b[2J" (a INTEGER REFERENCES "u\x1b[2J"(a))',
                'CREATE TABLE "u\x1b[2J" (a INTEGER REFERENCES "t\x1b[2J"(a))',
            ],
            0,
        ),
    ],
)
def test_tables_that_a_captured_api_made_steer_no_terminal(
    conf: cfg.ConfigOpts, statements: list[str], status: int
) -> None:
    """Neither by an error that nobody expected nor by a warning of a library."""
    engine = create_engine(config.database_url(conf), pool_size=1)
    with begin(engine) as conn:
        for statement in statements:
            conn.exec_driver_sql(statement)
    engine.dispose()
    file = Path(conf.state_dir).parent / "backup.tar"
    command = [*PROGRAM, "backup", str(file), "--config-file", os.devnull]
    done = subprocess.run(
        [*command, "--state-dir", conf.state_dir], capture_output=True, text=True, check=False
    )
    assert done.returncode == status, done.stderr
    assert "\\x1b" in done.stderr and "\x1b" not in done.stderr


def test_a_backup_and_a_check_tell_that_rows_could_not_be_restored(conf: cfg.ConfigOpts) -> None:
    """Whoever has taken the API over makes a table of theirs, and every backup holds it."""
    engine = create_engine(config.database_url(conf), pool_size=1)
    with begin(engine) as conn:
        conn.exec_driver_sql("CREATE TABLE theirs (a INTEGER)")
        conn.exec_driver_sql("INSERT INTO theirs VALUES (1)")
    engine.dispose()
    file = Path(conf.state_dir).parent / "backup.tar"
    for target in (str(file), "-"):
        made = call(conf, cli.main, "backup", target)
        assert made.exit_code == 1 and "Table theirs has rows" in made.output, made.output
        assert "give --no-check" in made.output and "manifest.json" not in made.output
    assert not file.exists()
    assert call(conf, cli.main, "backup", "--no-check", str(file)).exit_code == 0
    checked = call(conf, cli.main, "restore", "--check", str(file))
    assert checked.exit_code == 1 and "Table theirs has rows" in checked.output, checked.output


def test_standard_output_gets_the_archive_alone(conf: cfg.ConfigOpts) -> None:
    given = ["backup", "-", "--without-key", "--config-file", os.devnull]
    done = CliRunner().invoke(cli.main, [*given, "--state-dir", conf.state_dir])
    assert done.exit_code == 0, done.stderr
    assert done.stdout_bytes.startswith(b"manifest.json\0") and b"kept/key" not in done.stdout_bytes
    assert "rows of" in done.stderr


def test_a_database_is_moved_and_the_old_one_stays(conf: cfg.ConfigOpts) -> None:
    old = config.database_url(conf)
    folder = Path(conf.state_dir).parent / "new"
    folder.mkdir()
    new = f"sqlite:///{folder}/abaca.sqlite"
    checked = call(conf, manage.main, "db", "move", "--check", "--to", new)
    assert checked.exit_code == 0 and "is empty" in checked.output, checked.output
    moved = call(conf, manage.main, "db", "move", "--to", new)
    assert moved.exit_code == 0, moved.output
    assert f"connection = {new}" in moved.output
    assert zones(new) == zones(old) == ["zone\x1b[2J"]
    again = call(conf, manage.main, "db", "move", "--to", new)
    assert again.exit_code == 1 and "holds rows: give an empty database" in again.output


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("nonsense", "this is not a database URL"),
        ("mysql://h/d", "give postgresql+psycopg"),
        ("sqlite://", "give postgresql+psycopg"),
        ("sqlite:////nowhere/x/abaca.sqlite", "unable to open database file"),
        ("postgresql+psycopg://u:secret@127.0.0.1:1/d", "connection"),
    ],
)
def test_a_target_that_is_none_is_an_error(conf: cfg.ConfigOpts, target: str, said: str) -> None:
    done = call(conf, manage.main, "db", "move", "--to", target)
    assert done.exit_code in (1, 2) and said in done.output, done.output
    assert "secret" not in done.output and "Traceback" not in done.output


def test_neither_the_same_database_nor_somebody_elses_is_filled(conf: cfg.ConfigOpts) -> None:
    same = call(conf, manage.main, "db", "move", "--to", config.database_url(conf))
    assert same.exit_code == 2 and "this is the database in use" in same.output
    other = Path(conf.state_dir).parent / "other.sqlite"
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE theirs (a)")
    connection.close()
    done = call(conf, manage.main, "db", "move", "--to", f"sqlite:///{other}")
    assert done.exit_code == 1 and "not Abaca's, as theirs" in done.output, done.output
