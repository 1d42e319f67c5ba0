"""The OpenAPI document: it describes every route, and thousands of requests made from it get the
answers that it describes, never a 500."""

from __future__ import annotations

import logging
import re
from contextlib import suppress
from typing import Any

import falcon.testing
import msgspec
import pytest
import schemathesis
import sqlalchemy as sa
from oslo_config import cfg
from schemathesis.checks import not_a_server_error
from schemathesis.core.errors import SchemathesisError
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from sqlalchemy.engine import Engine

from abaca.api import openapi
from abaca.api.app import create_app, make_service
from abaca.api.call import Call, Service
from abaca.api.declaration import Route
from abaca.api.faults import NoSuchRoute
from abaca.api.microversions import EXPERIMENTAL_HEADER, HEADER, MAX_VERSION, text
from abaca.api.routing import ROUTES
from abaca.config import key_file
from abaca.db.session import begin
from abaca.db.tables import shares
from abaca.domain.capacity import quota_usages
from abaca.domain.rows import messages
from abaca.errors import CallerError
from abaca.values import Caller
from tests.api.conftest import ADMIN, UNKNOWN, Api, BackEnd
from tests.properties import drawn, given, st
from tests.sample import FACTOR
from tests.stack import write_key

NEWEST = [route for route in ROUTES if route.lives_in(MAX_VERSION)]
PER_OPERATION = 3 * FACTOR
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


def test_no_answer_is_just_an_object() -> None:
    """Each says what its members are, or that they are pairs that callers made."""
    undescribed = [
        (route.name, route.action)
        for route in NEWEST
        if route.gives
        and (schema := openapi.answer(route.gives)).get("type") == "object"
        and not schema.keys() & {"properties", "additionalProperties"}
    ]
    assert undescribed == []


def test_it_is_open_to_everyone(api: Api) -> None:
    """GET /openapi.json"""
    answer = api.expect(200, "GET", "/openapi.json", who=None, version=None)
    assert answer.json["openapi"] == "3.1.0"
    assert set(answer.json["paths"]) == {route.path for route in NEWEST} | {"/openapi.json"}


def test_it_says_where_and_how_to_log_in(conf: cfg.ConfigOpts, engine: Engine) -> None:
    """The server that was asked, and the kinds of credentials that it takes."""
    conf.set_override("public_endpoint", "https://shares.example.org", group="api")
    told = Api(create_app(conf, engine)).send("GET", "/openapi.json", who=None, version=None).json
    assert told["servers"] == [{"url": "https://shares.example.org"}]
    token = {"token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"}}
    assert told["components"]["securitySchemes"] == token
    assert told["security"] == [{"token": []}]
    with_passwords = openapi.document(ROUTES, "http_basic")
    basic = {"basic": {"type": "http", "scheme": "basic"}}
    assert with_passwords["components"]["securitySchemes"] == basic | token
    assert with_passwords["security"] == [{"basic": []}, {"token": []}]
    assert openapi.document(ROUTES, "keystone")["components"]["securitySchemes"].keys() == {"token"}
    operations = {
        (path, method): operation
        for path, methods in told["paths"].items()
        for method, operation in methods.items()
    }
    is_open = {
        (path, method)
        for (path, method), operation in operations.items()
        if operation.get("security") == []
    }
    assert is_open == {
        (route.path, route.method.lower())
        for route in [*NEWEST, openapi.ROUTE]
        if route.policy is None
    }


