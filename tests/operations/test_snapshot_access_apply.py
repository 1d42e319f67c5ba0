"""snapshot_access_apply: which rules hold for a snapshot that can be mounted, its share's, its own
or both; and what becomes of rules that cannot be enforced."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from abaca.db.tables import share_snapshot_instances, shares
from abaca.domain.shares import access_rules
from abaca.domain.snapshots import snapshot_access, snapshots
from abaca.drivers.fake.faults import Fault
from abaca.workflow import inspection
from tests.operations.scenarios import SPECS
from tests.operations.scene import (
    FAILURES,
    allow,
    available_share,
    failing,
    plan,
    reason,
    settled_rules,
    slate,
    struck,
    told,
    world,
)
from tests.stack import MEMBER, Stack, wait_for

pytestmark = pytest.mark.sampled_file(4)


@pytest.fixture
def share(stack: Stack) -> str:
    stack.share_type("snap", **SPECS)
    network = stack.share_network(*stack.network("10.1.0.0/24"))
    return available_share(stack, network, share_type="snap")


@pytest.fixture
def snapshot(stack: Stack, share: str) -> str:
    made = stack.snapshot(share)
    assert stack.settled_snapshot(made) == "available"
    return made


def inherit(stack: Stack, value: bool | None) -> None:
    """As a share of such a type."""
    change = sa.update(shares).values(snapshot_inherit_share_access_support=value)
    stack.do(lambda conn: conn.execute(change))


def allow_own(stack: Stack, snapshot: str, access_to: str, access_type: str = "ip") -> str:
    rule = stack.do(
        snapshot_access.allow, MEMBER, snapshot, access_type=access_type, access_to=access_to
    )
    return str(rule["id"])


def deny_own(stack: Stack, snapshot: str, access_id: str) -> None:
    stack.do(snapshot_access.deny, MEMBER, snapshot, access_id)


def rules(stack: Stack, snapshot: str) -> dict[str, str]:
    """access_to → state."""
    return {
        rule["access_to"]: rule["state"]
        for rule in stack.ask(snapshot_access.find, MEMBER, snapshot)
    }


def settled(stack: Stack, snapshot: str) -> dict[str, str]:
    """The same, once nothing is being applied."""

    def at_rest() -> bool:
        return set(rules(stack, snapshot).values()) <= {"active", "error"}

    wait_for(at_rest)
    return rules(stack, snapshot)


def enforced(stack: Stack, snapshot: str) -> set[tuple[str, str]]:
    """What holds in the fake back end: (access_to, access_level)."""
    instance = stack.ask(
        lambda conn: conn.scalar(
            sa.select(share_snapshot_instances.c.id).where(
                share_snapshot_instances.c.snapshot_id == snapshot
            )
        )
    )
    stored = world(stack)["snapshots"][instance]["access_rules"]
    assert len({rule["access_to"] for rule in stored}) == len(stored)
    return {(rule["access_to"], rule["access_level"]) for rule in stored}


@pytest.mark.parametrize("inherits", [None, False])
def test_own_rules_come_to_hold_and_go(
    stack: Stack, share: str, snapshot: str, inherits: bool | None
) -> None:
    """Beside the share's where the type leaves it open, alone where it says so."""
    inherit(stack, inherits)
    allow(stack, share, "10.1.0.0/16")
    assert settled_rules(stack, share) == "active"
    followed = {("10.1.0.0/16", "ro")} if inherits is None else set()
    assert enforced(stack, snapshot) == followed
    first = allow_own(stack, snapshot, "10.2.0.0/16")
    allow_own(stack, snapshot, "fd00:9::/64")
    assert settled(stack, snapshot) == {"10.2.0.0/16": "active", "fd00:9::/64": "active"}
    assert enforced(stack, snapshot) == followed | {("10.2.0.0/16", "ro"), ("fd00:9::/64", "ro")}
    deny_own(stack, snapshot, first)
    assert settled(stack, snapshot) == {"fd00:9::/64": "active"}
    allow(stack, share, "10.3.0.0/16")  # what else is applied takes nothing away
    assert settled_rules(stack, share) == "active"
    followed |= {("10.3.0.0/16", "ro")} if inherits is None else set()
    assert enforced(stack, snapshot) == followed | {("fd00:9::/64", "ro")}
    assert told(stack) == []


def test_snapshots_of_one_share_have_their_own_rules_each(
    stack: Stack, share: str, snapshot: str
) -> None:
    inherit(stack, False)
    other = stack.snapshot(share)
    assert stack.settled_snapshot(other) == "available"
    allow_own(stack, snapshot, "10.2.0.0/16")
    assert settled(stack, snapshot) == {"10.2.0.0/16": "active"}
    assert (enforced(stack, snapshot), enforced(stack, other)) == ({("10.2.0.0/16", "ro")}, set())


def test_a_target_of_the_share_too(stack: Stack, share: str, snapshot: str) -> None:
    """It is granted once, and stays while one of the two rules is there."""
    own = allow_own(stack, snapshot, "10.2.0.0/16")
    of_share = allow(stack, share, "10.2.0.0/16")
    assert settled_rules(stack, share) == "active"
    assert settled(stack, snapshot) == {"10.2.0.0/16": "active"}
    deny_own(stack, snapshot, own)
    assert settled(stack, snapshot) == {}
    assert enforced(stack, snapshot) == {("10.2.0.0/16", "ro")}
    stack.do(access_rules.deny, MEMBER, share, of_share)
    wait_for(lambda: enforced(stack, snapshot) == set())


