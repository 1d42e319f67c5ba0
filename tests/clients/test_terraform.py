"""What Terraform's OpenStack provider sends for its resources of the shared file systems: create,
read, update, import and delete, in its order.

`openstack_sharedfilesystem_securityservice_v2`, `…_sharenetwork_v2`, `…_share_v2`,
`…_share_access_v2`. It knows one subnet of a share network: others come, drain and go by another
client. Each names the microversion that it needs, or none; what it waits for ends in one status,
and any status that it does not expect meanwhile is an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.clients.conftest import Cloud
from tests.clients.gophercloud import AGENT, Gophercloud
from tests.service import wait_until

pytestmark = [
    pytest.mark.sampled_file(8),
    pytest.mark.slow("a real Keystone and the service behind it, then one that is logged in to"),
    pytest.mark.timeout(300),
]

LEAST, CEPHX, WITH_OU, RULES, SHARES, MESSAGES = "2.7", "2.13", "2.44", "2.45", "2.14", "2.37"
SUBNETS = "2.78"  # by which another client adds a subnet, and has one drain
OLD, NEW = "10.35.0.0/24", "10.37.0.0/24"


@pytest.fixture(scope="module")
def provider(administrator: Gophercloud, cloud: Cloud) -> Gophercloud:
    """A member of a project of his own."""
    agent = (
        f"HashiCorp Terraform/1.9.0 (+https://www.terraform.io) Terraform Plugin SDK/2.40.1 {AGENT}"
    )
    return cloud.log_in("terraform", agent)


@pytest.fixture(scope="module")
def neutron_ids(provider: Gophercloud) -> dict[str, str]:
    """`neutron_net_id`, `neutron_subnet_id`: of a network of the project."""
    network = provider(
        "POST", "/v2.0/networks", {"network": {"name": "terraform"}}, 201, base="/network"
    )["network"]["id"]
    wanted = {"network_id": network, "cidr": "10.35.0.0/24", "ip_version": 4}
    subnet = provider("POST", "/v2.0/subnets", {"subnet": wanted}, 201, base="/network")["subnet"][
        "id"
    ]
    return {"neutron_net_id": network, "neutron_subnet_id": subnet}


@pytest.fixture(scope="module")
def network(provider: Gophercloud, neutron_ids: dict[str, str]) -> Iterator[str]:
    made = create_network(provider, name="docs", **neutron_ids)
    yield made
    provider("DELETE", f"/share-networks/{made}")


# --- openstack_sharedfilesystem_securityservice_v2 ------------------------------------------------


def create_service(provider: Gophercloud, **wanted: str) -> str:
    """A new one; only an `ou` needs the newer version."""
    client = provider.at(WITH_OU if "ou" in wanted else LEAST)
    return str(
        client("POST", "/security-services", {"security_service": wanted}, 200)["security_service"][
            "id"
        ]
    )


def read_service(provider: Gophercloud, id_: str, ou: str = "") -> dict[str, Any]:
    """As it is read; without a known `ou`, which is so at an import, it is asked for once more."""
    found = provider.at(WITH_OU if ou else LEAST)("GET", f"/security-services/{id_}")[
        "security_service"
    ]
    if not found.get("ou"):
        found = found | provider.at(WITH_OU)("GET", f"/security-services/{id_}")["security_service"]
    return dict(found)


def test_a_security_service(provider: Gophercloud) -> None:
    wanted = {"name": "directory", "description": "of docs", "type": "active_directory",
     "dns_ip": "192.0.2.10", "user": "abaca",
              "password": "secret", "domain": "example.org", "server": "192.0.2.11",
               "ou": "files"}  # fmt: skip
    service = create_service(provider, **wanted)
    read = read_service(provider, service, "files")
    assert {name: read[name] for name in wanted} == wanted
    assert read_service(provider, service) == read, "imported"
    change = {"name": "directory", "description": "", "dns_ip": "192.0.2.12", "password": "other"}
    provider.at(LEAST)("PUT", f"/security-services/{service}", {"security_service": change}, 200)
    provider.at(WITH_OU)(
        "PUT",
        f"/security-services/{service}",
        {"security_service": {"name": "directory", "ou": "papers"}},
        200,
    )
    read = read_service(provider, service, "papers")
    assert {name: read[name] for name in wanted} == wanted | change | {"ou": "papers"}
    provider("DELETE", f"/security-services/{service}")
    assert provider.at(LEAST).tried("GET", f"/security-services/{service}")[0] == 404, (
        "gone, as it is taken"
    )


# --- openstack_sharedfilesystem_sharenetwork_v2 ---------------------------------------------------


def create_network(provider: Gophercloud, **wanted: str) -> str:
    """At no version, which is 2.0: its struct knows one subnet, flat."""
    return str(
        provider("POST", "/share-networks", {"share_network": wanted}, 200, 202)["share_network"][
            "id"
        ]
    )


def read_network(provider: Gophercloud, id_: str) -> tuple[dict[str, Any], list[str]]:
    """The network, and its security services, which are a list of their own."""
    found = provider("GET", f"/share-networks/{id_}")["share_network"]
    services = provider("GET", f"/security-services/detail?share_network_id={id_}")[
        "security_services"
    ]
    return found, sorted(service["id"] for service in services)


def change_services(provider: Gophercloud, network: str, verb: str, *services: str) -> None:
    for service in services:
        provider(
            "POST",
            f"/share-networks/{network}/action",
            {verb: {"security_service_id": service}},
            200,
        )


def test_a_share_network_with_security_services(
    provider: Gophercloud, neutron_ids: dict[str, str]
) -> None:
    directory, tickets = (
        create_service(provider, name="d", type="ldap"),
        create_service(provider, name="t", type="kerberos"),
    )
    network = create_network(provider, name="joined", description="one", **neutron_ids)
    change_services(provider, network, "add_security_service", directory)
    read, services = read_network(provider, network)
    assert {name: read[name] for name in neutron_ids} == neutron_ids and services == [directory]
    assert read["cidr"] in (None, "10.35.0.0/24") and read["name"] == "joined"
    provider(
        "PUT",
        f"/share-networks/{network}",
        {"share_network": {"name": "renamed", "description": ""}},
        200,
    )
    change_services(provider, network, "add_security_service", tickets)
    change_services(provider, network, "remove_security_service", directory)
    read, services = read_network(provider, network)
    assert (read["name"], read["description"], services) == ("renamed", "", [tickets])
    provider("DELETE", f"/share-networks/{network}")
    assert provider.tried("GET", f"/share-networks/{network}")[0] == 404, (
        "at once: it does not wait"
    )
    for service in (directory, tickets):
        provider("DELETE", f"/security-services/{service}")


def test_neutron_ids_of_a_network_without_shares_are_exchanged(
    provider: Gophercloud, neutron_ids: dict[str, str]
) -> None:
    wanted = {"network_id": neutron_ids["neutron_net_id"], "cidr": "10.36.0.0/24", "ip_version": 4}
    other = provider("POST", "/v2.0/subnets", {"subnet": wanted}, 201, base="/network")["subnet"][
        "id"
    ]
    network = create_network(provider, name="moved", **neutron_ids)
    provider(
        "PUT", f"/share-networks/{network}", {"share_network": {"neutron_subnet_id": other}}, 200
    )
    assert read_network(provider, network)[0]["neutron_subnet_id"] == other
    provider("DELETE", f"/share-networks/{network}")
    provider("DELETE", f"/v2.0/subnets/{other}", None, 204, base="/network")


# --- openstack_sharedfilesystem_share_v2 ----------------------------------------------------------


def create_share(provider: Gophercloud, network: str, **more: Any) -> str:
    wanted = {
        "name": "docs",
        "description": "papers",
        "share_proto": "NFS",
        "size": 1,
        "is_public": False,
        "share_network_id": network,
        **more,
    }
    share = str(provider.at(SHARES)("POST", "/shares", {"share": wanted}, 200, 201)["share"]["id"])
    provider.at(SHARES).until(
        f"/shares/{share}", "share", "available", "creating", "manage_starting"
    )
    return share


def read_share(provider: Gophercloud, share: str) -> dict[str, Any]:
    """The share, with its export locations; an import reads nothing more."""
    found: dict[str, Any] = provider.at(SHARES)("GET", f"/shares/{share}")["share"]
    locations = provider.at(SHARES)("GET", f"/shares/{share}/export_locations")["export_locations"]
    return found | {"export_locations": [(each["path"], each["preferred"]) for each in locations]}


def delete_share(provider: Gophercloud, share: str) -> None:
    """At no version; a 409 would be tried again for ten minutes."""
    provider("DELETE", f"/shares/{share}")
    provider.until_gone(f"/shares/{share}")


def test_a_share(provider: Gophercloud, network: str) -> None:
    share = create_share(provider, network, metadata={"colour": "blue", "shape": "round"})
    read = read_share(provider, share)
    assert (read["share_type_name"], read["share_network_id"], read["metadata"]) == (
        "default",
        network,
        {"colour": "blue", "shape": "round"},
    )
    ((path, preferred),) = read["export_locations"]
    assert path.startswith("10.35.0.") and isinstance(preferred, bool)

    client, at = provider.at(SHARES), f"/shares/{share}"
    client("PUT", at, {"share": {"display_name": "more", "display_description": ""}}, 200)
    client.until(at, "share", "available", "creating", "manage_starting", "extending", "shrinking")
    for verb, meanwhile, size in (("extend", "extending", 3), ("shrink", "shrinking", 2)):
        client("POST", f"{at}/action", {verb: {"new_size": size}}, 202)
        client.until(at, "share", "available", meanwhile)
        assert read_share(provider, share)["size"] == size
    client("DELETE", f"{at}/metadata/shape", None, 200)
    assert client.tried("DELETE", f"{at}/metadata/shape")[0] == 404, (
        "deleted already, as it takes it"
    )
    client("POST", f"{at}/metadata", {"metadata": {"colour": "red", "size": "big"}}, 200)
    read = read_share(provider, share)
    assert (read["name"], read["description"], read["metadata"]) == (
        "more",
        "",
        {"colour": "red", "size": "big"},
    )
    delete_share(provider, share)


def latest_message(provider: Gophercloud, share: str) -> dict[str, Any]:
    """What it shows beside the status that it did not expect."""
    (message,) = provider.at(MESSAGES)(
        "GET", f"/messages?limit=1&resource_id={share}&sort_dir=desc&sort_key=created_at"
    )["messages"]
    return dict(message)


def test_a_share_that_cannot_be_made_says_why(provider: Gophercloud, network: str) -> None:
    wanted = {
        "name": "none",
        "share_proto": "CIFS",
        "size": 1,
        "is_public": False,
        "share_network_id": network,
    }
    share = provider.at(SHARES)("POST", "/shares", {"share": wanted}, 200, 201)["share"]["id"]
    provider.at(SHARES).until(f"/shares/{share}", "share", "error", "creating")
    assert latest_message(provider, share)["user_message"]
    delete_share(provider, share)


def test_an_extension_past_the_pool_s_room_is_no_conflict(
    provider: Gophercloud, network: str
) -> None:
    """A 409 would be repeated for ten minutes: it is accepted, the share stays as it is, and a
    message says why."""
    share = create_share(provider, network)
    provider.at(SHARES)("POST", f"/shares/{share}/action", {"extend": {"new_size": 900}}, 202)
    assert (
        provider.at(SHARES).until(f"/shares/{share}", "share", "available", "extending")["size"]
        == 1
    )
    assert latest_message(provider, share)["user_message"]
    delete_share(provider, share)


# --- what it manages while subnets come and go ----------------------------------------------------


class Renumbered:
    """A share network of Terraform's, to which another client has added a second subnet. `cidrs`:
    share network subnet ids by their range, Terraform's first."""

    def __init__(self, provider: Gophercloud, neutron_ids: dict[str, str]) -> None:
        self._other = provider.at(SUBNETS)
        wanted = {"network_id": neutron_ids["neutron_net_id"], "cidr": NEW, "ip_version": 4}
        self.added = provider("POST", "/v2.0/subnets", {"subnet": wanted}, 201, base="/network")[
            "subnet"
        ]["id"]
        self.id = create_network(provider, name="renumbered", **neutron_ids)
        body = {"neutron_net_id": wanted["network_id"], "neutron_subnet_id": self.added}
        self.path = f"/share-networks/{self.id}"
        self._other("POST", f"{self.path}/subnets", {"share-network-subnet": body}, 200, 202)
        wait_until(lambda: None not in self.cidrs(), "the ranges of the subnets", 60)

    def cidrs(self) -> dict[str, str]:
        found = self._other("GET", self.path)["share_network"]["share_network_subnets"]
        return {each["cidr"]: each["id"] for each in found}

    def drain(self, cidr: str) -> None:
        at = f"{self.path}/subnets/{self.cidrs()[cidr]}/metadata"
        self._other("POST", at, {"metadata": {"abaca:drain": "true"}}, 200)

    def refusal(self, cidr: str) -> str:
        """Of the plain deletion of a subnet; empty when it is accepted."""
        status, answer = self._other.tried("DELETE", f"{self.path}/subnets/{self.cidrs()[cidr]}")
        assert status in (202, 409), answer
        return "" if status == 202 else str(answer["conflictingRequest"]["message"])

    def remove(self, provider: Gophercloud) -> None:
        for id_ in list(self.cidrs().values())[1:]:
            self._other("DELETE", f"{self.path}/subnets/{id_}")
        provider("DELETE", self.path)
        # its addresses come back when the share servers are gone
        at = f"/v2.0/subnets/{self.added}"
        wait_until(
            lambda: provider.tried("DELETE", at, base="/network")[0] in (204, 404), "no address", 60
        )


