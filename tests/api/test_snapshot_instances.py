"""Snapshot instances, and their export locations."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from abaca.db.session import begin, read
from abaca.db.tables import share_snapshot_instances, shares
from abaca.domain.snapshots import share_snapshot_instances as instances
from abaca.values import ExportLocation, SnapshotUpdate
from tests.api.conftest import ALICE, BOB, UNKNOWN, Api, BackEnd

SUMMARY = {"id", "snapshot_id", "status"}
DETAIL = SUMMARY | {
    "created_at", "updated_at", "share_id", "share_instance_id", "progress", "provider_location",
}  # fmt: skip
SETTABLE = (
    "available", "creating", "deleting", "error", "error_deleting", "migrating", "migrating_to",
    "server_migrating",
)  # fmt: skip
PATH, ADMIN_PATH = "10.0.0.5:/snapshots/x", "192.0.2.5:/snapshots/x"


@pytest.fixture
def share(api: Api, back_end: BackEnd) -> dict[str, Any]:
    api.share_type()
    made = api.share(api.share_network()["id"])
    back_end.settle(made["id"], "10.0.0.5:/shares/x")
    with begin(back_end.engine) as conn:
        conn.execute(sa.update(shares).values(snapshot_support=True))
    shown: dict[str, Any] = api("GET", f"/shares/{made['id']}")["share"]
    return shown


@pytest.fixture
def snapshot(api: Api, share: dict[str, Any]) -> str:
    body = {"snapshot": {"share_id": share["id"]}}
    made = api("POST", "/snapshots", body, status=202, who=ALICE)
    return str(made["snapshot"]["id"])


@pytest.fixture
def instance(api: Api, engine: Engine, snapshot: str) -> str:
    """The instance of a snapshot that has been taken, with two export locations."""
    with begin(engine) as conn:
        of = share_snapshot_instances.c.snapshot_id == snapshot
        instance_id = str(conn.scalar(sa.select(share_snapshot_instances.c.id).where(of)))
        taken = SnapshotUpdate(
            provider_location="/there/x",
            export_locations=[
                ExportLocation(path=PATH),
                ExportLocation(path=ADMIN_PATH, is_admin_only=True),
            ],
        )
        instances.created(conn, instance_id, taken)
    return instance_id


def test_one_that_is_being_taken(api: Api, snapshot: str) -> None:
    """snapshot_instances.index, snapshot_instances.detail, snapshot_instances.show"""
    (shown,) = api("GET", "/snapshot-instances", version="2.19")["snapshot_instances"]
    assert set(shown) == SUMMARY
    assert (shown["snapshot_id"], shown["status"]) == (snapshot, "creating")
    (detailed,) = api("GET", "/snapshot-instances/detail", version="2.19")["snapshot_instances"]
    assert set(detailed) == DETAIL
    assert (detailed["progress"], detailed["provider_location"]) == ("0%", None)
    one = f"/snapshot-instances/{shown['id']}"
    assert api("GET", one, version="2.19") == {"snapshot_instance": detailed}


def test_one_that_has_been_taken(
    api: Api, share: dict[str, Any], snapshot: str, instance: str
) -> None:
    shown = api("GET", f"/snapshot-instances/{instance}")["snapshot_instance"]
    (share_instance,) = api("GET", f"/shares/{share['id']}/instances")["share_instances"]
    assert shown["share_id"] == share["id"]
    assert shown["share_instance_id"] == share_instance["id"]
    assert (shown["status"], shown["progress"]) == ("available", "100%")
    of_snapshot = api("GET", f"/snapshots/{snapshot}")["snapshot"]
    assert shown["provider_location"] == of_snapshot["provider_location"] == "/there/x"
    assert None not in (shown["created_at"], shown["updated_at"])


@pytest.mark.parametrize("list_", ["", "/detail"])
def test_lists_are_filtered_by_snapshot(
    api: Api, share: dict[str, Any], snapshot: str, list_: str
) -> None:
    other = api("POST", "/snapshots", {"snapshot": {"share_id": share["id"]}}, status=202)

    def found(query: str) -> set[str]:
        rows = api("GET", f"/snapshot-instances{list_}{query}")["snapshot_instances"]
        return {row["snapshot_id"] for row in rows}

    assert found("") == {snapshot, other["snapshot"]["id"]}
    assert found(f"?snapshot_id={snapshot}") == {snapshot}
    assert found(f"?snapshot_id={UNKNOWN}") == set()
    assert len(api("GET", f"/snapshot-instances{list_}?limit=1")["snapshot_instances"]) == 1


def test_the_administrator_sets_a_status(
    api: Api, engine: Engine, snapshot: str, instance: str
) -> None:
    """snapshot_instances.reset_status"""
    path = f"/snapshot-instances/{instance}/action"
    for status in SETTABLE:
        api("POST", path, {"reset_status": {"status": status}}, status=202, version="2.19")
        assert api("GET", f"/snapshots/{snapshot}")["snapshot"]["status"] == status
    for wrong in ({"status": "fine"}, {"status": "restoring"}, {"status": None}, {}):
        api.fault("POST", path, {"reset_status": wrong}, 400)
    with read(engine) as conn:
        assert conn.scalar(sa.select(share_snapshot_instances.c.status)) == SETTABLE[-1]


def test_export_locations(api: Api, instance: str) -> None:
    """snapshot_export_locations.of_instance, snapshot_export_locations.show_of_instance"""
    path = f"/snapshot-instances/{instance}/export-locations"
    listed = api("GET", path, version="2.32")["share_snapshot_export_locations"]
    assert [(each["path"], each["is_admin_only"]) for each in listed] == [
        (PATH, False),
        (ADMIN_PATH, True),
    ]
    assert {each["share_snapshot_instance_id"] for each in listed} == {instance}
    one = api("GET", f"{path}/{listed[0]['id']}", version="2.32")["share_snapshot_export_location"]
    assert one.items() >= listed[0].items() and "created_at" in one
    api.fault("GET", f"{path}/{UNKNOWN}", None, 404)
    api.fault("GET", path, None, 404, version="2.31")


def test_who_and_which(api: Api, instance: str) -> None:
    body = {"reset_status": {"status": "error"}}
    for method, path, content in (
        ("GET", "", None),
        ("GET", "/detail", None),
        ("GET", f"/{instance}", None),
        ("POST", f"/{instance}/action", body),
        ("GET", f"/{instance}/export-locations", None),
        ("GET", f"/{instance}/export-locations/{UNKNOWN}", None),
    ):
        for who in (ALICE, BOB):
            api.fault(method, f"/snapshot-instances{path}", content, 403, who=who)
        api.fault(method, f"/snapshot-instances{path}", content, 404, version="2.18")
        if instance in path:
            unknown = path.replace(instance, UNKNOWN)
            api.fault(method, f"/snapshot-instances{unknown}", content, 404)
