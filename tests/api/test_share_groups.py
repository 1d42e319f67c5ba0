"""Share groups, and shares in them, as projects ask for them."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from abaca.db.session import begin
from abaca.db.tables import messages, pools
from tests.api.conftest import ADMIN, ALICE, BOB, POOL, READER, UNKNOWN, Api, BackEnd

OLD = "2.54"  # the last at which groups are experimental


@pytest.fixture
def offer(api: Api, back_end: BackEnd) -> dict[str, str]:
    """What a group is made of: a share network, a share type and a group type with it."""
    share_type = api.share_type()
    body = {"share_group_type": {"name": "pair", "share_types": [share_type]}}
    group_type = api("POST", "/share-group-types", body)["share_group_type"]["id"]
    network = str(api.share_network()["id"])
    return {"network": network, "share_type": share_type, "group_type": group_type}


def make(api: Api, offer: dict[str, str], *, status: int = 202, **more: Any) -> Any:
    wanted = {
        "share_group_type_id": offer["group_type"],
        "share_types": [offer["share_type"]],
        "share_network_id": offer["network"],
        **more,
    }
    body = {"share_group": {name: value for name, value in wanted.items() if value is not None}}
    answer = api("POST", "/share-groups", body, status=status, who=ALICE)
    return answer["share_group"] if status == 202 else answer


def share_in(
    api: Api, offer: dict[str, str], group_id: str, *, status: int = 200, **more: Any
) -> Any:
    body = {
        "share": {
            "share_proto": "NFS",
            "size": 1,
            "share_type": offer["share_type"],
            "share_network_id": offer["network"],
            "share_group_id": group_id,
            **more,
        }
    }
    return api("POST", "/shares", body, status=status, who=ALICE)


def test_a_group_is_placed_on_a_pool_with_a_server(api: Api, offer: dict[str, str]) -> None:
    made = make(api, offer, name="pair", description="two")
    assert made["status"] == "creating"
    assert made["host"] == POOL
    assert made["availability_zone"] == "nova"
    assert made["share_types"] == [offer["share_type"]]
    assert made["consistent_snapshot_support"] is None
    assert made["source_share_group_snapshot_id"] is None
    assert "share_server_id" not in made
    shown = api("GET", f"/share-groups/{made['id']}")["share_group"]
    assert shown["share_server_id"]
    used = api("GET", "/limits", who=ALICE)["limits"]["absolute"]["totalShareGroupsUsed"]
    assert used == 1


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"share_types": [UNKNOWN]}, 400),
        ({"share_group_type_id": UNKNOWN}, 404),
        ({"share_network_id": None}, 400),
        ({"share_network_id": UNKNOWN}, 400),
        ({"availability_zone": "nowhere"}, 404),
        ({"nam": "g"}, 400),
        ({"share_types": "gold"}, 400),
    ],
)
def test_what_cannot_be_is_refused(
    api: Api, offer: dict[str, str], more: dict[str, Any], status: int
) -> None:
    make(api, offer, status=status, **more)
    assert api("GET", "/share-groups", who=ALICE) == {"share_groups": []}
    assert api("GET", "/limits", who=ALICE)["limits"]["absolute"]["totalShareGroupsUsed"] == 0


def test_the_zone_is_that_asked_for_also_where_it_is_not_shown_yet(
    api: Api, offer: dict[str, str]
) -> None:
    wanted = {
        "share_group_type_id": offer["group_type"],
        "share_types": [offer["share_type"]],
        "share_network_id": offer["network"],
    }
    for zone, status in (("nova", 202), ("nowhere", 404)):
        body = {"share_group": {**wanted, "availability_zone": zone}}
        api("POST", "/share-groups", body, status=status, version="2.31", who=ALICE)


def test_types_outside_of_the_group_type_are_refused(api: Api, offer: dict[str, str]) -> None:
    other = api.share_type("tin")
    answer = make(api, offer, status=400, share_types=[offer["share_type"], other])
    assert "subset" in answer["badRequest"]["message"]


def test_without_a_fitting_pool_the_group_is_in_error_and_says_why(
    api: Api, offer: dict[str, str], engine: Engine
) -> None:
    path = f"/share-group-types/{offer['group_type']}/group-specs"
    api("POST", path, {"group_specs": {"consistent_snapshot_support": "host"}})
    made = make(api, offer)
    assert (made["status"], made["host"]) == ("error", None)
    with begin(engine) as conn:
        (text,) = conn.scalars(
            sa.select(messages.c.user_message).where(messages.c.resource_id == made["id"])
        )
    assert "consistent_snapshot_support=host" in text
    assert POOL not in text
    api("DELETE", f"/share-groups/{made['id']}", status=202, who=ALICE)


def test_a_group_on_several_subnets_needs_a_back_end_for_them(
    api: Api, offer: dict[str, str], engine: Engine
) -> None:
    """As a share does: the rule holds for groups, too, which upstream forgets."""
    with begin(engine) as conn:
        for pool in conn.execute(sa.select(pools)).all():
            lacking = pool.stats["capabilities"] | {"share_server_multiple_subnet_support": False}
            conn.execute(sa.update(pools).values(stats=pool.stats | {"capabilities": lacking}))
    assert make(api, offer)["host"] == POOL
    subnet: dict[str, Any] = {"share-network-subnet": {}}
    other = api.share_network()["id"]
    api("POST", f"/share-networks/{other}/subnets", subnet, who=ALICE)
    made = make(api, offer, share_network_id=other)
    assert (made["status"], made["host"]) == ("error", None)
    (message,) = api("GET", "/messages", who=ALICE)["messages"]
    assert (message["resource_type"], message["resource_id"]) == ("SHARE_GROUP", made["id"])
    assert "share_server_multiple_subnet_support=True" in message["user_message"]


def test_while_a_network_changes_it_takes_neither_groups_nor_shares_in_them(
    api: Api, offer: dict[str, str], back_end: BackEnd
) -> None:
    group = make(api, offer)["id"]
    back_end.settle_group(group)
    change = {"reset_status": {"status": "network_change"}}
    api("POST", f"/share-networks/{offer['network']}/action", change, status=202)
    make(api, offer, status=400)
    share_in(api, offer, group, status=400)


def test_quota(api: Api, offer: dict[str, str]) -> None:
    api("PUT", "/quota-sets/red", {"quota_set": {"share_groups": 1}})
    make(api, offer)
    make(api, offer, status=413)


def test_a_member_is_where_its_group_is(api: Api, offer: dict[str, str], back_end: BackEnd) -> None:
    group = make(api, offer)
    share_in(api, offer, group["id"], status=400)  # the group is not available yet
    back_end.settle_group(group["id"])
    share = share_in(api, offer, group["id"])["share"]
    assert share["share_group_id"] == group["id"]
    shown = api("GET", f"/shares/{share['id']}")["share"]
    server = api("GET", f"/share-groups/{group['id']}")["share_group"]["share_server_id"]
    assert (shown["host"], shown["share_server_id"]) == (POOL, server)
    found = api("GET", f"/shares?share_group_id={group['id']}", who=ALICE)["shares"]
    assert [each["id"] for each in found] == [share["id"]]


def test_a_member_must_fit_its_group(api: Api, offer: dict[str, str], back_end: BackEnd) -> None:
    group = make(api, offer)["id"]
    back_end.settle_group(group)
    share_in(api, offer, group, status=400, share_network_id=None)
    share_in(api, offer, UNKNOWN, status=404)
    other = api.share_type("tin")
    share_in(api, offer, group, status=400, share_type=other)


def test_a_member_is_deleted_by_naming_its_group(
    api: Api, offer: dict[str, str], back_end: BackEnd
) -> None:
    group = make(api, offer)["id"]
    back_end.settle_group(group)
    share = share_in(api, offer, group)["share"]["id"]
    api("POST", f"/shares/{share}/action", {"reset_status": {"status": "available"}}, status=202)
    api("DELETE", f"/shares/{share}", status=400, who=ALICE)
    api("DELETE", f"/shares/{share}?share_group_id={UNKNOWN}", status=400, who=ALICE)
    api("POST", f"/shares/{share}/action", {"soft_delete": None}, status=403, who=ALICE)
    api("POST", f"/shares/{share}/action", {"unmanage": None}, status=403)
    api("DELETE", f"/share-groups/{group}", status=409, who=ALICE)
    api("POST", f"/share-groups/{group}/action", {"force_delete": None}, status=409)
    api("DELETE", f"/shares/{share}?share_group_id={group}", status=202, who=ALICE)


def test_a_group_holds_its_network_and_its_server(
    api: Api, offer: dict[str, str], back_end: BackEnd
) -> None:
    group = make(api, offer)["id"]
    back_end.settle_group(group)
    server = api("GET", f"/share-groups/{group}")["share_group"]["share_server_id"]
    api("DELETE", f"/share-networks/{offer['network']}", status=409, who=ALICE)
    api("DELETE", f"/share-servers/{server}", status=409)
    api("DELETE", f"/share-groups/{group}", status=202, who=ALICE)
    api("GET", f"/share-groups/{group}", status=404, who=ALICE)
    assert api("GET", "/limits", who=ALICE)["limits"]["absolute"]["totalShareGroupsUsed"] == 0
    api("DELETE", f"/share-networks/{offer['network']}", status=202, who=ALICE)


def test_types_stay_while_a_group_is_of_them(api: Api, offer: dict[str, str]) -> None:
    group = make(api, offer)["id"]
    path = f"/share-group-types/{offer['group_type']}"
    told = api.fault("DELETE", path, None, 400)
    assert told.endswith("is still in use: share groups of it are present.")
    api.fault("DELETE", f"/types/{offer['share_type']}", None, 400)
    api("POST", f"/share-groups/{group}/action", {"force_delete": None}, status=202)
    api("DELETE", path, status=204)
    api("DELETE", f"/types/{offer['share_type']}", status=202)


def test_a_group_is_renamed_and_found(api: Api, offer: dict[str, str]) -> None:
    group = make(api, offer, name="first")["id"]
    body = {"share_group": {"name": "second", "description": "d"}}
    changed = api("PUT", f"/share-groups/{group}", body, who=ALICE)["share_group"]
    assert (changed["name"], changed["description"]) == ("second", "d")
    api(
        "PUT", f"/share-groups/{group}", {"share_group": {"status": "error"}}, status=400, who=ALICE
    )
    for query in ("name=second", "name~=eco", "status=creating", f"host={POOL}"):
        (found,) = api("GET", f"/share-groups/detail?{query}", who=ALICE)["share_groups"]
        assert found["id"] == group
    assert api("GET", "/share-groups?name=first", who=ALICE) == {"share_groups": []}


def test_fields_by_version(api: Api, offer: dict[str, str]) -> None:
    group = make(api, offer)["id"]
    old = api("GET", f"/share-groups/{group}", version="2.33", who=ALICE)["share_group"]
    assert not {"availability_zone", "consistent_snapshot_support"} & old.keys()
    api("GET", f"/share-groups/{group}", version="2.30", status=404, who=ALICE)
    api("GET", f"/share-groups/{group}", version=OLD, who=ALICE, experimental=False, status=404)
    api("GET", f"/share-groups/{group}", version="2.55", who=ALICE, experimental=False)


def test_a_status_is_set_by_hand(api: Api, offer: dict[str, str]) -> None:
    path = f"/share-groups/{make(api, offer)['id']}"
    api("POST", f"{path}/action", {"reset_status": {"status": "error"}}, status=403, who=ALICE)
    api("POST", f"{path}/action", {"reset_status": {"status": "odd"}}, status=400)
    api("DELETE", path, status=409, who=ALICE)  # still creating
    api("POST", f"{path}/action", {"reset_status": {"status": "error"}}, status=202)
    assert api("GET", path)["share_group"]["status"] == "error"
    api("POST", f"{path}/action", {"force_delete": None}, status=202)


def test_shares_of_another_project_do_not_come_into_a_group(
    api: Api, offer: dict[str, str], back_end: BackEnd
) -> None:
    group = make(api, offer)["id"]
    back_end.settle_group(group)
    body = {"share_proto": "NFS", "size": 1, "share_type": "gold", "share_group_id": group}
    for who in (BOB, "root:control:admin"):
        told = api.fault("POST", "/shares", {"share": body}, 404, who=who)
        assert told == f"Share group {group} could not be found."


def test_others_see_nothing_of_a_group(api: Api, offer: dict[str, str]) -> None:
    path = f"/share-groups/{make(api, offer)['id']}"
    api("GET", path, who=READER)
    api("DELETE", path, status=403, who=READER)
    for method, body in (("GET", None), ("PUT", {"share_group": {}}), ("DELETE", None)):
        api(method, path, body, status=404, who=BOB)
    assert api("GET", "/share-groups?all_tenants=1", who=ADMIN)["share_groups"]
    assert api("GET", "/share-groups", who=BOB) == {"share_groups": []}
