"""GET /metrics, in Prometheus' text format: requests of all API processes, and the installation
(`installation_metrics`).

While the database does not answer, requests are shown alone.
"""

from __future__ import annotations

import errno
import time
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate

import falcon
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from abaca.api.call import Call
from abaca.api.declaration import Resource, Route, admin
from abaca.api.installation_metrics import Installation
from abaca.api.shared_counts import SharedCounts

COUNTS = SharedCounts()
"""By name of the metric and values of its labels. Of requests: how many took how long, each counted
in the first bucket that it fits, the last one without end; then the seconds of all together."""

_BUCKETS = (0.005, 0.02, 0.1, 0.5, 2.5, 10.0)
_REQUESTS = "abaca_http_request_seconds"
_FAILED_LOGINS = "abaca_failed_logins"
_LOST_AUDIT_LINES = "abaca_audit_lines_lost"
_METHODS = frozenset(falcon.HTTP_METHODS)


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
    numbers = [0.0] * (len(_BUCKETS) + 2)
    numbers[bisect_left(_BUCKETS, seconds)], numbers[-1] = 1, seconds
    method = method if method in _METHODS else "other"
    COUNTS.add((_REQUESTS, method, route, str(status)), numbers)


def count_failed_login(kind: str) -> None:
    """Count one whose `kind` (password, token, header) was wrong."""
    COUNTS.add((_FAILED_LOGINS, kind), [1])


def count_lost_audit_line(error: OSError) -> None:
    """Count a line that could not be written."""
    COUNTS.add((_LOST_AUDIT_LINES, errno.errorcode.get(error.errno or 0, "other")), [1])


def show(call: Call) -> str:
    """GET /metrics"""
    registry = CollectorRegistry()
    per_share = call.conf.api.metrics_per_share
    registry.register(
        Installation(call.engine, per_share=per_share, certificate_expires=call.certificate_expires)
    )
    registry.register(_Counted())
    return generate_latest(registry).decode()


class _Counted(Collector):
    """What all processes have counted."""

    def collect(self) -> Iterable[Metric]:
        """As prometheus-client asks for it."""
        requests = HistogramMetricFamily(
            _REQUESTS,
            "Requests by method, route and status, and the time they took.",
            labels=["method", "route", "status"],
        )
        logins = CounterMetricFamily(
            _FAILED_LOGINS, "Requests whose credentials were wrong.", labels=["kind"]
        )
        lost = CounterMetricFamily(
            _LOST_AUDIT_LINES,
            "Lines that could not be written to [api] audit_file, by the reason.",
            labels=["errno"],
        )
        counters = {_FAILED_LOGINS: logins, _LOST_AUDIT_LINES: lost}
        for (name, *labels), numbers in COUNTS.totals().items():
            if name == _REQUESTS:
                requests.add_metric(labels, _cumulative(numbers[:-1]), numbers[-1])
            else:
                counters[name].add_metric(labels, numbers[0])
        return [requests, logins, lost]


def _cumulative(buckets: Sequence[float]) -> list[tuple[str, float]]:
    """Prometheus' buckets: by upper bound, how many took as long or less."""
    return list(zip([*map(str, _BUCKETS), "+Inf"], accumulate(buckets), strict=True))


RESOURCE = Resource(routes=[Route("GET", "/metrics", show, admin("metrics:get"))])
