"""Managing shares over the wire: bodies, statuses, versions. What comes of it:
tests/operations/test_share_manage.py."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import ALICE, BACKEND, POOL, UNKNOWN, Api, BackEnd

PATH = "10.0.0.5:/shares/6f6cbd28-9a6c-4a5c-8d2e-4a3b0f6b7b11"


@pytest.fixture
def body(api: Api, back_end: BackEnd) -> dict[str, Any]:
    """What is asked with, for a share on a server that stands."""
    api.share_type()
    share = api.share(api.share_network()["id"])["id"]
    back_end.settle(share)
    server = api("GET", f"/shares/{share}")["share"]["share_server_id"]
    return {
        "service_host": POOL,
        "export_path": PATH,
        "protocol": "nfs",
        "share_type": "gold",
        "share_server_id": server,
        "name": "old",
    }


def test_manage(api: Api, body: dict[str, Any]) -> None:
    """shares.manage"""
    api.fault("POST", "/shares/manage", {"share": body}, 403, who=ALICE)
    api.fault("POST", "/shares/manage", {"share": body}, 404, version="2.6")
    made = api(
        "POST",
        "/shares/manage",
        {"share": {**body, "is_public": True, "description": "d", "driver_options": {"a": 1}}},
    )["share"]
    assert (made["status"], made["name"], made["description"], made["share_proto"]) == (
        "manage_starting",
        "old",
        "d",
        "NFS",
    )
    assert (made["is_public"], made["host"], made["project_id"]) == (True, POOL, "control")
    assert (
        api("GET", f"/shares/{made['id']}/instances")["share_instances"][0]["id"]
        == PATH.rpartition("/")[2]
    )
    api.fault("POST", "/shares/manage", {"share": body}, 409)
    api.fault("DELETE", f"/shares/{made['id']}", None, 403)


def test_manage_by_an_export_location(api: Api, body: dict[str, Any]) -> None:
    """As python-manilaclient's users copy it."""
    made = api(
        "POST",
        "/shares/manage",
        {"share": {**body, "export_path": {"path": PATH, "preferred": True}}},
    )["share"]
    assert made["status"] == "manage_starting"


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"service_host": None}, 422),
        ({"export_path": ""}, 422),
        ({"protocol": None}, 422),
        ({"export_path": {"id": "x"}}, 400),
        ({"export_path": "x" * 2001}, 400),
        ({"service_host": BACKEND}, 400),
        ({"service_host": "invalid_host#invalid_pool"}, 404),
        ({"service_host": f"{BACKEND}#other"}, 404),
        ({"share_type": UNKNOWN}, 404),
        ({"share_server_id": UNKNOWN}, 400),
        ({"share_server_id": None}, 400),
    ],
)
def test_what_cannot_be_managed(
    api: Api, body: dict[str, Any], changes: dict[str, Any], status: int
) -> None:
    api.fault("POST", "/shares/manage", {"share": {**body, **changes}}, status)
    assert len(api("GET", "/shares?all_tenants=1")["shares"]) == 1


def test_manage_without_share_server(api: Api, back_end: BackEnd, body: dict[str, Any]) -> None:
    """On a back end that has none: also below 2.49, and with no server named."""
    back_end.arrive("host1@plain", driver_handles_share_servers=False)
    api.share_type("plain", driver_handles_share_servers="False")
    there = {"service_host": "host1@plain#pool1", "share_type": "plain"}
    plain = {name: value for name, value in body.items() if name != "share_server_id"} | there
    path = "/shares/manage"
    api.fault("POST", path, {"share": {**body, **there}}, 409)
    api.fault("POST", path, {"share": {**plain, "share_type": "gold"}}, 400)
    api.fault("POST", path, {"share": {**plain, "service_host": POOL}}, 400)
    made = api("POST", path, {"share": plain}, version="2.48")["share"]
    assert made["status"] == "manage_starting" and made["host"] == "host1@plain#pool1"
    assert (made["share_network_id"], made["share_server_id"]) == (None, None)
    back_end.settle(made["id"])
    api("POST", f"/shares/{made['id']}/action", {"unmanage": None}, status=202, version="2.48")
    assert api("GET", f"/shares/{made['id']}")["share"]["status"] == "unmanage_starting"
    old = {"share": {**plain, "export_path": f"{PATH}b"}}
    assert api("POST", "/os-share-manage", old, version="2.6")["share"]["status"] == (
        "manage_starting"
    )


def test_old_names_and_versions(api: Api, body: dict[str, Any]) -> None:
    """Up to 2.6 the URLs are others; below 2.49 no share server can be named, so that no share on
    one is managed or let go."""
    api.fault("POST", "/os-share-manage", {"share": body}, 400, version="2.6")
    api.fault("POST", "/shares/manage", {"share": body}, 400, version="2.48")
    api.fault("POST", "/os-share-manage", {"share": body}, 404)
    (share,) = [each["id"] for each in api("GET", "/shares?all_tenants=1")["shares"]]
    api.fault("POST", f"/os-share-unmanage/{share}/unmanage", None, 403, version="2.6")
    api.fault("POST", f"/shares/{share}/action", {"unmanage": None}, 403, version="2.48")
    api.fault("POST", "/shares/manage", None, 422)


def test_unmanage(api: Api, body: dict[str, Any]) -> None:
    """shares.unmanage"""
    (share,) = [each["id"] for each in api("GET", "/shares?all_tenants=1")["shares"]]
    action = f"/shares/{share}/action"
    api.fault("POST", action, {"unmanage": None}, 403, who=ALICE)
    api.fault("POST", f"/shares/{UNKNOWN}/action", {"unmanage": None}, 404)
    network = api("GET", f"/shares/{share}")["share"]["share_network_id"]
    api(
        "POST",
        f"/share-networks/{network}/action",
        {"reset_status": {"status": "network_change"}},
        status=202,
    )
    api.fault("POST", action, {"unmanage": {}}, 400)
    api(
        "POST",
        f"/share-networks/{network}/action",
        {"reset_status": {"status": "active"}},
        status=202,
    )
    assert api("POST", action, {"unmanage": {}}, status=202) is None
    assert api("GET", f"/shares/{share}")["share"]["status"] == "unmanage_starting"
    assert (
        api("GET", f"/share-servers/{body['share_server_id']}")["share_server"]["is_auto_deletable"]
        is False
    )
    api.fault("POST", action, {"unmanage": {}}, 403)