@pytest.fixture
def renumbered(provider: Gophercloud, neutron_ids: dict[str, str]) -> Iterator[Renumbered]:
    made = Renumbered(provider, neutron_ids)
    yield made
    made.remove(provider)


def test_a_subnet_that_drains_changes_no_plan_before_it_is_deleted(
    provider: Gophercloud, renumbered: Renumbered
) -> None:
    share = create_share(provider, renumbered.id)
    as_planned = read_network(provider, renumbered.id), read_share(provider, share)
    assert [path[:8] for path, _ in as_planned[1]["export_locations"]] == ["10.35.0.", "10.37.0."]
    assert "removal set" in renumbered.refusal(OLD)
    renumbered.drain(OLD)
    assert (read_network(provider, renumbered.id), read_share(provider, share)) == as_planned
    change = {"share_network": {"name": "still renumbered"}}
    provider("PUT", renumbered.path, change, 200)
    late = create_share(provider, renumbered.id)
    assert [path[:8] for path, _ in read_share(provider, late)["export_locations"]] == ["10.37.0."]
    delete_share(provider, late)
    wait_until(lambda: not renumbered.refusal(OLD), "the drained subnet to be deleted", 60)
    wait_until(lambda: list(renumbered.cidrs()) == [NEW], "the subnet to go", 60)
    found, _ = read_network(provider, renumbered.id)
    assert (found["name"], found["neutron_subnet_id"]) == ("still renumbered", renumbered.added)
    assert read_share(provider, share)["export_locations"] == [
        (path, True) for path, _ in as_planned[1]["export_locations"][1:]
    ]
    delete_share(provider, share)


