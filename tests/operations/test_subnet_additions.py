"""Adding a subnet to a share network in use: who may, who is asked, what happens and what is left
when it fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from threading import Barrier
from typing import Any

import pytest
import sqlalchemy as sa

from abaca.db.session import utcnow
from abaca.db.tables import (
    services,
    share_instances,
    share_network_checks,
    share_networks,
    share_servers,
)
from abaca.domain.local_networks import local_networks, local_subnets, rbac_policies
from abaca.domain.network_changes import subnet_additions
from abaca.domain.network_changes.share_network_checks import PendingCheck
from abaca.domain.network_changes.subnet_additions import SubnetRequest
from abaca.domain.share_networks import share_network_subnets
from abaca.domain.share_networks import share_networks as networks
from abaca.domain.share_servers import share_servers as servers
from abaca.domain.shares import access_rules, share_export_locations, shares
from abaca.drivers.fake.faults import Fault
from abaca.errors import CallerError, Conflict, Forbidden, Invalid, ServiceDown
from abaca.values import Caller
from tests.operations.conftest import Install
from tests.operations.scene import (
    FAILURES,
    INTERNAL,
    WHY,
    addresses,
    all_servers,
    allow,
    available_share,
    delete_server,
    delete_share,
    enforced,
    failing,
    instance_of,
    network,
    plan,
    reason,
    rules,
    server,
    server_of,
    settled_rules,
    share,
    slate,
    struck,
    told,
    world,
)
from tests.stack import ADMIN, MEMBER, Stack, wait_for

pytestmark = pytest.mark.sampled(4)

CHECK = "check_update_share_server_network_allocations"
UPDATE = "update_share_server_network_allocations"
TWO_ZONES = {"alpha": {"availability_zone": "zone-a"}, "beta": {"availability_zone": "zone-b"}}


@pytest.fixture
def two(install: Install) -> Iterator[Stack]:
    """Back ends in two availability zones, and a running worker."""
    stack = install(TWO_ZONES)
    with stack.working():
        yield stack


def wanted(pair: tuple[str, str], zone: str | None = None) -> SubnetRequest:
    return SubnetRequest(neutron_net_id=pair[0], neutron_subnet_id=pair[1], availability_zone=zone)


def add_once(
    stack: Stack, share_network: str, request: SubnetRequest, *, multiple_allowed: bool = True
) -> dict[str, Any] | PendingCheck:
    return stack.do(
        subnet_additions.add, MEMBER, share_network, request, multiple_allowed=multiple_allowed
    )


def check(
    stack: Stack, share_network: str, request: SubnetRequest, *, reset: bool = False
) -> dict[str, Any]:
    return stack.do(subnet_additions.check, MEMBER, share_network, request, reset_operation=reset)


def answered(stack: Stack, share_network: str, request: SubnetRequest) -> dict[str, Any]:
    """The check's answer, once it is not pending any more."""

    def answer() -> dict[str, Any] | None:
        found = check(stack, share_network, request)
        return None if found["compatible"] is None else found

    return wait_for(answer) or {}


def state(stack: Stack) -> dict[str, Any]:
    """Every status that an addition touches, and everything that is counted."""
    rows = slate(stack)
    rows["rows"].pop("share_network_checks", None)
    with_status = stack.ask(
        lambda conn: [
            sorted(tuple(row) for row in conn.execute(sa.select(*columns)))
            for columns in (
                (share_networks.c.id, share_networks.c.status),
                (share_servers.c.id, share_servers.c.status),
                (
                    share_instances.c.id,
                    share_instances.c.status,
                    share_instances.c.access_rules_status,
                ),
            )
        ]
    )
    return {**rows, "statuses": with_status}


def refused(
    stack: Stack,
    error: type[CallerError],
    text: str,
    share_network: str,
    pair: tuple[str, str],
    zone: str | None = None,
) -> None:
    """The addition is refused so, and everything is as before."""
    before = state(stack)
    with pytest.raises(error, match=text):
        stack.add_subnet(share_network, pair, zone=zone)
    assert state(stack) == before


# --- success --------------------------------------------------------------------------------------


