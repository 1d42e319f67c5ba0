"""Resource locks, by themselves and with access rules. That they go with what they lock:
tests/operations."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from abaca import config
from abaca.api.app import create_app
from abaca.db.session import begin
from abaca.db.tables import share_instance_access_map
from tests.api.conftest import ADMIN, ALICE, BOB, NOBODY, READER, UNKNOWN, Api, BackEnd

AMY = "amy:red:member"  # of Alice's project
CLOUD = "nova:red:member,service"
KEYS = {
    "id", "user_id", "project_id", "lock_context", "resource_type", "resource_id",
     "resource_action", "lock_reason", "created_at", "updated_at",
    "links",
}  # fmt: skip
HIDDEN = "******"


@pytest.fixture
def share(api: Api, back_end: BackEnd) -> str:
    api.share_type()
    share_id = str(api.share(api.share_network()["id"])["id"])
    back_end.settle(share_id)
    return share_id


def act(
    api: Api,
    share: str,
    action: str,
    arguments: Any = None,
    *,
    who: str = ALICE,
    status: int = 202,
    version: str = "2.82",
) -> Any:
    return api(
        "POST",
        f"/shares/{share}/action",
        {action: arguments},
        who=who,
        status=status,
        version=version,
    )


def allow(
    api: Api, share: str, access_to: str = "10.0.0.1", *, who: str = ALICE, **more: Any
) -> dict[str, Any]:
    made: dict[str, Any] = act(
        api,
        share,
        "allow_access",
        {"access_type": "ip", "access_to": access_to, **more},
        who=who,
        status=200,
    )["access"]
    return made


def settle_rules(engine: Engine, state: str = "active") -> None:
    with begin(engine) as conn:
        conn.execute(sa.update(share_instance_access_map).values(state=state))


def lock(
    api: Api,
    resource_id: str,
    resource_type: str = "share",
    *,
    who: str = ALICE,
    status: int = 200,
    **more: Any,
) -> Any:
    body = {"resource_lock": {"resource_id": resource_id, "resource_type": resource_type, **more}}
    answer = api("POST", "/resource-locks", body, who=who, status=status, version="2.81")
    return answer["resource_lock"] if status == 200 else next(iter(answer.values()))["message"]


def locks(api: Api, query: str = "", who: str = ALICE) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api("GET", f"/resource-locks?{query}", who=who, version="2.81")[
        "resource_locks"
    ]
    return found


def ids(api: Api, query: str = "", who: str = ALICE) -> list[str]:
    return [row["id"] for row in locks(api, query, who)]


def test_create_show_list_update_delete(api: Api, share: str) -> None:
    """resource_locks.create, resource_locks.show, resource_locks.index, resource_locks.update,
    resource_locks.delete"""
    made = lock(api, share, lock_reason="mine")
    assert set(made) == KEYS
    assert made == made | {
        "user_id": "alice", "project_id": "red", "lock_context": "user", "resource_type": "share",
         "resource_id": share,
        "resource_action": "delete", "lock_reason": "mine", "updated_at": None,
    }  # fmt: skip
    one = f"/resource-locks/{made['id']}"
    assert made["links"][0]["href"].endswith(f"/v2{one}")
    assert api("GET", one, who=READER, version="2.81") == {"resource_lock": made}
    assert locks(api, who=READER) == [made]
    changed = api(
        "PUT", one, {"resource_lock": {"lock_reason": "yours"}}, who=ALICE, version="2.81"
    )["resource_lock"]
    assert changed == made | {"lock_reason": "yours", "updated_at": changed["updated_at"]}
    assert changed["updated_at"] is not None
    kept = api(
        "PUT", one, {"resource_lock": {"resource_action": "delete"}}, who=ALICE, version="2.81"
    )["resource_lock"]
    assert kept["lock_reason"] == "yours"
    api("DELETE", one, who=ALICE, status=204, version="2.81")
    assert locks(api) == []
    for method in ("GET", "PUT", "DELETE"):
        api.fault(
            method,
            one,
            {"resource_lock": {}} if method == "PUT" else None,
            404,
            who=ALICE,
            version="2.81",
        )


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"resource_lock": None}, 400),
        ({"resource_lock": {"resource_type": "share"}}, 400),
        ({"resource_lock": {"resource_type": "share", "resource_id": "x"}}, 400),
        ({"resource_lock": {"resource_type": "share", "resource_id": UNKNOWN}}, 400),
        ({"resource_lock": {"resource_type": "access_rule", "resource_id": "SHARE"}}, 400),
        ({"resource_lock": {"resource_type": "snapshot", "resource_id": "SHARE"}}, 400),
        (
            {
                "resource_lock": {
                    "resource_type": "share",
                    "resource_id": "SHARE",
                    "resource_action": "show",
                }
            },
            400,
        ),
        (
            {
                "resource_lock": {
                    "resource_type": "share",
                    "resource_id": "SHARE",
                    "resource_action": "extend",
                }
            },
            400,
        ),
        (
            {
                "resource_lock": {
                    "resource_type": "share",
                    "resource_id": "SHARE",
                    "lock_reason": "x" * 1024,
                }
            },
            400,
        ),
        (
            {"resource_lock": {"resource_type": "share", "resource_id": "SHARE", "lock_reason": 5}},
            400,
        ),
    ],
)
def test_bad_locks_leave_no_trace(api: Api, share: str, body: dict[str, Any], status: int) -> None:
    if (body.get("resource_lock") or {}).get("resource_id") == "SHARE":
        body["resource_lock"]["resource_id"] = share
    api.fault("POST", "/resource-locks", body, status, who=ALICE, version="2.81")
    assert locks(api) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"resource_action": "show"},
        {"resource_action": "x"},
        {"lock_reason": "x" * 1024},
        {"resource_id": UNKNOWN},
        {"user_id": "bob"},
        {"id": "x"},
    ],
)
def test_bad_changes(api: Api, share: str, changes: dict[str, Any]) -> None:
    made = lock(api, share)
    api.fault(
        "PUT",
        f"/resource-locks/{made['id']}",
        {"resource_lock": changes},
        400,
        who=ALICE,
        version="2.81",
    )
    assert locks(api) == [made]


def test_before_its_version(api: Api, share: str) -> None:
    made = lock(api, share)["id"]
    for method, path in [
        ("GET", ""),
        ("POST", ""),
        ("GET", f"/{made}"),
        ("PUT", f"/{made}"),
        ("DELETE", f"/{made}"),
    ]:
        api.fault(
            method,
            f"/resource-locks{path}",
            {} if method in ("POST", "PUT") else None,
            404,
            who=ALICE,
            version="2.80",
        )


@pytest.mark.parametrize("who", [ALICE, ADMIN])
def test_a_locked_share_is_not_deleted_by_anybody(api: Api, share: str, who: str) -> None:
    left = {ALICE: lock(api, share)["id"], AMY: lock(api, share, who=AMY)["id"]}
    for owner in (ALICE, AMY):
        told = api.fault("DELETE", f"/shares/{share}", None, 403, who=who)
        assert all(lock_id in told for lock_id in left.values())
        act(api, share, "soft_delete", who=who, status=403)
        if who == ADMIN:
            for action in ("force_delete", "unmanage"):
                act(api, share, action, who=who, status=403)
            (instance,) = api("GET", f"/shares/{share}/instances")["share_instances"]
            api.fault(
                "POST", f"/share_instances/{instance['id']}/action", {"force_delete": None}, 403
            )
        api("DELETE", f"/resource-locks/{left.pop(owner)}", who=owner, status=204, version="2.81")
    assert api("GET", f"/shares/{share}")["share"]["status"] == "available"
    api("DELETE", f"/shares/{share}", who=who, status=202)


def test_nothing_else_is_locked(api: Api, share: str) -> None:
    lock(api, share)
    allow(api, share)
    act(api, share, "extend", {"new_size": 2})


@pytest.mark.parametrize(
    "status", ["deleting", "error_deleting", "unmanage_starting", "unmanage_error"]
)
def test_what_is_going_is_not_locked(api: Api, back_end: BackEnd, share: str, status: str) -> None:
    back_end.settle(share, status=status)
    assert status in lock(api, share, status=409)
    assert locks(api) == []


def test_nor_what_is_soft_deleted(api: Api, share: str) -> None:
    act(api, share, "soft_delete")
    assert "soft-deleted" in lock(api, share, status=409)


@pytest.mark.parametrize(
    ("placed_by", "context", "above", "below"),
    [
        (ALICE, "user", [ALICE, CLOUD, ADMIN], [AMY]),
        (CLOUD, "service", [CLOUD, ADMIN], [ALICE, "nova:red:member"]),
        ("alice:red:admin", "admin", [ADMIN], [ALICE, CLOUD]),
    ],
)
def test_whose_it_is(
    api: Api, share: str, placed_by: str, context: str, above: list[str], below: list[str]
) -> None:
    made = lock(api, share, who=placed_by)
    assert made["lock_context"] == context
    one = f"/resource-locks/{made['id']}"
    change = {"resource_lock": {"lock_reason": "x"}}
    for who in below:
        api.fault("PUT", one, change, 403, who=who, version="2.81")
        api.fault("DELETE", one, None, 403, who=who, version="2.81")
    assert ids(api) == [made["id"]] and locks(api)[0]["lock_reason"] is None
    for who in above:
        api("PUT", one, change, who=who, version="2.81")
    api("DELETE", one, who=above[-1], status=204, version="2.81")


def test_who_may(api: Api, share: str) -> None:
    made = lock(api, share)
    lock(api, share, who=READER, status=403)
    lock(api, share, who=BOB, status=400)
    rule = allow(api, share)["id"]
    assert (
        lock(api, rule, "access_rule", who=BOB, status=400)
        == f"Access rule {rule} could not be found."
    )
    for who, status in [(READER, 403), (NOBODY, 403), (BOB, 404)]:
        api.fault("DELETE", f"/resource-locks/{made['id']}", None, status, who=who, version="2.81")
    api.fault("GET", f"/resource-locks/{made['id']}", None, 404, who=BOB, version="2.81")
    assert (
        locks(api, who=BOB),
        locks(api, "all_projects=1", BOB),
        locks(api, "project_id=red&all_projects=1", BOB),
    ) == ([], [], [])
    assert locks(api, who=ADMIN) == []
    assert (
        locks(api, "all_projects=1", ADMIN)
        == locks(api, "project_id=red&all_projects=true", ADMIN)
        == [made]
    )
    assert (
        locks(api, "project_id=blue&all_projects=true", ADMIN)
        == locks(api, "all_projects=False", ADMIN)
        == []
    )


def test_filters_and_order(api: Api, share: str, engine: Engine) -> None:
    rule = allow(api, share)["id"]
    of_share, of_rule = (
        lock(api, share, lock_reason="keep_it"),
        lock(api, rule, "access_rule", who=AMY, resource_action="show"),
    )
    both = [of_rule["id"], of_share["id"]]
    assert ids(api) == both
    assert (
        ids(api, "sort_dir=asc") == ids(api, "sort_key=resource_type&sort_dir=desc") == both[::-1]
    )
    api.fault("GET", "/resource-locks?sort_key=x", None, 400, who=ALICE, version="2.81")
    for query, found in [
        ("resource_type=share", 1), ("resource_type=access_rule", 0), ("resource_type=x", None),
        (f"resource_id={share}", 1), (f"resource_id={rule}", 0),
        ("resource_action=show", 0), ("user_id=alice", 1), ("user_id=amy", 0),
         ("lock_context=admin", None), ("lock_reason=keep_it", 1),
        ("lock_reason=keep", None), ("lock_reason~=eep", 1), ("lock_reason~=%25", None),
         (f"id={of_rule['id']}", 0),
        (f"created_since={of_rule['created_at']}", 0),
         (f"created_before={quote(of_share['created_at'])}", 1),
        (f"created_since={of_share['created_at'].replace('T', '%20')}&resource_type=share", 1),
    ]:  # fmt: skip
        assert ids(api, query) == ([] if found is None else [both[found]]), query
    api.fault("GET", "/resource-locks?created_since=x", None, 400, who=ALICE, version="2.81")
    page = api("GET", "/resource-locks?limit=1&with_count=true", who=ALICE, version="2.81")
    assert (
        [row["id"] for row in page["resource_locks"]],
        page["count"],
        len(page["resource_locks_links"]),
    ) == (both[:1], 2, 1)


# --- with access rules ----------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["2.21", "2.44", "2.45", "2.81", "2.82", "2.89"])
def test_a_rule_is_hidden_from_the_others_at_every_version(
    api: Api, share: str, version: str
) -> None:
    rule = allow(api, share, lock_visibility=True, lock_reason="secret")["id"]
    allow(api, share, "10.0.0.2")

    def listed(who: str) -> dict[str, tuple[str, str | None]]:
        if int(version[2:]) < 45:
            rows = act(api, share, "access_list", who=who, status=200, version=version)[
                "access_list"
            ]
        else:
            rows = api("GET", f"/share-access-rules?share_id={share}", who=who, version=version)[
                "access_list"
            ]
            for row in rows:
                shown = api("GET", f"/share-access-rules/{row['id']}", who=who, version=version)[
                    "access"
                ]
                assert (shown["access_to"], shown["access_key"]) == (
                    row["access_to"],
                    row["access_key"],
                )
        return {row["id"]: (row["access_to"], row["access_key"]) for row in rows}

    for who, sees in [(ALICE, True), (ADMIN, True), (CLOUD, True), (AMY, False), (READER, False)]:
        found = listed(who)
        assert found.pop(rule) == (("10.0.0.1", None) if sees else (HIDDEN, HIDDEN)), who
        assert list(found.values()) == [("10.0.0.2", None)]


def test_what_is_hidden_is_not_found_by_looking_for_it(api: Api, share: str) -> None:
    rule = allow(api, share, "10.0.0.9", lock_visibility=True)["id"]
    allow(api, share, "10.0.0.2")
    query = f"/share-access-rules?share_id={share}"
    assert (
        len(api("GET", f"{query}&access_to=10.0.0.9", who=ALICE, version="2.82")["access_list"])
        == 1
    )
    assert api("GET", f"{query}&access_to=10.0.0.9", who=AMY, version="2.82")["access_list"] == []
    for who, first in [(ALICE, False), (AMY, True)]:  # asterisks come before digits
        rows = api("GET", f"{query}&sort_key=access_to&sort_dir=asc", who=who, version="2.82")[
            "access_list"
        ]
        assert (rows[0]["id"] == rule) is first
    assert {
        row["access_to"]
        for row in api("GET", "/share-access-rules", who=AMY, version="2.82")["access_list"]
    } == {HIDDEN, "10.0.0.2"}


def test_another_level_shows_nothing(api: Api, share: str, engine: Engine) -> None:
    rule = allow(api, share, lock_visibility=True)["id"]
    settle_rules(engine)
    for level in ("ro", "ro"):
        body = {"update_access": {"access_level": level}}
        assert (
            api("PUT", f"/share-access-rules/{rule}", body, who=AMY, version="2.88")["access"][
                "access_to"
            ]
            == HIDDEN
        )


def test_the_policy_may_show_it(api: Api, share: str, engine: Engine, tmp_path: Path) -> None:
    rule = allow(api, share, lock_visibility=True)["id"]
    (tmp_path / "policy.yaml").write_text(
        '"resource_lock:bypass_locked_show_action": "role:lookout"\n'
    )
    other = Api(
        create_app(
            config.load([], {"state_dir": str(tmp_path), "api.auth_strategy": "noauth"}), engine
        )
    )
    for who, shown in [(AMY, HIDDEN), (f"{AMY},lookout", "10.0.0.1"), (ADMIN, "10.0.0.1")]:
        assert other("GET", f"/share-access-rules/{rule}", who=who)["access"]["access_to"] == shown
        assert (
            other("GET", f"/share-access-rules?share_id={share}", who=who)["access_list"][0][
                "access_to"
            ]
            == shown
        )


def test_a_rule_locked_against_deletion(api: Api, share: str, engine: Engine) -> None:
    rule = allow(api, share, lock_deletion=True, lock_visibility="true", lock_reason="mine")["id"]
    settle_rules(engine)
    found = {(row["resource_type"], row["resource_action"]): row for row in locks(api)}
    assert set(found) == {("access_rule", "delete"), ("access_rule", "show"), ("share", "delete")}
    of_rule, of_share = found["access_rule", "delete"], found["share", "delete"]
    assert (of_rule["resource_id"], of_rule["lock_reason"], of_share["resource_id"]) == (
        rule,
        "mine",
        share,
    )
    assert of_rule["id"] in of_share["lock_reason"]
    api.fault("DELETE", f"/shares/{share}", None, 403, who=ALICE)
    refused: list[tuple[str, dict[str, Any], str]] = [
        (ALICE, {}, "2.82"), (ADMIN, {}, "2.82"), (AMY, {"unrestrict": True}, "2.82"),
         (ALICE, {"unrestrict": True}, "2.81"),
        (ALICE, {"unrestrict": "false"}, "2.82"),
    ]  # fmt: skip
    for who, arguments, version in refused:
        act(
            api,
            share,
            "deny_access",
            {"access_id": rule, **arguments},
            who=who,
            status=403,
            version=version,
        )
    assert api("GET", f"/share-access-rules/{rule}", who=ALICE)["access"]["state"] == "active"
    act(api, share, "deny_access", {"access_id": rule, "unrestrict": True})
    assert (
        api("GET", f"/share-access-rules/{rule}", who=ALICE)["access"]["state"] == "queued_to_deny"
    )
    assert len(locks(api)) == 3  # until the rule is gone


def test_an_administrator_unrestricts_it(api: Api, share: str) -> None:
    rule = allow(api, share, lock_deletion=True)["id"]
    act(api, share, "deny_access", {"access_id": rule, "unrestrict": True}, who=ADMIN)


def test_unrestrict_has_nothing_to_do_without_locks(api: Api, share: str) -> None:
    act(api, share, "deny_access", {"access_id": allow(api, share)["id"], "unrestrict": True})


def test_the_share_s_lock_goes_with_the_rule_s(api: Api, share: str) -> None:
    allow(api, share, lock_deletion=True)
    (of_rule,) = ids(api, "resource_type=access_rule")
    api("DELETE", f"/resource-locks/{of_rule}", who=ALICE, status=204, version="2.81")
    assert locks(api) == []
    api("DELETE", f"/shares/{share}", who=ALICE, status=202)


def test_it_is_hidden_once(api: Api, share: str) -> None:
    rule = allow(api, share, lock_visibility=True)["id"]
    for who in (ALICE, AMY, ADMIN):
        lock(api, rule, "access_rule", who=who, status=409, resource_action="show")
    kept = lock(api, rule, "access_rule")
    api.fault(
        "PUT",
        f"/resource-locks/{kept['id']}",
        {"resource_lock": {"resource_action": "show"}},
        400,
        who=ALICE,
        version="2.81",
    )
    other = allow(api, share, "10.0.0.2")["id"]
    free = lock(api, other, "access_rule")
    changed = api(
        "PUT",
        f"/resource-locks/{free['id']}",
        {"resource_lock": {"resource_action": "show"}},
        who=ALICE,
        version="2.81",
    )
    assert changed["resource_lock"]["resource_action"] == "show"


@pytest.mark.parametrize("state", ["queued_to_deny", "denying", "error"])
def test_a_rule_that_is_going_is_hidden_but_not_kept(
    api: Api, share: str, engine: Engine, state: str
) -> None:
    rule = allow(api, share)["id"]
    settle_rules(engine, state)
    assert state in lock(api, rule, "access_rule", status=409)
    lock(api, rule, "access_rule", resource_action="show")


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ({"lock_reason": "mine"}, 400),
        ({"lock_visibility": False, "lock_deletion": None, "lock_reason": "mine"}, 400),
        ({"lock_visibility": "maybe"}, 400),
        ({"lock_deletion": True, "lock_reason": "x" * 1024}, 400),
        ({"lock_deletion": True, "access_to": "nowhere"}, 400),
    ],
)
def test_bad_locks_with_a_rule_make_none(
    api: Api, share: str, arguments: dict[str, Any], status: int
) -> None:
    act(
        api,
        share,
        "allow_access",
        {"access_type": "ip", "access_to": "10.0.0.1", **arguments},
        status=status,
    )
    assert api("GET", f"/share-access-rules?share_id={share}", who=ALICE)["access_list"] == []
    assert locks(api) == []


def test_before_their_version_they_are_ignored(api: Api, share: str) -> None:
    arguments = {
        "access_type": "ip",
        "access_to": "10.0.0.1",
        "lock_deletion": True,
        "lock_visibility": True,
        "lock_reason": "mine",
    }
    act(api, share, "allow_access", arguments, status=200, version="2.81")
    assert locks(api) == []
