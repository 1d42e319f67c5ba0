"""Callers by a real Keystone: which tokens are taken, for whom they speak, and what they may do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any
from uuid import uuid4

import pytest
from falcon import testing
from oslo_config import cfg
from sqlalchemy.engine import Engine

from abaca import config
from abaca.api.access import answers, rules_in_code
from abaca.api.app import WsgiApp, create_app
from abaca.api.microversions import EXPERIMENTAL_HEADER, HEADER
from tests.api.conftest import BackEnd, new_id
from tests.api.test_access_matrix import IDS
from tests.api.test_isolation import body_of, every_route, filled
from tests.openstack.keystone import Keystone, section

pytestmark = [
    pytest.mark.slow("a real Keystone, asked by each persona"),
    pytest.mark.timeout(300),
]  # the first one starts Keystone

PERSONAS = ("admin", "manager", "member", "reader", "nobody", "system admin", "system reader")
Names = dict[str, str]


@dataclass(frozen=True)
class People:
    """A token for each persona, and the projects that the tokens are for."""

    keystone: Keystone
    tokens: Names
    red: str
    blue: str
    bob: str  # a member of blue


@pytest.fixture(scope="module")
def people(keystone: Keystone) -> People:
    mark = uuid4().hex[:8]
    red, blue = keystone.project(f"red-{mark}"), keystone.project(f"blue-{mark}")
    tokens = {}
    for role in ("admin", "manager", "member", "reader", "nobody"):
        granted = "service" if role == "nobody" else role
        keystone.user(f"{role}-{mark}", granted, project_id=red)
        tokens[role] = keystone.token(f"{role}-{mark}", project_id=red)
    for role in ("admin", "reader"):
        keystone.user(f"system-{role}-{mark}", role)
        tokens[f"system {role}"] = keystone.token(f"system-{role}-{mark}", system_scope="all")
    tokens["unscoped"] = keystone.token(f"member-{mark}")
    keystone.user(f"bob-{mark}", "member", project_id=blue)
    return People(keystone, tokens, red, blue, keystone.token(f"bob-{mark}", project_id=blue))


@pytest.fixture(scope="module")
def authtoken(keystone: Keystone) -> Names:
    """What [keystone_authtoken] says."""
    return keystone.service_user(f"abaca-{uuid4().hex[:8]}")


@pytest.fixture
def make_app(engine: Engine, tmp_path: Path) -> Callable[..., WsgiApp]:
    def make(options: Names, **more: object) -> WsgiApp:
        return create_app(configuration(tmp_path, options, **more), engine)

    return make


@pytest.fixture
def app(make_app: Callable[..., WsgiApp], authtoken: Names) -> WsgiApp:
    return make_app(authtoken)


def configuration(folder: Path, options: Names, **more: object) -> cfg.ConfigOpts:
    file = folder / "abaca.conf"
    file.write_text(section(options | {name: str(value) for name, value in more.items()}))
    return config.load([str(file)], {"state_dir": str(folder), "api.auth_strategy": "keystone"})


def send(
    app: WsgiApp,
    token: str | None,
    method: str = "GET",
    path: str = "/v2/types",
    body: Any = None,
    **headers: str,
) -> testing.Result:
    sent = {HEADER: "2.70", **({"X-Auth-Token": token} if token is not None else {}), **headers}
    return testing.TestClient(app).simulate_request(method, path, json=body, headers=sent)


@pytest.mark.parametrize(
    ("method", "path", "body", "permitted"),
    [
        ("GET", "/v2/types", None, {"admin", "manager", "member", "reader", "system admin"}),
        ("GET", "/v2/services", None, {"admin", "system admin"}),
        (
            "POST",
            "/v2/types",
            {"share_type": {"name": "t", "extra_specs": {"driver_handles_share_servers": "True"}}},
            {"admin", "system admin"},
        ),
        ("POST", "/v2/share-networks", {"share_network": {}}, {"admin", "manager", "member"}),
        (
            "POST",
            "/v2/security-services",
            {"security_service": {"type": "ldap"}},
            {"admin", "manager", "member"},
        ),
        (
            "DELETE",
            "/v2/share-networks/{network}",
            None,
            {"admin", "manager", "member", "system admin"},
        ),
    ],
)
def test_what_each_persona_may_do(
    app: WsgiApp, people: People, method: str, path: str, body: Any, permitted: set[str]
) -> None:
    for persona in PERSONAS:
        made = send(
            app, people.tokens["member"], "POST", "/v2/share-networks", {"share_network": {}}
        ).json
        if isinstance(body, dict) and "share_type" in body:
            body["share_type"]["name"] = persona
        answer = send(
            app,
            people.tokens[persona],
            method,
            path.format(network=made["share_network"]["id"]),
            body,
        )
        assert (answer.status_code < 300) == (persona in permitted), (
            persona,
            answer.status_code,
            answer.text,
        )
        assert answer.status_code < 300 or answer.status_code == 403


def test_each_route_answers_each_persona_as_documented(app: WsgiApp, people: People) -> None:
    """docs/reference/api-access.md, row by row; about things that are not there, and quotas of
    their own project."""
    wrong, policy, ids = [], rules_in_code(), IDS | {"project_id": people.red}
    for route, version in every_route():
        for persona, expected in answers(policy, route).items():
            token = (
                people.tokens[{"another role": "nobody"}.get(persona, persona)]
                if persona != "no credentials"
                else None
            )
            answer = send(
                app,
                token,
                route.method,
                filled(route, ids),
                body_of(route, ids),
                **{HEADER: version, EXPERIMENTAL_HEADER: "True"},
            )
            if answer.status_code != expected and (
                expected in (401, 403) or answer.status_code in (401, 403)
            ):
                wrong.append(
                    f"{route.method} {route.path} {route.action or ''}, {persona}: "
                    f"{answer.status_code}, not {expected}"
                )
    assert wrong == []


def test_the_project_is_the_tokens(app: WsgiApp, people: People) -> None:
    made = send(
        app,
        people.tokens["member"],
        "POST",
        f"/v2/{people.red}/share-networks",
        {"share_network": {}},
    ).json["share_network"]
    assert made["project_id"] == people.red
    assert (
        send(app, people.tokens["reader"], path=f"/v2/share-networks/{made['id']}").status_code
        == 200
    )
    assert send(app, people.bob, path=f"/v2/share-networks/{made['id']}").status_code == 404
    for who in (people.bob, people.tokens["system admin"]):
        assert send(app, who, path=f"/v2/{people.red}/share-networks").status_code == 400
    assert (
        send(
            app, people.tokens["system admin"], path=f"/v2/share-networks/{made['id']}"
        ).status_code
        == 200
    )


@pytest.mark.parametrize(
    "token", [None, "", "garbage", "gAAAAA" + "x" * 177, "\x7f", "tökèn", "a" * 5000]
)
def test_a_missing_or_wrong_token(app: WsgiApp, keystone: Keystone, token: str | None) -> None:
    answer = send(app, token)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == f'Keystone uri="{keystone.auth_url}"'
    assert answer.json["unauthorized"]["code"] == 401
    assert answer.headers["x-compute-request-id"]


def test_a_token_for_no_project(app: WsgiApp, people: People) -> None:
    answer = send(app, people.tokens["unscoped"])
    assert answer.status_code == 403
    assert "scoped to a project" in answer.json["forbidden"]["message"]


@pytest.mark.parametrize("path", ["/", "/v2", "/v2/", "/healthcheck"])
def test_what_is_open_asks_for_no_token(app: WsgiApp, path: str) -> None:
    assert send(app, None, path=path).status_code == (300 if path == "/" else 200)
    assert send(app, "garbage", path=path).status_code == (300 if path == "/" else 200)


def test_what_keystone_did_not_say_is_not_believed(app: WsgiApp, people: People) -> None:
    told = {
        "X-Roles": "admin",
        "X-Project-Id": people.blue,
        "X-Identity-Status": "Confirmed",
        "OpenStack-System-Scope": "all",
        "X-User-Id": "root",
    }
    assert send(app, None, **told).status_code == 401
    assert send(app, people.tokens["reader"], path="/v2/services", **told).status_code == 403
    assert (
        send(app, people.tokens["reader"], path=f"/v2/{people.red}/types", **told).status_code
        == 200
    )


def test_a_revoked_token(
    make_app: Callable[..., WsgiApp], authtoken: Names, people: People
) -> None:
    remembering, asking = make_app(authtoken), make_app(authtoken, token_cache_time=-1)
    keystone = people.keystone
    carol = f"carol-{uuid4().hex[:8]}"
    keystone.user(carol, "member", project_id=people.red)
    token = keystone.token(carol, project_id=people.red)
    assert [send(app, token).status_code for app in (remembering, asking)] == [200, 200]
    keystone.revoke(token)
    # remembered for token_cache_time
    assert [send(app, token).status_code for app in (remembering, asking)] == [200, 401]


class TestServiceTokens:
    """A service speaks for a user by both tokens."""

    def test_it_must_be_a_services(
        self, app: WsgiApp, keystone: Keystone, authtoken: Names, people: People
    ) -> None:
        service = keystone.token(authtoken["username"], project_name=authtoken["project_name"])
        for token, status in ((service, 200), (people.tokens["member"], 401), ("garbage", 401)):
            assert (
                send(app, people.tokens["member"], **{"X-Service-Token": token}).status_code
                == status
            )

    def test_the_caller_is_the_user(self, app: WsgiApp, keystone: Keystone, people: People) -> None:
        """Also when the service's token is for the whole system."""
        name = f"nova-{uuid4().hex[:8]}"
        keystone.user(name, "admin", "service")
        service = {"X-Service-Token": keystone.token(name, system_scope="all")}
        assert send(app, people.tokens["member"], path="/v2/services", **service).status_code == 403
        made = send(
            app,
            people.tokens["member"],
            "POST",
            "/v2/share-networks",
            {"share_network": {}},
            **service,
        )
        assert made.json["share_network"]["project_id"] == people.red


