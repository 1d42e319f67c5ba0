"""Share group types, their group specs, and the projects that may use those that are not public."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import pytest
from oslo_config import cfg
from sqlalchemy.engine import Engine

from abaca.db.session import begin
from abaca.domain.share_group_types import share_group_types
from abaca.errors import Missing
from abaca.values import Caller
from tests.api.conftest import ADMIN, ALICE, BOB, NOBODY, READER, UNKNOWN, Api

PATH = "/share-group-types"
ALWAYS = {"id", "name", "is_public", "group_specs", "share_types"}


@pytest.fixture
def gold(api: Api) -> str:
    return api.share_type("gold")


def group_type(api: Api, name: str = "pair", *share_types: str, **members: Any) -> dict[str, Any]:
    body = {"name": name, "share_types": list(share_types) or ["gold"], **members}
    made: dict[str, Any] = api("POST", PATH, {"share_group_type": body})["share_group_type"]
    return made


def access(api: Api, type_id: str, verb: str, project: Any, status: int = 202) -> None:
    api("POST", f"{PATH}/{type_id}/action", {verb: {"project": project}}, status=status)


def names(api: Api, query: str = "", **more: Any) -> list[str]:
    found = api("GET", f"{PATH}{query}", **more)["share_group_types"]
    return sorted(row["name"] for row in found)


def caller(text: str) -> Caller:
    user, project, role = text.split(":")
    return Caller(user_id=user, project_id=project, roles=(role,), is_admin=role == "admin")


@pytest.mark.parametrize(
    ("version", "keys"),
    [
        ("2.31", ALWAYS),
        ("2.45", ALWAYS),
        ("2.46", ALWAYS | {"is_default"}),
        ("2.55", ALWAYS | {"is_default"}),
    ],
)
def test_fields_by_version(api: Api, gold: str, version: str, keys: set[str]) -> None:
    """share_group_types.create, share_group_types.show, share_group_types.index"""
    body = {"share_group_type": {"name": "pair", "share_types": ["gold"], "group_specs": {"k": 1}}}
    made = api("POST", PATH, body, version=version)["share_group_type"]
    assert set(made) == keys
    assert (made["share_types"], made["group_specs"], made["is_public"]) == (
        [gold],
        {"k": "1"},
        True,
    )
    shown = api("GET", f"{PATH}/{made['id']}", who=READER, version=version)
    assert shown == {"share_group_type": made}
    assert api("GET", PATH, who=ALICE, version=version) == {"share_group_types": [made]}
    api("DELETE", f"{PATH}/{made['id']}", status=204, version=version)
    api.fault("GET", f"{PATH}/{made['id']}", None, 404, version=version)


def test_share_types_by_id_and_by_name(api: Api, gold: str) -> None:
    silver = api.share_type("silver")
    assert group_type(api, "pair", gold, "silver", silver)["share_types"] == sorted([gold, silver])


BAD: list[tuple[Any, int, str | None]] = [
    (None, 400, None),
    ({}, 400, None),
    ({"share_types": ["gold"]}, 400, None),
    ({"name": "", "share_types": ["gold"]}, 400, None),
    ({"name": " ", "share_types": ["gold"]}, 400, None),
    ({"name": "x" * 256, "share_types": ["gold"]}, 400, None),
    ({"name": "pair"}, 400, "Supported share types must be provided."),
    ({"name": "pair", "share_types": []}, 400, "Supported share types must be provided."),
    ({"name": "pair", "share_types": "gold"}, 400, None),
    ({"name": "pair", "share_types": [None]}, 400, None),
    (
        {"name": "pair", "share_types": ["gold", "nope"]},
        404,
        "Share type nope could not be found.",
    ),
    ({"name": "pair", "share_types": ["gold"], "group_specs": "k"}, 400, None),
    ({"name": "pair", "share_types": ["gold"], "group_specs": {"a b": "c"}}, 400, None),
    ({"name": "pair", "share_types": ["gold"], "group_specs": {"a": None}}, 400, None),
    ({"name": "pair", "share_types": ["gold"], "group_specs": {"a": ""}}, 400, None),
    ({"name": "pair", "share_types": ["gold"], "group_specs": {"a" * 256: "c"}}, 400, None),
    ({"name": "pair", "share_types": ["gold"], "is_public": "perhaps"}, 400, None),
]


@pytest.mark.parametrize(("body", "status", "message"), BAD)
def test_types_that_cannot_be(
    api: Api, gold: str, body: Any, status: int, message: str | None
) -> None:
    told = api.fault("POST", PATH, {"share_group_type": body}, status)
    assert message in (None, told)
    assert names(api, "?is_public=all") == []


def test_names_are_unique(api: Api, gold: str) -> None:
    group_type(api)
    body = {"share_group_type": {"name": "pair", "share_types": ["gold"]}}
    assert api.fault("POST", PATH, body, 409) == "Share group type pair already exists."

    def make(_: int) -> int:
        two = {"share_group_type": {"name": "two", "share_types": ["gold"]}}
        return int(api.send("POST", f"/v2{PATH}", two).status_code)

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(make, range(4))) == [200, 409, 409, 409]
    assert names(api) == ["pair", "two"]


def test_the_default_one(api: Api, gold: str, conf: cfg.ConfigOpts) -> None:
    api.fault("GET", f"{PATH}/default", None, 404)
    conf.set_override("default_share_group_type", "pair")
    api.fault("GET", f"{PATH}/default", None, 404)
    made = group_type(api)
    assert made["is_default"] and not group_type(api, "other")["is_default"]
    assert api("GET", f"{PATH}/default", who=ALICE) == {"share_group_type": made}


def test_which_are_listed(api: Api, gold: str) -> None:
    group_type(api, "open", group_specs={"size": "large", "colour": "red"})
    hidden = group_type(api, "hidden", is_public=False, group_specs={"size": "large"})["id"]
    for query, found in [
        ("", ["open"]),
        ("?is_public=True", ["open"]),
        ("?is_public=false", ["hidden"]),
        ("?is_public=all", ["hidden", "open"]),
    ]:
        assert names(api, query) == found
        assert names(api, query, who=ALICE) == ["open"]
    api.fault("GET", f"{PATH}?is_public=perhaps", None, 400)
    access(api, hidden, "addProjectAccess", "control")
    assert names(api) == ["hidden", "open"]
    for specs, found in [
        ({}, ["hidden", "open"]),
        ({"size": "large"}, ["hidden", "open"]),
        ({"size": "large", "colour": "red"}, ["open"]),
        ({"size": "red"}, []),
    ]:
        query = f"?is_public=all&group_specs={quote(str(specs))}"
        assert names(api, query, version="2.66") == found
        assert names(api, query, version="2.65") == ["hidden", "open"]
    assert names(api, "?is_public=all&limit=1&sort_key=name&sort_dir=asc") == ["hidden"]
    assert names(api, "?is_public=all&offset=1&sort_key=name&sort_dir=asc") == ["open"]
    api.fault("GET", f"{PATH}?sort_key=group_specs", None, 400)


def test_group_specs(api: Api, gold: str) -> None:
    """group_specs.index, group_specs.create, group_specs.show, group_specs.update,
    group_specs.delete"""
    path = f"{PATH}/{group_type(api, group_specs={'a': '1'})['id']}/group-specs"
    assert api("GET", path) == {"group_specs": {"a": "1"}}
    added = {"group_specs": {"a": "2", "b": True}}
    assert api("POST", path, added) == {"group_specs": {"a": "2", "b": "True"}}
    assert api("GET", f"{path}/b") == {"b": "True"}
    assert api("PUT", f"{path}/c", {"c": "3"}) == {"c": "3"}
    api("DELETE", f"{path}/a", status=204)
    assert api("GET", path) == {"group_specs": {"b": "True", "c": "3"}}
    for method in ("GET", "DELETE"):
        api.fault(method, f"{path}/a", None, 404)
    wrong: Any
    for wrong in (None, {}, {"group_specs": {}}, {"group_specs": {"a b": "c"}}):
        api.fault("POST", path, wrong, 400)
    for wrong in (None, {}, {"d": "1"}, {"c": "1", "d": "2"}, {"c": None}, {"c": "x" * 256}):
        api.fault("PUT", f"{path}/c", wrong, 400)
    assert api("GET", path) == {"group_specs": {"b": "True", "c": "3"}}


def test_access_opens_a_type_to_a_project(api: Api, gold: str) -> None:
    """share_group_type_access.index, share_group_type_access.add, share_group_type_access.remove"""
    type_id = group_type(api, is_public=False)["id"]
    path = f"{PATH}/{type_id}/access"
    assert api("GET", path) == {"share_group_type_access": []}
    api.fault("GET", f"{PATH}/{type_id}", None, 404, who=ALICE)
    access(api, type_id, "addProjectAccess", "red")
    entry = {"share_group_type_id": type_id, "project_id": "red"}
    assert api("GET", path) == {"share_group_type_access": [entry]}
    assert (names(api, who=ALICE), names(api, who=BOB)) == (["pair"], [])
    api("GET", f"{PATH}/{type_id}", who=ALICE)
    api.fault("GET", f"{PATH}/{type_id}", None, 404, who=BOB)
    access(api, type_id, "addProjectAccess", "red", 409)
    access(api, type_id, "removeProjectAccess", "red")
    access(api, type_id, "removeProjectAccess", "red", 404)
    assert names(api, who=ALICE) == []
    for wrong in ("", None, "x" * 256, ["red"]):
        access(api, type_id, "addProjectAccess", wrong, 400)


def test_a_public_type_has_no_list_of_projects(api: Api, gold: str) -> None:
    type_id = group_type(api)["id"]
    assert (
        api.fault("GET", f"{PATH}/{type_id}/access", None, 404)
        == "Access list not available for public share group types."
    )
    for verb in ("addProjectAccess", "removeProjectAccess"):
        access(api, type_id, verb, "red", 409)


def test_what_is_not_there(api: Api) -> None:
    one = f"{PATH}/{UNKNOWN}"
    for method, path, body in [
        ("GET", one, None),
        ("DELETE", one, None),
        ("GET", f"{one}/access", None),
        ("POST", f"{one}/action", {"addProjectAccess": {"project": "red"}}),
        ("POST", f"{one}/action", {"removeProjectAccess": {"project": "red"}}),
        ("GET", f"{one}/group-specs", None),
        ("POST", f"{one}/group-specs", {"group_specs": {"k": "v"}}),
        ("GET", f"{one}/group-specs/k", None),
        ("PUT", f"{one}/group-specs/k", {"k": "v"}),
        ("DELETE", f"{one}/group-specs/k", None),
    ]:
        api.fault(method, path, body, 404)


def test_only_administrators_change_types(api: Api, gold: str) -> None:
    type_id = group_type(api, group_specs={"k": "v"})["id"]
    one, body = f"{PATH}/{type_id}", {"share_group_type": {"name": "x", "share_types": ["gold"]}}
    for method, path, content in [
        ("POST", PATH, body),
        ("DELETE", one, None),
        ("GET", f"{one}/access", None),
        ("POST", f"{one}/action", {"addProjectAccess": {"project": "red"}}),
        ("POST", f"{one}/action", {"removeProjectAccess": {"project": "red"}}),
        ("GET", f"{one}/group-specs", None),
        ("POST", f"{one}/group-specs", {"group_specs": {"k": "w"}}),
        ("GET", f"{one}/group-specs/k", None),
        ("PUT", f"{one}/group-specs/k", {"k": "w"}),
        ("DELETE", f"{one}/group-specs/k", None),
    ]:
        api.fault(method, path, content, 403, who=ALICE)
    for path in (PATH, one, f"{PATH}/default"):
        api.fault("GET", path, None, 403, who=NOBODY)


def test_a_share_type_stays_while_a_group_type_holds_it(api: Api, gold: str) -> None:
    type_id = group_type(api)["id"]
    told = api.fault("DELETE", f"/types/{gold}", None, 400)
    assert told == f"Share type {gold} is still in use: share group type pair holds it."
    api("DELETE", f"{PATH}/{type_id}", status=204)
    api("DELETE", f"/types/{gold}", status=202)


def test_a_type_is_held_for_those_who_may_use_it(api: Api, gold: str, engine: Engine) -> None:
    type_id = group_type(api, is_public=False, group_specs={"k": "v"})["id"]
    access(api, type_id, "addProjectAccess", "red")
    with begin(engine) as conn:
        held = share_group_types.hold(conn, caller(ALICE), type_id)
        assert held == (type_id, frozenset({gold}), {"k": "v"})
        assert share_group_types.hold(conn, caller(ADMIN), type_id) == held
        for who, id_ in [(BOB, type_id), (ADMIN, UNKNOWN)]:
            with pytest.raises(Missing):
                share_group_types.hold(conn, caller(who), id_)
