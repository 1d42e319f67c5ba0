"""Taking a subnet from a share network in use: who may, who is asked, what happens and what is left
when it fails. Additions: `test_subnet_additions`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from abaca.db.tables import (
    network_allocations,
    services,
    share_instances,
    share_networks,
    share_servers,
)
from abaca.db.tables import share_server_share_network_subnet_mappings as mappings
from abaca.domain.network_changes import share_server_repairs, subnet_removals
from abaca.domain.share_networks import share_network_subnets
from abaca.domain.share_servers import share_servers as servers
from abaca.domain.shares import share_export_locations
from abaca.errors import CallerError, Conflict, Invalid, Missing, ServiceDown
from tests.operations.conftest import Install
from tests.operations.scene import (
    FAILURES,
    RETRIED,
    WHY,
    addresses,
    all_servers,
    allow,
    available_share,
    delete_share,
    enforced,
    failing,
    instance_of,
    network,
    plan,
    rules,
    server,
    server_of,
    settled_rules,
    slate,
    struck,
    told,
    world,
)
from tests.stack import ADMIN, MEMBER, Stack, wait_for

pytestmark = pytest.mark.sampled_file(4)

CHECK = "check_update_share_server_network_allocations"
UPDATE = "update_share_server_network_allocations"
SUPPORT = "share_server_subnet_removal_support"
TWO_ZONES = {"alpha": {"availability_zone": "zone-a"}, "beta": {"availability_zone": "zone-b"}}


@pytest.fixture
def two(install: Install) -> Iterator[Stack]:
    """Back ends in two availability zones, and a running worker."""
    stack = install(TWO_ZONES)
    with stack.working():
        yield stack


class Scene:
    """A share network on 10.1.0.0/24, fd00:1::/64 and 10.2.0.0/24, with a share that a rule is
    on."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        pairs = stack.network("10.1.0.0/24", "fd00:1::/64", "10.2.0.0/24")
        self.network = stack.share_network(*pairs)
        self.first, self.second, self.third = [
            subnet["id"] for subnet in stack.ask(share_network_subnets.find, MEMBER, self.network)
        ]
        self.share = available_share(stack, self.network)
        allow(stack, self.share, "10.0.0.0/8")
        assert settled_rules(stack, self.share) == "active"
        self.server = server_of(stack, self.share)

    @property
    def subnets(self) -> list[str]:
        found = self.stack.ask(share_network_subnets.find, MEMBER, self.network)
        return [subnet["id"] for subnet in found]

    @property
    def standing(self) -> list[str]:
        """The subnets that the server stands on in the back end."""
        entries = world(self.stack)["servers"][self.server]["network_info"]
        return [entry["share_network_subnet_id"] for entry in entries]

    def locations(self) -> list[dict[str, Any]]:
        return self.stack.ask(share_export_locations.find, ADMIN, self.share)

    def remove(self, subnet: str) -> str:
        """What the network is when the removal has ended."""
        self.stack.remove_subnet(self.network, subnet)
        return self.stack.settled_network(self.network)

    def check(self, subnet: str, *, reset: bool = False) -> dict[str, Any]:
        return self.stack.do(
            subnet_removals.check, ADMIN, self.network, subnet, reset_operation=reset
        )


@pytest.fixture
def scene(stack: Stack) -> Scene:
    return Scene(stack)


def answered(scene: Scene, subnet: str) -> dict[str, Any]:
    """The check's answer, once it is not pending any more."""

    def answer() -> dict[str, Any] | None:
        found = scene.check(subnet)
        return None if found["compatible"] is None else found

    return wait_for(answer) or {}


def refused(
    stack: Stack, error: type[CallerError], text: str, share_network: str, subnet: str
) -> None:
    """Removal and check are refused so, and everything is as before."""
    before = slate(stack)
    with pytest.raises(error, match=text):
        stack.remove_subnet(share_network, subnet)
    with pytest.raises(error, match=text):
        stack.do(subnet_removals.check, ADMIN, share_network, subnet, reset_operation=False)
    assert slate(stack) == before


# --- success --------------------------------------------------------------------------------------


