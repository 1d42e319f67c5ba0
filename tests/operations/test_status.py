"""`abaca status`: what is said of an installation that is well, that has one problem of each kind,
and that has hundreds."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable, Iterator
from datetime import timedelta

import msgspec
import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from sqlalchemy.engine import Connection, Engine

from abaca import config
from abaca.admin import cli, manage, status
from abaca.db.session import begin, create_engine, read, utcnow
from abaca.db.tables import services, share_servers
from abaca.db.tables import share_server_share_network_subnet_mappings as mappings
from abaca.domain.services import condition, service_reports
from abaca.domain.services.service_reports import Report
from abaca.values import PoolStats
from abaca.workflow.queue import status_table
from tests import generated_rows
from tests.databases import Initialise
from tests.stack import initialise

API = {"url": "http://127.0.0.1:8786", "answers": True, "certificate_until": None}


@pytest.fixture
def engine(template_database: Callable[[Initialise], str]) -> Iterator[Engine]:
    made = create_engine(template_database(initialise), pool_size=1)
    yield made
    made.dispose()


def report(conn: Connection, host: str, *, reason: str | None = None) -> None:
    sign = Report(
        host=host, worker_host=host.partition("@")[0], availability_zone="nova",
        is_ready=reason is None, reason=reason, lasts=3600, network_allocations_number=1,
        network_allocation_update_support=True, security_service_update_support=False,
    )  # fmt: skip
    pool = PoolStats(pool_name="pool", total_capacity_gb=10, free_capacity_gb=9)
    service_reports.report(conn, sign, [pool])


def parked(conn: Connection, id_: str) -> None:
    row = {
        "workflow_uuid": id_, "status": "ERROR", "name": "share_create", "created_at": 1,
        "queue_name": "host-h", "recovery_attempts": 0, "priority": 0,
    }  # fmt: skip
    conn.execute(sa.insert(status_table(conn)).values(**row))


def found(engine: Engine) -> condition.Condition:
    with read(engine) as conn:
        return condition.get(conn)


def shown(engine: Engine) -> list[str]:
    state = found(engine)
    return status.screen(state, API, state.problems, state.number)


def test_nothing_is_wrong_with_an_empty_installation_nor_with_one_that_serves(
    engine: Engine,
) -> None:
    assert found(engine).problems == []
    with begin(engine) as conn:
        report(conn, "store-1@linux")
    state = found(engine)
    (back_end,) = state.back_ends
    assert (back_end.state, back_end.size_gb, back_end.servers) == ("up", 10.0, {})
    assert state.problems == [] and back_end.room_gb > 0
    assert "Nothing needs attention." in shown(engine)


def test_a_back_end_that_is_down_says_why(engine: Engine) -> None:
    with begin(engine) as conn:
        report(conn, "a@linux", reason="the pool is not mounted")
        report(conn, "b@linux")
        late = utcnow() - timedelta(hours=1)
        of_b = sa.update(services).where(services.c.host == "b@linux")
        conn.execute(of_b.values(expires_at=late, updated_at=late - timedelta(seconds=20)))
    one, other = found(engine).problems
    assert (one.id, one.why) == ("a@linux", "the pool is not mounted")
    assert other.id == "b@linux" and other.why.startswith("no heartbeat since ")


def test_rows_of_every_kind_are_told_and_every_command_exists(engine: Engine) -> None:
    with begin(engine) as conn:
        generated_rows.fill(conn)
        conn.execute(
            sa.update(share_servers).values(status="error", status_reason="the pool is full")
        )
        parked(conn, "share_create:90aa:1")
    state = found(engine)
    assert {problem.what for problem in state.problems} >= {
        "back end down", "share server in error", "operation parked"
    }  # fmt: skip
    assert any("retry_network_update" in problem.do for problem in state.problems)
    for command in {tuple(shlex.split(problem.do)) for problem in state.problems}:
        group = {"abaca": cli.main, "abaca-manage": manage.main}[command[0]]
        done = CliRunner().invoke(group, [*command[1:], "--help"])
        assert done.exit_code == 0, (command, done.output)


def test_hundreds_of_problems_stay_one_screen_and_steer_no_terminal(engine: Engine) -> None:
    with begin(engine) as conn:
        for number in range(12):
            report(conn, f"h{number}\x1b[2J@linux", reason="down\nforged")
        for number in range(200):
            parked(conn, f"share_create:{number:03}\x1b[2J'; reboot\n:1")
    lines = shown(engine)
    assert len(lines) <= 24 and lines[-1] == "  and 202 more: --json"
    assert all(line.isprintable() for line in lines)
    state = found(engine)
    assert len(state.problems) == state.number == 212
    assert all(len(shlex.split(problem.do)) <= 4 for problem in state.problems)


@pytest.mark.parametrize("id_", ["$(reboot)", "x; reboot", "--config-file=/tmp/mine", "'`reboot`'"])
def test_an_id_in_a_command_is_one_word_and_no_option(engine: Engine, id_: str) -> None:
    """Whoever took the API process over writes rows, and root copies the command."""
    with begin(engine) as conn:
        generated_rows.fill(conn)
        parked(conn, id_)
        for table, key, changed in (
            (share_servers, share_servers.c.id, {"id": id_, "status": "error"}),
            (mappings, mappings.c.share_server_id, {"share_server_id": id_, "is_served": False}),
        ):
            row = conn.execute(sa.select(table).order_by(key)).mappings().first()
            assert row is not None
            conn.execute(sa.insert(table).values({**row, **changed}))
    told = [problem.do for problem in found(engine).problems if problem.id == id_]
    commands = [command for command in told if command != "abaca-manage share_server list"]
    assert len(commands) == 2
    for command in commands:
        before, last = shlex.split(command)[:-1], shlex.split(command)[-1]
        assert last == id_ and "reboot" not in " ".join(before)
        assert not id_.startswith("-") or before[-1] == "--"
        printed = subprocess.run(
            ["sh", "-c", f"set -- {command}; printf %s $#"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert int(printed.stdout) == len(before) + 1


def test_json_is_ascii_and_has_all_of_it(engine: Engine, tmp_path: object) -> None:
    with begin(engine) as conn:
        report(conn, "h\x1b[2J\N{GRINNING FACE}@linux", reason="ä")
    state = found(engine)
    conf = config.load(["/dev/null"], {"state_dir": str(tmp_path)})
    text = status.as_text(conf, state, API, state.problems, state.number)
    assert text.isascii() and "\x1b" not in text
    said = msgspec.json.decode(text)
    assert said["problems"][0]["id"] == "h\x1b[2J\N{GRINNING FACE}@linux"
    assert said["back_ends"][0]["state"] == "down"
    assert said["back_ends"][0]["heartbeat"].endswith("Z")


def test_it_cannot_be_told_without_a_database(tmp_path: object) -> None:
    done = CliRunner().invoke(
        cli.main, ["status", "--config-file", "/dev/null", "--state-dir", str(tmp_path)]
    )
    assert done.exit_code == status.CANNOT_TELL and "`abaca serve` makes it" in done.output
