"""The unmodified `openstack` command (out of one process a user) and openstacksdk against a service
behind Keystone, which they find by the catalogue; and Neutron.

Their `clouds.yaml` holds nothing but Keystone's address and credentials.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest

from abaca.admin.demo_scene import openstack_program
from tests.clients.command import Client, Shell
from tests.openstack.keystone import Keystone, section
from tests.openstack.lab import NeutronLab
from tests.service import FAKE_BACKEND, Installation, installation, wait_until

openstack = pytest.importorskip(
    "openstack", reason="openstacksdk is missing (pip install 'abaca[client]')"
)

pytestmark = [
    pytest.mark.slow("a real Keystone, and the `openstack` command"),
    pytest.mark.timeout(300),
    pytest.mark.sampled_file(4),
]

TYPES = {"shared-file-system": "/v2", "sharev2": "/v2", "share": "/v2/%(project_id)s"}


@pytest.fixture(scope="module")
def service(keystone: Keystone, neutron_lab: NeutronLab) -> Iterator[Installation]:
    if openstack_program() is None:
        pytest.skip("the command openstack is missing (pip install 'abaca[client]')")
    own_user = keystone.service_user(f"abaca-{uuid4().hex[:8]}")
    neutron = "\n".join(f"{name} = {value}" for name, value in neutron_lab.options.items())
    settings = (
        "[api]\nauth_strategy = "
        f"keystone\n{section(own_user)}[neutron]\n{neutron}\n[DEFAULT]\nnetwork_plugin = "
        "neutron\n"
    )
    with installation(config_text=FAKE_BACKEND + settings) as made:
        made.start()
        for service_type, path in TYPES.items():
            keystone.register(service_type, f"{made.url}{path}")
        yield made


@pytest.fixture(scope="module")
def clouds(
    service: Installation, keystone: Keystone, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A `clouds.yaml` with the clouds `alice`, a member of one project, and `admin`."""
    mark = uuid4().hex[:8]
    keystone.user(f"alice-{mark}", "member", project_id=keystone.project(f"red-{mark}"))
    path = tmp_path_factory.mktemp("clouds") / "clouds.yaml"
    entries = {
        "alice": keystone.cloud(f"alice-{mark}", f"red-{mark}"),
        "admin": keystone.cloud("admin", "admin"),
    }
    path.write_bytes(msgspec.yaml.encode({"clouds": entries}))
    return path


@pytest.fixture(scope="module")
def alice(clouds: Path) -> Iterator[Client]:
    with closing(Shell(clouds, "alice")) as made:
        yield made


@pytest.fixture(scope="module")
def admin(clouds: Path) -> Iterator[Client]:
    with closing(Shell(clouds, "admin")) as made:
        yield made


def test_who_may_what(alice: Client, admin: Client) -> None:
    assert alice.ask("share", "list") == []
    assert [row["State"] for row in admin.ask("share", "service", "list")] == ["up"]
    refused = alice.tried("share", "service", "list")
    assert refused.returncode != 0 and "403" in refused.stderr
    assert admin.ask("share", "type", "create", "default", "true")["name"] == "default"


@pytest.mark.parametrize("service_type", TYPES)
def test_the_catalogue_leads_to_it_by_every_type(clouds: Path, service_type: str) -> None:
    cloud = openstack.config.OpenStackConfig(config_files=[str(clouds)]).get_one("alice")
    session = cloud.get_session()
    answer = session.get(
        "/share-networks", endpoint_filter={"service_type": service_type, "interface": "public"}
    )
    assert answer.json() == {"share_networks": []}


