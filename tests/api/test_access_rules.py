"""Access rules, in both forms."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from abaca.db.session import begin, read
from abaca.db.tables import share_access_rules, share_instance_access_map
from tests.api.conftest import ALICE, BOB, READER, UNKNOWN, Api, BackEnd

LISTED = {"id", "access_type", "access_to", "access_level", "state"}


@pytest.fixture
def share(api: Api, back_end: BackEnd) -> str:
    api.share_type()
    share_id = str(api.share(api.share_network()["id"])["id"])
    back_end.settle(share_id)
    return share_id


def allow(
    api: Api, share: str, access_to: str = "10.0.0.1", version: str = "2.70", **more: Any
) -> dict[str, Any]:
    action = "os-allow_access" if version in ("2.0", "2.6") else "allow_access"
    body = {action: {"access_type": "ip", "access_to": access_to, **more}}
    made: dict[str, Any] = api("POST", f"/shares/{share}/action", body, who=ALICE, version=version)[
        "access"
    ]
    return made


@pytest.mark.parametrize(
    ("version", "keys", "state"),
    [
        ("2.0", set(), "new"),
        ("2.6", set(), "new"),
        ("2.7", set(), "new"),
        ("2.20", set(), "new"),
        ("2.21", {"access_key"}, "new"),
        ("2.27", {"access_key"}, "new"),
        ("2.28", {"access_key"}, "queued_to_apply"),
        ("2.33", {"access_key", "created_at", "updated_at"}, "queued_to_apply"),
        ("2.44", {"access_key", "created_at", "updated_at"}, "queued_to_apply"),
        ("2.45", {"access_key", "created_at", "updated_at", "metadata"}, "queued_to_apply"),
        ("2.70", {"access_key", "created_at", "updated_at", "metadata"}, "queued_to_apply"),
    ],
)
def test_fields_by_version(api: Api, share: str, version: str, keys: set[str], state: str) -> None:
    """access_rules.allow, access_rules.list_of_share, access_rules.index, access_rules.show:
    "os-access_list", "access_list"."""
    made = allow(api, share, version=version)
    assert set(made) == LISTED | keys | {"share_id"}
    assert (made["share_id"], made["access_to"], made["access_level"], made["state"]) == (
        share,
        "10.0.0.1",
        "rw",
        state,
    )
    minor = int(version[2:])
    if minor >= 45:
        (listed,) = api(
            "GET", f"/share-access-rules?share_id={share}", who=READER, version=version
        )["access_list"]
        assert api("GET", f"/share-access-rules/{made['id']}", who=READER, version=version) == {
            "access": made
        }
    else:
        action = "access_list" if minor >= 7 else "os-access_list"
        (listed,) = api(
            "POST", f"/shares/{share}/action", {action: None}, who=READER, version=version
        )["access_list"]
    assert listed == {name: value for name, value in made.items() if name != "share_id"}


@pytest.mark.parametrize(
    ("state", "before"),
    [
        ("queued_to_apply", "new"),
        ("applying", "new"),
        ("active", "active"),
        ("error", "error"),
        ("queued_to_deny", "deleting"),
        ("denying", "deleting"),
        ("error_denying", "error"),
    ],
)
def test_states_before_2_28(api: Api, engine: Engine, share: str, state: str, before: str) -> None:
    allow(api, share)
    with begin(engine) as conn:
        conn.execute(sa.update(share_instance_access_map).values(state=state))
    now = "error" if state == "error_denying" else state
    for version, shown in (("2.27", before), ("2.28", now)):
        (rule,) = api(
            "POST", f"/shares/{share}/action", {"access_list": {}}, who=ALICE, version=version
        )["access_list"]
        assert rule["state"] == shown


@pytest.mark.parametrize(
    ("arguments", "version", "message"),
    [
        (
            {"access_to": "1.2.3.400"},
            "2.70",
            "'1.2.3.400' does not appear to be an IPv4 or IPv6 network",
        ),
        (
            {"access_to": "10.0.0.7/24"},
            "2.70",
            "'10.0.0.7/24' is an address inside of a network: give 10.0.0.0/24 to let in all of "
            "it, or the address without a prefix length.",
        ),
        ({"access_to": "fd00::7/64"}, "2.70", None),
        ({"access_to": "fe80::1%eth0"}, "2.70", None),
        ({"access_to": "fd00::%1/64"}, "2.70", None),
        ({"access_to": "10.0.0.0/33"}, "2.70", None),
        ({"access_to": ""}, "2.70", None),
        ({"access_to": None}, "2.70", None),
        ({"access_to": 5}, "2.70", None),
        ({"access_to": "x" * 256}, "2.70", None),
        ({"access_to": "fd00::1"}, "2.37", None),
        ({"access_to": "fd00::/64"}, "2.0", None),
        ({"access_to": "fd00::/129"}, "2.70", None),
        ({"access_level": "xx"}, "2.70", "Invalid access rule: Invalid share access level: xx."),
        ({"access_type": "magic"}, "2.70", None),
        ({"access_type": None}, "2.70", None),
        ({"access_type": "cephx", "access_to": "alice"}, "2.12", None),
        ({"metadata": {"": "v"}}, "2.45", "Metadata property key is blank."),
        ({"metadata": "x"}, "2.45", None),
    ],
)
def test_bad_rules_leave_no_trace(
    api: Api,
    engine: Engine,
    share: str,
    arguments: dict[str, Any],
    version: str,
    message: str | None,
) -> None:
    action = "os-allow_access" if version == "2.0" else "allow_access"
    body = {action: {"access_type": "ip", "access_to": "10.0.0.1", **arguments}}
    told = api.fault("POST", f"/shares/{share}/action", body, 400, who=ALICE, version=version)
    assert message in (None, told)
    with read(engine) as conn:
        assert conn.execute(sa.select(share_access_rules)).all() == []


@pytest.mark.parametrize(
    ("access_to", "version", "stored"),
    [
        ("10.0.0.0/24", "2.70", "10.0.0.0/24"),
        ("fd00::1", "2.38", "fd00::1"),
        ("FD00:0::/64", "2.70", "fd00::/64"),
        ("0.0.0.0/0", "2.0", "0.0.0.0/0"),
    ],
)
def test_addresses(api: Api, share: str, access_to: str, version: str, stored: str) -> None:
    assert allow(api, share, access_to, version, access_level="ro")["access_to"] == stored


@pytest.mark.parametrize(
    ("name", "status"),
    [
        *[("anna", 200), ("DOM\\anna", 200), ("abc", 400), ("try+", 400), ("a" * 256, 400)],
        *[("....", 400), ("    ", 400), (". . .", 400), ("anna\n", 400), ("..a.", 200)],
    ],
)
def test_names_of_users(api: Api, share: str, name: str, status: int) -> None:
    body = {"allow_access": {"access_type": "user", "access_to": name}}
    assert api.send("POST", f"/v2/shares/{share}/action", body, who=ALICE).status_code == status


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        *[("client.example.org", "client.example.org"), ("  c ", "c"), ("a" * 64, "a" * 64)],
        *[("*.example.org", "*.example.org"), ("", None), ("   ", None), ("a" * 65, None)],
        *[("a\nb", None), ("a\x00b", None), ("a\x1b[2J", None)],
    ],
)
def test_common_names_of_certificates(api: Api, share: str, name: str, stored: str | None) -> None:
    body = {"allow_access": {"access_type": "cert", "access_to": name}}
    answer = api.send("POST", f"/v2/shares/{share}/action", body, who=ALICE)
    if stored is None:
        assert answer.status_code == 400
    else:
        assert answer.json["access"]["access_to"] == stored
        assert api.send("POST", f"/v2/shares/{share}/action", body, who=ALICE).status_code == 400


def test_metadata_came_with_2_45(api: Api, share: str) -> None:
    assert allow(api, share, metadata={"k": "v"})["metadata"] == {"k": "v"}
    old = allow(api, share, "10.0.0.2", "2.44", metadata={"k": ""})
    rules = {
        rule["id"]: rule["metadata"]
        for rule in api("GET", f"/share-access-rules?share_id={share}", who=ALICE)["access_list"]
    }
    assert rules[old["id"]] == {}


def test_duplicates(api: Api, share: str) -> None:
    allow(api, share, "10.9.0.0/24")
    body = {"allow_access": {"access_type": "ip", "access_to": "10.9.0.0/24", "access_level": "ro"}}
    assert (
        api.fault("POST", f"/shares/{share}/action", body, 400, who=ALICE)
        == "Share access ip:10.9.0.0/24 exists."
    )
    allow(api, share, "10.9.0.0/25")
    for once, again in (
        ("10.9.0.7", "10.9.0.7/32"),
        ("10.9.0.8/32", "10.9.0.8"),
        ("fd00::7", "fd00::7/128"),
    ):
        allow(api, share, once)
        body["allow_access"]["access_to"] = again
        assert (
            api.fault("POST", f"/shares/{share}/action", body, 400, who=ALICE)
            == f"Share access ip:{again} exists."
        )


@pytest.mark.parametrize(
    ("action", "version"),
    [("os-deny_access", "2.0"), ("deny_access", "2.7"), ("deny_access", "2.70")],
)
def test_deny(api: Api, share: str, engine: Engine, action: str, version: str) -> None:
    """access_rules.deny"""
    rule = allow(api, share)["id"]
    path = f"/shares/{share}/action"
    for arguments in ({}, None, {"access_id": None}, {"access_id": 5}):
        api.fault("POST", path, {action: arguments}, 400, who=ALICE, version=version)
    api.fault("POST", path, {action: {"access_id": UNKNOWN}}, 404, who=ALICE, version=version)
    with begin(engine) as conn:
        conn.execute(sa.update(share_instance_access_map).values(state="active"))
    assert (
        api("POST", path, {action: {"access_id": rule}}, who=ALICE, version=version, status=202)
        is None
    )
    assert (
        api("GET", f"/share-access-rules/{rule}", who=ALICE)["access"]["state"] == "queued_to_deny"
    )


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("access_to=10.0.0.1", {"10.0.0.1"}),
        ("access_type=ip", {"10.0.0.1", "10.0.0.2"}),
        ("access_type=user", set()),
        ("access_level=ro", {"10.0.0.2"}),
        ("metadata=%7B%27k%27:%27v%27%7D", {"10.0.0.2"}),
    ],
)
def test_filters(api: Api, share: str, query: str, found: set[str]) -> None:
    allow(api, share)
    allow(api, share, "10.0.0.2", access_level="ro", metadata={"k": "v"})
    listed = api("GET", f"/share-access-rules?share_id={share}&{query}", who=ALICE)["access_list"]
    assert {rule["access_to"] for rule in listed} == found


def test_the_share_must_be_named(api: Api, share: str) -> None:
    assert (
        api.fault("GET", "/share-access-rules", None, 400)
        == "The field 'share_id' has to be specified."
    )
    api.fault("GET", f"/share-access-rules?share_id={UNKNOWN}", None, 400)
    api.fault("GET", f"/share-access-rules/{UNKNOWN}", None, 404)


def test_other_projects_learn_nothing(api: Api, share: str) -> None:
    rule = allow(api, share)["id"]
    api.fault("GET", f"/share-access-rules?share_id={share}", None, 400, who=BOB)
    api.fault("GET", f"/share-access-rules/{rule}", None, 404, who=BOB)
    api.fault(
        "POST", f"/shares/{share}/action", {"access_list": None}, 404, who=BOB, version="2.44"
    )


def test_while_the_share_is_not_available(api: Api, back_end: BackEnd, share: str) -> None:
    back_end.settle(share, status="extending")
    body = {"allow_access": {"access_type": "ip", "access_to": "10.0.0.1"}}
    api.fault("POST", f"/shares/{share}/action", body, 400, who=ALICE)


def test_rules_of_all_shares_since_2_82(api: Api, back_end: BackEnd, share: str) -> None:
    other = str(api.share(api.share_network()["id"])["id"])
    back_end.settle(other)
    for one, access_to in ((share, "10.0.0.1"), (other, "10.0.0.2")):
        allow(api, one, access_to)

    def listed(query: str, who: str) -> set[str]:
        return {
            rule["access_to"]
            for rule in api("GET", f"/share-access-rules{query}", who=who, version="2.82")[
                "access_list"
            ]
        }

    assert listed("", READER) == {"10.0.0.1", "10.0.0.2"}
    assert (
        listed("?access_to=10.0.0.2", READER)
        == listed(f"?share_id={other}", READER)
        == {"10.0.0.2"}
    )
    assert listed("", BOB) == set()
    api.fault(
        "GET", "/share-access-rules?access_to=10.0.0.2", None, 400, who=READER, version="2.81"
    )


def test_another_level_since_2_88(api: Api, engine: Engine, share: str) -> None:
    """access_rules.update"""
    rule = allow(api, share)
    path = f"/share-access-rules/{rule['id']}"

    def change(level: Any) -> dict[str, Any]:
        return {"update_access": {"access_level": level}}

    assert api("PUT", path, change("rw"), who=ALICE, version="2.88")["access"] == rule
    assert "queued_to_apply" in api.fault("PUT", path, change("ro"), 400, who=ALICE, version="2.88")
    with begin(engine) as conn:
        conn.execute(sa.update(share_instance_access_map).values(state="active"))
    changed = api("PUT", path, change("ro"), who=ALICE, version="2.88")["access"]
    assert (changed["access_level"], changed["state"]) == ("ro", "queued_to_apply")
    assert set(changed) == set(rule)
    wrong: Any
    for wrong in (change("none"), change(None), change(5), {"update_access": {}}, {}, None):
        api.fault("PUT", path, wrong, 400, who=ALICE, version="2.88")
    api.fault("PUT", path, change("rw"), 403, who=READER, version="2.88")
    api.fault("PUT", path, change("rw"), 404, who=BOB, version="2.88")
    api.fault("PUT", path, change("rw"), 404, who=ALICE, version="2.87")
    api.fault("PUT", f"/share-access-rules/{UNKNOWN}", change("rw"), 404, who=ALICE, version="2.88")
