"""Deferred deletion: what a project deletes is out of its sight and quotas at once, and goes later;
what fails is tried again until it is gone, without a word to the project."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from abaca.db.tables import quota_usages
from abaca.domain.driver_views import driver_values
from abaca.domain.recovery import resumptions
from abaca.domain.share_groups import share_groups
from abaca.domain.shares import share_management, shares, soft_deletion
from abaca.domain.snapshots import snapshots
from abaca.errors import Forbidden, Missing
from abaca.reconcile import deferred_deletions, soft_deleted_shares
from abaca.values import Page
from tests.operations import scenarios_groups
from tests.operations.conftest import Install
from tests.operations.scenarios import Ground
from tests.operations.scene import failing, instance_of, plan, slate, told, world
from tests.stack import ADMIN, MEMBER, Stack

pytestmark = pytest.mark.sampled_file(4)

HOSTS = {"host1@alpha"}
STUCK = "error_deferred_deleting"


@pytest.fixture
def ground(install: Install) -> Iterator[Ground]:
    stack = install(**{"worker.retry_seconds": 0.15})
    with stack.working():
        yield Ground(stack)


def defer(stack: Stack, share: str) -> None:
    stack.do(shares.delete, MEMBER, share, is_deferred=True)


def defer_snapshot(stack: Stack, snapshot: str) -> None:
    stack.do(snapshots.delete, MEMBER, snapshot, is_deferred=True)


def used(stack: Stack) -> tuple[int, int, int, int]:
    """What the project's quotas count: shares, their GiB, snapshots, their GiB."""
    whole = (quota_usages.c.project_id == MEMBER.project_id) & (quota_usages.c.user_id == "")
    query = sa.select(quota_usages).where(whole, quota_usages.c.share_type_id == "")
    row = stack.ask(lambda conn: conn.execute(query).one())
    return row.shares, row.gigabytes, row.snapshots, row.snapshot_gigabytes


def test_what_fails_is_tried_again_until_it_is_gone(ground: Ground) -> None:
    stack = ground.stack
    _, share = ground.share(size=2)
    instance = instance_of(stack, share)
    plan(stack, failing("delete_share", "Refused"))
    assert used(stack) == (1, 2, 0, 0)
    defer(stack, share)
    assert used(stack) == (0, 0, 0, 0)
    with pytest.raises(Missing):
        stack.ask(shares.get, MEMBER, share)
    for _ in range(2):
        assert stack.settled_share(share) == STUCK
        assert instance.id in world(stack)["shares"]
        deferred_deletions.retry(stack.engine, {"host1@other"})
        assert stack.ask(shares.get, ADMIN, share)["status"] == STUCK
        deferred_deletions.retry(stack.engine, HOSTS)
    assert stack.settled_share(share) == STUCK
    plan(stack)
    deferred_deletions.retry(stack.engine, HOSTS)
    assert stack.settled_share(share) == "gone"
    assert instance.id not in world(stack)["shares"]
    assert used(stack) == (0, 0, 0, 0)
    assert told(stack) == []


def test_a_snapshot_likewise(ground: Ground) -> None:
    stack = ground.stack
    _, share, snapshot = ground.snapshot()
    plan(stack, failing("delete_snapshot", "NoSpace"))
    assert used(stack) == (1, 1, 1, 3)
    defer_snapshot(stack, snapshot)
    assert used(stack) == (1, 1, 0, 0)
    with pytest.raises(Missing):
        stack.ask(snapshots.get, MEMBER, snapshot)
    assert stack.settled_snapshot(snapshot) == STUCK
    plan(stack)
    deferred_deletions.retry(stack.engine, HOSTS)
    assert stack.settled_snapshot(snapshot) == "gone"
    assert used(stack) == (1, 1, 0, 0)
    assert stack.settled_share(share) == "available"
    assert told(stack) == []


def test_a_share_goes_after_its_snapshots(ground: Ground) -> None:
    """Its project sees none of them, and asks for its deletion at once."""
    stack = ground.stack
    _, share, snapshot = ground.snapshot()
    plan(stack, failing("delete_snapshot", "Refused"))
    with pytest.raises(Forbidden, match="still has 1 dependent snapshots"):
        defer(stack, share)
    defer_snapshot(stack, snapshot)
    defer(stack, share)
    assert stack.settled_snapshot(snapshot) == STUCK
    assert stack.settled_share(share) == STUCK
    assert set(world(stack)["shares"]) == {instance_of(stack, share).id}
    plan(stack)
    deferred_deletions.retry(stack.engine, HOSTS)
    assert (stack.settled_snapshot(snapshot), stack.settled_share(share)) == ("gone", STUCK)
    deferred_deletions.retry(stack.engine, HOSTS)
    assert stack.settled_share(share) == "gone"
    assert world(stack)["shares"] == {}


