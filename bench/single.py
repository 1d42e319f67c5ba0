"""The benchmark of Abaca alone: every table, on SQLite and on PostgreSQL, with 1,000 and with
100,000 shares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import sqlalchemy as sa

from abaca.db.tables import share_instances
from bench import conditions, programs, rows, statements, workloads
from bench.abaca_service import Abaca, Installation
from bench.client import Measured
from bench.conditions import ForeignLoad
from bench.report import Report, ms, number
from bench.workloads import Batch, WholeList


def run(databases: Sequence[str], groups: Sequence[str], *, quick: bool) -> None:
    """Measure and report."""
    report = Report("abaca")
    report.say(
        f"Abaca, {conditions.machine()}. Fake back end without delays, noauth, "
        f"{workloads.CLIENTS} clients on the same machine."
    )
    report.say(f"Cores kept busy by others before the start: {conditions.foreign_load():.2f}.")
    postgresql = programs.PostgreSQL() if "postgresql" in databases else None
    kinds: dict[str, programs.PostgreSQL | None] = {"SQLite": None} if "sqlite" in databases else {}
    kinds |= {"PostgreSQL": postgresql} if postgresql else {}
    try:
        for name, measure in (
            ("reads", _reads),
            ("creations", _creations),
            ("additions", _additions),
            ("footprint", _footprint),
        ):
            if name in groups:
                measure(report, kinds, quick)
    finally:
        if postgresql:
            postgresql.stop()
    print(f"Written to {report.path}")


_databases = 0


@contextmanager
def installed(postgresql: programs.PostgreSQL | None, workers: int = 1) -> Iterator[Installation]:
    """A prepared installation, taken away at the end."""
    global _databases
    _databases += 1
    installation = Installation(
        postgresql.create(f"abaca_{_databases}") if postgresql else None, workers
    )
    try:
        yield installation
    finally:
        installation.remove()


@contextmanager
def running(installation: Installation, postgresql: programs.PostgreSQL | None) -> Iterator[Abaca]:
    """It runs, with its workers."""
    service = Abaca(installation, database=postgresql)
    try:
        yield service
    finally:
        service.stop()


def _reads(report: Report, kinds: dict[str, programs.PostgreSQL | None], quick: bool) -> None:
    sizes = (10_000,) if quick else (1_000, 100_000)
    seconds, runs = (0.3, 1) if quick else (1.0, 3)
    columns: dict[str, dict[str, Measured]] = {}
    wholes: dict[str, WholeList] = {}
    foreign = ForeignLoad()
    for kind, postgresql in kinds.items():
        # All sizes run at once, and each request is measured on one after the other: the machine is
        # not equally fast for long.
        with ExitStack() as stack:
            services = {size: _filled(stack, postgresql, size) for size in sizes}
            columns |= {f"{kind}, {size:,}": {} for size in sizes}
            for alike in zip(*map(workloads.reads, sizes), strict=True):
                for size, what in zip(sizes, alike, strict=True):
                    service, ids, network_id = services[size]
                    measured = workloads.read(
                        service, what, ids, network_id, seconds=seconds, runs=runs
                    )
                    columns[f"{kind}, {size:,}"][what.name.partition(" (offset")[0]] = measured
            wholes |= {
                f"{kind}, {size:,}": workloads.whole_list(services[size][0]) for size in sizes
            }
    report.say(
        "## Reading: requests a second (p50 / p99 ms; ms of CPU of one answer, the database's "
        "included), by database and shares present; "
        f"median of {runs} runs of {seconds:g} s"
    )
    names = list(next(iter(columns.values())))
    body = [[name, *(_read(column[name]) for column in columns.values())] for name in names]
    report.table(["request", *columns], body)
    report.say(
        "All shares with their details in one answer, without a limit: seconds to the first and "
        "to the last byte; MB that the API grew by."
    )
    report.table(
        ["shares", "first byte, s", "last byte, s", "answer, MB", "grown by, MB"],
        [
            [
                name,
                f"{one.first:.2f}",
                f"{one.last:.2f}",
                f"{one.bytes / 1e6:.1f}",
                f"{one.grown:.0f}",
            ]
            for name, one in wholes.items()
        ],
    )
    largest = max(
        measured.client_cpu for column in columns.values() for measured in column.values()
    )
    report.say(
        f"Cores kept busy by others meanwhile: {foreign.cores():.2f}. The load generator used "
        f"{largest:.0%} of a core at most."
    )


def _filled(
    stack: ExitStack, postgresql: programs.PostgreSQL | None, size: int
) -> tuple[Abaca, list[str], str]:
    """A service that runs over so many shares: itself, their ids, and a share network of theirs."""
    installation = stack.enter_context(installed(postgresql))
    engine = installation.engine()
    ids = rows.fill(engine, size)
    with engine.connect() as conn:
        network_id = str(conn.scalar(sa.select(share_instances.c.share_network_id).limit(1)))
    engine.dispose()
    return stack.enter_context(running(installation, postgresql)), ids, network_id


def _read(measured: Measured) -> str:
    return (
        f"{number(measured.rate)} ({ms(measured.p50)} / {ms(measured.p99)}; "
        f"{number(measured.service_cpu * 1000)})"
    )


def _creations(report: Report, kinds: dict[str, programs.PostgreSQL | None], quick: bool) -> None:
    body = []
    foreign = ForeignLoad()
    one_by_one, repeats, networks = (15, 1, 20) if quick else (40, 3, 50)
    for kind, postgresql in kinds.items():
        with installed(postgresql) as installation:
            engine = installation.engine()
            rows.fill(engine, 10)
            engine.dispose()
            with running(installation, postgresql) as service:
                alone = workloads.create_one_after_other(service, one_by_one)
                batches = [
                    workloads.create_batches(service, 100, 3, number=number)
                    for number in range(repeats)
                ]
                fresh = workloads.create_networks(service, networks)
        whole = [
            workloads.median([series[which].whole for series in batches]) for which in range(3)
        ]
        p50, p95 = workloads.median(alone.wholes), workloads.percentile(alone.wholes, 0.95)
        body += [
            [
                f"create → available, one after the other, p50 / p95 ms, {kind}",
                f"{ms(p50)} / {ms(p95)}",
            ],
            [f"of that the POST, p50 ms, {kind}", ms(workloads.median(alone.posts))],
            [
                f"100 creates, three times in a row, s, {kind}",
                " · ".join(f"{seconds:.2f}" for seconds in whole),
            ],
            [f"CPU a created share, ms, {kind}", _cpu(batches, 100)],
            [f"{networks} share networks with a new server each, s, {kind}", f"{fresh.whole:.2f}"],
        ]
    report.say(
        f"## Creating; {one_by_one} one after the other, medians of {repeats} networks for the "
        "hundreds"
    )
    report.table(["what", "measured"], body)
    report.say(f"Cores kept busy by others meanwhile: {foreign.cores():.2f}.")


def _cpu(batches: list[list[Batch]], count: int) -> str:
    every = [batch for series in batches for batch in series]
    return ", ".join(
        f"{part} {workloads.median([batch.cpu[part] for batch in every]) / count * 1000:.0f}"
        for part in every[0].cpu
    )


def _additions(report: Report, kinds: dict[str, programs.PostgreSQL | None], quick: bool) -> None:
    body = []
    foreign = ForeignLoad()
    counts, repeats, numbers = ((20,), 1, (1,)) if quick else ((50, 500), 3, (1, 2))
    for kind, postgresql in kinds.items():
        for workers in numbers:
            for count in counts:
                with installed(postgresql, workers) as installation:
                    engine = installation.engine()
                    network_id = rows.add_servers(engine, count, installation.backends)
                    engine.dispose()
                    with running(installation, postgresql) as service:
                        done = [
                            workloads.add_subnet(service, network_id, count, number)
                            for number in range(repeats if count < 500 else 1)
                        ]
                whole = workloads.median([addition.whole for addition in done])
                check = workloads.median([addition.check for addition in done])
                body.append(
                    [
                        kind,
                        str(workers),
                        str(count),
                        f"{whole:.2f}",
                        ms(whole / count),
                        f"{check:.2f}",
                    ]
                )
    report.say(
        f"## A subnet added to a share network in use, until it is active; median of {repeats} "
        "additions in a row (500 servers: one)"
    )
    report.table(
        ["database", "workers", "share servers", "seconds", "ms a server", "check before, s"], body
    )
    report.say(f"Cores kept busy by others meanwhile: {foreign.cores():.2f}.")


def _footprint(report: Report, kinds: dict[str, programs.PostgreSQL | None], quick: bool) -> None:
    body, counted = [], []
    foreign = ForeignLoad()
    for kind, postgresql in kinds.items():
        with installed(postgresql) as installation, running(installation, postgresql) as service:
            conditions.wait(2)
            for part, (rss, cpu) in workloads.idle(service, 3 if quick else 10).items():
                body.append([kind, part, f"{rss:.0f}", f"{cpu:.1f}"])
            body += [
                [kind, name, f"{used.rss:.0f}", ""]
                for program in service.parts.values()
                for name, used in conditions.members(program.pid)
            ]
            body.append(
                [
                    kind,
                    "start: first answer / back end up, s",
                    f"{service.seconds_to_answer:.2f}",
                    f"{service.seconds_to_back_end:.2f}",
                ]
            )
        with installed(postgresql) as installation:
            found = statements.count(installation)
        counted += [[kind, name, str(number)] for name, number in found.requests.items()]
        counted += [
            [kind, "worker: a share on an existing server", f"{found.share_create:.0f}"],
            [kind, "worker: a subnet added, each server", f"{found.add_subnet:.0f}"],
            [kind, "worker idle, each second", f"{found.idle:.0f}"],
        ]
    report.say(
        "## Idle: resident MB (shared pages counted in each process) and percent of a core; by "
        "part, then process by process; start"
    )
    report.table(["database", "part", "MB", "% of a core"], body)
    report.say("## SQL statements")
    report.table(["database", "what", "statements"], counted)
    report.say(f"Cores kept busy by others meanwhile: {foreign.cores():.2f}.")
