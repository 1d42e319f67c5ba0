"""Policy: the rules in code, and policy.yaml over them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from oslo_config import cfg
from oslo_policy.policy import InvalidDefinitionError
from sqlalchemy.engine import Engine

from abaca import config
from abaca.api.app import create_app
from abaca.api.faults import PolicyForbids
from abaca.api.microversions import MAX_VERSION, text
from abaca.api.policy import Policy
from abaca.api.routing import DEFAULTS, ROUTES, RULES
from abaca.values import Caller
from tests.api.conftest import ADMIN, ALICE, NOBODY, READER, UNKNOWN, Api
from tests.stack import wait_for

PERSONAS = {
    "admin": ("admin",),
    "member": ("member",),
    "reader": ("reader",),
    "nobody": ("visitor",),
}


def caller(persona: str) -> Caller:
    return Caller(user_id="u", project_id="p", roles=PERSONAS[persona])


@pytest.fixture
def plain(tmp_path: Path) -> cfg.ConfigOpts:
    return config.load([], {"state_dir": str(tmp_path)})


@pytest.mark.parametrize(
    ("rule", "permitted"),
    [
        ("share_type:create", {"admin"}),
        ("share_server:index", {"admin"}),
        ("share:create_public_share", {"admin"}),
        ("share:create", {"admin", "member"}),
        ("share_network_subnet:create", {"admin", "member"}),
        ("share:get_all", {"admin", "member", "reader"}),
        ("share_type:index", {"admin", "member", "reader"}),
    ],
)
def test_personas(plain: cfg.ConfigOpts, rule: str, permitted: set[str]) -> None:
    policy = Policy(plain, DEFAULTS)
    for _ in range(2):  # decided, then remembered
        assert {name for name in PERSONAS if policy.permits(caller(name), rule)} == permitted
    with pytest.raises(PolicyForbids, match=f"Policy doesn't allow {rule} to be performed."):
        policy.enforce(caller("nobody"), rule)


def test_every_rule_is_used_by_a_route_or_a_handler() -> None:
    """The rules that no route names are in the code twice: where they are declared, and where a
    handler asks for them."""
    sources = "".join(
        path.read_text() for path in (Path(__file__).parents[2] / "src/abaca/api").rglob("*.py")
    )
    of_routes = {route.policy for route in ROUTES}
    assert [
        rule for rule in RULES if rule not in of_routes and sources.count(f'"{rule}"') < 2
    ] == []


def test_routes_that_only_administrators_may_call(api: Api) -> None:
    closed = [
        r
        for r in ROUTES
        if r.rule
        and r.rule.default == "rule:admin"
        and r.until is None
        and r.path.startswith("/v2/")
        and r.action is None
    ]
    assert len(closed) > 10
    for route in closed:
        path = re.sub(r"\{\w+\}", UNKNOWN, route.path)
        for who in (ALICE, READER, NOBODY):
            answer = api.send(route.method, path, who=who, version=text(MAX_VERSION))
            assert (answer.status_code, list(answer.json)) == (403, ["forbidden"]), (
                f"{route.name} as {who}"
            )


def test_policy_file(
    tmp_path: Path, plain: cfg.ConfigOpts, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text('"share_type:create": "rule:member"\n"share:create": "role:admin"\n')
    policy = Policy(plain, DEFAULTS)
    assert policy.permits(caller("member"), "share_type:create")
    assert not policy.permits(caller("member"), "share:create")
    assert policy.permits(caller("member"), "share:delete")  # the rules in code stay
    file.write_text('"share:create": "user_id:%(user_id)s"\n')
    wait_for(lambda: policy.permits(caller("nobody"), "share:create"), 5)
    assert not policy.permits(caller("member"), "share_type:create")
    file.write_text('"share:create": "rule:no-such-rule"\n')
    wait_for(
        lambda: (
            policy.permits(caller("nobody"), "share:create")
            and "the rules stay as they were" in caplog.text
        ),
        5,
    )
    assert policy.permits(caller("nobody"), "share:create")
    file.unlink()
    wait_for(lambda: not policy.permits(caller("nobody"), "share:create"), 5)
    assert policy.permits(caller("member"), "share:create")


@pytest.mark.parametrize("text", ["[not a mapping", '"share:create": "rule:no-such-rule"\n'])
def test_a_broken_policy_file_stops_the_start(
    tmp_path: Path, plain: cfg.ConfigOpts, text: str
) -> None:
    (tmp_path / "policy.yaml").write_text(text)
    with pytest.raises((ValueError, InvalidDefinitionError)):
        Policy(plain, DEFAULTS)


def test_policy_file_reaches_the_routes(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text('"share_type:index": "rule:admin"\n')
    api = Api(
        create_app(
            config.load([], {"state_dir": str(tmp_path), "api.auth_strategy": "noauth"}), engine
        )
    )
    assert "share_type:index" in api.fault("GET", "/types", None, 403, who=ALICE)
    api("GET", "/types", who=ADMIN)
