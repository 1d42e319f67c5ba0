"""Any local user can fill the disk of temporary files: nothing of the service is on it."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api_process import Server, serving
from tests.clients.test_full_database_disk import fill, small_disk
from tests.service import installation, reachable_folder, wait_until

pytestmark = [
    pytest.mark.sampled_file(8),
    pytest.mark.slow("the service is started on a full disk"),
    pytest.mark.timeout(300),
]

ROUTES = (
    *("shares", "snapshots", "share-networks", "share-servers", "types", "limits", "messages"),
    *("security-services", "resource-locks", "shares/detail", "snapshots/detail", "nothing"),
)


@pytest.fixture
def disk() -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("only root mounts a small disk")
    with reachable_folder() as folder, small_disk(folder / "disk", 1) as small:
        small.chmod(0o1777)
        yield small


def is_up(server: Server) -> bool:
    return server.ask("GET", "/healthcheck")[0] == 200


def requests_counted(server: Server) -> float:
    text = server.ask("GET", "/metrics")[1].decode()
    labels = 'method="GET",route="/v2/shares",status="200"'
    (number,) = re.findall(rf"abaca_http_request_seconds_count{{{labels}}} (\S+)", text)
    return float(number)


def test_a_full_temporary_disk_stops_no_api(disk: Path) -> None:
    """Each route and each wrong password is something new to count.

    A process that starts meanwhile goes on with what the killed one has counted.
    """
    with serving(**{"api.workers": 1}) as server:
        server.start(environment={"TMPDIR": str(disk)})
        assert server.ask("GET", "/v2/shares")[0] == 200
        fill(disk)
        for user, expected in (("root", {200, 404}), ("mallory", {401})):
            answered = {route: server.ask("GET", f"/v2/{route}", user=user)[0] for route in ROUTES}
            assert set(answered.values()) == expected, (answered, server.said())
        assert requests_counted(server) == 2
        _, worker = server.pids()
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: worker not in server.pids() and is_up(server), "another one", 60)
        assert server.ask("GET", "/v2/shares")[0] == 200
        assert requests_counted(server) == 3


def test_nothing_of_a_service_is_in_the_temporary_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    with reachable_folder() as temporary, installation() as made:
        temporary.chmod(0o1777)
        monkeypatch.setenv("TMPDIR", str(temporary))
        made.start()
        assert not list(temporary.iterdir())
        killed = made.children()["api"]
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: made.children().get("api", killed) != killed, "another API", 60)
        wait_until(made.answers, "the other API to answer", 60)
        assert made.stop() == 0
        assert not list(temporary.iterdir())
