"""Share types that are not public: who may be given access to them, and what access gives."""

from __future__ import annotations

import pytest

from tests.api.conftest import ALICE, BOB, UNKNOWN, Api, BackEnd

SPECS = {"driver_handles_share_servers": "True"}


def private_type(api: Api, name: str = "gold") -> str:
    body = {
        "share_type": {"name": name, "extra_specs": SPECS, "share_type_access:is_public": False}
    }
    return str(api("POST", "/types", body)["share_type"]["id"])


def change(
    api: Api, type_id: str, verb: str, project: object, status: int = 202, version: str = "2.70"
) -> None:
    api(
        "POST",
        f"/types/{type_id}/action",
        {verb: {"project": project}},
        status=status,
        version=version,
    )


def seen_by(api: Api, who: str) -> list[str]:
    return [share_type["name"] for share_type in api("GET", "/types", who=who)["share_types"]]


@pytest.mark.parametrize("name", ["os-share-type-access", "share_type_access"])
@pytest.mark.parametrize("version", ["2.0", "2.6", "2.7", "2.89"])
def test_access_gives_a_project_the_type(api: Api, version: str, name: str) -> None:
    """Under either name at every version: gophercloud asks for share_type_access without naming a
    version, which is 2.0."""
    type_id = private_type(api)
    path = f"/types/{type_id}/{name}"
    assert api("GET", path, version=version) == {"share_type_access": []}
    assert seen_by(api, ALICE) == []
    change(api, type_id, "addProjectAccess", "red", version=version)
    assert api("GET", path, version=version) == {
        "share_type_access": [{"share_type_id": type_id, "project_id": "red"}]
    }
    assert (seen_by(api, ALICE), seen_by(api, BOB)) == (["gold"], [])
    api("GET", f"/types/{type_id}", who=ALICE)
    api.fault("GET", f"/types/{type_id}", None, 404, who=BOB)
    change(api, type_id, "removeProjectAccess", "red", version=version)
    assert api("GET", path, version=version) == {"share_type_access": []}
    assert seen_by(api, ALICE) == []


def test_what_cannot_be(api: Api) -> None:
    public, private = api.share_type("silver"), private_type(api)
    assert (
        api.fault("GET", f"/types/{public}/share_type_access", None, 404)
        == "Access list not available for public share types."
    )
    api.fault("GET", f"/types/{UNKNOWN}/share_type_access", None, 404)
    for verb in ("addProjectAccess", "removeProjectAccess"):
        change(api, public, verb, "red", 409)
        change(api, UNKNOWN, verb, "red", 404)
        for wrong in ("", None, "x" * 256, ["red"]):
            change(api, private, verb, wrong, 400)
    change(api, private, "removeProjectAccess", "red", 404)
    change(api, private, "addProjectAccess", "red")
    change(api, private, "addProjectAccess", "red", 409)


def test_a_share_of_a_type_that_is_not_public(api: Api, back_end: BackEnd) -> None:
    type_id = private_type(api)
    network = api.share_network()["id"]
    body = {
        "share": {
            "share_proto": "NFS",
            "size": 1,
            "share_type": "gold",
            "share_network_id": network,
        }
    }
    api.fault("POST", "/shares", body, 404, who=ALICE)
    change(api, type_id, "addProjectAccess", "red")
    api("POST", "/shares", body, who=ALICE)


def test_which_are_listed(api: Api) -> None:
    api.share_type("silver")
    private_type(api)
    for query, names in [("", ["silver"]), ("?is_public=True", ["silver"]),
     ("?is_public=false", ["gold"]), ("?is_public=all", ["silver", "gold"]),
                         ("?is_public=none", ["silver", "gold"])]:  # fmt: skip
        assert [
            share_type["name"] for share_type in api("GET", f"/types{query}")["share_types"]
        ] == names
    api.fault("GET", "/types?is_public=perhaps", None, 400)
    assert [
        share_type["name"]
        for share_type in api("GET", "/types?is_public=all", who=ALICE)["share_types"]
    ] == ["silver"]


def test_an_administrator_s_list_holds_what_is_opened_to_his_own_project(api: Api) -> None:
    type_id = private_type(api)
    assert api("GET", "/types")["share_types"] == []
    change(api, type_id, "addProjectAccess", "control")
    assert [share_type["id"] for share_type in api("GET", "/types")["share_types"]] == [type_id]


def test_a_deleted_type_leaves_no_list(api: Api) -> None:
    type_id = private_type(api)
    change(api, type_id, "addProjectAccess", "red")
    api("DELETE", f"/types/{type_id}", status=202)
    api.fault("GET", f"/types/{type_id}/share_type_access", None, 404)
