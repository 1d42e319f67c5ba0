"""The worker: one a host, its lease, and how it brings back ends and share servers up."""

from __future__ import annotations

import os
import signal
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
import sqlalchemy as sa
from dbos._dbos import _get_dbos_instance

from abaca import config
from abaca.db.session import begin, utcnow
from abaca.db.tables import pools, services, worker_leases
from abaca.domain.services import hosts, service_reports
from abaca.domain.services.service_reports import Report
from abaca.domain.shares import shares
from abaca.drivers.fake.faults import Fault
from abaca.errors import Conflict, Unavailable
from abaca.reconcile import unused_share_servers
from abaca.worker.lease import Lease
from abaca.worker.process import EXIT_LEASE_LOST, Worker
from abaca.workflow import retention
from tests.operations.conftest import Install
from tests.operations.scene import (
    allow,
    available_share,
    enforced,
    failing,
    instance_of,
    plan,
    server,
    server_of,
    settled_rules,
    struck,
    told,
    world,
)
from tests.stack import MEMBER, Stack, WorkerProcess, wait_for


def ready(stack: Stack) -> dict[str, bool]:
    return stack.ask(
        lambda conn: dict(conn.execute(sa.select(services.c.host, services.c.is_ready)).all())
    )


def test_a_back_end_that_makes_its_networks_itself_serves_no_others(
    install: Install, tmp_path: Path
) -> None:
    path = tmp_path / "linux.conf"
    path.write_text("[linux]\nshare_driver = linux\n[neutron]\n")
    options = {
        "state_dir": str(tmp_path),
        "enabled_share_backends": ["linux"],
        "host": "host2",
        "network_plugin": "neutron",
    }
    conf = config.load(
        [str(path)], {**options, "database.connection": install().conf.database.connection}
    )
    with pytest.raises(
        Unavailable,
        match=r"host2@linux reaches only networks that it makes itself.* network_plugin = neutron",
    ):
        Worker(conf)


# --- the lease ------------------------------------------------------------------------------------


def lease(stack: Stack, tmp_path: Path, host: str = "host1", seconds: int = 30) -> Lease:
    return Lease(stack.engine, host, seconds, tmp_path / f"{host}.lock")


def held_elsewhere(stack: Stack, host: str, *, seconds: int) -> None:
    """Another machine has the lease of that host, for so many seconds."""
    expires_at = utcnow() + timedelta(seconds=seconds)
    stack.do(
        lambda conn: conn.execute(
            sa.insert(worker_leases).values(
                host=host, machine="another", token=7, expires_at=expires_at
            )
        )
    )


def test_a_second_process_on_the_machine_is_refused(stack: Stack) -> None:
    with pytest.raises(Conflict, match="host1"):
        Worker(stack.conf).start()
    available_share(stack, stack.share_network(*stack.network("10.1.0.0/24")))


def test_another_machine_waits_until_the_lease_expires(install: Install, tmp_path: Path) -> None:
    stack = install()
    held_elsewhere(stack, "host1", seconds=60)
    with pytest.raises(Conflict, match="Another machine"):
        lease(stack, tmp_path).acquire()
    stack.do(
        lambda conn: conn.execute(
            sa.update(worker_leases).values(expires_at=utcnow() - timedelta(seconds=1))
        )
    )
    mine = lease(stack, tmp_path)
    mine.acquire()
    assert mine.is_held()
    assert stack.ask(lambda conn: conn.scalar(sa.select(worker_leases.c.token))) == 8
    mine.release()
    assert not mine.is_held()


def test_sqlite_serves_one_machine(install: Install, tmp_path: Path) -> None:
    stack = install()
    held_elsewhere(stack, "host2", seconds=60)
    mine = lease(stack, tmp_path)
    if stack.engine.dialect.name == "sqlite":
        with pytest.raises(Conflict, match="SQLite works on one machine"):
            mine.acquire()
        stack.do(lambda conn: conn.execute(sa.update(worker_leases).values(expires_at=utcnow())))
    mine = lease(stack, tmp_path, seconds=30)
    mine.acquire()
    mine.release()


def test_a_lease_that_is_taken_or_not_renewed_is_lost(install: Install, tmp_path: Path) -> None:
    stack = install()
    mine = lease(stack, tmp_path, "taken")
    mine.acquire()
    mine.renew()
    stack.do(
        lambda conn: conn.execute(sa.update(worker_leases).values(token=worker_leases.c.token + 1))
    )
    with pytest.raises(Conflict, match="taken over"):
        mine.renew()
    assert not mine.is_held()
    brief = lease(stack, tmp_path, "brief", seconds=1)
    brief.acquire()
    assert brief.is_held()
    Event().wait(1.1)
    assert not brief.is_held(), "whatever the database says"


