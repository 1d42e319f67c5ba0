"""Worker hosts as rows: which get new shares, and what each is told of the others."""

from __future__ import annotations

from datetime import datetime, timedelta
from threading import Thread
from typing import Any

import pytest
import sqlalchemy as sa

from abaca.db.session import begin, utcnow
from abaca.db.tables import service_workers, worker_leases
from abaca.db.tables import services as services_table
from abaca.domain.capacity import placement
from abaca.domain.local_networks import forwarding, local_machines, local_networks
from abaca.domain.rows import states
from abaca.domain.server_moves import share_server_moves as moves
from abaca.domain.services import hosts, overview, service_reports, services
from abaca.domain.services.service_reports import Report
from abaca.errors import Conflict, Missing
from abaca.values import Caller
from tests.operations.conftest import Install
from tests.operations.scene import (
    addresses,
    available_share,
    delete_server,
    delete_share,
    server_of,
)
from tests.operations.shared_hosts import live
from tests.stack import MEMBER, Stack

pytestmark = pytest.mark.each_database


def state(stack: Stack, name: str = "host1") -> Any:
    return stack.ask(hosts.get, name)["state"]


def service(stack: Stack) -> dict[str, Any]:
    (found,) = stack.ask(services.find, {})
    return {name: found[name] for name in ("status", "state", "disabled_reason")}


def register(stack: Stack, name: str, number: int) -> None:
    stack.do(
        hosts.register,
        name,
        tunnel_address=f"10.99.0.{number}",
        tunnel_port=4789,
        underlay_mtu=1500,
    )


def test_a_draining_host_gets_no_new_shares_until_it_is_enabled(stack: Stack) -> None:
    share_network = stack.share_network(*stack.network("10.0.0.0/24"))
    before = available_share(stack, share_network)
    assert (state(stack), service(stack)["status"]) == ("up", "enabled")
    for wanted in ("draining", "fenced", "draining"):
        stack.do(hosts.set_state, "host1", wanted, "disks are exchanged")
        assert state(stack) == wanted
        assert service(stack) == {
            "status": "disabled",
            "state": "up",
            "disabled_reason": f"host host1 is {wanted}: disks are exchanged",
        }
        assert stack.settled_share(stack.share(share_network)) == "error"
    (row,) = stack.ask(overview.get).hosts
    assert (row["state"], row["share_servers"], row["back_ends"]) == ("draining", 1, 1)
    stack.do(hosts.set_state, "host1", "up")
    assert service(stack) == {"status": "enabled", "state": "up", "disabled_reason": None}
    after = available_share(stack, share_network)
    assert server_of(stack, after) == server_of(stack, before)
    with pytest.raises(Missing, match="nobody"):
        stack.do(hosts.set_state, "nobody", "draining")


def test_a_host_whose_worker_does_not_live_is_down_and_a_fenced_one_fenced(
    install: Install,
) -> None:
    stack = install()
    with stack.working():
        assert state(stack) == "up"
    assert state(stack) == "down"
    stack.do(hosts.set_state, "host1", "fenced")
    assert state(stack) == "fenced"
    with stack.working():
        assert state(stack) == "fenced", "starting it again does not bring it back"


def test_the_scheduler_is_told_how_many_share_servers_a_back_end_has(stack: Stack) -> None:
    for number in (1, 2):
        available_share(stack, stack.share_network(*stack.network(f"10.{number}.0.0/24")))
        (pool,) = stack.ask(placement.candidates)
        assert (pool.share_servers, pool.is_enabled) == (number, True)


def test_each_host_is_told_where_the_ports_of_its_networks_are(stack: Stack) -> None:
    # so large that the server hardly gets the address of a machine below
    (pair,) = stack.network("10.0.0.0/16")
    (other,) = stack.network("10.0.0.0/16")
    available_share(stack, stack.share_network(pair))
    register(stack, "host1", 1)
    register(stack, "host2", 2)
    stack.do(hosts.register, "host3")

    def put(host: str, network: tuple[str, str], address: str, mac: str) -> None:
        more = {"host": host, "name": f"m{mac[-2:]}", "mac_address": mac}
        stack.do(local_machines.put, network_id=network[0], ip_addresses=[address], **more)

    def told(host: str) -> dict[str, Any]:
        return {each.network_id: each for each in stack.ask(forwarding.of_host, host)}

    assert told("host1") == told("host2") == {}
    put("host2", pair, "10.0.0.200", "02:00:00:00:00:02")
    put("host3", pair, "10.0.0.201", "02:00:00:00:00:03")  # without a tunnel
    put("host2", other, "10.0.0.200", "02:00:00:00:00:04")
    ((network, at_server),) = told("host1").items()
    ((_, at_machine),) = told("host2").items()
    (machine,), (server,) = at_server.remote_ports, at_machine.remote_ports
    view = stack.ask(local_networks.get, MEMBER, network)
    assert (network, at_server.segmentation_id) == (pair[0], view["segmentation_id"])
    assert (machine.mac_address, machine.ip_addresses, machine.tunnel_address) == (
        "02:00:00:00:00:02",
        ["10.0.0.200"],
        "10.99.0.2",
    )
    assert server.tunnel_address == "10.99.0.1" and len(server.ip_addresses) == addresses(stack)
    stack.do(hosts.set_state, "host2", "fenced")
    assert told("host1") == told("host2") == {}
    stack.do(hosts.set_state, "host2", "draining")
    assert told("host1") and told("host2")
    stack.do(local_machines.remove, host="host2", name="m02")
    assert told("host1") == told("host2") == {}


