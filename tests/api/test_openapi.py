"""The OpenAPI document: it describes every route, and thousands of requests made from it get the answers that it describes, never a 500."""

from __future__ import annotations

import logging
from typing import Any

import hypothesis
import pytest
import schemathesis
import sqlalchemy as sa
from oslo_config import cfg
from schemathesis.checks import not_a_server_error
from schemathesis.core.errors import SchemathesisError
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance
from sqlalchemy.engine import Engine

from abaca.api import openapi
from abaca.api.app import create_app
from abaca.api.described import GIVES, TAKES
from abaca.api.microversions import HEADER, MAX_VERSION, text
from abaca.api.routing import ROUTES
from abaca.config import key_file
from abaca.db.session import begin
from abaca.db.tables import shares
from abaca.domain import messages
from tests.api.conftest import ADMIN, Api, BackEnd
from tests.stack import write_key

NEWEST = [route for route in ROUTES if route.lives_in(MAX_VERSION)]
PER_OPERATION = 15
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


def test_it_is_open_to_everyone(api: Api) -> None:
    """GET /openapi.json"""
    answer = api.send("GET", "/openapi.json", who=None, version=None)
    assert answer.status_code == 200
    assert answer.json["openapi"] == "3.1.0"
    assert set(answer.json["paths"]) == {route.path for route in NEWEST} | {"/openapi.json"}


def test_every_route_is_described() -> None:
    silent = {"versions.healthcheck", "metrics.show"}  # plain text
    assert {route.name for route in NEWEST if not openapi.is_silent(route)} - set(GIVES) == silent
    assert {route.name for route in NEWEST if route.method in ("POST", "PUT")} - set(TAKES) == set()
    names = {route.name for route in ROUTES}
    assert set(GIVES) - names == set(TAKES) - names == set()


@pytest.fixture
def known(api: Api, back_end: BackEnd, conf: cfg.ConfigOpts, engine: Engine) -> dict[str, str]:
    """The ids of resources that are there, by the path's parameters."""
    return populate(api, back_end, conf, engine)


def populate(api: Api, back_end: BackEnd, conf: cfg.ConfigOpts, engine: Engine) -> dict[str, str]:
    """Make one of everything, of the administrator's project."""
    write_key(key_file(conf))
    security_service = api("POST", "/security-services", {"security_service": {"type": "ldap", "password": "p"}})["security_service"]["id"]
    type_id = api.share_type()
    network = api.share_network(ADMIN)
    share = api.share(network["id"], ADMIN)["id"]
    back_end.settle(share, "10.0.0.5:/shares/x")
    with begin(engine) as conn:
        conn.execute(sa.update(shares).values(snapshot_support=True, revert_to_snapshot_support=True))
        messages.create(conn, project_id="control", resource_type="SHARE", resource_id=share, action=messages.Action.CREATE, text="no")
    instance = api("GET", f"/shares/{share}/instances")["share_instances"][0]["id"]
    rule = api("POST", f"/shares/{share}/action", {"allow_access": {"access_type": "ip", "access_to": "10.0.0.1"}})["access"]["id"]
    return {
        "security_service_id": security_service,
        "snapshot_id": api("POST", "/snapshots", {"snapshot": {"share_id": share}}, status=202)["snapshot"]["id"],
        "message_id": api("GET", "/messages")["messages"][0]["id"],
        "type_id": type_id, "share_network_id": network["id"], "subnet_id": network["share_network_subnets"][0]["id"], "share_id": share,
        "instance_id": instance, "access_id": rule, "share_server_id": api("GET", f"/shares/{share}")["share"]["share_server_id"],
        "export_location_id": api("GET", f"/shares/{share}/export_locations")["export_locations"][0]["id"],
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_answers_are_as_described(conf: cfg.ConfigOpts, engine: Engine, known: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    app = create_app(conf, engine)
    schema = schemathesis.openapi.from_wsgi("/openapi.json", app)
    counted: dict[int, int] = {}
    wrong: list[str] = []
    for result in schema.get_all_operations():
        operation = result.ok()
        settings = hypothesis.settings(
            max_examples=PER_OPERATION, deadline=None, database=None, derandomize=True, phases=[hypothesis.Phase.generate],
            suppress_health_check=list(hypothesis.HealthCheck),
        )  # fmt: skip

        cases = operation.as_strategy() | operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)

        @settings
        @hypothesis.given(case=cases, place=hypothesis.strategies.sampled_from([True, True, True, False]))
        def ask(case: Any, place: bool) -> None:
            for name in (case.path_parameters or {}) if place else ():
                case.path_parameters[name] = known.get(name, case.path_parameters[name])
            case.headers = {"X-Auth-Token": ADMIN, HEADER: text(MAX_VERSION)}
            answer = case.call()
            counted[answer.status_code] = counted.get(answer.status_code, 0) + 1
            case.validate_response(answer, checks=CHECKS)

        try:
            ask()
        except (SchemathesisError, AssertionError, BaseExceptionGroup) as error:
            wrong.append(f"{operation.label}: {error}")
    print(counted)
    assert wrong == []
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
    assert sum(counted.values()) > 1200 and counted[200] > 300