def test_metadata_choose_the_subnets_that_a_share_is_exported_on(
    provider: Gophercloud, renumbered: Renumbered
) -> None:
    share = create_share(provider, renumbered.id, metadata={"export_subnets": NEW})
    at = f"/shares/{share}"
    read = read_share(provider, share)
    assert read["metadata"] == {"export_subnets": NEW}
    assert [path[:8] for path, _ in read["export_locations"]] == ["10.37.0."]

    def exported_on(*starts: str) -> None:
        wait_until(
            lambda: (
                [path[:8] for path, _ in read_share(provider, share)["export_locations"]]
                == list(starts)
            ),
            f"exports on {starts}",
            60,
        )

    provider.at(SHARES)("POST", f"{at}/metadata", {"metadata": {"export_subnets": OLD}}, 200)
    exported_on("10.35.0.")
    refused = provider.at(SHARES).tried(
        "POST", f"{at}/metadata", {"metadata": {"export_subnets": "10.99.0.0/24"}}
    )
    assert refused[0] == 400 and "10.99.0.0/24" in refused[1]["badRequest"]["message"]
    provider.at(SHARES)("DELETE", f"{at}/metadata/export_subnets", None, 200)
    exported_on("10.35.0.", "10.37.0.")
    delete_share(provider, share)


