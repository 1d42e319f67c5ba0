"""access_apply: all rules of a share together, as they are stored when the work runs."""

from __future__ import annotations

from typing import Any

import pytest

from abaca.db.tables import share_instances
from abaca.domain.shares import access_rule_states, access_rules
from abaca.drivers.fake.faults import Fault
from abaca.errors import Invalid
from abaca.workflow import inspection
from tests.operations.scene import (
    FAILURES,
    RETRIED,
    allow,
    available_share,
    delete_share,
    enforced,
    failing,
    plan,
    reason,
    rules,
    settled_rules,
    share,
    slate,
    struck,
    told,
)
from tests.stack import MEMBER, Stack, wait_for


@pytest.fixture
def id_(stack: Stack) -> str:
    return available_share(stack, stack.share_network(*stack.network("10.1.0.0/24")))


def deny(stack: Stack, share_id: str, access_id: str) -> None:
    stack.do(access_rules.deny, MEMBER, share_id, access_id)


def found(stack: Stack, share_id: str, **filters: str) -> list[dict[str, Any]]:
    return stack.ask(access_rules.find, MEMBER, share_id, filters)


def resume(stack: Stack) -> None:
    inspection.resume(stack.engine, inspection.find(stack.engine)[-1].id)


def test_rules_come_to_hold_and_go(stack: Stack, id_: str) -> None:
    first = allow(stack, id_, "10.0.0.0/8")
    allow(stack, id_, "fd00:9::/64", "ro")
    assert settled_rules(stack, id_) == "active"
    assert rules(stack, id_) == {"10.0.0.0/8": "active", "fd00:9::/64": "active"}
    assert enforced(stack, id_) == {"10.0.0.0/8", "fd00:9::/64"}
    deny(stack, id_, first)
    assert settled_rules(stack, id_) == "active"
    assert rules(stack, id_) == {"fd00:9::/64": "active"}
    assert enforced(stack, id_) == {"fd00:9::/64"}
    assert told(stack) == []


def test_what_is_asked_while_rules_are_applied_is_done_next(stack: Stack, id_: str) -> None:
    plan(stack, Fault(method="update_access", error="hang"))
    first = allow(stack, id_, "10.1.0.0/16")
    wait_for(lambda: struck(stack))
    assert rules(stack, id_) == {"10.1.0.0/16": "applying"}
    second = allow(stack, id_, "10.2.0.0/16")
    allow(stack, id_, "10.3.0.0/16")
    assert rules(stack, id_) == {
        "10.1.0.0/16": "applying",
        "10.2.0.0/16": "queued_to_apply",
        "10.3.0.0/16": "queued_to_apply",
    }
    deny(stack, id_, first)  # while it is being applied
    deny(stack, id_, second)  # before it was ever applied
    deny(stack, id_, second)  # again: left to the first request
    assert set(rules(stack, id_).values()) == {"queued_to_deny", "queued_to_apply"}
    assert share(stack, id_)["access_rules_status"] == "syncing"
    plan(stack)
    assert settled_rules(stack, id_) == "active"
    assert rules(stack, id_) == {"10.3.0.0/16": "active"}
    assert enforced(stack, id_) == {"10.3.0.0/16"}


def test_rules_that_cannot_be_enforced_are_in_error_and_told_once(stack: Stack, id_: str) -> None:
    allow(stack, id_, "10.1.0.0/16")
    bad = allow(stack, id_, "somebody", access_type="user")
    assert settled_rules(stack, id_) == "error"
    assert rules(stack, id_) == {"10.1.0.0/16": "active", "somebody": "error"}
    assert enforced(stack, id_) == {"10.1.0.0/16"}
    assert len(told(stack)) == 1 and "user" in told(stack)[0]
    allow(stack, id_, "10.2.0.0/16")
    assert settled_rules(stack, id_) == "error"
    assert len(told(stack)) == 1
    deny(stack, id_, bad)
    assert settled_rules(stack, id_) == "active"
    assert set(rules(stack, id_).values()) == {"active"}


