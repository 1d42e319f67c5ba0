"""What it takes when a host dies whose share servers others take over, and what shares in CephFS
and tunnels between hosts carry: workers of played hosts, a real Ceph, real NFS servers, raw NFSv4
clients.

Ceph keeps its data in memory, so its disk is not in these figures. Needs root.
"""

from __future__ import annotations

import logging
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import psutil
import sqlalchemy as sa

from abaca.db.tables import share_instances, share_servers
from abaca.domain.server_moves import share_server_moves
from abaca.domain.services import hosts
from abaca.drivers.linux import inventory, namespaces
from abaca.drivers.linux.file_services.nfs.nfs4 import Nfs4Error, putfh
from abaca.drivers.linux.layout import Layout
from bench import conditions
from bench.conditions import ForeignLoad
from bench.programs import until
from bench.report import Report, number
from bench.walls import CHUNK, CHUNKS, DATA, timed
from tests.ceph_cluster import Ceph
from tests.databases import Databases
from tests.nfs4 import operations as ops
from tests.nfs4.client import Client41, patiently
from tests.nfs4.writer import Writer, writing
from tests.operations.scene import allow, available_share, server_of, settled_rules
from tests.played_hosts import PlayedHost, Town, neighbours, on_ceph, stands_on, town
from tests.stack import Stack, initialise

UNDERLAY = "10.99.6.{}/24"
EVERYBODY = "0.0.0.0/0"
FILES = 500
WRITERS = 5  # clients of as many of the servers
OPTIONS: dict[str, Any] = {
    "failover.pause_seconds": 0.0,
    "quota.shares": -1,
    "quota.share_networks": -1,
    "quota.gigabytes": -1,
}
LOOK_SECONDS = 3.0  # which one at all other hosts takes at most
SYN_SECONDS = 0.5  # less than until it is sent again
LONGEST_SECONDS = 900.0


class Settings(NamedTuple):
    """Seconds after which others take a host for dead: `[worker] lease_seconds` and `[failover]
    delay_seconds`."""

    lease: int
    delay: float


DEFAULTS, SHORT = Settings(30, 10.0), Settings(6, 5.0)


def run(servers: int, rounds: int, *, quick: bool) -> None:
    """Measure and report."""
    if quick:
        servers, rounds = min(servers, 6), 1
    logging.disable(logging.WARNING)
    report = Report("hosts")
    report.say(
        f"Share servers over hosts, {conditions.machine()}. Played hosts, PostgreSQL, Ceph with "
        "one OSD in memory, a share a server."
    )
    with neighbours() as (ceph, databases):
        _report_carried(report, ceph, databases, rounds)
        _report_moves(report, ceph, databases, rounds, (SHORT,) if quick else (DEFAULTS, SHORT))
        _report_death(report, ceph, databases, servers)
    print(f"Written to {report.path}")


# --- what is carried ------------------------------------------------------------------------------


def _report_carried(report: Report, ceph: Ceph, databases: Databases, rounds: int) -> None:
    load, body = ForeignLoad(), []
    for name, shared in (("btrfs", None), ("CephFS", on_ceph(ceph))):
        with _town(databases, 2, shared) as made:
            network, path, server = _share(made)
            here = made.hosts[0]
            near = (
                here if not shared or stands_on(here.stack, server) == here.name else made.hosts[1]
            )
            (far,) = (host for host in made.hosts if host is not near)
            clients = {"on the same host": (near, 200), "through a tunnel": (far, 201)}
            found: dict[str, list[list[float]]] = {where: [] for where in clients}
            machines = {
                where: host.machine(f"m{last}", network, f"10.80.0.{last}/16")
                for where, (host, last) in clients.items()
            }
            for turn in range(rounds):
                for where, netns in machines.items():
                    found[where].append(_carried(netns, path, f"{turn}{where[:2]}"))
        body += [
            [f"{name}, {where}", *map(_spread, zip(*runs, strict=True))]
            for where, runs in found.items()
        ]
    report.table(["", "create, 1/s", "write, MB/s", "read, MB/s"], body)
    report.say(
        f"One connection, one request at a time, {FILES} files, {CHUNKS} calls of 1 MiB; median "
        f"(least to most) of {rounds}. Cores kept busy by others and by servers: "
        f"{load.cores():.2f}."
    )


