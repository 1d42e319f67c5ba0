"""What manila-csi sends for the life of a volume: its bodies, headers and versions, in its order.

It speaks 2.37 by gophercloud, and 2.45 to list access rules; it gives a volume up unless its status
is `creating` (`extending`) or `available`, then looks for the last message about it, whose detail
id decides whether and how it is tried again; and it mounts the first location that is preferred, or
else the first. Facts: pkg/csi/manila of cloud-provider-openstack.
"""

from __future__ import annotations

import re
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

VERSION, RULES_VERSION = "2.37", "2.45"
PROVISIONED_BY, SNAPSHOTTED_BY = (
    "provisioned-by=manila.csi.openstack.org",
    "snapshotted-by=manila.csi.openstack.org",
)
OUT_OF_RANGE, INVALID_ARGUMENT, EXHAUSTED, INTERNAL = (
    "OutOfRange",
    "InvalidArgument",
    "ResourceExhausted",
    "Internal",
)
CODES = {
    "002": OUT_OF_RANGE,
    "003": INVALID_ARGUMENT,
    "007": EXHAUSTED,
    "008": INVALID_ARGUMENT,
    "009": OUT_OF_RANGE,
}


@pytest.fixture(scope="module")
def csi(administrator: Gophercloud, cloud: Cloud) -> Gophercloud:
    agent = f"nfs.manila.csi.openstack.org manila-csi-plugin/v1.34.0 {AGENT}"
    return cloud.log_in(None, agent).at(VERSION)


@pytest.fixture(scope="module")
def options(csi: Gophercloud) -> Iterator[dict[str, str]]:
    """The storage class's: share type and share network, which an operator has made."""
    specs = {
        "driver_handles_share_servers": True,
        "snapshot_support": True,
        "create_share_from_snapshot_support": True,
    }
    share_type = csi("POST", "/types", {"share_type": {"name": "csi", "extra_specs": specs}}, 200)[
        "share_type"
    ]
    net = csi("POST", "/v2.0/networks", {"network": {"name": "csi"}}, 201, base="/network")[
        "network"
    ]["id"]
    wanted = {"network_id": net, "cidr": "10.32.0.0/24", "ip_version": 4}
    subnet = csi("POST", "/v2.0/subnets", {"subnet": wanted}, 201, base="/network")["subnet"]["id"]
    stands = {"neutron_net_id": net, "neutron_subnet_id": subnet}
    network = csi("POST", "/share-networks", {"share_network": stands}, 200)["share_network"]["id"]
    yield {"share_type": share_type["name"], "share_network_id": network}
    for server in csi("GET", f"/share-servers?share_network_id={network}")["share_servers"]:
        csi("DELETE", f"/share-servers/{server['id']}")
        csi.until_gone(f"/share-servers/{server['id']}")
    csi("DELETE", f"/share-networks/{network}")
    csi("DELETE", f"/types/{share_type['id']}")
    csi.until_gone(f"/share-networks/{network}")
    csi("DELETE", f"/v2.0/networks/{net}", None, 204, base="/network")


def named(csi: Gophercloud, collection: str, name: str) -> list[Any]:
    """How it looks whether a volume or a snapshot is there already."""
    found: list[Any] = csi("GET", f"/{collection}/detail?name={name}")[collection]
    return found


def test_it_finds_the_version_that_it_needs(csi: Gophercloud) -> None:
    (entry,) = csi("GET", "/")["versions"]
    assert all(re.fullmatch(r"\d+\.\d+", entry[name]) for name in ("version", "min_version"))
    assert int(entry["version"].partition(".")[2]) >= 37


def test_it_finds_out_what_the_share_type_can(csi: Gophercloud, options: dict[str, str]) -> None:
    (share_type,) = [
        each
        for each in csi("GET", "/types")["share_types"]
        if each["name"] == options["share_type"]
    ]
    assert (
        share_type["extra_specs"]["snapshot_support"]
        == share_type["extra_specs"]["create_share_from_snapshot_support"]
        == "True"
    )


def create(csi: Gophercloud, options: dict[str, str], name: str, size: int, **more: str) -> str:
    """A volume, as CreateVolume makes one that is not there yet: looked up by its name, made,
    waited for, granted, located."""
    assert named(csi, "shares", name) == []
    labels = {"manila.csi.openstack.org/cluster": "blue", "csi.storage.k8s.io/pvc/name": name}
    wanted = {
        "share_proto": "NFS",
        "size": size,
        "name": name,
        "description": PROVISIONED_BY,
        "metadata": labels,
        **options,
        **more,
    }
    made = csi("POST", "/shares", {"share": wanted}, 200, 201)["share"]
    csi.until(f"/shares/{made['id']}", "share", "available", "creating", "creating_from_snapshot")
    (found,) = named(csi, "shares", name)
    assert {each: found[each] for each in ("id", "size", "share_proto", "share_network_id",
     "metadata")} == {
        "id": made["id"], "size": size, "share_proto": "NFS",
         "share_network_id": options["share_network_id"], "metadata": labels,
    }  # fmt: skip
    return str(made["id"])