def test_operations_and_components_have_names_of_their_own() -> None:
    document = openapi.document([*ROUTES, openapi.ROUTE], "noauth")
    operations = [
        operation for methods in document["paths"].values() for operation in methods.values()
    ]
    ids = [operation["operationId"] for operation in operations]
    assert len(ids) == len(set(ids)) and all(re.fullmatch(r"[a-z]\w*", name) for name in ids)
    # programs are written with them
    assert {"get_shares", "post_shares_share_id_action", "get_network_v2_0_networks"} <= set(ids)
    tags = [tag["name"] for tag in document["tags"]]
    assert len(tags) == len(set(tags)) and all(
        set(operation["tags"]) <= set(tags) and operation["tags"] for operation in operations
    )
    assert [
        name
        for name in document["components"]["schemas"]
        if not re.fullmatch(r"[A-Z][A-Za-z]*", name)
    ] == []
    views = [
        (route.gives.view, route.gives.level)
        for route in ROUTES
        if route.gives and route.gives.view
    ]
    assert len({f"{view.name} {level}" for view, level in views}) == len(set(views))
    bodies = [route.takes.content for route in ROUTES if route.takes]
    structs = {
        body for body in bodies if isinstance(body, type) and issubclass(body, msgspec.Struct)
    }
    assert len({struct.__name__ for struct in structs} - {view.name for view, _ in views}) == len(
        structs
    )


class Observed(dict[str, str]):
    """A query that asks for all projects, and remembers which parameters somebody looked for."""

    def __init__(self) -> None:
        super().__init__(all_tenants="1", all_projects="1")
        self.names: set[str] = set()

    def __contains__(self, name: object) -> bool:
        self.names.add(str(name))
        return super().__contains__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self.names.add(name)
        return super().get(name, default)


def read_by(route: Route, service: Service) -> set[str]:
    """The query's parameters that a handler looks for, for an administrator at the newest
    version."""
    req = falcon.testing.create_req()
    req.context.path = route.path
    req.context.caller = Caller(
        user_id="root", project_id="control", roles=("admin",), is_admin=True
    )
    call = Call(service, req, MAX_VERSION)
    observed = Observed()
    call.__dict__["query"] = observed  # worked out already, as far as the call can tell
    with suppress(CallerError, NoSuchRoute):
        route.handler(call, **dict.fromkeys(re.findall(r"{(\w+)}", route.path), UNKNOWN))
    return observed.names


# These take the filters that the domain names; the table names the domain's, too.
BY_DOMAIN = {
    "share_servers.index",
    "local_networks.list_ip_availabilities",
    "local_networks.list_networks",
    "local_networks.list_subnets",
    "local_rbac_policies.index",
}


def test_parameters_are_described_that_are_read(conf: cfg.ConfigOpts, engine: Engine) -> None:
    service = make_service(conf, engine)
    readers = [route for route in NEWEST if route.method == "GET" and route.name not in BY_DOMAIN]
    differences = {route.name: read_by(route, service) ^ set(route.query) for route in readers}
    assert {name: names for name, names in differences.items() if names} == {}


def test_every_route_is_described() -> None:
    silent = {"versions.healthcheck", "metrics.show"}  # plain text
    assert {
        route.name for route in ROUTES if openapi.is_silent(route) is (route.gives is not None)
    } == silent
    assert [
        route.name for route in ROUTES if (route.takes is None) is (route.method in ("POST", "PUT"))
    ] == []


@pytest.fixture
def known(api: Api, back_end: BackEnd, conf: cfg.ConfigOpts, engine: Engine) -> dict[str, str]:
    """The ids of resources that are there, by the path's parameters."""
    return populate(api, back_end, conf, engine)


LOCAL = "/network/v2.0"


