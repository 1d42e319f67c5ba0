"""Share servers."""

from __future__ import annotations

import pytest

from tests.api.conftest import ALICE, BACKEND, UNKNOWN, Api, BackEnd

LISTED = {
    "id",
    "project_id",
    "updated_at",
    "status",
    "host",
    "share_network_name",
    "share_network_id",
}
SHOWN = LISTED | {"created_at", "backend_details"}
SINCE_49 = {"is_auto_deletable", "identifier"}
SINCE_57 = {"task_state", "source_share_server_id"}
SINCE_63 = {"security_service_update_support"}
SINCE_70 = {
    "share_network_subnet_ids",
    "network_allocation_update_support",
    "share_server_subnet_removal_support",
}
SHOWN_SINCE_70 = {"dns_name", "status_reason"}


@pytest.fixture
def server(api: Api, back_end: BackEnd) -> dict[str, str]:
    """A share with its server: share, network and server ids."""
    api.share_type()
    network = api.share_network(neutron_net_id="net-1", neutron_subnet_id="sub-1")
    share = api.share(network["id"])
    back_end.settle(share["id"])
    server_id = api("GET", f"/shares/{share['id']}")["share"]["share_server_id"]
    return {
        "id": server_id,
        "share": share["id"],
        "network": network["id"],
        "subnet": network["share_network_subnets"][0]["id"],
    }


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
    assert set(shown) == SHOWN | keys | (SHOWN_SINCE_70 if version == "2.70" else set())
    assert shown | listed == shown
    assert (shown["host"], shown["status"], shown["project_id"], shown["share_network_name"]) == (
        BACKEND,
        "active",
        "red",
        "net",
    )
    assert shown["backend_details"] == {"namespace": "abaca-1"}
    if "share_network_subnet_id" in keys:
        assert shown["share_network_subnet_id"] == server["subnet"]
    if "share_network_subnet_ids" in keys:
        assert shown["share_network_subnet_ids"] == [server["subnet"]]


def test_details(api: Api, server: dict[str, str]) -> None:
    """share_servers.details"""
    assert api("GET", f"/share-servers/{server['id']}/details") == {
        "details": {"namespace": "abaca-1"}
    }
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
    for status in (
        "manage_starting",
        "manage_error",
        "unmanage_starting",
        "unmanage_error",
        "creating",
    ):
        api("POST", f"{path}/action", {"reset_status": {"status": status}}, status=202)
        assert api("GET", path)["share_server"]["status"] == status
        api.fault("DELETE", path, None, 403)
    api("POST", f"{path}/action", {"reset_status": {"status": "active"}}, status=202)
    assert "Valid states" in api.fault(
        "POST", f"{path}/action", {"reset_status": {"status": "zzz"}}, 400
    )
    api.fault("DELETE", f"/share-servers/{UNKNOWN}", None, 404)
    api.fault(
        "POST", f"/share-servers/{UNKNOWN}/action", {"reset_status": {"status": "active"}}, 404
    )
    api.fault("DELETE", path, None, 403, who=ALICE)
    assert api("GET", path)["share_server"]["status"] == "active"
    back_end.remove(server["share"])
    assert api("DELETE", path, status=202) is None
    assert api("GET", path)["share_server"]["status"] == "deleting"
    api.fault("DELETE", path, None, 403)


@pytest.fixture
def stranger(api: Api, back_end: BackEnd) -> dict[str, str]:
    """What is asked with, for a server on the back end that Abaca does not know."""
    network = api.share_network(neutron_net_id="net-1", neutron_subnet_id="sub-1")
    return {"host": BACKEND, "share_network_id": network["id"], "identifier": "svm-7"}


