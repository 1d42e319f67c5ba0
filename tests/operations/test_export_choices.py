"""Shares that are exported on chosen subnets of their server: how a choice is enforced, how it
changes while the share is in use, what it outlives."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from abaca.db.tables import share_network_subnets, share_snapshot_export_locations
from abaca.domain.shares import access_rules, export_choices, export_locations, share_metadata
from abaca.domain.snapshots import snapshots
from abaca.drivers.fake.faults import Fault
from abaca.errors import Conflict, Invalid
from tests.operations.conftest import Install
from tests.operations.scene import (
    RETRIED,
    allow,
    another_instance,
    available_share,
    enforced,
    failing,
    instance_of,
    plan,
    rules,
    server_of,
    settled_rules,
    share,
    struck,
    told,
    world,
)
from tests.stack import MEMBER, Stack

pytestmark = pytest.mark.sampled_file(4)

FIRST, SECOND, THIRD = "10.1.0.0/24", "10.2.0.0/24", "fd00:3::/64"


@pytest.fixture
def network(stack: Stack) -> str:
    """A share network with three subnets."""
    return share_network(stack, FIRST, SECOND, THIRD)


def share_network(stack: Stack, *cidrs: str) -> str:
    """A share network, once what its subnets are has been looked up."""
    made = stack.share_network(*stack.network(*cidrs))
    table = share_network_subnets
    unresolved = sa.select(table.c.id).where(table.c.cidr.is_(None))
    stack.wait(lambda conn: not conn.scalars(unresolved).all())
    return made


def choose(stack: Stack, share_id: str, names: str | None) -> None:
    """Set the metadata, or take it away."""
    pairs = {} if names is None else {export_choices.KEY: names}
    stack.do(share_metadata.change, MEMBER, share_id, lambda _old: pairs)


def chosen(names: str) -> dict[str, Any]:
    return {"metadata": {export_choices.KEY: names}}


def subnets(stack: Stack, share_id: str) -> dict[str, str]:
    """Ids of the subnets of a share's server by their CIDRs."""
    found = stack.ask(export_choices.subnets_of, [server_of(stack, share_id)])
    return {row.cidr: row.id for row in found}


def exported_on(stack: Stack, share_id: str) -> list[str]:
    """The beginnings of the addresses under which it is exported, as stored and as in the world."""
    paths = stack.paths(share_id)
    assert world(stack)["shares"][instance_of(stack, share_id).id]["export_locations"] == paths
    return [path.removeprefix("[")[: len("10.1.")] for path in paths]


def test_a_share_is_exported_where_its_metadata_says(stack: Stack, network: str) -> None:
    everywhere = available_share(stack, network)
    assert exported_on(stack, everywhere) == ["10.1.", "10.2.", "fd00:"]
    ids = subnets(stack, everywhere)
    for names, expected in {
        SECOND: ["10.2."],
        f" {ids[FIRST]} , {THIRD} ": ["10.1.", "fd00:"],
        "ipv4": ["10.1.", "10.2."],
        "ipv6": ["fd00:"],
    }.items():
        id_ = available_share(stack, network, **chosen(names))
        assert exported_on(stack, id_) == expected, names


def test_a_family_that_turns_out_to_be_missing_fails_the_share(install: Install) -> None:
    """Before a subnet was looked up nobody knows of which family it is."""
    stack = install()
    with stack.working():
        available_share(stack, stack.share_network(*stack.network(FIRST)))
    network = stack.share_network(*stack.network(SECOND))
    lucky, other = (stack.share(network, **chosen(family)) for family in ("ipv4", "ipv6"))
    with pytest.raises(Invalid, match="have yet to be looked up"):
        stack.share(network, **chosen(SECOND))
    with stack.working():
        assert (stack.settled_share(lucky), stack.settled_share(other)) == ("available", "error")
        assert "none of the subnets that were chosen" in told(stack)[0]