def test_servers_of_all_back_ends_grow_and_clients_notice_nothing(two: Stack) -> None:
    v4, v6 = two.network("10.1.0.0/24", "fd00:1::/64")
    later4, later6 = two.network("10.2.0.0/24", "fd00:2::/64")
    share_network = two.share_network(v4, v6)
    ids = [
        available_share(two, share_network, availability_zone=zone) for zone in ("zone-a", "zone-b")
    ]
    assert len({server_of(two, id_) for id_ in ids}) == 2
    allow(two, ids[0], "10.0.0.0/8")
    assert settled_rules(two, ids[0]) == "active"
    before = {id_: two.ask(share_export_locations.find, ADMIN, id_) for id_ in ids}
    for number, pair in enumerate((later4, later6), 3):
        view = two.add_subnet(share_network, pair)
        assert view["neutron_subnet_id"] == pair[1] and view["cidr"]
        assert two.settled_network(share_network) == "active"
        assert {row.status for row in all_servers(two)} == {"active"}
        assert addresses(two) == 2 * number
        for row in all_servers(two):
            assert len(server(two, row.id)["share_network_subnet_ids"]) == number
    for id_ in ids:
        after = two.ask(share_export_locations.find, ADMIN, id_)
        assert after[:2] == before[id_], "ids, order and preference of the old ones stay"
        assert len(after) == 4
        assert [location["preferred"] for location in after] == [True, True, False, False]
    assert (rules(two, ids[0]), enforced(two, ids[0])) == ({"10.0.0.0/8": "active"}, {"10.0.0.0/8"})
    assert told(two) == []
    assert "share_network_checks" not in two.rows()
    third = available_share(two, share_network, availability_zone="zone-a")
    assert server_of(two, third) == server_of(two, ids[0]), "the grown server takes new shares"
    assert len(two.paths(third)) == 4


def test_the_same_subnet_twice_means_two_addresses_on_it(stack: Stack) -> None:
    (pair,) = stack.network("10.1.0.0/24")
    share_network = stack.share_network(pair)
    id_ = available_share(stack, share_network)
    stack.add_subnet(share_network, pair)
    assert stack.settled_network(share_network) == "active"
    assert len(set(stack.paths(id_))) == 2


def test_without_servers_any_number_is_added_freely(stack: Stack) -> None:
    pairs = stack.network("10.1.0.0/24", "10.2.0.0/24", "fd00:1::/64")
    share_network = stack.share_network(pairs[0])
    for pair in pairs[1:]:
        assert not isinstance(add_once(stack, share_network, wanted(pair)), PendingCheck)
    assert check(stack, share_network, wanted(pairs[0])) == {
        "compatible": True,
        "hosts_check_result": {},
        "reasons": [],
        "addresses_needed": 0,
        "addresses_free": None,
    }
    with pytest.raises(Conflict, match="Only one share network subnet"):
        add_once(stack, share_network, wanted(pairs[0]), multiple_allowed=False)
    id_ = available_share(stack, share_network)
    assert len(stack.paths(id_)) == 3


# --- a subnet that goes while the answer of the drivers is kept -----------------------------------


OWNER = Caller(user_id="owner", project_id="owner", roles=("member",))


def lent(stack: Stack, *cidrs: str) -> tuple[list[tuple[str, str]], str]:
    """The subnets of a network that another project shares with the member's, and the policy."""
    pairs = stack.network(*cidrs, caller=OWNER)
    policy = stack.do(
        rbac_policies.create, OWNER, network_id=pairs[0][0], target_project=MEMBER.project_id
    )
    return pairs, policy["id"]


def test_a_network_that_is_shared_no_more_is_not_added_by_an_answer_of_before(
    stack: Stack,
) -> None:
    own = stack.network("10.1.0.0/24")[0]
    share_network = stack.share_network(own)
    available_share(stack, share_network)
    (pair,), policy_id = lent(stack, "10.2.0.0/24")
    stack.checked(share_network, pair)
    stack.do(rbac_policies.delete, OWNER, policy_id)
    refused(stack, Conflict, "There is no subnet", share_network, pair)
    stack.do(local_networks.delete, OWNER, pair[0])
    refused(stack, Conflict, "There is no subnet", share_network, pair)