@pytest.fixture
def own_keystone(keystone_template: Path, tmp_path: Path) -> Iterator[Keystone]:
    """One that may be stopped, whose tokens live four seconds."""
    made = Keystone(keystone_template, tmp_path / "keystone", token_seconds=4)
    made.start()
    yield made
    made.stop()


def test_tokens_that_expire_and_a_keystone_that_is_down(
    make_app: Callable[..., WsgiApp], own_keystone: Keystone
) -> None:
    app = make_app(own_keystone.service_user("abaca"))
    red = own_keystone.project("red")
    own_keystone.user("alice", "member", project_id=red)
    own_keystone.user("nova", "service", project_id=red)
    token = own_keystone.token("alice", project_id=red)
    assert send(app, token).status_code == 200
    Event().wait(4.5)
    assert send(app, token).status_code == 401
    assert (
        send(
            app, token, **{"X-Service-Token": own_keystone.token("nova", project_id=red)}
        ).status_code
        == 200
    )
    fresh = own_keystone.token("alice", project_id=red)
    own_keystone.stop()
    answer = send(app, fresh)
    assert answer.status_code == 503
    assert "Keystone does not answer" in answer.json["serviceUnavailable"]["message"]
    assert send(app, None).status_code == 401
    assert send(app, None, path="/").status_code == 300
    own_keystone.start()
    assert send(app, own_keystone.token("alice", project_id=red)).status_code == 200


