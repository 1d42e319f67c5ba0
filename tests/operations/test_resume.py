"""`abaca-manage operations resume`: parked work of every kind goes on to the end that it would have
had; or nothing is changed, and it says why."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from threading import Event
from typing import Any

import pytest
import sqlalchemy as sa

from abaca.db import versions
from abaca.db.session import begin, utcnow
from abaca.db.tables import share_networks as share_networks_table
from abaca.domain.network_changes import share_server_repairs, subnet_additions
from abaca.domain.network_changes.subnet_additions import SubnetRequest
from abaca.domain.recovery import parked_work
from abaca.domain.rows import states
from abaca.domain.share_servers import share_servers
from abaca.domain.shares import shares
from abaca.domain.snapshots import snapshots
from abaca.errors import Conflict, Missing
from abaca.workflow import inspection, queue, retention, unfinished
from abaca.workflow.inspection import UNREADABLE, Operation
from abaca.workflow.steps import RESUMPTIONS
from tests.operations.conftest import Install
from tests.operations.scene import (
    all_servers,
    allow,
    available_share,
    enforced,
    failing,
    instance_of,
    plan,
    server_of,
    settled_rules,
    share,
    slate,
    told,
)
from tests.operations.test_security_services import change, joined, service
from tests.operations.test_snapshots import SPECS
from tests.operations.test_workflow import dbos, pickled, poison
from tests.stack import ADMIN, MEMBER, Stack, wait_for

pytestmark = pytest.mark.sampled_file(4)


def parked(stack: Stack, state: str = "parked") -> Operation:
    """The only operation that is parked, once it is and no other goes on."""
    wait_for(lambda: [o.state for o in inspection.find(stack.engine)] == [state])
    return inspection.find(stack.engine)[0]


def resume(stack: Stack) -> None:
    """With the driver mended."""
    operation = parked(stack)
    plan(stack)
    inspection.resume(stack.engine, operation.id)


def new_share(stack: Stack) -> str:
    stack.share_type("snap", **SPECS)
    return available_share(
        stack, stack.share_network(*stack.network("10.1.0.0/24")), share_type="snap"
    )


def status(stack: Stack, share_id: str) -> str:
    return str(share(stack, share_id)["status"])


# --- the nouns of a share -------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["setup_server", "create_share"])
def test_a_share_is_made_after_all(stack: Stack, method: str) -> None:
    plan(stack, failing(method, "bug"))
    id_ = stack.share(stack.share_network(*stack.network("10.1.0.0/24")))
    assert stack.settled_share(id_) == "error"
    before = slate(stack)["quotas"]
    resume(stack)
    assert stack.settled_share(id_) == "available", told(stack)
    assert [server.status for server in all_servers(stack)] == ["active"]
    assert slate(stack)["quotas"] == before
    wait_for(lambda: inspection.find(stack.engine) == [])


def _extend(stack: Stack, id_: str) -> None:
    stack.do(shares.extend, MEMBER, id_, 3)


def _shrink(stack: Stack, id_: str) -> None:
    stack.do(shares.extend, MEMBER, id_, 2)
    assert stack.settled_share(id_) == "available"
    stack.do(shares.shrink, MEMBER, id_, 1)


def _revert(stack: Stack, id_: str) -> None:
    stack.do(shares.extend, MEMBER, id_, 3)
    assert stack.settled_share(id_) == "available"
    snapshot = stack.snapshot(id_)
    assert stack.settled_snapshot(snapshot) == "available"
    stack.do(shares.shrink, MEMBER, id_, 1)
    assert stack.settled_share(id_) == "available"
    stack.do(snapshots.revert, MEMBER, id_, snapshot)


@pytest.mark.parametrize(
    ("begin_it", "method", "after_failure", "size"),
    [
        (_extend, "extend_share", "extending_error", 3),
        (_shrink, "shrink_share", "shrinking_error", 1),
        (_revert, "revert_to_snapshot", "reverting_error", 3),
    ],
)
def test_a_share_is_resized_or_reverted_after_all(
    stack: Stack, begin_it: Callable[[Stack, str], None], method: str, after_failure: str, size: int
) -> None:
    id_ = new_share(stack)
    plan(stack, failing(method, "bug"))
    begin_it(stack, id_)
    assert stack.settled_share(id_) == after_failure
    resume(stack)
    assert stack.settled_share(id_) == "available"
    assert share(stack, id_)["size"] == size
    assert set(slate(stack)["claimed"].values()) == {size}
    assert all(row[-1]["gigabytes"] == size for row in slate(stack)["quotas"])


def test_a_share_is_deleted_after_all(stack: Stack) -> None:
    id_ = new_share(stack)
    plan(stack, failing("delete_share", "bug"))
    stack.do(shares.delete, MEMBER, id_)
    assert stack.settled_share(id_) == "error_deleting"
    resume(stack)
    assert stack.settled_share(id_) == "gone"


def test_snapshots_are_taken_and_deleted_after_all(stack: Stack) -> None:
    id_ = new_share(stack)
    plan(stack, failing("create_snapshot", "bug"))
    snapshot = stack.snapshot(id_)
    assert stack.settled_snapshot(snapshot) == "error"
    resume(stack)
    assert stack.settled_snapshot(snapshot) == "available"
    wait_for(lambda: inspection.find(stack.engine) == [])
    plan(stack, failing("delete_snapshot", "bug"))
    stack.do(snapshots.delete, MEMBER, snapshot)
    assert stack.settled_snapshot(snapshot) == "error_deleting"
    resume(stack)
    assert stack.settled_snapshot(snapshot) == "gone"


def test_rules_are_applied_after_all(stack: Stack) -> None:
    id_ = new_share(stack)
    plan(stack, failing("update_access", "bug"))
    allow(stack, id_, "10.9.0.1")
    assert settled_rules(stack, id_) == "error"
    resume(stack)
    assert settled_rules(stack, id_) == "active"
    assert enforced(stack, id_) == {"10.9.0.1"}


# --- share servers --------------------------------------------------------------------------------


def test_a_server_is_deleted_after_all(stack: Stack) -> None:
    id_ = new_share(stack)
    server = server_of(stack, id_)
    stack.do(shares.delete, MEMBER, id_)
    assert stack.settled_share(id_) == "gone"
    plan(stack, failing("teardown_server", "bug"))
    stack.do(share_servers.delete, server)
    resume(stack)
    stack.wait(lambda conn: share_servers.status_of(conn, server)[0] == "gone")
    assert "network_allocations" not in stack.rows()


def test_a_server_gets_or_loses_its_new_subnet_after_all(stack: Stack) -> None:
    id_ = new_share(stack)
    network = str(share(stack, id_)["share_network_id"])
    plan(stack, failing("update_share_server_network_allocations", "bug"))
    stack.add_subnet(network, stack.network("10.2.0.0/24")[0])
    assert stack.settled_network(network) == "active"
    assert [server.status for server in all_servers(stack)] == ["error"]
    resume(stack)
    assert stack.settled_network(network) == "active"
    assert [server.status for server in all_servers(stack)] == ["active"]
    assert len(stack.paths(id_)) == 2
    plan(stack, failing("update_share_server_network_allocations", "Refused"))
    stack.add_subnet(network, stack.network("10.3.0.0/24")[0])
    assert stack.settled_network(network) == "active"
    plan(stack, failing("ensure_server", "bug"))
    stack.do(share_server_repairs.abandon_network_update, server_of(stack, id_))
    assert stack.settled_network(network) == "active"
    resume(stack)
    assert stack.settled_network(network) == "active"
    assert [server.status for server in all_servers(stack)] == ["active"]
    assert len(stack.paths(id_)) == 2


def test_a_server_gives_a_subnet_up_after_all(stack: Stack) -> None:
    id_ = new_share(stack)
    network = str(share(stack, id_)["share_network_id"])
    subnet = stack.add_subnet(network, stack.network("10.2.0.0/24")[0])["id"]
    assert stack.settled_network(network) == "active"
    plan(stack, failing("update_share_server_network_allocations", "bug"))
    stack.remove_subnet(network, subnet)
    assert stack.settled_network(network) == "active"
    assert [server.status for server in all_servers(stack)] == ["error"]
    resume(stack)
    assert stack.settled_network(network) == "active"
    assert [server.status for server in all_servers(stack)] == ["active"]
    assert len(stack.paths(id_)) == 1


def test_a_server_joins_its_new_security_service_after_all(stack: Stack) -> None:
    id_ = new_share(stack)
    network = str(share(stack, id_)["share_network_id"])
    plan(stack, failing("update_share_server_security_service", "bug"))
    new = service(stack)
    change(stack, network, new)
    assert stack.settled_network(network) == "active"
    resume(stack)
    assert stack.settled_network(network) == "active"
    assert [server.status for server in all_servers(stack)] == ["active"]
    assert [[each for each, _ in services] for services in joined(stack)] == [[new]]


# --- what was begun too often, and what a person gave up ------------------------------------------


def test_what_was_begun_too_often_is_shown_and_taken_up_again(install: Install) -> None:
    stack = install(unused_share_server_cleanup_interval=1)
    id_ = (
        stack.share(stack.share_network(*stack.network("10.1.0.0/24")))
        if _brought_up(stack)
        else ""
    )
    too_often = sa.text(
        f"UPDATE {dbos(stack, 'workflow_status')} SET recovery_attempts = 1000 WHERE name = "
        "'share_create'"
    )
    assert stack.do(lambda conn: conn.execute(too_often).rowcount) == 1
    with stack.working():
        assert stack.settled_share(id_) == "error"
        assert parked(stack, "given up").name == "share_create"
        inspection.resume(stack.engine, parked(stack, "given up").id)
        assert stack.settled_share(id_) == "available"
        assert told(stack) == [retention.GAVE_UP]


def _brought_up(stack: Stack) -> bool:
    """A worker was there, so that the back end is known."""
    with stack.working():
        return True


def test_what_is_kept_of_ended_work_goes_in_time(stack: Stack) -> None:
    id_ = new_share(stack)
    plan(stack, failing("extend_share", "bug"))
    stack.do(shares.extend, MEMBER, id_, 2)
    operation = parked(stack)
    retention.delete_ended(retention.DONE, -60)
    assert inspection.get(stack.engine, operation.id).state == "parked"
    retention.delete_ended(retention.NOT_DONE, -60)
    assert inspection.find(stack.engine) == []


# --- refusals: nothing is changed -----------------------------------------------------------------


def refused(stack: Stack, operation_id: str, text: str) -> None:
    before, work = slate(stack), [o.id for o in inspection.find(stack.engine)]
    with pytest.raises(Conflict, match=text):
        inspection.resume(stack.engine, operation_id)
    assert (slate(stack), [o.id for o in inspection.find(stack.engine)]) == (before, work)


def at_rest(stack: Stack) -> None:
    wait_for(lambda: not queue.unfinished(stack.engine))


def test_what_has_been_changed_since_is_not_touched(stack: Stack) -> None:
    id_ = new_share(stack)
    network = str(share(stack, id_)["share_network_id"])
    plan(stack, failing("extend_share", "bug"))
    stack.do(shares.extend, MEMBER, id_, 2)
    begun = parked(stack).since
    operation = parked(stack).id
    plan(stack)
    stack.do(lambda conn: states.force(conn, states.SHARE_NETWORK, network, "error"))
    refused(stack, operation, "is error; try again when it is active")
    stack.do(lambda conn: states.force(conn, states.SHARE_NETWORK, network, "active"))
    stack.do(shares.reset_status, ADMIN, id_, "available")
    refused(stack, operation, "is available, no longer extending_error")
    # as fine as times of work are on SQLite
    wait_for(lambda: utcnow() > begun + timedelta(seconds=1))
    stack.do(shares.extend, MEMBER, id_, 3)
    assert stack.settled_share(id_) == "available"
    stack.do(shares.reset_status, ADMIN, id_, "extending_error")
    at_rest(stack)
    refused(stack, operation, "later operation works on the same resource: share_extend")
    stack.do(shares.delete, MEMBER, id_)
    assert stack.settled_share(id_) == "gone"
    at_rest(stack)
    refused(stack, operation, "later operation|is gone")


def test_a_server_that_was_changed_since_is_not_touched(stack: Stack) -> None:
    id_ = new_share(stack)
    network = str(share(stack, id_)["share_network_id"])
    plan(stack, failing("update_share_server_network_allocations", "bug"))
    stack.add_subnet(network, stack.network("10.2.0.0/24")[0])
    assert stack.settled_network(network) == "active"
    operation = parked(stack).id
    plan(stack)
    stack.do(share_servers.reset_status, server_of(stack, id_), "active")
    refused(stack, operation, "has no failed addition or removal of a subnet; it is active")


def test_one_of_two_resumptions_wins(stack: Stack) -> None:
    id_ = new_share(stack)
    plan(stack, failing("extend_share", "bug"))
    stack.do(shares.extend, MEMBER, id_, 2)
    operation = parked(stack).id
    plan(stack, failing("extend_share", "hang"))
    inspection.resume(stack.engine, operation)
    with pytest.raises(Missing):
        inspection.resume(stack.engine, operation)
    (again,) = inspection.find(stack.engine)
    refused(stack, again.id, "does not need to be resumed")
    plan(stack)
    assert stack.settled_share(id_) == "available"


def test_a_check_is_asked_for_anew_instead(stack: Stack) -> None:
    id_ = new_share(stack)
    network = str(share(stack, id_)["share_network_id"])
    plan(stack, failing("check_update_share_server_network_allocations", "bug"))
    pair = stack.network("10.2.0.0/24")[0]
    wanted = SubnetRequest(neutron_net_id=pair[0], neutron_subnet_id=pair[1])
    stack.do(subnet_additions.check, MEMBER, network, wanted, reset_operation=False)
    refused(stack, parked(stack).id, "repeat the request that started it")


def test_what_cannot_be_read_is_shown_as_needing_a_person(install: Install, tmp_path: Any) -> None:
    stack = install(unused_share_server_cleanup_interval=1)
    id_ = (
        stack.share(stack.share_network(*stack.network("10.1.0.0/24")))
        if _brought_up(stack)
        else ""
    )
    poisoned = {"workflow_status": "inputs", "workflow_input": "inputs"}
    (work,) = [o.id for o in inspection.find(stack.engine) if o.name == "share_create"]
    assert poison(stack, poisoned, "{id} = :id", pickled(tmp_path / "made"), id=work) >= 2
    with stack.working():
        operation = parked(stack)
        assert (operation.args, operation.reason) == (None, UNREADABLE)
        assert operation.about == instance_of(stack, id_).id
        refused(stack, work, "could not be read")
        assert status(stack, id_) == "creating"
        stack.do(shares.force_delete, ADMIN, id_)
        assert stack.settled_share(id_) == "gone"
    assert not (tmp_path / "made").exists()
    with begin(stack.engine) as conn:
        assert conn.scalar(sa.select(sa.func.count()).select_from(share_networks_table)) == 1


def test_over_the_api_work_is_resumed_as_by_the_command(stack: Stack) -> None:
    plan(stack, failing("create_share", "bug"))
    id_ = stack.share(stack.share_network(*stack.network("10.1.0.0/24")))
    assert stack.settled_share(id_) == "error"
    operation = parked(stack)
    (shown,) = stack.ask(unfinished.find, ["parked"])
    assert (shown.id, shown.name, shown.about) == (operation.id, operation.name, operation.about)
    assert (shown.reason, shown.since) == (operation.reason, operation.since)
    plan(stack)
    stack.do(parked_work.resume, operation.id)
    assert stack.settled_share(id_) == "available", told(stack)
    with pytest.raises(Missing):
        stack.do(parked_work.resume, operation.id)


def test_both_know_the_same_resumptions() -> None:
    assert parked_work.RESUMPTIONS == RESUMPTIONS


def test_work_raises_the_version_of_its_project_and_rest_raises_none(stack: Stack) -> None:
    share_id = new_share(stack)
    at_rest = stack.ask(versions.of_all)
    Event().wait(3)  # passes come and go
    assert stack.ask(versions.of_all) == at_rest
    allow(stack, share_id, "10.1.0.9")
    requested = stack.ask(versions.of_project, MEMBER.project_id)
    settled_rules(stack, share_id)
    assert stack.ask(versions.of_project, MEMBER.project_id) > requested
