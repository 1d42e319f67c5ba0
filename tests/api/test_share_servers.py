"""Share servers."""

from __future__ import annotations

import pytest

from tests.api.conftest import ALICE, BACKEND, UNKNOWN, Api, BackEnd

LISTED = {"id", "project_id", "updated_at", "status", "host", "share_network_name", "share_network_id"}
SHOWN = LISTED | {"created_at", "backend_details"}
SINCE_49 = {"is_auto_deletable", "identifier"}
SINCE_57 = {"task_state", "source_share_server_id"}
SINCE_63 = {"security_service_update_support"}
SINCE_70 = {"share_network_subnet_ids", "network_allocation_update_support"}


@pytest.fixture
def server(api: Api, back_end: BackEnd) -> dict[str, str]:
    """A share with its server: share, network and server ids."""
    api.share_type()
    network = api.share_network(neutron_net_id="net-1", neutron_subnet_id="sub-1")
    share = api.share(network["id"])
    back_end.settle(share["id"])
    server_id = api("GET", f"/shares/{share['id']}")["share"]["share_server_id"]
    return {"id": server_id, "share": share["id"], "network": network["id"], "subnet": network["share_network_subnets"][0]["id"]}


@pytest.mark.parametrize(
    ("version", "keys"),
    [
        ("2.0", set()),
        ("2.48", set()),
        ("2.49", SINCE_49),
        ("2.51", SINCE_49 | {"share_network_subnet_id"}),
        ("2.57", SINCE_49 | {"share_network_subnet_id"} | SINCE_57),
        ("2.63", SINCE_49 | {"share_network_subnet_id"} | SINCE_57 | SINCE_63),
        ("2.69", SINCE_49 | {"share_network_subnet_id"} | SINCE_57 | SINCE_63),
        ("2.70", SINCE_49 | SINCE_57 | SINCE_63 | SINCE_70),
    ],
)
def test_fields_by_version(api: Api, server: dict[str, str], version: str, keys: set[str]) -> None:
    """share_servers.index, share_servers.show"""
    (listed,) = api("GET", "/share-servers", version=version)["share_servers"]
    assert set(listed) == LISTED | keys
    shown = api("GET", f"/share-servers/{server['id']}", version=version)["share_server"]
    assert set(shown) == SHOWN | keys
    assert shown | listed == shown
    assert (shown["host"], shown["status"], shown["project_id"], shown["share_network_name"]) == (BACKEND, "active", "red", "net")
    assert shown["backend_details"] == {"namespace": "abaca-1"}
    if "share_network_subnet_id" in keys:
        assert shown["share_network_subnet_id"] == server["subnet"]
    if "share_network_subnet_ids" in keys:
        assert shown["share_network_subnet_ids"] == [server["subnet"]]


def test_details(api: Api, server: dict[str, str]) -> None:
    """share_servers.details"""
    assert api("GET", f"/share-servers/{server['id']}/details") == {"details": {"namespace": "abaca-1"}}
    api.fault("GET", f"/share-servers/{UNKNOWN}/details", None, 404)
    api.fault("GET", f"/share-servers/{UNKNOWN}", None, 404)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (f"host={BACKEND}", True),
        ("host=elsewhere", False),
        ("status=active", True),
        ("status=error", False),
        ("share_network=net", True),
        ("share_network=other", False),
        ("share_network_id={network}", True),
        ("share_network_subnet_id={subnet}", True),
        ("share_network_subnet_id={network}", False),
        ("project_id=red", True),
        ("is_auto_deletable=true", True),
        ("is_auto_deletable=false", False),
        ("unknown=1", False),
        ("limit=5&all_tenants=1", True),
        ("offset=1", False),
    ],
)
def test_filters(api: Api, server: dict[str, str], query: str, found: bool) -> None:
    assert bool(api("GET", f"/share-servers?{query.format(**server)}")["share_servers"]) is found


def test_delete(api: Api, server: dict[str, str], back_end: BackEnd) -> None:
    """share_servers.delete, share_servers.reset_status"""
    path = f"/share-servers/{server['id']}"
    assert api.fault("DELETE", path, None, 409) == f"Share server {server['id']} is in use."
    for status in ("manage_starting", "manage_error", "unmanage_starting", "unmanage_error", "creating"):
        api("POST", f"{path}/action", {"reset_status": {"status": status}}, status=202)
        assert api("GET", path)["share_server"]["status"] == status
        api.fault("DELETE", path, None, 403)
    api("POST", f"{path}/action", {"reset_status": {"status": "active"}}, status=202)
    assert "Valid states" in api.fault("POST", f"{path}/action", {"reset_status": {"status": "zzz"}}, 400)
    api.fault("DELETE", f"/share-servers/{UNKNOWN}", None, 404)
    api.fault("POST", f"/share-servers/{UNKNOWN}/action", {"reset_status": {"status": "active"}}, 404)
    api.fault("DELETE", path, None, 403, who=ALICE)
    assert api("GET", path)["share_server"]["status"] == "active"
    back_end.remove(server["share"])
    assert api("DELETE", path, status=202) is None
    assert api("GET", path)["share_server"]["status"] == "deleting"
    api.fault("DELETE", path, None, 403)