def test_a_subnet_that_is_deleted_is_not_added_by_an_answer_of_before(stack: Stack) -> None:
    own = stack.network("10.1.0.0/24")[0]
    share_network = stack.share_network(own)
    available_share(stack, share_network)
    (gone, kept), policy_id = lent(stack, "10.2.0.0/24", "10.3.0.0/24")
    for pair in (gone, kept):
        stack.checked(share_network, pair)
    stack.do(local_subnets.delete, OWNER, gone[1])
    refused(stack, Conflict, f"There is no subnet {gone[1]}", share_network, gone)
    stack.add_subnet(share_network, kept)
    assert stack.settled_network(share_network) == "active"
    with pytest.raises(Conflict, match="share networks of these projects"):
        stack.do(rbac_policies.delete, OWNER, policy_id)


# --- refusals by capability and health ------------------------------------------------------------


def test_the_four_combinations_of_capabilities(install: Install) -> None:
    multiple, update = "share_server_multiple_subnet_support", "network_allocation_update_support"
    backends = {}
    for several in ("false", "true"):
        for updates in ("false", "true"):
            name = f"m{several[0]}u{updates[0]}"
            backends[name] = {multiple: several, update: updates, "availability_zone": name}
    stack = install(backends)
    with stack.working():
        first, second = stack.network("10.1.0.0/24", "10.2.0.0/24")
        for name in ("mfuf", "mfut", "mtuf", "mtut"):
            single = stack.share_network(first)
            id_ = available_share(stack, single, availability_zone=name)
            assert stack.ask(networks.get, MEMBER, single)[
                "network_allocation_update_support"
            ] is name.endswith("ut")
            if name.endswith("ut"):
                stack.add_subnet(single, second)
                assert stack.settled_network(single) == "active"
                assert len(stack.paths(id_)) == 2
            else:
                refused(
                    stack,
                    Conflict,
                    f"{server_of(stack, id_)}.*network_allocation_update_support",
                    single,
                    second,
                )
                with pytest.raises(Invalid, match="network_allocation_update_support"):
                    check(stack, single, wanted(second))
                available_share(stack, single, availability_zone=name)
            several = stack.share_network(first, second)
            id_ = stack.share(several, availability_zone=name)
            if name.startswith("mt"):
                assert stack.settled_share(id_) == "available"
            else:
                assert stack.settled_share(id_) == "error"
                assert (
                    "share_server_multiple_subnet_support" in told(stack)[0]
                    and "alid host" in told(stack)[0]
                )
                assert instance_of(stack, id_).host is None
                delete_share(stack, id_)


def test_the_capability_counts_in_other_zones_but_not_for_the_first_subnet_of_a_zone(
    install: Install,
) -> None:
    stack = install(
        {
            "alpha": {"availability_zone": "zone-a", "network_allocation_update_support": "false"},
            "beta": {"availability_zone": "zone-b"},
        }
    )
    with stack.working():
        first, second, third = stack.network("10.1.0.0/24", "10.2.0.0/24", "10.3.0.0/24")
        share_network = stack.share_network(first)
        id_ = available_share(stack, share_network, availability_zone="zone-a")
        stack.add_subnet(share_network, second, zone="zone-b")
        refused(stack, Conflict, server_of(stack, id_), share_network, third, zone="zone-b")
        available_share(stack, share_network, availability_zone="zone-a")


def test_drivers_in_other_zones_are_asked_but_their_servers_do_not_change(two: Stack) -> None:
    first, second, third = two.network("10.1.0.0/24", "10.2.0.0/24", "10.3.0.0/24")
    share_network = two.share_network(first)
    id_ = available_share(two, share_network, availability_zone="zone-a")
    two.add_subnet(share_network, second, zone="zone-b")
    plan(two, failing(CHECK, "Refused"))
    refused(two, Conflict, WHY, share_network, third, zone="zone-b")
    plan(two)
    two.do(lambda conn: conn.execute(sa.delete(share_network_checks)))
    two.add_subnet(share_network, third, zone="zone-b")
    assert network(two, share_network)["status"] == "active"
    assert len(server(two, server_of(two, id_))["share_network_subnet_ids"]) == 1
    other = available_share(two, share_network, availability_zone="zone-b")
    assert (len(two.paths(id_)), len(two.paths(other))) == (1, 2)