def test_rules_hold_in_the_ranges_of_the_chosen_subnets(stack: Stack, network: str) -> None:
    id_ = available_share(stack, network, **chosen(SECOND))
    allow(stack, id_, "10.0.0.0/8")
    allow(stack, id_, "192.0.2.0/24", "ro")
    assert settled_rules(stack, id_) == "active"
    assert enforced(stack, id_) == {SECOND, "192.0.2.0/24"}
    allow(stack, id_, FIRST)
    assert settled_rules(stack, id_) == "error"
    assert rules(stack, id_)[FIRST] == "error"
    assert "10.1.0.0/24" in told(stack)[0] and "not exported" in told(stack)[0]
    assert enforced(stack, id_) == {SECOND, "192.0.2.0/24"}


def test_a_choice_changes_live_and_rules_and_exports_follow(stack: Stack, network: str) -> None:
    id_ = available_share(stack, network)
    allow(stack, id_, "0.0.0.0/0")
    assert settled_rules(stack, id_) == "active"
    assert enforced(stack, id_) == {"0.0.0.0/0"}
    stays = stack.paths(id_)[1]
    choose(stack, id_, SECOND)
    assert settled_rules(stack, id_) == "active"
    assert (exported_on(stack, id_), enforced(stack, id_)) == (["10.2."], {SECOND})
    assert stack.paths(id_) == [stays]
    choose(stack, id_, "ipv4")
    assert settled_rules(stack, id_) == "active"
    assert stack.paths(id_)[0] == stays, "what stays stays first"
    assert sorted(exported_on_sorted(stack, id_)) == ["10.1.", "10.2."]
    assert enforced(stack, id_) == {FIRST, SECOND}
    choose(stack, id_, None)
    assert settled_rules(stack, id_) == "active"
    assert len(stack.paths(id_)) == 3
    assert enforced(stack, id_) == {"0.0.0.0/0"}
    assert told(stack) == []


def exported_on_sorted(stack: Stack, share_id: str) -> list[str]:
    return sorted(path[: len("10.1.")] for path in stack.paths(share_id))


def test_one_location_of_each_family_is_preferred_whatever_goes(stack: Stack, network: str) -> None:
    id_ = available_share(stack, network)
    choose(stack, id_, f"{SECOND},{THIRD}")
    settled_rules(stack, id_)
    assert preferred(stack, id_) == [True, True]


def preferred(stack: Stack, share_id: str) -> list[bool]:
    instance = instance_of(stack, share_id).id
    return [row.preferred for row in stack.ask(export_locations.by_instance, [instance])[instance]]


def test_what_cannot_be_chosen_changes_nothing(stack: Stack, network: str) -> None:
    id_ = available_share(stack, network, **chosen(SECOND))
    for names in ("10.3.0.0/24", "ipv4,ipv6", "", " , ", "nonsense", f"{SECOND},10.3.0.0/24"):
        with pytest.raises(Invalid, match="Invalid export_subnets: "):
            choose(stack, id_, names)
    assert share(stack, id_)["metadata"] == {export_choices.KEY: SECOND}
    assert (settled_rules(stack, id_), exported_on(stack, id_)) == ("active", ["10.2."])


def test_an_added_subnet_does_not_widen_a_choice_but_joins_its_family(stack: Stack) -> None:
    pairs = stack.network(FIRST, SECOND)
    network = stack.share_network(pairs[0])
    available_share(stack, network)  # so that its subnet has been looked up
    named = available_share(stack, network, **chosen(FIRST))
    family = available_share(stack, network, **chosen("ipv4"))
    routed = allow(stack, named, SECOND)  # of clients behind a router, so far
    allow(stack, family, "0.0.0.0/0")
    assert (settled_rules(stack, named), settled_rules(stack, family)) == ("active", "active")
    assert enforced(stack, named) == {SECOND}
    stack.add_subnet(network, pairs[1])
    assert stack.settled_network(network) == "active"
    assert (settled_rules(stack, named), settled_rules(stack, family)) == ("error", "active")
    assert (exported_on(stack, named), enforced(stack, named)) == (["10.1."], set())
    assert exported_on(stack, family) == ["10.1.", "10.2."]
    assert enforced(stack, family) == {FIRST, SECOND}
    assert "not exported" in told(stack)[0]
    stack.do(access_rules.deny, MEMBER, named, routed)
    assert settled_rules(stack, named) == "active"