def test_manage(api: Api, stranger: dict[str, str]) -> None:
    """share_servers.manage; below 2.49 it is not there."""
    path, body = (
        "/share-servers/manage",
        {"share_server": {**stranger, "driver_options": {"wait": 1}}},
    )
    api.fault("POST", path, body, 404, version="2.48")
    api.fault("POST", path, body, 403, who=ALICE)
    made = api("POST", path, body, status=202)["share_server"]
    assert set(made) == SHOWN | SINCE_49 | SINCE_57 | SINCE_63 | SINCE_70 | SHOWN_SINCE_70
    assert (made["status"], made["identifier"], made["is_auto_deletable"]) == (
        "manage_starting",
        "svm-7",
        False,
    )
    assert (made["host"], made["share_network_id"], made["project_id"]) == (
        BACKEND,
        stranger["share_network_id"],
        "red",
    )
    (subnet,) = api("GET", f"/share-networks/{stranger['share_network_id']}/subnets")[
        "share_network_subnets"
    ]
    assert made["share_network_subnet_ids"] == [subnet["id"]]
    for alike in ("svm-7", "svm_7", "my-svm-7", "vm-7"):
        assert made["id"] in api.fault(
            "POST", path, {"share_server": {**stranger, "identifier": alike}}, 400
        )
    api.fault("DELETE", f"/share-servers/{made['id']}", None, 403)


def test_a_server_that_abaca_made_is_managed_under_its_id(
    api: Api, stranger: dict[str, str]
) -> None:
    known = "6f6cbd28-9a6c-4a5c-8d2e-4a3b0f6b7b11"
    made = api(
        "POST",
        "/share-servers/manage",
        {"share_server": {**stranger, "identifier": known}},
        status=202,
        version="2.49",
    )
    assert made["share_server"]["id"] == known


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"host": None}, 400),
        ({"host": ""}, 400),
        ({"host": "invalid_host"}, 400),
        ({"host": "host1@beta"}, 400),
        ({"host": f"{BACKEND}#pool1"}, 400),
        ({"identifier": None}, 400),
        ({"identifier": 7}, 400),
        ({"share_network_id": None}, 400),
        ({"share_network_id": UNKNOWN}, 400),
        ({"share_network_subnet_id": UNKNOWN}, 400),
        ({"driver_options": 7}, 400),
    ],
)
def test_what_cannot_be_managed(
    api: Api, stranger: dict[str, str], changes: dict[str, object], status: int
) -> None:
    api.fault("POST", "/share-servers/manage", {"share_server": {**stranger, **changes}}, status)
    assert api("GET", "/share-servers") == {"share_servers": []}


def test_the_subnet_of_a_managed_server(api: Api, stranger: dict[str, str]) -> None:
    """It is named since 2.51; its zone has no other."""
    path, network = "/share-servers/manage", f"/share-networks/{stranger['share_network_id']}"
    more = {"neutron_net_id": "net-1", "neutron_subnet_id": "sub-2"}
    in_zone = api(
        "POST",
        f"{network}/subnets",
        {"share-network-subnet": {**more, "availability_zone": "nova"}},
    )["share_network_subnet"]["id"]
    named = {"share_server": {**stranger, "share_network_subnet_id": in_zone}}
    assert api("POST", path, named, status=202)["share_server"]["share_network_subnet_ids"] == [
        in_zone
    ]
    (default,) = [
        s["id"]
        for s in api("GET", f"{network}/subnets")["share_network_subnets"]
        if s["availability_zone"] is None
    ]
    other = {"share_server": {**named["share_server"], "identifier": "another"}}
    assert api("POST", path, other, status=202, version="2.50")["share_server"]["id"]
    assert api("GET", "/share-servers?identifier=another")["share_servers"][0][
        "share_network_subnet_ids"
    ] == [default]
    second = api.share_network(neutron_net_id="net-1", neutron_subnet_id="sub-1")["id"]
    for subnet in ("sub-2", "sub-3"):
        api(
            "POST",
            f"/share-networks/{second}/subnets",
            {"share-network-subnet": {**more, "neutron_subnet_id": subnet}},
        )
    told = api.fault(
        "POST",
        path,
        {"share_server": {**stranger, "share_network_id": second, "identifier": "third"}},
        400,
    )
    assert "exactly one subnet" in told and "it has 3" in told
    api(
        "POST",
        f"/share-networks/{second}/action",
        {"reset_status": {"status": "error"}},
        status=202,
    )
    api.fault(
        "POST",
        path,
        {"share_server": {**stranger, "share_network_id": second, "identifier": "third"}},
        400,
    )


