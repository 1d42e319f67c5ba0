"""Resource locks go with what they lock, whoever ends it; and of a lock and a deletion at once, one
comes first."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from abaca.domain.shares import access_rules, resource_locks, shares
from abaca.errors import Conflict, Forbidden
from abaca.values import Page
from tests.operations.scene import allow, available_share, failing, plan, rules, settled_rules
from tests.stack import MEMBER, Stack


def locks(stack: Stack) -> list[dict[str, Any]]:
    return stack.ask(resource_locks.LISTING.find, MEMBER, {}, Page())


def lock(stack: Stack, share_id: str) -> str:
    return str(
        stack.do(resource_locks.create, MEMBER, resource_type="share", resource_id=share_id)["id"]
    )


def locked_rule(stack: Stack, share_id: str) -> str:
    """One that cannot be deleted, nor be seen by others."""
    rule = {
        "access_type": "ip",
        "access_to": "10.0.0.1",
        "access_level": "rw",
        "locks": ("delete", "show"),
    }
    made = stack.do(access_rules.allow, MEMBER, share_id, **rule)
    assert settled_rules(stack, share_id) == "active"
    return str(made["id"])


def test_locks_of_a_rule_go_with_it_and_those_of_its_share_stay(stack: Stack) -> None:
    share = available_share(stack, stack.share_network(*stack.network("10.1.0.0/24")))
    mine, rule = lock(stack, share), locked_rule(stack, share)
    assert len(locks(stack)) == 4
    stack.do(access_rules.deny, MEMBER, share, rule, unrestrict=True)
    assert settled_rules(stack, share) == "active"
    assert rules(stack, share) == {}
    assert [row["id"] for row in locks(stack)] == [mine]


def test_a_rule_that_could_not_be_taken_away_is_locked_still(stack: Stack) -> None:
    share = available_share(stack, stack.share_network(*stack.network("10.1.0.0/24")))
    rule = locked_rule(stack, share)
    plan(stack, failing("update_access", "Refused"))
    stack.do(access_rules.deny, MEMBER, share, rule, unrestrict=True)
    assert settled_rules(stack, share) == "error"
    assert len(locks(stack)) == 3
    plan(stack)
    stack.do(access_rules.deny, MEMBER, share, rule, unrestrict=True)
    assert settled_rules(stack, share) == "active"
    assert locks(stack) == []


def test_locks_that_are_left_go_with_the_share(stack: Stack) -> None:
    """A lock that was placed on a rule alone keeps nobody from deleting the share."""
    share = available_share(stack, stack.share_network(*stack.network("10.1.0.0/24")))
    rule = allow(stack, share, "10.0.0.1")
    assert settled_rules(stack, share) == "active"
    stack.do(
        resource_locks.create,
        MEMBER,
        resource_type="access_rule",
        resource_id=rule,
        resource_action="show",
    )
    stack.do(resource_locks.create, MEMBER, resource_type="access_rule", resource_id=rule)
    stack.do(shares.delete, MEMBER, share)
    assert stack.settled_share(share) == "gone"
    assert locks(stack) == []


def test_of_a_lock_and_a_deletion_at_once_one_wins(stack: Stack) -> None:
    network = stack.share_network(*stack.network("10.1.0.0/24"))
    for _ in range(5):
        share = available_share(stack, network)

        def attempt(what: int, share: str = share) -> bool:
            try:
                lock(stack, share) if what else stack.do(shares.delete, MEMBER, share)
            except (Conflict, Forbidden):
                return False
            return True

        with ThreadPoolExecutor(2) as threads:
            locked, deleted = threads.map(attempt, (1, 0))
        assert locked is not deleted
        for row in locks(stack):
            stack.do(resource_locks.delete, MEMBER, row["id"])
        if locked:
            stack.do(shares.delete, MEMBER, share)
        assert stack.settled_share(share) == "gone"
