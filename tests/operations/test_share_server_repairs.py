"""The two ways out of a failed addition of a subnet, and setting capabilities by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import begin, lock_row
from abaca.db.tables import network_allocations, share_instances
from abaca.db.tables import share_networks as share_network_table
from abaca.db.tables import share_server_share_network_subnet_mappings as mappings
from abaca.db.tables import share_servers as share_server_table
from abaca.domain.network_changes import share_server_networks, share_server_repairs
from abaca.domain.rows import states
from abaca.domain.share_networks import share_network_subnets, share_networks
from abaca.domain.share_servers import share_servers
from abaca.domain.shares import access_rules
from abaca.drivers.fake.faults import Fault
from abaca.errors import Conflict, Invalid, Missing
from abaca.values import Page
from abaca.workflow import inspection, queue
from tests.operations.conftest import Install
from tests.operations.scene import (
    all_servers,
    allow,
    available_share,
    delete_share,
    instance_of,
    plan,
    rules,
    server_of,
    settled_rules,
)
from tests.operations.test_share_transfers import is_waited_for
from tests.stack import ADMIN, MEMBER, Stack, wait_for

UPDATE = "update_share_server_network_allocations"


class Broken:
    """A share network with one share whose server could not be given the subnet 10.2.0.0/24."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.share_network = stack.share_network(*stack.network("10.1.0.0/24"))
        self.share = stack.share(self.share_network)
        assert stack.settled_share(self.share) == "available"
        stack.do(
            access_rules.allow,
            MEMBER,
            self.share,
            access_type="ip",
            access_to="10.0.0.0/8",
            access_level="rw",
        )
        stack.wait(lambda conn: access_rules.find(conn, MEMBER, self.share)[0]["state"] == "active")
        self.old_paths = stack.paths(self.share)
        self.ports = stack.rows()["local_ports"]
        plan(stack, Fault(method=UPDATE, error="Refused", message="no such wire"))
        stack.add_subnet(self.share_network, stack.network("10.2.0.0/24")[0])
        assert stack.settled_network(self.share_network) == "active"
        plan(stack)

    @property
    def server(self) -> dict[str, Any]:
        return self.stack.ask(share_servers.find, {}, Page())[0]

    @property
    def rule_state(self) -> str:
        return str(self.stack.ask(access_rules.find, MEMBER, self.share)[0]["state"])


@pytest.fixture
def stack(install: Install) -> Iterator[Stack]:
    """One back end without security_service_update_support, and a running worker."""
    stack = install({"alpha": {"security_service_update_support": "false"}})
    with stack.working():
        yield stack


@pytest.fixture
def broken(stack: Stack) -> Broken:
    broken = Broken(stack)
    assert (broken.server["status"], broken.server["status_reason"], broken.rule_state) == (
        "error",
        "no such wire",
        "error",
    )
    return broken


@pytest.mark.parametrize(
    "way_out",
    [share_server_repairs.retry_network_update, share_server_repairs.abandon_network_update],
)
def test_a_server_that_goes_while_its_network_is_waited_for_is_missing(
    stack: Stack, way_out: Callable[[Connection, str], None]
) -> None:
    stack.settled_share(stack.share(stack.share_network(*stack.network("10.1.0.0/24"))))
    server = stack.ask(share_servers.find, {}, Page())[0]
    with ThreadPoolExecutor(1) as pool:
        with begin(stack.engine) as conn:
            lock_row(conn, share_network_table, server["share_network_id"])
            conn.execute(sa.update(share_instances).values(share_server_id=None))
            conn.execute(sa.delete(network_allocations))
            conn.execute(sa.delete(share_server_table))
            answer = pool.submit(stack.do, way_out, server["id"])
            wait_for(lambda: is_waited_for(stack, conn))
        with pytest.raises(Missing):
            answer.result(60)


def test_retry_finishes_the_addition(broken: Broken) -> None:
    stack = broken.stack
    stack.do(share_server_repairs.retry_network_update, broken.server["id"])
    with pytest.raises(Conflict):
        stack.do(share_server_repairs.retry_network_update, broken.server["id"])
    assert stack.settled_network(broken.share_network) == "active"
    assert broken.server["status"] == "active"
    paths = stack.paths(broken.share)
    assert paths[:1] == broken.old_paths and len(paths) == 2 and paths[1].startswith("10.2.0.")
    stack.wait(lambda _: broken.rule_state == "active")
    assert stack.settled_share(stack.share(broken.share_network)) == "available"
    assert len(stack.ask(share_servers.find, {}, Page())) == 1


def test_a_retry_that_fails_can_be_repeated(broken: Broken) -> None:
    plan(broken.stack, Fault(method=UPDATE, error="Refused", message="still no wire"))
    broken.stack.do(share_server_repairs.retry_network_update, broken.server["id"])
    assert broken.stack.settled_network(broken.share_network) == "active"
    assert (broken.server["status"], broken.server["status_reason"]) == ("error", "still no wire")
    plan(broken.stack)
    broken.stack.do(share_server_repairs.retry_network_update, broken.server["id"])
    broken.stack.wait(lambda _: broken.server["status"] == "active")