def test_the_last_chosen_subnet_is_not_left(stack: Stack, network: str) -> None:
    by_family, by_name, everywhere = (
        available_share(stack, network, **more) for more in (chosen("ipv6"), chosen(SECOND), {})
    )
    server, ids = server_of(stack, everywhere), subnets(stack, everywhere)
    stack.ask(export_choices.require_exported_without, [server], ids[FIRST])
    for subnet, stranded in ((SECOND, by_name), (THIRD, by_family)):
        with pytest.raises(Conflict, match=stranded) as refusal:
            stack.ask(export_choices.require_exported_without, [server], ids[subnet])
        assert everywhere not in refusal.value.message
    choose(stack, by_name, f"{FIRST},{SECOND}")
    stack.ask(export_choices.require_exported_without, [server], ids[SECOND])


def test_a_removal_stops_at_the_last_chosen_subnet(stack: Stack, network: str) -> None:
    """And another one takes exports and rules of the choice along."""
    id_ = available_share(stack, network, **chosen(f"{FIRST},{SECOND}"))
    allow(stack, id_, "0.0.0.0/0")
    assert settled_rules(stack, id_) == "active"
    ids = subnets(stack, id_)
    stack.remove_subnet(network, ids[FIRST])
    assert stack.settled_network(network) == "active"
    assert settled_rules(stack, id_) == "active"
    assert (exported_on(stack, id_), enforced(stack, id_)) == (["10.2."], {SECOND})
    with pytest.raises(Conflict, match=id_):
        stack.remove_subnet(network, ids[SECOND])
    choose(stack, id_, f"{SECOND},{THIRD}")
    assert settled_rules(stack, id_) == "active"
    stack.remove_subnet(network, ids[SECOND])
    assert stack.settled_network(network) == "active"
    assert (settled_rules(stack, id_), exported_on(stack, id_)) == ("error", ["fd00:"])
    assert "on no IPv4 subnet" in told(stack)[0]


def test_a_rule_of_which_a_choice_left_nothing_is_in_the_way_of_a_removal(
    stack: Stack, network: str
) -> None:
    """And who is refused is told what to do."""
    id_ = available_share(stack, network, **chosen(SECOND))
    rule = allow(stack, id_, FIRST)
    assert settled_rules(stack, id_) == "error"
    first = subnets(stack, id_)[FIRST]
    with pytest.raises(Conflict, match=f"{id_} .* Delete those that are in error first"):
        stack.remove_subnet(network, first)
    stack.do(access_rules.deny, MEMBER, id_, rule)
    assert settled_rules(stack, id_) == "active"
    stack.remove_subnet(network, first)
    assert stack.settled_network(network) == "active"


def test_mountable_snapshots_follow_their_share(stack: Stack) -> None:
    stack.share_type("mountable", snapshot_support="true", mount_snapshot_support="true")
    network = share_network(stack, FIRST, SECOND, THIRD)
    id_ = available_share(stack, network, share_type="mountable", **chosen(FIRST))
    snapshot = snapshot_of(stack, id_)
    assert [path[:5] for path in snapshot["export_locations"]] == ["10.1."]
    allow(stack, id_, "0.0.0.0/0")
    settled_rules(stack, id_)
    choose(stack, id_, SECOND)
    settled_rules(stack, id_)
    snapshot = world(stack)["snapshots"][snapshot["id"]]
    assert [path[:5] for path in snapshot["export_locations"]] == ["10.2."]
    assert [rule["access_to"] for rule in snapshot["access_rules"]] == [SECOND]
    assert stored_snapshot_paths(stack) == snapshot["export_locations"]


def snapshot_of(stack: Stack, share_id: str) -> dict[str, Any]:
    """A snapshot, once it is there, as the world holds it."""
    made = stack.do(snapshots.create, MEMBER, share_id, name=None, description=None)["id"]
    stack.wait(lambda conn: snapshots.get(conn, MEMBER, made)["status"] == "available")
    (found,) = world(stack)["snapshots"].values()
    return dict(found)


