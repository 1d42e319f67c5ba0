"""Back ends without share servers: shares without a share network live, are resumed, found again
after a loss, let go and taken over as those on share servers are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from abaca.db.session import utcnow
from abaca.db.tables import share_export_locations
from abaca.db.tables import share_snapshot_export_locations as of_snapshots
from abaca.db.tables import shares as shares_table
from abaca.domain.network_changes import connected_clients
from abaca.domain.services import services
from abaca.domain.shares import share_export_locations as shown_locations
from abaca.domain.shares import (
    share_management,
    share_metadata,
    shares,
    soft_deletion,
)
from abaca.domain.shares.share_management import ShareToManage
from abaca.domain.snapshots import snapshots
from abaca.drivers.fake import FakeDriver
from abaca.drivers.fake.faults import Fault
from abaca.errors import Conflict, Invalid
from abaca.reconcile import soft_deleted_shares
from tests.operations.conftest import Install
from tests.operations.scene import (
    allow,
    available_share,
    delete_share,
    enforced,
    failing,
    instance_of,
    plan,
    settled_rules,
    share,
    slate,
    told,
    world,
)
from tests.operations.test_resume import resume
from tests.stack import ADMIN, MEMBER, Stack, make_conf, wait_for

SUPPORTS = dict.fromkeys(
    (
        "snapshot_support",
        "create_share_from_snapshot_support",
        "revert_to_snapshot_support",
        "mount_snapshot_support",
    ),
    "True",
)
SECOND = share_export_locations.c.path.startswith("192.0.2.2:")
MOVED = ["192.0.2.2", "[2001:db8::1]"]
WITHOUT_SERVERS = {"driver_handles_share_servers": "false"}
HOST = "host1@alpha"
HOUR = 3600


def plain(
    install: Install,
    others: Mapping[str, Mapping[str, str]] | None = None,
    overrides: Mapping[str, object] | None = None,
) -> Stack:
    """Back ends without share servers, alpha and `others`, and a share type `plain` for them."""
    stack = install({"alpha": WITHOUT_SERVERS, **(others or {})}, **(overrides or {}))
    stack.share_type("plain", driver_handles_share_servers="False", **SUPPORTS)
    return stack


@pytest.fixture
def stack(install: Install) -> Iterator[Stack]:
    made = plain(install)
    with made.working():
        yield made


def made_share(stack: Stack, size: int = 1) -> str:
    """An available share without a share network."""
    return available_share(stack, None, size=size, share_type="plain")


def test_a_share_lives_without_network_and_server(stack: Stack) -> None:
    before = slate(stack)
    id_ = made_share(stack)
    shown = share(stack, id_)
    assert (shown["share_network_id"], shown["share_server_id"], shown["host"]) == (
        None,
        None,
        "host1@alpha#fake",
    )
    assert shown["availability_zone"]
    assert stack.paths(id_) == [f"192.0.2.1:/shares/{instance_of(stack, id_).id}"]
    allow(stack, id_, "10.0.0.0/8")
    assert settled_rules(stack, id_) == "active" and enforced(stack, id_) == {"10.0.0.0/8"}
    stack.do(shares.extend, MEMBER, id_, 3)
    assert stack.settled_share(id_) == "available"
    snapshot = stack.snapshot(id_)
    assert stack.settled_snapshot(snapshot) == "available"
    stack.do(shares.shrink, MEMBER, id_, 2)
    assert stack.settled_share(id_) == "available"
    stack.do(snapshots.revert, MEMBER, id_, snapshot)
    assert stack.settled_share(id_) == "available" and share(stack, id_)["size"] == 3
    copy = available_share(stack, None, size=3, share_type="plain", snapshot_id=snapshot)
    assert stack.rows().get("share_servers") is None
    stack.do(snapshots.delete, MEMBER, snapshot)
    assert stack.settled_snapshot(snapshot) == "gone"
    for each in (id_, copy):
        delete_share(stack, each)
    assert slate(stack) == before and told(stack) == []


def test_types_and_back_ends_of_both_kinds_do_not_mix(install: Install) -> None:
    stack = plain(install, others={"beta": {"pools": "pool:1000"}})
    with stack.working():
        network = stack.share_network(*stack.network("10.1.0.0/24"))
        with pytest.raises(Invalid, match="share network may not be given"):
            stack.share(network, share_type="plain")
        with pytest.raises(Invalid, match="Share network must be set"):
            stack.share(None)
        on_server, on_none = available_share(stack, network), made_share(stack)
        assert instance_of(stack, on_server).host == "host1@beta#pool"
        assert instance_of(stack, on_none).host == "host1@alpha#fake"


def test_a_share_without_a_server_chooses_no_subnets(stack: Stack) -> None:
    with pytest.raises(Invalid, match="on no share server"):
        stack.share(None, share_type="plain", metadata={"export_subnets": "ipv4"})
    id_ = made_share(stack)
    with pytest.raises(Invalid, match="on no share server"):
        stack.do(share_metadata.change, MEMBER, id_, lambda _: {"export_subnets": "ipv4"})
    assert stack.do(share_metadata.change, MEMBER, id_, lambda _: {"a": "b"}) == {"a": "b"}


def test_a_pool_without_room_is_followed_by_another(install: Install) -> None:
    stack = plain(install, others={"beta": {"pools": "pool:50", **WITHOUT_SERVERS}})
    with stack.working():
        plan(stack, failing("create_share", "NoSpace", when="after"))
        id_ = made_share(stack, size=2)
        assert instance_of(stack, id_).host == "host1@beta#pool"
        assert instance_of(stack, id_).share_server_id is None
        claimed = slate(stack)["claimed"]
        assert claimed == {"host1@alpha#fake": 0, "host1@beta#pool": 2}
        assert world(stack)["shares"] == {}


def test_creation_is_resumed(stack: Stack) -> None:
    plan(stack, failing("create_share", "bug"))
    id_ = stack.share(None, share_type="plain")
    assert stack.settled_share(id_) == "error"
    resume(stack)
    assert stack.settled_share(id_) == "available"


def test_one_that_was_never_placed_is_not_resumed(install: Install) -> None:
    stack = plain(install)
    with stack.working():
        id_ = stack.share(None, size=10**6, share_type="plain")
        assert share(stack, id_)["status"] == "error"
        assert stack.do(connected_clients.of_share, MEMBER, id_, sees_all=True) == {
            "clients": [],
            "is_complete": True,
            "as_of": None,
        }
        delete_share(stack, id_)


def test_a_soft_deleted_share_goes_when_its_time_is_over(stack: Stack) -> None:
    id_ = made_share(stack)
    stack.do(soft_deletion.soft_delete, MEMBER, id_, HOUR)
    past = sa.update(shares_table).values(scheduled_to_be_deleted_at=utcnow() - timedelta(1))
    stack.do(lambda conn: conn.execute(past))
    soft_deleted_shares.delete_due(stack.engine, {"host1@alph", "host1@al_ha"})
    assert share(stack, id_)["status"] == "available", "another back end's"
    soft_deleted_shares.delete_due(stack.engine, {HOST})
    assert stack.settled_share(id_) == "gone" and world(stack)["shares"] == {}


def test_who_is_connected_cannot_be_told(stack: Stack) -> None:
    id_ = made_share(stack)
    with pytest.raises(Conflict, match="cannot tell who is connected"):
        stack.do(connected_clients.of_share, MEMBER, id_, sees_all=True)


# --- managing -------------------------------------------------------------------------------------


def described(stack: Stack, id_: str, **changes: str) -> ShareToManage:
    known = {
        "host": "host1@alpha#fake",
        "export_path": stack.paths(id_)[0],
        "share_proto": "NFS",
        "share_type": "plain",
    }
    return ShareToManage(**{**known, **changes})  # type: ignore[arg-type]


def test_a_share_is_let_go_and_taken_over_again(stack: Stack) -> None:
    id_ = made_share(stack, size=3)
    allow(stack, id_, "10.0.0.0/8")
    assert settled_rules(stack, id_) == "active"
    what, instance, paths = described(stack, id_), instance_of(stack, id_).id, stack.paths(id_)
    stack.do(share_management.unmanage, ADMIN, id_)
    assert stack.settled_share(id_) == "gone"
    assert world(stack)["shares"][instance]["access_rules"], "clients go on"
    assert slate(stack)["claimed"] == {"host1@alpha#fake": 0}
    managed = str(stack.do(share_management.manage, ADMIN, what)["id"])
    assert stack.settled_share(managed) == "available"
    assert (instance_of(stack, managed).id, stack.paths(managed)) == (instance, paths)
    shown = share(stack, managed)
    assert (shown["size"], shown["share_server_id"], shown["project_id"]) == (
        3,
        None,
        ADMIN.project_id,
    )
    assert world(stack)["shares"][instance]["access_rules"] == []
    assert slate(stack)["claimed"] == {"host1@alpha#fake": 3}


def test_what_is_managed_fits_its_back_end(install: Install) -> None:
    stack = plain(install, others={"beta": {}})
    with stack.working():
        id_ = made_share(stack)
        path = {"export_path": "192.0.2.1:/shares/other"}
        for changes, error, text in (
            ({"share_server_id": "s1"}, Conflict, "share server may not be given"),
            ({"share_type": "default"}, Invalid, "the back end of host1@alpha#fake does not"),
            ({"host": "host1@beta#fake"}, Invalid, "the back end of host1@beta#fake does not"),
        ):
            wanted = described(stack, id_, **path, **changes)
            with pytest.raises(error, match=text):
                stack.do(share_management.manage, ADMIN, wanted)


def test_letting_go_is_resumed(stack: Stack) -> None:
    id_ = made_share(stack)
    plan(stack, failing("unmanage_share", "bug"))
    stack.do(share_management.unmanage, ADMIN, id_)
    assert stack.settled_share(id_) == "unmanage_error"
    resume(stack)
    assert stack.settled_share(id_) == "gone"


# --- ensuring -------------------------------------------------------------------------------------


def lose(stack: Stack) -> None:
    file = Path(stack.conf.state_dir, "worker", "alpha.json")
    file.write_text(json.dumps({"servers": {}, "shares": {}}))


def with_snapshot(stack: Stack) -> str:
    """A share with a rule and a snapshot that can be mounted."""
    id_ = made_share(stack, size=2)
    allow(stack, id_, "10.9.0.1")
    assert settled_rules(stack, id_) == "active"
    assert stack.settled_snapshot(stack.snapshot(id_)) == "available"
    return id_


def test_an_administrator_has_everything_ensured(stack: Stack) -> None:
    with_snapshot(stack)
    before = world(stack)
    assert before["shares"] and before["snapshots"]
    lose(stack)
    stack.do(services.ensure_shares, HOST)
    stack.wait(lambda conn: not services.find(conn, {"host": HOST})[0]["ensuring"])
    assert world(stack) == before


def locations(stack: Stack, share_id: str) -> list[tuple[str, str, bool]]:
    """Id, address and preference of each of a share's export locations."""
    rows = stack.ask(shown_locations.find, ADMIN, share_id)
    return [(row["id"], row["path"].rpartition(":/")[0], row["preferred"]) for row in rows]


