"""Snapshots of share groups, as projects ask for them. What the back end does: `operations`."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from abaca.db.session import begin
from abaca.db.tables import shares
from tests.api.conftest import ADMIN, ALICE, BOB, READER, UNKNOWN, Api, BackEnd

OLD = "2.54"  # the last at which group snapshots are experimental
ALL = "/share-group-snapshots"


@pytest.fixture
def group(api: Api, back_end: BackEnd, engine: Engine) -> str:
    """A share group with two shares, of 1 and 2 GiB."""
    api.share_type()
    network = api.share_network()["id"]
    made = str(api.share_group(network)["id"])
    back_end.settle_group(made)
    for size in (1, 2):
        back_end.settle(api.share(network, size=size, share_group_id=made)["id"])
    with begin(engine) as conn:
        supported = {"snapshot_support": True, "mount_snapshot_support": True}
        conn.execute(sa.update(shares).values(supported))
    return made


def members(api: Api, group: str) -> list[str]:
    """The ids of the shares in a group, sorted."""
    found = api("GET", f"/shares?share_group_id={group}", who=ALICE)["shares"]
    return sorted(share["id"] for share in found)


def used(api: Api) -> tuple[int, int, int]:
    """Group snapshots, snapshots and GiB of snapshots that are counted."""
    limits = api("GET", "/limits", who=ALICE)["limits"]["absolute"]
    return (
        limits["totalShareGroupSnapshotsUsed"],
        limits["totalShareSnapshotsUsed"],
        limits["totalSnapshotGigabytesUsed"],
    )


def ask(api: Api, group: str, status: int) -> str:
    """The fault of a request for a snapshot of the group."""
    body = {"share_group_snapshot": {"share_group_id": group}}
    return str(api.fault("POST", ALL, body, status, who=ALICE))


def test_a_snapshot_of_each_share_of_the_group(api: Api, group: str, back_end: BackEnd) -> None:
    made = api.share_group_snapshot(group, name="before", description="the change")
    assert (made["status"], made["share_group_id"]) == ("creating", group)
    assert used(api) == (1, 2, 3)
    back_end.settle_group_snapshot(made["id"])
    shown = api("GET", f"{ALL}/{made['id']}", who=ALICE)["share_group_snapshot"]
    assert (shown["status"], shown["name"]) == ("available", "before")
    assert sorted(one["share_id"] for one in shown["members"]) == members(api, group)
    assert sorted(one["size"] for one in shown["members"]) == [1, 2]
    listed = api("GET", f"{ALL}/{made['id']}/members", who=ALICE)
    (first, second) = listed["share_group_snapshot_members"]
    assert {first["id"], second["id"]} == {one["id"] for one in shown["members"]}
    assert first["share_group_snapshot_id"] == made["id"]
    assert first["share_protocol"] == "NFS"


def test_members_are_no_snapshots(api: Api, group: str, back_end: BackEnd) -> None:
    made = api.share_group_snapshot(group)["id"]
    back_end.settle_group_snapshot(made)
    member = api("GET", f"{ALL}/{made}", who=ALICE)["share_group_snapshot"]["members"][0]
    assert api("GET", "/snapshots/detail?all_tenants=1")["snapshots"] == []
    assert api("GET", "/snapshot-instances")["snapshot_instances"] == []
    path = f"/snapshots/{member['id']}"
    api("GET", path, status=404)
    api("DELETE", path, status=404)
    api("POST", f"{path}/action", {"force_delete": None}, status=404)
    api("POST", f"{path}/action", {"reset_status": {"status": "error"}}, status=404)
    rule = {"allow_access": {"access_type": "ip", "access_to": "10.0.0.1"}}
    api("POST", f"{path}/action", rule, status=404)
    api("GET", f"{path}/export-locations", status=404)
    body = {"share_proto": "NFS", "size": 1, "snapshot_id": member["id"]}
    api("POST", "/shares", {"share": body}, status=404, who=ALICE)


def test_a_share_with_members_and_a_group_with_snapshots_stay(
    api: Api, group: str, back_end: BackEnd
) -> None:
    made = api.share_group_snapshot(group)["id"]
    share = members(api, group)[0]
    path = f"/shares/{share}?share_group_id={group}"
    told = api.fault("DELETE", path, None, 403, who=ALICE)
    assert "1 dependent share group snapshot members" in told
    back_end.settle_group_snapshot(made)
    api("DELETE", f"{ALL}/{made}", status=202, who=ALICE)
    back_end.remove_group_snapshot(made)
    assert used(api) == (0, 0, 0)
    kept = api.share_group_snapshot(group)["id"]
    back_end.settle_group_snapshot(kept)
    for each in members(api, group):
        api.fault("DELETE", f"/shares/{each}?share_group_id={group}", None, 403, who=ALICE)
    assert "it has shares" in api.fault("DELETE", f"/share-groups/{group}", None, 409, who=ALICE)


def test_an_empty_group_has_snapshots_and_stays_with_them(api: Api, back_end: BackEnd) -> None:
    api.share_type()
    group = api.share_group(api.share_network()["id"])["id"]
    ask(api, group, 409)  # it is not available yet
    back_end.settle_group(group)
    made = api.share_group_snapshot(group)
    assert made["members"] == []
    told = api.fault("DELETE", f"/share-groups/{group}", None, 409, who=ALICE)
    assert "it has snapshots" in told
    back_end.settle_group_snapshot(made["id"])
    api("DELETE", f"{ALL}/{made['id']}", status=202, who=ALICE)
    back_end.remove_group_snapshot(made["id"])
    api("DELETE", f"/share-groups/{group}", status=202, who=ALICE)


def test_what_cannot_be_is_refused_and_counts_nothing(api: Api, group: str, engine: Engine) -> None:
    ask(api, UNKNOWN, 400)
    api("POST", ALL, {"share_group_snapshot": {"name": "x"}}, status=400, who=ALICE)
    api("POST", ALL, {"snapshot": {}}, status=400, who=ALICE)
    odd = {"share_group_snapshot": {"share_group_id": group, "force": True}}
    api("POST", ALL, odd, status=400, who=ALICE)
    share = members(api, group)[1]
    path = f"/shares/{share}/action"
    api("POST", path, {"reset_status": {"status": "error"}}, status=202)
    assert share in ask(api, group, 409)
    api("POST", path, {"reset_status": {"status": "available"}}, status=202)
    with begin(engine) as conn:
        without = sa.update(shares).where(shares.c.id == share).values(snapshot_support=False)
        conn.execute(without)
    assert "without snapshots" in ask(api, group, 409)
    assert used(api) == (0, 0, 0)
    assert api("GET", ALL, who=ALICE) == {"share_group_snapshots": []}


@pytest.mark.parametrize(
    "limit", [{"share_group_snapshots": 0}, {"snapshots": 1}, {"snapshot_gigabytes": 2}]
)
def test_quotas(api: Api, group: str, limit: dict[str, int]) -> None:
    """Members count as snapshots, too: a limit is not got around by a group."""
    api("PUT", "/quota-sets/red", {"quota_set": limit})
    body = {"share_group_snapshot": {"share_group_id": group}}
    api("POST", ALL, body, status=413, who=ALICE)
    assert used(api) == (0, 0, 0)


def test_a_newer_member_keeps_its_share_from_being_reverted(
    api: Api, group: str, back_end: BackEnd, engine: Engine
) -> None:
    share = members(api, group)[0]
    with begin(engine) as conn:
        conn.execute(sa.update(shares).values(revert_to_snapshot_support=True))
    body = {"snapshot": {"share_id": share}}
    snapshot = api("POST", "/snapshots", body, status=202, who=ALICE)["snapshot"]["id"]
    action = {"reset_status": {"status": "available"}}
    api("POST", f"/snapshots/{snapshot}/action", action, status=202)
    back_end.settle_group_snapshot(api.share_group_snapshot(group)["id"])
    revert = {"revert": {"snapshot_id": snapshot}}
    told = api.fault("POST", f"/shares/{share}/action", revert, 409, who=ALICE)
    assert "most recent" in told


def test_one_is_renamed_and_found(api: Api, group: str) -> None:
    made = api.share_group_snapshot(group, name="first")["id"]
    changes = {"share_group_snapshot": {"name": "second", "description": "d"}}
    changed = api("PUT", f"{ALL}/{made}", changes, who=ALICE)["share_group_snapshot"]
    assert (changed["name"], changed["description"]) == ("second", "d")
    odd = {"share_group_snapshot": {"status": "error"}}
    api("PUT", f"{ALL}/{made}", odd, status=400, who=ALICE)
    for query in ("name=second", "name~=eco", "status=creating", f"share_group_id={group}"):
        (found,) = api("GET", f"{ALL}/detail?{query}", who=ALICE)["share_group_snapshots"]
        assert found["id"] == made
        assert len(found["members"]) == 2
    assert api("GET", f"{ALL}?name=first", who=ALICE) == {"share_group_snapshots": []}


def test_statuses(api: Api, group: str, back_end: BackEnd) -> None:
    made = api.share_group_snapshot(group)["id"]
    path, action = f"{ALL}/{made}", f"{ALL}/{made}/action"
    api("DELETE", path, status=409, who=ALICE)  # still creating
    api("POST", action, {"reset_status": {"status": "error"}}, status=403, who=ALICE)
    api("POST", action, {"reset_status": {"status": "odd"}}, status=400)
    told = api.fault("POST", action, {"reset_status": {"status": "available"}}, 409)
    assert "has a member that is creating" in told
    back_end.settle_group_snapshot(made)
    api("POST", action, {"reset_status": {"status": "error_deleting"}}, status=202)
    api("DELETE", path, status=409, who=ALICE)
    api("POST", action, {"force_delete": None}, status=202)
    assert api("GET", path, who=ALICE)["share_group_snapshot"]["status"] == "deleting"


def test_by_version(api: Api, group: str) -> None:
    path = f"{ALL}/{api.share_group_snapshot(group)['id']}"
    api("GET", path, version="2.31", who=ALICE)
    api("GET", path, version="2.30", status=404, who=ALICE)
    api("GET", path, version=OLD, who=ALICE, experimental=False, status=404)
    api("GET", path, version="2.55", who=ALICE, experimental=False)


def test_others_see_nothing_of_one(api: Api, group: str) -> None:
    path = f"{ALL}/{api.share_group_snapshot(group)['id']}"
    api("GET", path, who=READER)
    api("DELETE", path, status=403, who=READER)
    requests: list[tuple[str, Any]] = [
        ("GET", None),
        ("PUT", {"share_group_snapshot": {}}),
        ("DELETE", None),
    ]
    for method, body in requests:
        api(method, path, body, status=404, who=BOB)
    api("GET", f"{path}/members", status=404, who=BOB)
    body = {"share_group_snapshot": {"share_group_id": group}}
    api("POST", ALL, body, status=400, who=BOB)
    assert api("GET", ALL, who=BOB) == {"share_group_snapshots": []}
    assert api("GET", f"{ALL}?all_tenants=1", who=ADMIN)["share_group_snapshots"]