def test_only_what_cannot_be_enforced_is_in_error(stack: Stack, snapshot: str) -> None:
    allow_own(stack, snapshot, "10.2.0.0/16")
    bad = allow_own(stack, snapshot, "somebody", "user")
    assert settled(stack, snapshot) == {"10.2.0.0/16": "active", "somebody": "error"}
    assert enforced(stack, snapshot) == {("10.2.0.0/16", "ro")}
    assert len(told(stack)) == 1 and "user" in told(stack)[0]
    allow_own(stack, snapshot, "10.3.0.0/16")
    assert settled(stack, snapshot)["somebody"] == "error"
    assert len(told(stack)) == 1  # told once
    deny_own(stack, snapshot, bad)
    assert settled(stack, snapshot) == {"10.2.0.0/16": "active", "10.3.0.0/16": "active"}


@pytest.mark.parametrize("error", FAILURES)
def test_a_failure_is_told_and_the_next_success_mends_it(
    stack: Stack, snapshot: str, error: str
) -> None:
    plan(stack, failing("update_snapshot_access", error))
    allow_own(stack, snapshot, "10.2.0.0/16")
    assert settled(stack, snapshot) == {"10.2.0.0/16": "error"}
    assert any(reason(error) in text for text in told(stack))
    plan(stack)
    allow_own(stack, snapshot, "10.3.0.0/16")
    assert settled(stack, snapshot) == {"10.2.0.0/16": "active", "10.3.0.0/16": "active"}


@pytest.mark.parametrize("error", FAILURES)
def test_a_denial_that_failed_is_carried_out_by_the_next_change(
    stack: Stack, share: str, snapshot: str, error: str
) -> None:
    """Its rule never comes back, also when a rule of the share is applied meanwhile."""
    denied = allow_own(stack, snapshot, "10.2.0.0/16")
    assert settled(stack, snapshot) == {"10.2.0.0/16": "active"}
    plan(stack, failing("update_snapshot_access", error))
    deny_own(stack, snapshot, denied)
    assert settled(stack, snapshot) == {"10.2.0.0/16": "error"}
    plan(stack)
    allow(stack, share, "10.1.0.0/16")
    assert settled_rules(stack, share) == "active"
    assert enforced(stack, snapshot) == {("10.1.0.0/16", "ro")}
    assert settled(stack, snapshot) == {"10.2.0.0/16": "error"}
    allow_own(stack, snapshot, "10.3.0.0/16")
    assert settled(stack, snapshot) == {"10.3.0.0/16": "active"}
    assert enforced(stack, snapshot) == {("10.1.0.0/16", "ro"), ("10.3.0.0/16", "ro")}


def test_a_denial_that_failed_is_resumed(stack: Stack, snapshot: str) -> None:
    denied = allow_own(stack, snapshot, "10.2.0.0/16")
    assert settled(stack, snapshot) == {"10.2.0.0/16": "active"}
    plan(stack, failing("update_snapshot_access", "bug"))
    deny_own(stack, snapshot, denied)
    assert settled(stack, snapshot) == {"10.2.0.0/16": "error"}
    plan(stack)
    wait_for(lambda: [each.state for each in inspection.find(stack.engine)] == ["parked"])
    inspection.resume(stack.engine, inspection.find(stack.engine)[0].id)
    assert settled(stack, snapshot) == {}
    assert enforced(stack, snapshot) == set()


@pytest.mark.parametrize("status", ["error_deleting", "unmanage_error"])
def test_a_denial_for_a_snapshot_that_is_half_gone_is_told(
    stack: Stack, snapshot: str, status: str
) -> None:
    denied = allow_own(stack, snapshot, "10.2.0.0/16")
    assert settled(stack, snapshot) == {"10.2.0.0/16": "active"}
    change = sa.update(share_snapshot_instances).values(status=status)
    stack.do(lambda conn: conn.execute(change))
    deny_own(stack, snapshot, denied)
    assert settled(stack, snapshot) == {"10.2.0.0/16": "error"}
    assert any(status in text for text in told(stack))


def test_an_administrator_resumes_it(stack: Stack, snapshot: str) -> None:
    plan(stack, failing("update_snapshot_access", "bug"))
    allow_own(stack, snapshot, "10.2.0.0/16")
    assert settled(stack, snapshot) == {"10.2.0.0/16": "error"}
    plan(stack)
    wait_for(lambda: [each.state for each in inspection.find(stack.engine)] == ["parked"])
    inspection.resume(stack.engine, inspection.find(stack.engine)[0].id)
    assert settled(stack, snapshot) == {"10.2.0.0/16": "active"}
    assert enforced(stack, snapshot) == {("10.2.0.0/16", "ro")}


def test_a_snapshot_that_is_deleted_meanwhile_takes_its_rules_along(
    stack: Stack, share: str, snapshot: str
) -> None:
    before = slate(stack)
    other = stack.snapshot(share)
    assert stack.settled_snapshot(other) == "available"
    plan(stack, Fault(method="update_snapshot_access", error="hang"))
    allow_own(stack, other, "10.2.0.0/16")
    wait_for(lambda: struck(stack))
    stack.do(snapshots.delete, MEMBER, other)
    plan(stack)
    assert stack.settled_snapshot(other) == "gone"
    wait_for(lambda: slate(stack) == before)