# --- openstack_sharedfilesystem_share_access_v2 ---------------------------------------------------


def test_access_to_a_share(provider: Gophercloud, network: str) -> None:
    """Rules are read one by one, since the version that `/v2/` names is at least 2.45; an import
    lists those of the share as of old."""
    share = create_share(provider, network)
    (version,) = provider.at(LEAST)("GET", "/")["versions"]
    assert int(version["version"].partition(".")[2]) >= 45
    wanted = {"access_type": "ip", "access_to": "10.35.0.7", "access_level": "rw"}
    rule = provider.at(LEAST)("POST", f"/shares/{share}/action", {"allow_access": wanted}, 200)[
        "access"
    ]["id"]
    read = provider.at(RULES).until(
        f"/share-access-rules/{rule}", "access", "active", "new", "queued_to_apply", "applying"
    )
    assert {name: read[name] for name in wanted} == wanted
    imported = provider.at(LEAST)("POST", f"/shares/{share}/action", {"access_list": None}, 200)[
        "access_list"
    ]
    assert [each["id"] for each in imported] == [rule]
    provider.at(LEAST)(
        "POST", f"/shares/{share}/action", {"deny_access": {"access_id": rule}}, 200, 202
    )
    provider.at(RULES).until_gone(f"/share-access-rules/{rule}")
    delete_share(provider, share)


def test_access_by_what_no_back_end_takes_is_said_to_be_in_error(
    provider: Gophercloud, network: str
) -> None:
    share = create_share(provider, network)
    wanted = {"access_type": "cephx", "access_to": "alice", "access_level": "rw"}
    status, answer = provider.at(CEPHX).tried(
        "POST", f"/shares/{share}/action", {"allow_access": wanted}
    )
    if status == 200:
        provider.at(RULES).until(
            f"/share-access-rules/{answer['access']['id']}",
            "access",
            "error",
            "new",
            "queued_to_apply",
            "applying",
        )
    delete_share(provider, share)
