"""Shares are let go and taken over again, with their size, their paths and their data; never
counted twice, never lost."""

from __future__ import annotations

from typing import Any

import pytest

from abaca.domain.rows import messages, states
from abaca.domain.services import services
from abaca.domain.shares import access_rules, share_instances, share_management, shares
from abaca.domain.shares.share_management import ShareToManage
from abaca.domain.snapshots import snapshots
from abaca.errors import Conflict, Forbidden, Invalid
from abaca.values import Page
from tests.operations.scene import (
    WHY,
    available_share,
    delete_share,
    failing,
    instance_of,
    plan,
    server,
    server_of,
    settled_rules,
    slate,
    told,
    world,
)
from tests.operations.scene import allow as allowed
from tests.operations.test_resume import resume
from tests.stack import ADMIN, Stack

TYPE = {"snapshot_support": "True"}


@pytest.fixture
def share(stack: Stack) -> str:
    """A share of 3 GiB."""
    stack.share_type("snap", **TYPE)
    return available_share(
        stack, stack.share_network(*stack.network("10.1.0.0/24")), size=3, share_type="snap"
    )


def wanted(stack: Stack, share: str, **changes: str) -> ShareToManage:
    """The share as it is now, to be managed later."""
    known: dict[str, Any] = {
        "host": "host1@alpha#fake",
        "export_path": stack.paths(share)[0],
        "share_proto": "NFS",
        "share_type": "snap",
    }
    return ShareToManage(**{**known, "share_server_id": server_of(stack, share), **changes})


def manage(stack: Stack, what: ShareToManage) -> str:
    return str(stack.do(share_management.manage, ADMIN, what)["id"])


def unmanage(stack: Stack, share: str) -> str:
    """How it ends."""
    stack.do(share_management.unmanage, ADMIN, share)
    return stack.settled_share(share)


def test_a_share_is_let_go_and_managed_again(stack: Stack, share: str) -> None:
    what, instance, before = wanted(stack, share), instance_of(stack, share).id, stack.paths(share)
    allowed(stack, share, "10.0.0.0/8")
    settled_rules(stack, share)
    counted = slate(stack)
    assert unmanage(stack, share) == "gone"
    assert world(stack)["shares"][instance]["access_rules"], "clients go on"
    assert slate(stack)["claimed"] == {"host1@alpha#fake": 0} and slate(stack)["quotas"] == []
    assert server(stack, what.share_server_id or "")["is_auto_deletable"] is False
    managed = manage(stack, what)
    assert stack.settled_share(managed) == "available"
    assert (instance_of(stack, managed).id, stack.paths(managed), managed != share) == (
        instance,
        before,
        True,
    )
    shown = stack.ask(shares.get, ADMIN, managed)
    assert (shown["size"], shown["project_id"], shown["snapshot_support"]) == (
        3,
        ADMIN.project_id,
        True,
    )
    assert slate(stack)["claimed"] == counted["claimed"]
    assert (
        stack.ask(access_rules.find, ADMIN, managed)
        == []
        == world(stack)["shares"][instance]["access_rules"]
    )
    stack.do(shares.delete, ADMIN, managed)
    assert stack.settled_share(managed) == "gone" and world(stack)["shares"] == {}
    assert slate(stack)["quotas"] == []


def test_what_is_not_there_is_in_error_with_the_reason_and_can_be_let_go(
    stack: Stack, share: str
) -> None:
    what = wanted(stack, share)
    assert unmanage(stack, share) == "gone"
    for wrong in ({"export_path": "10.1.0.9:/shares/nothing"}, {"share_proto": "CIFS"}):
        missing = manage(
            stack,
            ShareToManage(**{**{n: getattr(what, n) for n in what.__struct_fields__}, **wrong}),
        )
        assert stack.settled_share(missing) == "manage_error"
        with pytest.raises(Forbidden):
            stack.do(shares.delete, ADMIN, missing)
        assert unmanage(stack, missing) == "gone"
    managed = manage(stack, what)
    assert stack.settled_share(managed) == "available", "what failed took nothing away"
    with pytest.raises(Conflict, match="already managed"):
        manage(stack, what)