def test_whatever_is_not_healthy_is_named(stack: Stack) -> None:
    first, second = stack.network("10.1.0.0/24", "10.2.0.0/24")
    share_network = stack.share_network(first)
    id_ = available_share(stack, share_network)
    server_id, instance = server_of(stack, id_), instance_of(stack, id_).id

    def spoilt(table: sa.Table, key: str, **values: Any) -> Callable[[], object]:
        column = table.c.host if table is services else table.c.id
        row = dict(
            stack.ask(
                lambda conn: conn.execute(sa.select(table).where(column == key)).mappings().one()
            )
        )
        stack.do(lambda conn: conn.execute(sa.update(table).where(column == key).values(**values)))
        before = sa.update(table).where(column == key).values({name: row[name] for name in values})
        return lambda: stack.do(lambda conn: conn.execute(before))

    for table, key, values, error, name in (
        (share_networks, share_network, {"status": "error"}, Conflict, share_network),
        (share_servers, server_id, {"status": "error"}, Conflict, server_id),
        (share_servers, server_id, {"status": "creating"}, Conflict, server_id),
        (share_instances, instance, {"status": "extending"}, Conflict, id_),
        (share_instances, instance, {"status": "error"}, Conflict, id_),
        (share_instances, instance, {"access_rules_status": "error"}, Conflict, id_),
        (share_instances, instance, {"access_rules_status": "syncing"}, Conflict, id_),
    ):
        mend = spoilt(table, key, **values)
        refused(stack, error, name, share_network, second)
        with pytest.raises(Invalid, match=name):
            check(stack, share_network, wanted(second))
        mend()
    stack.add_subnet(share_network, second)
    assert stack.settled_network(share_network) == "active"


def test_a_worker_that_is_down_is_named(install: Install) -> None:
    stack = install(service_down_time=600)
    first, second = stack.network("10.1.0.0/24", "10.2.0.0/24")
    with stack.working():
        share_network = stack.share_network(first)
        available_share(stack, share_network)
    for values in ({"expires_at": utcnow() - timedelta(seconds=1)}, {"is_ready": False}):
        stack.do(lambda conn, values=values: conn.execute(sa.update(services).values(**values)))
        with pytest.raises(ServiceDown, match="host1@alpha"):
            add_once(stack, share_network, wanted(second))
        with pytest.raises(ServiceDown, match="host1@alpha"):
            check(stack, share_network, wanted(second))
        stack.do(
            lambda conn: conn.execute(
                sa.update(services).values(
                    expires_at=utcnow() + timedelta(seconds=600), is_ready=True
                )
            )
        )
    assert network(stack, share_network)["status"] == "active"
    assert len(network(stack, share_network)["share_network_subnets"]) == 1


# --- the check ------------------------------------------------------------------------------------


def test_one_denial_refuses_the_whole_with_its_reason_and_nothing_is_in_error(two: Stack) -> None:
    pairs = two.network(*(f"10.{number}.0.0/24" for number in range(1, 9)))
    share_network = two.share_network(pairs[0])
    for zone in ("zone-a", "zone-b"):
        available_share(two, share_network, availability_zone=zone)
    for pair, error in zip(pairs[1:], ("deny", *FAILURES, "bug"), strict=False):
        plan(two, failing(CHECK, error), backend="beta")
        text = {"deny": "refused without giving a reason", "bug": INTERNAL}.get(error, WHY)
        messages = len(told(two))
        refused(two, Conflict, text, share_network, pair)
        assert len(told(two)) == messages + 1 and text in told(two)[0]
        told_by_check = answered(two, share_network, wanted(pair))
        assert told_by_check["compatible"] is False
        assert told_by_check["hosts_check_result"]["host1@beta"] is False
    plan(two, backend="beta")
    assert check(two, share_network, wanted(pairs[1]), reset=True)["compatible"] is None
    assert answered(two, share_network, wanted(pairs[1])) == {
        "compatible": True,
        "hosts_check_result": {"host1@alpha": True, "host1@beta": True},
        "reasons": [],
        "addresses_needed": 2,
        "addresses_free": 88,
    }
    two.add_subnet(share_network, pairs[1])
    assert two.settled_network(share_network) == "active"


