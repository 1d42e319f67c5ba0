"""Managing snapshots that are on the back end of their share, and unmanaging them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from abaca.db.session import begin
from abaca.db.tables import share_instances, share_snapshot_instances, shares
from abaca.domain.snapshots import snapshot_management
from abaca.values import ManagedSnapshot
from tests.api.conftest import ADMIN, ALICE, UNKNOWN, Api, BackEnd

ID = "7d1f6b54-3c8e-4f0a-9a55-0c1d2e3f4a5b"
LOCATION = f"/there/{ID}"


@pytest.fixture
def share(api: Api, back_end: BackEnd) -> str:
    api.share_type()
    made = api.share(api.share_network()["id"], size=2)
    back_end.settle(made["id"], "10.0.0.5:/shares/x")
    change(back_end.engine, shares, snapshot_support=True)
    return str(made["id"])


def change(engine: Engine, table: sa.Table, **values: object) -> None:
    with begin(engine) as conn:
        conn.execute(sa.update(table).values(values))


def wanted(share: str, location: str = LOCATION, **more: Any) -> dict[str, Any]:
    return {"snapshot": {"share_id": share, "provider_location": location, **more}}


def manage(api: Api, share: str, **more: Any) -> dict[str, Any]:
    made = api("POST", "/snapshots/manage", wanted(share, **more), status=202, version="2.73")
    shown: dict[str, Any] = made["snapshot"]
    return shown


def instance(api: Api, snapshot: str) -> dict[str, Any]:
    found = api("GET", f"/snapshot-instances/detail?snapshot_id={snapshot}")
    shown: dict[str, Any] = found["snapshot_instances"][0]
    return shown


def test_one_is_taken_over(api: Api, engine: Engine, share: str) -> None:
    """snapshot_management.manage"""
    made = manage(api, share, name="back", description="found", driver_options={"size": 1})
    assert (made["status"], made["size"], made["share_size"]) == ("manage_starting", None, 2)
    assert (made["name"], made["description"], made["metadata"]) == ("back", "found", {})
    assert made["provider_location"] == LOCATION
    assert instance(api, made["id"])["id"] == ID
    assert used(api) == (1, 0)
    with begin(engine) as conn:
        snapshot_management.managed(conn, ID, ManagedSnapshot(size=1))
    shown = api("GET", f"/snapshots/{made['id']}", version="2.73")["snapshot"]
    assert (shown["status"], shown["size"], shown["share_size"]) == ("available", 1, 1)
    assert datetime.fromisoformat(shown["metadata"]["__managed_at"])
    assert used(api) == (1, 1)


def used(api: Api) -> tuple[int, int]:
    """Snapshots and their gigabytes in the project's quota."""
    limits = api("GET", "/limits", who=ALICE)["limits"]["absolute"]
    return limits["totalShareSnapshotsUsed"], limits["totalSnapshotGigabytesUsed"]


def test_a_driver_that_knows_no_size(api: Api, engine: Engine, share: str) -> None:
    made = manage(api, share)
    with begin(engine) as conn:
        snapshot_management.managed(conn, ID, ManagedSnapshot())
    assert api("GET", f"/snapshots/{made['id']}")["snapshot"]["size"] == 2


def test_when_it_was_taken_over_is_nobodys_to_change(api: Api, engine: Engine, share: str) -> None:
    made = manage(api, share, metadata={"colour": "blue", "__managed_at": "never"})
    assert made["metadata"] == {"colour": "blue"}
    with begin(engine) as conn:
        snapshot_management.managed(conn, ID, ManagedSnapshot(size=1))
    path = f"/snapshots/{made['id']}/metadata"
    before = api("GET", path, version="2.73")["metadata"]["__managed_at"]
    for who in (ALICE, ADMIN):
        api("PUT", path, {"metadata": {"__managed_at": "x"}}, version="2.73", who=who)
        api("DELETE", f"{path}/__managed_at", version="2.73", who=who)
        assert api("GET", path, version="2.73")["metadata"] == {"__managed_at": before}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"snapshot": {"provider_location": LOCATION}}, 422),
        ({"snapshot": {"share_id": UNKNOWN}}, 422),
        (wanted(UNKNOWN, ""), 422),
        (wanted("", LOCATION), 422),
        (wanted("nope"), 404),
        (wanted(UNKNOWN), 404),
    ],
)
def test_what_is_missing(api: Api, body: dict[str, Any], status: int) -> None:
    api.fault("POST", "/snapshots/manage", body, status)


def test_what_is_refused(api: Api, engine: Engine, share: str) -> None:
    path = "/snapshots/manage"
    api.fault("POST", path, wanted(share, "x" * 256), 400)
    api.fault("POST", path, wanted(share), 404, version="2.11")
    api.fault("POST", path, wanted(share), 403, who=ALICE)
    change(engine, share_instances, status="extending")
    api.fault("POST", path, wanted(share), 400)
    change(engine, share_instances, status="available")
    change(engine, shares, scheduled_to_be_deleted_at=datetime(2030, 1, 1))
    api.fault("POST", path, wanted(share), 403)


def test_what_is_known_is_refused(api: Api, share: str) -> None:
    """By its location, and by its id in whatever location: also that of a share."""
    made = manage(api, share)
    told = api.fault("POST", "/snapshots/manage", wanted(share), 409)
    assert f"{made['id']} is already managed for provider location {LOCATION}" in told
    api.fault("POST", "/snapshots/manage", wanted(share, f"/elsewhere/{ID}"), 409)
    (of_share,) = api("GET", f"/shares/{share}/instances")["share_instances"]
    api.fault("POST", "/snapshots/manage", wanted(share, f"/there/{of_share['id']}"), 409)
    assert used(api) == (1, 0)


@pytest.mark.parametrize("status", ["available", "error", "manage_error", "unmanage_error"])
def test_one_is_let_go(api: Api, engine: Engine, share: str, status: str) -> None:
    """snapshot_management.unmanage"""
    made = manage(api, share)
    change(engine, share_snapshot_instances, status=status)
    path = f"/snapshots/{made['id']}/action"
    api.fault("POST", path, {"unmanage": None}, 403, who=ALICE)
    assert "2.49" in api.fault("POST", path, {"unmanage": None}, 403, version="2.48")
    api.fault("POST", path, {"unmanage": None}, 404, version="2.11")
    api("POST", path, {"unmanage": None}, status=202, version="2.49")
    assert api("GET", f"/snapshots/{made['id']}")["snapshot"]["status"] == "unmanage_starting"
    api.fault("POST", path.replace(made["id"], UNKNOWN), {"unmanage": None}, 404)


@pytest.mark.parametrize("status", ["creating", "deleting", "restoring", "manage_starting"])
def test_one_with_work_in_progress_is_not_let_go(
    api: Api, engine: Engine, share: str, status: str
) -> None:
    made = manage(api, share)
    change(engine, share_snapshot_instances, status=status)
    told = api.fault("POST", f"/snapshots/{made['id']}/action", {"unmanage": None}, 403)
    assert status in told


def test_one_that_was_never_taken_over_is_not_made_available_by_hand(
    api: Api, engine: Engine, share: str
) -> None:
    """What stands under its id on the back end may be anything."""
    made = manage(api, share)
    change(engine, share_snapshot_instances, status="manage_error")
    body = {"reset_status": {"status": "available"}}
    for path in (f"/snapshots/{made['id']}", f"/snapshot-instances/{ID}"):
        assert "never taken over" in api.fault("POST", f"{path}/action", body, 400)
    api("DELETE", f"/snapshots/{made['id']}", status=202, who=ALICE)
