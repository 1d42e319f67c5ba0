"""A Keystone that hangs, drips, never ends or lies: requests of others are answered, and neither
memory nor threads are lost."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

pytest.importorskip("keystoneauth1")

from keystoneauth1.exceptions import ClientException
from keystoneauth1.session import Session

from abaca.bounded_http import bound
from tests.api_process import Server, serving
from tests.lying_services import HONEST, lying_service
from tests.raw_http import Connection, request

pytestmark = [
    pytest.mark.sampled_file(8),
    pytest.mark.slow("answers are waited for until they are given up"),
    pytest.mark.timeout(180),
]

OPTIONS = """auth_type = password
username = u
password = p
project_name = s
user_domain_id = default
project_domain_id = default
http_connect_timeout = 4
http_request_max_retries = 0
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with (
        lying_service() as url,
        serving(**{"api.workers": 1, "api.threads": 2, "api.auth_strategy": "keystone"}) as made,
    ):
        file = made.folder / "keystone.conf"
        file.write_text(f"[keystone_authtoken]\nauth_url = {url}/v3\n{OPTIONS}")
        made.options["config_files"] = [str(file)]
        made.start()
        yield made


def asked(server: Server, token: str, source: str = "127.0.0.1") -> int:
    with Connection(server.port, 60, source=source) as connection:
        connection.send(request("GET", "/v2/types", f"X-Auth-Token: {token}"))
        answer = connection.answer()
        assert answer is not None
        return answer.status


@pytest.mark.parametrize("lie", ["hang", "drip", "endless", "bomb", "garbage", "other", "unknown"])
def test_what_a_lie_is_answered_with(server: Server, lie: str) -> None:
    began = time.monotonic()
    assert asked(server, f"{lie}-1") == (401 if lie == "unknown" else 503)
    assert time.monotonic() - began < 40
    assert resident(server) < 400


@pytest.mark.parametrize("lie", ["hang", "drip", "endless"])
def test_who_has_a_confirmed_token_does_not_notice(server: Server, lie: str) -> None:
    assert asked(server, HONEST) == 200
    with ExitStack() as stack:
        for number in range(60):
            liar = stack.enter_context(Connection(server.port, source="127.0.0.2"))
            liar.send(request("GET", "/v2/types", f"X-Auth-Token: {lie}-{number}"))
        for _ in range(20):
            began = time.monotonic()
            assert asked(server, HONEST) == 200
            assert server.ask("GET", "/healthcheck")[0] == 200
            assert time.monotonic() - began < 3
        assert resident(server) < 600


def test_logins_that_hang_keep_no_request_and_no_other_client_waiting(server: Server) -> None:
    """Anybody may log in by way of the page, and there are two threads for all requests."""
    assert asked(server, HONEST) == 200
    with ExitStack() as stack:
        for _ in range(40):
            liar = stack.enter_context(Connection(server.port, source="127.0.0.2"))
            liar.send(login("hang"))
        for _ in range(5):
            began = time.monotonic()
            assert asked(server, HONEST) == 200
            with Connection(server.port, 60, source="127.0.0.3") as other:
                other.send(login("alice"))
                answer = other.answer()
            assert answer is not None and answer.status == 201
            assert answer.headers["x-subject-token"] == "service-token"
            assert time.monotonic() - began < 5


def test_what_is_no_login_is_refused_by_the_route(server: Server) -> None:
    path = "/ui/v3/auth/tokens"
    with Connection(server.port) as connection:
        for asked_for, status in (
            (request("POST", path), 415),
            (request("POST", path, body=b"{}"), 400),
            (request("POST", path, body=b"[" * 9000), 413),
            (request("GET", path), 405),
            (login("alice"), 201),
        ):
            connection.send(asked_for)
            answer = connection.answer()
            assert answer is not None and answer.status == status, asked_for


def login(user: str) -> bytes:
    """A request of the page's."""
    identity = {"methods": ["password"], "password": {"user": {"name": user, "password": "pw"}}}
    body = json.dumps({"auth": {"identity": identity}}).encode()
    return request("POST", "/ui/v3/auth/tokens", body=body)


@pytest.mark.parametrize("lie", ["drip", "heads", "continue", "endless", "bomb"])
def test_answers_have_an_end(lie: str) -> None:
    """As Neutron's client is bounded, too."""
    with lying_service() as url:
        session = bound(Session(), most_bytes=1_000_000, seconds=2.0)
        began = time.monotonic()
        with pytest.raises(ClientException):
            session.get(f"{url}/{lie}")
        assert time.monotonic() - began < 15


def resident(server: Server) -> int:
    """MiB of the largest process."""
    found = []
    for pid in server.pids():
        (line,) = (
            line
            for line in Path(f"/proc/{pid}/status").read_text().splitlines()
            if line.startswith("VmRSS")
        )
        found.append(int(line.split()[1]) // 1024)
    return max(found)
