"""What gophercloud's acceptance suite of the shared file systems asks for, in its order, at its
microversions and with its statuses.

That suite can be run as it is, but for a share network that it does not name
(`docs/reference/compatibility.md`); this one needs no Go.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest

from tests.clients.gophercloud import LAST_OFFSET, Gophercloud, pages

pytestmark = [
    pytest.mark.sampled_file(8),
    pytest.mark.slow("a real Keystone, and the service behind it"),
    pytest.mark.timeout(300),
]

NOBODY = "9e3a5a44e0134445867776ef53a37605"  # a project that need not be there
UNKNOWN = "11111111-2222-4333-8444-555555555555"


@pytest.fixture
def admin(administrator: Gophercloud) -> Gophercloud:
    """Its own user, who is the administrator, without a microversion."""
    return administrator


@pytest.fixture(scope="module")
def network(administrator: Gophercloud) -> str:
    """The share network of its shares; it is on the shared subnet."""
    made = administrator(
        "POST", "/share-networks", {"share_network": {"name": "acceptance"}}, 200, 202
    )
    return str(made["share_network"]["id"])


@contextmanager
def a_share(client: Gophercloud, network: str, **more: Any) -> Iterator[dict[str, Any]]:
    """A public share, as CreateShare makes one and DeleteShare takes it away again: until it is not
    found."""
    wanted = {"size": 1, "name": "My Test Share", "description": "My Test Description",
     "share_proto": "NFS", "share_type": "snapshots",
              "is_public": True, "share_network_id": network, **more}  # fmt: skip
    made = client("POST", "/shares", {"share": wanted}, 200, 201)["share"]
    assert (made["name"], made["description"], made["share_proto"], made["size"]) == (
        wanted["name"],
        wanted["description"],
        "NFS",
        wanted["size"],
    )
    path = f"/shares/{made['id']}"
    yield client.until(path, "share", "available", "creating")
    if client.tried("GET", path)[0] != 404:
        client("DELETE", path)
        client.until_gone(path)


@contextmanager
def a_snapshot(client: Gophercloud, share: str) -> Iterator[dict[str, Any]]:
    wanted = {"share_id": share, "name": "My Test Snapshot", "description": "My Test Description"}
    made = client("POST", "/snapshots", {"snapshot": wanted}, 200, 201, 202)["snapshot"]
    assert {name: made[name] for name in wanted} == wanted
    path = f"/snapshots/{made['id']}"
    yield client.until(path, "snapshot", "available", "creating")
    if client.tried("GET", path)[0] != 404:
        client("DELETE", path)
        client.until_gone(path)


@contextmanager
def a_share_type(client: Gophercloud) -> Iterator[str]:
    """A private one: the only name of `is_public` that it sends is the old one, at every
    version."""
    wanted = {
        "name": f"ACPTTEST{uuid4().hex}",
        "extra_specs": {"driver_handles_share_servers": True},
        "os-share-type-access:is_public": False,
    }
    made = client("POST", "/types", {"share_type": wanted}, 200, 202)["share_type"]
    assert (
        made.get("os-share-type-access:is_public", made.get("share_type_access:is_public")) is False
    )
    yield made["id"]
    client("DELETE", f"/types/{made['id']}")


@contextmanager
def a_security_service(client: Gophercloud) -> Iterator[str]:
    wanted = {"name": f"ACPTTEST{uuid4().hex}", "description": "ACPTTEST-DESC", "type": "kerberos"}
    made = client("POST", "/security-services", {"security_service": wanted}, 200)[
        "security_service"
    ]
    assert {name: made[name] for name in wanted} == wanted
    yield made["id"]
    client("DELETE", f"/security-services/{made['id']}")


@contextmanager
def a_share_network(client: Gophercloud) -> Iterator[dict[str, Any]]:
    """On ids that stand for nothing: they are looked up later."""
    wanted = {
        "name": f"ACPTTEST{uuid4().hex}",
        "description": "This is a shared network",
        "neutron_net_id": "net",
        "neutron_subnet_id": "subnet",
    }
    made: dict[str, Any] = client("POST", "/share-networks", {"share_network": wanted}, 200, 202)[
        "share_network"
    ]
    assert {name: made[name] for name in wanted} == wanted, "flat, as below 2.51"
    yield made
    client("DELETE", f"/share-networks/{made['id']}")
    client.until_gone(f"/share-networks/{made['id']}")


def test_its_version_zones_services_and_pools(admin: Gophercloud) -> None:
    (version,) = admin("GET", "/")["versions"]
    assert (version["id"], version["status"]) == ("v2.0", "CURRENT")
    assert admin("GET", "/os-availability-zone")["availability_zones"]
    services = admin.at("2.7")("GET", "/services")["services"]
    assert {service["binary"] for service in services} == {"manila-share"}
    pools = admin.at("2.23")("GET", "/scheduler-stats/pools")["pools"]
    assert all({"name", "backend", "pool", "host"} <= set(pool) for pool in pools) and pools


def test_security_services(admin: Gophercloud) -> None:
    with a_security_service(admin) as one, a_security_service(admin) as other:
        name = admin("GET", f"/security-services/{one}")["security_service"]["name"]
        everything = [
            found["id"] for found in admin("GET", "/security-services/detail")["security_services"]
        ]
        assert {one, other} <= set(everything)
        assert [
            found["id"]
            for found in admin("GET", f"/security-services/detail?name={name}")["security_services"]
        ] == [one]
        change = {"name": "NewName", "description": "", "type": "ldap"}
        admin("PUT", f"/security-services/{one}", {"security_service": change}, 200)
        changed = admin("GET", f"/security-services/{one}")["security_service"]
        assert {name: changed[name] for name in change} == change


def test_share_networks(admin: Gophercloud) -> None:
    with a_share_network(admin) as one, a_share_network(admin) as other:
        before = admin("GET", f"/share-networks/{one['id']}")["share_network"]
        change = {"name": "NewName", "description": ""}
        admin("PUT", f"/share-networks/{one['id']}", {"share_network": change}, 200)
        after = admin("GET", f"/share-networks/{one['id']}")["share_network"]
        assert after | {"updated_at": None} == before | change | {"updated_at": None}
        found = admin("GET", f"/share-networks/detail?name={other['name']}")["share_networks"]
        assert [each["id"] for each in found] == [other["id"]]
        # Without a limit it asks once more, behind all there can be.
        assert admin(
            "GET", f"/share-networks/detail?name={other['name']}&offset={LAST_OFFSET}"
        ) == {"share_networks": []}
        counted = pages(admin, "/share-networks/detail", "share_networks", 1)
        everything = [
            each["id"] for each in admin("GET", "/share-networks/detail")["share_networks"]
        ]
        assert [each["id"] for page in counted for each in page] == everything and len(counted) >= 2


def test_a_security_service_comes_to_a_share_network_and_leaves_it(admin: Gophercloud) -> None:
    with a_security_service(admin) as service, a_share_network(admin) as network:
        path = f"/share-networks/{network['id']}/action"
        for verb in ("add_security_service", "remove_security_service"):
            changed = admin("POST", path, {verb: {"security_service_id": service}}, 200)
            assert changed["share_network"]["id"] == network["id"]


def test_share_types(admin: Gophercloud) -> None:
    newer = admin.at("2.50")
    with a_share_type(newer) as private:
        name = f"ACPTTEST{uuid4().hex}"
        change = {
            "name": name,
            "description": "my new share type description",
            "share_type_access:is_public": True,
        }
        newer("PUT", f"/types/{private}", {"share_type": change}, 200)
        changed = newer("GET", f"/types/{private}")["share_type"]
        assert {name: changed[name] for name in change} == change
        assert private in [found["id"] for found in admin("GET", "/types")["share_types"]]
    assert admin("GET", "/types/default")["share_type"]["name"] == "default"


def test_extra_specs_of_a_share_type(admin: Gophercloud) -> None:
    with a_share_type(admin) as share_type:
        path = f"/types/{share_type}/extra_specs"
        admin("POST", path, {"extra_specs": {"my_new_key": "my_value"}}, 200, 202)
        specs = admin("GET", path)["extra_specs"]
        assert (specs["driver_handles_share_servers"], specs["my_new_key"]) == ("True", "my_value")
        admin("DELETE", f"{path}/my_new_key")
        assert "my_new_key" not in admin("GET", path)["extra_specs"]


def test_who_may_use_a_share_type(admin: Gophercloud) -> None:
    """All at 2.0, where it asks for the list by the name that came with 2.7."""
    with a_share_type(admin) as private:
        path = f"/types/{private}/share_type_access"
        admin(
            "POST", f"/types/{private}/action", {"addProjectAccess": {"project": NOBODY}}, 200, 202
        )
        assert admin("GET", path)["share_type_access"] == [
            {"share_type_id": private, "project_id": NOBODY}
        ]
        admin(
            "POST",
            f"/types/{private}/action",
            {"removeProjectAccess": {"project": NOBODY}},
            200,
            202,
        )
        assert admin("GET", path)["share_type_access"] == []


def test_a_share_is_made_changed_and_listed(admin: Gophercloud, network: str) -> None:
    with a_share(admin, network) as share:
        (location,) = admin.at("2.9")("GET", f"/shares/{share['id']}/export_locations")[
            "export_locations"
        ]
        shown = admin.at("2.9")("GET", f"/shares/{share['id']}/export_locations/{location['id']}")[
            "export_location"
        ]
        assert shown["path"] == location["path"]
        change = {"display_name": "NewName", "display_description": "", "is_public": False}
        admin("PUT", f"/shares/{share['id']}", {"share": change}, 200)
        changed = admin("GET", f"/shares/{share['id']}")["share"]
        assert (changed["name"], changed["description"], changed["is_public"]) == (
            "NewName",
            "",
            False,
        )
        assert share["id"] in [found["id"] for found in admin("GET", "/shares/detail")["shares"]]


def test_access_rules_at_2_49_and_2_7(admin: Gophercloud, network: str) -> None:
    rule = {"access_type": "ip", "access_to": "0.0.0.0/32", "access_level": "ro"}
    with a_share(admin.at("2.49"), network) as share:
        path = f"/shares/{share['id']}/action"
        made = admin.at("2.49")("POST", path, {"allow_access": rule}, 200)["access"]
        listed = admin.at("2.49")("GET", f"/share-access-rules?share_id={share['id']}")[
            "access_list"
        ]
        assert [each["id"] for each in listed] == [made["id"]]
        shown = admin.at("2.49").until(
            f"/share-access-rules/{made['id']}",
            "access",
            "active",
            "queued_to_apply",
            "applying",
            "error",
        )
        assert {name: shown[name] for name in rule} == rule
        admin.at("2.49")("POST", path, {"deny_access": {"access_id": made["id"]}}, 200, 202)
        older = admin.at("2.7")(
            "POST", path, {"allow_access": rule | {"access_to": "10.0.0.0/24"}}, 200
        )["access"]
        listed = admin.at("2.7")("POST", path, {"access_list": None}, 200)["access_list"]
        assert older["id"] in [each["id"] for each in listed]


def test_a_share_grows_shrinks_and_has_metadata(admin: Gophercloud, network: str) -> None:
    client = admin.at("2.7")
    with a_share(client, network) as share:
        path = f"/shares/{share['id']}"
        for verb, meanwhile, size in (("extend", "extending", 2), ("shrink", "shrinking", 1)):
            client("POST", f"{path}/action", {verb: {"new_size": size}}, 202)
            assert client.until(path, "share", "available", meanwhile)["size"] == size
        for value in ("value1", "value2"):
            assert client("POST", f"{path}/metadata", {"metadata": {"key": value}}, 200) == {
                "metadata": {"key": value}
            }
        assert client("GET", f"{path}/metadata/key") == {"meta": {"key": "value2"}}
        client("DELETE", f"{path}/metadata/key", None, 200)
        assert client("GET", f"{path}/metadata") == {"metadata": {}}


def test_an_administrator_sets_a_status_and_deletes_by_force(
    admin: Gophercloud, network: str
) -> None:
    client = admin.at("2.7")
    with a_share(client, network) as share:
        path = f"/shares/{share['id']}"
        client("POST", f"{path}/action", {"reset_status": {"status": "error"}}, 202)
        assert client("GET", path)["share"]["status"] == "error"
        client("POST", f"{path}/action", {"force_delete": None}, 202)
        client.until_gone(path)


def test_snapshots(admin: Gophercloud, network: str) -> None:
    with a_share(admin, network) as share, a_snapshot(admin, share["id"]) as snapshot:
        path = f"/snapshots/{snapshot['id']}"
        before = admin("GET", path)["snapshot"]
        admin(
            "PUT", path, {"snapshot": {"display_name": "NewName", "display_description": ""}}, 200
        )
        assert admin("GET", path)["snapshot"] == before | {"name": "NewName", "description": ""}
        assert snapshot["id"] in [
            found["id"] for found in admin("GET", "/snapshots/detail")["snapshots"]
        ]
        newer = admin.at("2.7")
        newer("POST", f"{path}/action", {"reset_status": {"status": "error"}}, 202)
        assert newer("GET", path)["snapshot"]["status"] == "error"
        newer("POST", f"{path}/action", {"force_delete": None}, 202)
        newer.until_gone(path)


def test_a_share_is_reverted_and_another_is_made_from_its_snapshot(
    admin: Gophercloud, network: str
) -> None:
    """The second is larger than the snapshot: what is made is extended, and has its new size from
    the beginning on."""
    client = admin.at("2.27")
    with a_share(client, network) as share, a_snapshot(client, share["id"]) as snapshot:
        client(
            "POST",
            f"/shares/{share['id']}/action",
            {"revert": {"snapshot_id": snapshot["id"]}},
            202,
        )
        client.until(f"/shares/{share['id']}", "share", "available", "reverting")
        client.until(f"/snapshots/{snapshot['id']}", "snapshot", "available", "restoring")
        with a_share(client, network, size=2, snapshot_id=snapshot["id"]) as restored:
            assert (restored["size"], restored["snapshot_id"]) == (2, snapshot["id"])


def test_messages(admin: Gophercloud, network: str) -> None:
    client = admin.at("2.37")
    wanted = {"share_proto": "CIFS", "size": 1, "share_network_id": network}
    share = client("POST", "/shares", {"share": wanted}, 200, 201)["share"]["id"]
    client.until(f"/shares/{share}", "share", "error", "creating")
    (message,) = [
        each for each in client("GET", "/messages")["messages"] if each["resource_id"] == share
    ]
    assert message["user_message"] and message["message_level"] == "ERROR"
    found = client("GET", f"/messages?request_id={message['request_id']}")["messages"]
    assert [each["id"] for each in found] == [message["id"]]
    assert client("GET", f"/messages/{message['id']}")["message"] == message
    client("DELETE", f"/messages/{message['id']}")
    assert client.tried("GET", f"/messages/{message['id']}")[0] == 404
    client("DELETE", f"/shares/{share}")
    client.until_gone(f"/shares/{share}")


def test_what_is_not_there_is_not_found(admin: Gophercloud, network: str) -> None:
    """Replicas: their lists are there, and empty, so the method to make one is what is not there.
    Transfers of what is on a share network."""
    replicas, transfers = admin.at("2.56"), admin.at("2.77")
    assert (
        replicas("GET", f"/share-replicas?share_id={UNKNOWN}")
        == replicas("GET", "/share-replicas/detail")
        == {"share_replicas": []}
    )
    wanted = {"share_id": UNKNOWN, "availability_zone": "nova"}
    assert replicas.tried("POST", "/share-replicas", {"share_replica": wanted})[0] == 405
    asked: list[tuple[str, str, Any]]
    asked = [("GET", "", None), ("DELETE", "", None), ("GET", "/export-locations", None),
     ("POST", "/action", {"promote": {}}),
             ("POST", "/action", {"resync": None}),
              ("POST", "/action", {"reset_status": {"status": "error"}})]  # fmt: skip
    for method, path, body in asked:
        assert replicas.tried(method, f"/share-replicas/{UNKNOWN}{path}", body)[0] == 404
    assert transfers("GET", "/share-transfers/detail") == {"transfers": []}
    accept = {"accept": {"auth_key": "k", "clear_access_rules": True}}
    one = f"/share-transfers/{UNKNOWN}"
    assert [transfers.tried(method, one)[0] for method in ("GET", "DELETE")] == [404, 404]
    assert transfers.tried("POST", f"{one}/accept", accept)[0] == 400
    with a_share(admin.at("2.7"), network) as share:
        status, answer = admin.at("2.7").tried(
            "POST", f"/shares/{share['id']}/action", {"unmanage": None}
        )
        assert status == 403 and "2.49" in answer["forbidden"]["message"], "it is on a share server"
        wanted = {"share_id": share["id"], "name": "123"}
        status, answer = transfers.tried("POST", "/share-transfers", {"transfer": wanted})
        assert status == 400 and "share networks" in answer["badRequest"]["message"]
