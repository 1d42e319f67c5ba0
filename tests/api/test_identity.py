"""/v3: a login that has Keystone's shape, for users of the users file."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from oslo_config import cfg
from sqlalchemy.engine import Engine

from abaca import config
from abaca.api.app import WsgiApp, create_app
from abaca.api.login_tokens import LoginTokens
from abaca.api.passwords import Known
from abaca.api.tokens_file import ApplicationTokens
from abaca.api.users_file import UsersFile
from abaca.db.encryption import new_key
from abaca.errors import Unavailable
from tests.api.conftest import ALICE, Api
from tests.raw_http import basic
from tests.service import wait_until
from tests.stack import write_key

TOKENS, PROJECT = "/v3/auth/tokens", {"name": "blue", "domain": {"id": "default"}}
SECRET = "s" * 43
MARY = {"name": "mary", "password": "pw", "domain": {"id": "default"}}
OTHER_DOMAIN = {"name": "heat"}
HASHES = {word: bcrypt.hashpw(word.encode(), bcrypt.gensalt(4)).decode() for word in ("pw", "new")}


@pytest.fixture
def files(tmp_path: Path) -> cfg.ConfigOpts:
    """As `prepared`, to be changed."""
    return prepared(tmp_path)


def prepared(folder: Path) -> cfg.ConfigOpts:
    """The user mary, a member of the project blue, with the application token `csi`, for reading
    only."""
    conf = config.load([os.devnull], {"state_dir": str(folder)})
    write(config.users_file(conf), f"mary:{HASHES['pw']}:blue:member\n")
    digest = hashlib.sha256(SECRET.encode()).hexdigest()
    write(config.tokens_file(conf), f"mary:csi:{digest}:reader:never\n")
    write_key(config.key_file(conf))
    return conf


@pytest.fixture(scope="module")
def app(shared_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> WsgiApp:
    """For all tests that change none of its files."""
    return create_app(prepared(tmp_path_factory.mktemp("identity")), shared_engine)


@pytest.fixture
def service(app: WsgiApp, engine: Engine) -> Api:
    """Which these users log in to, without rows."""
    return Api(app)


def write(path: Path, text: str) -> None:
    path.touch(0o600)
    path.write_text(text)


def by_password(user: Any = MARY, scope: Any = None, **identity: Any) -> dict[str, Any]:
    scoped = {} if scope is None else {"scope": scope}
    return {"auth": {"identity": {"methods": ["password"], "password": {"user": user}} | identity}
            | scoped}  # fmt: skip


def by_application(**credential: Any) -> dict[str, Any]:
    return {
        "auth": {
            "identity": {
                "methods": ["application_credential"],
                "application_credential": credential,
            }
        }
    }


def log_in(service: Api, body: Any) -> tuple[str, dict[str, Any]]:
    """The token and what is said of it."""
    answer = service.expect(201, "POST", TOKENS, body, who=None)
    return answer.headers["x-subject-token"], answer.json["token"]


@pytest.mark.parametrize(
    "body",
    [
        by_password(),
        by_password({"id": "mary", "password": "pw"}),
        by_password({"name": "mary", "password": "pw"}, {"project": PROJECT}),
        by_password(MARY | {"domain": {"name": "Default"}}, {"project": {"id": "blue"}}),
        by_password({"name": "mary+csi", "password": SECRET}),
        by_application(id="mary+csi", secret=SECRET),
        by_application(name="csi", user={"id": "mary"}, secret=SECRET),
        by_application(name="csi", user={"name": "mary", "domain": {"id": "default"}},
                       secret=SECRET),
    ],
)  # fmt: skip
def test_a_login_is_answered_with_a_token_for_the_api(service: Api, body: Any) -> None:
    token, said = log_in(service, body)
    is_application = "csi" in str(body)
    assert (said["user"]["id"], said["project"]["id"]) == ("mary", "blue")
    assert [role["name"] for role in said["roles"]] == ["reader" if is_application else "member"]
    assert said["methods"] == ["application_credential" if is_application else "password"]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", said[name])
               for name in ("issued_at", "expires_at"))  # fmt: skip
    urls = {entry["type"]: entry["endpoints"][0]["url"] for entry in said["catalog"]}
    base = urls["identity"].removesuffix("/v3")
    assert urls["sharev2"] == urls["shared-file-system"] == f"{base}/v2"
    assert urls["network"] == f"{base}/network"
    assert service("GET", "/shares", who=token) == {"shares": []}
    wanted = {"share_network": {"name": "net"}}
    status = 403 if is_application else 200
    service("POST", "/share-networks", wanted, who=token, status=status)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (by_password(MARY | {"password": "wrong"}), 401),
        (by_password(MARY | {"name": "nobody"}), 401),
        (by_password(MARY | {"domain": OTHER_DOMAIN}), 401),
        (by_password(scope={"project": {"name": "red", "domain": {"id": "default"}}}), 401),
        (by_password(scope={"project": PROJECT | {"domain": OTHER_DOMAIN}}), 401),
        (by_password(scope={"domain": {"id": "default"}}), 401),
        (by_password(scope={"system": {"all": True}}), 401),
        (by_application(id="mary+csi", secret="wrong"), 401),
        (by_application(id="mary+other", secret=SECRET), 401),
        (by_password(methods=["token"], token={"id": "x"}), 401),
        (by_password(methods=["password", "totp"]), 401),
        (by_password(methods=[]), 401),
        (by_password(methods=["application_credential"]), 400),
        (by_application(secret=SECRET), 400),
        (by_application(name="csi", secret=SECRET), 400),
        (by_password({"password": "pw"}), 400),
        (by_password({"name": "mary"}), 400),
        (by_password({"name": ["mary"], "password": "pw"}), 400),
        (by_password({"name": "mary\0", "password": "pw"}), 400),
        (by_password(scope=[{"project": PROJECT}]), 400),
        ({"auth": {}}, 400),
        ({}, 400),
        ([], 400),
        (None, 400),
    ],
)
def test_another_body_is_refused_in_keystones_format(service: Api, body: Any, status: int) -> None:
    answer = service.expect(status, "POST", TOKENS, body, who=None)
    assert list(answer.json) == ["error"] and answer.json["error"]["code"] == status
    assert answer.json["error"]["message"] and "x-subject-token" not in answer.headers


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b'{"auth": {"identity": {"methods": ["password"], "password"', 400),
        (b'{"auth": "\xff"}', 400),
        (b'{"auth": {"identity": {"methods": ["password"], "password": {"user": '
         b'{"name": "\\ud800", "password": "pw"}}}}}', 400),
        (b"[" * 5000, 400),
        (b'{"auth": {"scope": [' + b'{"project": {"name": "blue"}},' * 100_000 + b"{}]}}", 413),
        (b" " * 8193, 413),
    ],
)  # fmt: skip
def test_a_body_that_is_no_login_is_refused(service: Api, raw: bytes, status: int) -> None:
    answer = service.expect(status, "POST", TOKENS, raw=raw, who=None)
    assert answer.json["error"]["code"] == status


def test_a_token_is_told_about_to_its_owner_and_to_nobody_else(service: Api) -> None:
    token, said = log_in(service, by_password())
    subject = {"X-Subject-Token": token}
    answer = service.expect(200, "GET", TOKENS, who=token, headers=subject)
    assert answer.json["token"] == said and answer.headers["x-subject-token"] == token
    other, _ = log_in(service, by_application(id="mary+csi", secret=SECRET))
    for who, status in ((other, 404), ("nonsense", 401), (None, 401)):
        service.expect(status, "GET", TOKENS, who=who, headers=subject)
    service.expect(400, "GET", TOKENS, who=token)
    service.expect(404, "GET", TOKENS, who=None, headers=subject | password_header("pw"))


def password_header(password: str) -> dict[str, str]:
    return {"Authorization": basic("mary", password)}


def test_a_password_beside_a_token_is_what_counts(service: Api) -> None:
    token, _ = log_in(service, by_password())
    service("GET", "/shares", who="nonsense", headers=password_header("pw"))
    service("GET", "/shares", who=token, headers=password_header("wrong"), status=401)


def test_the_catalogue_and_the_version_are_told(service: Api) -> None:
    token, said = log_in(service, by_password())
    answer = service.expect(200, "GET", "/v3/auth/catalog", who=token)
    assert answer.json["catalog"] == said["catalog"]
    (link,) = service.expect(200, "GET", "/v3", who=None).json["version"]["links"]
    assert link["href"] == said["catalog"][0]["endpoints"][0]["url"] + "/"


def test_projects_are_found_by_name(service: Api) -> None:
    """Whoever uses them or not: as at /tenants, for clients that look at /v3."""
    token, _ = log_in(service, by_password())
    for name in ("blue", "no-one-s"):
        found = service.expect(200, "GET", f"/v3/projects/{name}", who=token).json["project"]
        assert (found["id"], found["name"]) == (name, name)


def test_projects_are_listed(service: Api, files: cfg.ConfigOpts) -> None:
    """Of all users for an administrator; for others the one that they work in."""
    token, said = log_in(service, by_password())
    mine = said["project"]["id"]

    def listed(path: str, who: object) -> list[str]:
        found = service.expect(200, "GET", path, who=who).json["projects"]
        assert all(one["id"] == one["name"] and one["domain_id"] == "default" for one in found)
        return [one["id"] for one in found]

    assert listed("/v3/projects", token) == [mine] == listed("/v3/auth/projects", token)
    assert listed("/v3/projects?name=no-one-s&domain_id=default", token) == ["no-one-s"]
    for path in ("/v3/projects", "/v3/auth/projects"):
        service.expect(401, "GET", path, who="nonsense")


def test_urls_begin_with_the_public_endpoint(files: cfg.ConfigOpts, engine: Engine) -> None:
    files.set_override("public_endpoint", "https://shares.example.org", "api")
    _, said = log_in(Api(create_app(files, engine)), by_password())
    assert {entry["endpoints"][0]["url"].partition("/v")[0].removesuffix("/network")
            for entry in said["catalog"]} == {"https://shares.example.org"}  # fmt: skip


def test_without_http_basic_there_is_nothing_here(conf: cfg.ConfigOpts, engine: Engine) -> None:
    """With Keystone the real one is elsewhere."""
    api = Api(create_app(conf, engine))
    for path in (TOKENS, "/v3/auth/catalog", "/v3"):
        answer = api.expect(404, "GET", path, who=ALICE)
        assert answer.json["error"]["code"] == 404
    api.expect(404, "POST", TOKENS, by_password(), who=ALICE)


# --- login tokens ---------------------------------------------------------------------------------


@pytest.fixture
def tokens(files: cfg.ConfigOpts) -> Callable[..., LoginTokens]:
    """Those of the files, an hour long, at a time; each call reads them anew."""

    def make(at: float = 1_000_000.0, key: Path | None = None) -> LoginTokens:
        users = UsersFile(config.users_file(files))
        applications = ApplicationTokens(config.tokens_file(files), users)
        key = key or config.key_file(files)
        return LoginTokens(key, 3600, users, applications, clock=lambda: at)

    return make


def mary(files: cfg.ConfigOpts) -> Known:
    return Known(UsersFile(config.users_file(files)).content()["mary"])


def application(files: cfg.ConfigOpts) -> Known:
    users = UsersFile(config.users_file(files))
    known = ApplicationTokens(config.tokens_file(files), users).find("mary+csi", SECRET)
    assert known is not None
    return known


def test_a_login_token_ends(files: cfg.ConfigOpts, tokens: Callable[..., LoginTokens]) -> None:
    login = tokens().issue(mary(files))
    assert login.expires_at - login.issued_at == timedelta(hours=1)
    assert tokens(1_003_600).find(login.token) == (mary(files), login)
    assert tokens(1_003_601).find(login.token) is None


def test_a_login_token_ends_with_its_application_token(
    files: cfg.ConfigOpts, tokens: Callable[..., LoginTokens]
) -> None:
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    path = config.tokens_file(files)
    path.write_text(path.read_text().replace(
        "never", f"{now + timedelta(minutes=2):%Y-%m-%dT%H:%MZ}"))  # fmt: skip
    login = tokens(now.timestamp()).issue(application(files))
    assert login.expires_at == now + timedelta(minutes=2)


@pytest.mark.parametrize(
    "change",
    [
        ("users", HASHES["pw"], HASHES["new"]),
        ("users", ":member", ":member,reader"),
        ("users", ":blue:", ":red:"),
        ("users", "mary:", "anna:"),
    ],
)
def test_a_changed_user_ends_logins(
    files: cfg.ConfigOpts, tokens: Callable[..., LoginTokens], change: tuple[str, str, str]
) -> None:
    login = tokens().issue(mary(files))
    assert tokens().find(login.token) is not None
    rewrite(files, *change)
    assert tokens().find(login.token) is None


@pytest.mark.parametrize(
    "change",
    [
        ("tokens", "mary:csi:", "mary:other:"),
        ("tokens", ":reader:", ":member:"),
        ("tokens", hashlib.sha256(SECRET.encode()).hexdigest(), "0" * 64),
        ("tokens", ":never", ":2020-01-31T12:00Z"),
        ("users", ":member", ":visitor"),
        ("users", "mary:", "anna:"),
    ],
)
def test_a_changed_application_token_ends_its_logins(
    files: cfg.ConfigOpts, tokens: Callable[..., LoginTokens], change: tuple[str, str, str]
) -> None:
    login = tokens().issue(application(files))
    assert tokens().find(login.token) is not None
    rewrite(files, *change)
    assert tokens().find(login.token) is None


def rewrite(files: cfg.ConfigOpts, name: str, old: str, new: str) -> None:
    path = config.state_path(files, name)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_new_password_ends_logins_while_the_service_runs(
    files: cfg.ConfigOpts, engine: Engine
) -> None:
    service = Api(create_app(files, engine))
    token, _ = log_in(service, by_password())
    service("GET", "/shares", who=token)
    rewrite(files, "users", HASHES["pw"], HASHES["new"])
    wait_until(
        lambda: service.send("GET", "/v2/shares", who=token).status_code == 401, "the token's end"
    )


def test_forged_tokens_and_those_of_other_keys_are_none(
    files: cfg.ConfigOpts, tokens: Callable[..., LoginTokens], tmp_path: Path
) -> None:
    login = tokens().issue(mary(files))
    other = tmp_path / "other"
    write(other, new_key())
    theirs = tokens(key=other).issue(mary(files)).token
    flipped = login.token[:-6] + ("A" if login.token[-6] != "A" else "B") + login.token[-5:]
    for token in (theirs, flipped, login.token[:-1], "", "é", "A" * 32_000):
        assert tokens().find(token) is None, token[:40]
    # A stored password, encrypted by the key itself, is no token, whatever it says
    from abaca.db.encryption import Cipher

    said = Cipher(config.key_file(files)).encrypt('["mary","",""]')
    assert tokens().find(said) is None


def test_a_new_key_line_leaves_tokens_of_the_old_one_until_it_goes(
    files: cfg.ConfigOpts, tokens: Callable[..., LoginTokens]
) -> None:
    login = tokens().issue(mary(files))
    key = config.key_file(files)
    old = key.read_text()
    write(key, new_key() + old)
    assert tokens().find(login.token) is not None
    write(key, new_key())
    assert tokens().find(login.token) is None


def test_without_a_key_nobody_gets_a_token(
    files: cfg.ConfigOpts, tokens: Callable[..., LoginTokens], tmp_path: Path
) -> None:
    login = tokens().issue(mary(files))
    assert tokens(key=tmp_path / "none").find(login.token) is None
    with pytest.raises(Unavailable):
        tokens(key=tmp_path / "none").issue(mary(files))