def populate(api: Api, back_end: BackEnd, conf: cfg.ConfigOpts, engine: Engine) -> dict[str, str]:
    """Make one of everything, of the administrator's project."""
    write_key(key_file(conf))
    security_service = api(
        "POST", "/security-services", {"security_service": {"type": "ldap", "password": "p"}}
    )["security_service"]["id"]
    type_id = api.share_type()
    network = api.share_network(ADMIN)
    share = api.share(network["id"], ADMIN)["id"]
    back_end.settle(share, "10.0.0.5:/shares/x")
    with begin(engine) as conn:
        conn.execute(
            sa.update(shares).values(snapshot_support=True, revert_to_snapshot_support=True)
        )
        messages.create(
            conn,
            project_id="control",
            resource_type="SHARE",
            resource_id=share,
            action=messages.Action.CREATE,
            text="no",
        )
        # the backup, which is put there without a request
        quota_usages.claim(conn, "control", None, defaults=None, backups=1, backup_gigabytes=1)
    offered = api.share(network["id"], ADMIN)["id"]
    back_end.settle(offered)
    instance = api("GET", f"/shares/{share}/instances")["share_instances"][0]["id"]
    rule = api(
        "POST",
        f"/shares/{share}/action",
        {"allow_access": {"access_type": "ip", "access_to": "10.0.0.1"}},
    )["access"]["id"]
    snapshot = api("POST", "/snapshots", {"snapshot": {"share_id": share}}, status=202)["snapshot"]
    group = api.share_group(network["id"], ADMIN)
    back_end.settle_group(group["id"])
    locked = api.share(network["id"], ADMIN)["id"]
    back_end.settle(locked)
    lock = {"resource_id": locked, "resource_type": "share", "resource_action": "delete"}
    local = api.expect(201, "POST", f"{LOCAL}/networks", {"network": {"name": "local"}})
    shown = {
        "object_type": "network",
        "object_id": local.json["network"]["id"],
        "action": "access_as_shared",
        "target_tenant": "alice",
    }
    policy = api.expect(201, "POST", f"{LOCAL}/rbac-policies", {"rbac_policy": shown})
    api("POST", f"/shares/{share}/metadata", {"metadata": {"a-key": "a value"}})
    made = api("POST", "/resource-locks", {"resource_lock": lock}, version="2.81")
    return {
        "alias": "rbac-policies",
        "class_name": "default",
        "key": "a-key",
        "lock_id": made["resource_lock"]["id"],
        "network_id": local.json["network"]["id"],
        "policy_id": policy.json["rbac_policy"]["id"],
        "project_id": "control",
        "share_group_type_id": group["share_group_type_id"],
        "backup_id": back_end.back_up(share),
        "share_group_id": group["id"],
        "share_group_snapshot_id": api.share_group_snapshot(group["id"], ADMIN)["id"],
        "operation_id": "share_create:x",
        "transfer_id": back_end.offer(offered),
        "security_service_id": security_service,
        "snapshot_id": snapshot["id"],
        "snapshot_instance_id": api("GET", "/snapshot-instances")["snapshot_instances"][0]["id"],
        "message_id": api("GET", "/messages")["messages"][0]["id"],
        "type_id": type_id, "share_network_id": network["id"],
         "subnet_id": network["share_network_subnets"][0]["id"], "share_id": share,
        "instance_id": instance, "access_id": rule,
         "share_server_id": api("GET", f"/shares/{share}")["share"]["share_server_id"],
        "export_location_id": api("GET",
         f"/shares/{share}/export_locations")["export_locations"][0]["id"],
    }  # fmt: skip


@pytest.mark.slow("Schemathesis calls every operation")
@pytest.mark.timeout(600)
def test_answers_are_as_described(
    conf: cfg.ConfigOpts, engine: Engine, known: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(conf, engine)
    schema = schemathesis.openapi.from_wsgi("/openapi.json", app)
    counted: dict[int, int] = {}
    wrong: list[str] = []
    for result in schema.get_all_operations():
        assert isinstance(result, Ok)
        operation = result.ok()
        cases = operation.as_strategy() | operation.as_strategy(
            generation_mode=GenerationMode.NEGATIVE
        )

        @drawn(PER_OPERATION, f"openapi {operation.label}")
        @given(case=cases, place=st.sampled_from([True, True, True, False]))
        def ask(case: Any, place: bool) -> None:
            for name in (case.path_parameters or {}) if place else ():
                case.path_parameters[name] = known.get(name, case.path_parameters[name])
            case.headers = {
                "X-Auth-Token": ADMIN,
                HEADER: text(MAX_VERSION),
                EXPERIMENTAL_HEADER: "True",
            }
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
    assert sum(counted.values()) > 80 * PER_OPERATION and counted[200] > 20 * PER_OPERATION