def test_abandon_restores_the_old_subnets(broken: Broken) -> None:
    stack = broken.stack
    assert stack.rows()["local_ports"] == broken.ports + 1
    stack.do(share_server_repairs.abandon_network_update, broken.server["id"])
    assert stack.settled_network(broken.share_network) == "active"
    assert broken.server["status"] == "active"
    assert len(broken.server["share_network_subnet_ids"]) == 1
    assert stack.paths(broken.share) == broken.old_paths
    assert stack.rows()["local_ports"] == broken.ports
    assert stack.rows()[network_allocations.name] == broken.ports
    stack.wait(lambda _: broken.rule_state == "active")


def test_all_shares_of_a_failed_server_have_rules_in_error_and_get_them_back(stack: Stack) -> None:
    share_network = stack.share_network(*stack.network("10.1.0.0/24"))
    shares = [available_share(stack, share_network) for _ in range(3)]
    for share in shares[:2]:
        allow(stack, share, "10.0.0.0/8")
        assert settled_rules(stack, share) == "active"
    plan(stack, Fault(method=UPDATE, error="Refused"))
    stack.add_subnet(share_network, stack.network("10.2.0.0/24")[0])
    assert stack.settled_network(share_network) == "active"
    assert [rules(stack, share) for share in shares] == [{"10.0.0.0/8": "error"}] * 2 + [{}]
    plan(stack)
    stack.do(share_server_repairs.retry_network_update, server_of(stack, shares[0]))
    assert stack.settled_network(share_network) == "active"
    assert [settled_rules(stack, share) for share in shares] == ["active"] * 3
    assert [rules(stack, share) for share in shares] == [{"10.0.0.0/8": "active"}] * 2 + [{}]


def test_a_healthy_server_has_nothing_to_repair(stack: Stack) -> None:
    share = stack.share(stack.share_network(*stack.network("10.1.0.0/24")))
    assert stack.settled_share(share) == "available"
    server = stack.ask(share_servers.find, {}, Page())[0]["id"]
    for repair in (
        share_server_repairs.retry_network_update,
        share_server_repairs.abandon_network_update,
    ):
        with pytest.raises(Conflict):
            stack.do(repair, server)
        with pytest.raises(Missing):
            stack.do(repair, "nobody")


def test_capabilities_are_set_for_all_or_none(stack: Stack) -> None:
    share = stack.share(stack.share_network(*stack.network("10.1.0.0/24")))
    assert stack.settled_share(share) == "available"
    server = stack.ask(share_servers.find, {}, Page())[0]["id"]

    def flags() -> tuple[bool, bool]:
        view = stack.ask(share_servers.get, server)
        return view["network_allocation_update_support"], view["security_service_update_support"]

    assert flags() == (True, False)
    update = share_server_repairs.update_capabilities
    stack.do(update, [server], ["network_allocation_update_support"], False)
    assert flags() == (False, False)
    with pytest.raises(Missing, match="nobody"):
        stack.do(update, [server, "nobody"], ["network_allocation_update_support"], True)
    with pytest.raises(Invalid, match="flying"):
        stack.do(update, [server], ["network_allocation_update_support", "flying"], True)
    with pytest.raises(Conflict, match="host1@alpha"):
        stack.do(
            update,
            [server],
            ["network_allocation_update_support", "security_service_update_support"],
            True,
            check_driver=True,
        )
    assert flags() == (False, False)
    stack.do(update, [server], ["network_allocation_update_support"], True, check_driver=True)
    assert flags() == (True, False)


def test_what_an_administrator_resets_in_the_middle_is_refused_or_stays(stack: Stack) -> None:
    share_network = stack.share_network(*stack.network("10.1.0.0/24"))
    share = available_share(stack, share_network)
    delete_share(stack, share)
    plan(stack, Fault(method=UPDATE, error="hang"))
    subnet = stack.add_subnet(share_network, stack.network("10.2.0.0/24")[0])["id"]
    stack.do(share_networks.reset_status, ADMIN, share_network, "active")
    with pytest.raises(Conflict, match="network_change"):
        stack.do(share_network_subnets.delete, MEMBER, share_network, subnet)
    server = all_servers(stack)[0].id
    stack.do(share_servers.reset_status, server, "error")
    stack.do(share_networks.reset_status, ADMIN, share_network, "error")
    with pytest.raises(Conflict, match="is error"):
        stack.do(share_server_repairs.retry_network_update, server)
    plan(stack)
    assert wait_for(lambda: not queue.unfinished(stack.engine))
    assert (all_servers(stack)[0].status, inspection.find(stack.engine)) == ("error", [])


def test_a_failed_addition_and_a_share_that_goes_do_not_wait_for_each_other(broken: Broken) -> None:
    stack = broken.stack
    instance, server = instance_of(stack, broken.share).id, broken.server["id"]
    (subnet,) = stack.ask(
        lambda conn: list(
            conn.scalars(sa.select(mappings.c.share_network_subnet_id).where(~mappings.c.is_served))
        )
    )
    stack.do(lambda conn: states.force(conn, states.SHARE_SERVER, server, "network_change"))
    with ThreadPoolExecutor(1) as pool:
        with begin(stack.engine) as conn:
            lock_row(conn, share_instances, instance)
            failure = pool.submit(
                stack.do, share_server_networks.fail_addition, server, subnet, "no such wire"
            )
            wait([failure], 0.3)
            share_servers.restart_idle_timer(conn, server)
        failure.result()
    assert (broken.server["status"], broken.rule_state) == ("error", "error")
