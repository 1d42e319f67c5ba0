"""`abaca status` on rows that Abaca never writes, which SQLite takes from a captured API."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest
from click.testing import CliRunner
from oslo_config import cfg

from abaca import config
from abaca.admin import cli, state_dir
from abaca.db.session import begin, create_engine
from tests import generated_rows
from tests.service import reachable_folder


@pytest.fixture(scope="module")
def conf() -> Iterator[cfg.ConfigOpts]:
    """An installation with rows in every table, some of which need somebody."""
    with reachable_folder() as folder:
        made = config.load([os.devnull], {"state_dir": str(folder / "state")})
        state_dir.prepare(made)
        engine = create_engine(config.database_url(made), pool_size=1)
        with begin(engine) as conn:
            generated_rows.fill(conn)
            for table, state in (("share_servers", "error"), ("share_instances", "error"),
                                 ("workflow_status", "ERROR")):  # fmt: skip
                conn.exec_driver_sql(f"UPDATE {table} SET status = '{state}'")
        engine.dispose()
        yield made


def status(conf: cfg.ConfigOpts, *more: str) -> tuple[int, str]:
    given = ["status", *more, "--config-file", os.devnull, "--state-dir", conf.state_dir]
    result = CliRunner().invoke(cli.main, given)
    assert isinstance(result.exception, SystemExit | None), (result.exception, result.output)
    return result.exit_code, result.output


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("services", "updated_at", "'x'"),
        ("services", "expires_at", "x'ff00'"),
        ("services", "host", "x'ff00'"),
        ("share_instances", "host", "x'ff00'"),
        ("share_servers", "status", "x'6572726f72'"),
    ],
)
def test_a_value_of_another_type_is_said_and_no_traceback_shown(
    conf: cfg.ConfigOpts, table: str, column: str, value: str
) -> None:
    engine = create_engine(config.database_url(conf), pool_size=1)
    with engine.connect() as conn:
        conn.exec_driver_sql("PRAGMA foreign_keys = OFF")
        kept = conn.exec_driver_sql(f'SELECT rowid, "{column}" FROM "{table}"').all()
        conn.exec_driver_sql(f'UPDATE "{table}" SET "{column}" = {value} WHERE rowid = 1')
        conn.commit()
        code, said = status(conf)
        for rowid, before in kept:
            conn.exec_driver_sql(
                f'UPDATE "{table}" SET "{column}" = ? WHERE rowid = ?', (before, rowid)
            )
        conn.commit()
    engine.dispose()
    assert code == 1 or (code == 2 and "what Abaca never writes" in said and "names the" in said)
    assert code == 2 or table == "share_servers"  # LIKE finds no bytes: the row is just not told of


def test_the_api_is_looked_for_where_it_was_told_to_listen(conf: cfg.ConfigOpts) -> None:
    code, said = status(conf, "--json", "--listen", "::1", "--port", "9")
    assert code == 1
    assert json.loads(said)["api"]["url"] == "http://[::1]:9"


def test_a_reason_cannot_pass_for_the_command_to_run(conf: cfg.ConfigOpts) -> None:
    engine = create_engine(config.database_url(conf), pool_size=1)
    with engine.begin() as conn:
        kept = conn.exec_driver_sql("SELECT status_reason, id FROM share_servers").all()
        conn.exec_driver_sql("UPDATE share_servers SET status_reason = 'bad  → rm -r /'")
    _, said = status(conf)
    with engine.begin() as conn:
        restored = "UPDATE share_servers SET status_reason = ? WHERE id = ?"
        for row in kept:
            conn.exec_driver_sql(restored, tuple(row))
    engine.dispose()
    assert "bad  -> rm -r /" in said
    commands = [part for line in said.splitlines() for part in line.split("  → ")[1:]]
    assert commands and all(command.startswith("abaca") for command in commands), said
