"""GET /metrics, in Prometheus' text format: requests of all API processes, and the installation
(`installation_metrics`).

The processes count requests in files of a folder that they share (`collect_in`), as
prometheus-client does it; without one, as in tests, each counts for itself. While the database does
not answer, requests are shown alone.
"""

from __future__ import annotations

import errno
import functools
import os
import time
from collections.abc import Iterable
from pathlib import Path

import falcon
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest, values
from prometheus_client.core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import REGISTRY, Collector

from abaca.api.call import Call
from abaca.api.declaration import Resource, Route, admin
from abaca.api.installation_metrics import Installation

_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_BUCKETS = (0.005, 0.02, 0.1, 0.5, 2.5, 10.0)

_REQUESTS = Histogram(
    "abaca_http_request_seconds",
    "Requests by method, route and status, and the time they took.",
    ["method", "route", "status"],
    buckets=_BUCKETS,
)

_FAILED_LOGINS = Counter("abaca_failed_logins", "Requests whose credentials were wrong.", ["kind"])
_LOST_AUDIT_LINES = Counter(
    "abaca_audit_lines_lost",
    "Lines that could not be written to [api] audit_file, by the reason.",
    ["errno"],
)
_METHODS = frozenset(falcon.HTTP_METHODS)


def collect_in(folder: Path) -> None:
    """All processes that are forked from here count together, in files there; what was counted
    before is forgotten."""
    _REQUESTS.clear()
    _FAILED_LOGINS.clear()
    _LOST_AUDIT_LINES.clear()
    _requests.cache_clear()
    os.environ[_FOLDER] = str(folder)
    values.ValueClass = values.MultiProcessValue()  # type: ignore[no-untyped-call]  # prometheus-client chooses when it is imported


class RequestTimes:
    """Measures every request, from its headers to its answer."""

    def process_request(self, req: falcon.Request, _resp: falcon.Response) -> None:
        """Look at the clock."""
        req.context.began = time.perf_counter()

    def process_response(
        self, req: falcon.Request, resp: falcon.Response, _resource: object, _succeeded: bool
    ) -> None:
        """Count it. What has no route is one thing, whatever its URL."""
        count(
            req.method,
            req.uri_template or "none",
            resp.status_code,
            time.perf_counter() - req.context.began,
        )


def count(method: str, route: str, status: int, seconds: float) -> None:
    """Count one request. A method that HTTP does not have is "other": there is no end of them, and
    each is kept for good."""
    _requests(method if method in _METHODS else "other", route, status).observe(seconds)


def count_failed_login(kind: str) -> None:
    """Count one whose `kind` (password, token, header) was wrong."""
    _FAILED_LOGINS.labels(kind).inc()


def count_lost_audit_line(error: OSError) -> None:
    """Count a line that could not be written."""
    _LOST_AUDIT_LINES.labels(errno.errorcode.get(error.errno or 0, "other")).inc()


@functools.lru_cache(1024)
def _requests(method: str, route: str, status: int) -> Histogram:
    """What these are counted in; looking it up takes prometheus-client as long as counting."""
    return _REQUESTS.labels(method, route, status)


def show(call: Call) -> str:
    """GET /metrics"""
    registry = CollectorRegistry()
    per_share = call.conf.api.metrics_per_share
    registry.register(
        Installation(call.engine, per_share=per_share, certificate_expires=call.certificate_expires)
    )
    if _FOLDER in os.environ:
        registry.register(_RequestsOfAll(Path(os.environ[_FOLDER])))
        return generate_latest(registry).decode()
    return generate_latest(registry).decode() + generate_latest(REGISTRY).decode()


class _RequestsOfAll(Collector):
    """What all processes have counted in their files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        """Of files that can be read: an empty one is being made by its process at this moment."""
        files = [str(file) for file in self._folder.glob("*.db") if file.stat().st_size]
        metrics: Iterable[Metric] = MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]
        return metrics


RESOURCE = Resource(routes=[Route("GET", "/metrics", show, admin("metrics:get"))])
