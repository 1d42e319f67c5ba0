"""Numbers that no column holds, wherever a request may have one: never a 500, on any database."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from oslo_config import cfg
from sqlalchemy.engine import Engine

from abaca.api.declaration import Route
from abaca.api.microversions import MAX_VERSION, text
from abaca.api.routing import ROUTES
from tests.api.conftest import Api, BackEnd
from tests.api.test_openapi import populate

pytestmark = pytest.mark.slow("every number of every query")

NUMBERS = [10**20, -(2**63) - 1, 2**31]
TEXTS = [*map(str, NUMBERS), "9" * 5000]
# Each a body that is right but for the number, which is left open (None).
BODIES: dict[str, list[dict[str, Any]]] = {
    "POST /v2/shares": [{"share_proto": "NFS", "size": None}],
    "POST /v2/shares/{share_id}/action extend": [{"new_size": None}],
    "POST /v2/shares/{share_id}/action shrink": [{"new_size": None}],
    "PUT /v2/share-networks/{share_network_id}/subnets/{subnet_id}/removal": [{"deadline": None}],
    "PUT /v2/quota-sets/{project_id}": [{"shares": None}, {"gigabytes": None}],
    "PUT /v2/quota-class-sets/{class_name}": [{"shares": None}],
    "POST /network/v2.0/networks": [
        {"mtu": None},
        {"provider:network_type": "vxlan", "provider:segmentation_id": None},
        {
            "provider:network_type": "vlan",
            "provider:physical_network": "physnet1",
            "provider:segmentation_id": None,
        },
    ],
    "POST /network/v2.0/subnets": [{"network_id": "n", "cidr": "10.0.0.0/24", "ip_version": None}],
}

Call = tuple[str, str, Any]


@pytest.fixture
def known(api: Api, conf: cfg.ConfigOpts, engine: Engine) -> dict[str, str]:
    """One of everything, by the names of the parameters of paths."""
    back_end = BackEnd(engine)
    back_end.arrive()
    return populate(api, back_end, conf, engine)


def test_in_queries(api: Api, known: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    calls = [
        (route.method, f"{_path(route, known)}?{name}={number}", None)
        for route in _routes()
        for name in route.query
        if name != "fields"  # says what is shown
        for number in TEXTS
    ]
    assert len(calls) > 500
    _hold(api, calls, caplog)


def test_in_paths(api: Api, known: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    calls = [
        (route.method, _path(route, {}, number), None)
        for route in _routes()
        if route.method in ("GET", "DELETE") and "{" in route.path
        for number in TEXTS
    ]
    assert len(calls) > 100
    _hold(api, calls, caplog)


def test_in_bodies(api: Api, known: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    calls = list(_with_bodies(known))
    assert {named for named, _ in calls} == set(BODIES)
    _hold(api, [call for _, call in calls], caplog)


def _with_bodies(known: dict[str, str]) -> Iterator[tuple[str, Call]]:
    for route in _routes():
        named = f"{route.method} {route.path} {route.action or ''}".strip()
        for body in BODIES.get(named, ()):
            (gap,) = (name for name, value in body.items() if value is None)
            member = route.action or (route.takes.member if route.takes else "")
            for number in (*NUMBERS, *TEXTS):
                content = body | {gap: number}
                yield (
                    named,
                    (
                        route.method,
                        _path(route, known),
                        {member: content} if member else content,
                    ),
                )


def _hold(api: Api, calls: Iterable[Call], caplog: pytest.LogCaptureFixture) -> None:
    statuses = [
        (method, path[:100], api.send(method, path, body, version=text(MAX_VERSION)).status_code)
        for method, path, body in calls
    ]
    assert [each for each in statuses if each[-1] >= 500] == []
    assert [
        record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR
    ] == []


def _routes() -> list[Route]:
    return [route for route in ROUTES if route.lives_in(MAX_VERSION)]


def _path(route: Route, known: dict[str, str], otherwise: str = "control") -> str:
    names = [part.partition("}")[0] for part in route.path.split("{")[1:]]
    return route.path.format(**{name: known.get(name, otherwise) for name in names})