def grant(csi: Gophercloud, share: str, *clients: str) -> None:
    """As NFS volumes are granted: who may be there already is not granted again; then until all
    rules are active."""
    rules = csi.at(RULES_VERSION)
    there = rules("GET", f"/share-access-rules?share_id={share}")["access_list"]
    for client in set(clients) - {rule["access_to"] for rule in there}:
        wanted = {"access_type": "ip", "access_level": "rw", "access_to": client}
        made = csi("POST", f"/shares/{share}/action", {"allow_access": wanted}, 200)["access"]
        assert {name: made[name] for name in wanted} == wanted

    def states() -> set[str]:
        return {
            rule["state"]
            for rule in rules("GET", f"/share-access-rules?share_id={share}")["access_list"]
        }

    wait_until(lambda: states() == {"active"}, "the rules", 60)


def mounted(csi: Gophercloud, share: str) -> str:
    """The location that a node mounts."""
    locations = csi("GET", f"/shares/{share}/export_locations")["export_locations"]
    usable = [each for each in locations if not each["is_admin_only"] and each["path"].strip()]
    return str(next((each for each in usable if each["preferred"]), usable[0])["path"])


def delete(csi: Gophercloud, path: str) -> None:
    """It takes what is gone already for deleted."""
    csi("DELETE", path)
    csi.until_gone(path)
    assert csi.tried("DELETE", path)[0] == 404


def test_a_volume_its_snapshot_its_clone_and_their_end(
    csi: Gophercloud, options: dict[str, str]
) -> None:
    volume = create(csi, options, "pvc-1", 1)
    grant(csi, volume, "10.0.0.0/8")
    grant(csi, volume, "10.0.0.0/8", "192.0.2.0/24")
    path = mounted(csi, volume)
    assert re.fullmatch(r"10\.32\.0\.\d+:/\S+", path)

    source = csi("GET", f"/shares/{volume}")["share"]
    assert source["snapshot_support"] and source["create_share_from_snapshot_support"], (
        "or it takes no snapshot"
    )
    assert named(csi, "snapshots", "snapshot-1") == []
    wanted = {"share_id": volume, "name": "snapshot-1", "description": SNAPSHOTTED_BY}
    snapshot = csi("POST", "/snapshots", {"snapshot": wanted}, 200, 201, 202)["snapshot"]["id"]
    csi.until(f"/snapshots/{snapshot}", "snapshot", "available", "creating")
    assert [found["id"] for found in named(csi, "snapshots", "snapshot-1")] == [snapshot]

    clone = create(csi, options, "pvc-2", 1, snapshot_id=snapshot)
    grant(csi, clone, "10.0.0.0/8")
    assert mounted(csi, clone) != path

    csi("POST", f"/shares/{volume}/action", {"extend": {"new_size": 2}}, 202)
    assert csi.until(f"/shares/{volume}", "share", "available", "extending")["size"] == 2
    assert mounted(csi, volume) == path

    for gone in (f"/snapshots/{snapshot}", f"/shares/{volume}", f"/shares/{clone}"):
        delete(csi, gone)


def failure(csi: Gophercloud, share: str) -> str:
    """What a volume in error is to its caller, by the last message about it."""
    query = f"limit=1&message_level=ERROR&resource_id={share}&sort_dir=desc&sort_key=created_at"
    (message,) = csi("GET", f"/messages?{query}")["messages"]
    assert message["user_message"]
    return CODES.get(message["detail_id"], INTERNAL)


@pytest.mark.parametrize(
    ("wrong", "code"), [({"share_proto": "CIFS"}, INVALID_ARGUMENT), ({"size": 900}, OUT_OF_RANGE)]
)
def test_it_is_told_why_a_volume_failed(
    csi: Gophercloud, options: dict[str, str], wrong: dict[str, Any], code: str
) -> None:
    """A protocol that no pool has is not tried again; what no pool has room for is, later. Either
    way the share is taken back."""
    wanted = {
        "share_proto": "NFS",
        "size": 1,
        "name": "pvc-3",
        "description": PROVISIONED_BY,
        **options,
        **wrong,
    }
    share = csi("POST", "/shares", {"share": wanted}, 200, 201)["share"]["id"]
    csi.until(f"/shares/{share}", "share", "error", "creating")
    assert failure(csi, share) == code
    delete(csi, f"/shares/{share}")


def test_a_volume_that_cannot_grow_stays_usable(csi: Gophercloud, options: dict[str, str]) -> None:
    volume = create(csi, options, "pvc-4", 1)
    csi("POST", f"/shares/{volume}/action", {"extend": {"new_size": 900}}, 202)
    assert csi.until(f"/shares/{volume}", "share", "available", "extending")["size"] == 1
    delete(csi, f"/shares/{volume}")
