"""share_backup_create, share_backup_restore, share_backup_delete: what they end in, also when the
driver fails."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.tables import quota_usages
from abaca.domain.backups import share_backups as backups
from abaca.domain.driver_views import driver_values
from abaca.domain.network_changes import subnet_drains
from abaca.domain.rows import states
from abaca.domain.shares import (
    access_rules,
    share_instances,
    share_management,
    shares,
    soft_deletion,
)
from abaca.domain.snapshots import snapshots
from abaca.drivers.fake import FakeDriver
from abaca.errors import Conflict, Forbidden, Invalid, OverQuota
from tests.operations.scene import (
    FAILURES,
    Setup,
    allow,
    available_share,
    delete_share,
    enforced,
    failing,
    instance_of,
    plan,
    reason,
    settled_rules,
    share,
    slate,
    told,
    world,
)
from tests.operations.test_resume import resume
from tests.stack import ADMIN, MEMBER, Stack

pytestmark = pytest.mark.sampled_file(4)

GIB = 2**30


@pytest.fixture
def share_network(stack: Stack) -> str:
    stack.share_type("snap", snapshot_support="True")
    return stack.share_network(*stack.network("10.1.0.0/24", "fd00:1::/64"))


def fill(stack: Stack, share_id: str, gib: int) -> None:
    driver = FakeDriver("alpha", {"state_file": f"{stack.conf.state_dir}/worker/alpha.json"})
    driver.set_used_bytes(instance_of(stack, share_id).id, gib * GIB)


def held(stack: Stack, share_id: str) -> int:
    """GiB that clients have written."""
    return int(world(stack)["shares"][instance_of(stack, share_id).id]["used_bytes"]) // GIB


def filled_share(stack: Stack, share_network: str, size: int = 2, gib: int = 1) -> str:
    made = available_share(stack, share_network, size=size, share_type="snap")
    fill(stack, made, gib)
    return made


def available_backup(stack: Stack, share_id: str) -> str:
    backup = stack.backup(share_id)
    assert stack.settled_backup(backup) == "available", told(stack)
    return backup


def delete_backup(stack: Stack, backup_id: str) -> None:
    stack.do(backups.delete, MEMBER, backup_id)
    assert stack.settled_backup(backup_id) == "gone"


def counted(stack: Stack) -> tuple[int, int]:
    """Backups and their GiB, as quotas count them."""
    table = quota_usages
    whole = (
        (table.c.project_id == MEMBER.project_id)
        & (table.c.user_id == "")
        & (table.c.share_type_id == "")
    )
    row = stack.ask(lambda conn: conn.execute(sa.select(table).where(whole)).one())
    return row.backups, row.backup_gigabytes


def kept(stack: Stack) -> list[int]:
    """GiB of each copy on the back end; nothing that copies are made of is left there."""
    state = world(stack)
    assert (state["fixed"], state["fetched"]) == ({}, {})
    return [backup["used_bytes"] // GIB for backup in state["backups"].values()]


def test_a_share_is_backed_up_and_its_backup_goes_without_a_trace(
    stack: Stack, share_network: str
) -> None:
    made = filled_share(stack, share_network)
    before = slate(stack)
    backup = available_backup(stack, made)
    view = stack.ask(backups.get, MEMBER, backup)
    assert {
        name: view[name]
        for name in ("share_id", "size", "progress", "restore_progress", "host", "topic")
    } == {
        "share_id": made,
        "size": 2,
        "progress": 100,
        "restore_progress": 0,
        "host": "host1@alpha",
        "topic": "manila-share",
    }
    assert (share(stack, made)["status"], kept(stack), counted(stack)) == ("available", [1], (1, 2))
    delete_backup(stack, backup)
    assert (slate(stack), counted(stack), told(stack)) == (before, (0, 0), [])


def test_a_share_with_backups_stays(stack: Stack, share_network: str) -> None:
    made = filled_share(stack, share_network)
    backup = available_backup(stack, made)
    instance = instance_of(stack, made).id
    for refused, *args in (
        (shares.delete, MEMBER, made),
        (shares.force_delete, ADMIN, made),
        (shares.force_delete_instance, instance),
        (soft_deletion.soft_delete, MEMBER, made, 60),
        (share_management.unmanage, ADMIN, made),
    ):
        with pytest.raises(Forbidden, match="1 dependent backups"):
            stack.do(refused, *args)
    delete_backup(stack, backup)
    delete_share(stack, made)


@pytest.mark.parametrize("status", ["backup_restoring", "backup_restoring_error"])
def test_a_share_that_is_restored_is_told_of_drains_and_need_not_have_its_data(
    stack: Stack, share_network: str, status: str
) -> None:
    made = filled_share(stack, share_network)
    instance = instance_of(stack, made)
    stack.do(states.force, states.SHARE, instance.id, status)
    (ensured,) = stack.ask(driver_values.shares_of_server, instance.share_server_id)
    (told_of_drains,) = stack.ask(subnet_drains.shares_to_tell, instance.share_server_id)
    assert (ensured.id, ensured.is_complete) == (instance.id, False)
    assert told_of_drains.id == instance.id


def test_a_share_gets_back_what_it_held(stack: Stack, share_network: str) -> None:
    made = filled_share(stack, share_network)
    backup = available_backup(stack, made)
    fill(stack, made, 2)
    stack.do(backups.restore, MEMBER, backup)
    assert share(stack, made)["status"] == "backup_restoring"
    assert stack.settled_share(made) == "available"
    view = stack.ask(backups.get, MEMBER, backup)
    assert (view["status"], view["restore_progress"], view["restore_share_id"]) == (
        "available",
        100,
        None,
    )
    assert (held(stack, made), kept(stack)) == (1, [1])


def test_another_share_gets_what_a_share_held(stack: Stack, share_network: str) -> None:
    made, other = filled_share(stack, share_network), filled_share(stack, share_network, gib=0)
    backup = available_backup(stack, made)
    view = stack.do(backups.restore, MEMBER, backup, other)
    assert view["restore_share_id"] == other
    assert share(stack, made)["status"] == "available"
    assert stack.settled_share(other) == "available"
    assert (held(stack, other), held(stack, made)) == (1, 1)


def test_what_cannot_be_restored_is_refused(stack: Stack, share_network: str) -> None:
    made, small = filled_share(stack, share_network), filled_share(stack, share_network, size=1)
    backup = available_backup(stack, made)
    with pytest.raises(Invalid, match="extend it first"):
        stack.do(backups.restore, MEMBER, backup, small)
    with pytest.raises(Invalid, match="No share exists with ID nope"):
        stack.do(backups.restore, MEMBER, backup, "nope")
    stack.do(backups.reset_status, ADMIN, backup, "error")
    with pytest.raises(Invalid, match="must be available to be restored; it is error"):
        stack.do(backups.restore, MEMBER, backup)


def test_what_cannot_be_backed_up_is_refused(stack: Stack, share_network: str) -> None:
    made = filled_share(stack, share_network)
    snapshot = stack.snapshot(made)
    assert stack.settled_snapshot(snapshot) == "available"
    with pytest.raises(Invalid, match="while it has snapshots"):
        stack.backup(made)
    stack.do(snapshots.delete, MEMBER, snapshot)
    assert stack.settled_snapshot(snapshot) == "gone"
    with pytest.raises(OverQuota, match="backup_gigabytes"):
        stack.backup(made, quota_defaults={"backup_gigabytes": 1})
    backup = stack.backup(made, backup_type="nightly")
    assert stack.settled_backup(backup) == "available"
    with pytest.raises(Invalid, match="backup_type: 'nightly'"):
        stack.backup(made, backup_type="weekly")
    stack.do(shares.reset_status, ADMIN, made, "error")
    with pytest.raises(Invalid, match="must be available"):
        stack.backup(made, backup_type="nightly")
    assert counted(stack) == (1, 2)


@pytest.mark.parametrize("error", FAILURES)
@pytest.mark.parametrize("method", ["begin_backup", "continue_backup", "end_backup"])
def test_a_backup_that_fails_leaves_the_share_as_it_was(
    stack: Stack, share_network: str, method: str, error: str
) -> None:
    made = filled_share(stack, share_network)
    before = slate(stack)
    plan(stack, failing(method, error))
    backup = stack.backup(made)
    assert stack.settled_backup(backup) == "error"
    assert share(stack, made)["status"] == "available"
    assert told(stack) == [reason(error)]
    plan(stack)
    delete_backup(stack, backup)
    assert slate(stack) == before


@pytest.mark.parametrize("error", FAILURES)
@pytest.mark.parametrize("method", ["continue_restore", "end_restore"])
def test_what_fails_to_be_restored_can_be_restored_again(
    stack: Stack, share_network: str, method: str, error: str
) -> None:
    made = filled_share(stack, share_network)
    backup = available_backup(stack, made)
    fill(stack, made, 2)
    plan(stack, failing(method, error))
    stack.do(backups.restore, MEMBER, backup)
    assert stack.settled_share(made) == "backup_restoring_error"
    assert (stack.settled_backup(backup), told(stack)) == ("available", [reason(error)])
    assert (held(stack, made), kept(stack)) == (2, [1])
    plan(stack)
    stack.do(backups.restore, MEMBER, backup)
    assert stack.settled_share(made) == "available"
    assert held(stack, made) == 1


def test_a_share_that_failed_to_be_restored_is_deleted(stack: Stack, share_network: str) -> None:
    made = filled_share(stack, share_network)
    backup = available_backup(stack, made)
    plan(stack, failing("end_restore", "bug"), failing("abandon_restore", "bug"))
    stack.do(backups.restore, MEMBER, backup)
    assert stack.settled_share(made) == "backup_restoring_error"
    assert world(stack)["fetched"] != {}
    plan(stack)
    delete_backup(stack, backup)
    delete_share(stack, made)
    assert kept(stack) == []


def test_a_backup_that_fails_to_be_deleted_is_deleted_again(
    stack: Stack, share_network: str
) -> None:
    backup = available_backup(stack, filled_share(stack, share_network))
    plan(stack, failing("delete_backup", "Refused"))
    stack.do(backups.delete, MEMBER, backup)
    assert stack.settled_backup(backup) == "error_deleting"
    assert counted(stack) == (1, 2)
    plan(stack)
    delete_backup(stack, backup)
    assert (counted(stack), kept(stack)) == ((0, 0), [])


def test_a_backup_takes_no_longer_than_it_may(install: Setup) -> None:
    slow = {"delay_continue_backup_ms": "500"}
    stack = install({"alpha": slow}, **{"worker.backup_hours": 0.0001})
    with stack.working():
        stack.share_type("snap")
        made = filled_share(stack, stack.share_network(*stack.network("10.1.0.0/24")))
        backup = stack.backup(made)
        assert stack.settled_backup(backup) == "error"
        assert told(stack) == ["It did not end within 0.0001 hours, the longest that it may take."]
        assert (share(stack, made)["status"], world(stack)["fixed"]) == ("available", {})


def test_one_that_is_given_up_by_hand_ends(install: Setup) -> None:
    stack = install({"alpha": {"delay_continue_backup_ms": "300"}})
    with stack.working():
        stack.share_type("snap")
        made = filled_share(stack, stack.share_network(*stack.network("10.1.0.0/24")))
        backup = stack.backup(made)
        stack.wait(lambda _: world(stack)["backups"])
        stack.do(backups.reset_status, ADMIN, backup, "error")
        assert stack.settled_share(made) == "available"
        assert (stack.settled_backup(backup), world(stack)["fixed"]) == ("error", {})
        delete_backup(stack, backup)


def test_a_backup_is_there_though_the_share_that_it_is_restored_into_goes_first(
    stack: Stack, share_network: str
) -> None:
    backup = available_backup(stack, filled_share(stack, share_network))
    target = available_share(stack, share_network, size=2, share_type="snap")
    held_up, gone = instance_of(stack, target).id, "The share that it was to be restored into"

    def restore_into_what_goes(conn: Connection) -> None:
        backups.restore(conn, MEMBER, backup, target)
        share_instances.remove(conn, held_up)  # as its forced deletion does in the end

    stack.do(restore_into_what_goes)
    assert stack.settled_backup(backup) == "available"
    assert [text.startswith(gone) for text in told(stack)] == [True]
    delete_backup(stack, backup)


def test_a_backup_of_a_share_that_was_resized_meanwhile_is_not_resumed(
    stack: Stack, share_network: str
) -> None:
    made = filled_share(stack, share_network)
    plan(stack, failing("begin_backup", "bug"))
    backup = stack.backup(made)
    assert stack.settled_backup(backup) == "error"
    plan(stack)
    stack.do(shares.extend, MEMBER, made, 3)
    assert stack.settled_share(made) == "available"
    with pytest.raises(Conflict, match="3 GiB now, not 2"):
        resume(stack)
    assert (stack.settled_backup(backup), counted(stack)) == ("error", (1, 2))


def test_clients_lose_their_access_while_a_share_is_backed_up(
    stack: Stack, share_network: str
) -> None:
    made = filled_share(stack, share_network)
    rule = allow(stack, made, "10.1.0.7")
    assert settled_rules(stack, made) == "active"
    assert enforced(stack, made) == {"10.1.0.7"}

    def back_up_and_deny(conn: Connection) -> str:
        backup = backups.create(conn, MEMBER, made)["id"]
        access_rules.deny(conn, MEMBER, made, rule)
        return str(backup)

    backup = stack.do(back_up_and_deny)
    stack.wait(lambda _: enforced(stack, made) == set())
    assert stack.settled_backup(backup) == "available"


def test_parked_work_on_backups_is_resumed(stack: Stack, share_network: str) -> None:
    made = filled_share(stack, share_network)
    plan(stack, failing("begin_backup", "bug"))
    backup = stack.backup(made)
    assert stack.settled_backup(backup) == "error"
    plan(stack)
    resume(stack)
    assert stack.settled_backup(backup) == "available"
    fill(stack, made, 2)
    plan(stack, failing("continue_restore", "bug"))
    stack.do(backups.restore, MEMBER, backup)
    assert stack.settled_share(made) == "backup_restoring_error"
    plan(stack)
    resume(stack)
    assert (stack.settled_share(made), held(stack, made)) == ("available", 1)
    plan(stack, failing("delete_backup", "bug"))
    stack.do(backups.delete, MEMBER, backup)
    assert stack.settled_backup(backup) == "error_deleting"
    plan(stack)
    resume(stack)
    assert stack.settled_backup(backup) == "gone"
