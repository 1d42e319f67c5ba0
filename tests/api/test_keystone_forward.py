"""Logging in to Keystone by way of the page's server: what is handed on, to whom, and what comes
back. With a real Keystone, and with one that does what it should not."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from falcon import testing
from sqlalchemy.engine import Engine

from abaca.api.app import create_app
from tests.api.test_keystone import configuration, send
from tests.openstack.keystone import PASSWORD, Keystone

pytestmark = [
    pytest.mark.slow("a real Keystone"),
    pytest.mark.timeout(300),
]
PATH = "/ui/v3/auth/tokens"
Answer = Callable[[BaseHTTPRequestHandler], None]


def login(user: str, password: str, project: str) -> dict[str, Any]:
    domain = {"name": "Default"}
    who = {"name": user, "domain": domain, "password": password}
    scope = {"project": {"name": project, "domain": domain}}
    return {
        "auth": {"identity": {"methods": ["password"], "password": {"user": who}}, "scope": scope}
    }


def test_a_login_gives_a_token_that_the_api_takes(
    keystone: Keystone, engine: Engine, tmp_path: Path
) -> None:
    mark = uuid4().hex[:8]
    project = keystone.project(f"red-{mark}")
    keystone.user(f"alice-{mark}", "member", project_id=project)
    options = keystone.service_user(f"abaca-{mark}")
    app = create_app(configuration(tmp_path, options), engine)
    client = testing.TestClient(app)

    right = login(f"alice-{mark}", PASSWORD, f"red-{mark}")
    answer = client.simulate_post(PATH, json=right)
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    told = answer.json["token"]
    assert told["project"]["id"] == project and "catalog" not in told
    token = answer.headers["x-subject-token"]
    assert send(app, token).status_code == 200

    for wrong in (
        login(f"alice-{mark}", "wrong", f"red-{mark}"),
        login(f"alice-{mark}", PASSWORD, "another project"),
        login(f"nobody-{mark}", PASSWORD, f"red-{mark}"),
    ):
        answer = client.simulate_post(PATH, json=wrong)
        assert (answer.status_code, "x-subject-token" in answer.headers) == (401, False)
        assert "Keystone does not accept" in answer.text


@pytest.fixture
def answers() -> Iterator[tuple[str, list[Answer], list[tuple[str, bytes]]]]:
    """A server in Keystone's place: its URL, what it answers with, and what it was asked."""
    behaviour: list[Answer] = []
    asked: list[tuple[str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            behaviour[-1](self)

        do_GET = do_POST

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", behaviour, asked
    server.shutdown()
    server.server_close()


@pytest.fixture
def client(
    answers: tuple[str, list[Answer], list[tuple[str, bytes]]], engine: Engine, tmp_path: Path
) -> testing.TestClient:
    options = {"auth_type": "password", "auth_url": f"{answers[0]}/v3", "username": "abaca"}
    more = {"password": "x", "project_name": "service"}
    domains = {"user_domain_name": "Default", "project_domain_name": "Default"}
    conf = configuration(tmp_path, {**options, **more, **domains})
    return testing.TestClient(create_app(conf, engine))


def say(status: int, body: bytes = b"{}", **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def without_end(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(201)
    handler.send_header("X-Subject-Token", "t")
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(b"x" * 65536)
    except OSError:
        pass


def cut_off(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(201)
    handler.send_header("X-Subject-Token", "t")
    handler.send_header("Content-Length", "100")
    handler.end_headers()
    handler.wfile.write(b"{}")
    handler.close_connection = True


RIGHT = login("alice", "pw", "red")


def test_what_is_handed_on_is_written_anew_to_one_place(
    answers: tuple[str, list[Answer], list[tuple[str, bytes]]], client: testing.TestClient
) -> None:
    _, behaviour, asked = answers
    behaviour.append(say(201, b'{"token": {}}', X_Subject_Token="gAAAA"))
    hostile = {
        "Host": "elsewhere.example",
        "X-Forwarded-Host": "elsewhere.example",
        "X-Auth-Token": "mine",
        "Content-Type": "application/json; charset=utf-8",
    }
    body = json.dumps(RIGHT, indent=8)
    answer = client.simulate_post(
        f"{PATH}?url=http://elsewhere.example", body=body, headers=hostile
    )
    assert (answer.status_code, answer.headers["x-subject-token"]) == (201, "gAAAA")
    ((path, sent),) = asked
    assert path == "/v3/auth/tokens?nocatalog"
    assert json.loads(sent) == RIGHT and b"        " not in sent


@pytest.mark.parametrize(
    "answer",
    [
        say(302, Location="http://127.0.0.1:1/"),
        say(300),
        say(200, X_Subject_Token="t"),
        say(201),
        say(201, X_Subject_Token="t\xe9"),
        say(500, b"secret words of a service"),
        say(201, b"x" * 300_000, X_Subject_Token="t"),
        without_end,
        cut_off,
        say(201, b"{}", X_Subject_Token="t", Content_Encoding="gzip"),
    ],
    ids=[
        "redirect",
        "choices",
        "200",
        "no token",
        "no text",
        "failure",
        "large",
        "without end",
        "cut off",
        "no gzip",
    ],
)
def test_what_is_no_login_is_told_as_an_outage(
    answers: tuple[str, list[Answer], list[tuple[str, bytes]]],
    client: testing.TestClient,
    answer: Answer,
) -> None:
    _, behaviour, asked = answers
    behaviour.append(answer)
    began = time.monotonic()
    found = client.simulate_post(PATH, json=RIGHT)
    assert found.status_code == 503 and "Keystone does not answer" in found.text
    assert "secret" not in found.text and "x-subject-token" not in found.headers
    assert len(asked) == 1
    assert time.monotonic() - began < 60


def _with(**identity: Any) -> dict[str, Any]:
    return {"auth": {"identity": identity}}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("", 400),
        ("[]", 400),
        ("{}", 400),
        (json.dumps(_with(methods=["token"], token={"id": "found"})), 400),
        (json.dumps(_with(methods=[])), 400),
        (json.dumps(_with(methods=["password"], password={}, oauth1={})), 400),
        (json.dumps({**RIGHT, "more": 1}), 400),
        (json.dumps(login("a" * 9000, "pw", "red")), 413),
    ],
)
def test_what_is_no_login_is_not_handed_on(
    answers: tuple[str, list[Answer], list[tuple[str, bytes]]],
    client: testing.TestClient,
    body: str,
    status: int,
) -> None:
    json_type = {"Content-Type": "application/json"}
    assert client.simulate_post(PATH, body=body, headers=json_type).status_code == status
    assert answers[2] == []


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_form_of_another_site_is_not_handed_on(
    answers: tuple[str, list[Answer], list[tuple[str, bytes]]],
    client: testing.TestClient,
    media_type: str,
) -> None:
    headers = {"Content-Type": media_type} if media_type else {}
    answer = client.simulate_post(PATH, body=json.dumps(RIGHT), headers=headers)
    assert answer.status_code == 415
    assert answers[2] == []


def test_what_keystone_would_have_one_user_keep_is_sent_with_no_other_login(
    answers: tuple[str, list[Answer], list[tuple[str, bytes]]], client: testing.TestClient
) -> None:
    _, behaviour, asked = answers
    kept: list[str | None] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        kept.append(handler.headers["Cookie"])
        say(201, X_Subject_Token="t", Set_Cookie="session=alice; Path=/")(handler)

    behaviour.append(answer)
    for _ in range(2):
        assert client.simulate_post(PATH, json=RIGHT).status_code == 201
    assert (len(asked), kept) == (2, [None, None])


def test_without_keystone_there_is_no_such_route(engine: Engine, conf: Any) -> None:
    client = testing.TestClient(create_app(conf, engine))
    assert client.simulate_post(PATH, json=RIGHT).status_code == 404