def test_manage_without_a_body(api: Api, stranger: dict[str, str]) -> None:
    for body in (None, {}, {"share_server": None}):
        api.fault("POST", "/share-servers/manage", body, 422)


def test_unmanage(api: Api, server: dict[str, str], back_end: BackEnd) -> None:
    """share_servers.unmanage"""
    path = f"/share-servers/{server['id']}"
    unmanage = {"unmanage": None}
    assert "in use" in api.fault("POST", f"{path}/action", unmanage, 400)
    back_end.remove(server["share"])
    api.fault("POST", f"{path}/action", unmanage, 404, version="2.48")
    api.fault("POST", f"{path}/action", unmanage, 403, who=ALICE)
    api.fault("POST", f"/share-servers/{UNKNOWN}/action", unmanage, 404)
    api.fault("POST", f"{path}/action", {"unmanage": {"force": "perhaps"}}, 400)
    for status in (
        "manage_starting",
        "unmanage_starting",
        "creating",
        "deleting",
        "network_change",
    ):
        api("POST", f"{path}/action", {"reset_status": {"status": status}}, status=202)
        api.fault("POST", f"{path}/action", unmanage, 400)
    for status in ("active", "error", "manage_error", "unmanage_error"):
        api("POST", f"{path}/action", {"reset_status": {"status": status}}, status=202)
        assert api("POST", f"{path}/action", {"unmanage": {"force": True}}, status=202) is None
        shown = api("GET", path)["share_server"]
        assert (shown["status"], shown["is_auto_deletable"]) == ("unmanage_starting", False)
    api.fault(
        "DELETE", f"/share-networks/{server['network']}/subnets/{server['subnet']}", None, 409
    )


def test_a_server_on_several_subnets_is_not_unmanaged(api: Api, back_end: BackEnd) -> None:
    api.share_type()
    network = api.share_network(neutron_net_id="net-1", neutron_subnet_id="sub-1")
    more = {"neutron_net_id": "net-1", "neutron_subnet_id": "sub-2"}
    api("POST", f"/share-networks/{network['id']}/subnets", {"share-network-subnet": more})
    share = api.share(network["id"])["id"]
    back_end.settle(share)
    server_id = api("GET", f"/shares/{share}")["share"]["share_server_id"]
    back_end.remove(share)
    assert "several subnets" in api.fault(
        "POST", f"/share-servers/{server_id}/action", {"unmanage": None}, 400
    )


@pytest.mark.parametrize(("noun", "since"), [("server", 57), ("share", 22)])
def test_task_states_are_set_by_hand(
    api: Api, server: dict[str, str], noun: str, since: int
) -> None:
    """share_servers.reset_task_state, shares.reset_task_state"""
    resource, path = (
        {"server": "share-servers", "share": "shares"}[noun],
        {"server": "share_server", "share": "share"}[noun],
    )
    url = f"/{resource}/{server['id' if noun == 'server' else 'share']}"
    for task_state in ("migration_starting", "data_copying_in_progress", None):
        api("POST", f"{url}/action", {"reset_task_state": {"task_state": task_state}}, status=202)
        assert api("GET", url)[path]["task_state"] == task_state
    for wrong in ({"task_state": "fake_state"}, {}, {"task_state": 7}):
        api.fault("POST", f"{url}/action", {"reset_task_state": wrong}, 400)
    wanted = {"reset_task_state": {"task_state": None}}
    api.fault("POST", f"/{resource}/{UNKNOWN}/action", wanted, 404)
    api.fault("POST", f"{url}/action", wanted, 403, who=ALICE)
    api.fault("POST", f"{url}/action", wanted, 404, version=f"2.{since - 1}")
