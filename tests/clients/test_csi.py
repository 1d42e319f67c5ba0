"""What manila-csi sends for the life of a volume, replayed: its bodies and headers, in its order, over plain HTTP.

It speaks 2.37, and 2.45 to list access rules where that is served; it gives a volume up unless its status is `creating` (`extending`) or
`available`, and it mounts the first location that is preferred, or else the first. Facts: pkg/csi/manila of cloud-provider-openstack, gophercloud v2.
"""

from __future__ import annotations

import base64
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from tests.clients.test_serve import password_in_clouds_file
from tests.service import Installation, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

VERSION, RULES_VERSION = "2.37", "2.45"
PROVISIONED_BY = "provisioned-by=manila.csi.openstack.org"


class Csi:
    """One driver's connection: `csi(method, path, body)` → (status, answer)."""

    def __init__(self, made: Installation) -> None:
        self._url = made.url
        token = base64.b64encode(f"admin:{password_in_clouds_file(made)}".encode()).decode()
        self._headers = {"Authorization": f"Basic {token}", "Accept": "application/json", "User-Agent": "manila-csi-plugin gophercloud/v2"}

    def __call__(self, method: str, path: str, body: Any = None, *, version: str = VERSION, base: str = "/v2") -> tuple[int, Any]:
        headers = self._headers | {"X-OpenStack-Manila-API-Version": version}
        data = None
        if body is not None:
            data, headers["Content-Type"] = msgspec.json.encode(body), "application/json"
        request = urllib.request.Request(f"{self._url}{base}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, msgspec.json.decode(answer.read() or b"null")
        except urllib.error.HTTPError as refusal:
            return refusal.code, msgspec.json.decode(refusal.read() or b"null")

    def until_available(self, share_id: str, meanwhile: str) -> None:
        """As it waits: any other status is the end."""

        def is_available() -> bool:
            status = self("GET", f"/shares/{share_id}")[1]["share"]["status"]
            assert status in (meanwhile, "available"), status
            return bool(status == "available")

        wait_until(is_available, f"share {share_id}", 60)

    def until_gone(self, path: str) -> None:
        wait_until(lambda: self("GET", path)[0] == 404, f"{path} to go", 60)

    def named(self, collection: str, name: str) -> list[Any]:
        status, answer = self("GET", f"/{collection}/detail?name={name}")
        assert status == 200
        found: list[Any] = answer[collection]
        return found


@pytest.fixture(scope="module")
def csi(shared_service: Installation) -> Csi:
    return Csi(shared_service)


@pytest.fixture(scope="module")
def options(csi: Csi) -> Iterator[dict[str, str]]:
    """The storage class's: share type and share network, which an operator has made."""
    specs = {"driver_handles_share_servers": True, "snapshot_support": True, "create_share_from_snapshot_support": True}
    share_type = csi("POST", "/types", {"share_type": {"name": "csi", "extra_specs": specs}})[1]["share_type"]
    net = csi("POST", "/networks", {"network": {"name": "csi"}}, base="/network/v2.0")[1]["network"]["id"]
    wanted = {"network_id": net, "cidr": "10.32.0.0/24", "ip_version": 4}
    subnet = csi("POST", "/subnets", {"subnet": wanted}, base="/network/v2.0")[1]["subnet"]["id"]
    stands = {"neutron_net_id": net, "neutron_subnet_id": subnet}
    network = csi("POST", "/share-networks", {"share_network": stands})[1]["share_network"]["id"]
    yield {"share_type": share_type["name"], "share_network_id": network}
    for server in csi("GET", f"/share-servers?share_network_id={network}")[1]["share_servers"]:
        csi("DELETE", f"/share-servers/{server['id']}")
        csi.until_gone(f"/share-servers/{server['id']}")
    csi("DELETE", f"/share-networks/{network}")
    csi("DELETE", f"/types/{share_type['id']}")
    csi.until_gone(f"/share-networks/{network}")
    assert csi("DELETE", f"/networks/{net}", base="/network/v2.0")[0] == 204


def test_it_finds_the_version_that_it_needs(csi: Csi) -> None:
    status, answer = csi("GET", "/", base="")
    (entry,) = [entry for entry in answer["versions"] if entry["id"].startswith("v2")]
    assert status == 300
    assert all(re.fullmatch(r"\d+\.\d+", entry[name]) for name in ("version", "min_version"))
    assert int(entry["version"].partition(".")[2]) >= 37


def test_it_finds_out_what_the_share_type_can(csi: Csi, options: dict[str, str]) -> None:
    status, answer = csi("GET", "/types")
    (share_type,) = [each for each in answer["share_types"] if each["name"] == options["share_type"]]
    assert status == 200
    assert share_type["extra_specs"]["snapshot_support"] == share_type["extra_specs"]["create_share_from_snapshot_support"] == "True"


def create(csi: Csi, options: dict[str, str], name: str, size: int, **more: str) -> str:
    """A volume, as CreateVolume makes one that is not there yet: looked up by its name, made, waited for, granted, located."""
    assert csi.named("shares", name) == []
    wanted = {"share_proto": "NFS", "size": size, "name": name, "description": PROVISIONED_BY, **options, **more}
    status, answer = csi("POST", "/shares", {"share": wanted})
    assert status == 200 and answer["share"]["name"] == name
    share = str(answer["share"]["id"])
    csi.until_available(share, "creating")
    (found,) = csi.named("shares", name)
    assert (found["id"], found["size"], found["share_proto"], found["share_network_id"]) == (share, size, "NFS", options["share_network_id"])
    return share


def grant(csi: Csi, share: str) -> None:
    """As NFS volumes are granted: whoever may be there already is not granted again."""
    status, answer = csi("GET", f"/share-access-rules?share_id={share}", version=RULES_VERSION)
    assert (status, answer["access_list"]) == (200, [])
    assert csi("POST", f"/shares/{share}/action", {"access_list": None}) == (200, {"access_list": []})
    rule = {"access_type": "ip", "access_level": "rw", "access_to": "10.0.0.0/8"}
    status, answer = csi("POST", f"/shares/{share}/action", {"allow_access": rule})
    assert status == 200 and {name: answer["access"][name] for name in rule} == rule

    def state() -> str:
        (found,) = csi("GET", f"/share-access-rules?share_id={share}", version=RULES_VERSION)[1]["access_list"]
        assert {name: found[name] for name in rule} == rule
        return str(found["state"])

    wait_until(lambda: state() == "active", "the rule", 60)


def mounted(csi: Csi, share: str) -> str:
    """The location that a node mounts."""
    status, answer = csi("GET", f"/shares/{share}/export_locations")
    usable = [each for each in answer["export_locations"] if not each["is_admin_only"] and each["path"].strip()]
    assert status == 200 and usable
    return str(next((each for each in usable if each["preferred"]), usable[0])["path"])


def test_a_volume_its_snapshot_its_clone_and_their_end(csi: Csi, options: dict[str, str]) -> None:
    volume = create(csi, options, "pvc-1", 1)
    grant(csi, volume)
    labels = {"manila.csi.openstack.org/cluster": "blue"}
    assert csi("POST", f"/shares/{volume}/metadata", {"metadata": labels}) == (200, {"metadata": labels})
    path = mounted(csi, volume)
    assert re.fullmatch(r"10\.32\.0\.\d+:/\S+", path)

    assert csi.named("snapshots", "snapshot-1") == []
    wanted = {"share_id": volume, "name": "snapshot-1", "description": PROVISIONED_BY}
    status, answer = csi("POST", "/snapshots", {"snapshot": wanted})
    snapshot = answer["snapshot"]["id"]
    assert status == 202
    wait_until(lambda: csi("GET", f"/snapshots/{snapshot}")[1]["snapshot"]["status"] == "available", "the snapshot", 60)
    assert [found["id"] for found in csi.named("snapshots", "snapshot-1")] == [snapshot]

    clone = create(csi, options, "pvc-2", 1, snapshot_id=snapshot)
    grant(csi, clone)
    assert mounted(csi, clone) != path

    assert csi("POST", f"/shares/{volume}/action", {"extend": {"new_size": 2}})[0] == 202
    csi.until_available(volume, "extending")
    assert csi("GET", f"/shares/{volume}")[1]["share"]["size"] == 2
    assert mounted(csi, volume) == path

    assert csi("DELETE", f"/snapshots/{snapshot}")[0] == 202
    csi.until_gone(f"/snapshots/{snapshot}")
    for share in (volume, clone):
        assert csi("DELETE", f"/shares/{share}")[0] == 202
        csi.until_gone(f"/shares/{share}")
        assert csi("DELETE", f"/shares/{share}")[0] == 404, "deleted already, as it takes it"


def test_it_is_told_why_a_volume_failed(csi: Csi, options: dict[str, str]) -> None:
    wanted = {"share_proto": "CIFS", "size": 1, "name": "pvc-3", **options}
    share = csi("POST", "/shares", {"share": wanted})[1]["share"]["id"]
    wait_until(lambda: csi("GET", f"/shares/{share}")[1]["share"]["status"] == "error", "the failure", 60)
    query = f"/messages?resource_id={share}&message_level=ERROR&sort_key=created_at&sort_dir=desc&limit=1"
    (message,) = csi("GET", query)[1]["messages"]
    assert message["detail_id"] == "008" and message["user_message"]
    csi("DELETE", f"/messages/{message['id']}")
    csi("DELETE", f"/shares/{share}")
    csi.until_gone(f"/shares/{share}")