def test_what_was_never_taken_over_is_left_alone(stack: Stack, share: str) -> None:
    """Its id may be that of anything on the back end: of what another project has stored."""
    allowed(stack, share, "10.0.0.0/8")
    assert settled_rules(stack, share) == "active"
    what = wanted(stack, share, share_proto="CIFS")
    assert unmanage(stack, share) == "gone"
    there = world(stack)["shares"]
    wrong = manage(stack, what)
    assert stack.settled_share(wrong) == "manage_error"
    with pytest.raises(Invalid, match="never taken over"):
        stack.do(shares.reset_status, ADMIN, wrong, "available")
    instance = instance_of(stack, wrong).id
    with pytest.raises(Invalid, match="never taken over"):
        stack.do(share_instances.reset_status, instance, "available")
    # where a worker that dies, or a call that hangs, leaves it
    stack.do(states.force, states.SHARE, instance, "unmanage_error")
    stack.do(services.ensure_shares, "host1@alpha")
    stack.wait(lambda conn: not services.find(conn, {"host": "host1@alpha"})[0]["ensuring"])
    assert world(stack)["shares"] == there and len(there) == 1
    assert unmanage(stack, wrong) == "gone"
    assert world(stack)["shares"] == there


def test_what_was_never_taken_over_is_not_deleted_by_force(stack: Stack, share: str) -> None:
    """Neither as a share nor as an instance: it is forgotten, with what was counted for it."""
    what = wanted(stack, share, share_proto="CIFS")
    assert unmanage(stack, share) == "gone"
    there = world(stack)["shares"]
    for by_instance in (False, True):
        wrong = manage(stack, what)
        assert stack.settled_share(wrong) == "manage_error"
        if by_instance:
            stack.do(shares.force_delete_instance, instance_of(stack, wrong).id)
        else:
            stack.do(shares.force_delete, ADMIN, wrong)
        assert stack.settled_share(wrong) == "gone"
        assert world(stack)["shares"] == there and len(there) == 1
        assert slate(stack)["quotas"] == []


def test_a_snapshot_is_not_managed_as_a_share(stack: Stack, share: str) -> None:
    """It would have the snapshot's id, so that its forced deletion would take the snapshot."""
    snapshot = stack.snapshot(share)
    assert stack.settled_snapshot(snapshot) == "available"
    instance = stack.ask(snapshots.get, ADMIN, snapshot)["instance_id"]
    with pytest.raises(Conflict, match="already managed"):
        manage(stack, wanted(stack, share, export_path=f"10.1.0.2:/snapshots/{instance}"))


def test_what_is_not_let_go(stack: Stack, share: str) -> None:
    snapshot = stack.snapshot(share)
    assert stack.settled_snapshot(snapshot) == "available"
    with pytest.raises(Forbidden, match="snapshots"):
        unmanage(stack, share)
    stack.do(snapshots.delete, ADMIN, snapshot)
    assert stack.settled_snapshot(snapshot) == "gone"
    for status in ("creating", "deleting", "migrating", "migrating_to"):
        stack.do(shares.reset_status, ADMIN, share, status)
        with pytest.raises(Forbidden, match=status):
            unmanage(stack, share)
    stack.do(shares.reset_status, ADMIN, share, "available")
    plan(stack, failing("unmanage_share", "Refused"))
    assert unmanage(stack, share) == "unmanage_error"
    assert WHY in told(stack)[0]
    plan(stack)
    assert unmanage(stack, share) == "gone"


def test_both_are_resumed(stack: Stack, share: str) -> None:
    what = wanted(stack, share)
    plan(stack, failing("unmanage_share", "bug"))
    assert unmanage(stack, share) == "unmanage_error"
    resume(stack)
    assert stack.wait(lambda _: stack.settled_share(share) == "gone")
    plan(stack, failing("manage_share", "bug"))
    managed = manage(stack, what)
    assert stack.settled_share(managed) == "manage_error"
    resume(stack)
    assert stack.wait(lambda _: stack.settled_share(managed) == "available")
    assert stack.ask(shares.get, ADMIN, managed)["size"] == 3


def test_its_server_must_be_there(stack: Stack, share: str) -> None:
    what = wanted(stack, share)
    for change, error in (
        ({"share_server_id": "nowhere"}, Invalid),
        ({"share_server_id": None}, Invalid),
    ):
        with pytest.raises(error):
            manage(
                stack,
                ShareToManage(
                    **{**{n: getattr(what, n) for n in what.__struct_fields__}, **change}
                ),
            )
    delete_share(stack, share)


def test_a_size_that_the_type_does_not_permit_is_told_and_the_share_may_be_let_go(
    stack: Stack, share: str
) -> None:
    stack.share_type("small", **TYPE, **{"provisioning:max_share_size": "2"})
    what = wanted(stack, share, share_type="small")
    assert unmanage(stack, share) == "gone"
    before = slate(stack)
    again = manage(stack, what)
    assert stack.settled_share(again) == "manage_error"
    assert (
        "Share size 3 is more than the 2 GiB"
        in stack.ask(messages.LISTING.find, ADMIN, {}, Page())[0]["user_message"]
    )
    assert unmanage(stack, again) == "gone"
    assert slate(stack) == before