def test_a_worker_that_loses_its_lease_ends_and_its_work_goes_on_elsewhere(
    install: Install,
) -> None:
    stack = install(**{"worker.lease_seconds": 3})
    overrides: dict[str, Any] = {"worker.lease_seconds": 3, "worker.retry_seconds": 60.0}
    options = {"alpha": {"fault_plan": f"{stack.conf.state_dir}/alpha.faults"}}
    share_network = stack.share_network(*stack.network("10.1.0.0/24"))
    process = WorkerProcess(
        Path(stack.conf.state_dir), config.database_url(stack.conf), options, **overrides
    )
    try:
        wait_for(lambda: ready(stack))
        plan(stack, Fault(method="create_share", error="hang"))
        id_ = stack.share(share_network)
        wait_for(lambda: world(stack)["servers"])
        stack.do(
            lambda conn: conn.execute(
                sa.update(worker_leases).values(token=worker_leases.c.token + 1)
            )
        )
        plan(stack)  # the step that runs may end; the next one does not begin
        wait_for(lambda: process.exit_code is not None)
        assert process.exit_code == EXIT_LEASE_LOST
    finally:
        process.kill()
    with stack.working():
        assert stack.settled_share(id_) == "available"


def test_a_report_that_waits_keeps_no_lease_from_being_renewed(
    install: Install, tmp_path: Path
) -> None:
    """A host that dies in the middle of its own holds others up for long."""
    stack = install()
    if stack.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    mine = lease(stack, tmp_path)
    mine.acquire()
    sign = Report(
        host="host1@alpha",
        worker_host="host1",
        availability_zone="nova",
        is_ready=True,
        lasts=60,
        lease_token=mine.token,
    )
    renewing = Thread(target=mine.renew)
    with begin(stack.engine) as conn:
        service_reports.report(conn, sign, [])
        renewing.start()
        renewing.join(10)
        assert not renewing.is_alive()
    mine.release()


def lives(stack: Stack) -> bool:
    """Whether the lease of the worker's host holds: nobody evacuates it."""
    return bool(stack.ask(hosts.get, "host1")["lives"])


def test_one_that_stops_renews_its_lease_until_no_call_runs(install: Install) -> None:
    brief: dict[str, Any] = {"worker.lease_seconds": 3}
    stack = install(**brief)
    options = {"alpha": {"fault_plan": f"{stack.conf.state_dir}/alpha.faults"}}
    share_network = stack.share_network(*stack.network("10.1.0.0/24"))
    process = WorkerProcess(
        Path(stack.conf.state_dir), config.database_url(stack.conf), options, **brief
    )
    try:
        wait_for(lambda: ready(stack))
        plan(stack, Fault(method="create_share", error="hang"))
        id_ = stack.share(share_network)
        wait_for(lambda: struck(stack))
        os.kill(process.pid, signal.SIGTERM)
        Event().wait(5)
        assert lives(stack), process.exit_code
        plan(stack)
        wait_for(lambda: process.exit_code is not None)
        assert process.exit_code == 0 and not lives(stack), "released at once"
    finally:
        process.kill()
    with stack.working():
        assert stack.settled_share(id_) == "available"


def test_a_call_that_outlives_its_worker_is_refused_and_the_lease_is_left_to_run_out(
    install: Install,
) -> None:
    stack = install(**{"worker.watch_interval": 0.1})
    worker = Worker(stack.conf)
    worker.start()
    (backend,) = worker.backends
    try:
        backend.driver.guard()
        plan(stack, Fault(method="unserved", error="hang"))
        wait_for(lambda: struck(stack))
        worker.stop()
        with pytest.raises(Unavailable, match="lease"):
            backend.driver.guard()
        assert lives(stack), "who evacuates the host waits"
    finally:
        plan(stack)
    with stack.working():  # on the same machine nobody waits
        assert ready(stack) == {"host1@alpha": True}
    assert not lives(stack)


# --- back ends ------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", ["Unavailable", "bug"])
def test_a_back_end_that_is_down_leaves_the_others_alone(install: Install, error: str) -> None:
    stack = install(
        {"alpha": {"availability_zone": "zone-a"}, "beta": {"availability_zone": "zone-b"}},
        **{"worker.report_interval": 0.1},
    )
    plan(stack, failing("check_for_setup_error", error), backend="beta")
    with stack.working():
        assert ready(stack) == {"host1@alpha": True, "host1@beta": False}
        share_network = stack.share_network(*stack.network("10.1.0.0/24"))
        available_share(stack, share_network)
        lost = stack.share(share_network, availability_zone="zone-b")
        assert stack.settled_share(lost) == "error"
        plan(stack, backend="beta")
        wait_for(lambda: ready(stack)["host1@beta"])
        wait_for(
            lambda: (
                stack.ask(lambda conn: conn.scalar(sa.select(sa.func.count()).select_from(pools)))
                == 2
            )
        )
        available_share(stack, share_network, availability_zone="zone-b")


