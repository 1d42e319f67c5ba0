"""Version documents, microversions and the two forms of URLs."""

from __future__ import annotations

import re
from typing import Any

import pytest

from abaca.api import microversions
from abaca.api.declaration import Route
from abaca.api.routing import ROUTES
from tests.api.conftest import ADMIN, ALICE, UNKNOWN, Api

NEWEST = microversions.text(microversions.MAX_VERSION)


@pytest.mark.parametrize(("path", "status"), [("/", 300), ("/v2/", 200), ("/v2", 200)])
@pytest.mark.parametrize("version", [None, "2.70", "2.150"])
def test_version_document(api: Api, path: str, status: int, version: str | None) -> None:
    """versions.versions: open to everyone; clients send versions that they hope for, so the root
    does not look at them."""
    if path != "/" and version == "2.150":
        status = 406
    answer = api.expect(status, "GET", path, version=version, who=None)
    if status == 406:
        return
    (entry,) = answer.json["versions"]
    assert set(entry) == {
        "id",
        "status",
        "version",
        "min_version",
        "updated",
        "links",
        "media-types",
    }
    assert (entry["id"], entry["status"], entry["version"], entry["min_version"]) == (
        "v2.0",
        "CURRENT",
        NEWEST,
        "2.0",
    )
    assert [link["rel"] for link in entry["links"]] == ["describedby", "self"]
    assert entry["links"][1]["href"].endswith("/v2/")


def test_health(api: Api) -> None:
    """versions.healthcheck"""
    assert api.expect(200, "GET", "/healthcheck", who=None, version=None).text == "OK"


def test_extensions(api: Api) -> None:
    """versions.extensions"""
    assert api("GET", "/extensions", who=ALICE) == {"extensions": []}


@pytest.mark.parametrize(
    ("header", "status", "echoed"),
    [
        (None, 200, "2.0"),
        ("2.0", 200, "2.0"),
        ("2.70", 200, "2.70"),
        (NEWEST, 200, NEWEST),
        (f"2.{microversions.MAX_VERSION + 1}", 406, None),
        ("2.150", 406, None),
        ("1.0", 406, None),
        ("3.0", 406, None),
        ("x", 400, None),
        ("latest", 400, None),
        ("2", 400, None),
        ("2.07", 400, None),
        ("2.-1", 400, None),
        ("", 400, None),
        ("2.7.1", 400, None),
        ("2." + "9" * 5000, 400, None),
    ],
)
def test_negotiation(api: Api, header: str | None, status: int, echoed: str | None) -> None:
    answer = api.send("GET", "/v2/types", version=header)
    assert answer.status_code == status, answer.text
    assert answer.headers.get("x-openstack-manila-api-version") == echoed
    if echoed:
        assert answer.headers["vary"] == "X-OpenStack-Manila-API-Version"
    if status == 400:
        message = answer.json["badRequest"]["message"]
        assert (
            message == f"API Version String {header} is of invalid format. Must be of format "
            "MajorNum.MinorNum."
        )
    if status == 406:
        expected = (
            f"Version {header} is not supported by the API. Minimum is 2.0 and maximum is {NEWEST}."
        )
        assert answer.json == {"computeFault": {"code": 406, "message": expected}}


def _experimental() -> list[Route]:
    return [route for route in ROUTES if route.experimental_until is not None]


def test_some_routes_are_experimental() -> None:
    assert {"/v2/share-groups", "/v2/share-group-types"} <= {r.path for r in _experimental()}


@pytest.mark.parametrize("route", _experimental(), ids=lambda r: f"{r.method} {r.path} {r.action}")
def test_experimental_routes_want_a_header(api: Api, route: Route) -> None:
    """Without it (or with a value that is not true) they are 404, until they have left that
    stage."""
    path = re.sub(r"\{\w+\}", UNKNOWN, route.path)
    body: Any = {route.action: {}} if route.action else None

    def is_there(version: int, value: str | None) -> bool:
        headers = {microversions.EXPERIMENTAL_HEADER: value} if value is not None else {}
        answer = api.send(
            route.method, path, body, version=f"2.{version}", headers=headers, experimental=False
        )
        return answer.status_code != 404 or (
            answer.json["itemNotFound"]["message"] != "The resource could not be found."
        )

    last = route.experimental_until
    assert last is not None and route.lives_in(last)
    assert {value: is_there(last, value) for value in (None, "", "False", "0", "odd", "2.99")} == (
        dict.fromkeys((None, "", "False", "0", "odd", "2.99"), False)
    )
    assert is_there(last, "True") and is_there(last, "true") and is_there(route.since, "1")
    if route.lives_in(last + 1) and last < microversions.MAX_VERSION:
        assert is_there(last + 1, None)


def test_every_version_says_what_it_brought() -> None:
    assert sorted(microversions.HISTORY) == list(range(microversions.MAX_VERSION + 1))
    assert all(text.endswith(".") for text in microversions.HISTORY.values())


@pytest.mark.parametrize(
    "route",
    [r for r in ROUTES if r.since or r.until is not None],
    ids=lambda r: f"{r.method} {r.path} {r.action} {r.since}",
)
def test_methods_come_and_go_with_versions(api: Api, route: Route) -> None:
    """Outside of a route's versions there is a 404 that echoes the version; inside there is
    anything but that."""
    path = re.sub(r"\{\w+\}", UNKNOWN, route.path)
    body: Any = {route.action: {}} if route.action else None
    outside = [
        version
        for version in (route.since - 1, None if route.until is None else route.until + 1)
        if version is not None and version >= 0
    ]
    for version in outside:
        answer = api.send(route.method, path, body, version=f"2.{version}")
        assert answer.status_code == 404
        assert answer.json["itemNotFound"]["message"] == "The resource could not be found."
        assert answer.headers["x-openstack-manila-api-version"] == f"2.{version}"
    for version in (route.since, microversions.MAX_VERSION if route.until is None else route.until):
        answer = api.send(route.method, path, body, version=f"2.{version}")
        assert (
            answer.status_code != 404
            or answer.json["itemNotFound"]["message"] != "The resource could not be found."
        )


@pytest.mark.parametrize(
    ("path", "who", "status"),
    [
        ("/v2/types", ALICE, 200),
        ("/v2/red/types", ALICE, 200),
        ("/v2/red/types/default", ALICE, 404),
        ("/v2/control/os-services", ADMIN, 200),
        ("/v2/blue/types", ALICE, 400),
        ("/v2/red/types", ADMIN, 400),
        ("/v2/red/nope", ALICE, 404),
        ("/v2/red", ALICE, 404),
        ("/v2/red/", ALICE, 404),
        ("/v2/red/red/types", ALICE, 404),
        ("/v2/types/types", ALICE, 404),
        ("/v2/types/", ALICE, 404),
        ("/v2/red/types/", ALICE, 404),
        ("/v1/types", ALICE, 404),
        ("/nope", ALICE, 404),
    ],
)
@pytest.mark.parametrize("version", ["2.0", "2.6"])
def test_project_in_the_url(api: Api, path: str, who: str, status: int, version: str) -> None:
    answer = api.send("GET", path, who=who, version=version)
    assert answer.status_code == status, answer.text
    if status == 400:
        assert answer.json["badRequest"]["message"] == "Malformed request url"