def test_a_subnet_goes_and_the_others_stay_as_they_are(scene: Scene) -> None:
    stack, before = scene.stack, scene.locations()
    assert scene.remove(scene.third) == "active"
    assert scene.subnets == [scene.first, scene.second]
    assert scene.locations() == before[:2], "ids, order and preference of the others stay"
    assert scene.standing == [scene.first, scene.second]
    assert server(stack, scene.server)["status"] == "active"
    assert (addresses(stack), stack.rows()["local_ports"]) == (2, 2)
    assert (rules(stack, scene.share), enforced(stack, scene.share)) == (
        {"10.0.0.0/8": "active"},
        {"10.0.0.0/8"},
    )
    assert told(stack) == []
    assert "share_network_checks" not in stack.rows()
    again = available_share(stack, scene.network)
    assert server_of(stack, again) == scene.server, "the server takes new shares"
    assert len(stack.paths(again)) == 2


def test_the_next_location_of_its_family_is_preferred_when_the_first_goes(scene: Scene) -> None:
    v4, v6, other = scene.locations()
    assert (v4["preferred"], v6["preferred"], other["preferred"]) == (True, True, False)
    assert scene.remove(scene.first) == "active"
    left = scene.locations()
    assert [location["id"] for location in left] == [v6["id"], other["id"]]
    assert [location["preferred"] for location in left] == [True, True]


def test_the_addresses_can_be_given_to_the_next(scene: Scene) -> None:
    """The subnet comes back, and with it an address; twice, since work has names."""
    stack = scene.stack
    (pair,) = stack.network("10.9.0.0/24")
    for _ in range(2):
        added = stack.add_subnet(scene.network, pair)["id"]
        assert stack.settled_network(scene.network) == "active"
        assert len(scene.locations()) == 4
        assert scene.remove(added) == "active"
        assert len(scene.locations()) == 3


def test_a_mountable_snapshot_follows_its_share(stack: Stack) -> None:
    stack.share_type("snap", snapshot_support="True", mount_snapshot_support="True")
    share_network = stack.share_network(*stack.network("10.1.0.0/24", "10.2.0.0/24"))
    share = available_share(stack, share_network, share_type="snap")
    snapshot = stack.snapshot(share)
    assert stack.settled_snapshot(snapshot) == "available"
    rows = stack.rows()["share_snapshot_export_locations"]
    subnet = stack.ask(share_network_subnets.find, MEMBER, share_network)[1]["id"]
    stack.remove_subnet(share_network, subnet)
    assert stack.settled_network(share_network) == "active"
    assert (rows, stack.rows()["share_snapshot_export_locations"]) == (2, 1)


def test_servers_of_all_back_ends_give_it_up_and_the_last_one_ends_it(two: Stack) -> None:
    share_network = two.share_network(*two.network("10.1.0.0/24", "10.2.0.0/24"))
    slow, quick = (
        available_share(two, share_network, availability_zone=zone) for zone in ("zone-a", "zone-b")
    )
    subnet = two.ask(share_network_subnets.find, MEMBER, share_network)[1]["id"]
    plan(two, failing(UPDATE, "hang"))
    two.remove_subnet(share_network, subnet)
    wait_for(lambda: server(two, server_of(two, quick))["status"] == "active")
    assert (len(two.paths(quick)), len(two.paths(slow))) == (1, 2)
    assert server(two, server_of(two, slow))["status"] == "network_change"
    assert network(two, share_network)["status"] == "network_change"
    there = two.ask(share_network_subnets.find, MEMBER, share_network)
    assert subnet in [each["id"] for each in there], "it is shown until it has gone"
    plan(two)
    assert two.settled_network(share_network) == "active"
    assert len(two.ask(share_network_subnets.find, MEMBER, share_network)) == 1
    assert [len(two.paths(share)) for share in (slow, quick)] == [1, 1]


# --- without shares -------------------------------------------------------------------------------


def test_a_subnet_that_nobody_stands_on_goes_at_once(stack: Stack) -> None:
    share_network = stack.share_network(*stack.network("10.1.0.0/24", "10.2.0.0/24"))
    subnet = stack.ask(share_network_subnets.find, MEMBER, share_network)[0]["id"]
    answer = stack.do(subnet_removals.check, ADMIN, share_network, subnet, reset_operation=False)
    assert answer == {
        "compatible": True,
        "hosts_check_result": {},
        "export_locations": [],
        "access_rules": [],
    }
    stack.remove_subnet(share_network, subnet)
    assert network(stack, share_network)["status"] == "active"
    assert len(stack.ask(share_network_subnets.find, MEMBER, share_network)) == 1