def test_each_failure_is_told_and_the_next_success_mends_it(stack: Stack, id_: str) -> None:
    kept = allow(stack, id_, "10.1.0.0/16")
    assert settled_rules(stack, id_) == "active"
    for error in (*FAILURES, "bug"):
        plan(stack, failing("update_access", error))
        broken = allow(stack, id_, "10.2.0.0/16")
        assert settled_rules(stack, id_) == "error"
        assert rules(stack, id_) == {"10.1.0.0/16": "active", "10.2.0.0/16": "error"}
        assert reason(error) in told(stack)[0]
        deny(stack, id_, broken)  # fails, too
        assert settled_rules(stack, id_) == "error"
        assert rules(stack, id_)["10.2.0.0/16"] == "error"
        plan(stack)
        deny(stack, id_, broken)
        assert settled_rules(stack, id_) == "active"
        assert rules(stack, id_) == {"10.1.0.0/16": "active"}
        assert enforced(stack, id_) == {"10.1.0.0/16"}
    assert len(told(stack)) == 10
    plan(stack, failing("update_access", "Refused"))
    allow(stack, id_, "10.4.0.0/16")
    assert settled_rules(stack, id_) == "error"
    plan(stack)
    deny(stack, id_, kept)
    assert settled_rules(stack, id_) == "active"
    assert rules(stack, id_) == {"10.4.0.0/16": "active"}


@pytest.mark.parametrize("error", (*FAILURES, "bug"))
def test_a_denial_that_failed_is_carried_out_by_the_next_change(
    stack: Stack, id_: str, error: str
) -> None:
    """Its rule never comes back: it is in error until it has gone."""
    denied = allow(stack, id_, "10.1.0.0/16")
    assert settled_rules(stack, id_) == "active"
    plan(stack, failing("update_access", error))
    deny(stack, id_, denied)
    assert settled_rules(stack, id_) == "error"
    assert rules(stack, id_) == {"10.1.0.0/16": "error"}
    assert [rule["id"] for rule in found(stack, id_, state="error")] == [denied]
    with pytest.raises(Invalid, match="delete it again"):
        stack.do(access_rules.change_level, MEMBER, denied, "ro")
    allow(stack, id_, "10.2.0.0/16")  # fails, too
    assert settled_rules(stack, id_) == "error"
    assert rules(stack, id_) == {"10.1.0.0/16": "error", "10.2.0.0/16": "error"}
    plan(stack)
    allow(stack, id_, "10.3.0.0/16")
    assert settled_rules(stack, id_) == "active"
    assert rules(stack, id_) == {"10.2.0.0/16": "active", "10.3.0.0/16": "active"}
    assert enforced(stack, id_) == {"10.2.0.0/16", "10.3.0.0/16"}


def test_a_denial_that_failed_is_asked_for_again_or_resumed(stack: Stack, id_: str) -> None:
    for is_resumed in (False, True):
        denied = allow(stack, id_, "10.1.0.0/16")
        assert settled_rules(stack, id_) == "active"
        plan(stack, failing("update_access", "bug"))
        deny(stack, id_, denied)
        assert settled_rules(stack, id_) == "error"
        wait_for(lambda: [each.state for each in inspection.find(stack.engine)][-1:] == ["parked"])
        plan(stack)
        resume(stack) if is_resumed else deny(stack, id_, denied)
        assert settled_rules(stack, id_) == "active"
        assert (rules(stack, id_), enforced(stack, id_)) == ({}, set())


def test_what_is_being_denied_is_not_granted_when_a_server_fails_and_is_repaired(
    stack: Stack, id_: str
) -> None:
    allow(stack, id_, "10.1.0.0/16")
    denied = allow(stack, id_, "10.2.0.0/16")
    assert settled_rules(stack, id_) == "active"
    plan(stack, Fault(method="update_access", error="hang"))
    deny(stack, id_, denied)
    wait_for(lambda: struck(stack))
    instance = share(stack, id_)["instance_id"]
    stack.do(access_rule_states.fail_all, [instance])
    assert set(rules(stack, id_).values()) == {"error"}
    plan(stack)
    stack.do(access_rule_states.apply_again, share_instances.c.id == instance)
    wait_for(lambda: rules(stack, id_) == {"10.1.0.0/16": "active"})
    assert enforced(stack, id_) == {"10.1.0.0/16"}


def test_what_passes_is_tried_again(stack: Stack, id_: str) -> None:
    for number, error in enumerate(RETRIED):
        plan(stack, failing("update_access", error, times=1, when="after"))
        allow(stack, id_, f"10.{number}.0.0/16")
        assert settled_rules(stack, id_) == "active"
        assert struck(stack) == 1
    assert told(stack) == []


def test_a_share_deleted_while_rules_are_applied_takes_them_along(stack: Stack, id_: str) -> None:
    before = slate(stack)["rows"]
    allow(stack, id_, "10.1.0.0/16")
    delete_share(stack, id_)
    stack.wait(lambda _: "share_access_rules" not in stack.rows())
    assert slate(stack)["rows"].keys() == before.keys() - {
        "shares",
        "share_instances",
        "share_export_locations",
    }
