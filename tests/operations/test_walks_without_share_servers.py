"""Workflows about shares without a share server, killed before, inside and after their steps, as in
`test_walks`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from abaca.domain.services import services
from abaca.domain.share_groups import share_group_snapshots
from abaca.domain.shares import share_management, shares
from tests.databases import SqliteDatabases
from tests.operations.scenarios import Ask
from tests.operations.scene import allow, settled_rules
from tests.operations.test_share_group_snapshots import group_of_two
from tests.operations.test_walks import walk
from tests.operations.test_without_share_servers import (
    HOST,
    SUPPORTS,
    WITHOUT_SERVERS,
    described,
    made_share,
)
from tests.stack import ADMIN, MEMBER, Stack

OPTIONS = {**WITHOUT_SERVERS, "consistent_snapshot_support": "false"}


def share_create(stack: Stack) -> Ask:
    return lambda: stack.share(None, share_type="plain")


def share_extend(stack: Stack) -> Ask:
    share = made_share(stack)
    return lambda: stack.do(shares.extend, MEMBER, share, 3)


def share_manage(stack: Stack) -> Ask:
    share = made_share(stack, size=3)
    what = described(stack, share)
    stack.do(share_management.unmanage, ADMIN, share)
    assert stack.settled_share(share) == "gone"
    return lambda: stack.do(share_management.manage, ADMIN, what)


def share_group_snapshot_create(stack: Stack) -> Ask:
    """Of two shares, one after the other."""
    group, _ = group_of_two(stack, None, "plain")
    return lambda: stack.do(share_group_snapshots.create, MEMBER, group)


def service_ensure_shares(stack: Stack) -> Ask:
    share = made_share(stack)
    allow(stack, share, "10.0.0.0/8")
    assert settled_rules(stack, share) == "active"
    assert stack.settled_snapshot(stack.snapshot(share)) == "available"
    return lambda: stack.do(services.ensure_shares, HOST)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "scene",
    [share_create, share_extend, share_group_snapshot_create, share_manage, service_ensure_shares],
)
def test_killed_anywhere_it_ends_the_same(
    scene: Callable[[Stack], Ask], sqlite_databases: SqliteDatabases, tmp_path: Path
) -> None:
    def begun(stack: Stack) -> Ask:
        stack.share_type("plain", driver_handles_share_servers="False", **SUPPORTS)
        return scene(stack)

    walk(begun, scene.__name__, sqlite_databases, tmp_path, OPTIONS)
