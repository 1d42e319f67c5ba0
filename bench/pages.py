"""What 100 open web pages cost others: how long a steady stream of requests takes without them and
with them, in turns, over 10,000 shares. And what it costs a transaction that changes something to
raise the version that pages ask for.

Each page does what the real one does, at the same time as the others: asks for the version of the
project every second, and loads its lists again within a moment when that is new. Now and then
something changes.
"""

from __future__ import annotations

import multiprocessing
import random
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Event

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from abaca import log_context
from abaca.db.session import begin
from abaca.db.tables import shares
from bench import conditions, programs, rows
from bench.abaca_service import Abaca
from bench.client import Answer, Client, Connection, Failed, Target
from bench.conditions import ForeignLoad
from bench.report import Report, ms
from bench.service import PROJECT
from bench.single import installed, running

PAGES, SHARES = 100, 10_000
LONGEST_OPENING = 300  # seconds: on a machine that others keep busy
PAUSE = 1.0  # seconds between two questions of a page
SPREAD = 0.7  # seconds in which the pages that see the same new version load their lists
STREAM = 40  # requests a second of others
CHANGES = 10.0  # seconds between two changes
VERSION = "/v2/project-version"
TRANSACTIONS = 1000  # of each kind
COUNTED_FOR = 15.0  # seconds that a page believes the number of all shares
BACKGROUND = {"Priority": "u=6"}
VIEWS = {  # what is loaded of each that is open, the list of shares first
    "shares": ("/v2/shares/detail?limit=50", "/v2/share-networks"),
    "topology": (
        "/v2/shares/detail?limit=1000",
        "/v2/share-networks/detail",
        "/network/v2.0/network-ip-availabilities",
    ),
}


def run(databases: Sequence[str], *, quick: bool) -> None:
    """Measure and report."""
    seconds, rounds = (5.0, 2) if quick else (20.0, 3)
    report = Report("pages")
    report.say(
        f"{PAGES} open pages over {SHARES:,} shares, {conditions.machine()}. Others ask for one "
        f"share after the other, {STREAM} a second; every {CHANGES:g} s something changes. p50 / "
        f"p99 / most, ms, of {rounds} turns of {seconds:g} s each."
    )
    foreign, body, costs = ForeignLoad(), [], []
    for kind in databases:
        postgresql = programs.PostgreSQL() if kind == "postgresql" else None
        try:
            with installed(postgresql) as installation:
                engine = installation.engine()
                ids = rows.fill(engine, SHARES)
                costs.append([kind, *_version_costs(engine, ids[0])])
                engine.dispose()
                with running(installation, postgresql) as service:
                    for view in VIEWS:
                        body.append([kind, view, *_turns(service, ids, view, seconds, rounds)])
        finally:
            if postgresql is not None:
                postgresql.stop()
    head = ["database", "view", "no page", f"{PAGES} pages", "CPU of the pages, cores"]
    report.table([*head, "until a page shows a change, p50 / p99 / most, s"], body)
    report.say(
        f"A transaction of one UPDATE by a primary key, ms, {TRANSACTIONS} of each kind in turns, "
        "nothing else asking the database:"
    )
    head = ["database", "without a version, p50", "with, p50", "without, p99", "with, p99"]
    report.table(head, costs)
    report.say(f"Cores kept busy by others meanwhile: {foreign.cores():.2f}.")
    print(f"Written to {report.path}")


def _version_costs(engine: Engine, share_id: str) -> list[str]:
    """What `begin` adds to a transaction of the engine's that changes one row."""
    took: dict[bool, list[float]] = {False: [], True: []}
    update = sa.update(shares).where(shares.c.id == share_id)
    for number in range(2 * TRANSACTIONS):
        raises = number % 2 == 1
        began = time.perf_counter()
        with (
            log_context.working_for("bench", PROJECT),
            (begin if raises else Engine.begin)(engine) as conn,
        ):
            conn.execute(update.values(display_description=str(number)))
        took[raises].append(time.perf_counter() - began)
    ordered = {raises: sorted(each) for raises, each in took.items()}
    return [
        f"{ordered[raises][int(TRANSACTIONS * part)] * 1000:.2f}"
        for part in (0.5, 0.99)
        for raises in (False, True)
    ]


def _turns(service: Abaca, ids: list[str], view: str, seconds: float, rounds: int) -> list[str]:
    alone: list[float] = []
    beside: list[float] = []
    shown: list[float] = []
    cpu = {False: 0.0, True: 0.0}
    for _ in range(rounds):
        for has_pages, latencies in ((False, alone), (True, beside)):
            with _pages(service.target, view, shown) if has_pages else _nothing():
                before = _used(service)
                latencies += _stream(service.target, ids, seconds)
                cpu[has_pages] += _used(service) - before
    cores = (cpu[True] - cpu[False]) / (rounds * seconds)
    until_shown = " / ".join(f"{seconds:.1f}" for seconds in _spread(shown))
    return [
        *(" / ".join(map(ms, _spread(each))) for each in (alone, beside)),
        f"{cores:.2f}",
        until_shown,
    ]


