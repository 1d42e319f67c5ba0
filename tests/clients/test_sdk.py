"""openstacksdk's shared_file_system proxy: each of its methods about something that Abaca has is
called against a running service.

The last test compares with docs/reference/compatibility.md, which lists the others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.clients.test_every_command import COMPATIBILITY, another_project
from tests.service import Installation, wait_until

openstack = pytest.importorskip(
    "openstack", reason="openstacksdk is missing (pip install 'abaca[client]')"
)

pytestmark = [pytest.mark.slow("the SDK waits for what it has made"), pytest.mark.timeout(300)]

SPECS = dict.fromkeys(
    ("driver_handles_share_servers", "snapshot_support", "revert_to_snapshot_support"), "True"
)


class Recorded:
    """The proxy, and which of its methods were called."""

    def __init__(self, proxy: Any) -> None:
        self._proxy = proxy
        self.called: set[str] = set()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        self.called.add(name)
        method: Callable[..., Any] = getattr(self._proxy, name)
        return method


@pytest.fixture(scope="module")
def cloud(shared_service: Installation) -> Any:
    files = [str(shared_service.state_dir / "clouds.yaml")]
    return openstack.connection.Connection(
        config=openstack.config.OpenStackConfig(config_files=files).get_one("abaca")
    )


@pytest.fixture(scope="module")
def sdk(cloud: Any) -> Recorded:
    return Recorded(cloud.shared_file_system)


@pytest.fixture(scope="module")
def share(cloud: Any, sdk: Recorded) -> Iterator[Any]:
    """A share on a network of its own; all of it goes at the end."""
    net = cloud.network.create_network(name="sdk")
    subnet = cloud.network.create_subnet(network_id=net.id, cidr="10.33.0.0/24", ip_version=4)
    share_type = sdk.create_share_type(name="sdk", extra_specs=SPECS)
    network = sdk.create_share_network(
        name="sdk", neutron_net_id=net.id, neutron_subnet_id=subnet.id
    )
    made = sdk.create_share(
        name="sdk", share_protocol="NFS", size=1, share_type="sdk", share_network_id=network.id
    )
    yield sdk.wait_for_status(made, "available", ["error"], interval=0.2, wait=60)
    sdk.delete_share(made)
    sdk.wait_for_delete(made, interval=0.2, wait=60)
    for server in cloud.shared_file_system.get(
        f"/share-servers?share_network_id={network.id}"
    ).json()["share_servers"]:
        cloud.shared_file_system.delete(f"/share-servers/{server['id']}")
    wait_until(
        lambda: (
            not cloud.shared_file_system.get(
                f"/share-servers?share_network_id={network.id}"
            ).json()["share_servers"]
        ),
        "the server",
        60,
    )
    sdk.delete_share_network(network)
    sdk.delete_share_type(share_type)
    wait_until(
        lambda: network.id not in [found.id for found in sdk.share_networks()],
        "the share network to go",
        60,
    )
    cloud.network.delete_network(net)


def test_shares(sdk: Recorded, share: Any) -> None:
    assert share.id in [found.id for found in sdk.shares()]
    assert sdk.find_share("sdk").id == sdk.get_share(share.id).id == share.id
    assert sdk.update_share(share, is_public=False).id == share.id
    sdk.resize_share(share.id, 2)
    wait_until(lambda: sdk.get_share(share.id).size == 2, "the share to grow", 60)
    sdk.reset_share_status(share.id, "error")
    assert sdk.get_share(share.id).status == "error"
    sdk.reset_share_status(share.id, "available")


def test_groups(cloud: Any, sdk: Recorded, share: Any) -> None:
    shared = cloud.shared_file_system
    types = {"name": "sdk", "share_types": [share.share_type]}
    answer = shared.post(
        "/share-group-types", json={"share_group_type": types}, microversion="2.55"
    ).json()
    made = sdk.create_share_group(
        name="sdk",
        share_group_type_id=answer["share_group_type"]["id"],
        share_types=[share.share_type],
        share_network_id=share.share_network_id,
    )
    assert made.id in [found.id for found in sdk.share_groups()]
    assert sdk.find_share_group("sdk").id == sdk.get_share_group(made.id).id == made.id
    assert sdk.update_share_group(made.id, description="told").description == "told"
    wait_until(lambda: sdk.get_share_group(made.id).status == "available", "the group", 60)
    taken = sdk.create_share_group_snapshot(made.id, name="sdk")
    wait_until(
        lambda: sdk.get_share_group_snapshot(taken.id).status == "available", "its snapshot", 60
    )
    assert [found.id for found in sdk.share_group_snapshots()] == [taken.id]
    assert sdk.share_group_snapshot_members(taken.id)["share_group_snapshot_members"] == []
    assert sdk.update_share_group_snapshot(taken.id, description="told").description == "told"
    sdk.reset_share_group_snapshot_status(taken.id, "error")
    sdk.delete_share_group_snapshot(taken.id)
    wait_until(lambda: list(sdk.share_group_snapshots()) == [], "the snapshot to go", 60)
    sdk.delete_share_group(made.id)
    assert list(sdk.share_groups()) == []
    shared.delete(f"/share-group-types/{made.share_group_type_id}", microversion="2.55")


def test_soft_deletion(sdk: Recorded, share: Any) -> None:
    sdk.soft_delete_share(share.id)
    assert share.id not in [found.id for found in sdk.shares()]
    sdk.restore_share(share.id)
    assert share.id in [found.id for found in sdk.shares()]


def test_resource_locks(sdk: Recorded, share: Any) -> None:
    lock = sdk.create_resource_lock(
        resource_id=share.id, resource_type="share", lock_reason="precious"
    )
    assert [found.id for found in sdk.resource_locks(resource_id=share.id)] == [lock.id]
    sdk.update_resource_lock(lock.id, lock_reason="told")
    assert sdk.get_resource_lock(lock.id).lock_reason == "told"
    sdk.delete_resource_lock(lock.id)
    assert list(sdk.resource_locks()) == []


def test_metadata_of_shares(sdk: Recorded, share: Any) -> None:
    sdk.create_share_metadata(share.id, colour="blue", size="big")
    assert sdk.get_share_metadata(share.id).metadata == {"colour": "blue", "size": "big"}
    assert sdk.fetch_share_metadata(share.id).metadata == {"colour": "blue", "size": "big"}
    sdk.update_share_metadata(share.id, {"colour": "red"})
    assert sdk.get_share_metadata_item(share.id, "colour").metadata == {"colour": "red"}
    sdk.set_share_metadata(share.id, shape="round")
    assert sdk.fetch_share_metadata_item(share.id, "shape").metadata == {"shape": "round"}
    sdk.delete_share_metadata(share.id, ["colour", "shape"])
    assert {"colour", "shape"}.isdisjoint(sdk.get_share_metadata(share.id).metadata)


def test_access_rules_and_locations(sdk: Recorded, share: Any) -> None:
    (location,) = sdk.export_locations(share.id)
    assert sdk.get_export_location(location.id, share.id).path == location.path
    rule = sdk.create_access_rule(
        share.id, access_type="ip", access_to="10.33.0.0/25", access_level="rw"
    )
    wait_until(lambda: sdk.get_access_rule(rule.id).state == "active", "the rule", 60)
    assert [found.id for found in sdk.access_rules(share)] == [rule.id]
    sdk.delete_access_rule(rule.id, share.id)
    wait_until(lambda: list(sdk.access_rules(share)) == [], "the rule to go", 60)


def test_snapshots(sdk: Recorded, share: Any) -> None:
    made = sdk.create_share_snapshot(share_id=share.id, name="sdk")
    wait_until(lambda: sdk.get_share_snapshot(made.id).status == "available", "the snapshot", 60)
    assert made.id in [found.id for found in sdk.share_snapshots()]
    sdk.set_share_snapshot_metadata(made.id, colour="blue")
    assert sdk.fetch_share_snapshot_metadata(made.id).metadata == {"colour": "blue"}
    assert sdk.fetch_share_snapshot_metadata_item(made.id, "colour").metadata == {"colour": "blue"}
    sdk.delete_share_snapshot_metadata(made.id, ["colour"])
    assert sdk.update_share_snapshot(made.id, display_description="told").id == made.id
    sdk.reset_share_snapshot_status(made.id, "error")
    sdk.reset_share_snapshot_status(made.id, "available")
    (instance,) = [one for one in sdk.share_snapshot_instances() if one.snapshot_id == made.id]
    assert sdk.get_share_snapshot_instance(instance.id).progress == "100%"
    sdk.revert_share_to_snapshot(share.id, made.id)
    wait_until(lambda: sdk.get_share(share.id).status == "available", "the share", 60)
    wait_until(lambda: sdk.get_share_snapshot(made.id).status == "available", "the snapshot", 60)
    location = sdk.get_share_snapshot_instance(instance.id).provider_location
    sdk.unmanage_share_snapshot(made.id)
    wait_until(
        lambda: made.id not in [found.id for found in sdk.share_snapshots()],
        "the snapshot to be let go",
        60,
    )
    made = sdk.manage_share_snapshot(share.id, location, name="sdk")
    wait_until(lambda: sdk.get_share_snapshot(made.id).status == "available", "the snapshot", 60)
    sdk.delete_share_snapshot(made.id)
    wait_until(
        lambda: made.id not in [found.id for found in sdk.share_snapshots()],
        "the snapshot to go",
        60,
    )


def test_networks_and_subnets(sdk: Recorded, share: Any) -> None:
    network = sdk.get_share_network(share.share_network_id)
    assert network.id in [found.id for found in sdk.share_networks()]
    assert sdk.update_share_network(network, description="told").description == "told"
    subnet = sdk.create_share_network_subnet(network.id, availability_zone="nova")
    assert sdk.get_share_network_subnet(network.id, subnet.id).availability_zone == "nova"
    assert len(list(sdk.share_network_subnets(network.id))) == 2
    sdk.set_share_network_subnet_metadata(network.id, subnet.id, vlan="7")
    assert sdk.fetch_share_network_subnet_metadata(network.id, subnet.id).metadata == {"vlan": "7"}
    assert sdk.fetch_share_network_subnet_metadata_item(network.id, subnet.id, "vlan").metadata == {
        "vlan": "7"
    }
    sdk.delete_share_network_subnet_metadata(network.id, subnet.id, ["vlan"])
    sdk.delete_share_network_subnet(network.id, subnet)


def test_types(sdk: Recorded, share: Any) -> None:
    made = sdk.get_share_type(share.share_type)
    assert made.id in [found.id for found in sdk.share_types()]
    sdk.update_share_type(made, description="told")
    sdk.update_share_type_extra_specs(made.id, thin="True")
    sdk.delete_share_type_extra_spec_property(made.id, "thin")
    assert "thin" not in sdk.get_share_type(made.id).extra_specs


def test_instances(sdk: Recorded, share: Any) -> None:
    doomed = sdk.create_share(
        name="doomed",
        share_protocol="NFS",
        size=1,
        share_type="sdk",
        share_network_id=share.share_network_id,
    )
    wait_until(lambda: sdk.get_share(doomed.id).status == "available", "the share", 60)
    (instance,) = [found for found in sdk.share_instances() if found.share_id == doomed.id]
    sdk.reset_share_instance_status(instance.id, "error")
    assert sdk.get_share_instance(instance.id).status == "error"
    sdk.delete_share_instance(instance.id)
    wait_until(lambda: doomed.id not in [found.id for found in sdk.shares()], "the share to go", 60)


def test_a_share_that_is_let_go_and_taken_over(cloud: Any, sdk: Recorded, share: Any) -> None:
    brief = sdk.create_share(
        name="brief",
        share_protocol="NFS",
        size=1,
        share_type="sdk",
        share_network_id=share.share_network_id,
    )
    wait_until(lambda: sdk.get_share(brief.id).status == "available", "the share", 60)
    shown, (location,) = sdk.get_share(brief.id), sdk.export_locations(brief.id)
    sdk.unmanage_share(brief.id)
    wait_until(
        lambda: brief.id not in [found.id for found in sdk.shares()], "the share to be let go", 60
    )
    back = sdk.manage_share(
        "NFS", location.path, shown.host, share_type="sdk", share_server_id=shown.share_server_id
    )
    wait_until(
        lambda: sdk.get_share(back.id).status == "available", "the share to be taken over", 60
    )
    sdk.delete_share(back.id)
    wait_until(lambda: back.id not in [found.id for found in sdk.shares()], "the share to go", 60)


def test_transfers(sdk: Recorded, shared_service: Installation) -> None:
    specs = {"driver_handles_share_servers": "False"}
    plain = sdk.create_share_type(name="plain-sdk", extra_specs=specs)
    given = sdk.create_share(name="given", share_protocol="NFS", size=1, share_type="plain-sdk")
    wait_until(lambda: sdk.get_share(given.id).status == "available", "the share", 60)
    withdrawn = sdk.create_share_transfer(share_id=given.id, name="first")
    # the SDK does not look for the member `transfers`: one object without an id, with Manila too
    assert [found.id for found in sdk.share_transfers(details=True)] == [None]
    assert sdk.find_share_transfer(withdrawn.id).id == withdrawn.id
    assert sdk.get_share_transfer(withdrawn.id).resource_id == given.id
    sdk.delete_share_transfers(withdrawn)
    offered = sdk.create_share_transfer(share_id=given.id)
    with pytest.raises(openstack.exceptions.BadRequestException, match="already"):
        sdk.accept_share_transfer(offered.id, auth_key=offered.auth_key)
    another_project(shared_service, "taker-of-sdk")
    files = [str(shared_service.folder / "taker-of-sdk.yaml")]
    config = openstack.config.OpenStackConfig(config_files=files).get_one("abaca-taker-of-sdk")
    taker = openstack.connection.Connection(config=config).shared_file_system
    taker.accept_share_transfer(offered.id, auth_key=offered.auth_key, clear_access_rules=True)
    assert [found.id for found in taker.shares()] == [given.id]
    taker.delete_share(given.id)
    wait_until(lambda: list(taker.shares()) == [], "the share to go", 60)
    sdk.delete_share_type(plain)


def test_back_ends_limits_quotas_and_messages(sdk: Recorded, share: Any) -> None:
    service = min(sdk.services(), key=lambda each: str(each.host))
    sdk.disable_service(service, service.host, service.binary)
    sdk.enable_service(service, service.host, service.binary)
    sdk.ensure_shares_service(service.host)
    assert [zone.name for zone in sdk.availability_zones()] == ["nova"]
    assert len(list(sdk.storage_pools())) == 2
    # without figures: it looks beside `absolute`, where Manila has none either
    assert len(list(sdk.limits())) == 1
    sdk.update_quota_class_set("default", shares=55)
    assert sdk.get_quota_class_set("default").shares == 55
    sdk.update_quota_set("blue", shares=7)
    assert sdk.get_quota_set("blue").shares == 7
    sdk.revert_quota_set("blue")
    assert sdk.get_quota_set("blue").shares == 55
    assert list(sdk.share_replicas()) == []
    nowhere = sdk.create_share(
        name="nowhere",
        share_protocol="CIFS",
        size=1,
        share_type="sdk",
        share_network_id=share.share_network_id,
    )
    wait_until(lambda: sdk.get_share(nowhere.id).status == "error", "the failure", 60)
    (message,) = [found for found in sdk.user_messages() if found.resource_id == nowhere.id]
    assert sdk.get_user_message(message.id).user_message
    sdk.delete_user_message(message.id)
    sdk.delete_share(nowhere.id)
    wait_until(
        lambda: nowhere.id not in [found.id for found in sdk.shares()], "the share to go", 60
    )


def test_what_is_not_called_is_what_is_documented(cloud: Any, sdk: Recorded, share: Any) -> None:
    """Deleting the share and waiting for that comes when the last test is over."""
    proxy = type(cloud.shared_file_system)
    own = {
        name for name, what in vars(proxy).items() if callable(what) and not name.startswith("_")
    }
    (section,) = (
        text
        for paragraph in COMPATIBILITY.read_text().split("\n\n")
        if "openstacksdk's methods of" in (text := " ".join(paragraph.split()))
    )
    told = [re.escape(name).replace(r"\*", ".*") for name in re.findall(r"`([*\w]+)`", section)]
    documented = {name for name in own if any(re.fullmatch(pattern, name) for pattern in told)}
    assert (
        own - sdk.called - {"wait_for_delete", "delete_share_network", "delete_share_type"}
        == documented
    )
