"""service_ensure_shares: what is lost on a back end is brought back, and its service says while
that goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from abaca.domain.services import services
from tests.operations.scene import (
    FAILURES,
    allow,
    available_share,
    failing,
    plan,
    settled_rules,
    world,
)
from tests.stack import Stack

HOST = "host1@alpha"


def ensure(stack: Stack) -> None:
    stack.do(services.ensure_shares, HOST)
    stack.wait(lambda conn: not services.find(conn, {"host": HOST})[0]["ensuring"])


def test_what_is_lost_comes_back(stack: Stack) -> None:
    made = available_share(stack, stack.share_network(*stack.network("10.1.0.0/24")))
    allow(stack, made, "10.9.0.1")
    assert settled_rules(stack, made) == "active"
    before = world(stack)
    state_file = Path(stack.conf.state_dir, "worker", "alpha.json")
    state_file.write_text(json.dumps({"servers": {}, "shares": {}}))
    ensure(stack)
    after = world(stack)
    assert after["servers"] == before["servers"]
    assert {id_: share["access_rules"] for id_, share in after["shares"].items()} == {
        id_: share["access_rules"] for id_, share in before["shares"].items()
    }


@pytest.mark.parametrize("error", [*FAILURES, "bug"])
def test_it_ends_with_each_failure(stack: Stack, error: str) -> None:
    available_share(stack, stack.share_network(*stack.network("10.1.0.0/24")))
    plan(stack, failing("ensure_server", error))
    ensure(stack)
    plan(stack)
    ensure(stack)