def test_nobody_gets_the_address_of_a_machine_or_a_machine_that_of_a_server(
    stack: Stack,
) -> None:
    (pair,) = stack.network("10.0.0.0/29")  # a gateway and five others
    available_share(stack, stack.share_network(pair))
    taken = {row.ip_address for row in stack.ask(lambda c: c.execute(_allocations()).all())}
    free = sorted({f"10.0.0.{number}" for number in range(2, 7)} - taken)

    def put(name: str, mac: str, *own: str) -> None:
        more = {"host": "host1", "name": name, "mac_address": mac, "ip_addresses": own}
        stack.do(local_machines.put, network_id=pair[0], **more)

    with pytest.raises(Conflict, match="A share server has the address"):
        put("one", "02:00:00:00:00:01", *taken)
    put("one", "02:00:00:00:00:01", *free[1:])
    put("one", "02:00:00:00:00:01", *free[1:])
    with pytest.raises(Conflict, match=f"machine one of host host1 has the address {free[1]}"):
        put("two", "02:00:00:00:00:02", free[1])
    with pytest.raises(Conflict, match="has the address 02:00:00:00:00:01"):
        put("two", "02:00:00:00:00:01", free[0])
    last = available_share(stack, stack.share_network(pair))
    assert {row.ip_address for row in stack.ask(lambda c: c.execute(_allocations()).all())} == {
        *taken,
        free[0],
    }
    assert server_of(stack, last)
    assert stack.settled_share(stack.share(stack.share_network(pair))) == "error"
    with pytest.raises(Missing):
        stack.do(
            local_machines.put,
            network_id="none",
            host="host1",
            name="x",
            mac_address="02:00:00:00:00:09",
            ip_addresses=["10.0.0.9"],
        )


def _allocations() -> sa.Select[Any]:
    return sa.select(sa.column("ip_address")).select_from(sa.table("local_ports"))


def test_workers_that_start_at_once_make_one_availability_zone(install: Install) -> None:
    stack = install()
    if stack.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    done = []

    def report(conn: sa.Connection, host: str) -> None:
        sign = Report(
            host=f"{host}@alpha", worker_host=host, availability_zone="z", is_ready=True, lasts=60
        )
        service_reports.report(conn, sign, [])
        done.append(host)

    with begin(stack.engine) as conn:
        report(conn, "host1")
        other = Thread(target=lambda: stack.do(report, "host2"))
        other.start()
        other.join(0.5)
        assert done == ["host1"], "the second one waits"
    other.join(30)
    assert done == ["host1", "host2"]


def sign(host: str, **more: Any) -> Report:
    """Of life, of a back end that several serve."""
    return Report(
        host="cluster@alpha",
        worker_host=host,
        availability_zone="z",
        is_ready=True,
        lasts=60,
        is_shared=True,
        **more,
    )


def leased(stack: Stack, name: str, token: int, *, seconds: int = 60) -> None:
    """From now on, by a worker of another machine."""
    until = utcnow() + timedelta(seconds=seconds)
    new = sa.insert(worker_leases).values(host=name, machine="m", token=token, expires_at=until)
    stack.do(lambda conn: conn.execute(new))


def test_without_the_lease_of_its_host_a_worker_reports_nothing(install: Install) -> None:
    stack = install()
    stack.do(service_reports.report, sign("host1"), [])  # there is none
    with pytest.raises(Conflict, match="lease of worker host host1 is lost"):
        stack.do(service_reports.report, sign("host1", lease_token=7), [])  # it was deleted
    leased(stack, "host1", 7)
    leased(stack, "host2", 1, seconds=-1)
    stack.do(service_reports.report, sign("host1", lease_token=7), [])
    for late in (sign("host1", lease_token=6), sign("host1"), sign("host2", lease_token=1)):
        with pytest.raises(Conflict, match=f"lease of worker host {late.worker_host} is lost"):
            stack.do(service_reports.report, late, [])
    assert stack.ask(live) == {"host1"}


