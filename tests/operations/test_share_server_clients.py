"""Who is connected, asked of drivers by a worker: what is stored of it, and for how long; back ends
that fail, hang or cannot tell."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import utcnow
from abaca.db.tables import client_inquiries, messages, share_network_subnets
from abaca.domain.local_networks import sharing
from abaca.domain.network_changes import client_inquiries as inquiries
from abaca.domain.network_changes import connected_clients
from abaca.domain.network_changes.connected_clients import SubnetClients
from abaca.domain.network_changes.share_network_checks import PendingCheck
from abaca.domain.share_networks import share_network_subnets as share_network_subnets_of
from abaca.drivers.fake import FakeDriver
from abaca.errors import Missing, ServiceDown
from abaca.reconcile import expired_client_answers
from abaca.values import Client, OpenFiles
from abaca.worker.process import Worker
from abaca.workflow import inspection
from tests.api.test_statements import counted
from tests.operations.conftest import Install
from tests.operations.scene import (
    all_servers,
    allow,
    available_share,
    failing,
    instance_of,
    plan,
    server_of,
    settled_rules,
    told,
    world,
)
from tests.operations.test_records_of_work import records
from tests.operations.test_workflow import dbos
from tests.stack import ADMIN, MEMBER, Stack, WorkerProcess, wait_for

MARK = "10.1.0.77"  # the address of a client


def connect(worker: Worker, server_id: str, *clients: Client, backend: int = 0) -> None:
    driver = worker.backends[backend].driver
    assert isinstance(driver, FakeDriver)
    driver.set_clients(server_id, clients)


def client(server_address: str, address: str = MARK, **more: Any) -> Client:
    return Client(address=address, server_address=server_address, protocol="NFS", **more)


def answered(stack: Stack, ask: Callable[..., Any], *args: Any, **more: Any) -> Any:
    """As the API does: asks again once the back ends have answered."""
    while isinstance(found := stack.do(ask, *args, **more), PendingCheck):
        pending = found.id
        wait_for(lambda: not stack.ask(inquiries.is_pending, pending))  # noqa: B023
    return found


def of_share(stack: Stack, share: str, **more: Any) -> list[dict[str, Any]]:
    found = answered(stack, connected_clients.of_share, MEMBER, share, sees_all=False, **more)
    listed: list[dict[str, Any]] = found["clients"]
    return listed


def expire(stack: Stack, later: timedelta = timedelta(0)) -> None:
    """As if the seconds of questions and answers had passed, or passed `later`."""
    over = sa.update(client_inquiries).values(expires_at=utcnow() + later)
    stack.do(lambda conn: conn.execute(over))


def addresses_of(stack: Stack, server_id: str) -> list[str]:
    return [
        allocation["ip_address"]
        for entry in world(stack)["servers"][server_id]["network_info"]
        for allocation in entry["network_allocations"]
    ]


@pytest.fixture
def used(install: Install) -> Any:
    """A worker, and a share on two subnets that a client has files of open."""
    stack = install()
    with stack.working() as worker:
        network = stack.share_network(*stack.network("10.1.0.0/24", "10.2.0.0/24"))
        share = available_share(stack, network)
        allow(stack, share, "10.1.0.0/24")
        assert settled_rules(stack, share) == "active"
        files = {instance_of(stack, share).id: OpenFiles(files=2, locks=1)}
        server = server_of(stack, share)
        first, second = addresses_of(stack, server)
        connect(
            worker,
            server,
            client(first, open_files=files, protocol_version="4.1"),
            client(second, "10.2.0.78", open_files={}),
        )
        yield stack, worker, network, share


Used = tuple[Stack, Worker, str, str]


def test_the_driver_is_asked_and_the_answer_outlives_nothing(used: Used) -> None:
    stack, _, _, share = used
    (shown,) = of_share(stack, share)
    assert shown["address"] == MARK and (shown["open_files"], shown["locks"]) == (2, 1)
    wait_for(lambda: inspection.find(stack.engine) == [])
    assert not [record for record in records(stack) if MARK in record]
    assert "share_server_clients" in recorded(stack)
    assert stack.rows().get(messages.name, 0) == 0
    expire(stack)
    expired_client_answers.forget_expired(stack.engine)
    assert "client_inquiries" not in stack.rows()


def recorded(stack: Stack) -> list[str]:
    """The names of all work that was recorded, so that a record without an address says
    something."""
    query = sa.text(f"SELECT name FROM {dbos(stack, 'workflow_status')}")
    return stack.ask(lambda conn: list(conn.scalars(query)))


def test_the_log_names_no_client(used: Used, caplog: pytest.LogCaptureFixture) -> None:
    stack, _, _, share = used
    with caplog.at_level("DEBUG"):
        assert len(of_share(stack, share)) == 1
        # the worker may still be writing that the work is over
        wait_for(lambda: any("share_server_clients" in line for line in caplog.messages))
    assert not [line for line in caplog.messages if MARK in line]


def test_who_asks_next_is_told_what_is_so_then(used: Used) -> None:
    stack, worker, _, share = used
    assert len(of_share(stack, share)) == 1
    connect(worker, server_of(stack, share))
    expire(stack)
    assert of_share(stack, share) == []
    assert stack.rows().get("client_inquiries", 0) <= 1, "the former answer is gone"


@pytest.mark.parametrize("error", ["Unavailable", "OutcomeUnknown", "Refused", "bug"])
def test_a_driver_that_fails_is_told_and_asked_again(used: Used, error: str) -> None:
    stack, _, network, share = used
    plan(stack, failing("get_clients", error))
    with pytest.raises(ServiceDown, match="cannot be asked now"):
        of_share(stack, share)
    subnets = stack.ask(lambda conn: list(conn.scalars(sa.select(share_network_subnets.c.id))))
    found = answered(stack, connected_clients.on_subnet, MEMBER.project_id, subnets[0])
    assert list(found.counts.values()) == [None]
    assert told(stack) == []
    plan(stack)
    expire(stack)
    assert len(of_share(stack, share)) == 1
    assert stack.settled_network(network) == "active"


def test_a_driver_that_hangs_holds_up_nobody_else(used: Used) -> None:
    stack, _, network, share = used
    plan(stack, failing("get_clients", "hang"))
    asked = stack.do(connected_clients.of_share, MEMBER, share, sees_all=False)
    again = stack.do(connected_clients.of_share, MEMBER, share, sees_all=False)
    assert isinstance(asked, PendingCheck) and again == asked, "asked once"
    expire(stack, timedelta(hours=1))  # however slow this machine is
    assert available_share(stack, network)
    assert stack.ask(inquiries.is_pending, asked.id)
    plan(stack)
    assert len(of_share(stack, share)) == 1


def test_a_worker_that_is_killed_anywhere_leaves_no_question_without_an_answer(
    install: Install,
) -> None:
    """What the first step found is recorded nowhere; so it is done again, or both are done."""
    stack = install()
    with stack.working() as worker:
        share = available_share(stack, stack.share_network(*stack.network("10.1.0.0/24")))
        allow(stack, share, "10.1.0.0/24")
        server = server_of(stack, share)
        connect(worker, server, client(addresses_of(stack, server)[0]))
    for number, moment in [(1, "before"), (1, "inside"), (2, "before"), (2, "inside")]:
        expire(stack)
        stack.do(connected_clients.of_share, MEMBER, share, sees_all=False)
        killed = WorkerProcess(
            Path(stack.conf.state_dir),
            str(stack.engine.url.render_as_string(hide_password=False)),
            {"alpha": {}},
            {"ABACA_CRASH_AT": f"share_server_clients/{number}/{moment}"},
        )
        wait_for(lambda: killed.exit_code is not None, 60)  # noqa: B023
        with stack.working():
            assert len(of_share(stack, share)) == 1, (number, moment)


def test_a_shared_network_of_another_project_masks(install: Install) -> None:
    stack = install()
    with stack.working() as worker:
        net = stack.network("10.1.0.0/24", caller=ADMIN)
        stack.do(share_with_all, net[0][0])
        share = available_share(stack, stack.share_network(*net))
        allow(stack, share, "10.1.0.0/24")
        server = server_of(stack, share)
        connect(worker, server, client(addresses_of(stack, server)[0]))
        (shown,) = of_share(stack, share)
        assert shown["is_address_masked"] and shown["address"] is None


def share_with_all(conn: Connection, network_id: str) -> None:
    sharing.share(conn, network_id, sharing.ALL_PROJECTS)


def test_the_clients_of_a_subnet_are_those_on_its_addresses(install: Install) -> None:
    """Of all servers of the share network, on whatever back end."""
    stack = install({"alpha": {}, "beta": {"availability_zone": "zone-b"}})
    stack.share_type("on_beta", share_backend_name="beta")
    with stack.working() as worker:
        network = stack.share_network(*stack.network("10.1.0.0/24", "10.2.0.0/24"))
        available_share(stack, network)
        (server,) = [row.id for row in all_servers(stack)]
        first, second = addresses_of(stack, server)
        connect(
            worker,
            server,
            client(first, "10.1.0.20"),
            client(first, "10.1.0.21"),
            client(second, "10.2.0.20"),
        )
        subnets = stack.ask(
            lambda conn: list(
                conn.scalars(
                    sa.select(share_network_subnets.c.id).order_by(
                        share_network_subnets.c.created_at
                    )
                )
            )
        )
        counts = []
        for subnet in subnets:
            found = answered(stack, connected_clients.on_subnet, MEMBER.project_id, subnet)
            assert isinstance(found, SubnetClients) and found.is_complete
            counts.append(found.counts)
        assert counts == [{server: 2}, {server: 1}]


def test_five_servers_cost_as_many_statements_as_one(install: Install) -> None:
    """Once the back ends have answered. Nobody works meanwhile, who would be counted, too."""
    stack = install({f"b{number}": {} for number in range(5)})
    for number in range(5):
        stack.share_type(f"b{number}", share_backend_name=f"b{number}")
    numbers: dict[str, int] = {}
    with stack.working() as worker:
        for cidr, number_of_servers in (("10.1.0.0/24", 1), ("10.2.0.0/24", 5)):
            network = stack.share_network(*stack.network(cidr))
            (subnet,) = [
                row["id"] for row in stack.ask(share_network_subnets_of.find, MEMBER, network)
            ]
            for number in range(number_of_servers):
                share = available_share(stack, network, share_type=f"b{number}")
                server = server_of(stack, share)
                (address,) = stack.paths(share)
                connect(worker, server, client(address.partition(":")[0]), backend=number)
            numbers[subnet] = number_of_servers
            answered(stack, connected_clients.on_subnet, MEMBER.project_id, subnet)
            expire(stack, timedelta(hours=1))  # however slow this machine is
    statements = set()
    for subnet, number_of_servers in numbers.items():
        with counted() as seen:
            found = stack.do(connected_clients.on_subnet, MEMBER.project_id, subnet)
        assert isinstance(found, SubnetClients)
        assert list(found.counts.values()) == [1] * number_of_servers
        statements.add(len(seen))
    assert len(statements) == 1, statements


def test_who_would_be_cut_by_a_removal(used: Used) -> None:
    stack, _, network, share = used
    subnets = [row["id"] for row in stack.ask(share_network_subnets_of.find, MEMBER, network)]

    for subnet, address in zip(subnets, (MARK, "10.2.0.78"), strict=True):
        answer = answered(stack, connected_clients.cut, subnet)
        assert [row["address"] for row in answer["clients"]] == [address]
        assert answer["clients"][0]["share_server_id"] == server_of(stack, share)
        assert answer["all_clients"] is True
    plan(stack, failing("get_clients", "Unavailable"))
    expire(stack)
    answer = answered(stack, connected_clients.cut, subnets[0])
    assert (answer["clients"], answer["all_clients"]) == ([], False), "not known is not nobody"


def test_a_subnet_without_servers_has_no_clients_and_asks_nobody(install: Install) -> None:
    stack = install()
    network = stack.share_network(*stack.network("10.1.0.0/24"))
    subnet = stack.ask(lambda conn: conn.scalars(sa.select(share_network_subnets.c.id)).one())
    assert network
    found = stack.do(connected_clients.on_subnet, MEMBER.project_id, subnet)
    assert found == SubnetClients(rows={}, is_complete=True)
    assert "client_inquiries" not in stack.rows()


def test_of_a_subnet_that_has_gone_meanwhile_nobody_is_told(stack: Stack) -> None:
    """Between the check of a removal and its question who would be cut."""
    with pytest.raises(Missing):
        stack.do(connected_clients.cut, "gone")