def _carried(netns: str, path: str, mark: str) -> list[float]:
    address, _, folder = path.partition(":/")
    with Client41(netns, address, patience=60) as client:
        handle = client.handle_of(folder)
        patiently(lambda: client.put(handle, f"first {mark}", b""))
        _, created = timed(FILES, lambda each: client.put(handle, f"{mark} {each}", b""))
        file = client.open(handle, "large", create=True)
        commit = [putfh(file.handle), ops.commit()]
        _, written = timed(
            CHUNKS,
            lambda each: client.write(file, each * CHUNK, DATA, ops.UNSTABLE),
            lambda: client.run(*commit),
        )
        _, was_read = timed(CHUNKS, lambda each: client.read(file, each * CHUNK, CHUNK))
        client.close(file)
    return [created, written * CHUNK / 1e6, was_read * CHUNK / 1e6]


# --- one server -----------------------------------------------------------------------------------


class Moved(NamedTuple):
    """Seconds: from the death to the decision, from there, or from the command, until the server
    stands, until a client that comes is known to it and reaches the share, and until the one that
    was there writes on; the longest time that this one waited."""

    decided: float
    stands: float
    answers: float
    goes_on: float
    stall: float


def _report_moves(
    report: Report, ceph: Ceph, databases: Databases, rounds: int, settings: Sequence[Settings]
) -> None:
    """One server, whose host is drained, and dies, in turn."""
    body: list[list[str]] = []
    errors, locks, load = 0, 0, ForeignLoad()
    for each in settings:
        found: dict[str, list[Moved]] = {"drained": [], "dies": []}
        with _town(databases, 2, on_ceph(ceph), each) as made:
            network, path, server = _share(made)
            machines = {
                host.name: host.machine(f"m{last}", network, f"10.80.0.{last}/16")
                for last, host in enumerate(made.hosts, 200)
            }
            for _ in range(rounds):
                for how, moves in found.items():
                    here = stands_on(made.hosts[0].stack, server)
                    old, new = sorted(made.hosts, key=lambda host: host.name != here)
                    conditions.wait(each.delay + LOOK_SECONDS)  # until it was seen to live
                    netns = machines[new.name]
                    with writing(netns, path) as writer:
                        moves.append(_moved(how, old, new, server, path, writer, netns))
                        errors += len(writer.errors)
                        locks += writer.keeps_its_lock(netns, path.partition(":/")[0])
                    _restore(how, old, server)
        for how, moves in found.items():
            spread = [_spread(column) for column in zip(*moves, strict=True)]
            body.append([f"{how}, lease {each.lease} s, delay {each.delay:g} s", *spread])
    report.table(
        ["one server, s", "death to decision", "… to standing", "… to answering", "… to writing on",
         "the client's stall"],
        body,
    )  # fmt: skip
    report.say(
        f"Median (least to most) of {rounds}; a drain is decided by the command. I/O errors: "
        f"{errors}. Locks kept: {locks} of {2 * rounds * len(settings)}. Cores kept busy "
        f"meanwhile, by servers, too: {load.cores():.2f}."
    )


def _moved(
    how: str,
    old: PlayedHost,
    new: PlayedHost,
    server: str,
    path: str,
    writer: Writer,
    netns: str,
) -> Moved:
    answered: list[float] = []
    writer.stall = 0.0
    began = decided = time.monotonic()
    if how == "dies":
        old.lose_power()
        until(lambda: _is_fenced(new, old), "it to be found dead", LONGEST_SECONDS)
        decided = time.monotonic()
    else:
        new.stack.do(share_server_moves.drain, old.name)
        until(lambda: old.file_server(server) is None, "it to be taken down", LONGEST_SECONDS)
    before = writer.written
    asking = Thread(target=_until_it_answers, args=(netns, path, answered))
    asking.start()
    until(lambda: stands_on(new.stack, server) == new.name, "it to move", LONGEST_SECONDS)
    stands = time.monotonic()
    if how == "drained":
        before = writer.written
    until(lambda: writer.written > before or writer.errors, "the client", LONGEST_SECONDS)
    goes_on = time.monotonic()
    asking.join()
    return Moved(
        decided - began, stands - decided, answered[0] - decided, goes_on - decided, writer.stall
    )


