"""The unmodified `openstack` command and openstacksdk against a running service with the fake back
end, by the `clouds.yaml` it wrote.

One story, in order, in one project; then another project's user.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from abaca.admin.demo_scene import openstack_program
from tests.clients.command import Client, Shell
from tests.service import Installation, installation, wait_until

openstack = pytest.importorskip(
    "openstack", reason="openstacksdk is missing (pip install 'abaca[client]')"
)

pytestmark = [
    pytest.mark.slow("each start of the `openstack` command takes a second"),
    pytest.mark.timeout(300),
    pytest.mark.sampled_file(4),
]


@pytest.fixture(scope="module")
def service() -> Iterator[Installation]:
    if openstack_program() is None:
        pytest.skip("the command openstack is missing (pip install 'abaca[client]')")
    with installation() as made:
        made.start()
        yield made


@pytest.fixture(scope="module")
def client(service: Installation) -> Iterator[Client]:
    """Out of one process: each start of the command would take longer than what it asks for."""
    made = Shell(service.state_dir / "clouds.yaml", "abaca")
    yield made
    made.close()


@pytest.fixture(scope="module")
def sdk(service: Installation) -> Any:
    """openstacksdk by the same file."""
    files = [str(service.state_dir / "clouds.yaml")]
    return openstack.connection.Connection(
        config=openstack.config.OpenStackConfig(config_files=files).get_one("abaca")
    )


def until_status(client: Client, share: str, status: str) -> None:
    wait_until(
        lambda: client.ask("share", "show", share)["status"] == status,
        f"share {share} to be {status}",
        60,
    )


def test_services_are_listed(client: Client) -> None:
    (service,) = client.ask("share", "service", "list")
    assert (service["Binary"], service["State"], service["Status"]) == (
        "manila-share",
        "up",
        "enabled",
    )


def test_pools_are_listed(client: Client) -> None:
    (pool,) = client.ask("share", "pool", "list")
    assert pool["Name"].endswith("@fake#fake")


def test_networks_and_subnets_are_made_and_found_by_name(client: Client) -> None:
    network = client.ask("network", "create", "blue")
    for name, version, cidr in (("blue-v4", "4", "10.9.0.0/24"), ("blue-v6", "6", "fd00:9::/64")):
        subnet = client.ask(
            "subnet",
            "create",
            "--network",
            "blue",
            "--ip-version",
            version,
            "--subnet-range",
            cidr,
            name,
        )
        assert (subnet["cidr"], subnet["network_id"]) == (cidr, network["id"])
    assert {subnet["Name"] for subnet in client.ask("subnet", "list", "--network", "blue")} == {
        "blue-v4",
        "blue-v6",
    }
    assert client.ask("network", "show", "blue")["id"] == network["id"]
    # without a port, all but network, broadcast and gateway are free
    told = client.ask("ip", "availability", "show", "blue")
    counted = {each["cidr"]: each for each in told["subnet_ip_availability"]}
    assert (counted["10.9.0.0/24"]["total_ips"], counted["10.9.0.0/24"]["used_ips"]) == (253, 0)
    (listed,) = client.ask("ip", "availability", "list", "--ip-version", "4")
    assert (listed["Network Name"], listed["Total IPs"], listed["Used IPs"]) == ("blue", 253, 0)


def test_overlapping_ranges_are_refused(client: Client) -> None:
    done = client.tried(
        "subnet", "create", "--network", "blue", "--subnet-range", "10.9.0.128/25", "again"
    )
    assert done.returncode != 0 and "overlaps with subnet" in done.stderr


def test_a_share_type_is_made(client: Client) -> None:
    made = client.ask("share", "type", "create", "default", "true")
    assert made["required_extra_specs"] == {
        "driver_handles_share_servers": "True"
    } or "True" in str(made["required_extra_specs"])
    assert [row["Name"] for row in client.ask("share", "type", "list")] == ["default"]


def test_a_share_network_stands_on_two_subnets_of_one_zone(client: Client) -> None:
    zone = ("--availability-zone", "nova")
    made = client.ask(
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
    assert made["status"] == "active"
    subnet = ("--neutron-net-id", "blue", "--neutron-subnet-id", "blue-v6", *zone)
    added = client.ask("share", "network", "subnet", "create", "blue", *subnet)
    assert (added["share_network_id"], added["availability_zone"]) == (made["id"], "nova")


def test_a_share_is_made_extended_and_shown(client: Client) -> None:
    client.run(
        "share",
        "create",
        "--name",
        "docs",
        "--share-type",
        "default",
        "--share-network",
        "blue",
        "NFS",
        "1",
    )
    until_status(client, "docs", "available")
    client.run("share", "resize", "docs", "2")
    wait_until(
        lambda: client.ask("share", "show", "docs")["size"] == 2, "the share to be extended", 60
    )
    (row,) = client.ask("share", "list", "--long")
    assert (row["Name"], row["Size"], row["Share Protocol"]) == ("docs", 2, "NFS")


def test_access_rules_are_made_listed_and_deleted(client: Client) -> None:
    for rule in ("10.9.0.0/25", "fd00:9::/80"):
        client.run("share", "access", "create", "--access-level", "ro", "docs", "ip", rule)
    wait_until(
        lambda: (
            {rule["State"] for rule in client.ask("share", "access", "list", "docs")} == {"active"}
        ),
        "the rules",
        60,
    )
    rules = {rule["Access To"]: rule for rule in client.ask("share", "access", "list", "docs")}
    assert {rule["Access Level"] for rule in rules.values()} == {"ro"} and rules.keys() == {
        "10.9.0.0/25",
        "fd00:9::/80",
    }
    client.run("share", "access", "delete", "docs", rules["10.9.0.0/25"]["ID"])
    wait_until(
        lambda: (
            [rule["Access To"] for rule in client.ask("share", "access", "list", "docs")]
            == ["fd00:9::/80"]
        ),
        "one to go",
        60,
    )


def test_a_rule_twice_is_refused_with_the_reason(client: Client) -> None:
    done = client.tried("share", "access", "create", "docs", "ip", "fd00:9::/80")
    assert done.returncode != 0 and "exists" in done.stderr


def test_there_is_an_export_location_for_each_address(client: Client) -> None:
    locations = client.ask("share", "export", "location", "list", "docs")
    assert sorted(location["Path"].startswith("[") for location in locations) == [False, True]
    shown = client.ask("share", "export", "location", "show", "docs", locations[0]["ID"])
    assert shown["path"] == locations[0]["Path"]


def test_a_subnet_is_checked_and_added_to_a_share_network_in_use(client: Client) -> None:
    client.run("network", "create", "green")
    client.run(
        "subnet", "create", "--network", "green", "--subnet-range", "10.10.0.0/24", "green-v4"
    )
    before = client.ask("share", "export", "location", "list", "docs")
    subnet = (
        "--neutron-net-id",
        "green",
        "--neutron-subnet-id",
        "green-v4",
        "--availability-zone",
        "nova",
    )
    command = ("share", "network", "subnet", "create", "blue", *subnet)
    wait_until(lambda: client.ask(*command, "--check-only")["compatible"] is True, "the check", 60)
    client.run(*command)
    wait_until(
        lambda: len(client.ask("share", "export", "location", "list", "docs")) == 3,
        "a third export location",
        60,
    )
    assert client.ask("share", "export", "location", "list", "docs")[:2] == before


def test_security_services_are_attached_and_exchanged_in_use(client: Client) -> None:
    def settled(expected: str) -> None:
        wait_until(
            lambda: client.ask("share", "network", "show", "blue")["status"] == "active",
            "share network blue to be active",
            60,
        )
        attached = client.ask("share", "security", "service", "list", "--share-network", "blue")
        assert [row["Name"] for row in attached] == [expected]

    for name in ("first", "second"):
        made = client.ask(
            "share",
            "security",
            "service",
            "create",
            "ldap",
            "--name",
            name,
            "--server",
            "10.9.0.50",
            "--password",
            "p",
            "--ou",
            "o",
        )
        assert (made["name"], made["password"], made["ou"], made["status"]) == (
            name,
            "p",
            "o",
            "new",
        )
    client.run("share", "network", "set", "blue", "--new-security-service", "first")
    settled("first")
    exchange = ("--current-security-service", "first", "--new-security-service", "second")
    client.run("share", "network", "set", "blue", *exchange, "--check-only")
    client.run("share", "network", "set", "blue", *exchange)
    settled("second")
    client.run("share", "security", "service", "set", "second", "--description", "changed")
    assert client.ask("share", "security", "service", "show", "second")["description"] == "changed"
    assert client.tried("share", "security", "service", "delete", "second").returncode != 0
    client.run("share", "security", "service", "delete", "first")


def test_openstacksdk_sees_the_same(sdk: Any, client: Client) -> None:
    (share,) = sdk.shared_file_system.shares()
    assert (share.name, share.status, share.size) == ("docs", "available", 2)
    (network,) = sdk.shared_file_system.share_networks()
    assert len(list(sdk.shared_file_system.share_network_subnets(network.id))) == 3
    assert {found.name for found in sdk.network.networks()} == {"blue", "green"}
    assert len(list(sdk.shared_file_system.export_locations(share.id))) == 3


def test_another_project_sees_none_of_it(service: Installation, client: Client) -> None:
    mine = client.ask("share", "show", "docs")["id"]
    done = subprocess.run(
        service.command("user", "add", "mary", "--project", "red"),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    entry = msgspec.yaml.decode(done.stdout[done.stdout.index("clouds:") :])["clouds"]
    path = service.folder / "mary.yaml"
    path.write_bytes(msgspec.yaml.encode({"clouds": entry}))
    mary = Client(path, "abaca-mary")
    wait_until(lambda: mary.tried("share", "list").returncode == 0, "the new user to be known", 30)
    assert mary.ask("share", "list") == [] and mary.ask("network", "list") == []
    done_show = mary.tried("share", "show", mine)
    assert done_show.returncode != 0 and "docs" not in done_show.stdout + done_show.stderr


def test_everything_goes_again(client: Client) -> None:
    client.run("share", "delete", "--wait", "docs")
    (server,) = client.ask("share", "server", "list")
    client.run("share", "server", "delete", "--wait", server["ID"])
    shown = client.ask("share", "network", "show", "blue")
    subnets = [subnet["id"] for subnet in shown["share_network_subnets"]]
    client.run("share", "network", "subnet", "delete", "blue", *subnets[1:])
    client.run("share", "network", "delete", "blue")
    client.run("share", "type", "delete", "default")
    wait_until(lambda: client.ask("share", "network", "list") == [], "the share network to go", 60)
    client.run("network", "delete", "blue", "green")
    assert client.ask("network", "list") == client.ask("subnet", "list") == []
