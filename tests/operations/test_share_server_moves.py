"""Share servers of a back end that several hosts serve: where they stand, how they leave a host and
how they are taken from one that is gone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from threading import Event, Thread
from typing import Any, Literal

import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from sqlalchemy.engine import Engine

from abaca.admin import manage
from abaca.db.session import begin, create_engine, read
from abaca.db.tables import service_workers, share_servers, worker_leases
from abaca.domain.network_changes import client_inquiries
from abaca.domain.network_changes.share_network_checks import PendingCheck
from abaca.domain.recovery import parked_work
from abaca.domain.server_moves import share_server_moves as moves
from abaca.domain.services import condition, hosts, services
from abaca.domain.share_servers import server_hosts
from abaca.domain.shares import shares
from abaca.drivers.fake.faults import Fault, When, write_plan
from abaca.errors import Conflict
from abaca.workflow import queue, unfinished
from abaca.workflow.crash_points import FAILURE
from tests.databases import Databases, Initialise
from tests.operations.conftest import Install
from tests.operations.failure_walk import BUG
from tests.operations.failure_walk import places as failing_places
from tests.operations.scene import INTERNAL, available_share, server_of
from tests.operations.shared_hosts import SERVICE, Hosts, played, worker
from tests.sample import sample
from tests.stack import ADMIN, MEMBER, Stack, WorkerProcess, initialise, wait_for
from tests.walk import Walk, places

pytestmark = [pytest.mark.each_database, pytest.mark.timeout(300)]

Play = Callable[..., Hosts]


@pytest.fixture
def play(template_database: Callable[[Initialise], str], tmp_path: Path) -> Iterator[Play]:
    """`play("host1", "host2")`: workers of these hosts."""
    made: list[Hosts] = []

    def start(*names: str) -> Hosts:
        made.append(Hosts(tmp_path / "state", template_database(initialise)))
        made[-1].start(*names)
        return made[-1]

    yield start
    for each in made:
        each.close()


def share_on(stack: Stack, cidr: str = "10.0.0.0/24") -> str:
    return available_share(stack, stack.share_network(*stack.network(cidr)))


def row(stack: Stack, server_id: str) -> sa.Row[Any]:
    query = sa.select(share_servers).where(share_servers.c.id == server_id)
    found: sa.Row[Any] = stack.ask(lambda conn: conn.execute(query).one())
    return found


def stands(played_hosts: Hosts, server_id: str) -> str:
    """Where, by the database and by what the back end holds."""
    known = row(played_hosts.stack, server_id)
    if known.is_moving:
        return "moving"
    there = played_hosts.world()["servers"][server_id]
    assert there["is_served"] and there["stands_on"] == known.worker_host, (there, known)
    return str(known.worker_host)


def settled(played_hosts: Hosts, server_id: str) -> str:
    stack = played_hosts.stack
    wait_for(lambda: not queue.unfinished(stack.engine), 40)
    return stands(played_hosts, server_id)


def extended(stack: Stack, share_id: str, size: int) -> str:
    stack.do(shares.extend, MEMBER, share_id, size)
    return stack.settled_share(share_id)


def test_servers_of_a_shared_back_end_are_spread_over_its_hosts(play: Play) -> None:
    played_hosts = play("host1", "host2")
    stack = played_hosts.stack
    (service,) = stack.ask(services.find, {})
    assert (service["host"], service["state"], service["status"]) == (SERVICE, "up", "enabled")
    found = [share_on(stack, f"10.{n}.0.0/24") for n in range(4)]
    assert sorted(stands(played_hosts, server_of(stack, each)) for each in found) == [
        *("host1", "host1"),
        *("host2", "host2"),
    ]
    counts = {
        view["name"]: (view["share_servers"], view["back_ends"]) for view in stack.ask(hosts.find)
    }
    assert counts == {"host1": (2, 1), "host2": (2, 1)}
    stack.do(hosts.set_state, "host1", "draining", "new disks")
    (service,) = stack.ask(services.find, {})
    assert service["status"] == "enabled", "host2 takes shares"
    assert service["disabled_reason"] == "host host1 is draining: new disks"
    assert stands(played_hosts, server_of(stack, share_on(stack, "10.5.0.0/24"))) == "host2"
    stack.do(hosts.set_state, "host2", "fenced")
    (service,) = stack.ask(services.find, {})
    assert (service["status"], service["state"]) == ("disabled", "up")
    assert service["disabled_reason"] == ("host host1 is draining: new disks; host host2 is fenced")
    stack.do(hosts.set_state, "host1", "up")
    played_hosts.kill("host2")
    stack.do(hosts.set_state, "host2", "up")
    silent = sa.update(service_workers).where(service_workers.c.worker_host == "host2")
    stack.do(lambda conn: conn.execute(silent.values(expires_at=EARLIER)))
    (service,) = stack.ask(services.find, {})
    assert (service["status"], service["state"]) == ("enabled", "up")
    assert service["disabled_reason"] == "host host2 is down"


def test_a_host_that_is_gone_is_evacuated_and_its_work_goes_on(play: Play) -> None:
    played_hosts = play("host1")
    stack = played_hosts.stack
    share = share_on(stack)
    server = server_of(stack, share)
    with pytest.raises(Conflict, match="worker of host host1 lives"):
        stack.do(moves.evacuate, "host1")
    played_hosts.kill("host1")
    stack.do(shares.extend, MEMBER, share, 2)  # waits for a worker that never comes
    told = stack.do(moves.evacuate, "host1")
    assert told.staying == {server: moves.NO_ROOM} and not told.going
    assert stack.ask(hosts.get, "host1")["state"] == "fenced"
    with pytest.raises(Conflict, match="is down"):  # nobody would end it
        stack.do(services.ensure_shares, SERVICE)
    played_hosts.start("host2")
    told = stack.do(moves.evacuate, "host1", "again")
    assert told.going == {server: "host2"} and not told.staying
    assert settled(played_hosts, server) == "host2"
    assert stack.settled_share(share) == "available"
    assert stack.ask(shares.get, ADMIN, share)["size"] == 2
    assert extended(stack, share, 3) == "available"
    assert row(stack, server).generation == 1
    # it comes back, cut off from nothing: it touches no server that is another's
    played_hosts.start("host1")
    assert stands(played_hosts, server) == "host2"
    assert extended(stack, share, 4) == "available"
    assert stack.ask(hosts.get, "host1")["state"] == "fenced", "until it is enabled"


def test_a_host_is_drained_and_its_servers_leave_one_after_another(play: Play) -> None:
    played_hosts = play("host1")
    stack = played_hosts.stack
    found = [share_on(stack, f"10.{n}.0.0/24") for n in range(3)]
    served = [server_of(stack, each) for each in found]
    played_hosts.start("host2")
    told = stack.do(moves.drain, "host1", "new disks")
    assert told.going == dict.fromkeys(served, "host2")
    for share in found:  # asked while its server moves
        stack.do(shares.extend, MEMBER, share, 2)
    assert [settled(played_hosts, server) for server in served] == ["host2"] * 3
    assert [stack.settled_share(share) for share in found] == ["available"] * 3
    assert {share["size"] for share in (stack.ask(shares.get, ADMIN, s) for s in found)} == {2}
    played_hosts.stop("host1")
    assert extended(stack, found[0], 3) == "available", "nobody needs the old host"


def test_what_does_not_move_says_so(install: Install, play: Play) -> None:
    own = install({"beta": {}})
    with own.working():
        server = server_of(own, share_on(own))
        told = own.do(moves.drain, "host1")
        assert told.staying == {server: moves.ON_THIS_HOST_ONLY} and not told.going
    played_hosts = play("host1")
    stack = played_hosts.stack
    shared = server_of(stack, share_on(stack))
    assert stack.do(moves.drain, "host1").staying == {shared: moves.NO_ROOM}
    played_hosts.kill("host1")
    (why,) = stack.do(moves.drain, "host1").staying.values()
    assert "does not live" in why


@pytest.mark.parametrize("error", ["Unavailable", "Refused"])
def test_nothing_is_started_before_the_old_host_is_shut_out(
    play: Play, error: Literal["Unavailable", "Refused"]
) -> None:
    """It is asked again and again: there is no third host."""
    played_hosts = play("host1")
    stack = played_hosts.stack
    server = server_of(stack, share_on(stack))
    played_hosts.kill("host1")
    plan = played_hosts.state_dir / "host2.faults"
    write_plan(plan, [Fault(method="fence_server", error=error, message="no Ceph")])
    played_hosts.start("host2")
    stack.do(moves.evacuate, "host1")
    stack.wait(lambda _: row(stack, server).move_reason)
    assert row(stack, server).is_moving
    assert played_hosts.world()["servers"][server]["stands_on"] == "host1"
    write_plan(plan, [])
    assert settled(played_hosts, server) == "host2"
    assert row(stack, server).move_reason is None


def test_a_new_machine_with_the_name_of_a_host_shuts_the_former_one_out(play: Play) -> None:
    """That one may be cut off, alive, and still serve."""
    played_hosts = play("host1")
    stack = played_hosts.stack
    server = server_of(stack, share_on(stack))
    played_hosts.kill("host1")
    former = sa.update(worker_leases).where(worker_leases.c.host == "host1").values(machine="other")
    stack.do(lambda conn: conn.execute(former))
    plan = played_hosts.state_dir / "host1.faults"
    write_plan(plan, [Fault(method="fence_server", error="Unavailable", message="no Ceph")])
    played_hosts.start("host1")
    stack.wait(lambda _: row(stack, server).move_reason)
    assert row(stack, server).is_moving
    write_plan(plan, [])
    assert settled(played_hosts, server) == "host1"
    assert row(stack, server).move_reason is None
    generation = row(stack, server).generation
    played_hosts.stop("host1")
    played_hosts.start("host1")  # the same machine
    assert row(stack, server).generation == generation == 1


@pytest.mark.parametrize("answers", [False, True])
def test_a_server_that_does_not_stand_at_once_is_brought_back_by_its_new_host(
    play: Play, answers: bool
) -> None:
    """`answers`: all the same, perhaps without some of its shares."""
    played_hosts = play("host1")
    stack = played_hosts.stack
    server = server_of(stack, share_on(stack))
    played_hosts.kill("host1")
    plan = played_hosts.state_dir / "host2.faults"
    when: When = "after" if answers else "before"
    refused = Fault(method="ensure_server", error="Refused", message="no bridge", when=when)
    write_plan(plan, [refused])
    played_hosts.start("host2")
    stack.do(moves.evacuate, "host1")
    wait_for(lambda: not queue.unfinished(stack.engine), 40)
    assert played_hosts.world()["servers"][server]["is_served"] == answers
    Event().wait(3)  # some looks at it
    assert row(stack, server).move_reason and not row(stack, server).is_moving
    write_plan(plan, [])
    wait_for(lambda: played_hosts.world()["servers"][server]["is_served"], 60)
    assert stands(played_hosts, server) == "host2"
    wait_for(lambda: row(stack, server).move_reason is None, 60)


def test_a_server_that_cannot_leave_stays(play: Play) -> None:
    played_hosts = play("host1")
    stack = played_hosts.stack
    share = share_on(stack)
    server = server_of(stack, share)
    write_plan(
        played_hosts.state_dir / "host1.faults",
        [Fault(method="leave_server", error="Refused", message="it hangs")],
    )
    played_hosts.start("host2")
    stack.do(moves.drain, "host1")
    assert settled(played_hosts, server) == "host1"
    assert "could not leave" in row(stack, server).move_reason
    assert extended(stack, share, 2) == "available"


def test_the_next_host_dies_too(play: Play) -> None:
    """While the server comes to it: a third one takes it over."""
    played_hosts = play("host1")
    stack = played_hosts.stack
    share = share_on(stack)
    server = server_of(stack, share)
    played_hosts.kill("host1")
    plan = played_hosts.state_dir / "host2.faults"
    write_plan(plan, [Fault(method="fence_server", error="hang")])
    played_hosts.start("host2")
    stack.do(moves.evacuate, "host1")
    stack.do(shares.extend, MEMBER, share, 2)
    played_hosts.kill("host2")
    played_hosts.start("host3")
    assert stack.do(moves.evacuate, "host2").going == {server: "host3"}
    assert settled(played_hosts, server) == "host3"
    assert stack.settled_share(share) == "available"
    assert row(stack, server).generation == 2


def test_what_is_asked_while_a_move_begins_or_ends_is_done_where_it_goes(play: Play) -> None:
    """A request reads where the server stands, and commits after the move."""
    played_hosts = play("host1")
    stack = played_hosts.stack
    network = stack.share_network(*stack.network("10.0.0.0/24"))
    first, second = available_share(stack, network), available_share(stack, network)
    server = server_of(stack, first)
    assert server_of(stack, second) == server
    played_hosts.kill("host1")
    mine = sa.select(service_workers).where(service_workers.c.worker_host == "host1")
    copied = dict(stack.ask(lambda conn: conn.execute(mine).one())._mapping)
    host2 = sa.insert(service_workers).values({**copied, "worker_host": "host2"})
    stack.do(lambda conn: conn.execute(host2))

    def meanwhile(share: str, move: Callable[..., object], *args: str | None) -> set[str]:
        with begin(stack.engine) as conn:
            shares.extend(conn, MEMBER, share, 2)
            moving = Thread(target=stack.do, args=(move, *args))
            moving.start()
            moving.join(1)
        moving.join()
        return {work.worker_host for work in stack.ask(unfinished.find)}

    waiting = server_hosts.waiting_queue(server)
    assert meanwhile(first, moves.evacuate, "host1") == {"host2", waiting}
    assert meanwhile(second, moves.arrived, server, "1", None) == {"host2"}


OTHER_IS = pytest.mark.parametrize("other_is", ["up", "draining"])
"""It is given no servers while it drains, and does the rest."""


@OTHER_IS
def test_questions_to_a_host_that_is_gone_are_answered_by_another(
    play: Play, other_is: str
) -> None:
    played_hosts = play("host1", "host2")
    stack = played_hosts.stack
    if other_is != "up":
        stack.do(hosts.set_state, "host2", other_is)
    played_hosts.kill("host1")
    asked = queue.Work(
        name="share_server_clients",
        worker_host="host1",
        project_id="red",
        id=f"share_server_clients:inquiry:{SERVICE}",
        key="clients:any",
        args=("inquiry", SERVICE),
    )
    subnet = queue.Work(
        name="share_network_subnet_resolve",
        worker_host="host1",
        project_id="red",
        id="share_network_subnet_resolve:subnet:1",
        key="subnet:subnet",
        args=("subnet",),
    )
    stack.do(queue.enqueue, asked, subnet)
    stack.do(moves.evacuate, "host1")
    wait_for(lambda: not queue.unfinished(stack.engine), 40)
    assert stack.ask(queue.in_flight, "red", 10) == 0
    stack.do(moves.drain, "host1")
    assert stack.ask(hosts.get, "host1")["stored_state"] == "fenced", "until it is enabled"


def test_who_is_connected_is_asked_of_the_host_on_which_each_server_stands(play: Play) -> None:
    played_hosts = play("host1", "host2")
    stack = played_hosts.stack
    servers = sorted(server_of(stack, share_on(stack, f"10.{n}.0.0/24")) for n in range(2))
    assert {stands(played_hosts, server) for server in servers} == {"host1", "host2"}

    def answers() -> Any:
        found = stack.do(client_inquiries.ask, "red", servers)
        return None if isinstance(found, PendingCheck) else found

    assert wait_for(answers).keys() == set(servers)
    gone = row(stack, servers[0]).worker_host
    played_hosts.kill(gone)
    stack.do(client_inquiries.forget, servers)
    assert answers() is None, "its worker may still answer"
    stack.do(moves.evacuate, gone)
    assert settled(played_hosts, servers[0]) == row(stack, servers[1]).worker_host
    stack.do(client_inquiries.forget, servers)
    assert wait_for(answers).keys() == set(servers)


@OTHER_IS
def test_a_host_that_is_gone_is_asked_nothing_more(play: Play, other_is: str) -> None:
    """And what it was to do for all of its back end, another does."""
    played_hosts = play("host1")
    stack = played_hosts.stack
    share_on(stack)
    played_hosts.kill("host1")
    stack.do(services.ensure_shares, SERVICE)  # its last heartbeat counts for a while
    played_hosts.start("host2")
    if other_is != "up":
        stack.do(hosts.set_state, "host2", other_is)
    told = stack.do(moves.evacuate, "host1")
    assert bool(told.going) == (other_is == "up")
    wait_for(lambda: not queue.unfinished(stack.engine), 40)
    assert stack.ask(services.led, "host2") == {SERVICE}
    assert stack.ask(services.any_worker) == "host2"
    stack.do(services.ensure_shares, SERVICE)
    wait_for(lambda: not queue.unfinished(stack.engine), 40)


def test_what_a_row_has_elsewhere_is_taken_away(play: Play) -> None:
    """Whoever wrote it there."""
    played_hosts = play("host1")
    stack = played_hosts.stack
    server = server_of(stack, share_on(stack))
    elsewhere = sa.update(share_servers).values(worker_host="nobody")
    stack.do(lambda conn: conn.execute(elsewhere))
    wait_for(lambda: not played_hosts.world()["servers"][server]["stands_on"], 30)
    back = sa.update(share_servers).values(worker_host="host1")
    stack.do(lambda conn: conn.execute(back))
    wait_for(lambda: played_hosts.world()["servers"][server]["is_served"], 60)
    assert stands(played_hosts, server) == "host1"


def test_a_bug_on_arrival_is_parked_and_resumed(play: Play) -> None:
    played_hosts = play("host1")
    stack = played_hosts.stack
    share = share_on(stack)
    server = server_of(stack, share)
    played_hosts.kill("host1")
    plan = played_hosts.state_dir / "host2.faults"
    write_plan(plan, [Fault(method="fence_server", error="bug")])
    played_hosts.start("host2")
    stack.do(moves.evacuate, "host1")
    (work,) = stack.wait(lambda conn: unfinished.find(conn, ["parked"]), 30)
    assert row(stack, server).is_moving and row(stack, server).move_reason
    assert "has not moved well" in str(stack.ask(condition.get).problems)
    write_plan(plan, [])
    stack.do(parked_work.resume, work.id)
    assert settled(played_hosts, server) == "host2"
    assert not row(stack, server).move_reason
    assert extended(stack, share, 2) == "available"


def test_commands_say_what_becomes_of_each_server(play: Play) -> None:
    played_hosts = play("host1")
    stack = played_hosts.stack
    server = server_of(stack, share_on(stack))
    played_hosts.start("host2")
    config_file = played_hosts.state_dir / "manage.conf"
    config_file.write_text(f"[database]\nconnection = {played_hosts.url}\n")

    def told(*command: str) -> str:
        where = ["--config-file", str(config_file), "--state-dir", str(played_hosts.state_dir)]
        done = CliRunner().invoke(manage.main, [*command, *where])
        assert done.exit_code == 0 or command[1] == "evacuate", done.output
        return done.output

    assert "worker of host host1 lives" in told("host", "evacuate", "host1")
    assert f"{server}  goes to host2" in told("host", "drain", "host1", "--reason", "disks")
    assert settled(played_hosts, server) == "host2"
    (shown,) = [text for text in told("share_server", "list").splitlines() if server in text]
    assert " host2 " in shown and " cluster@alpha " in shown


# --- killed anywhere ------------------------------------------------------------------------------


class WalkOfHosts(Walk):
    """Of the hosts `names`, in whose processes the work is done; the world is theirs together."""

    names: tuple[str, ...] = ()

    def _worker(self, url: str, state_dir: Path, environment: dict[str, str]) -> WorkerProcess:
        return worker(state_dir, url, self.names[0], environment)

    def _finish(self, url: str, state_dir: Path, environment: dict[str, str]) -> None:
        others = [worker(state_dir, url, name, environment) for name in self.names[1:]]
        try:
            super()._finish(url, state_dir, environment)
        finally:
            for other in others:
                other.kill()

    def fail(self, number: int, moment: str, error: str) -> None:
        """Let that step fail, and look at what becomes of it: why is told with the server, and when
        nothing fails any more it stands, by itself or when it is resumed or drained again."""
        url, state_dir = self._copy()
        place = f"{self.workflow}/{number}/{moment}/{error}"
        engine = create_engine(url)
        at_ease: dict[str, Any] = {
            "worker.watch_interval": 3600.0
        }  # what is told is not set right meanwhile
        failing = [
            worker(state_dir, url, name, {"ABACA_FAIL_AT": place}, **at_ease) for name in self.names
        ]
        try:
            # it is told before the work is parked, or has ended
            told = wait_for(lambda: _server(engine).move_reason, self.patience)
            wait_for(lambda: error != BUG or _work(engine, "parked"), self.patience)
            wait_for(lambda: not _work(engine, "running"), self.patience)
            for each in failing:
                each.kill()
            assert FAILURE in told or INTERNAL in told, (place, told)
            target = self._set_right(engine)
            self._finish(url, state_dir, {})
            end = _server(engine)
            assert (end.worker_host, end.is_moving, end.move_reason) == (target, False, None), (
                place,
                end,
            )
        finally:
            for each in failing:
                each.kill()
            engine.dispose()
        (standing,) = self._observe(url, state_dir)["world of alpha"]["servers"].values()
        assert standing["stands_on"] == target and standing["is_served"], place

    def _set_right(self, engine: Engine) -> str:
        """As an administrator does, and say where it is to stand then."""
        for work in _work(engine, "parked"):
            with suppress(Conflict), begin(engine) as conn:
                parked_work.resume(conn, work.id)
        server = _server(engine)
        could_not_leave = server.worker_host == "host1" and not server.is_moving
        was_refused = server.is_moving and not _work(engine, "waiting", "running")
        if not (could_not_leave or was_refused):
            return "host2"
        with begin(engine) as conn:
            conn.execute(sa.update(worker_leases).values(expires_at=LATER))
            target = moves.drain(conn, server.worker_host).going[server.id]
            conn.execute(sa.update(worker_leases).values(expires_at=EARLIER))
        return target


def _work(engine: Engine, *states: str) -> list[unfinished.UnfinishedWork]:
    """In these states; what waits for the server to stand is left out."""
    waiting = server_hosts.waiting_queue(_server(engine).id)
    with read(engine) as conn:
        return [work for work in unfinished.find(conn, states) if work.worker_host != waiting]


def _stands(conn: sa.Connection) -> bool:
    server = conn.execute(sa.select(share_servers)).one()
    return not server.is_moving and server.move_reason is None


def _server(engine: Engine) -> sa.Row[Any]:
    with read(engine) as conn:
        return conn.execute(sa.select(share_servers)).one()


def prepared(
    state_dir: Path, databases: Databases, workflow: str, ask: str, names: tuple[str, ...]
) -> WalkOfHosts:
    """A share server with a share, and work that waits for it, is to go from host1 to host2."""
    url = databases.create_from(initialise)
    with played(state_dir, url, "host1") as played_hosts:
        stack = played_hosts.stack
        share = share_on(stack)
        others = ("host2", *(name for name in names if name > "host2"))
        played_hosts.start(*others)
        for name in ("host1", *others):
            played_hosts.stop(name)
        if ask == "drain":  # its worker lives as long as its lease
            stack.do(lambda conn: conn.execute(sa.update(worker_leases).values(expires_at=LATER)))
        told = stack.do(getattr(moves, ask), "host1")
        assert list(told.going.values()) == ["host2"]
        stack.do(lambda conn: conn.execute(sa.update(worker_leases).values(expires_at=EARLIER)))
        stack.do(shares.extend, MEMBER, share, 2)
    walked = WalkOfHosts(databases, url, state_dir, {"alpha": {}}, workflow, patience=40)
    walked.names = names
    return walked


def walk(
    state_dir: Path, databases: Databases, workflow: str, ask: str, names: tuple[str, ...]
) -> None:
    walked = prepared(state_dir, databases, workflow, ask, names)
    steps, expected = walked.undisturbed()
    assert len(steps) >= 3
    (standing,) = expected["share_servers"]
    assert '"worker_host":"host2"' in standing and '"is_moving":false' in standing
    assert '"size":2' in expected["shares"][0] and '"status":"available"' in str(
        expected["share_instances"]
    )
    for number, moment in places(steps, all_of_them=True):
        walked.kill(steps, number, moment, expected)


EARLIER, LATER = datetime(2000, 1, 1), datetime(2100, 1, 1)


MOVES = pytest.mark.parametrize(
    ("workflow", "ask", "names"),
    [
        ("share_server_arrive", "evacuate", ("host2",)),
        ("share_server_depart", "drain", ("host1", "host2")),
    ],
)


@pytest.mark.sampled(8)
@pytest.mark.timeout(900)
@MOVES
def test_killed_anywhere_it_ends_the_same(
    databases: Databases, tmp_path: Path, workflow: str, ask: str, names: tuple[str, ...]
) -> None:
    walk(tmp_path / "state", databases, workflow, ask, names)


@pytest.mark.sampled(8)
@pytest.mark.timeout(900)
def test_a_failure_anywhere_on_leaving_is_told_and_set_right(
    databases: Databases, tmp_path: Path
) -> None:
    names = ("host1", "host2")
    walked = prepared(tmp_path / "state", databases, "share_server_depart", "drain", names)
    steps, _ = walked.undisturbed()
    for number, moment, error in sample(failing_places(steps), 4):
        walked.fail(number, moment, error)


@pytest.mark.sampled(8)
@pytest.mark.timeout(900)
def test_a_failure_anywhere_on_arrival_is_told_and_set_right(
    databases: Databases, tmp_path: Path
) -> None:
    """A step that fails otherwise than by the driver is not tried again until a person sends the
    server elsewhere."""
    names = ("host2", "host3")
    walked = prepared(tmp_path / "state", databases, "share_server_arrive", "evacuate", names)
    walked.is_over = _stands
    steps, _ = walked.undisturbed()
    assert len([step for step in steps if step.endswith("+")]) == 2, steps
    for number, moment, error in sample(failing_places(steps), 4):
        walked.fail(number, moment, error)
