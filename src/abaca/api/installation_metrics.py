"""What /metrics says about the installation, from the database; the same in each API process.
Requests are counted in `metrics`."""

from __future__ import annotations

import logging
import platform
from collections.abc import Iterable, Mapping
from datetime import UTC
from importlib.metadata import version

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.engine import Engine
from sqlalchemy.exc import OperationalError

from abaca.api.microversions import MAX_VERSION, text
from abaca.db.session import is_outage, read
from abaca.domain.services import hosts, overview
from abaca.domain.services.overview import Overview
from abaca.workflow import figures
from abaca.workflow.figures import Count

LOG = logging.getLogger(__name__)

_VERSION = version("abaca")


class Installation(Collector):
    """`per_share`: tell what each share holds, too. `certificate_expires`: when the served
    certificate does, in seconds since 1970."""

    def __init__(
        self, engine: Engine, *, per_share: bool, certificate_expires: float | None
    ) -> None:
        self._engine = engine
        self._per_share = per_share
        self._certificate_expires = certificate_expires

    def collect(self) -> Iterable[Metric]:
        """As prometheus-client asks for it. Without what the database would say while it does not
        answer."""
        stored = self._stored()
        database = GaugeMetricFamily(
            "abaca_database_up",
            "1 when the database answered just now; 0: what it holds is not shown.",
            bool(stored),
        )
        return [self._build(), *self._certificate(), database, *stored]

    def _stored(self) -> list[Metric]:
        try:
            with read(self._engine) as conn:
                now, operations = overview.get(conn, per_share=self._per_share), figures.count(conn)
        except OperationalError as error:
            if not is_outage(error):
                raise
            LOG.error(
                "metrics are shown without the installation: the database does not answer: %s",
                error,
            )
            return []
        return [
            *_nouns(now),
            *_pools(now),
            *_usage(now),
            *_addresses(now),
            *_operations(operations),
        ]

    def _build(self) -> Metric:
        names = {
            "version": _VERSION,
            "api_version": text(MAX_VERSION),
            "python": platform.python_version(),
            "database": self._engine.dialect.name,
        }
        build = GaugeMetricFamily(
            "abaca_build_info", "Always 1; the labels say what runs here.", labels=list(names)
        )
        build.add_metric(list(names.values()), 1)
        return build

    def _certificate(self) -> Iterable[Metric]:
        if self._certificate_expires is not None:
            name = "abaca_certificate_expiry_timestamp_seconds"
            yield GaugeMetricFamily(
                name, "When the certificate of the API expires.", self._certificate_expires
            )


def _operations(counts: Mapping[tuple[str, str], Count]) -> list[Metric]:
    operations = GaugeMetricFamily(
        "abaca_operations",
        "Operations that have not ended well, by state.",
        labels=["name", "state"],
    )
    oldest = GaugeMetricFamily(
        "abaca_operation_oldest_seconds",
        "How long ago the oldest operation in that state began.",
        labels=["state"],
    )
    for name, state in sorted(counts):
        operations.add_metric([name, state], counts[name, state].number)
    for state in {state for _, state in counts}:
        oldest.add_metric(
            [state], max(count.oldest_seconds for (_, of), count in counts.items() if of == state)
        )
    return [operations, oldest]


