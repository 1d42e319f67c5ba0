"""A host of a shared back end dies: others find it dead, and take its share servers over by
themselves, or say why they do not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
import sqlalchemy as sa

from abaca.db.session import allow_idleness, begin, utcnow
from abaca.db.tables import hosts as host_rows
from abaca.db.tables import service_workers, worker_leases
from abaca.domain.server_moves import failovers
from abaca.domain.server_moves import share_server_moves as moves
from abaca.domain.services import condition, hosts, services
from abaca.drivers.fake.faults import Fault, write_plan
from abaca.errors import Conflict
from abaca.reconcile.dead_hosts import ALONE, LOOKS
from abaca.reconcile.passes import LEAST_REST
from tests.databases import Initialise
from tests.operations.scene import server_of
from tests.operations.shared_hosts import SERVICE, Hosts, live
from tests.operations.test_share_server_moves import extended, row, settled, share_on, stands
from tests.stack import initialise, wait_for

pytestmark = [
    pytest.mark.each_database,
    pytest.mark.timeout(300),
    pytest.mark.sampled_file(8),
]

DELAY = 1.0
Play = Callable[..., Hosts]


@pytest.fixture
def play(template_database: Callable[[Initialise], str], tmp_path: Path) -> Iterator[Play]:
    """`play("host1", "host2")`: their workers, which are told to look at each other."""
    made: list[Hosts] = []

    def start(*names: str, **more: Any) -> Hosts:
        settings: dict[str, Any] = {
            "failover.enabled": True,
            "failover.delay_seconds": DELAY,
            "failover.pause_seconds": 0.0,
            "worker.report_interval": 0.3,
            **more,
        }
        made.append(Hosts(tmp_path / "state", template_database(initialise), **settings))
        made[-1].start(*names)
        return made[-1]

    yield start
    for each in made:
        each.close()


def on_host1(play: Play, *others: str, **more: Any) -> tuple[Hosts, str, str]:
    """Workers, a share and its server, which stands on host1, and has been looked at."""
    played = play("host1", **more)
    share = share_on(played.stack)
    played.start(*others)
    if more.get("failover.enabled", True):
        played.look(*others)
    return played, share, server_of(played.stack, share)


def refusal(played: Hosts, name: str = "host1") -> Any:
    return played.stack.ask(hosts.get, name)["failover_refusal"]


def dies(played: Hosts, *names: str) -> None:
    played.silence(*names)
    played.kill(*names)


def test_others_take_over_what_a_dead_host_had(play: Play) -> None:
    played, share, server = on_host1(play, "host2", "host3")
    dies(played, "host1")
    wait_for(lambda: row(played.stack, server).generation == 1, 60)
    assert settled(played, server) in ("host2", "host3")
    assert row(played.stack, server).generation == 1, "one of the two has decided"
    view = played.stack.ask(hosts.get, "host1")
    assert view["state"] == "fenced" and "taken for dead by host host" in view["state_reason"]
    assert view["failed_over_at"] is not None and view["failover_refusal"] is None
    assert "taken for dead" in str(played.stack.ask(condition.get).problems)
    assert extended(played.stack, share, 2) == "available"


def test_one_that_answers_is_left_alone_until_it_does_not(play: Play) -> None:
    """Its shares are served without a worker."""
    played, _, server = on_host1(play, "host2")
    played.kill("host1")
    wait_for(lambda: refusal(played), 60)
    assert refusal(played) == "it answers at host1"
    assert "it answers at host1" in str(played.stack.ask(condition.get).problems)
    assert row(played.stack, server).generation == 0
    played.silence("host1")
    wait_for(lambda: row(played.stack, server).generation == 1, 60)
    assert settled(played, server) == "host2"


def test_one_that_comes_back_in_time_is_left_alone(play: Play) -> None:
    more = {"failover.delay_seconds": 20.0}
    played, share, server = on_host1(play, "host2", **more)
    dies(played, "host1")
    played.look("host2")
    played.start("host1")
    played.silence()
    played.look("host2")
    assert stands(played, server) == "host1"
    assert extended(played.stack, share, 2) == "available"
    assert played.stack.ask(hosts.get, "host1")["failover_refusal"] is None


def test_who_has_never_seen_it_answer_takes_nobody_for_dead(play: Play) -> None:
    """So after an outage of the database, in which all workers have ended, nobody is."""
    played, _, server = on_host1(play, "host2")
    dies(played, "host1", "host2")
    played.start("host2")
    wait_for(lambda: refusal(played), 60)
    assert "never seen to answer" in refusal(played)
    assert row(played.stack, server).generation == 0


def test_who_finds_all_others_dead_takes_nobody_for_dead(play: Play) -> None:
    played, _, server = on_host1(play, "host2", "host3")
    played.silence("host1", "host2")
    played.workers["host1"].kill()
    played.workers["host2"].kill()
    played.end_leases("host1", "host2")
    wait_for(lambda: refusal(played), 60)
    assert refusal(played) == ALONE
    assert row(played.stack, server).generation == 0


def test_who_does_not_hear_a_living_one_either_takes_nobody_for_dead(play: Play) -> None:
    """It is cut off from where the others are, and not from the database."""
    played, _, server = on_host1(play, "host2", "host3")
    played.silence("host1", "host2", "host3")
    played.kill("host1")
    wait_for(lambda: refusal(played), 60)
    assert "no other host answers here" in refusal(played)
    played.look("host2", "host3")
    assert row(played.stack, server).generation == 0


def test_after_one_no_other_is_taken_for_dead_for_a_while(play: Play) -> None:
    played, _, server = on_host1(play, "host2", "host3", **{"failover.pause_seconds": 3600.0})
    elsewhere = sa.update(host_rows).where(host_rows.c.name == "host3")
    played.stack.do(lambda conn: conn.execute(elsewhere.values(failed_over_at=utcnow())))
    dies(played, "host1")
    wait_for(lambda: refusal(played), 60)
    assert "Host host3 was taken for dead" in refusal(played)
    assert "pause_seconds" in refusal(played)
    assert row(played.stack, server).generation == 0


def test_where_nobody_has_room_the_host_is_not_fenced(play: Play) -> None:
    played, _, server = on_host1(play, "host2")
    played.stack.do(hosts.set_state, "host2", "draining")
    dies(played, "host1")
    wait_for(lambda: refusal(played), 60)
    assert moves.NO_ROOM in refusal(played)
    assert played.stack.ask(hosts.get, "host1")["stored_state"] == "up"
    assert row(played.stack, server).generation == 0


@pytest.mark.parametrize("which", [None, "host1"])
def test_one_that_cannot_be_asked_is_not_found_dead(play: Play, which: str | None) -> None:
    """Alone, or because its back end cannot ask anybody."""
    played, _, server = on_host1(play, "host2")
    plan = played.state_dir / "host2.faults"
    fault = Fault(method="answering", match=which, error="Unavailable", message="no network")
    write_plan(plan, [fault])
    dies(played, "host1")
    wait_for(lambda: refusal(played), 60)
    assert "no network" in refusal(played)
    assert row(played.stack, server).generation == 0
    write_plan(plan, [])
    wait_for(lambda: row(played.stack, server).generation == 1, 60)
    assert settled(played, server) == "host2"


def test_one_that_cannot_be_asked_keeps_no_other_from_being_found_dead(play: Play) -> None:
    played, _, server = on_host1(play, "host2")
    played.start("host3", **{"failover.enabled": False})
    plan = played.state_dir / "host2.faults"
    write_plan(plan, [Fault(method="answering", match="host3", error="Unavailable")])
    dies(played, "host1")
    wait_for(lambda: row(played.stack, server).generation == 1, 60)
    assert settled(played, server) in ("host2", "host3")
    assert "by host host2" in played.stack.ask(hosts.get, "host1")["state_reason"]


def test_who_could_shut_nobody_out_takes_nobody_for_dead(play: Play) -> None:
    """Its back end is not up."""
    played, _, server = on_host1(play, "host2")
    faults = [
        Fault(method=name, error="Unavailable", message="no Ceph")
        for name in ("get_pools", "check_for_setup_error")
    ]
    write_plan(played.state_dir / "host2.faults", faults)
    wait_for(lambda: played.stack.ask(live) == {"host1"}, 30)
    dies(played, "host1")
    wait_for(lambda: refusal(played), 60)
    assert refusal(played) == f"back end {SERVICE} is not up here"
    assert row(played.stack, server).generation == 0
    write_plan(played.state_dir / "host2.faults", [])
    wait_for(lambda: row(played.stack, server).generation == 1, 60)
    assert settled(played, server) == "host2"


def test_a_host_without_share_servers_is_nobodys_loss(play: Play) -> None:
    played, _, _ = on_host1(play, "host2")
    dies(played, "host2")
    for _ in range(4):
        played.look("host1")
    assert played.stack.ask(hosts.get, "host2")["stored_state"] == "up"
    assert refusal(played, "host2") is None


def test_looks_that_last_long_find_it_dead(play: Play) -> None:
    """Each lasts longer than the delay and the pause between two."""
    played, _, server = on_host1(play, "host2", backend={"delay_answering_ms": "2000"})
    dies(played, "host1")
    wait_for(lambda: row(played.stack, server).generation == 1, 60)
    assert settled(played, server) == "host2"


@pytest.mark.slow("looks at a host that is silent for seconds")
@pytest.mark.parametrize(
    "break_off",
    ["a late look", "a look that is held up", "a database that stalls", "a look that fails"],
)
def test_silence_counts_from_the_last_break_on(play: Play, break_off: str) -> None:
    """Who did not look does not know whether it answered meanwhile."""
    delay, lasts = 6.0, 2.5
    more: dict[str, Any] = {"failover.delay_seconds": delay}
    if break_off == "a look that is held up":
        more["backend"] = {"delay_answering_ms": str(int(lasts * 1000))}
    played, _, server = on_host1(play, "host2", **more)
    if break_off == "a database that stalls" and played.stack.engine.dialect.name == "sqlite":
        pytest.skip("who reads waits for nobody on SQLite")
    dies(played, "host1")
    played.look("host2")
    too_long = delay / LOOKS + delay + 1
    if break_off == "a database that stalls":
        with begin(played.stack.engine) as conn:
            allow_idleness(conn)
            conn.execute(sa.text("LOCK TABLE hosts IN ACCESS EXCLUSIVE MODE"))
            Event().wait(too_long)
    elif break_off == "a look that fails":
        plan = played.state_dir / "host2.faults"
        write_plan(plan, [Fault(method="answering", error="bug", times=1)])
        wait_for(plan.with_name(f"{plan.name}.counts").exists, 30)
    else:
        if break_off == "a look that is held up":
            Event().wait(lasts / 2 + delay / LOOKS * LEAST_REST)  # its middle
        played.hold_up("host2")
        Event().wait(too_long)
        played.workers["host2"].go_on()
    since = time.monotonic()
    wait_for(lambda: row(played.stack, server).generation == 1, 60)
    assert time.monotonic() - since >= delay


def test_it_is_off_by_default(play: Play) -> None:
    played, _, server = on_host1(play, "host2", **{"failover.enabled": False})
    dies(played, "host1")
    Event().wait(4 * DELAY)
    assert row(played.stack, server).generation == 0 and refusal(played) is None


def test_a_worker_that_was_only_held_up_does_nothing_more(play: Play) -> None:
    """Its lease cannot be renewed after others have its servers."""
    played, _, server = on_host1(play, "host2")
    held_up = played.workers["host1"]
    played.hold_up("host1")
    played.silence("host1")
    played.end_leases("host1")
    wait_for(lambda: row(played.stack, server).generation == 1, 60)
    held_up.go_on()
    wait_for(lambda: held_up.exit_code is not None, 60)
    assert settled(played, server) == "host2"
    assert played.stack.ask(live) == {"host2"}, "its reports count no more"
    assert played.stack.ask(services.led, "host2") == {SERVICE}


# --- the decision ---------------------------------------------------------------------------------


@pytest.fixture
def two(play: Play) -> tuple[Hosts, str]:
    """Whose workers decide nothing themselves. host1 is dead."""
    played, _, server = on_host1(play, "host2", **{"failover.enabled": False})
    played.kill("host1")
    return played, server


def decide(played: Hosts, pause_seconds: float = 0.0) -> moves.Moves | None:
    told: moves.Moves | None = played.stack.do(failovers.fail_over, "host1", "host2", pause_seconds)
    return told


@pytest.mark.parametrize(("hours", "is_to_be"), [(-2, True), (-0.5, False), (2, True)])
def test_the_pause_ends_and_a_clock_that_was_set_back_makes_none(
    two: tuple[Hosts, str], hours: float, is_to_be: bool
) -> None:
    played, server = two
    at = utcnow() + timedelta(hours=hours)
    other = sa.update(host_rows).where(host_rows.c.name == "host2").values(failed_over_at=at)
    played.stack.do(lambda conn: conn.execute(other))
    if is_to_be:
        told = decide(played, 3600.0)
        assert told is not None and told.going == {server: "host2"}
    else:
        with pytest.raises(Conflict, match="Host host2 was taken for dead at"):
            decide(played, 3600.0)


def test_one_host_decides_and_the_next_finds_it_done(two: tuple[Hosts, str]) -> None:
    played, server = two
    told: list[moves.Moves | None] = []

    def second() -> None:
        told.append(decide(played))

    with begin(played.stack.engine) as conn:
        first = failovers.fail_over(conn, "host1", "host2", 0.0)
        assert first is not None and first.going == {server: "host2"}
        other = Thread(target=second)
        other.start()
        other.join(0.5)
        assert other.is_alive(), "it waits"
    other.join(30)
    assert told == [None]
    assert settled(played, server) == "host2" and row(played.stack, server).generation == 1


def test_a_person_and_a_host_that_decide_at_once_do_not_wait_for_each_other(
    two: tuple[Hosts, str],
) -> None:
    played, server = two
    told: list[moves.Moves] = []

    def by_hand() -> None:
        told.append(played.stack.do(moves.evacuate, "host1", "burnt"))

    with begin(played.stack.engine) as conn:
        conn.execute(sa.select(host_rows).with_for_update()).all()
        other = Thread(target=by_hand)
        other.start()
        other.join(0.5)
        first = failovers.fail_over(conn, "host1", "host2", 0.0)
        assert first is not None and first.going == {server: "host2"}
    other.join(30)
    assert told, "the person is not told of a deadlock"
    assert settled(played, server) == "host2" and row(played.stack, server).generation == 1


def also_serves(played: Hosts, name: str) -> None:
    """A host as host1, whose worker lives, by its rows."""
    stack = played.stack
    like = sa.select(service_workers).where(service_workers.c.worker_host == "host1")
    told = dict(stack.ask(lambda conn: conn.execute(like).one())._mapping)
    stack.do(hosts.register, name)
    new = sa.insert(service_workers).values({**told, "worker_host": name})
    stack.do(lambda conn: conn.execute(new))
    until = utcnow().replace(year=2100)
    lease = sa.insert(worker_leases).values(host=name, machine=name, token=1, expires_at=until)
    stack.do(lambda conn: conn.execute(lease))


def test_of_two_hosts_that_two_others_find_dead_at_once_one_is(two: tuple[Hosts, str]) -> None:
    """Neither decision is about a host of the other's; still the second one waits for the first,
    and finds its pause."""
    played, server = two
    other_server = server_of(played.stack, share_on(played.stack, "10.1.0.0/24"))
    assert stands(played, other_server) == "host2"
    also_serves(played, "host3")
    also_serves(played, "host4")
    played.kill("host2")
    told: list[object] = []

    def second() -> None:
        try:
            told.append(played.stack.do(failovers.fail_over, "host2", "host4", 3600.0))
        except Conflict as conflict:
            told.append(conflict.message)

    with begin(played.stack.engine) as conn:
        first = failovers.fail_over(conn, "host1", "host3", 3600.0)
        assert first is not None and first.going.keys() == {server}
        other = Thread(target=second)
        other.start()
        other.join(1)
    other.join(30)
    assert "Host host1 was taken for dead" in str(told)
    assert played.stack.ask(hosts.get, "host2")["stored_state"] == "up"
    assert row(played.stack, other_server).generation == 0


def test_what_changed_since_the_last_look_is_looked_at_again(two: tuple[Hosts, str]) -> None:
    played, server = two
    played.end_leases("host2")
    with pytest.raises(Conflict, match="host2 does not live itself"):
        decide(played)
    later = utcnow().replace(year=2100)
    played.stack.do(lambda conn: conn.execute(sa.update(worker_leases).values(expires_at=later)))
    with pytest.raises(Conflict, match="worker of host host1 lives"):
        decide(played)
    view = played.stack.ask(hosts.get, "host1")
    assert (view["stored_state"], view["failed_over_at"]) == ("up", None)
    assert row(played.stack, server).generation == 0