def test_too_few_free_addresses_are_told_with_numbers_before_anything_is_touched(
    two: Stack,
) -> None:
    first, small, exact = two.network("10.1.0.0/24", "10.2.0.0/30", "10.3.0.0/29")
    share_network = two.share_network(first)
    for zone in ("zone-a", "zone-b"):
        available_share(two, share_network, availability_zone=zone)
    plan(two, Fault(method=UPDATE, error="bug"))
    refused(two, Conflict, r"10\.2\.0\.0/30.* 1 free addresses.* need 2", share_network, small)
    assert "need 2" in told(two)[0]
    assert struck(two) == 0
    plan(two)
    two.add_subnet(share_network, exact)
    assert two.settled_network(share_network) == "active"


def test_ids_that_stand_for_nothing_are_refused_by_the_check(stack: Stack) -> None:
    share_network = stack.share_network(*stack.network("10.1.0.0/24"))
    available_share(stack, share_network)
    refused(stack, Conflict, "no such subnet", share_network, ("no such network", "no such subnet"))
    assert "no such subnet" in told(stack)[0]


def test_a_check_is_for_exactly_what_was_asked(two: Stack) -> None:
    first, second, third = two.network("10.1.0.0/24", "10.2.0.0/24", "10.3.0.0/24")
    share_network = two.share_network(first)
    available_share(two, share_network, availability_zone="zone-a")
    assert check(two, share_network, wanted(second))["compatible"] is None
    assert answered(two, share_network, wanted(second))["compatible"] is True
    assert check(two, share_network, wanted(third))["compatible"] is None, "another subnet"
    assert check(two, share_network, wanted(second))["compatible"] is True
    id_ = available_share(two, share_network, availability_zone="zone-b")
    assert isinstance(add_once(two, share_network, wanted(second)), PendingCheck), (
        "another set of servers"
    )
    assert answered(two, share_network, wanted(second))["hosts_check_result"] == {
        "host1@alpha": True,
        "host1@beta": True,
    }
    two.do(
        lambda conn: conn.execute(
            sa.update(share_network_checks).values(expires_at=utcnow() - timedelta(seconds=1))
        )
    )
    assert isinstance(add_once(two, share_network, wanted(second)), PendingCheck), "expired"
    assert answered(two, share_network, wanted(second))["compatible"] is True
    server_id = server_of(two, id_)
    delete_share(two, id_)
    delete_server(two, server_id)
    assert isinstance(add_once(two, share_network, wanted(second)), PendingCheck), "a server less"
    two.add_subnet(share_network, second)
    assert two.settled_network(share_network) == "active"


def test_health_is_judged_again_after_the_check(stack: Stack) -> None:
    first, second = stack.network("10.1.0.0/24", "10.2.0.0/24")
    share_network = stack.share_network(first)
    id_ = available_share(stack, share_network)
    stack.checked(share_network, second)
    plan(stack, Fault(method="extend_share", error="hang"))
    stack.do(shares.extend, MEMBER, id_, 2)
    with pytest.raises(Conflict, match=id_):
        add_once(stack, share_network, wanted(second))
    plan(stack)
    assert stack.settled_share(id_) == "available"
    assert not isinstance(add_once(stack, share_network, wanted(second)), PendingCheck)
    assert stack.settled_network(share_network) == "active"


def test_a_check_that_hangs_stays_pending_and_changes_nothing(stack: Stack) -> None:
    first, second = stack.network("10.1.0.0/24", "10.2.0.0/24")
    share_network = stack.share_network(first)
    id_ = available_share(stack, share_network)
    plan(stack, Fault(method=CHECK, error="hang"))
    before = state(stack)
    pending = add_once(stack, share_network, wanted(second))
    assert isinstance(pending, PendingCheck)
    assert add_once(stack, share_network, wanted(second)) == pending
    wait_for(lambda: struck(stack))
    assert state(stack) == before
    allow(stack, id_, "10.0.0.0/8")
    assert settled_rules(stack, id_) == "active"
    plan(stack)
    stack.add_subnet(share_network, second)
    assert stack.settled_network(share_network) == "active"


# --- at once --------------------------------------------------------------------------------------


