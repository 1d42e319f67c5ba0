"""How many SQL statements things take: API and worker in this process, every statement counted,
DBOS's own included.

Commits and roll-backs are no statements here. What an idle worker asks while it looks for work is
counted too, and taken off.
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from wsgiref.util import setup_testing_defaults

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from abaca.api.app import create_app
from abaca.worker.process import Worker
from bench import conditions, rows
from bench.abaca_service import Installation
from bench.programs import until
from bench.service import HEADERS, SHARE_TYPE

_SHARES = 10
_SERVERS = 20


class Statements(NamedTuple):
    """Statements: of requests, by request; of the worker for a share on an existing server and for
    a server that gets a subnet; idle, a second."""

    requests: dict[str, int]
    share_create: float
    add_subnet: float
    idle: float


class _Counted:
    def __init__(self) -> None:
        self.api = self.worker = 0
        self._mine = threading.get_ident()
        self.began = time.perf_counter()

    def note(self, *_: Any) -> None:
        if threading.get_ident() == self._mine:
            self.api += 1
        else:
            self.worker += 1


@contextmanager
def _counting() -> Iterator[_Counted]:
    """Count every statement of every engine of this process: the calling thread's as the API's, all
    others' as the worker's."""
    counted = _Counted()
    sa.event.listen(Engine, "before_cursor_execute", counted.note)
    try:
        yield counted
    finally:
        sa.event.remove(Engine, "before_cursor_execute", counted.note)


class _InProcess:
    """The API without a socket, to be asked from one thread, with a worker beside it."""

    def __init__(self, installation: Installation) -> None:
        self._app = create_app(installation.conf())
        self.worker = Worker(installation.conf())
        self.worker.start()

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """The decoded answer. Raises RuntimeError for a status from 400 on."""
        content = b"" if body is None else msgspec.json.encode(body)
        path, _, query = path.partition("?")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": "application/json",
        }
        environ |= {"CONTENT_LENGTH": str(len(content)), "wsgi.input": io.BytesIO(content)}
        environ |= {
            f"HTTP_{name.upper().replace('-', '_')}": value for name, value in HEADERS.items()
        }
        setup_testing_defaults(environ)
        statuses: list[str] = []
        answer = b"".join(self._app(environ, lambda status, *_: statuses.append(status)))  # type: ignore[arg-type]
        if int(statuses[0][:3]) >= 400:
            raise RuntimeError(f"{method} {path}: {statuses[0]} {answer!r}")
        return msgspec.json.decode(answer) if answer else None


def count(installation: Installation) -> Statements:
    """On an empty, prepared database."""
    engine = installation.engine()
    network_id = rows.add_servers(engine, _SERVERS, installation.backends)
    engine.dispose()
    service = _InProcess(installation)
    try:
        until(
            lambda: service.ask("GET", "/v2/services")["services"][0]["state"] == "up",
            "the back end to be up",
        )
        with _counting() as idle:
            conditions.wait(2)
            idle_rate = idle.worker / (time.perf_counter() - idle.began)
        pair = service.ask("GET", f"/v2/share-networks/{network_id}")["share_network"][
            "share_network_subnets"
        ][0]
        body = {
            "share": {
                "share_proto": "NFS",
                "size": 1,
                "share_type": SHARE_TYPE,
                "share_network_id": network_id,
            }
        }
        with _counting() as counted:
            made = [service.ask("POST", "/v2/shares", body)["share"]["id"] for _ in range(_SHARES)]
            posts = counted.api // _SHARES
            until(
                lambda: not service.ask("GET", "/v2/shares?status=creating&limit=1")["shares"],
                "the shares to be available",
            )
            create = (counted.worker - idle_rate * (time.perf_counter() - counted.began)) / _SHARES
        requests = {"POST /v2/shares": posts}
        for path in (
            f"/v2/shares/{made[0]}",
            "/v2/shares/detail?limit=10",
            "/v2/shares/detail?limit=10&with_count=true",
        ):
            with _counting() as counted:
                service.ask("GET", path)
            requests[f"GET {path.replace(made[0], '{id}')}"] = counted.api
        return Statements(
            requests, create, _addition(service, network_id, pair, idle_rate), idle_rate
        )
    finally:
        service.worker.stop()


def _addition(
    service: _InProcess, network_id: str, pair: dict[str, Any], idle_rate: float
) -> float:
    wanted = {"network_id": pair["neutron_net_id"], "ip_version": 4, "cidr": "10.9.0.0/16"}
    subnet = service.ask("POST", "/network/v2.0/subnets", {"subnet": wanted})["subnet"]["id"]
    body = {
        "share-network-subnet": {
            "neutron_net_id": pair["neutron_net_id"],
            "neutron_subnet_id": subnet,
        }
    }
    with _counting() as counted:
        service.ask("POST", f"/v2/share-networks/{network_id}/subnets", body)
        until(
            lambda: (
                service.ask("GET", f"/v2/share-networks/{network_id}")["share_network"]["status"]
                == "active"
            ),
            "the network to be active",
        )
        return (counted.worker - idle_rate * (time.perf_counter() - counted.began)) / _SERVERS
