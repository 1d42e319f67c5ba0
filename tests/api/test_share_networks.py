"""Share networks."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import ADMIN, ALICE, BOB, READER, UNKNOWN, ZONE, Api, BackEnd, new_id
from tests.api.test_statements import counted

ALWAYS = {"id", "name", "project_id", "description", "created_at", "updated_at"}
FLAT = {
    "neutron_net_id",
    "neutron_subnet_id",
    "network_type",
    "segmentation_id",
    "cidr",
    "ip_version",
}
SUBNET = {
    "id", "availability_zone", "created_at", "updated_at", "segmentation_id", "neutron_net_id",
     "neutron_subnet_id", "ip_version", "cidr",
    "network_type", "mtu", "gateway",
}  # fmt: skip


@pytest.mark.parametrize(
    ("version", "keys"),
    [
        ("2.0", FLAT | {"nova_net_id"}),
        ("2.17", FLAT | {"nova_net_id"}),
        ("2.18", FLAT | {"nova_net_id", "gateway"}),
        ("2.20", FLAT | {"nova_net_id", "gateway", "mtu"}),
        ("2.25", FLAT | {"nova_net_id", "gateway", "mtu"}),
        ("2.26", FLAT | {"gateway", "mtu"}),
        ("2.50", FLAT | {"gateway", "mtu"}),
        ("2.51", {"share_network_subnets"}),
        ("2.62", {"share_network_subnets"}),
        ("2.63", {"share_network_subnets", "status", "security_service_update_support"}),
        ("2.69", {"share_network_subnets", "status", "security_service_update_support"}),
        (
            "2.70",
            {
                "share_network_subnets",
                "status",
                "security_service_update_support",
                "network_allocation_update_support",
            },
        ),
    ],
)
def test_fields_by_version(api: Api, version: str, keys: set[str]) -> None:
    """share_networks.create, share_networks.show, share_networks.detail, share_networks.index"""
    ids = {"neutron_net_id": new_id(), "neutron_subnet_id": new_id()}
    body = {"share_network": {"name": "n", "description": "d", **ids, "unknown": "ignored"}}
    made = api("POST", "/share-networks", body, who=ALICE, version=version)
    assert list(made) == ["share_network"]
    network = made["share_network"]
    assert set(network) == ALWAYS | keys
    assert (
        network["name"],
        network["description"],
        network["project_id"],
        network["updated_at"],
    ) == ("n", "d", "red", None)
    inner = network if "cidr" in keys else network["share_network_subnets"][0]
    assert {name: inner[name] for name in ids} == ids
    if "share_network_subnets" in keys:
        assert set(inner) == SUBNET
    assert api("GET", f"/share-networks/{network['id']}", who=READER, version=version) == made
    assert api("GET", "/share-networks/detail", who=READER, version=version) == {
        "share_networks": [network]
    }
    assert api("GET", "/share-networks", who=READER, version=version) == {
        "share_networks": [{"id": network["id"], "name": "n"}]
    }


@pytest.mark.parametrize(
    ("members", "version"),
    [
        ({"neutron_net_id": "n"}, "2.70"),
        ({"neutron_subnet_id": "s"}, "2.70"),
        ({"neutron_subnet_id": "s", "neutron_net_id": None}, "2.70"),
        ({"nova_net_id": "n"}, "2.0"),
        ({"nova_net_id": "n"}, "2.70"),
        ({"availability_zone": "nowhere"}, "2.51"),
        ({"name": "x" * 256}, "2.70"),
        ({"name": 5}, "2.70"),
        ({"description": ["d"]}, "2.70"),
    ],
)
def test_bad_networks(api: Api, members: dict[str, Any], version: str) -> None:
    api.fault("POST", "/share-networks", {"share_network": members}, 400, version=version)
    assert api("GET", "/share-networks")["share_networks"] == []


def test_availability_zone_since_2_51(api: Api, back_end: BackEnd) -> None:
    made = api(
        "POST", "/share-networks", {"share_network": {"availability_zone": ZONE}}, version="2.51"
    )["share_network"]
    assert made["share_network_subnets"][0]["availability_zone"] == ZONE
    # it has no default subnet
    assert (
        api("GET", f"/share-networks/{made['id']}", version="2.50")["share_network"][
            "neutron_net_id"
        ]
        is None
    )
    api(
        "POST",
        "/share-networks",
        {"share_network": {"availability_zone": "nowhere"}},
        version="2.50",
    )


def test_update(api: Api) -> None:
    """share_networks.update"""
    network = api.share_network()
    path = f"/share-networks/{network['id']}"
    changed = api(
        "PUT",
        path,
        {"share_network": {"name": "new", "project_id": "blue", "status": "error"}},
        who=ALICE,
    )["share_network"]
    assert (changed["name"], changed["project_id"], changed["status"]) == ("new", "red", "active")
    assert changed["updated_at"] is not None
    assert (
        api("PUT", path, {"share_network": {"name": None}}, who=ALICE)["share_network"]["name"]
        is None
    )
    ids = {"neutron_net_id": new_id(), "neutron_subnet_id": new_id()}
    changed = api("PUT", path, {"share_network": ids}, who=ALICE)["share_network"][
        "share_network_subnets"
    ][0]
    assert {name: changed[name] for name in ids} == ids
    for body, status in [
        ({}, 422),
        ({"share_network": {"nova_net_id": "x"}}, 400),
        ({"share_network": {"name": 1}}, 400),
    ]:
        api.fault("PUT", path, body, status, who=ALICE)


def test_neutron_ids_stay_while_servers_stand(api: Api, back_end: BackEnd) -> None:
    api.share_type()
    network = api.share_network()
    api.share(network["id"])
    path = f"/share-networks/{network['id']}"
    api.fault(
        "PUT",
        path,
        {"share_network": {"neutron_net_id": "n", "neutron_subnet_id": "s"}},
        403,
        who=ALICE,
    )
    api("PUT", path, {"share_network": {"name": "new"}}, who=ALICE)
    api.fault("DELETE", path, None, 409, who=ALICE)


def test_delete(api: Api) -> None:
    """share_networks.delete"""
    path = f"/share-networks/{api.share_network()['id']}"
    assert api("DELETE", path, who=ALICE, status=202) is None
    api.fault("GET", path, None, 404, who=ALICE)
    api.fault("DELETE", path, None, 404, who=ALICE)


def test_reset_status(api: Api) -> None:
    """share_networks.reset_status, since 2.63."""
    path = f"/share-networks/{api.share_network()['id']}"
    for status in ("error", "network_change", "active"):
        assert (
            api("POST", f"{path}/action", {"reset_status": {"status": status}}, status=202) is None
        )
        assert api("GET", path)["share_network"]["status"] == status
    assert "active" in api.fault("POST", f"{path}/action", {"reset_status": {"status": "zzz"}}, 400)
    for arguments in ({}, None, {"status": None}, {"status": 5}, "active"):
        api.fault("POST", f"{path}/action", {"reset_status": arguments}, 400)
    api.fault("POST", f"{path}/action", {"reset_status": {"status": "error"}}, 403, who=ALICE)
    api.fault(
        "POST", f"/share-networks/{UNKNOWN}/action", {"reset_status": {"status": "error"}}, 404
    )
    api.fault("POST", f"{path}/action", {"reset_status": {"status": "error"}}, 404, version="2.62")


def test_other_projects_learn_nothing(api: Api) -> None:
    network_id = api.share_network()["id"]
    for method, body in [
        ("GET", None),
        ("PUT", {"share_network": {"name": "x"}}),
        ("DELETE", None),
    ]:
        theirs = api.fault(method, f"/share-networks/{network_id}", body, 404, who=BOB)
        unknown = api.fault(method, f"/share-networks/{UNKNOWN}", body, 404, who=BOB)
        assert (
            theirs
            == unknown.replace(UNKNOWN, network_id)
            == f"Share network {network_id} could not be found."
        )
    assert api("GET", "/share-networks", who=BOB)["share_networks"] == []


@pytest.mark.parametrize(
    ("query", "who", "found"),
    [
        ("", ALICE, {"one", "two"}),
        ("", ADMIN, set()),
        ("all_tenants=1", ADMIN, {"one", "two", "three"}),
        ("all_tenants", ADMIN, {"one", "two", "three"}),
        ("all_tenants=0", ADMIN, set()),
        # others than administrators see their own, whatever they ask for
        ("all_tenants=1", ALICE, {"one", "two"}),
        ("project_id=blue", ADMIN, {"three"}),
        ("project_id=blue", ALICE, {"one", "two"}),
        ("name=one", ALICE, {"one"}),
        ("name~=o", ALICE, {"one", "two"}),
        ("description~=rst", ALICE, {"one"}),
        ("neutron_net_id=net-1", ALICE, {"one"}),
        ("neutron_subnet_id=sub-3", ALICE, set()),
        ("created_since=2020-01-01", ALICE, {"one", "two"}),
        ("created_before=2020-01-01", ALICE, set()),
        # what tenants cannot see they cannot look for
        ("network_type=vxlan", ALICE, {"one", "two"}),
        ("all_tenants=1&network_type=vxlan", ADMIN, set()),
        ("limit=1", ALICE, {"two"}),
        ("limit=1&offset=1", ALICE, {"one"}),
    ],
)
def test_filters(api: Api, query: str, who: str, found: set[str]) -> None:
    api.share_network(
        name="one", description="the first", neutron_net_id="net-1", neutron_subnet_id="sub-1"
    )
    api.share_network(name="two", neutron_net_id="net-2", neutron_subnet_id="sub-2")
    api.share_network(BOB, name="three", neutron_net_id="net-3", neutron_subnet_id="sub-3")
    assert {
        one["name"]
        for one in api("GET", f"/share-networks/detail?{query}", who=who)["share_networks"]
    } == found
    assert {
        one["name"] for one in api("GET", f"/share-networks?{query}", who=who)["share_networks"]
    } == found


def test_names_are_listed_without_looking_at_subnets(api: Api) -> None:
    """Open pages ask for the names again and again."""
    api.share_network(name="one")
    with counted() as statements:
        (listed,) = api("GET", "/share-networks", who=ALICE)["share_networks"]
    assert listed["name"] == "one"
    assert not [one for one in statements if "share_network_subnets" in one]


def test_bad_filters(api: Api) -> None:
    for query in ("created_since=yesterday", "created_before=2020", "all_tenants=x"):
        api.fault("GET", f"/share-networks?{query}", None, 400)
    assert len(api("GET", "/share-networks?name~=x", version="2.35")["share_networks"]) == 0
    api.share_network(ADMIN, name="a")
    assert len(api("GET", "/share-networks?name~=x", version="2.35")["share_networks"]) == 1
    assert len(api("GET", "/share-networks?name~=x", version="2.36")["share_networks"]) == 0
