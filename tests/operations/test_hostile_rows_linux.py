"""A hostile API process writes into the rows that the worker, root on a Linux back end, works from:
work ends with a reason, and nothing is gained.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.tables import network_allocations, share_network_subnets, share_networks, shares
from abaca.drivers.linux.layout import run_path
from abaca.worker.backends import network_namespace
from tests.databases import SqliteDatabases
from tests.linux_walk import LinuxWorld, linux_installation
from tests.operations.failure_walk import idle, unsettled
from tests.operations.scenarios import Ground
from tests.operations.scene import allow, server_of, settled_rules, share, stored_slate, told
from tests.stack import Stack, initialise

pytestmark = [
    pytest.mark.sampled_file(8),
    pytest.mark.root,
    pytest.mark.slow("a share server is made for each hostile row"),
    pytest.mark.timeout(300),
]

PATIENCE = 120.0
CONFIGURED = '10.0.0.9"; } EXPORT { Path = "/"; Pseudo = "/all"; } #\n$(touch pwned)'
NO_NUMBER = "was upgraded"  # what text in a column of numbers is taken for: records of other code
SUBNET_VALUES = [
    ("cidr", CONFIGURED, "cannot be"),
    ("cidr", "../../../../etc", "cannot be"),
    ("gateway", "fe80::1%x\n$(touch pwned)", "cannot be"),
    ("gateway", "10.1.0.1; touch pwned", "cannot be"),
    ("mtu", "1500; touch pwned", NO_NUMBER),
    ("mtu", -1, "is not an MTU"),
    ("segmentation_id", CONFIGURED, NO_NUMBER),
    ("segmentation_id", 2**31, "is not a segmentation id"),
    ("neutron_net_id", CONFIGURED, "There is no subnet"),
]


@pytest.fixture
def installed(
    sqlite_databases: SqliteDatabases, tmp_path: Path
) -> Iterator[tuple[Stack, LinuxWorld]]:
    """Nobody works on it yet."""
    overrides: dict[str, Any] = {"worker.retry_seconds": 0.15, "service_down_time": 600}
    with linux_installation(
        sqlite_databases.create_from(initialise), tmp_path, **overrides
    ) as made:
        yield made


def write(stack: Stack, table: sa.Table, column: str, value: object) -> None:
    """Into all rows of the table, as somebody would who has the database and not the code."""
    stack.do(
        lambda conn: conn.execute(
            sa.text(f"UPDATE {table.name} SET {column} = :value"), {"value": value}
        )
    )


def test_values_of_subnets_end_work_with_the_reason_and_leave_nothing(
    installed: tuple[Stack, LinuxWorld],
) -> None:
    stack, world = installed
    state_dir = Path(stack.conf.state_dir)
    with stack.working():
        ground = Ground(stack)
        ground.share()
        ground.wipe()
        before = stored_slate(stack) | world.observe(state_dir)
    for column, value, reason in SUBNET_VALUES:
        with stack.working():
            network = ground.network()
        share_id = stack.share(network, share_type="snap")
        right = stack.ask(right_value, column)
        write(stack, share_network_subnets, column, value)
        with stack.working():
            idle(stack, PATIENCE)
            assert unsettled(stack) == [], column
            assert share(stack, share_id)["status"] == "error", column
            assert reason in told(stack)[0], column
            write(stack, share_network_subnets, column, right)
            ground.wipe()
        assert stored_slate(stack) | world.observe(state_dir) == before, column
    assert not Path("pwned").exists()


def right_value(conn: Connection, column: str) -> Any:
    """That of one of the subnets: what is written back so that things can be deleted."""
    return conn.scalars(sa.select(share_network_subnets.c[column])).first()


def test_an_address_that_is_none_keeps_its_server_down_and_no_other(
    installed: tuple[Stack, LinuxWorld],
) -> None:
    stack, world = installed
    with stack.working():
        ground = Ground(stack)
        _, spoiled = ground.share()
        _, sound = ground.share()
    bad = server_of(stack, spoiled)
    hostile = (
        sa.update(network_allocations)
        .where(network_allocations.c.share_server_id == bad)
        .values(mac_address=CONFIGURED)
    )
    stack.do(lambda conn: conn.execute(hostile))
    before = world.observe(Path(stack.conf.state_dir))
    with stack.working():
        allow(stack, sound, "10.9.0.0/24")
        assert settled_rules(stack, sound) == "active"
    after = world.observe(Path(stack.conf.state_dir))
    assert after["machine: exports of " + bad] == before["machine: exports of " + bad]
    assert after["machine: exports of " + server_of(stack, sound)]
    assert not any("pwned" in text for text in after["machine: files"].values())


def test_names_and_descriptions_reach_no_file_of_the_back_end(
    installed: tuple[Stack, LinuxWorld],
) -> None:
    stack, world = installed
    with stack.working():
        ground = Ground(stack)
        network = ground.network()
    share_id = stack.share(
        network,
        share_type="snap",
        name=CONFIGURED,
        description=CONFIGURED,
        metadata={"key": CONFIGURED},
    )
    for column in ("name", "description", "user_id"):
        write(stack, share_networks, column, CONFIGURED)
    write(stack, shares, "user_id", CONFIGURED)
    with stack.working():
        assert stack.settled_share(share_id) == "available", told(stack)
        allow(stack, share_id, "10.0.0.0/8")
        assert settled_rules(stack, share_id) == "active"
    texts = [*world.observe(Path(stack.conf.state_dir))["machine: files"].values()]
    texts += [path.read_text() for path in run_path(network_namespace(stack.conf)).rglob("*.conf")]
    assert any("EXPORT {" in text for text in texts)
    assert not any("pwned" in text for text in texts)
    assert not Path("pwned").exists()
