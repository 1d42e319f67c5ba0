"""`abaca-manage`: the schema and the services, straight from the database. And the help of both
commands."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result
from oslo_config import cfg

from abaca import config
from abaca.admin import cli, manage, state_dir
from abaca.db import migrations
from abaca.db.session import begin, create_engine
from abaca.domain.services import hosts, service_reports
from abaca.domain.services.service_reports import Report
from abaca.values import PoolStats
from tests.service import reachable_folder


@pytest.fixture
def conf() -> Iterator[cfg.ConfigOpts]:
    with reachable_folder() as folder:
        yield config.load([os.devnull], {"state_dir": str(folder / "state")})


def call(conf: cfg.ConfigOpts, *arguments: str) -> Result:
    """As on a terminal, which gets what is steering it."""
    return CliRunner().invoke(
        manage.main,
        [*arguments, "--config-file", os.devnull, "--state-dir", conf.state_dir],
        color=True,
    )


def test_db_sync_makes_the_tables_and_db_version_tells(conf: cfg.ConfigOpts) -> None:
    before = call(conf, "db", "version")
    assert before.output.startswith("no tables") and "abaca-manage db sync" in before.output
    assert not Path(conf.state_dir).exists()
    assert call(conf, "db", "sync").exit_code == 0
    assert call(conf, "db", "version").output == f"{migrations.head()}\n"


def test_services_are_listed_with_state_and_pools(conf: cfg.ConfigOpts) -> None:
    state_dir.prepare(conf)
    engine = create_engine(config.database_url(conf))
    stats = PoolStats(pool_name="pool", total_capacity_gb=10, free_capacity_gb=9)
    for host, ready, pools in (("one@linux", True, [stats]), ("two@linux", False, [])):
        sign = Report(
            host=host, worker_host=host.partition("@")[0], availability_zone="nova", is_ready=ready,
             reason=None if ready else "starting", lasts=60,
            network_allocations_number=1, network_allocation_update_support=True,
             security_service_update_support=False,
        )  # fmt: skip
        with begin(engine) as conn:
            service_reports.report(conn, sign, pools)
    engine.dispose()
    head, _, one, two = call(conf, "service", "list").output.splitlines()
    assert head.split() == [
        "Host",
        "Zone",
        "Status",
        "State",
        "Last",
        "heartbeat",
        "(UTC)",
        "Pools",
    ]
    assert one.split()[:4] == ["one@linux", "nova", "enabled", "up"] and one.split()[-1] == "pool"
    assert two.split()[:4] == ["two@linux", "nova", "enabled", "down"] and two.split()[-1] == "-"


HOSTILE: list[dict[str, object]] = [
    {"workflow_uuid": "a\x1b[2J\nforged:b"},
    {"name": "b\x1b[2J\x07"},
    {"queue_name": "host-\x1b[2J\u202e"},
    {"inputs": '{"args": ["\\u001b[2J"], "kwargs": {}}'},
    {"inputs": '{"no": "arguments"}'},
    {"inputs": '{"args": null}'},
    {"inputs": "\x1b[2J"},
    {
        "serialization": "py_pickle",
        "inputs": "gASVHAAAAAAAAACMBXBvc2l4lIwGc3lzdGVtlJOUjARpZCA+lIWUUpQu",
    },
    {"created_at": 10**18},
    {"created_at": -(10**17)},
    {"authenticated_roles": "nonsense"},
    {
        "status": "ERROR",
        "error": '{"error": {"name": "x", "message": "\\u001b[2J\\nforged", "details": {}}}',
    },
    {"status": "ERROR", "error": '{"error": 7}'},
    {"status": "ERROR", "error": "\x1b[2J"},
    {"status": "ERROR", "error": "[" * 100_000},
    {"authenticated_roles": "[" * 100_000},
    {"inputs": "[" * 100_000},
]


def test_hostile_rows_of_work_hide_no_other_and_steer_no_terminal(conf: cfg.ConfigOpts) -> None:
    """As whoever has taken the API process over could write them."""
    state_dir.prepare(conf)
    engine = create_engine(config.database_url(conf))
    honest: dict[str, object] = {
        "workflow_uuid": "share_create:honest:1", "status": "ENQUEUED", "name": "share_create",
         "created_at": 1, "updated_at": 1,
        "queue_name": "host-h", "inputs": '{"args": ["honest"], "kwargs": '
                                          '{}}', "serialization": "abaca_json",
    }  # fmt: skip
    rows = [
        honest,
        *(
            {**honest, "workflow_uuid": f"share_create:{number}:1", **row}
            for number, row in enumerate(HOSTILE)
        ),
    ]
    with begin(engine) as conn:
        for row in rows:
            conn.execute(sa.insert(sa.table("workflow_status", *map(sa.column, row))).values(**row))
    engine.dispose()
    listed = call(conf, "operations", "list")
    assert listed.exit_code == 0, listed.output
    assert (
        len(listed.stdout.splitlines()) == 2 + len(rows)
        and "share_create:honest:1" in listed.stdout
    )
    for row in rows:
        shown = call(conf, "operations", "show", str(row["workflow_uuid"]))
        assert shown.exception is None or isinstance(shown.exception, SystemExit), (
            row,
            shown.exception,
        )
        assert all(
            character.isprintable() or character == "\n"
            for character in listed.output + shown.output
        ), (row, shown.output)


def test_hostile_rows_of_services_steer_no_terminal(conf: cfg.ConfigOpts) -> None:
    state_dir.prepare(conf)
    engine = create_engine(config.database_url(conf))
    sign = Report(
        host="h\x1b[2J@a\nforged@b", worker_host="h", availability_zone="nova\x1b[2J",
         is_ready=True, reason=None, lasts=60,
        network_allocations_number=1, network_allocation_update_support=True,
         security_service_update_support=False,
    )  # fmt: skip
    with begin(engine) as conn:
        service_reports.report(
            conn, sign, [PoolStats(pool_name="p\x1b[2J", total_capacity_gb=10, free_capacity_gb=9)]
        )
    engine.dispose()
    listed = call(conf, "service", "list").output
    assert len(listed.splitlines()) == 3 and all(
        character.isprintable() or character == "\n" for character in listed
    )


def test_without_a_database_it_says_so_and_makes_none(conf: cfg.ConfigOpts) -> None:
    result = call(conf, "service", "list")
    assert result.exit_code == 1 and "There is no database at sqlite:///" in result.output
    assert not Path(conf.state_dir).exists()


def test_a_database_without_tables_is_an_error_and_no_traceback(conf: cfg.ConfigOpts) -> None:
    state_dir.make_folder(conf)
    config.state_path(conf, "db").mkdir()
    config.state_path(conf, "db", "abaca.sqlite").touch()
    result = call(conf, "service", "list")
    assert result.exit_code == 1 and "no such table" in result.output


def commands(group: click.Group, path: tuple[str, ...]) -> list[tuple[str, click.Command]]:
    found: list[tuple[str, click.Command]] = []
    for name, command in group.commands.items():
        inner = (*path, name)
        found += (
            commands(command, inner)
            if isinstance(command, click.Group)
            else [(" ".join(inner), command)]
        )
    return found


@pytest.mark.parametrize(
    ("name", "command"),
    [*commands(cli.main, ("abaca",)), *commands(manage.main, ("abaca-manage",))],
)
def test_every_command_explains_itself(name: str, command: click.Command) -> None:
    """And the commands that stand directly below `abaca` give an example."""
    output = CliRunner().invoke(command, ["--help"]).output
    options = [
        option
        for option in command.params
        if isinstance(option, click.Option) and not option.hidden
    ]
    assert command.help and len(command.help) > 30 and all(option.help for option in options)
    if name.count(" ") == 1:
        assert "Example" in output


def test_hosts_are_listed_drained_fenced_and_enabled(conf: cfg.ConfigOpts) -> None:
    state_dir.prepare(conf)
    engine = create_engine(config.database_url(conf))
    with begin(engine) as conn:
        hosts.register(
            conn, "one\x1b[2J", tunnel_address="10.99.0.1", tunnel_port=4789, underlay_mtu=1500
        )
        hosts.register(conn, "two")
    engine.dispose()
    assert "fenced" in call(conf, "host", "fence", "two").output
    assert "draining" in call(conf, "host", "drain", "one\x1b[2J", "--reason", "disks").output
    head, _, one, two = call(conf, "host", "list").output.splitlines()
    assert head.split()[:2] == ["Host", "State"]
    assert "\x1b" not in one and one.split()[1:] == ["down", "10.99.0.1", "0", "0", "disks"]
    assert two.split() == ["two", "fenced", "-", "0", "0", "-"]
    assert "1500" in call(conf, "host", "show", "one\x1b[2J").output
    assert "down" in call(conf, "host", "enable", "two").output
    missing = call(conf, "host", "show", "three")
    assert missing.exit_code == 1 and "Host three could not be found." in missing.output