@pytest.mark.parametrize("asked", [False, True], ids=["at a start", "when asked"])
def test_other_addresses_of_the_back_end_are_stored(install: Install, asked: bool) -> None:
    """Those that stay keep their ids."""
    addresses = {"export_addresses": "192.0.2.1, 192.0.2.2"}
    stack = install({"alpha": WITHOUT_SERVERS | addresses})
    stack.share_type("plain", driver_handles_share_servers="False", **SUPPORTS)
    with stack.working():
        share = with_snapshot(stack)
        before = locations(stack, share)
        assert [address for _, address, _ in before] == ["192.0.2.1", "192.0.2.2"]
        if asked:
            stack.do(lambda conn: conn.execute(sa.delete(share_export_locations).where(SECOND)))
            stack.do(services.ensure_shares, HOST)
            stack.wait(lambda conn: not services.find(conn, {"host": HOST})[0]["ensuring"])
            assert [each[1:] for each in locations(stack, share)] == [each[1:] for each in before]
            return
    options = {"alpha": WITHOUT_SERVERS | {"export_addresses": "192.0.2.2, 2001:db8::1"}}
    url = stack.conf.database.connection
    moved = Stack(make_conf(Path(stack.conf.state_dir), url, options))
    with closing(moved), moved.working():
        wait_for(lambda: [each[1] for each in locations(moved, share)] == MOVED)
        kept, new = locations(moved, share)
        assert kept == (before[1][0], "192.0.2.2", True)
        assert new[1:] == ("[2001:db8::1]", True)
        snapshot = moved.ask(lambda conn: conn.scalars(sa.select(of_snapshots.c.path)).all())
        assert [path.rpartition(":/")[0] for path in snapshot] == MOVED