def test_an_empty_server_that_stands_on_nothing_else_goes_with_it(two: Stack) -> None:
    first, second = two.network("10.1.0.0/24", "10.2.0.0/24")
    share_network = two.share_network(first)
    share = available_share(two, share_network, availability_zone="zone-a")
    two.add_subnet(share_network, second, zone="zone-b")
    delete_share(two, share)
    (only,) = all_servers(two)
    subnet = two.ask(share_network_subnets.find, MEMBER, share_network)[0]["id"]
    two.do(lambda conn: conn.execute(sa.update(share_servers).values(is_auto_deletable=False)))
    refused(two, Conflict, f"{only.id}.*delete or unmanage", share_network, subnet)
    two.do(lambda conn: conn.execute(sa.update(share_servers).values(is_auto_deletable=True)))
    two.remove_subnet(share_network, subnet)
    two.wait(lambda conn: servers.status_of(conn, only.id)[0] == "gone")
    assert len(two.ask(share_network_subnets.find, MEMBER, share_network)) == 1
    assert (world(two)["servers"], addresses(two)) == ({}, 0)


def test_an_empty_server_on_other_subnets_is_kept(scene: Scene) -> None:
    delete_share(scene.stack, scene.share)
    assert scene.remove(scene.third) == "active"
    assert server(scene.stack, scene.server)["status"] == "active"
    assert scene.standing == [scene.first, scene.second]


# --- refusals -------------------------------------------------------------------------------------


def test_the_last_subnet_of_a_network_and_of_a_server_with_shares_stays(two: Stack) -> None:
    first, second = two.network("10.1.0.0/24", "10.2.0.0/24")
    share_network = two.share_network(first)
    share = available_share(two, share_network, availability_zone="zone-a")
    subnet = two.ask(share_network_subnets.find, MEMBER, share_network)[0]["id"]
    refused(two, Conflict, f"{subnet} is the last one", share_network, subnet)
    two.add_subnet(share_network, second, zone="zone-b")
    refused(two, Conflict, f"{server_of(two, share)}, which has shares", share_network, subnet)


def test_what_is_not_there_or_anothers_is_missing(scene: Scene) -> None:
    stranger = msgspec.structs.replace(MEMBER, project_id="another")
    other = scene.stack.share_network(*scene.stack.network("10.7.0.0/24", "10.8.0.0/24"))
    for caller, share_network, subnet in (
        (ADMIN, other, scene.third),
        (ADMIN, "nothing", scene.third),
        (ADMIN, scene.network, "nothing"),
        (stranger, scene.network, scene.third),
    ):
        with pytest.raises(Missing):
            scene.stack.remove_subnet(share_network, subnet, caller)
        with pytest.raises(Missing):
            scene.stack.do(
                subnet_removals.check, caller, share_network, subnet, reset_operation=False
            )


def test_servers_that_lack_the_capability_are_named(scene: Scene) -> None:
    stack = scene.stack
    stack.do(share_server_repairs.update_capabilities, [scene.server], [SUPPORT], False)
    refused(stack, Conflict, f"{scene.server}.*{SUPPORT}", scene.network, scene.third)
    stack.do(
        share_server_repairs.update_capabilities, [scene.server], [SUPPORT], True, check_driver=True
    )
    assert scene.remove(scene.third) == "active"


def test_a_back_end_that_lacks_the_capability_makes_servers_that_do(install: Install) -> None:
    stack = install({"alpha": {SUPPORT: "false"}})
    with stack.working():
        scene = Scene(stack)
        refused(stack, Conflict, f"{scene.server}.*{SUPPORT}", scene.network, scene.third)
        with pytest.raises(Conflict, match="host1@alpha"):
            stack.do(
                share_server_repairs.update_capabilities,
                [scene.server],
                [SUPPORT],
                True,
                check_driver=True,
            )


