"""Share groups made from snapshots of groups, as projects ask for them. What the back end does:
`operations`."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from abaca.db.session import begin
from abaca.db.tables import pools, share_networks, shares
from tests.api.conftest import ADMIN, ALICE, BOB, UNKNOWN, Api, BackEnd

ALL = "/share-groups"


@pytest.fixture
def source(api: Api, back_end: BackEnd, engine: Engine) -> dict[str, str]:
    """A group with two shares, of 1 and 2 GiB, and an available snapshot of it."""
    api.share_type()
    network = api.share_network()["id"]
    group = api.share_group(network)
    back_end.settle_group(group["id"])
    for size in (1, 2):
        back_end.settle(api.share(network, size=size, share_group_id=group["id"])["id"])
    support(engine, True)
    snapshot = str(api.share_group_snapshot(group["id"])["id"])
    back_end.settle_group_snapshot(snapshot)
    return {
        "network": network,
        "group": group["id"],
        "type": group["share_group_type_id"],
        "snapshot": snapshot,
    }


def support(engine: Engine, copies: bool) -> None:
    """Of all shares there are snapshots; shares are made from these, or not."""
    with begin(engine) as conn:
        values = {"snapshot_support": True, "create_share_from_snapshot_support": copies}
        conn.execute(sa.update(shares).values(values))


def body(source: dict[str, str], **more: Any) -> dict[str, Any]:
    asked = {
        "share_group_type_id": source["type"],
        "source_share_group_snapshot_id": source["snapshot"],
    }
    return {"share_group": asked | more}


def used(api: Api) -> tuple[int, int, int]:
    """Groups, shares and GiB that are counted."""
    limits = api("GET", "/limits", who=ALICE)["limits"]["absolute"]
    return (
        limits["totalShareGroupsUsed"],
        limits["totalSharesUsed"],
        limits["totalShareGigabytesUsed"],
    )


def claimed(api: Api) -> float:
    """GiB of all pools."""
    found = api("GET", "/scheduler-stats/pools/detail")["pools"]
    return sum(float(pool["capabilities"]["allocated_capacity_gb"]) for pool in found)


def refused(api: Api, source: dict[str, str], status: int, **more: Any) -> str:
    before = used(api), claimed(api)
    told = str(api.fault("POST", ALL, body(source, **more), status, who=ALICE))
    assert (used(api), claimed(api)) == before
    return told


def test_a_share_from_each_member_where_the_group_is(
    api: Api, source: dict[str, str], back_end: BackEnd, engine: Engine
) -> None:
    room = claimed(api)
    new = body(source, name="copy", description="d")
    made = api("POST", ALL, new, who=ALICE, status=202)["share_group"]
    assert (made["status"], made["name"]) == ("creating", "copy")
    assert made["source_share_group_snapshot_id"] == source["snapshot"]
    assert made["share_network_id"] == source["network"]
    old = api("GET", f"{ALL}/{source['group']}")["share_group"]
    for inherited in ("host", "share_server_id", "share_types", "availability_zone"):
        assert api("GET", f"{ALL}/{made['id']}")["share_group"][inherited] == old[inherited]
    assert used(api) == (2, 4, 6)
    assert claimed(api) == room + 3
    found = api("GET", f"/shares/detail?share_group_id={made['id']}", who=ALICE)["shares"]
    assert [share["status"] for share in found] == ["creating"] * 2
    members = api("GET", f"/share-group-snapshots/{source['snapshot']}", who=ALICE)[
        "share_group_snapshot"
    ]["members"]
    assert {share["source_share_group_snapshot_member_id"]: share["size"] for share in found} == {
        member["id"]: member["size"] for member in members
    }
    assert [share["snapshot_id"] for share in found] == [None, None]
    back_end.settle_group(made["id"])
    found = api("GET", f"/shares/detail?share_group_id={made['id']}", who=ALICE)["shares"]
    assert [share["status"] for share in found] == ["available"] * 2


def test_a_source_stays_while_a_group_is_made_from_it(
    api: Api, source: dict[str, str], back_end: BackEnd
) -> None:
    made = api("POST", ALL, body(source), who=ALICE, status=202)["share_group"]["id"]
    path = f"/share-group-snapshots/{source['snapshot']}"
    assert made in api.fault("DELETE", path, None, 409, who=ALICE)
    back_end.settle_group(made)
    api("DELETE", path, status=202, who=ALICE)
    back_end.remove_group_snapshot(source["snapshot"])
    shown = api("GET", f"{ALL}/{made}", who=ALICE)["share_group"]
    assert shown["source_share_group_snapshot_id"] == source["snapshot"]


@pytest.mark.parametrize(
    "inherited",
    [{"share_types": [UNKNOWN]}, {"share_network_id": UNKNOWN}, {"availability_zone": "nova"}],
    ids=lambda inherited: next(iter(inherited)),
)
def test_what_is_inherited_cannot_be_asked_for(
    api: Api, source: dict[str, str], inherited: dict[str, Any]
) -> None:
    told = refused(api, source, 400, **inherited)
    assert f"Cannot supply both '{next(iter(inherited))}'" in told


def test_what_cannot_be_is_refused_and_counts_nothing(
    api: Api, source: dict[str, str], engine: Engine, back_end: BackEnd
) -> None:
    refused(api, source, 400, source_share_group_snapshot_id=UNKNOWN)
    refused(api, source, 404, share_group_type_id=UNKNOWN)
    api.share_type("other")
    other = {"name": "other", "share_types": ["other"]}
    other_type = api("POST", "/share-group-types", {"share_group_type": other})["share_group_type"]
    assert "must be a subset" in refused(api, source, 400, share_group_type_id=other_type["id"])
    support(engine, False)
    assert "create_share_from_snapshot_support" in refused(api, source, 400)
    support(engine, True)
    with begin(engine) as conn:
        conn.execute(sa.update(share_networks).values(status="network_change"))
    refused(api, source, 400)
    with begin(engine) as conn:
        conn.execute(sa.update(share_networks).values(status="active"))
    action = f"/share-group-snapshots/{source['snapshot']}/action"
    api("POST", action, {"reset_status": {"status": "error"}}, status=202)
    assert "must be available, it is error" in refused(api, source, 409)


@pytest.mark.parametrize(
    "limit",
    [{"share_groups": 1}, {"shares": 3}, {"gigabytes": 5}, {"per_share_gigabytes": 1}],
    ids=lambda limit: next(iter(limit)),
)
def test_quotas(api: Api, source: dict[str, str], limit: dict[str, int]) -> None:
    api("PUT", "/quota-sets/red", {"quota_set": limit})
    refused(api, source, 413)


def test_without_room_there_is_a_group_in_error_and_no_share(
    api: Api, source: dict[str, str], engine: Engine
) -> None:
    with begin(engine) as conn:
        conn.execute(sa.update(pools).values(allocated_capacity_gb=1000))
    made = api("POST", ALL, body(source), who=ALICE, status=202)["share_group"]
    assert api("GET", f"{ALL}/{made['id']}", who=ALICE)["share_group"]["status"] == "error"
    assert used(api) == (2, 2, 3)
    assert claimed(api) == 1000
    (message,) = api("GET", f"/messages?resource_id={made['id']}", who=ALICE)["messages"]
    assert message["resource_type"] == "SHARE_GROUP"
    api("DELETE", f"{ALL}/{made['id']}", status=202, who=ALICE)
    assert used(api) == (1, 2, 3)


def test_nobody_makes_one_from_another_projects(api: Api, source: dict[str, str]) -> None:
    """Not even an administrator: the shares would be on that project's share server."""
    for who in (BOB, ADMIN):
        told = api.fault("POST", ALL, body(source), 400, who=who)
        assert "could not be found" in told