def _spread(seconds: list[float]) -> list[float]:
    """p50, p99, the longest."""
    ordered = sorted(seconds)
    return [ordered[min(len(ordered) - 1, int(len(ordered) * part))] for part in (0.5, 0.99, 1)]


def _used(service: Abaca) -> float:
    return sum(part.cpu for part in service.usage().values())


def _stream(target: Target, ids: list[str], seconds: float) -> list[float]:
    """How long each request took; none is sent before its time, late ones follow at once."""
    client, changer = Client(target), Client(target)
    began = time.perf_counter()
    latencies = []
    next_change = min(CHANGES, seconds) / 2
    for number in range(int(seconds * STREAM)):
        time.sleep(max(0.0, began + number / STREAM - time.perf_counter()))
        sent = time.perf_counter()
        client.must("GET", f"/v2/shares/{ids[number % len(ids)]}")
        latencies.append(time.perf_counter() - sent)
        if sent - began > next_change:
            next_change += CHANGES
            body = {"metadata": {"changed": str(number)}}
            changer.must("POST", f"/v2/shares/{ids[0]}/metadata", body)
            changer.close()  # the service would, for being idle until the next change
    client.close()
    return latencies


@contextmanager
def _nothing() -> Iterator[None]:
    yield


@contextmanager
def _pages(target: Target, view: str, shown: list[float]) -> Iterator[None]:
    """In a process of their own, so that they do not take turns with what is measured. `shown`: is
    added how long each page took to show each change, at most."""
    context = multiprocessing.get_context("fork")
    ready, done, told = context.Event(), context.Event(), context.SimpleQueue()
    process = context.Process(target=_be_pages, args=(target, view, ready, done, told))
    process.start()
    try:
        if not ready.wait(LONGEST_OPENING):
            raise Failed(f"{PAGES} pages did not open within {LONGEST_OPENING} s")
        yield
    finally:
        done.set()
        process.join(60)
        if not told.empty():
            shown += told.get()
    if process.exitcode != 0:
        raise Failed("a page failed")


def _be_pages(
    target: Target, view: str, ready: Event, done: Event, told: SimpleQueue[list[float]]
) -> None:
    pages = [_Page(target, VIEWS[view]) for _ in range(PAGES)]
    for page in pages:
        page.open()
    closed = threading.Event()
    with ThreadPoolExecutor(PAGES) as threads:
        open_ = [threads.submit(page.stay_open, closed) for page in pages]
        ready.set()
        done.wait()
        closed.set()
    told.put([seconds for page in pages for seconds in page.shown])
    for each in open_:
        each.result()


class _Page:
    """One open page, with a connection of its own."""

    def __init__(self, target: Target, lists: Sequence[str]) -> None:
        self._target = target
        self._lists = lists
        # not before its first question: the service closes those that wait longer with it
        self._connection: Connection | None = None
        self._tag = ""
        self._counted = -COUNTED_FOR
        # seconds from when nothing had changed yet until it was loaded, of each change
        self.shown: list[float] = []

    def open(self) -> None:
        """For the first time."""
        _, self._tag = self._ask(VERSION, {})
        self._load()

    def stay_open(self, closed: threading.Event) -> None:
        """Ask for the version again and again; load if it is new."""
        pause, unchanged = random.uniform(0, PAUSE), time.monotonic()
        while not closed.wait(pause):
            pause = PAUSE
            asked = time.monotonic()
            status, tag = self._ask(VERSION, {"If-None-Match": self._tag})
            if status != 304 and not closed.wait(random.uniform(0, SPREAD)):
                self._load()
                self._tag = tag
                self.shown.append(time.monotonic() - unchanged)
            unchanged = asked

    def _load(self) -> None:
        now = time.monotonic()
        is_old = now - self._counted >= COUNTED_FOR
        shares, *others = self._lists
        self._ask(f"{shares}{'&with_count=True' if is_old else ''}", BACKGROUND)
        for path in others:
            self._ask(path, BACKGROUND)
        if is_old:
            self._counted = now

    def _ask(self, path: str, more: dict[str, str]) -> tuple[int, str]:
        target = self._target._replace(headers={**self._target.headers, **more})
        request = target.request("GET", path)
        if self._connection is None:
            self._connection = Connection(self._target)
        try:
            answer = _answer(self._connection, request)
        except (Failed, OSError):  # the service has closed it, for being idle
            self._connection.reconnect()
            answer = _answer(self._connection, request)
        if answer.status not in (200, 304):
            raise Failed(f"{path}: {answer.status}")
        return answer.status, self._connection.header("etag")


def _answer(connection: Connection, request: bytes) -> Answer:
    connection.send(request)
    while (answer := connection.receive()) is None:
        pass
    return answer
