"""Share types and extra specs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy.engine import Engine

from abaca import config
from abaca.api.app import create_app
from abaca.db.session import begin
from abaca.domain.share_types import share_types
from tests import stack
from tests.api.conftest import ADMIN, ALICE, BOB, READER, UNKNOWN, Api, BackEnd

DHSS = "driver_handles_share_servers"
OLD = "os-share-type-access:is_public"
NEW = "share_type_access:is_public"
ALWAYS = {"id", "name", "extra_specs", "required_extra_specs"}


def body(**members: Any) -> dict[str, Any]:
    return {"share_type": {"name": "gold", "extra_specs": {DHSS: "true"}, **members}}


@pytest.mark.parametrize(
    ("version", "keys"),
    [
        ("2.0", {OLD}),
        ("2.6", {OLD}),
        ("2.7", {NEW}),
        ("2.40", {NEW}),
        ("2.41", {NEW, "description"}),
        ("2.45", {NEW, "description"}),
        ("2.46", {NEW, "description", "is_default"}),
        ("2.70", {NEW, "description", "is_default"}),
    ],
)
def test_fields_by_version(api: Api, version: str, keys: set[str]) -> None:
    """share_types.create, share_types.show, share_types.index: each type twice, under both
    names."""
    made = api("POST", "/types", body(), version=version)
    type_id = made["share_type"]["id"]
    shown = api("GET", f"/types/{type_id}", version=version)
    listed = api("GET", "/types", version=version)
    for answer in (made, shown):
        assert set(answer) == {"share_type", "volume_type"}
        assert answer["share_type"] == answer["volume_type"]
        assert set(answer["share_type"]) == ALWAYS | keys
    assert listed == {"share_types": [shown["share_type"]], "volume_types": [shown["share_type"]]}
    assert shown == made


def test_values(api: Api) -> None:
    made = api("POST", "/types", body(description="fast", **{NEW: "no"}))["share_type"]
    assert (made["name"], made["description"], made[NEW], made["is_default"]) == (
        "gold",
        "fast",
        False,
        True,
    )
    assert made["extra_specs"] == made["required_extra_specs"] == {DHSS: "true"}
    assert api("POST", "/types", {"volume_type": {"name": "b", "extra_specs": {DHSS: False}}})[
        "share_type"
    ]["extra_specs"] == {DHSS: "False"}
    assert (
        api("POST", "/types", body(name="c", **{OLD: False}), version="2.6")["share_type"][OLD]
        is False
    )
    api.fault("POST", "/types", body(name="e", description="x"), 400, version="2.40")


@pytest.mark.parametrize(
    ("version", "specs"),
    [("2.0", {"snapshot_support": "True"}), ("2.23", {"snapshot_support": "True"}), ("2.24", {})],
)
def test_snapshot_support_where_it_is_not_optional(
    api: Api, version: str, specs: dict[str, str]
) -> None:
    made = api("POST", "/types", body(), version=version)["share_type"]
    assert made["extra_specs"] == {DHSS: "true", **specs}
    kept = api(
        "POST",
        "/types",
        body(name="b", extra_specs={DHSS: "true", "snapshot_support": "false"}),
        version=version,
    )
    assert kept["share_type"]["extra_specs"]["snapshot_support"] == "false"


BAD = [
    ({}, None),
    ({"share_type": {}}, None),
    ({"share_type": {"extra_specs": {DHSS: True}}}, None),
    (body(name=""), None),
    (body(name="  "), None),
    (body(name="x" * 256), None),
    (body(name=None), None),
    (body(description="x" * 256), None),
    (
        body(**{NEW: "perhaps"}),
        "Unrecognized value 'perhaps', acceptable values are: '0', '1', 'f', 'false', 'n', 'no', "
        "'off', 'on', 't', 'true', 'y', 'yes'",
    ),
    (body(extra_specs={}), f"Invalid extra_spec: Required extra specs '{DHSS}' not specified."),
    (body(extra_specs=None), f"Invalid extra_spec: Required extra specs '{DHSS}' not specified."),
    (body(extra_specs={DHSS: "maybe"}), None),
    (body(extra_specs={DHSS: None}), None),
    (body(extra_specs={DHSS: "true", "snapshot_support": "maybe"}), None),
    (body(extra_specs={DHSS: "true", "replication_type": "magic"}), None),
    (body(extra_specs={DHSS: "true", "provisioning:max_share_size": "-1"}), None),
    (body(extra_specs={DHSS: "true", "a b": "c"}), None),
    (body(extra_specs={DHSS: "true", "": "c"}), None),
    (body(extra_specs={DHSS: "true", "a": ""}), None),
    (body(extra_specs={DHSS: "true", "a" * 256: "c"}), None),
    (body(extra_specs={DHSS: "true", "a": "c" * 256}), None),
]


@pytest.mark.parametrize(("wrong", "message"), BAD, ids=[str(number) for number in range(len(BAD))])
def test_bad_types(api: Api, wrong: dict[str, Any], message: str | None) -> None:
    told = api.fault("POST", "/types", wrong, 400)
    assert message in (None, told)
    assert api("GET", "/types?is_public=all")["share_types"] == []


def test_names_are_unique(api: Api) -> None:
    api.share_type("gold")
    other = api.share_type("silver")
    assert api.fault("POST", "/types", body(), 409) == "Share Type gold already exists."
    assert (
        api.fault("PUT", f"/types/{other}", {"share_type": {"name": "gold"}}, 409)
        == "Share Type gold already exists."
    )
    assert {one["name"] for one in api("GET", "/types")["share_types"]} == {"gold", "silver"}


def test_update(api: Api) -> None:
    """share_types.update, since 2.50."""
    type_id = api.share_type()
    changed = api(
        "PUT", f"/types/{type_id}", {"share_type": {"name": "new", "description": "d", NEW: False}}
    )["share_type"]
    assert (changed["name"], changed["description"], changed[NEW]) == ("new", "d", False)
    assert (
        api("PUT", f"/types/{type_id}", {"share_type": {"description": None}}, version="2.50")[
            "share_type"
        ]["description"]
        is None
    )
    assert (
        api("PUT", f"/types/{type_id}", {"share_type": {"description": ""}})["share_type"][
            "description"
        ]
        is None
    )
    wrong: Any
    for wrong in (
        {},
        {"share_type": {}},
        {"share_type": {"name": ""}},
        {"share_type": {"name": " "}},
        {"share_type": {NEW: "x"}},
        {"share_type": {"id": "x"}},
    ):
        api.fault("PUT", f"/types/{type_id}", wrong, 400)
    api.fault("PUT", f"/types/{UNKNOWN}", {"share_type": {"name": "x"}}, 404)
    api.fault("PUT", f"/types/{type_id}", {"share_type": {"name": "x"}}, 404, version="2.49")


def test_delete(api: Api, back_end: BackEnd) -> None:
    """share_types.delete"""
    type_id = api.share_type()
    share = api.share(api.share_network()["id"])
    assert "still in use" in api.fault("DELETE", f"/types/{type_id}", None, 400)
    unused = api.share_type("unused")
    assert api("DELETE", f"/types/{unused}", status=202) is None
    assert (
        api.fault("GET", f"/types/{unused}", None, 404)
        == f"Share type {unused} could not be found."
    )
    api.fault("DELETE", f"/types/{unused}", None, 404)
    assert api("GET", f"/shares/{share['id']}")["share"]["share_type"] == type_id


def test_default(api: Api, engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> None:
    """share_types.default"""
    assert api.fault("GET", "/types/default", None, 404) == "Share type gold could not be found."
    type_id = api.share_type("gold")
    assert api("GET", "/types/default", who=ALICE)["share_type"]["id"] == type_id
    assert api("GET", "/types/default", version="2.46")["share_type"]["is_default"] is True
    none = Api(
        create_app(
            config.load(
                [],
                {"state_dir": str(tmp_path_factory.mktemp("state")), "api.auth_strategy": "noauth"},
            ),
            engine,
        )
    )
    assert none.fault("GET", "/types/default", None, 404) == "Default share type not found."


def test_who_sees_what(api: Api) -> None:
    public = api.share_type("public")
    private = api("POST", "/types", body(name="private", **{NEW: False}))["share_type"]["id"]

    def listed(query: str = "", who: str = ADMIN) -> set[str]:
        return {one["name"] for one in api("GET", f"/types{query}", who=who)["share_types"]}

    assert listed() == {"public"}
    assert listed("?is_public=all") == listed("?is_public=None") == {"public", "private"}
    assert listed("?is_public=false") == {"private"}
    assert listed("?is_public=true") == {"public"}
    for query in ("", "?is_public=all", "?is_public=false"):
        assert listed(query, ALICE) == {"public"}
    api.fault("GET", "/types?is_public=perhaps", None, 400)
    api("GET", f"/types/{public}", who=READER)
    for who in (ALICE, BOB):
        api.fault("GET", f"/types/{private}", None, 404, who=who)
        api.fault("GET", f"/types/{private}/extra_specs", None, 403, who=who)


@pytest.mark.parametrize(
    ("query", "version", "found"),
    [
        ("%7B%27snapshot_support%27%3A%27true%27%7D", "2.43", {"b"}),
        ("%7B%27snapshot_support%27%3A+True%7D", "2.70", {"b"}),
        ("%7B%27snapshot_support%27%3A%27false%27%7D", "2.70", set()),
        ("%7B%27availability_zones%27%3A%27west%27%7D", "2.70", {"a", "b"}),
        ("%7B%27availability_zones%27%3A%27south%27%7D", "2.70", {"a"}),
        (quote("{'availability_zones': 'west, east'}"), "2.70", {"a", "b"}),
        (quote("{'availability_zones': 'west, south'}"), "2.70", {"a"}),
        ("%7B%27snapshot_support%27%3A%27true%27%7D", "2.42", {"a", "b"}),
    ],
)
def test_lookup_by_extra_specs(api: Api, query: str, version: str, found: set[str]) -> None:
    api.share_type("a")
    api.share_type("b", snapshot_support="True", availability_zones="east,west")
    assert {
        one["name"]
        for one in api("GET", f"/types?extra_specs={query}", version=version)["share_types"]
    } == found


@pytest.mark.parametrize(
    "text", ["x", "[1]", "%7B", "1", "__import__(%27os%27)", "%7B%27a%27:open(%27x%27)%7D"]
)
def test_bad_lookup_by_extra_specs(api: Api, text: str) -> None:
    api.fault("GET", f"/types?extra_specs={text}", None, 400)


def test_lists_of_zones_are_normalised(api: Api) -> None:
    type_id = api.share_type("zoned", availability_zones="az1   ,az 2,  az3")
    assert (
        api("GET", f"/types/{type_id}")["share_type"]["extra_specs"]["availability_zones"]
        == "az1,az 2,az3"
    )
    path = f"/types/{type_id}/extra_specs"
    for malformed in (",", "az1,", ",az1", "az1,,az2", " ", "az1, ,az2"):
        assert "zones" in api.fault(
            "POST", path, {"extra_specs": {"availability_zones": malformed}}, 400
        )


@pytest.mark.parametrize("name", ["os-share-type-access:is_public", "share_type_access:is_public"])
@pytest.mark.parametrize("version", ["2.6", "2.7", "2.50"])
def test_either_name_says_whether_a_type_is_public(api: Api, name: str, version: str) -> None:
    """gophercloud sends the old one at every version."""
    body = {"name": "mine", "extra_specs": {DHSS: True}, name: False}
    made = api("POST", "/types", {"share_type": body}, version=version)["share_type"]
    assert (
        made[
            "os-share-type-access:is_public" if version == "2.6" else "share_type_access:is_public"
        ]
        is False
    )
    if version == "2.50":
        changed = api("PUT", f"/types/{made['id']}", {"share_type": {name: True}}, version=version)[
            "share_type"
        ]
        assert changed["share_type_access:is_public"] is True


def test_two_names_that_disagree_are_refused(api: Api) -> None:
    both = {"os-share-type-access:is_public": True, "share_type_access:is_public": False}
    api.fault(
        "POST", "/types", {"share_type": {"name": "mine", "extra_specs": {DHSS: True}, **both}}, 400
    )


def test_what_tenants_see_of_extra_specs(api: Api) -> None:
    type_id = api.share_type(
        "gold", snapshot_support="True", secret="vendor", replication_type="dr"
    )
    admin = api("GET", f"/types/{type_id}")["share_type"]["extra_specs"]
    assert admin == {
        DHSS: "True",
        "snapshot_support": "True",
        "secret": "vendor",
        "replication_type": "dr",
    }
    visible = {DHSS: "True", "snapshot_support": "True", "replication_type": "dr"}
    assert (
        api("GET", f"/types/{type_id}", who=ALICE, version="2.23")["share_type"]["extra_specs"]
        == visible
    )
    inferred = dict.fromkeys(
        (
            "create_share_from_snapshot_support",
            "revert_to_snapshot_support",
            "mount_snapshot_support",
        ),
        "False",
    )
    assert (
        api("GET", f"/types/{type_id}", who=ALICE, version="2.24")["share_type"]["extra_specs"]
        == visible | inferred
    )
    api.fault("GET", f"/types/{type_id}/extra_specs", None, 403, who=ALICE)


def test_extra_specs(api: Api) -> None:
    """extra_specs.index, extra_specs.create, extra_specs.show, extra_specs.update,
    extra_specs.delete"""
    path = f"/types/{api.share_type()}/extra_specs"
    assert api("POST", path, {"extra_specs": {"foo": "bar", "thin": True, "n": 5}}) == {
        "extra_specs": {"foo": "bar", "thin": "True", "n": "5"}
    }
    assert api("GET", path) == {
        "extra_specs": {DHSS: "True", "foo": "bar", "n": "5", "thin": "True"}
    }
    assert api("POST", path, {"extra_specs": {"foo": "baz"}}) == {"extra_specs": {"foo": "baz"}}
    assert api("GET", f"{path}/foo") == {"foo": "baz"}
    assert api("PUT", f"{path}/foo", {"foo": "new"}) == {"foo": "new"}
    assert api("GET", f"{path}/foo") == {"foo": "new"}
    assert api("DELETE", f"{path}/foo", status=202) is None
    for method in ("GET", "DELETE"):
        assert "has no extra spec with key foo" in api.fault(method, f"{path}/foo", None, 404)
    assert api("PUT", f"{path}/foo", {"foo": "x"}) == {"foo": "x"}
    api.fault("PUT", f"/types/{UNKNOWN}/extra_specs/foo", {"foo": "x"}, 404)
    assert api("PUT", f"{path}/{DHSS}", {DHSS: False}) == {DHSS: "False"}


def test_bad_extra_specs(api: Api) -> None:
    path = f"/types/{api.share_type()}/extra_specs"
    wrong: Any
    for wrong in (
        {},
        {"extra_specs": {}},
        {"extra_specs": []},
        {"extra_specs": {DHSS: "x"}},
        {"extra_specs": {"a b": "c"}},
        {"extra_specs": {"a": None}},
    ):
        api.fault("POST", path, wrong, 400)
    assert api.fault("PUT", f"{path}/{DHSS}", {"b": "c"}, 400) == "Request body and URI mismatch"
    assert (
        api.fault("PUT", f"{path}/{DHSS}", {DHSS: "true", "b": "c"}, 400)
        == "Request body contains too many items"
    )
    api.fault("PUT", f"{path}/{DHSS}", {DHSS: "maybe"}, 400)
    api.fault("PUT", f"{path}/{DHSS}", [], 400)
    assert api("GET", path) == {"extra_specs": {DHSS: "True"}}
    for method, tail, content in [
        ("GET", "", None),
        ("POST", "", {"extra_specs": {"a": "b"}}),
        ("GET", "/a", None),
        ("PUT", "/a", {"a": "b"}),
        ("DELETE", "/a", None),
    ]:
        api.fault(method, f"/types/{UNKNOWN}/extra_specs{tail}", content, 404)


RIGHT_NFS_SPECS = [
    {"nfs:squash": "no_root_squash"},
    {"nfs:squash": "root_squash", "nfs:anonymous_uid": 0},
    {"nfs:squash": "all_squash", "nfs:anonymous_uid": "4294967294", "nfs:anonymous_gid": "99"},
    {"nfs:privileged_ports": False},
    {"nfs:privileged_ports": "<is> True"},
]
WRONG_NFS_SPECS = [
    (
        "nfs:squash",
        "none",
        "nfs:squash=none: must be one of no_root_squash, root_squash, all_squash.",
    ),
    ("nfs:squash", "All_Squash", None),
    ("nfs:squash", "root_squash; Access_Type = RW", None),
    ("nfs:anonymous_uid", -1, "nfs:anonymous_uid=-1: must be a whole number from 0 to 4294967294."),
    ("nfs:anonymous_uid", 2**32 - 1, None),
    ("nfs:anonymous_gid", "nobody", None),
    ("nfs:anonymous_gid", "١", None),
    ("nfs:anonymous_gid", "9" * 255, None),
    ("nfs:privileged_ports", "perhaps", "nfs:privileged_ports=perhaps: must be a boolean."),
    ("nfs:sqash", "all_squash", None),
    ("nfs:", "all_squash", None),
]


@pytest.mark.parametrize("specs", RIGHT_NFS_SPECS)
def test_nfs_specs(api: Api, specs: dict[str, Any]) -> None:
    texts = {key: str(value) for key, value in specs.items()}
    type_id = api("POST", "/types", body(extra_specs={DHSS: "true", **specs}))["share_type"]["id"]
    other = api.share_type("other")
    assert api("POST", f"/types/{other}/extra_specs", {"extra_specs": specs}) == {
        "extra_specs": texts
    }
    for key, text in texts.items():
        assert api("PUT", f"/types/{other}/extra_specs/{key}", {key: specs[key]}) == {key: text}
    for made in (type_id, other):
        shown = api("GET", f"/types/{made}")["share_type"]["extra_specs"]
        assert {key: shown[key] for key in texts} == texts
        told = api("GET", f"/types/{made}", who=ALICE)["share_type"]["extra_specs"]
        assert not told.keys() & texts.keys(), "tenants are not shown it"


@pytest.mark.parametrize(("key", "value", "message"), WRONG_NFS_SPECS)
def test_wrong_nfs_specs(api: Api, key: str, value: Any, message: str | None) -> None:
    type_id = api.share_type("other")
    told = [
        api.fault("POST", "/types", body(extra_specs={DHSS: "true", key: value}), 400),
        api.fault(
            "POST", f"/types/{type_id}/extra_specs", {"extra_specs": {"a": "b", key: value}}, 400
        ),
        api.fault("PUT", f"/types/{type_id}/extra_specs/{key}", {key: value}, 400),
    ]
    assert all(key in text for text in told)
    assert message is None or {f"Invalid extra_spec: {message}"} == set(told)
    assert api("GET", f"/types/{type_id}/extra_specs") == {"extra_specs": {DHSS: "True"}}


@pytest.mark.parametrize(
    ("key", "version", "status"),
    [
        (DHSS, "2.0", 403),
        (DHSS, "2.70", 403),
        ("snapshot_support", "2.23", 403),
        ("snapshot_support", "2.24", 202),
    ],
)
def test_extra_specs_that_stay(api: Api, key: str, version: str, status: int) -> None:
    path = f"/types/{api.share_type('gold', snapshot_support='True')}/extra_specs/{key}"
    if status == 403:
        assert (
            api.fault("DELETE", path, None, 403, version=version)
            == f"Extra spec '{key}' can't be deleted."
        )
    else:
        api("DELETE", path, status=202, version=version)


def test_an_extra_spec_is_set_by_two_at_once(api: Api, engine: Engine) -> None:
    type_id = api.share_type()
    with ThreadPoolExecutor(1) as pool:
        with begin(engine) as conn:
            share_types.set_extra_specs(conn, stack.ADMIN, type_id, {"tier": "gold"})
            answer = pool.submit(
                api.send,
                "POST",
                f"/v2/types/{type_id}/extra_specs",
                {"extra_specs": {"tier": "silver"}},
            )
            wait([answer], 0.3)
        assert answer.result().status_code == 200
    assert api("GET", f"/types/{type_id}/extra_specs")["extra_specs"]["tier"] == "silver"
