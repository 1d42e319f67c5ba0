"""What NFS clients wait for when their file server is killed (SIGKILL) under them: a real worker,
real NFS servers, raw NFSv4 clients.

There is no NFS client in every kernel, so the clients here speak the protocol themselves, and do
what Linux does: connect anew at once, then after 3 s; become known to the server again; reclaim
what they hold; repeat an open that is refused for the grace period after 0.1 s, 0.2 s, 0.4 s, and
so on. Needs root.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import astuple, dataclass, field
from pathlib import Path
from threading import Event, Thread

from abaca.drivers.linux import inventory, processes
from abaca.drivers.linux.clients import attach_client
from abaca.drivers.linux.file_services.nfs.ganesha import NFS_PORT
from abaca.drivers.linux.file_services.nfs.nfs4 import Nfs4Error
from abaca.drivers.linux.layout import run_path
from abaca.worker.backends import network_namespace
from bench import conditions
from bench.conditions import ForeignLoad
from bench.programs import until
from bench.report import Report
from tests.nfs4.client import Client, Client40, Client41, OpenFile
from tests.operations.scene import allow, available_share, server_of, settled_rules
from tests.stack import Stack, initialise, make_conf

RANGE, CLIENTS_FROM = "10.91.0.0/16", 200
LONGEST_SECONDS = 90.0
MANY = 20  # servers that are killed at once
BUSY = 0.05  # seconds between two writes of a busy client
RENEWALS = 10 / 1.5  # and between the heartbeats of an idle client: two thirds of the lease
FIRST_RETRY, LONGEST_RETRY = 0.1, 15.0


@dataclass
class Waits:
    """Seconds after the kill: until the server listens, the client reads and writes on, its new
    open is granted."""

    listens: float = 0.0
    resumed: float = 0.0
    opened: float = 0.0


@dataclass
class Scene:
    """Who uses the server: the client that is measured, others that work as it does, others that
    only keep their leases."""

    name: str
    measured: type[Client]
    busy: Sequence[type[Client]] = ()
    idle: Sequence[type[Client]] = ()
    waits: list[Waits] = field(default_factory=list)


def scenes() -> list[Scene]:
    return [
        Scene("4.1 alone", Client41),
        Scene("4.1, beside a busy 4.1", Client41, busy=[Client41]),
        Scene("4.1, beside an idle 4.1", Client41, idle=[Client41]),
        Scene("4.1, beside a busy 4.0", Client41, busy=[Client40]),
        Scene("4.0 alone", Client40),
        Scene("4.0, beside a busy 4.1", Client40, busy=[Client41]),
    ]


def run(rounds: int, shares: int = 4) -> None:
    """Measure and report. Each round kills a server of its own, so that none is in the pause after
    its last death."""
    logging.disable(logging.WARNING)
    report = Report("outage")
    report.say(
        f"An NFS server is killed under its clients, {conditions.machine()}. Linux back end, "
        f"SQLite, {shares} shares a server."
    )
    load, measured = ForeignLoad(), scenes()
    with _installed() as stack, stack.working():
        for _ in range(rounds):
            for scene in measured:
                scene.waits.append(_measure(stack, scene, shares))
    report.table(
        ["client", "server listens", "reads and writes on", "new open"],
        [
            [scene.name, *map(_spread, zip(*map(astuple, scene.waits), strict=True))]
            for scene in measured
        ],
    )
    with _installed() as stack, stack.working():
        last = _all_at_once(stack, MANY)
    report.say(
        f"Seconds after the kill: median (least to most) of {rounds}. Cores kept busy by others "
        f"meanwhile: {load.cores():.2f}."
    )
    half = last[len(last) // 2]
    report.say(
        f"{MANY} servers killed at once listen again after {last[0]:.2f} s (the first), "
        f"{half:.2f} s (half), {last[-1]:.2f} s (all)."
    )
    print(f"Written to {report.path}")


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


@contextmanager
def _installed() -> Iterator[Stack]:
    folder = Path(tempfile.mkdtemp(prefix="abaca-bench-"))
    folder.chmod(0o755)
    url = f"sqlite:///{folder / 'abaca.db'}"
    initialise(url)
    stack = Stack(
        make_conf(
            folder,
            url,
            {"linux": {"share_driver": "linux", "pool_size_gib": "200", "pool_sparse": "true"}},
        )
    )
    stack.share_type()
    try:
        yield stack
    finally:
        stack.close()
        inventory.remove_installation(network_namespace(stack.conf), folder / "worker")
        shutil.rmtree(folder)


def _all_at_once(stack: Stack, number: int) -> list[float]:
    """Seconds after the death of so many servers until each listens again, in order."""
    shares = [
        available_share(stack, stack.share_network(stack.network(f"10.{92 + net}.0.0/16")[0]))
        for net in range(number)
    ]
    files = [
        run_path(network_namespace(stack.conf)) / server_of(stack, share) / "ganesha.pid"
        for share in shares
    ]
    pids, waits = [int(file.read_text()) for file in files], [Waits() for _ in files]
    killed = time.monotonic()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    watchers = [
        Thread(target=_see_it_listen, args=(file, pid, killed, each))
        for file, pid, each in zip(files, pids, waits, strict=True)
    ]
    for watcher in watchers:
        watcher.start()
    for watcher in watchers:
        watcher.join()
    return sorted(each.listens for each in waits)


def _measure(stack: Stack, scene: Scene, shares: int) -> Waits:
    network, subnet = stack.network(RANGE)[0]
    share_network = stack.share_network((network, subnet))
    made = [available_share(stack, share_network) for _ in range(shares)]
    for share in made:
        allow(stack, share, "0.0.0.0/0")
    for share in made:
        settled_rules(stack, share)
    address, path = stack.paths(made[0])[0].split(":", 1)
    prefix = network_namespace(stack.conf)
    pid_file = run_path(prefix) / server_of(stack, made[0]) / "ganesha.pid"
    with ExitStack() as leaving:
        users = []
        for number, kind in enumerate([scene.measured, *scene.busy, *scene.idle]):
            netns = f"{prefix}-{network[:8]}-{number}"
            attach_client(prefix, network, netns, [f"10.91.0.{CLIENTS_FROM + number}/16"])
            users.append(leaving.enter_context(kind(netns, address, patience=LONGEST_SECONDS)))
        return _kill(users, len(scene.busy) + 1, path, pid_file)


def _kill(users: list[Client], busy: int, path: str, pid_file: Path) -> Waits:
    files = []
    for number, user in enumerate(users):
        files.append(_open(user, user.handle_of(path), f"file {number}"))
        user.lock(files[-1])
    ended, waits = Event(), Waits()
    pauses = [BUSY if place < busy else RENEWALS for place in range(len(users))]
    others = [
        Thread(target=_keep_on, args=(*other, ended))
        for other in zip(users, files, pauses, strict=True)
    ][1:]
    for other in others:
        other.start()
    Event().wait(1.0)
    pid = int(pid_file.read_text())
    killed = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    listening = Thread(target=_see_it_listen, args=(pid_file, pid, killed, waits))
    listening.start()
    try:
        _write_on(users[0], files[0])
        waits.resumed = time.monotonic() - killed
        folder = users[0].handle_of(path)
        _open(users[0], folder, "new")
        waits.opened = time.monotonic() - killed
    finally:
        ended.set()
        for thread in (listening, *others):
            thread.join()
    return waits


def _see_it_listen(pid_file: Path, old: int, killed: float, waits: Waits) -> None:
    def listens() -> bool:
        try:
            pid = int(pid_file.read_text() or old)
        except FileNotFoundError:
            return False
        return pid != old and processes.listens(pid, NFS_PORT)

    until(listens, "the server to listen again", LONGEST_SECONDS, 0.005)
    waits.listens = time.monotonic() - killed


def _write_on(user: Client, file: OpenFile) -> None:
    """Until a write is answered over another connection than the one that there was."""
    link = user.link
    while user.link is link:
        user.persistently(lambda: user.write(file, 0, b"data"))


def _keep_on(user: Client, file: OpenFile, every_seconds: float, ended: Event) -> None:
    while not ended.wait(every_seconds):
        user.persistently(lambda: user.write(file, 0, b"data"))


def _open(user: Client, folder: bytes, name: str) -> OpenFile:
    """Again and again, after longer and longer pauses, while the server is in its grace period."""
    pause = FIRST_RETRY
    while True:
        try:
            return user.persistently(lambda: user.open(folder, name, create=True))
        except Nfs4Error as error:
            if error.name not in ("GRACE", "DELAY"):
                raise
            _rest(user, pause)
            pause = min(2 * pause, LONGEST_RETRY)


def _rest(user: Client, seconds: float) -> None:
    """Keep nothing but the lease meanwhile."""
    while seconds > RENEWALS:
        Event().wait(RENEWALS)
        user.renew()
        seconds -= RENEWALS
    Event().wait(seconds)