def test_of_two_at_once_exactly_one_wins(stack: Stack) -> None:
    first, second, third = stack.network("10.1.0.0/24", "10.2.0.0/24", "10.3.0.0/24")
    share_network = stack.share_network(first)
    available_share(stack, share_network)
    plan(stack, Fault(method=UPDATE, error="hang"))
    for pair in (second, third):
        stack.checked(share_network, pair)
    start = Barrier(2)

    def race(pair: tuple[str, str]) -> str:
        start.wait()
        try:
            stack.add_subnet(share_network, pair)
        except Conflict as error:
            return error.message
        return "won"

    with ThreadPoolExecutor(2) as threads:
        outcomes = sorted(threads.map(race, (second, third)))
    assert outcomes[1] == "won" and "network_change" in outcomes[0]
    plan(stack)
    assert stack.settled_network(share_network) == "active"
    assert len(network(stack, share_network)["share_network_subnets"]) == 2


def test_of_ten_at_once_exactly_one_wins(stack: Stack) -> None:
    first, *pairs = stack.network(*(f"10.{number}.0.0/24" for number in range(1, 12)))
    share_network = stack.share_network(first)
    available_share(stack, share_network)
    plan(stack, Fault(method=UPDATE, error="hang"))
    for pair in pairs:
        stack.checked(share_network, pair)
    start = Barrier(len(pairs))

    def race(pair: tuple[str, str]) -> bool:
        start.wait()
        try:
            return not isinstance(add_once(stack, share_network, wanted(pair)), PendingCheck)
        except Conflict:
            return False

    with ThreadPoolExecutor(len(pairs)) as threads:
        assert sum(threads.map(race, pairs)) == 1
    assert addresses(stack) <= 2
    plan(stack)
    assert stack.settled_network(share_network) == "active"
    assert len(network(stack, share_network)["share_network_subnets"]) == 2


def test_an_addition_and_a_rule_at_once_exclude_each_other(stack: Stack) -> None:
    first, *pairs = stack.network(*(f"10.{number}.0.0/24" for number in range(1, 8)))
    share_network = stack.share_network(first)
    id_ = available_share(stack, share_network)

    def together(start: Barrier, ask: Callable[[], Any]) -> bool:
        start.wait()
        try:
            ask()
        except (Conflict, Invalid):
            return False
        return True

    for number, pair in enumerate(pairs):
        stack.checked(share_network, pair)
        plan(stack, Fault(method=UPDATE, error="hang"), Fault(method="update_access", error="hang"))
        start = Barrier(2)
        with ThreadPoolExecutor(2) as threads:
            adding = threads.submit(
                together, start, partial(add_once, stack, share_network, wanted(pair))
            )
            allowing = threads.submit(
                together, start, partial(allow, stack, id_, f"10.200.{number}.0/24")
            )
            assert adding.result() + allowing.result() == 1
        plan(stack)
        assert stack.settled_network(share_network) == "active"
        assert settled_rules(stack, id_) == "active"


def test_a_share_asked_for_at_the_same_time_is_on_all_subnets_or_refused(stack: Stack) -> None:
    pairs = stack.network(*(f"10.{number}.0.0/24" for number in range(1, 5)))
    share_network = stack.share_network(pairs[0])
    available_share(stack, share_network)
    for pair in pairs[1:]:
        stack.checked(share_network, pair)
        start = Barrier(2)

        def grow(pair: tuple[str, str] = pair, start: Barrier = start) -> None:
            start.wait()
            try:
                stack.add_subnet(share_network, pair)
            except Conflict as error:
                assert "available" in error.message, error.message

        def ask(start: Barrier = start) -> str | None:
            start.wait()
            try:
                return stack.share(share_network)
            except Invalid as error:
                assert "network_change" in error.message, error.message
                return None

        with ThreadPoolExecutor(2) as threads:
            growing, asking = threads.submit(grow), threads.submit(ask)
            growing.result()
            id_ = asking.result()
        assert stack.settled_network(share_network) == "active"
        if id_ is not None:
            assert stack.settled_share(id_) == "available"
            assert len(stack.paths(id_)) == len(
                network(stack, share_network)["share_network_subnets"]
            )
    assert len(all_servers(stack)) == 1


# --- failure of the update ------------------------------------------------------------------------


