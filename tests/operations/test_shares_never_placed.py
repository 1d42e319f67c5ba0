"""A share that no pool had room for can be deleted, and nothing else, whatever an administrator
calls it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from abaca.domain.shares import access_rules, shares
from abaca.errors import Forbidden, Invalid
from abaca.values import Caller
from tests.operations.scene import available_share, told
from tests.stack import ADMIN, MEMBER, Stack

RULE = {"access_type": "ip", "access_to": "10.0.0.1", "access_level": "rw"}


def test_it_can_only_be_deleted(stack: Stack) -> None:
    share = stack.share(stack.share_network(*stack.network("10.1.0.0/24")), size=100_000)
    assert stack.settled_share(share) == "error"
    assert any("no room" in text for text in told(stack))
    stack.do(shares.reset_status, ADMIN, share, "available")
    attempts: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = [
        (shares.extend, (200_000,), {}),
        (shares.shrink, (1,), {}),
        (access_rules.allow, (), RULE),
    ]
    for attempt, arguments, more in attempts:
        with pytest.raises(Invalid, match="was never created on a back end"):
            stack.do(attempt, MEMBER, share, *arguments, **more)
    stack.do(shares.delete, MEMBER, share)
    assert stack.settled_share(share) == "gone"


def test_rules_of_a_public_share_are_its_owner_s(stack: Stack) -> None:
    share = available_share(
        stack, stack.share_network(*stack.network("10.1.0.0/24")), is_public=True
    )
    stack.do(access_rules.allow, MEMBER, share, **RULE)
    stranger = Caller(user_id="s", project_id="other", roles=("member",))
    assert stack.ask(shares.get, stranger, share)["id"] == share
    with pytest.raises(Forbidden):
        stack.ask(access_rules.find, stranger, share)
    assert len(stack.ask(access_rules.find, MEMBER, share)) == 1