def test_a_share_on_two_subnets_of_neutron_and_a_third_added(
    alice: Client, admin: Client, neutron_lab: NeutronLab
) -> None:
    """The networks are made, found by name and taken away with the same command; ports come and go
    with the share server."""
    network_id = alice.ask("network", "create", "blue")["id"]
    for name, version, cidr in (
        ("v4", "4", "10.9.0.0/24"),
        ("v6", "6", "fd00:9::/64"),
        ("more", "4", "10.10.0.0/24"),
    ):
        alice.run(
            "subnet",
            "create",
            "--network",
            "blue",
            "--ip-version",
            version,
            "--subnet-range",
            cidr,
            f"blue-{name}",
        )
    zone = ("--availability-zone", "nova")
    alice.run(
        "share",
        "network",
        "create",
        "--name",
        "blue",
        "--neutron-net-id",
        "blue",
        "--neutron-subnet-id",
        "blue-v4",
        *zone,
    )
    subnet = ("share", "network", "subnet", "create", "blue", "--neutron-net-id", "blue", *zone)
    alice.run(*subnet, "--neutron-subnet-id", "blue-v6")
    alice.run(
        "share",
        "create",
        "--name",
        "docs",
        "--share-type",
        "default",
        "--share-network",
        "blue",
        "--wait",
        "NFS",
        "1",
    )
    assert (
        len(neutron_lab.ports(network_id))
        == len(alice.ask("share", "export", "location", "list", "docs"))
        == 2
    )
    third = (*subnet, "--neutron-subnet-id", "blue-more")
    wait_until(lambda: alice.ask(*third, "--check-only")["compatible"] is True, "the check", 60)
    alice.run(*third)
    wait_until(
        lambda: len(alice.ask("share", "export", "location", "list", "docs")) == 3,
        "a third export location",
        60,
    )
    addresses = {
        fixed["ip_address"] for port in neutron_lab.ports(network_id) for fixed in port["fixed_ips"]
    }
    assert addresses == {
        row["Path"].rpartition(":/")[0].strip("[]")
        for row in alice.ask("share", "export", "location", "list", "docs")
    }
    for who, sees in ((alice, False), (admin, True)):
        shown = who.ask(
            "share",
            "network",
            "show",
            "blue" if who is alice else alice.ask("share", "network", "show", "blue")["id"],
        )
        assert all(
            (one.get("segmentation_id") is not None) is sees
            for one in shown["share_network_subnets"]
        ), shown
    alice.run("share", "delete", "docs", "--wait")
    for row in alice.ask("share", "network", "show", "blue")["share_network_subnets"][1:]:
        alice.run("share", "network", "subnet", "delete", "blue", row["id"])
    alice.run("share", "network", "delete", "blue")
    wait_until(lambda: neutron_lab.ports(network_id) == [], "the ports to go", 60)
    alice.run("network", "delete", "blue")


def test_commands_that_look_a_project_up(alice: Client, admin: Client) -> None:
    """By its name, in Keystone: quotas of a project, and who may use a type of share groups."""
    project = alice.ask("token", "issue")["project_id"]
    name = admin.ask("project", "show", project)["name"]
    shown = ("share", "quota", "show", name)
    before = admin.ask(*shown)["shares"]
    admin.run("share", "quota", "set", name, "--shares", "7")
    assert (admin.ask(*shown)["shares"], admin.ask(*shown, "--defaults")["shares"]) == (7, before)
    limits = {
        row["Name"]: row["Value"] for row in alice.ask("share", "limits", "show", "--absolute")
    }
    assert limits["maxTotalShares"] == 7
    admin.run("share", "quota", "delete", name)
    assert admin.ask(*shown)["shares"] == before
    admin.run("share", "type", "create", "grouped", "true")
    kind = ("share", "group", "type")
    admin.run(*kind, "create", "closed", "grouped", "--public", "false")
    access = (*kind, "access")
    assert "closed" not in [row["Name"] for row in alice.ask(*kind, "list")]
    admin.run(*access, "create", "closed", name)
    assert admin.ask(*access, "list", "closed") == [{"Project ID": project}]
    assert "closed" in [row["Name"] for row in alice.ask(*kind, "list")]
    admin.run(*access, "delete", "closed", name)
    assert admin.ask(*access, "list", "closed") == []
    admin.run(*kind, "delete", "closed")
    admin.run("share", "type", "delete", "grouped")
