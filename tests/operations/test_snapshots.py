"""snapshot_create, snapshot_delete, share_revert and shares made from snapshots: what they end in,
also when the driver fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import sqlalchemy as sa

from abaca.db.tables import quota_usages, share_snapshot_instances
from abaca.domain.shares import shares
from abaca.domain.snapshots import snapshot_export_locations, snapshots
from abaca.drivers.fake import FakeDriver
from abaca.errors import Conflict, Forbidden, Invalid
from tests.operations.scene import (
    FAILURES,
    RETRIED,
    Setup,
    all_servers,
    allow,
    available_share,
    delete_share,
    failing,
    instance_of,
    plan,
    reason,
    server_of,
    settled_rules,
    share,
    slate,
    struck,
    told,
    world,
)
from tests.stack import ADMIN, MEMBER, Stack, wait_for

pytestmark = pytest.mark.sampled_file(4)

GIB = 1024**3
SPECS = dict.fromkeys(
    (
        "snapshot_support",
        "create_share_from_snapshot_support",
        "revert_to_snapshot_support",
        "mount_snapshot_support",
    ),
    "True",
)


@pytest.fixture
def share_network(stack: Stack) -> str:
    """On two subnets; shares of type `snap` can have snapshots of every kind."""
    stack.share_type("snap", **SPECS)
    return stack.share_network(*stack.network("10.1.0.0/24", "fd00:1::/64"))


def new_share(stack: Stack, share_network_id: str, size: int = 1) -> str:
    return available_share(stack, share_network_id, size=size, share_type="snap")


def available_snapshot(stack: Stack, share_id: str) -> str:
    snapshot = stack.snapshot(share_id)
    assert stack.settled_snapshot(snapshot) == "available", told(stack)
    return snapshot


def delete_snapshot(stack: Stack, snapshot_id: str) -> None:
    stack.do(snapshots.delete, MEMBER, snapshot_id)
    assert stack.settled_snapshot(snapshot_id) == "gone"


def paths(stack: Stack, snapshot_id: str) -> list[str]:
    return [
        location["path"]
        for location in stack.ask(snapshot_export_locations.find, ADMIN, snapshot_id)
    ]


def instance_id(stack: Stack, snapshot_id: str) -> str:
    table = share_snapshot_instances
    return str(
        stack.ask(
            lambda conn: conn.scalar(
                sa.select(table.c.id).where(table.c.snapshot_id == snapshot_id)
            )
        )
    )


def counted(stack: Stack) -> tuple[int, int]:
    """Snapshots and their GiB, as quotas count them."""
    table = quota_usages
    whole = (
        (table.c.project_id == MEMBER.project_id)
        & (table.c.user_id == "")
        & (table.c.share_type_id == "")
    )
    row = stack.ask(lambda conn: conn.execute(sa.select(table).where(whole)).one())
    return row.snapshots, row.snapshot_gigabytes


def fill(stack: Stack, share_id: str, gib: int) -> None:
    driver = FakeDriver("alpha", {"state_file": f"{stack.conf.state_dir}/worker/alpha.json"})
    driver.set_used_bytes(instance_of(stack, share_id).id, gib * GIB)


def held(stack: Stack, share_id: str) -> int:
    """GiB that clients have written."""
    return int(world(stack)["shares"][instance_of(stack, share_id).id]["used_bytes"]) // GIB


# --- taking and deleting --------------------------------------------------------------------------


def test_a_snapshot_is_mounted_by_a_path_for_each_address_and_goes_without_a_trace(
    stack: Stack, share_network: str
) -> None:
    id_ = new_share(stack, share_network, size=2)
    allow(stack, id_, "10.0.0.0/8")
    assert settled_rules(stack, id_) == "active"
    before = slate(stack)
    snapshot = available_snapshot(stack, id_)
    view = stack.ask(snapshots.get, MEMBER, snapshot)
    assert (view["size"], view["share_size"], view["share_proto"], view["share_id"]) == (
        2,
        2,
        "NFS",
        id_,
    )
    assert "/fake/snapshots/" in view["provider_location"]
    assert paths(stack, snapshot) == [path.replace(f"/shares/{instance_of(stack, id_).id}",
     f"/snapshots/{instance_id(stack, snapshot)}")
                                      for path in stack.paths(id_)]  # fmt: skip
    (stored,) = world(stack)["snapshots"].values()
    assert stored["export_locations"] == paths(stack, snapshot)
    assert [(rule["access_to"], rule["access_level"]) for rule in stored["access_rules"]] == [
        ("10.0.0.0/8", "ro")
    ]
    assert counted(stack) == (1, 2)
    with pytest.raises(Forbidden, match="1 dependent snapshots"):
        stack.do(shares.delete, MEMBER, id_)
    with pytest.raises(Forbidden, match="1 dependent snapshots"):
        stack.do(shares.force_delete, ADMIN, id_)
    assert share(stack, id_)["status"] == "available"
    delete_snapshot(stack, snapshot)
    assert (slate(stack), counted(stack), told(stack)) == (before, (0, 0), [])
    delete_share(stack, id_)


def test_snapshots_follow_the_rules_of_their_share(stack: Stack, share_network: str) -> None:
    id_ = new_share(stack, share_network)
    available_snapshot(stack, id_)
    allow(stack, id_, "fd00::/8")
    assert settled_rules(stack, id_) == "active"
    (stored,) = world(stack)["snapshots"].values()
    assert [(rule["access_to"], rule["access_level"]) for rule in stored["access_rules"]] == [
        ("fd00::/8", "ro")
    ]


def test_one_that_cannot_be_mounted_has_no_paths(stack: Stack, share_network: str) -> None:
    stack.share_type("plain", snapshot_support="True")
    id_ = available_share(stack, share_network, share_type="plain")
    snapshot = available_snapshot(stack, id_)
    allow(stack, id_, "10.0.0.0/8")
    assert settled_rules(stack, id_) == "active"
    (stored,) = world(stack)["snapshots"].values()
    assert (paths(stack, snapshot), stored["access_rules"], stored["is_mountable"]) == (
        [],
        [],
        False,
    )


def test_each_failure_leaves_a_clean_slate(stack: Stack, share_network: str) -> None:
    id_ = new_share(stack, share_network)
    before = slate(stack)
    for when in ("before", "after"):
        for error in (*FAILURES, "bug"):
            plan(stack, failing("create_snapshot", error, when=when))
            snapshot = stack.snapshot(id_)
            assert stack.settled_snapshot(snapshot) == "error", (when, error)
            assert reason(error) in told(stack)[0]
            assert error == "bug" or world(stack)["snapshots"] == {}
            plan(stack, failing("delete_snapshot", error, when=when))
            stack.do(snapshots.delete, MEMBER, snapshot)
            assert stack.settled_snapshot(snapshot) == "error_deleting", (when, error)
            assert reason(error) in told(stack)[0]
            plan(stack)
            delete_snapshot(stack, snapshot)
            assert (slate(stack), counted(stack)) == (before, (0, 0)), (when, error)
    assert share(stack, id_)["status"] == "available"


def test_what_passes_is_tried_again(stack: Stack, share_network: str) -> None:
    id_ = new_share(stack, share_network)
    for error in RETRIED:
        for when in ("before", "after"):
            plan(
                stack,
                *[
                    failing(method, error, times=1, when=when)
                    for method in ("create_snapshot", "delete_snapshot", "revert_to_snapshot")
                ],
            )
            snapshot = available_snapshot(stack, id_)
            stack.do(snapshots.revert, MEMBER, id_, snapshot)
            assert stack.settled_share(id_) == "available"
            delete_snapshot(stack, snapshot)
            assert struck(stack) == 3
    assert told(stack) == []


def test_forced_while_it_is_taken_it_goes(stack: Stack, share_network: str) -> None:
    id_ = new_share(stack, share_network)
    before = slate(stack)
    plan(stack, failing("create_snapshot", "hang"))
    snapshot = stack.snapshot(id_)
    wait_for(lambda: struck(stack))
    with pytest.raises(Invalid, match="creating"):
        stack.do(snapshots.delete, MEMBER, snapshot)
    stack.do(snapshots.force_delete, ADMIN, snapshot)
    plan(stack)
    assert stack.settled_snapshot(snapshot) == "gone"
    assert (slate(stack), counted(stack)) == (before, (0, 0))


# --- reverting ------------------------------------------------------------------------------------


def test_a_share_gets_back_what_it_held_and_its_size(stack: Stack, share_network: str) -> None:
    id_ = new_share(stack, share_network, size=4)
    fill(stack, id_, 1)
    before, quotas = slate(stack), counted(stack)
    snapshot = available_snapshot(stack, id_)
    shown = stack.paths(id_)
    for size, verb in ((2, shares.shrink), (6, shares.extend)):
        stack.do(verb, MEMBER, id_, size)
        assert stack.settled_share(id_) == "available"
        fill(stack, id_, 2)
        stack.do(snapshots.revert, MEMBER, id_, snapshot)
        assert stack.settled_share(id_) == "available"
        assert (share(stack, id_)["size"], held(stack, id_), stack.paths(id_)) == (4, 1, shown)
        assert stack.settled_snapshot(snapshot) == "available"
    delete_snapshot(stack, snapshot)
    assert (slate(stack), counted(stack)) == (before, quotas)


def test_a_failed_revert_is_told_and_nothing_stays_claimed(
    stack: Stack, share_network: str
) -> None:
    keep = new_share(stack, share_network)
    before = slate(stack)
    for when in ("before", "after"):
        for error in (*FAILURES, "bug"):
            id_ = new_share(stack, share_network, size=3)
            snapshot = available_snapshot(stack, id_)
            stack.do(shares.shrink, MEMBER, id_, 1)
            assert stack.settled_share(id_) == "available"
            plan(stack, failing("revert_to_snapshot", error, when=when))
            stack.do(snapshots.revert, MEMBER, id_, snapshot)
            assert stack.settled_share(id_) == "reverting_error", error
            assert reason(error) in told(stack)[0]
            assert (stack.settled_snapshot(snapshot), share(stack, id_)["size"]) == ("available", 1)
            plan(stack)
            delete_snapshot(stack, snapshot)
            delete_share(stack, id_)
            assert slate(stack) == before, (when, error)
    assert share(stack, keep)["status"] == "available"


def test_what_is_against_a_revert(stack: Stack, share_network: str) -> None:
    id_ = new_share(stack, share_network)
    older, newer = available_snapshot(stack, id_), available_snapshot(stack, id_)
    with pytest.raises(Conflict, match=f"the latest snapshot is {newer}"):
        stack.do(snapshots.revert, MEMBER, id_, older)
    other = new_share(stack, share_network)
    with pytest.raises(Invalid, match="is not associated"):
        stack.do(snapshots.revert, MEMBER, other, newer)
    plan(stack, failing("update_access", "hang"))
    allow(stack, id_, "10.0.0.0/8")
    with pytest.raises(Conflict, match="access rules that are not active"):
        stack.do(snapshots.revert, MEMBER, id_, newer)
    plan(stack)
    assert settled_rules(stack, id_) == "active"
    plan(stack, failing("revert_to_snapshot", "hang"))
    stack.do(snapshots.revert, MEMBER, id_, newer)
    wait_for(lambda: struck(stack))
    with pytest.raises(Conflict, match="'reverting' state"):
        stack.do(snapshots.revert, MEMBER, id_, newer)
    with pytest.raises(Invalid, match="restoring"):
        stack.do(snapshots.delete, MEMBER, newer)
    with pytest.raises(Invalid, match="must be available"):
        stack.snapshot(id_)
    plan(stack)
    assert stack.settled_share(id_) == "available"


# --- shares from snapshots ------------------------------------------------------------------------


def test_a_share_from_a_snapshot_stands_beside_its_parent_with_what_that_held(
    stack: Stack, share_network: str
) -> None:
    id_ = new_share(stack, share_network)
    fill(stack, id_, 1)
    snapshot = available_snapshot(stack, id_)
    fill(stack, id_, 0)
    clone = stack.share(share_network, size=2, share_type="snap", snapshot_id=snapshot)
    assert stack.settled_share(clone) == "available", told(stack)
    assert (
        held(stack, clone),
        share(stack, clone)["size"],
        share(stack, clone)["snapshot_id"],
    ) == (1, 2, snapshot)
    assert (server_of(stack, clone), instance_of(stack, clone).host) == (
        server_of(stack, id_),
        instance_of(stack, id_).host,
    )
    assert len(stack.paths(clone)) == 2
    delete_snapshot(stack, snapshot)
    delete_share(stack, id_)
    assert held(stack, clone) == 1


def test_each_failure_of_such_a_creation_leaves_a_clean_slate(
    stack: Stack, share_network: str
) -> None:
    id_ = new_share(stack, share_network)
    snapshot = available_snapshot(stack, id_)
    before = slate(stack)
    for when in ("before", "after"):
        for error in (*FAILURES, "bug"):
            plan(stack, failing("create_share_from_snapshot", error, when=when))
            clone = stack.share(share_network, share_type="snap", snapshot_id=snapshot)
            assert stack.settled_share(clone) == "error", (when, error)
            assert reason(error) in told(stack)[0]
            plan(stack)
            delete_share(stack, clone)
            assert slate(stack) == before, (when, error)


def test_a_snapshot_stays_while_a_share_is_made_from_it(stack: Stack, share_network: str) -> None:
    id_ = new_share(stack, share_network)
    snapshot = available_snapshot(stack, id_)
    plan(stack, failing("create_share_from_snapshot", "hang"))
    clone = stack.share(share_network, share_type="snap", snapshot_id=snapshot)
    wait_for(lambda: struck(stack))
    with pytest.raises(Invalid, match=f"the share {clone} is still being created from it"):
        stack.do(snapshots.delete, MEMBER, snapshot)
    plan(stack)
    assert stack.settled_share(clone) == "available"
    delete_snapshot(stack, snapshot)


def test_a_pool_without_room_ends_in_error_with_the_reason(
    stack: Stack, share_network: str
) -> None:
    snapshot = available_snapshot(stack, new_share(stack, share_network))
    clone = stack.share(share_network, size=5000, share_type="snap", snapshot_id=snapshot)
    assert stack.settled_share(clone) == "error"
    assert "room for" in told(stack)[0]
    assert instance_of(stack, clone).share_server_id is None


def test_a_share_from_a_snapshot_goes_to_no_other_back_end(install: Setup) -> None:
    stack = install({"alpha": {"pools": "fake:1000"}, "beta": {"pools": "fake:999"}})
    with stack.working():
        stack.share_type("snap", **SPECS)
        network = stack.share_network(*stack.network("10.1.0.0/24"))
        id_ = new_share(stack, network, size=5)
        snapshot = available_snapshot(stack, id_)
        clone = available_share(stack, network, size=5, share_type="snap", snapshot_id=snapshot)
        empty = new_share(stack, network)
        assert ["@alpha#" in instance_of(stack, each).host for each in (id_, clone, empty)] == [
            True,
            True,
            False,
        ]


def test_a_type_that_wants_snapshots_goes_only_where_they_are(install: Setup) -> None:
    stack = install({"alpha": {"revert_to_snapshot_support": "false"}, "beta": {}})
    with stack.working():
        stack.share_type("snap", **SPECS)
        network = stack.share_network(*stack.network("10.1.0.0/24"))
        for _ in range(2):
            assert (
                "@beta#"
                in instance_of(stack, available_share(stack, network, share_type="snap")).host
            )
    bare = install({"alpha": {"mount_snapshot_support": "false"}})
    with bare.working():
        bare.share_type("snap", **SPECS)
        refused = bare.share(bare.share_network(*bare.network("10.1.0.0/24")), share_type="snap")
        assert bare.settled_share(refused) == "error"
        assert "mount_snapshot_support" in told(bare)[0]


# --- subnets added to the share network -----------------------------------------------------------


def test_a_new_subnet_gives_snapshots_paths_after_those_that_they_have(
    stack: Stack, share_network: str
) -> None:
    id_ = new_share(stack, share_network)
    snapshot, other = available_snapshot(stack, id_), available_snapshot(stack, id_)
    before = {
        each: stack.ask(snapshot_export_locations.find, ADMIN, each) for each in (snapshot, other)
    }
    stack.add_subnet(share_network, stack.network("10.2.0.0/24")[0])
    assert stack.settled_network(share_network) == "active"
    for each, known in before.items():
        now = stack.ask(snapshot_export_locations.find, ADMIN, each)
        assert now[: len(known)] == known
        assert len(now) == 3
        assert now[2]["path"].startswith("10.2.0.") and now[2]["path"].endswith(
            f"/snapshots/{instance_id(stack, each)}"
        )
        assert [location["preferred"] for location in now] == [True, True, False]


def test_during_an_addition_snapshots_are_accepted_and_taken_afterwards(
    stack: Stack, share_network: str
) -> None:
    id_ = new_share(stack, share_network)
    first = available_snapshot(stack, id_)
    pair = stack.network("10.2.0.0/24")[0]
    plan(stack, failing("update_share_server_network_allocations", "hang"))
    stack.add_subnet(share_network, pair)
    wait_for(lambda: struck(stack))
    second = stack.snapshot(id_)
    stack.do(snapshots.delete, MEMBER, first)
    assert stack.ask(snapshots.get, MEMBER, second)["status"] == "creating"
    with pytest.raises(Invalid, match="network_change"):
        stack.share(share_network, share_type="snap", snapshot_id=second)
    plan(stack)
    assert stack.settled_network(share_network) == "active"
    assert (stack.settled_snapshot(first), stack.settled_snapshot(second)) == ("gone", "available")
    assert len(paths(stack, second)) == 3
    assert {row.status for row in all_servers(stack)} == {"active"}


def test_during_an_addition_a_revert_is_accepted_and_done_afterwards(
    stack: Stack, share_network: str
) -> None:
    id_ = new_share(stack, share_network)
    snapshot = available_snapshot(stack, id_)
    fill(stack, id_, 1)
    plan(stack, failing("update_share_server_network_allocations", "hang"))
    stack.add_subnet(share_network, stack.network("10.2.0.0/24")[0])
    wait_for(lambda: struck(stack))
    stack.do(snapshots.revert, MEMBER, id_, snapshot)
    # the worker goes on with what is elsewhere
    available_share(stack, stack.share_network(*stack.network("10.3.0.0/24")))
    assert (share(stack, id_)["status"], held(stack, id_)) == ("reverting", 1)
    plan(stack)
    assert stack.settled_network(share_network) == "active"
    assert (stack.settled_share(id_), held(stack, id_), len(stack.paths(id_))) == (
        "available",
        0,
        3,
    )


def test_snapshots_come_back_with_the_worker(install: Setup) -> None:
    stack = install()
    with stack.working():
        stack.share_type("snap", **SPECS)
        id_ = new_share(stack, stack.share_network(*stack.network("10.1.0.0/24")))
        snapshot = instance_id(stack, available_snapshot(stack, id_))
    state = Path(stack.conf.state_dir, "worker", "alpha.json")
    state.write_text(json.dumps(json.loads(state.read_text()) | {"snapshots": {}}))
    assert world(stack)["snapshots"] == {}
    with stack.working():
        wait_for(lambda: snapshot in world(stack)["snapshots"])