def test_a_worker_that_starts_ensures_everything(install: Install) -> None:
    stack = plain(install)
    with stack.working():
        with_snapshot(stack)
        before = world(stack)
    lose(stack)
    with stack.working():
        wait_for(lambda: world(stack) == before)


@pytest.mark.parametrize("error", ["Refused", "NoSpace", "Unavailable", "OutcomeUnknown", "bug"])
def test_ensuring_ends_with_each_failure(stack: Stack, error: str) -> None:
    made_share(stack)
    plan(stack, failing("ensure_shares", error))
    stack.do(services.ensure_shares, HOST)
    stack.wait(lambda conn: not services.find(conn, {"host": HOST})[0]["ensuring"])
    plan(stack)


@pytest.mark.parametrize("dies", [True, False], ids=["dies", "hangs"])
def test_its_file_server_is_brought_back(install: Install, dies: bool) -> None:
    stack = plain(install, overrides={"worker.watch_interval": 3600.0 if dies else 0.05})
    with stack.working():
        with_snapshot(stack)
        file = Path(stack.conf.state_dir, "worker", "alpha.json")
        driver = FakeDriver("alpha", {"state_file": str(file), **WITHOUT_SERVERS})
        own = driver.own_server_id
        assert own is not None and world(stack)["servers"][own]["is_served"]
        plan(stack, failing("restart_server", "Unavailable"))
        driver.stop_serving(own, dies=dies)
        wait_for(lambda: world(stack)["servers"][own]["is_served"])


def test_a_call_that_hangs_keeps_no_other_share_waiting(install: Install) -> None:
    """Nor another project's: they share the back end."""
    stack = plain(install, overrides={"worker.call_seconds": 0.5, "worker.retry_seconds": 0.2})
    with stack.working():
        hung, other = made_share(stack), made_share(stack)
        plan(stack, Fault(method="extend_share", error="hang", match=instance_of(stack, hung).id))
        stack.do(shares.extend, MEMBER, hung, 2)
        assert stack.settled_share(hung) == "extending_error"
        stack.do(shares.extend, MEMBER, other, 2)
        assert stack.settled_share(other) == "available"
        stack.do(services.ensure_shares, HOST)
        stack.wait(lambda conn: not services.find(conn, {"host": HOST})[0]["ensuring"])
        stack.do(shares.delete, MEMBER, hung)
        assert stack.settled_share(hung) == "error_deleting", "nothing is begun on one that hangs"
        assert any("an earlier call about this share" in text for text in told(stack))
        plan(stack)