def _is_fenced(asked: PlayedHost, host: PlayedHost) -> bool:
    return bool(asked.stack.ask(hosts.get, host.name)["stored_state"] == "fenced")


def _restore(how: str, old: PlayedHost, server: str) -> None:
    if how == "dies":
        old.come_back()
        folder = Layout(old.namespace, old.state_dir / "worker", old.backend).server(server)
        until(lambda: not namespaces.exists(folder.namespace), "what it had to go")
    else:
        old.stack.do(hosts.set_state, old.name, "up")


def _until_it_answers(netns: str, path: str, told: list[float]) -> None:
    """Until a client that comes is known to the server, and finds the share."""
    address, _, folder = path.partition(":/")

    def answers() -> bool:
        try:
            with Client41(netns, address, patience=SYN_SECONDS) as client:
                client.handle_of(folder)
                told.append(time.monotonic())
                return True
        except (OSError, Nfs4Error):
            return False

    until(answers, "the server to answer", LONGEST_SECONDS)


# --- a host with many -----------------------------------------------------------------------------


def _report_death(report: Report, ceph: Ceph, databases: Databases, servers: int) -> None:
    """`evacuate` once it is dead: no other time is in what is measured."""
    with _town(databases, 1, on_ceph(ceph)) as made, ExitStack() as ending:
        dying = made.hosts[0]
        began = time.monotonic()
        shares = _many(made, servers)
        taken = time.monotonic() - began
        others = [made.host(), made.host()]
        for host in others:
            host.wait_until_up()
        clients: list[tuple[Writer, str, str]] = []
        for place, (network, share) in enumerate(shares[:WRITERS]):
            netns = others[place % 2].machine(f"w{place}", network, f"10.{100 + place}.0.200/16")
            (path,) = dying.stack.paths(share)
            _until_it_answers(netns, path, [])
            writer = ending.enter_context(writing(netns, path, 0.2))
            clients.append((writer, netns, path.partition(":/")[0]))
        dying.lose_power()
        until(lambda: not dying.lives(), "the lease to end", LONGEST_SECONDS)
        load, used = ForeignLoad(), _cpu(made, ceph)
        waits = _evacuated(dying, others[0].stack, servers)
        used, foreign = _cpu(made, ceph) - used, load.cores()
        memory = _memory(others)
        for writer, _, _ in clients:
            before = writer.written
            until(lambda: writer.has_gone_on(before), "a client to go on", LONGEST_SECONDS)  # noqa: B023
        stalls = [f"{writer.stall:.1f}" for writer, _, _ in clients]
        errors = sum(len(writer.errors) for writer, _, _ in clients)
        locks = sum(writer.keeps_its_lock(netns, address) for writer, netns, address in clients)
        standing = sum(
            host.file_server(server_of(host.stack, share)) is not None
            for host in others
            for _, share in shares
        )
    report.table(
        ["servers", "made, s", "first stands, s", "half, s", "all, s", "CPU a server, s",
         "memory a server, MB"],
        [[str(servers), number(taken), number(waits[0]), number(waits[len(waits) // 2]),
          number(waits[-1]), number(used / servers), number(memory / servers)]],
    )  # fmt: skip
    report.say(
        f"Seconds after `evacuate`, with two hosts that take over; {standing} NFS servers run "
        "there. CPU is that of workers, NFS servers and Ceph; memory that of NFS servers and "
        f"their buses, what they share counted once. {len(clients)} clients stalled for "
        f"{', '.join(stalls)} s from the death on (lease {DEFAULTS.lease} s), I/O errors: "
        f"{errors}, locks kept: {locks}. Cores busy meanwhile, without this program: {foreign:.2f}."
    )


def _many(made: Town, servers: int) -> list[tuple[str, str]]:
    """So many servers with a share each; network and share."""
    stack, found = made.hosts[0].stack, []
    for each in range(servers):
        (net,) = stack.network(f"10.{100 + each}.0.0/16")
        share = stack.share(stack.share_network(net), share_type=made.hosts[0].backend)
        found.append((net[0], share))
    creating = sa.select(sa.func.count()).where(share_instances.c.status == "creating")
    until(lambda: stack.ask(lambda conn: conn.scalar(creating)) == 0, "the shares", LONGEST_SECONDS)
    for _, share in found:
        allow(stack, share, EVERYBODY)
    for _, share in found:
        if settled_rules(stack, share) != "active":
            raise RuntimeError(f"share {share} was not made")
    return found


def _evacuated(dying: PlayedHost, stack: Stack, servers: int) -> list[float]:
    """Seconds from the command until each stands, in order."""
    moving = sa.select(sa.func.count()).where(share_servers.c.is_moving)
    began, waits = time.monotonic(), []  # type: ignore[var-annotated]
    told = stack.do(share_server_moves.evacuate, dying.name)
    if len(told.going) != servers:
        raise RuntimeError(f"only {len(told.going)} go: {told.staying}")

    def all_stand() -> bool:
        left = stack.ask(lambda conn: conn.scalar(moving)) or 0
        waits.extend([time.monotonic() - began] * (servers - left - len(waits)))
        return left == 0

    until(all_stand, "all servers to stand", LONGEST_SECONDS, 0.05)
    reasons = sa.select(share_servers.c.move_reason).where(share_servers.c.move_reason.is_not(None))
    if wrong := stack.ask(lambda conn: conn.scalars(reasons).all()):
        raise RuntimeError(f"{len(wrong)} do not stand: {wrong[:2]}")
    return waits


def _cpu(made: Town, ceph: Ceph) -> float:
    """Seconds that workers, what they started, and Ceph have used."""
    pids = [int(pid) for host in made.hosts for pid in _processes(host)]
    workers = [host.worker.pid for host in made.hosts if host.worker is not None]
    daemons = [int(file.read_text()) for file in ceph.folder.glob("*.pid")]
    return conditions.usage(workers).cpu + conditions.usage([*pids, *daemons], children=False).cpu


def _memory(played: list[PlayedHost]) -> float:
    """MB of NFS servers and their buses, what they share counted once."""
    total = 0
    for host in played:
        for pid in _processes(host):
            total += psutil.Process(int(pid)).memory_full_info().pss
    return total / 1e6


def _processes(host: PlayedHost) -> list[str]:
    return inventory.leftovers(host.namespace, host.state_dir / "worker")["processes"]


# --- what all need --------------------------------------------------------------------------------


@contextmanager
def _town(
    databases: Databases, number_: int, shared: dict[str, str] | None, dead: Settings | None = None
) -> Iterator[Town]:
    """`dead`: hosts take each other for dead; without, nobody does."""
    lease, delay = dead or DEFAULTS
    more = OPTIONS | {
        "failover.enabled": dead is not None,
        "failover.delay_seconds": delay,
        "worker.lease_seconds": lease,
    }
    with tempfile.TemporaryDirectory(prefix="abaca-bench-") as folder:
        url = databases.create_from(initialise)
        with town(Path(folder), url, UNDERLAY, number_, shared, **more) as made:
            yield made


def _share(made: Town) -> tuple[str, str, str]:
    """Its network, its path, its share server."""
    stack = made.hosts[0].stack
    (net,) = stack.network("10.80.0.0/16")
    share = available_share(stack, stack.share_network(net), share_type=made.hosts[0].backend)
    allow(stack, share, EVERYBODY)
    settled_rules(stack, share)
    (path,) = stack.paths(share)
    return net[0], path, server_of(stack, share)


def _spread(values: tuple[float, ...]) -> str:
    return f"{number(statistics.median(values))} ({number(min(values))} to {number(max(values))})"
