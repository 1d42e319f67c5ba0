"""Who asks: http_basic with its users file, and noauth."""

from __future__ import annotations

import base64
import hashlib
import logging
from pathlib import Path

import bcrypt
import pytest
from falcon import testing
from sqlalchemy.engine import Engine

from abaca import config
from abaca.api.app import WsgiApp, create_app
from abaca.api.users_file import parse
from tests.api.conftest import Api
from tests.stack import wait_for

SALT = bcrypt.gensalt(4)


def line(name: str, password: str, project: str = "red", roles: str = "member") -> str:
    return f"{name}:{bcrypt.hashpw(password.encode(), SALT).decode()}:{project}:{roles}\n"


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


@pytest.fixture
def users(tmp_path: Path) -> Path:
    path = tmp_path / "users"
    path.touch(0o600)
    path.write_text(
        "# name:hash:project:roles\n\n"
        + line("alice", "se:cret")
        + line("root", "toor", "control", "admin,member")
    )
    return path


@pytest.fixture
def basic_app(engine: Engine, users: Path) -> WsgiApp:
    return create_app(config.load([], {"state_dir": str(users.parent)}), engine)


def get(app: WsgiApp, header: str | None, path: str = "/v2/types") -> testing.Result:
    return testing.TestClient(app).simulate_get(
        path, headers={"Authorization": header} if header else None
    )


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (basic("alice", "se:cret"), 200),
        (basic("root", "toor"), 200),
        (basic("root", "toor").replace("Basic", "bAsIc"), 200),
        (None, 401),
        ("", 401),
        ("Bearer abc", 401),
        ("Basic", 401),
        ("Basic !!!", 401),
        ("Basic " + base64.b64encode(b"alice").decode(), 401),
        ("Basic " + base64.b64encode(b"\xff\xfe:x").decode(), 401),
        (basic("alice", "wrong"), 401),
        (basic("alice", ""), 401),
        (basic("alice", "x" * 100), 401),
        (basic("mallory", "se:cret"), 401),
        (basic("", ""), 401),
    ],
)
def test_http_basic(basic_app: WsgiApp, header: str | None, status: int) -> None:
    answer = get(basic_app, header)
    assert answer.status_code == status
    if status == 401:
        assert answer.headers["www-authenticate"].startswith("Basic realm=")
        assert answer.json["unauthorized"]["code"] == 401
        assert answer.headers["x-compute-request-id"]


@pytest.mark.parametrize(
    ("path", "status"),
    [("/", 300), ("/v2/", 200), ("/healthcheck", 200), ("/v2/nope", 401), ("/nope", 401)],
)
def test_open_paths(basic_app: WsgiApp, path: str, status: int) -> None:
    assert get(basic_app, None, path).status_code == status


def test_roles_and_project_come_from_the_file(basic_app: WsgiApp) -> None:
    client = testing.TestClient(basic_app, headers={"Authorization": basic("alice", "se:cret")})
    assert (
        client.simulate_get(
            "/v2/services", headers={"X-OpenStack-Manila-API-Version": "2.70"}
        ).status_code
        == 403
    )
    made = client.simulate_post("/v2/share-networks", json={"share_network": {}})
    assert made.json["share_network"]["project_id"] == "red"
    root = testing.TestClient(
        basic_app,
        headers={"Authorization": basic("root", "toor"), "X-OpenStack-Manila-API-Version": "2.70"},
    )
    assert root.simulate_get("/v2/services").status_code == 200


def test_an_application_token_logs_in_until_it_is_revoked(basic_app: WsgiApp, users: Path) -> None:
    tokens = users.with_name("tokens")
    header = basic("root+nightly", "secret")
    assert get(basic_app, header).status_code == 401
    secret = hashlib.sha256(b"secret").hexdigest()
    tokens.touch(0o600)
    tokens.write_text(f"root:nightly:{secret}:member:never\n")
    wait_for(lambda: get(basic_app, header).status_code == 200, 5)
    client = testing.TestClient(
        basic_app,
        headers={"Authorization": header, "X-OpenStack-Manila-API-Version": "2.70"},
    )
    assert client.simulate_get("/v2/services").status_code == 403, "a member's token of an admin"
    made = client.simulate_post("/v2/share-networks", json={"share_network": {}})
    assert made.json["share_network"]["project_id"] == "control"
    assert get(basic_app, basic("root+nightly", "Secret")).status_code == 401
    tokens.unlink()
    wait_for(lambda: get(basic_app, header).status_code == 401, 5)


def test_a_wrong_login_by_body_is_logged_and_counted(
    basic_app: WsgiApp, caplog: pytest.LogCaptureFixture
) -> None:
    user = {"name": "alice", "password": "wrong-word"}
    identity = {"methods": ["password"], "password": {"user": user}}
    with caplog.at_level(logging.WARNING):
        answer = testing.TestClient(basic_app).simulate_post(
            "/v3/auth/tokens", json={"auth": {"identity": identity}}
        )
    assert answer.status_code == 401
    assert "failed login as 'alice' from 127.0.0.1" in caplog.text
    assert "wrong-word" not in caplog.text + answer.text


def test_the_file_is_read_again_when_it_changes(basic_app: WsgiApp, users: Path) -> None:
    header = basic("alice", "se:cret")
    assert get(basic_app, header).status_code == 200
    users.write_text(line("alice", "changed"))
    # although the old password is remembered
    wait_for(lambda: get(basic_app, header).status_code == 401, 5)
    assert get(basic_app, basic("alice", "changed")).status_code == 200


def test_a_broken_file_changes_nothing(
    basic_app: WsgiApp, users: Path, caplog: pytest.LogCaptureFixture
) -> None:
    header = basic("alice", "se:cret")
    assert get(basic_app, header).status_code == 200
    users.write_text("alice\n")
    wait_for(lambda: get(basic_app, header) and "line 1 is not of the form" in caplog.text, 5)
    assert get(basic_app, header).status_code == 200


@pytest.mark.parametrize("text",
 ["alice", "alice:$2b$04$short:red:member", "alice:plain:red:member",
  f":{'$2b$04$' + 'a' * 53}:red:member",
                                  f"alice:{'$2b$04$' + 'a' * 53}::member",
                                   f"alice:{'$2b$04$' + 'a' * 53}:red:member:more"])  # fmt: skip
def test_lines_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="line 2 is not of the form"):
        parse(f"# comment\n{text}\n")


@pytest.mark.parametrize(
    ("token", "project"),
    [
        ("alice:red:member", "red"),
        ("alice:red", "red"),
        ("notused", "notused"),
        (None, None),
        ("", None),
    ],
)
def test_noauth(api: Api, token: str | None, project: str | None) -> None:
    answer = api.send("POST", "/v2/share-networks", {"share_network": {}}, who=token)
    assert answer.status_code == (200 if project else 401)
    if project:
        assert answer.json["share_network"]["project_id"] == project


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_what_a_browser_sends_for_another_site_changes_nothing(
    basic_app: WsgiApp, method: str, site: str
) -> None:
    headers = {"Authorization": basic("alice", "se:cret"), "Sec-Fetch-Site": site}
    client = testing.TestClient(basic_app)
    answer = client.simulate_request(method, "/v2/share-networks/x", headers=headers)
    assert answer.status_code == 403 and "another site" in answer.text
    own = client.simulate_request(
        method, "/v2/share-networks/x", headers={**headers, "Sec-Fetch-Site": "same-origin"}
    )
    assert own.status_code != 403
