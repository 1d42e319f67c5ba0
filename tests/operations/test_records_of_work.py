"""What is stored with work: ids and what decides how it goes on, no copies of rows; and it goes
when nobody needs it any more."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.tables import share_access_rules, share_instance_access_map
from abaca.domain.shares import shares as share_nouns
from abaca.reconcile import finished_work
from abaca.workflow import inspection, queue, retention
from tests.operations.conftest import Install
from tests.operations.scene import (
    allow,
    available_share,
    failing,
    instance_of,
    plan,
    rules,
    settled_rules,
)
from tests.operations.test_security_services import change, service
from tests.operations.test_workflow import dbos
from tests.stack import MEMBER, Stack, wait_for

RULES = 150
MARK = "10.77."  # in every rule and in the metadata of the share


def records(stack: Stack) -> list[str]:
    """All that is stored with work: arguments, what steps gave, how it ended."""

    def read(conn: Connection) -> list[str]:
        columns = {
            "operation_outputs": ("output", "error"),
            "workflow_input": ("inputs",),
            "workflow_output": ("output", "error"),
            "workflow_status": ("inputs", "output", "error"),
        }
        found: list[str] = []
        for table, names in columns.items():
            for name in names:
                found += conn.scalars(
                    sa.text(f"SELECT {name} FROM {dbos(stack, table)} WHERE {name} IS NOT NULL")
                )
        return found

    return stack.ask(read)


@pytest.fixture
def crowded(install: Install) -> Any:
    """A share with many rules, large metadata and a snapshot that its clients may mount."""
    stack = install()
    specs = (
        "snapshot_support",
        "create_share_from_snapshot_support",
        "revert_to_snapshot_support",
        "mount_snapshot_support",
    )
    stack.share_type("snap", **dict.fromkeys(specs, "True"))
    with stack.working():
        network = stack.share_network(*stack.network("10.1.0.0/24"))
        share = available_share(
            stack, network, share_type="snap", metadata={str(n): MARK * 30 for n in range(20)}
        )
        assert stack.settled_snapshot(stack.snapshot(share)) == "available"
        row = {"share_id": share, "access_type": "ip", "access_level": "rw", "metadata": {}}
        many = [
            {**row, "id": f"rule-{n}", "access_to": f"{MARK}0.{n}", "created_at": sa.func.now()}
            for n in range(RULES)
        ]
        on_it = {
            "share_instance_id": instance_of(stack, share).id,
            "state": "active",
            "created_at": sa.func.now(),
        }
        stack.do(
            lambda conn: [conn.execute(sa.insert(share_access_rules).values(rule)) for rule in many]
        )
        everywhere = [{**on_it, "id": rule["id"], "access_id": rule["id"]} for rule in many]
        stack.do(
            lambda conn: [
                conn.execute(sa.insert(share_instance_access_map).values(each))
                for each in everywhere
            ]
        )
        yield stack, network, share


def test_records_hold_no_copies_of_rows(crowded: tuple[Stack, str, str]) -> None:
    stack, network, share = crowded
    allow(stack, share, "10.9.9.9")
    assert settled_rules(stack, share) == "active"
    assert len(rules(stack, share)) == RULES + 1
    stack.do(share_nouns.extend, MEMBER, share, 3)
    assert stack.settled_share(share) == "available"
    snapshot = stack.snapshot(share)
    assert stack.settled_snapshot(snapshot) == "available"
    made = stack.share(network, share_type="snap", size=3, snapshot_id=snapshot)
    assert stack.settled_share(made) == "available"
    stack.add_subnet(network, stack.network("10.2.0.0/24")[0])
    assert stack.settled_network(network) == "active"
    change(stack, network, service(stack))
    assert stack.settled_network(network) == "active"
    stored = records(stack)
    assert len(stored) > 50
    assert [record for record in stored if MARK in record] == []
    assert max(map(len, stored)) < 3000


def counted(stack: Stack, table: str) -> int:
    return (
        stack.ask(lambda conn: conn.scalar(sa.text(f"SELECT count(*) FROM {dbos(stack, table)}")))
        or 0
    )


def test_what_is_done_goes_and_what_is_not_stays(install: Install) -> None:
    stack = install()
    with stack.working():
        network = stack.share_network(*stack.network("10.1.0.0/24"))
        share = available_share(stack, network)
        plan(stack, failing("update_access", "bug"))
        allow(stack, share, "10.9.9.9")
        assert settled_rules(stack, share) == "error"
        plan(stack)
        for address in ("10.9.9.8", "10.9.9.7", "10.9.9.6"):
            allow(stack, share, address)
        assert settled_rules(stack, share) == "active"
        wait_for(lambda: not queue.unfinished(stack.engine))
        (parked,) = inspection.find(stack.engine)
        kept = len(inspection.steps(stack.engine, parked.id))
        assert counted(stack, "operation_outputs") > kept > 0
        finished_work.tidy_up(stack.engine, "host1")
        assert counted(stack, "operation_outputs") == kept
        assert counted(stack, "workflow_status") >= 6
        retention.delete_ended(retention.DONE, -60, at_once=2)  # several rounds
        assert counted(stack, "workflow_status") == 1
        assert [operation.id for operation in inspection.find(stack.engine)] == [parked.id]
