"""Access rules that snapshots have of their own."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from abaca.db.session import begin
from abaca.db.tables import (
    share_networks,
    share_snapshot_access_rules,
    share_snapshot_instances,
    shares,
)
from tests.api.conftest import ALICE, BOB, READER, UNKNOWN, Api, BackEnd

VIEW = {"id", "access_type", "access_to", "state"}


@pytest.fixture
def share(api: Api, back_end: BackEnd) -> dict[str, Any]:
    api.share_type()
    made = api.share(api.share_network()["id"])
    back_end.settle(made["id"], "10.0.0.5:/shares/x")
    change(back_end.engine, shares, snapshot_support=True, mount_snapshot_support=True)
    shown: dict[str, Any] = api("GET", f"/shares/{made['id']}")["share"]
    return shown


@pytest.fixture
def snapshot(api: Api, engine: Engine, share: dict[str, Any]) -> str:
    made = api("POST", "/snapshots", {"snapshot": {"share_id": share["id"]}}, status=202, who=ALICE)
    change(engine, share_snapshot_instances, status="available")
    return str(made["snapshot"]["id"])


def change(engine: Engine, table: sa.Table, **values: object) -> None:
    with begin(engine) as conn:
        conn.execute(sa.update(table).values(values))


def target(access_to: str, access_type: str = "ip", **more: str) -> dict[str, Any]:
    return {"allow_access": {"access_type": access_type, "access_to": access_to, **more}}


def allow(api: Api, snapshot: str, access_to: str, access_type: str = "ip") -> dict[str, Any]:
    body = target(access_to, access_type)
    made = api("POST", f"/snapshots/{snapshot}/action", body, status=202, who=ALICE, version="2.38")
    rule: dict[str, Any] = made["snapshot_access"]
    return rule


def listed(api: Api, snapshot: str, who: str = ALICE) -> list[dict[str, Any]]:
    path = f"/snapshots/{snapshot}/access-list"
    rules: list[dict[str, Any]] = api("GET", path, who=who, version="2.32")["snapshot_access_list"]
    return rules


def test_rules_come_and_go(api: Api, snapshot: str) -> None:
    """snapshot_access.allow, snapshot_access.index, snapshot_access.deny"""
    assert listed(api, snapshot) == []
    first = allow(api, snapshot, "10.0.0.9")
    assert set(first) == VIEW and first["state"] == "queued_to_apply"
    second = allow(api, snapshot, "fd00:9::/64")
    third = allow(api, snapshot, "somebody", "user")
    assert listed(api, snapshot, READER) == [first, second, third]
    path, denied = f"/snapshots/{snapshot}/action", {"deny_access": {"access_id": second["id"]}}
    for _again in range(2):
        api("POST", path, denied, status=202, who=ALICE, version="2.32")
    assert listed(api, snapshot) == [first, second | {"state": "queued_to_deny"}, third]


def test_a_level_is_not_asked_for(api: Api, snapshot: str) -> None:
    body = target("10.0.0.9", access_level="rw")
    made = api("POST", f"/snapshots/{snapshot}/action", body, status=202, who=ALICE)
    assert set(made["snapshot_access"]) == VIEW


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (target("300.0.0.9"), "does not appear to be an IPv4 or IPv6 network"),
        (target("10.0.0.9", "nobody"), "only ip, user, cert, cephx access types"),
        (target("x" * 256, "cert"), "of length <= 255 - at `access_to`"),
        ({"allow_access": {"access_type": "ip"}}, "access_to"),
        ({"allow_access": {"access_to": "10.0.0.9"}}, "access_type"),
        ({"allow_access": {}}, "access_"),
        ({"allow_access": None}, "missing required field `access_type`"),
    ],
)
def test_what_is_no_rule(api: Api, snapshot: str, body: dict[str, Any], told: str) -> None:
    assert told in api.fault("POST", f"/snapshots/{snapshot}/action", body, 400, who=ALICE)
    assert listed(api, snapshot) == []


def test_ipv6_needs_a_version(api: Api, snapshot: str) -> None:
    path = f"/snapshots/{snapshot}/action"
    assert "2.38" in api.fault("POST", path, target("fd00::9"), 400, who=ALICE, version="2.37")
    api.fault("POST", path, target("10.0.0.9"), 404, who=ALICE, version="2.31")
    api.fault("GET", f"/snapshots/{snapshot}/access-list", None, 404, version="2.31")


def test_the_same_target_twice(api: Api, snapshot: str) -> None:
    allow(api, snapshot, "10.0.0.9")
    for same in ("10.0.0.9", "10.0.0.9/32"):
        told = api.fault("POST", f"/snapshots/{snapshot}/action", target(same), 400, who=ALICE)
        assert told == f"Share snapshot access ip:{same} exists."
    allow(api, snapshot, "10.0.0.0/24")


@pytest.mark.parametrize(
    ("table", "column", "value", "told"),
    [
        (share_snapshot_instances, "status", "creating", "must be available"),
        (share_snapshot_instances, "status", "error", "must be available"),
        (share_networks, "status", "network_change", "not active but network_change"),
        (shares, "mount_snapshot_support", False, "does not support mounting snapshots"),
        (shares, "snapshot_inherit_share_access_support", True, "have the access rules of their"),
    ],
)
def test_when_no_rule_is_taken(
    api: Api, engine: Engine, snapshot: str, table: sa.Table, column: str, value: Any, told: str
) -> None:
    rule = allow(api, snapshot, "10.0.0.9")
    change(engine, table, **{column: value})
    path = f"/snapshots/{snapshot}/action"
    assert told in api.fault("POST", path, target("10.0.0.10"), 400, who=ALICE)
    if table is not share_snapshot_instances:
        denied = {"deny_access": {"access_id": rule["id"]}}
        assert told in api.fault("POST", path, denied, 400, who=ALICE)
    if column == "mount_snapshot_support":
        told_list = api.fault("GET", f"/snapshots/{snapshot}/access-list", None, 400, who=ALICE)
        assert told in told_list


@pytest.mark.parametrize("inherits", [None, False])
def test_types_that_leave_rules_to_snapshots(
    api: Api, engine: Engine, snapshot: str, inherits: bool | None
) -> None:
    change(engine, shares, snapshot_inherit_share_access_support=inherits)
    allow(api, snapshot, "10.0.0.9")


def test_a_rule_of_another_snapshot(api: Api, engine: Engine, share: Any, snapshot: str) -> None:
    rule = allow(api, snapshot, "10.0.0.9")
    other = api("POST", "/snapshots", {"snapshot": {"share_id": share["id"]}}, status=202)
    path = f"/snapshots/{other['snapshot']['id']}/action"
    for access_id in (rule["id"], UNKNOWN):
        api.fault("POST", path, {"deny_access": {"access_id": access_id}}, 404)
    assert listed(api, snapshot) == [rule]


def test_who_may(api: Api, snapshot: str) -> None:
    rule = allow(api, snapshot, "10.0.0.9")
    path = f"/snapshots/{snapshot}"
    for method, where, body in (
        ("POST", f"{path}/action", target("10.0.0.10")),
        ("POST", f"{path}/action", {"deny_access": {"access_id": rule["id"]}}),
        ("GET", f"{path}/access-list", None),
    ):
        told = api.fault(method, where, body, 404, who=BOB)
        unknown = api.fault(method, where.replace(snapshot, UNKNOWN), body, 404, who=BOB)
        assert told == unknown.replace(UNKNOWN, snapshot)
        if method == "POST":
            api.fault(method, where, body, 403, who=READER)
    assert listed(api, snapshot) == [rule]


def test_rules_go_with_their_snapshot(api: Api, engine: Engine, snapshot: str) -> None:
    allow(api, snapshot, "10.0.0.9")
    api("DELETE", f"/snapshots/{snapshot}", status=202, who=ALICE)
    with begin(engine) as conn:
        conn.execute(sa.text("DELETE FROM share_snapshots"))
        left = sa.select(sa.func.count()).select_from(share_snapshot_access_rules)
        assert conn.scalar(left) == 0


def test_pools_that_mount_snapshots_serve_types_either_way(
    api: Api, back_end: BackEnd, engine: Engine
) -> None:
    """The spec is visible to projects, says True or False, and is kept by the share."""
    kept = {}
    for value in ("True", "False"):
        spec = {"snapshot_inherit_share_access_support": value}
        api.share_type(f"type-{value}", mount_snapshot_support="True", **spec)
        seen = api("GET", "/types", who=ALICE, version="2.24")["share_types"]
        assert [one["extra_specs"] for one in seen if one["extra_specs"].items() >= spec.items()]
        made = api.share(api.share_network()["id"], share_type=f"type-{value}")
        with begin(engine) as conn:
            column = shares.c.snapshot_inherit_share_access_support
            kept[value] = conn.scalar(sa.select(column).where(shares.c.id == made["id"]))
        shown = api("GET", f"/shares/{made['id']}", version="2.99")["share"]
        assert shown["snapshot_inherit_share_access_support"] is (value == "True")
    assert kept == {"True": True, "False": False}