def test_a_wrong_password_of_our_own_is_not_the_callers_fault(
    make_app: Callable[..., WsgiApp], authtoken: Names, people: People
) -> None:
    app = make_app(authtoken | {"password": "wrong"})
    assert send(app, people.tokens["member"]).status_code == 503


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({}, "auth_type"),
        ({"auth_type": "nonsense"}, "nonsense"),
        ({"auth_type": "password"}, "auth_url"),
    ],
)
def test_a_configuration_that_lacks_something(
    make_app: Callable[..., WsgiApp], options: Names, complaint: str
) -> None:
    with pytest.raises(cfg.Error, match=complaint):
        make_app(options)


def test_members_do_not_see_segments(app: WsgiApp, people: People, back_end: BackEnd) -> None:
    body = {"share_network": {"neutron_net_id": new_id(), "neutron_subnet_id": new_id()}}
    made = send(app, people.tokens["member"], "POST", "/v2/share-networks", body).json[
        "share_network"
    ]
    back_end.resolve(made["id"])

    def subnet(persona: str) -> dict[str, Any]:
        (found,) = send(
            app, people.tokens[persona], path=f"/v2/share-networks/{made['id']}/subnets"
        ).json["share_network_subnets"]
        return dict(found)

    assert (subnet("admin")["network_type"], subnet("admin")["segmentation_id"]) == ("vxlan", 7)
    assert not {"network_type", "segmentation_id"} & {
        name for name, value in subnet("member").items() if value is not None
    }
    assert subnet("member")["cidr"] == "10.0.0.0/24"