def test_whatever_is_not_healthy_is_named(scene: Scene) -> None:
    stack = scene.stack
    instance = instance_of(stack, scene.share).id
    for table, key, values, error, name in (
        (share_networks, scene.network, {"status": "error"}, Conflict, scene.network),
        (share_servers, scene.server, {"status": "error"}, Conflict, scene.server),
        (share_servers, scene.server, {"status": "creating"}, Conflict, scene.server),
        (share_instances, instance, {"status": "extending"}, Conflict, scene.share),
        (share_instances, instance, {"access_rules_status": "error"}, Conflict, scene.share),
        (services, "host1@alpha", {"is_ready": False}, ServiceDown, "host1@alpha"),
    ):
        mend = spoilt(stack, table, key, **values)
        refused(stack, error, name, scene.network, scene.third)
        mend()
    assert scene.remove(scene.third) == "active"


def spoilt(stack: Stack, table: sa.Table, key: str, **values: Any) -> Callable[[], object]:
    """Change a row by hand; what mends it again."""
    column = table.c.host if table is services else table.c.id
    row = stack.ask(
        lambda conn: conn.execute(sa.select(table).where(column == key)).mappings().one()
    )
    stack.do(lambda conn: conn.execute(sa.update(table).where(column == key).values(**values)))
    before = sa.update(table).where(column == key).values({name: row[name] for name in values})
    return lambda: stack.do(lambda conn: conn.execute(before))


def test_a_driver_that_denies_is_heard(scene: Scene) -> None:
    plan(scene.stack, failing(CHECK, "Refused"))
    before = scene.locations()
    with pytest.raises(Conflict, match=WHY):
        scene.stack.remove_subnet(scene.network, scene.third)
    assert answered(scene, scene.third)["compatible"] is False
    assert told(scene.stack) == [f"The subnet cannot be removed: {WHY}"]
    plan(scene.stack, failing(CHECK, "deny"))
    assert scene.check(scene.third, reset=True)["compatible"] is None, "asked anew"
    assert answered(scene, scene.third)["hosts_check_result"] == {"host1@alpha": False}
    assert scene.server in told(scene.stack)[0]
    assert (scene.locations(), network(scene.stack, scene.network)["status"]) == (before, "active")


def test_while_a_subnet_goes_the_network_takes_no_other_change(scene: Scene) -> None:
    stack = scene.stack
    (pair,) = stack.network("10.9.0.0/24")
    plan(stack, failing(UPDATE, "hang"))
    stack.remove_subnet(scene.network, scene.third)
    with pytest.raises(Conflict, match="network_change"):
        stack.remove_subnet(scene.network, scene.second)
    with pytest.raises(Conflict, match="network_change"):
        stack.add_subnet(scene.network, pair)
    with pytest.raises(Conflict, match="network_change"):
        stack.do(share_network_subnets.delete, MEMBER, scene.network, scene.third)
    with pytest.raises(Invalid, match="network_change"):
        stack.share(scene.network)
    plan(stack)
    assert stack.settled_network(scene.network) == "active"
    assert scene.subnets == [scene.first, scene.second]


# --- what would be cut ----------------------------------------------------------------------------


def test_the_check_names_what_would_be_cut(scene: Scene) -> None:
    stack = scene.stack
    for access_to in ("10.2.0.7", "10.2.0.0/25", "10.1.0.7", "fd00:1::7"):
        allow(stack, scene.share, access_to)
    assert settled_rules(stack, scene.share) == "active"
    answer = answered(scene, scene.third)
    (location,) = [each for each in scene.locations() if each["path"].startswith("10.2.")]
    assert answer["export_locations"] == [
        {"id": location["id"], "share_id": scene.share, "path": location["path"]}
    ]
    assert {(rule["share_id"], rule["access_to"]) for rule in answer["access_rules"]} == {
        (scene.share, "10.2.0.7"),
        (scene.share, "10.2.0.0/25"),
    }
    v6 = answered(scene, scene.second)
    assert [each["path"][:6] for each in v6["export_locations"]] == ["[fd00:"]
    assert [rule["access_to"] for rule in v6["access_rules"]] == ["fd00:1::7"]


# --- failure --------------------------------------------------------------------------------------


def test_what_passes_is_tried_again(scene: Scene) -> None:
    for subnet, error in zip((scene.third, scene.second), RETRIED, strict=True):
        plan(scene.stack, failing(UPDATE, error, times=1, when="after"))
        assert scene.remove(subnet) == "active"
        assert struck(scene.stack) == 1
    assert scene.subnets == [scene.first]
    assert told(scene.stack) == []