def stored_snapshot_paths(stack: Stack) -> list[str]:
    table = share_snapshot_export_locations
    return stack.ask(
        lambda conn: list(conn.scalars(sa.select(table.c.path).order_by(table.c.position)))
    )


def test_a_family_comes_from_the_type_and_metadata_choose_within_it(
    stack: Stack, network: str
) -> None:
    stack.share_type("v6", **{"abaca:export_subnets": "ipv6"})
    id_ = available_share(stack, network, share_type="v6")
    assert exported_on(stack, id_) == ["fd00:"]
    for names in ("ipv4", FIRST, f"{FIRST},{THIRD}"):
        with pytest.raises(Invalid, match="ipv6"):
            choose(stack, id_, names)
        with pytest.raises(Invalid, match="ipv6"):
            stack.share(network, share_type="v6", **chosen(names))
    choose(stack, id_, THIRD)
    settled_rules(stack, id_)
    choose(stack, id_, None)
    settled_rules(stack, id_)
    assert exported_on(stack, id_) == ["fd00:"]


@pytest.mark.parametrize("with_rule", [True, False])
def test_a_failed_change_is_told_and_the_next_rule_mends_it(
    stack: Stack, network: str, with_rule: bool
) -> None:
    id_ = available_share(stack, network)
    if with_rule:
        allow(stack, id_, "10.0.0.0/8")
        settled_rules(stack, id_)
    for method in ("update_access", "export_locations"):
        plan(stack, failing(method, "Refused"))
        choose(stack, id_, SECOND if method == "update_access" else FIRST)
        assert settled_rules(stack, id_) == "error"
        assert set(rules(stack, id_).values()) == ({"error"} if with_rule else set())
    assert len(told(stack)) == 2
    plan(stack)
    allow(stack, id_, "192.0.2.1")
    assert settled_rules(stack, id_) == "active"
    assert exported_on(stack, id_) == ["10.1."]


def test_what_passes_is_tried_again(stack: Stack, network: str) -> None:
    id_ = available_share(stack, network)
    for error, names in zip(RETRIED, (FIRST, SECOND), strict=True):
        plan(stack, Fault(method="export_locations", error=error, times=1, when="after"))  # type: ignore[arg-type]
        choose(stack, id_, names)
        assert settled_rules(stack, id_) == "active"
        assert struck(stack) == 1
        assert exported_on(stack, id_) == [names[: len("10.1.")]]
    assert told(stack) == []


def test_a_back_end_that_cannot_is_not_asked(install: Install) -> None:
    """Shares with a choice are not placed there, and those that are there get none."""
    stack = install({"alpha": {"export_subnets_support": "false"}})
    with stack.working():
        network = share_network(stack, FIRST, SECOND)
        id_ = available_share(stack, network)
        refused = stack.share(network, **chosen(FIRST))
        assert stack.settled_share(refused) == "error"
        assert "export_subnets_support" in told(stack)[0]
        with pytest.raises(Conflict, match="export_subnets_support"):
            choose(stack, id_, FIRST)


def test_each_instance_of_a_share_follows(stack: Stack, network: str) -> None:
    id_ = available_share(stack, network)
    other = another_instance(stack, id_)
    choose(stack, id_, SECOND)
    assert settled_rules(stack, id_) == "active"
    for instance in (instance_of(stack, id_).id, other):
        paths = world(stack)["shares"][instance]["export_locations"]
        assert [path[:5] for path in paths] == ["10.2."]


def test_a_share_that_is_being_changed_keeps_its_choice(stack: Stack, network: str) -> None:
    plan(stack, Fault(method="create_share", error="hang"))
    id_ = stack.share(network)
    with pytest.raises(Invalid, match="must be available"):
        choose(stack, id_, FIRST)
    stack.do(share_metadata.change, MEMBER, id_, lambda _old: {"colour": "red"})
    plan(stack)
    assert stack.settled_share(id_) == "available"