def test_each_failure_of_the_update_leaves_the_shares_served_on_the_old_subnets(two: Stack) -> None:
    later = two.network(*(f"10.9.{number}.0/24" for number in range(6)))
    for pair, (error, when) in zip(
        later,
        [(error, "before") for error in (*FAILURES, "bug")] + [("OutcomeUnknown", "after")],
        strict=True,
    ):
        share_network = two.share_network(*two.network("10.1.0.0/24"))
        before = slate(two)
        broken, fine = (
            available_share(two, share_network, availability_zone=zone)
            for zone in ("zone-a", "zone-b")
        )
        for id_ in (broken, fine):
            allow(two, id_, "10.0.0.0/8")
            assert settled_rules(two, id_) == "active"
        old = two.ask(share_export_locations.find, ADMIN, broken)
        plan(two, failing(UPDATE, error, when=when))
        two.add_subnet(share_network, pair)
        assert two.settled_network(share_network) == "active"
        plan(two)
        assert len(network(two, share_network)["share_network_subnets"]) == 2
        assert (
            server(two, server_of(two, broken))["status"],
            server(two, server_of(two, fine))["status"],
        ) == ("error", "active")
        assert (rules(two, broken), share(two, broken)["access_rules_status"]) == (
            {"10.0.0.0/8": "error"},
            "error",
        )
        assert (rules(two, fine), share(two, fine)["access_rules_status"]) == (
            {"10.0.0.0/8": "active"},
            "active",
        )
        assert share(two, broken)["status"] == "available"
        assert two.ask(share_export_locations.find, ADMIN, broken) == old
        assert len(two.paths(fine)) == 2
        assert enforced(two, broken) == {"10.0.0.0/8"}, "it is still served"
        assert reason(error) in told(two)[0]
        assert addresses(two) == 4, "the addresses of the failed server are kept"
        for zone in ("zone-a", "zone-b", None):
            with pytest.raises(Invalid, match=server_of(two, broken)):
                two.share(share_network, availability_zone=zone)
        refused(two, Conflict, server_of(two, broken), share_network, pair)
        servers_there = [server_of(two, id_) for id_ in (broken, fine)]
        for id_ in (broken, fine):
            delete_share(two, id_)
        for server_id in servers_there:
            delete_server(two, server_id)
        after = slate(two)
        assert (
            after["rows"].pop("share_network_subnets")
            == before["rows"].pop("share_network_subnets") + 1
        )
        assert after == before, error
        available_share(two, share_network, availability_zone="zone-a")
        for row in all_servers(two):
            _empty(two, row.id)


def _empty(stack: Stack, server_id: str) -> None:
    on_server = sa.select(share_instances.c.share_id).where(
        share_instances.c.share_server_id == server_id
    )
    for id_ in stack.ask(lambda conn: conn.scalars(on_server).all()):
        delete_share(stack, id_)
    delete_server(stack, server_id)


def test_addresses_lost_to_others_after_the_check_leave_the_server_as_it_was(stack: Stack) -> None:
    first, small = stack.network("10.1.0.0/24", "10.2.0.0/30")
    share_network = stack.share_network(first)
    id_ = available_share(stack, share_network)
    stack.checked(share_network, small)
    other = available_share(stack, stack.share_network(small))
    stack.add_subnet(share_network, small)
    assert stack.settled_network(share_network) == "active"
    assert server(stack, server_of(stack, id_))["status"] == "active"
    assert "0 free addresses" in told(stack)[0]
    assert len(stack.paths(id_)) == 1
    assert addresses(stack) == 2
    _empty(stack, server_of(stack, id_))
    _empty(stack, server_of(stack, other))
    assert addresses(stack) == 0


def test_rules_of_a_failed_server_can_be_mended_on_the_old_subnets(stack: Stack) -> None:
    first, second = stack.network("10.1.0.0/24", "10.2.0.0/24")
    share_network = stack.share_network(first)
    id_ = available_share(stack, share_network)
    allow(stack, id_, "10.0.0.0/8")
    assert settled_rules(stack, id_) == "active"
    plan(stack, failing(UPDATE, "Refused"))
    stack.add_subnet(share_network, second)
    assert stack.settled_network(share_network) == "active"
    assert settled_rules(stack, id_) == "error"
    allow(stack, id_, "10.1.0.0/16")
    assert settled_rules(stack, id_) == "active"
    assert enforced(stack, id_) == {"10.0.0.0/8", "10.1.0.0/16"}


# --- while it goes on -----------------------------------------------------------------------------


