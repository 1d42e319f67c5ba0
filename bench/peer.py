"""Upstream Manila and Abaca on PostgreSQL, one after the other on the same machine, asked by the
same client; and the ratios."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa

from abaca.db.tables import share_instances
from bench import conditions, programs, rows, workloads
from bench.conditions import ForeignLoad
from bench.manila_service import Manila
from bench.report import Report, ms, number
from bench.service import SINGLE_TYPE, Service
from bench.single import installed, running

_COPY_SHARES = Path(__file__).with_name("manila_rows.py")


class Line(NamedTuple):
    """One thing measured. `value`: what is compared; `more_is_better`: a rate, otherwise
    seconds."""

    name: str
    value: float
    shown: str
    more_is_better: bool = False


def run(*, quick: bool) -> None:
    """Measure both and report. Upstream takes about eight minutes."""
    report = Report("peer")
    report.say(
        f"Upstream Manila and Abaca, {conditions.machine()}. {workloads.CLIENTS} clients on the "
        "same machine."
    )
    report.say(f"Cores kept busy by others before the start: {conditions.foreign_load():.2f}.")
    results: dict[str, dict[str, Line]] = {}
    for name, measure in (("upstream", _upstream), ("Abaca", _abaca)):
        foreign = ForeignLoad()
        results[name] = {}
        for line in measure(quick):
            print(f"{name}: {line.name}: {line.shown}", flush=True)
            results[name][line.name] = line
        report.say(f"## {name}; cores kept busy by others meanwhile: {foreign.cores():.2f}")
        report.table(["what", name], [[line.name, line.shown] for line in results[name].values()])
    report.say("## Side by side")
    pairs = [(line, results["Abaca"][name]) for name, line in results["upstream"].items()]
    report.table(
        ["what", "upstream Manila", "Abaca, PostgreSQL", "times as fast"],
        [
            [theirs.name, theirs.shown, ours.shown, number(_ratio(theirs, ours))]
            for theirs, ours in pairs
        ],
    )
    print(f"Written to {report.path}")


def _ratio(upstream: Line, ours: Line) -> float:
    return ours.value / upstream.value if upstream.more_is_better else upstream.value / ours.value


def _upstream(quick: bool) -> Iterator[Line]:
    service = Manila()
    try:
        yield from _changes(
            service,
            quick,
            servers=lambda count: workloads.make_servers(service, count, SINGLE_TYPE),
        )
        python, script = service.python, str(_COPY_SHARES)
        copied = subprocess.run(
            [python, script, str(service.database_port), "1000"],
            check=True,
            capture_output=True,
            text=True,
        )
        network_id, *ids = copied.stdout.split()
        yield from _reads(service, ids, network_id, quick)
    finally:
        service.stop()


def _abaca(quick: bool) -> Iterator[Line]:
    postgresql = programs.PostgreSQL()
    try:
        with installed(postgresql) as installation:
            engine = installation.engine()
            ids = rows.fill(engine, 1000)
            with engine.connect() as conn:
                network_id = str(
                    conn.scalar(sa.select(share_instances.c.share_network_id).limit(1))
                )
            engine.dispose()
            with running(installation, postgresql) as service:
                yield from _reads(service, ids, network_id, quick)
        with installed(postgresql) as installation:
            engine = installation.engine()
            network = rows.add_servers(engine, 10 if quick else 50, installation.backends)
            engine.dispose()
            with running(installation, postgresql) as service:
                yield from _changes(service, quick, servers=lambda _: network)
    finally:
        postgresql.stop()


def _reads(service: Service, ids: list[str], network_id: str, quick: bool) -> Iterator[Line]:
    """With 1,000 shares present."""
    for what in workloads.reads(1000):
        if what.name in workloads.PEER_READS:
            measured = workloads.read(
                service,
                what,
                ids[:500],
                network_id,
                seconds=1 if quick else 3,
                runs=1 if quick else 3,
            )
            shown = f"{number(measured.rate)}/s, p50 {ms(measured.p50)}, p99 {ms(measured.p99)} ms"
            yield Line(what.name, measured.rate, shown, more_is_better=True)
            yield Line(
                f"{what.name}: CPU of one", measured.service_cpu, f"{ms(measured.service_cpu)} ms"
            )


def _changes(service: Service, quick: bool, servers: Callable[[int], str]) -> Iterator[Line]:
    alone = workloads.create_one_after_other(service, 10 if quick else 40)
    whole, post = workloads.median(alone.wholes), workloads.median(alone.posts)
    yield Line(
        "create → available, p50",
        whole,
        f"{ms(whole)} ms, p95 {ms(workloads.percentile(alone.wholes, 0.95))}",
    )
    yield Line("the POST alone, p50", post, f"{ms(post)} ms")
    creates = 20 if quick else 100
    batches = workloads.create_batches(service, creates, 3)
    for which, batch in enumerate(batches, 1):
        yield Line(f"{creates} creates, time {which}", batch.whole, f"{batch.whole:.1f} s")
    best = max(creates / batch.whole for batch in batches)
    yield Line(f"{creates} creates, best rate", best, f"{best:.1f}/s", more_is_better=True)
    cpu = workloads.median([batch.cpu_seconds / creates for batch in batches])
    yield Line("CPU of one of them", cpu, f"{ms(cpu)} ms")
    count = 10 if quick else 50
    networks = workloads.create_networks(service, count)
    yield Line(f"{count} share networks, a server each", networks.whole, f"{networks.whole:.1f} s")
    network_id = servers(count)
    done = workloads.add_subnet(service, network_id, count, 0)
    yield Line(
        f"a subnet added to {count} servers",
        done.whole,
        f"{done.whole:.2f} s, {ms(done.each)} ms a server",
    )
    yield Line(
        "the same with the check before it",
        done.check + done.whole,
        f"{done.check + done.whole:.2f} s",
    )