def test_a_report_at_the_moment_of_an_evacuation_undoes_nothing(install: Install) -> None:
    stack = install()
    stack.do(hosts.register, "host1")
    leased(stack, "host1", 7)
    reported = sign("host1", lease_token=7)
    stack.do(service_reports.report, reported, [])
    ended = sa.update(worker_leases).values(expires_at=datetime(2000, 1, 1))
    stack.do(lambda conn: conn.execute(ended))
    refused: list[str] = []

    def late() -> None:
        try:
            stack.do(service_reports.report, reported, [])
        except Conflict as conflict:
            refused.append(conflict.message)

    with begin(stack.engine) as conn:
        moves.evacuate(conn, "host1")
        conn.execute(sa.update(worker_leases).values(expires_at=utcnow() + timedelta(seconds=60)))
        other = Thread(target=late)
        other.start()
        other.join(0.5)
        assert other.is_alive(), "it waits"
    other.join(30)
    assert len(refused) == 1 and stack.ask(live) == set()


def test_who_is_fenced_speaks_for_a_back_end_only_while_nobody_else_can(install: Install) -> None:
    stack = install()
    for name in ("host1", "host2"):
        stack.do(hosts.register, name)

    def speaks_after(name: str) -> str:
        stack.do(service_reports.report, sign(name), [])
        return next(name for name in ("host1", "host2") if stack.ask(services.led, name))

    assert speaks_after("host1") == speaks_after("host2") == "host1"
    stack.do(hosts.set_state, "host1", "fenced")
    assert speaks_after("host1") == "host1", "there is no other yet"
    assert speaks_after("host2") == speaks_after("host1") == "host2"
    silent = sa.update(services_table).values(expires_at=datetime(2000, 1, 1))
    stack.do(lambda conn: conn.execute(silent))
    assert speaks_after("host1") == "host2"
    stack.do(hosts.set_state, "host1", "up")
    assert speaks_after("host1") == "host1"


def test_work_about_no_back_end_is_given_to_who_lives_and_is_not_fenced(install: Install) -> None:
    stack = install()
    assert stack.ask(services.any_worker) is None
    for name in ("host1", "host2"):
        stack.do(hosts.register, name)

    def given() -> str | None:
        stack.do(service_reports.report, sign("host2"), [])
        stack.do(service_reports.report, sign("host1"), [])
        return stack.ask(services.any_worker)

    assert given() == "host1", "the last one that was heard"
    stack.do(hosts.set_state, "host1", "fenced")
    assert given() == "host2"
    stack.do(services.end_heartbeats, "host2")
    assert stack.ask(services.any_worker) == "host1", "better than none"
    stack.do(hosts.set_state, "host1", "up")
    assert given() == "host1"
    silent = sa.update(service_workers).where(service_workers.c.worker_host == "host1")
    stack.do(lambda conn: conn.execute(silent.values(expires_at=datetime(2000, 1, 1))))
    assert stack.ask(services.any_worker) == "host2", "although that one leads"


def test_states_of_hosts_are_moved_like_others(stack: Stack) -> None:
    assert set(hosts.SHOWN_STATES) == {"up", "draining", "fenced", "down"}
    with pytest.raises(states.IllegalTransition):
        stack.do(hosts.set_state, "host1", "down")


def test_the_largest_mtu_is_that_of_the_smallest_underlay(install: Install) -> None:
    stack = install()
    caller = Caller(user_id="u", project_id="p", roles=("member",))
    assert stack.do(local_networks.create, caller)["mtu"] == 1450
    for name, address, mtu in (("a", "fd00::1", 1500), ("b", "fd00::2", 1400), ("c", None, None)):
        stack.do(hosts.register, name, tunnel_address=address, tunnel_port=1, underlay_mtu=mtu)
    assert stack.do(local_networks.create, caller)["mtu"] == 1330
    assert stack.do(local_networks.create, caller, mtu=1300)["mtu"] == 1300


def test_a_host_that_is_gone_for_good_is_forgotten(install: Install) -> None:
    stack = install()
    with stack.working():
        share_network = stack.share_network(*stack.network("10.0.0.0/24"))
        share = available_share(stack, share_network)
        with pytest.raises(Conflict, match="worker of host host1 lives"):
            stack.do(hosts.delete, "host1")
        register(stack, "host1", 1)
        stack.do(hosts.register, "small", tunnel_address="10.99.0.2", tunnel_port=4789,
                 underlay_mtu=1400)  # fmt: skip
        assert stack.ask(forwarding.largest_mtu) == 1350
        stack.do(hosts.delete, "small")
        assert stack.ask(forwarding.largest_mtu) == 1450
        with pytest.raises(Missing):
            stack.do(hosts.delete, "small")
        server = server_of(stack, share)
    with pytest.raises(Conflict, match="1 share servers are on host host1"):
        stack.do(hosts.delete, "host1")
    with stack.working():
        delete_share(stack, share)
        delete_server(stack, server)
    stack.do(hosts.delete, "host1")
    assert stack.ask(hosts.find) == []