def test_the_first_subnet_of_a_zone_waits_for_a_change_too(two: Stack) -> None:
    first, second, third = two.network("10.1.0.0/24", "10.2.0.0/24", "10.3.0.0/24")
    share_network = two.share_network(first)
    available_share(two, share_network, availability_zone="zone-a")
    plan(two, Fault(method=UPDATE, error="hang"))
    two.add_subnet(share_network, second)
    wait_for(lambda: struck(two))  # nothing else goes on
    refused(two, Conflict, "network_change", share_network, third, zone="zone-b")
    plan(two)
    assert two.settled_network(share_network) == "active"
    assert two.add_subnet(share_network, third, zone="zone-b")["availability_zone"] == "zone-b"


def test_what_is_refused_and_what_waits_while_a_network_changes(stack: Stack) -> None:
    first, second, third = stack.network("10.1.0.0/24", "10.2.0.0/24", "10.3.0.0/24")
    share_network = stack.share_network(first)
    doomed, growing, shrinking, kept = (
        available_share(stack, share_network, size=2) for _ in range(4)
    )
    rule = allow(stack, kept, "10.0.0.0/8")
    assert settled_rules(stack, kept) == "active"
    server_id = server_of(stack, kept)
    plan(stack, Fault(method=UPDATE, error="hang"))
    stack.add_subnet(share_network, second)
    wait_for(lambda: struck(stack))
    assert (network(stack, share_network)["status"], server(stack, server_id)["status"]) == (
        "network_change",
        "network_change",
    )
    subnet = network(stack, share_network)["share_network_subnets"][0]["id"]
    before = state(stack)
    for error, function, *args in (
        (Conflict, subnet_additions.add, MEMBER, share_network, wanted(third)),
        (Conflict, share_network_subnets.delete, MEMBER, share_network, subnet),
        (Conflict, networks.update, MEMBER, share_network, {"name": "other"}),
        (Conflict, networks.delete, MEMBER, share_network),
        (Forbidden, servers.delete, server_id),
        (Invalid, access_rules.deny, MEMBER, kept, rule),
    ):
        more = {"multiple_allowed": True} if function is subnet_additions.add else {}
        with pytest.raises(error, match="network_change"):
            stack.do(function, *args, **more)
    with pytest.raises(Invalid, match="network_change"):
        stack.share(share_network)
    with pytest.raises(Invalid, match="network_change"):
        allow(stack, kept, "10.5.0.0/16")
    assert state(stack) == before
    instances = {instance_of(stack, id_).id for id_ in (doomed, growing, shrinking, kept)}
    stack.do(shares.delete, MEMBER, doomed)
    stack.do(shares.extend, MEMBER, growing, 4)
    stack.do(shares.shrink, MEMBER, shrinking, 1)
    # the worker goes on with what is elsewhere
    other = available_share(stack, stack.share_network(*stack.network("10.9.0.0/24")))
    assert set(world(stack)["shares"]) == {*instances, instance_of(stack, other).id}
    assert [share(stack, id_)["status"] for id_ in (doomed, growing, shrinking)] == [
        "deleting",
        "extending",
        "shrinking",
    ]
    plan(stack)
    assert stack.settled_network(share_network) == "active"
    assert [stack.settled_share(id_) for id_ in (doomed, growing, shrinking)] == [
        "gone",
        "available",
        "available",
    ]
    assert [share(stack, id_)["size"] for id_ in (growing, shrinking)] == [4, 1]
    assert {len(stack.paths(id_)) for id_ in (growing, shrinking, kept)} == {2}
    assert told(stack) == []


def test_rules_that_are_applied_while_a_failed_addition_waits_move_no_export(stack: Stack) -> None:
    """Although the back end has the new subnet already."""
    first, second = stack.network("10.1.0.0/24", "10.2.0.0/24")
    network = stack.share_network(first)
    share = available_share(stack, network)
    allow(stack, share, "10.0.0.0/8")
    assert settled_rules(stack, share) == "active"
    paths = stack.paths(share)
    plan(stack, failing("update_share_server_network_allocations", "Refused", when="after"))
    stack.add_subnet(network, second)
    assert stack.settled_network(network) == "active"
    assert len(world(stack)["servers"][server_of(stack, share)]["network_info"]) == 2
    plan(stack)
    (rule,) = stack.ask(access_rules.find, MEMBER, share)
    stack.do(access_rules.deny, MEMBER, share, rule["id"])
    assert settled_rules(stack, share) == "active"
    assert stack.paths(share) == paths