def _nouns(now: Overview) -> Iterable[Metric]:
    resources = GaugeMetricFamily(
        "abaca_resources",
        "Shares, share servers and other resources, by status.",
        labels=["kind", "status"],
    )
    for (noun, status), number in now.statuses.items():
        resources.add_metric([noun, status], number)
    up = GaugeMetricFamily(
        "abaca_back_end_up",
        "1 when the back end is ready and its worker gives heartbeats.",
        labels=["host"],
    )
    unserved = GaugeMetricFamily(
        "abaca_share_servers_unserved",
        "Share servers that should serve their clients and do not.",
        labels=["host"],
    )
    restarts = CounterMetricFamily(
        "abaca_share_server_restarts",
        "How often share servers had to be brought back since their worker started.",
        labels=["host"],
    )
    states = GaugeMetricFamily(
        "abaca_host_state",
        "1 for the state that the worker host is in: up, draining, fenced or down.",
        labels=["host", "state"],
    )
    servers = GaugeMetricFamily(
        "abaca_host_share_servers", "Share servers on the worker host.", labels=["host"]
    )
    refused = GaugeMetricFamily(
        "abaca_host_failover_refused",
        "1 while the host's worker does not live and others do not take the host for dead.",
        labels=["host"],
    )
    failed_over = GaugeMetricFamily(
        "abaca_host_failover_timestamp_seconds",
        "When the host was last taken for dead by others.",
        labels=["host"],
    )
    for host in now.hosts:
        refused.add_metric([host["name"]], host["failover_refusal"] is not None)
        if host["failed_over_at"] is not None:
            at = host["failed_over_at"].replace(tzinfo=UTC).timestamp()
            failed_over.add_metric([host["name"]], at)
        for state in hosts.SHOWN_STATES:
            states.add_metric([host["name"], state], host["state"] == state)
        servers.add_metric([host["name"]], host["share_servers"])
    for back_end in now.back_ends:
        up.add_metric([back_end["host"]], back_end["state"] == "up")
        unserved.add_metric([back_end["host"]], back_end["unserved_share_servers"])
        restarts.add_metric([back_end["host"]], back_end["share_server_restarts"])
    return [resources, up, unserved, restarts, states, servers, refused, failed_over]


def _pools(now: Overview) -> Iterable[Metric]:
    about = {
        "size": "Size of the pool.",
        "free": "Free space of the pool, as its back end reports it.",
        "allocated": "Sum of the sizes of its shares: the space it has promised.",
        "snapshots": "Space that snapshots take beyond the sizes of shares.",
        "room": "Space that further shares may be promised.",
    }
    for name, documentation in about.items():
        metric = GaugeMetricFamily(f"abaca_pool_{name}_bytes", documentation, labels=["pool"])
        for pool in now.pools:
            metric.add_metric([pool.pool], getattr(pool, name))
        yield metric


def _usage(now: Overview) -> Iterable[Metric]:
    used = GaugeMetricFamily(
        "abaca_project_used_bytes",
        "Space that the shares of a project use.",
        labels=["project", "pool"],
    )
    allocated = GaugeMetricFamily(
        "abaca_project_allocated_bytes",
        "Sizes of the shares of a project.",
        labels=["project", "pool"],
    )
    for usage in now.projects:
        used.add_metric([usage.project_id, usage.pool], usage.used_bytes)
        allocated.add_metric([usage.project_id, usage.pool], usage.allocated_bytes)
    measured = GaugeMetricFamily(
        "abaca_usage_measured_timestamp_seconds",
        "When the usage of shares was last measured.",
        labels=["host"],
    )
    for back_end in now.back_ends:
        if (moment := back_end["usage_measured_at"]) is not None:
            measured.add_metric([back_end["host"]], moment.replace(tzinfo=UTC).timestamp())
    yield from (used, allocated, measured)
    if now.shares is not None:
        shares = GaugeMetricFamily(
            "abaca_share_used_bytes",
            "Space that a share uses.",
            labels=["share", "project", "pool"],
        )
        for share in now.shares:
            shares.add_metric([share.share_id, share.project_id, share.pool], share.used_bytes)
        yield shares


def _addresses(now: Overview) -> Iterable[Metric]:
    used = GaugeMetricFamily(
        "abaca_subnet_used_addresses",
        "Allocated addresses of a local subnet.",
        labels=["subnet"],
    )
    free = GaugeMetricFamily(
        "abaca_subnet_free_addresses", "Free addresses of a local subnet, where they can run out "
                                       "(IPv4, small ranges of IPv6).",
        labels=["subnet"],
    )  # fmt: skip
    for subnet, addresses in now.addresses.items():
        used.add_metric([subnet], addresses.used)
        if addresses.free is not None:
            free.add_metric([subnet], addresses.free)
    return [used, free]