def test_a_back_end_that_fails_or_hangs_later_leaves_the_others_alone(install: Install) -> None:
    stack = install(
        {"alpha": {}, "beta": {}}, service_down_time=2, **{"worker.report_interval": 0.1}
    )

    def alive(host: str) -> bool:
        query = sa.select(services.c.host).where(
            services.c.host == host, services.c.is_ready, services.c.expires_at > utcnow()
        )
        return stack.ask(lambda conn: conn.scalar(query)) is not None

    with stack.working():
        for error in ("Unavailable", "bug", "hang"):
            plan(stack, failing("get_pools", error))
            wait_for(lambda: not alive("host1@alpha"))
            assert alive("host1@beta"), error
            plan(stack)
            wait_for(lambda: alive("host1@alpha"))


def test_a_world_that_was_lost_is_rebuilt_from_the_database(install: Install) -> None:
    stack = install()
    state_file = Path(stack.conf.state_dir, "worker", "alpha.json")
    with stack.working():
        first, second, third = stack.network("10.1.0.0/24", "fd00:1::/64", "10.3.0.0/24")
        share_network = stack.share_network(first, second)
        grown, other = available_share(stack, share_network), available_share(stack, share_network)
        allow(stack, grown, "10.0.0.0/8")
        allow(stack, grown, "fd00::/16", "ro")
        assert settled_rules(stack, grown) == "active"
        stack.do(shares.extend, MEMBER, grown, 3)
        assert stack.settled_share(grown) == "available"
        failed_network = stack.share_network(first)
        failed = available_share(stack, failed_network)
        plan(stack, failing("update_share_server_network_allocations", "Refused"))
        stack.add_subnet(failed_network, third)
        assert stack.settled_network(failed_network) == "active"
        plan(stack)
    before = world(stack)
    assert len(before["servers"]) == 2 and len(before["shares"]) == 3
    assert server(stack, server_of(stack, failed))["status"] == "error"
    state_file.unlink()
    with stack.working():
        rebuilt = world(stack)
        assert rebuilt == before
        assert len(rebuilt["servers"][server_of(stack, failed)]["network_info"]) == 1, (
            "on its old subnet"
        )
        assert enforced(stack, grown) == {"10.0.0.0/8", "fd00::/16"}
        assert rebuilt["shares"][instance_of(stack, grown).id]["size"] == 3
        assert rebuilt["shares"][instance_of(stack, other).id]["export_locations"] == stack.paths(
            other
        )
    assert len(told(stack)) == 1


def test_a_server_over_which_the_driver_has_a_bug_keeps_no_other_down(install: Install) -> None:
    stack = install()
    with stack.working():
        servers = [
            server_of(stack, available_share(stack, stack.share_network(*stack.network(cidr))))
            for cidr in ("10.1.0.0/24", "10.2.0.0/24")
        ]
    Path(stack.conf.state_dir, "worker", "alpha.json").unlink()
    plan(stack, Fault(method="ensure_server", match=servers[0], error="bug"))
    with stack.working():
        assert ready(stack) == {"host1@alpha": True}
        assert set(world(stack)["servers"]) == {servers[1]}


def test_what_a_driver_keeps_is_there_for_the_next_worker(install: Install) -> None:
    stack = install({"alpha": {}, "beta": {}})
    with stack.working() as worker:
        alpha, beta = (backend.driver for backend in worker.backends)
        alpha.data.update("server", {"name": "os_1"})
        beta.data.update("server", {"name": "os_2"})
        beta.data.remove("server")
    with stack.working() as worker:
        alpha, beta = (backend.driver for backend in worker.backends)
        assert (alpha.data.get("server"), beta.data.get("server")) == ({"name": "os_1"}, {})


def test_work_that_was_claimed_and_is_not_carried_out_is_taken_up(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database failed just after the claim; other housekeeping fails all the time."""
    stack = install(unused_share_server_cleanup_interval=1)
    share_network = stack.share_network(*stack.network("10.1.0.0/24"))

    def has_a_bug(*_: Any) -> None:
        raise RuntimeError("a bug")

    with monkeypatch.context() as always, stack.working():
        always.setattr(retention, "LOST_SECONDS", 0.2)
        always.setattr(unused_share_servers, "delete_unused", has_a_bug)
        claimed: list[str] = []  # by id, each: at first all are asked about at once
        database = _get_dbos_instance()._sys_db

        def fails(workflow: Any, *_: Any, **__: Any) -> None:
            claimed.extend([workflow] if isinstance(workflow, str) else [])
            raise RuntimeError("database or disk is full")

        with monkeypatch.context() as patch:
            patch.setattr(database, "get_workflow_statuses", fails)
            patch.setattr(database, "get_workflow_status", fails)
            share = stack.share(share_network)
            wait_for(lambda: claimed)
        assert stack.settled_share(share) == "available"