@pytest.mark.parametrize("error", [*FAILURES, "bug"])
def test_a_failure_leaves_the_shares_served(scene: Scene, error: str) -> None:
    stack, before = scene.stack, scene.locations()
    plan(stack, failing(UPDATE, error))
    assert scene.remove(scene.third) == "active"
    broken = server(stack, scene.server)
    assert broken["status"] == "error" and broken["status_reason"]
    assert scene.locations() == before
    assert scene.standing == scene.subnets == [scene.first, scene.second, scene.third]
    assert f"could not give up the subnet {scene.third}" in told(stack)[0]
    assert rules(stack, scene.share) == {"10.0.0.0/8": "error"}
    refused(stack, Conflict, f"{scene.server} is not active", scene.network, scene.third)
    with pytest.raises(Invalid, match=f"{scene.server}.*could not give a subnet up"):
        stack.share(scene.network)


@pytest.fixture(params=["before", "after"])
def broken(scene: Scene, request: pytest.FixtureRequest) -> Scene:
    """The third subnet could not be removed; the back end has done nothing, or all."""
    plan(scene.stack, failing(UPDATE, "Refused", when=request.param))
    assert scene.remove(scene.third) == "active"
    plan(scene.stack)
    return scene


def test_a_retry_finishes_the_removal(broken: Scene) -> None:
    stack = broken.stack
    stack.do(share_server_repairs.retry_network_update, broken.server)
    assert stack.settled_network(broken.network) == "active"
    assert broken.standing == broken.subnets == [broken.first, broken.second]
    assert server(stack, broken.server)["status"] == "active"
    assert len(broken.locations()) == 2
    assert settled_rules(stack, broken.share) == "active"


def test_an_abandonment_leaves_the_server_on_all_subnets(broken: Scene) -> None:
    stack, before = broken.stack, broken.locations()
    ports = stack.rows()["local_ports"]
    stack.do(share_server_repairs.abandon_network_update, broken.server)
    assert stack.settled_network(broken.network) == "active"
    assert sorted(broken.standing) == sorted(broken.subnets)
    assert server(stack, broken.server)["status"] == "active"
    assert broken.locations() == before
    assert (addresses(stack), stack.rows()["local_ports"]) == (3, ports)
    assert settled_rules(stack, broken.share) == "active"
    with pytest.raises(Conflict):
        stack.do(share_server_repairs.abandon_network_update, broken.server)
    assert broken.remove(broken.third) == "active", "and may give it up another time"
    assert broken.subnets == [broken.first, broken.second]


@pytest.mark.parametrize("repair", ["retry", "abandon"])
def test_addresses_that_could_not_be_given_back(
    scene: Scene, repair: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The back end has let go by then: nobody sets the addresses up again, until a retry gives them
    back or an abandonment takes new ones."""
    monkeypatch.setenv(
        "ABACA_FAIL_AT", "share_server_remove_subnet/LocalNetworks.release/before/Refused"
    )
    stack = scene.stack
    assert scene.remove(scene.third) == "active"
    monkeypatch.delenv("ABACA_FAIL_AT")
    assert server(stack, scene.server)["status"] == "error"
    assert scene.standing == [scene.first, scene.second]
    assert (len(scene.locations()), addresses(stack)) == (2, 2)
    assert stack.rows()["local_ports"] == 3
    mapping = stack.ask(
        lambda conn: conn.execute(sa.select(mappings).where(mappings.c.is_leaving)).one()
    )
    assert (mapping.share_network_subnet_id, mapping.is_served) == (scene.third, False)
    if repair == "retry":
        stack.do(share_server_repairs.retry_network_update, scene.server)
        assert stack.settled_network(scene.network) == "active"
        assert scene.subnets == [scene.first, scene.second]
        assert stack.rows()["local_ports"] == 2
    else:
        stack.do(share_server_repairs.abandon_network_update, scene.server)
        assert stack.settled_network(scene.network) == "active"
        assert scene.standing == scene.subnets == [scene.first, scene.second, scene.third]
        assert stack.rows()["local_ports"] == stack.rows()[network_allocations.name] == 3
        assert len(scene.locations()) == 3
    assert server(stack, scene.server)["status"] == "active"
