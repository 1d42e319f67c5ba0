"""Restarts under load: API processes are replaced one after the other, and the whole service is
stopped; nothing that was accepted is lost."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from typing import Any

import msgspec
import pytest

from tests.service import FAKE_BACKEND, Installation, descendants, installation, wait_until

pytestmark = [
    pytest.mark.sampled_file(8),
    pytest.mark.slow("the service is restarted as an administrator would"),
    pytest.mark.timeout(300),
]

CONFIG = (
    f"{FAKE_BACKEND}[api]\nauth_strategy = noauth\n[quota]\nshares = -1\nshare_networks = "
    "-1\ngigabytes = -1\n"
)
HEADERS = {
    "X-Auth-Token": "admin:project:admin",
    "X-OpenStack-Manila-API-Version": "2.78",
    "Content-Type": "application/json",
}
CLIENTS = 3
PAUSE_SECONDS = 0.02  # between two requests of one client
PAGE = 500


@pytest.fixture
def service() -> Iterator[Installation]:
    with installation(config_text=CONFIG) as made:
        made.start()
        yield made


def ask(made: Installation, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """One request by a connection of its own: (status, answer). Raises OSError or HTTPException
    when it is not answered."""
    connection = http.client.HTTPConnection("127.0.0.1", made.port, timeout=60)
    try:
        connection.request(
            method, path, None if body is None else msgspec.json.encode(body), HEADERS
        )
        answer = connection.getresponse()
        return answer.status, msgspec.json.decode(answer.read() or b"null")
    finally:
        connection.close()


def made_by(service: Installation, path: str, body: Any) -> Any:
    status, answer = ask(service, "POST", path, body)
    assert status in (200, 201, 202), answer
    return next(iter(answer.values()))


def everything(service: Installation, kind: str) -> list[dict[str, Any]]:
    """A whole list, page by page."""
    found: list[dict[str, Any]] = []
    while True:
        answer = ask(service, "GET", f"/v2/{kind}?limit={PAGE}&offset={len(found)}")[1]
        page = answer[kind.partition("/")[0].replace("-", "_")]
        found += page
        if len(page) < PAGE:
            return found


class Load:
    """Clients that ask for the same again and again: `accepted` ids, and what went wrong
    otherwise."""

    def __init__(self) -> None:
        self.accepted: list[str] = []
        self.refused: list[object] = []
        self.unanswered: list[str] = []


@contextmanager
def load(service: Installation, path: str, body: Any) -> Iterator[Load]:
    seen, ended = Load(), Event()

    def client() -> None:
        while not ended.is_set():
            try:
                status, answer = ask(service, "POST", path, body)
            except (OSError, http.client.HTTPException) as error:
                seen.unanswered.append(repr(error))
            else:
                if status == 200:
                    seen.accepted.append(next(iter(answer.values()))["id"])
                else:
                    seen.refused.append((status, answer))
            ended.wait(PAUSE_SECONDS)

    with ThreadPoolExecutor(CLIENTS) as threads:
        clients = [threads.submit(client) for _ in range(CLIENTS)]
        try:
            yield seen
        finally:
            ended.set()
    for each in clients:
        each.result()


@pytest.mark.parametrize("to", ["api", "serve"])
def test_api_processes_are_replaced_and_every_request_is_answered(
    service: Installation, to: str
) -> None:
    """By SIGHUP to `abaca api`, or to `abaca serve`, which gets one when its terminal is closed:
    each gets a successor, then answers what it has begun, and ends."""
    before_it = service.children()
    api = before_it["api"]
    assert service.process is not None
    old = set(descendants(api))
    with load(service, "/v2/share-networks", {"share_network": {}}) as seen:
        wait_until(lambda: len(seen.accepted) > 5, "requests")
        os.kill({"api": api, "serve": service.process.pid}[to], signal.SIGHUP)
        wait_until(lambda: not old & set(descendants(api)), "the old processes to be gone")
        before = len(seen.accepted)
        wait_until(lambda: len(seen.accepted) > before + 5, "requests")
    assert (seen.refused, seen.unanswered) == ([], [])
    listed = everything(service, "share-networks")
    assert {network["id"] for network in listed} == set(seen.accepted)
    assert not service.has_ended() and service.children() == before_it


def test_a_service_that_is_stopped_under_load_loses_nothing_that_it_accepted(
    service: Installation,
) -> None:
    made_by(
        service,
        "/v2/types",
        {
            "share_type": {
                "name": "default",
                "extra_specs": {"driver_handles_share_servers": "True"},
            }
        },
    )
    net = made_by(service, "/network/v2.0/networks", {"network": {"name": "net"}})["id"]
    subnet = made_by(
        service,
        "/network/v2.0/subnets",
        {"subnet": {"network_id": net, "cidr": "10.1.0.0/24", "ip_version": 4}},
    )["id"]
    network = made_by(
        service,
        "/v2/share-networks",
        {"share_network": {"neutron_net_id": net, "neutron_subnet_id": subnet}},
    )["id"]
    wanted = {
        "share": {
            "share_proto": "NFS",
            "size": 1,
            "share_type": "default",
            "share_network_id": network,
        }
    }
    with load(service, "/v2/shares", wanted) as seen:
        wait_until(lambda: len(seen.accepted) > 10, "requests")
        assert service.stop() == 0
    assert "is killed" not in service.said() and seen.refused == []
    service.start()

    def statuses() -> dict[str, str]:
        return {share["id"]: share["status"] for share in everything(service, "shares/detail")}

    assert set(seen.accepted) <= statuses().keys()
    wait_until(
        lambda: set(statuses().values()) == {"available"}, "all that was accepted to be done"
    )


@contextmanager
def another_api(service: Installation) -> Iterator[subprocess.Popen[bytes]]:
    """One more `abaca api` on the port of the service; it takes requests."""
    log = service.folder / "another"
    command = [*service.command("api"), "--port", str(service.port)]
    with open(log, "wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd="/"
        )
    try:
        wait_until(
            lambda: all(f"Started worker-{number}" in log.read_text() for number in (1, 2)),
            "the other API",
        )
        yield process
    finally:
        process.terminate()
        process.wait(60)


def test_an_api_takes_over_from_another_one_on_the_same_port(service: Installation) -> None:
    """Connections that nobody has taken when the old one goes may be reset; no request that was
    taken is lost."""
    with load(service, "/v2/share-networks", {"share_network": {}}) as seen:
        wait_until(lambda: len(seen.accepted) > 5, "requests")
        with another_api(service) as old:
            before = len(seen.accepted)
            wait_until(lambda: len(seen.accepted) > before + 10, "requests")
        assert old.returncode == 0
        before = len(seen.accepted)
        wait_until(lambda: len(seen.accepted) > before + 5, "requests")
    assert seen.refused == [] and len(seen.unanswered) <= CLIENTS, seen.unanswered
    listed = everything(service, "share-networks")
    assert set(seen.accepted) <= {network["id"] for network in listed}
    assert len(listed) <= len(seen.accepted) + len(seen.unanswered)