def test_administrators_end_what_is_stuck(ground: Ground) -> None:
    """By deleting, by force, by letting it go, by resuming the work."""
    stack = ground.stack
    before = slate(stack)
    (_, one), (_, forced), (_, let_go), (_, resumed) = [ground.share() for _ in range(4)]
    ids = [instance_of(stack, share).id for share in (let_go, resumed)]
    plan(stack, failing("delete_share", "Refused"))
    for share in (one, forced, let_go, resumed):
        defer(stack, share)
        assert stack.settled_share(share) == STUCK
        with pytest.raises(Forbidden, match="has its quota back"):
            stack.do(shares.reset_status, ADMIN, share, "available")
    plan(stack)
    stack.do(shares.delete, ADMIN, one)
    stack.do(shares.force_delete, ADMIN, forced)
    stack.do(share_management.unmanage, ADMIN, let_go)
    stack.do(resumptions.share_delete, ids[1])
    for share in (one, forced, let_go, resumed):
        assert stack.settled_share(share) == "gone"
    assert set(world(stack)["shares"]) == {ids[0]}
    assert slate(stack)["quotas"] == before["quotas"]
    assert slate(stack)["claimed"] == before["claimed"]


def test_a_server_that_is_ensured_does_not_bring_it_back(ground: Ground) -> None:
    """Its clients would have what nobody pays for."""
    stack = ground.stack
    _, share = ground.share()
    server = instance_of(stack, share).share_server_id
    plan(stack, failing("delete_share", "Refused"))
    assert stack.ask(driver_values.shares_of_server, server) != []
    defer(stack, share)
    assert stack.settled_share(share) == STUCK
    assert stack.ask(driver_values.shares_of_server, server) == []
    plan(stack, failing("unmanage_share", "Refused"))
    stack.do(share_management.unmanage, ADMIN, share)
    assert stack.settled_share(share) == "unmanage_error"
    assert stack.ask(driver_values.shares_of_server, server) == []


def test_room_is_given_back_when_the_data_have_gone(ground: Ground) -> None:
    stack = ground.stack
    _, share = ground.share(size=2)
    plan(stack, failing("delete_share", "Refused"))
    claimed = slate(stack)["claimed"]
    defer(stack, share)
    assert stack.settled_share(share) == STUCK
    assert slate(stack)["claimed"] == claimed


def test_an_expired_share_goes_as_its_project_would_delete_it(ground: Ground) -> None:
    stack = ground.stack
    _, share = ground.share()
    stack.do(soft_deletion.soft_delete, MEMBER, share, 0)
    plan(stack, failing("delete_share", "Refused"))
    soft_deleted_shares.delete_due(stack.engine, HOSTS, is_deferred=True)
    assert stack.settled_share(share) == STUCK
    assert used(stack)[0] == 0
    stack.do(share_management.unmanage, ADMIN, share)
    assert stack.settled_share(share) == "gone"


def test_it_leaves_its_share_group(ground: Ground) -> None:
    """Which can be deleted then, and has snapshots of what is left."""
    stack = ground.stack
    network = ground.network()
    group = scenarios_groups.create_group(stack, network)
    assert stack.settled_group(group) == "available"
    share = stack.share(network, share_type="snap", share_group_id=group)
    assert stack.settled_share(share) == "available"
    plan(stack, failing("delete_share", "Refused"))
    stack.do(shares.delete, MEMBER, share, group, is_deferred=True)
    assert stack.settled_share(share) == STUCK
    stack.do(share_groups.delete, MEMBER, group)
    assert stack.ask(share_groups.LISTING.find, ADMIN, {}, Page(), True) == []


def test_work_that_ends_later_gives_no_quota_back_again(ground: Ground) -> None:
    """An administrator set the status of a share by hand while it was extended or shrunk, and its
    project deleted it."""
    stack = ground.stack
    ground.share(size=8)
    others = used(stack)
    for size, method, verb, ends in (
        (5, "extend_share", shares.extend, [failing("extend_share", "Refused")]),
        (1, "shrink_share", shares.shrink, []),
    ):
        _, share = ground.share(size=2)
        plan(stack, failing(method, "hang"))
        stack.do(verb, MEMBER, share, size)
        stack.do(shares.reset_status, ADMIN, share, "available")
        defer(stack, share)
        assert used(stack) == others
        plan(stack, *ends)
        assert stack.settled_share(share) == "gone"
        assert used(stack) == others
