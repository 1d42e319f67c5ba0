"""Every `openstack share …` command about something that Abaca has is called against a running
service, noun by noun; those that Abaca brings, too.

Those about what Abaca does not have, and those that need Keystone, are listed in
docs/reference/compatibility.md: the last test compares.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from abaca import values
from abaca.drivers.fake import FakeDriver
from tests.clients.command import Client, Shell, share_commands
from tests.service import Installation, wait_until

pytest.importorskip(
    "manilaclient", reason="python-manilaclient is missing (pip install 'abaca[client]')"
)

pytestmark = [
    pytest.mark.sampled_file(8),
    pytest.mark.slow("all commands of the client, one by one"),
    pytest.mark.timeout(300),
]

COMPATIBILITY = Path(__file__).parents[2] / "docs" / "reference" / "compatibility.md"
SPECS = (
    "snapshot_support=True",
    "create_share_from_snapshot_support=True",
    "revert_to_snapshot_support=True",
    "mount_snapshot_support=True",
)


@pytest.fixture(scope="module")
def shell(shared_service: Installation) -> Iterator[Shell]:
    made = Shell(shared_service.state_dir / "clouds.yaml", "abaca")
    yield made
    made.close()


@pytest.fixture(scope="module")
def stage(shell: Shell) -> Iterator[str]:
    """A network, a share type and a share network `every`, and the share `every` on it; all of it
    goes at the end. Its server's id."""
    shell.run("network", "create", "every")
    shell.run("subnet", "create", "--network", "every", "--subnet-range", "10.31.0.0/24", "every")
    shell.ask("share", "type", "create", "every", "true", "--extra-specs", *SPECS)
    shell.ask(
        "share",
        "network",
        "create",
        "--name",
        "every",
        "--neutron-net-id",
        "every",
        "--neutron-subnet-id",
        "every",
    )
    shell.ask(
        "share",
        "create",
        "NFS",
        "1",
        "--name",
        "every",
        "--share-type",
        "every",
        "--share-network",
        "every",
    )
    until_share(shell, "available")
    (server,) = [row["ID"] for row in shell.ask("share", "server", "list")]
    yield server
    shell.run("share", "delete", "every")
    wait_until(lambda: shell.ask("share", "list") == [], "the share to go", 60)
    shell.run("share", "server", "delete", server)
    wait_until(lambda: shell.ask("share", "server", "list") == [], "the server to go", 60)
    shell.run("share", "network", "delete", "every")
    shell.run("share", "type", "delete", "every")
    wait_until(lambda: shell.ask("share", "network", "list") == [], "the share network to go", 60)
    shell.run("network", "delete", "every")


def until_share(shell: Shell, status: str, share: str = "every") -> None:
    wait_until(
        lambda: shell.ask("share", "show", share)["status"] == status, f"{share} to be {status}", 60
    )


def test_types(shell: Shell, stage: str) -> None:
    assert "every" in [row["Name"] for row in shell.ask("share", "type", "list")]
    shell.run(
        "share", "type", "set", "every", "--description", "told", "--extra-specs", "thin=True"
    )
    shown = shell.ask("share", "type", "show", "every")
    assert shown["description"] == "told" and "thin" in str(shown["optional_extra_specs"])
    shell.run("share", "type", "unset", "every", "thin")
    assert "thin" not in str(shell.ask("share", "type", "show", "every"))
    shell.ask("share", "type", "create", "closed", "true", "--public", "false")
    shell.run("share", "type", "access", "create", "closed", "blue")
    assert shell.ask("share", "type", "access", "list", "closed") == [{"Project ID": "blue"}]
    shell.run("share", "type", "access", "delete", "closed", "blue")
    assert shell.ask("share", "type", "access", "list", "closed") == []
    shell.run("share", "type", "delete", "closed")


def test_group_types(shell: Shell, stage: str) -> None:
    kind = ("share", "group", "type")
    shell.ask(*kind, "create", "pair", "every", "--public", "false", "--group-specs", "a=1")
    assert "pair" in [row["Name"] for row in shell.ask(*kind, "list", "--all")]
    shell.run(*kind, "set", "pair", "--group-specs", "b=2")
    shown = str(shell.ask(*kind, "show", "pair"))
    assert "a" in shown and "b" in shown
    shell.run(*kind, "unset", "pair", "a")
    assert shell.ask(*kind, "access", "list", "pair") == []
    shell.run(*kind, "delete", "pair")
    assert shell.ask(*kind, "list", "--all") == []


def test_groups(shell: Shell, stage: str) -> None:
    shell.ask("share", "group", "type", "create", "pair", "every")
    made = shell.ask(
        *("share", "group", "create", "--name", "together", "--share-types", "every"),
        *("--share-group-type", "pair", "--share-network", "every", "--wait"),
    )
    assert (made["status"], made["consistent_snapshot_support"]) == ("available", "pool")
    shell.run("share", "group", "set", "together", "--description", "told", "--status", "available")
    assert shell.ask("share", "group", "show", "together")["description"] == "told"
    shell.run("share", "group", "unset", "together", "--description")
    assert not shell.ask("share", "group", "show", "together")["description"]
    member = (
        *("share", "create", "NFS", "1", "--name", "member", "--share-type", "every"),
        *("--share-network", "every", "--share-group", "together"),
    )
    assert shell.ask(*member)["share_group_id"] == made["id"]
    until_share(shell, "available", "member")
    (found,) = shell.ask("share", "list", "--share-group", "together")
    assert found["Name"] == "member"
    assert [row["Name"] for row in shell.ask("share", "group", "list")] == ["together"]
    _group_snapshots(shell)
    shell.run("share", "delete", "member", "--share-group", "together", "--wait")
    shell.run("share", "group", "delete", "together", "--wait")
    assert shell.ask("share", "group", "list", "--all-projects") == []
    shell.run("share", "group", "type", "delete", "pair")


def _group_snapshots(shell: Shell) -> None:
    """Of the group `together`, which has one share."""
    command = ("share", "group", "snapshot")
    made = shell.ask(*command, "create", "together", "--name", "kept", "--wait")
    assert made["status"] == "available"
    (member,) = shell.ask(*command, "members", "list", "kept")
    assert member["Size"] == 1
    copy = ("--name", "copy", "--share-group-type", "pair", "--source-share-group-snapshot", "kept")
    made_from = shell.ask("share", "group", "create", *copy, "--wait")
    assert (made_from["status"], made_from["source_share_group_snapshot_id"]) == (
        "available",
        made["id"],
    )
    (share,) = shell.ask("share", "list", "--share-group", "copy")
    shell.run("share", "delete", share["ID"], "--share-group", "copy", "--wait")
    shell.run("share", "group", "delete", "copy", "--wait")
    shell.run(*command, "set", "kept", "--description", "told", "--status", "error")
    assert shell.ask(*command, "show", "kept")["description"] == "told"
    shell.run(*command, "unset", "kept", "--description")
    (found,) = shell.ask(*command, "list", "--share-group", "together", "--status", "error")
    assert found["Name"] == "kept"
    shell.run(*command, "delete", "kept", "--wait")
    assert shell.ask(*command, "list", "--all-projects") == []


def test_networks_and_subnets(shell: Shell, stage: str) -> None:
    shell.run("share", "network", "set", "every", "--description", "told")
    assert shell.ask("share", "network", "show", "every")["description"] == "told"
    shell.run("share", "network", "unset", "every", "--description")
    assert not shell.ask("share", "network", "show", "every")["description"]
    assert [row["Name"] for row in shell.ask("share", "network", "list")] == ["every"]
    where = (
        "--neutron-net-id",
        "every",
        "--neutron-subnet-id",
        "every",
        "--availability-zone",
        "nova",
    )
    made = shell.ask("share", "network", "subnet", "create", "every", *where)
    shell.run("share", "network", "subnet", "set", "every", made["id"], "--property", "vlan=7")
    shown = shell.ask("share", "network", "subnet", "show", "every", made["id"])
    assert (shown["availability_zone"], "vlan" in str(shown["properties"])) == ("nova", True)
    shell.run("share", "network", "subnet", "unset", "every", made["id"], "--property", "vlan")
    assert "vlan" not in str(shell.ask("share", "network", "subnet", "show", "every", made["id"]))
    shell.run("share", "network", "subnet", "delete", "every", made["id"])
    assert len(shell.ask("share", "network", "show", "every")["share_network_subnets"]) == 1


def test_security_services(shell: Shell, stage: str) -> None:
    shell.ask(
        "share", "security", "service", "create", "ldap", "--name", "book", "--server", "10.31.0.9"
    )
    shell.run("share", "security", "service", "set", "book", "--description", "told")
    assert shell.ask("share", "security", "service", "show", "book")["description"] == "told"
    shell.run("share", "security", "service", "unset", "book", "--description")
    assert not shell.ask("share", "security", "service", "show", "book")["description"]
    assert [row["Name"] for row in shell.ask("share", "security", "service", "list")] == ["book"]
    shell.run("share", "security", "service", "delete", "book")


def test_shares(shell: Shell, stage: str) -> None:
    shell.run("share", "set", "every", "--property", "colour=blue", "--description", "told")
    assert shell.ask("share", "properties", "show", "every")["colour"] == "blue"
    shell.run("share", "unset", "every", "--property", "colour", "--description")
    assert not shell.ask("share", "show", "every")["description"]
    shell.run("share", "resize", "every", "2")
    wait_until(lambda: shell.ask("share", "show", "every")["size"] == 2, "the share to grow", 60)
    assert [row["Name"] for row in shell.ask("share", "list")] == ["every"]


def test_shares_that_are_soft_deleted(shell: Shell, stage: str) -> None:
    shell.run("share", "delete", "every", "--soft")
    assert shell.ask("share", "list") == []
    (kept,) = shell.ask("share", "list", "--soft-deleted")
    shell.run("share", "restore", kept["ID"])
    assert [row["Name"] for row in shell.ask("share", "list")] == ["every"]
    assert shell.ask("share", "list", "--soft-deleted") == []


def test_export_locations(shell: Shell, stage: str) -> None:
    (location,) = shell.ask("share", "export", "location", "list", "every")
    of_share = ("every", location["ID"])
    shell.run("share", "export", "location", "set", *of_share, "--property", "rack=7")
    assert "rack" in str(shell.ask("share", "export", "location", "show", *of_share))
    shell.run("share", "export", "location", "unset", *of_share, "--property", "rack")
    assert "rack" not in str(shell.ask("share", "export", "location", "show", *of_share))


def test_access_rules(shell: Shell, stage: str) -> None:
    rule = shell.ask("share", "access", "create", "every", "ip", "10.31.0.0/25")["id"]
    wait_until(
        lambda: shell.ask("share", "access", "show", rule)["state"] == "active", "the rule", 60
    )
    shell.run("share", "access", "set", rule, "--property", "who=me", "--access-level", "ro")
    wait_until(
        lambda: shell.ask("share", "access", "show", rule)["access_level"] == "ro", "the level", 60
    )
    assert "who" in str(shell.ask("share", "access", "show", rule)["properties"])
    shell.run("share", "access", "unset", rule, "--property", "who")
    wait_until(
        lambda: (
            [row["State"] for row in shell.ask("share", "access", "list", "every")] == ["active"]
        ),
        "the rule",
        60,
    )
    shell.run("share", "access", "delete", "every", rule)
    wait_until(lambda: shell.ask("share", "access", "list", "every") == [], "the rule to go", 60)


def test_locks(shell: Shell, stage: str) -> None:
    lock = shell.ask("share", "lock", "create", "every", "share", "--lock-reason", "precious")["id"]
    assert [
        row["ID"]
        for row in shell.ask(
            "share", "lock", "list", "--resource", "every", "--resource-type", "share"
        )
    ] == [lock]
    shell.run("share", "lock", "set", lock, "--lock-reason", "told")
    assert shell.ask("share", "lock", "show", lock)["Lock Reason"] == "told"
    shell.run("share", "lock", "unset", lock, "--lock-reason")
    assert not shell.ask("share", "lock", "show", lock)["Lock Reason"]
    assert shell.tried("share", "delete", "every").returncode != 0
    assert shell.ask("share", "show", "every")["status"] == "available"
    shell.run("share", "lock", "delete", lock)
    assert shell.ask("share", "lock", "list") == []


def test_access_rules_that_are_restricted(shell: Shell, stage: str) -> None:
    rule = shell.ask(
        "share",
        "access",
        "create",
        "every",
        "ip",
        "10.31.0.5",
        "--lock-deletion",
        "--lock-visibility",
    )["id"]
    wait_until(
        lambda: shell.ask("share", "access", "show", rule)["state"] == "active", "the rule", 60
    )
    assert len(shell.ask("share", "lock", "list")) == 3
    assert shell.tried("share", "access", "delete", "every", rule).returncode != 0
    shell.run("share", "access", "delete", "every", rule, "--unrestrict")
    wait_until(lambda: shell.ask("share", "access", "list", "every") == [], "the rule to go", 60)
    assert shell.ask("share", "lock", "list") == []


def test_snapshots(shell: Shell, stage: str) -> None:
    def until(status: str) -> None:
        wait_until(
            lambda: shell.ask("share", "snapshot", "show", "snap")["status"] == status,
            f"snap to be {status}",
            60,
        )

    shell.ask("share", "snapshot", "create", "every", "--name", "snap")
    until("available")
    shell.run(
        "share", "snapshot", "set", "snap", "--description", "told", "--property", "colour=blue"
    )
    assert "colour" in str(shell.ask("share", "snapshot", "show", "snap"))
    shell.run("share", "snapshot", "unset", "snap", "--description", "--property", "colour")
    assert "colour" not in str(shell.ask("share", "snapshot", "show", "snap"))
    assert [row["Name"] for row in shell.ask("share", "snapshot", "list")] == ["snap"]
    (location,) = shell.ask("share", "snapshot", "export", "location", "list", "snap")
    shown = shell.ask("share", "snapshot", "export", "location", "show", "snap", location["ID"])
    assert shown["path"] == location["Path"]
    shell.run("share", "revert", "snap")
    until_share(shell, "available")
    until("available")
    snapshot_instances(shell)
    snapshot_rules(shell)
    let_go_and_taken_back(shell)
    shell.run("share", "snapshot", "delete", "snap")
    wait_until(lambda: shell.ask("share", "snapshot", "list") == [], "the snapshot to go", 60)


def let_go_and_taken_back(shell: Shell) -> None:
    """The snapshot `snap`."""
    location = shell.ask("share", "snapshot", "show", "snap")["provider_location"]
    shell.run("share", "snapshot", "abandon", "snap")
    wait_until(lambda: shell.ask("share", "snapshot", "list") == [], "the snapshot to go", 60)
    shell.run("share", "snapshot", "adopt", "every", location, "--name", "snap")
    wait_until(
        lambda: shell.ask("share", "snapshot", "show", "snap")["status"] == "available",
        "the snapshot to be back",
        60,
    )


def snapshot_rules(shell: Shell) -> None:
    """Rules of the snapshot `snap` of its own."""
    family = ("share", "snapshot", "access")
    rule = shell.ask(*family, "create", "snap", "ip", "10.0.7.0/24")["id"]

    def states() -> dict[str, str]:
        return {row["ID"]: row["State"] for row in shell.ask(*family, "list", "snap")}

    wait_until(lambda: states() == {rule: "active"}, "the rule of the snapshot", 60)
    shell.run(*family, "delete", "snap", rule)
    wait_until(lambda: states() == {}, "the rule of the snapshot to go", 60)


def snapshot_instances(shell: Shell) -> None:
    """The instance of the snapshot `snap`."""
    family = ("share", "snapshot", "instance")
    snapshot = shell.ask("share", "snapshot", "show", "snap")["id"]
    (listed,) = shell.ask(*family, "list", "--snapshot", snapshot, "--detailed")
    instance = listed["ID"]
    assert (listed["Snapshot ID"], listed["Progress"]) == (snapshot, "100%")
    (location,) = shell.ask(*family, "export", "location", "list", instance)
    shown = shell.ask(*family, "export", "location", "show", instance, location["ID"])
    assert shown["path"] == location["Path"]
    shell.run(*family, "set", instance, "--status", "error")
    assert shell.ask(*family, "show", instance)["status"] == "error"
    shell.run(*family, "set", instance, "--status", "available")


def test_backups(shell: Shell, stage: str) -> None:
    made = shell.ask(
        *("share", "backup", "create", "every", "--name", "friday"),
        *("--description", "d", "--backup-options", "backup_type=weekly"),
    )["id"]

    def until(status: str) -> None:
        wait_until(
            lambda: shell.ask("share", "backup", "show", made)["status"] == status,
            f"the backup to be {status}",
            60,
        )

    until("available")
    shown = shell.ask("share", "backup", "show", made)
    assert (shown["progress"], shown["backup_type"]) == ("100", "weekly")
    assert [row["Name"] for row in shell.ask("share", "backup", "list")] == ["friday"]
    assert shell.ask("share", "backup", "list", "--name", "monday") == []
    shell.run("share", "backup", "set", made, "--name", "sunday", "--description", "e")
    assert shell.ask("share", "backup", "show", "sunday")["description"] == "e"
    shell.run("share", "backup", "unset", made, "--description")
    assert shell.ask("share", "backup", "show", made)["description"] in (None, "")
    shell.run("share", "backup", "restore", made)
    until_share(shell, "available")
    until("available")
    shell.run("share", "backup", "set", made, "--status", "error")
    assert shell.ask("share", "backup", "show", made)["status"] == "error"
    assert shell.tried("share", "delete", "every").returncode != 0
    shell.run("share", "backup", "delete", made)
    wait_until(lambda: shell.ask("share", "backup", "list") == [], "the backup to go", 60)


def test_transfers(shell: Shell, stage: str, shared_service: Installation) -> None:
    """A share of a type without share servers passes to the project of another user."""
    shell.ask("share", "type", "create", "plain", "false")
    made = shell.ask("share", "create", "NFS", "1", "--name", "given", "--share-type", "plain")
    until_share(shell, "available", "given")
    family = ("share", "transfer")
    withdrawn = shell.ask(*family, "create", "given", "--name", "first")
    assert shell.ask("share", "show", "given")["status"] == "awaiting_transfer"
    assert [row["Name"] for row in shell.ask(*family, "list")] == ["first"]
    for found, there in ((withdrawn["id"], 1), (stage, 0)):
        assert len(shell.ask(*family, "list", "--detailed", "--id", found)) == there
    shown = shell.ask(*family, "show", "first")
    assert (shown["id"], "auth_key" in shown) == (withdrawn["id"], False)
    shell.run(*family, "delete", "first")
    offered = shell.ask(*family, "create", "given")
    taker = another_project(shared_service, "taker")
    accept = (*family, "accept", offered["id"])
    assert taker.tried(*accept, "0123456789abcdef").returncode != 0
    assert shell.tried(*accept, offered["auth_key"]).returncode != 0, "it is this project's"
    taker.run(*accept, offered["auth_key"], "--clear-rules")
    assert [row["ID"] for row in taker.ask("share", "list")] == [made["id"]]
    assert made["id"] not in [row["ID"] for row in shell.ask("share", "list")]
    taker.run("share", "delete", "given")
    wait_until(lambda: taker.ask("share", "list") == [], "the share to go", 60)
    shell.run("share", "type", "delete", "plain")


def another_project(service: Installation, name: str) -> Client:
    """The command as a new user of a project of the same name."""
    done = subprocess.run(
        service.command("user", "add", name, "--project", name),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    entry = msgspec.yaml.decode(done.stdout[done.stdout.index("clouds:") :])["clouds"]
    path = service.folder / f"{name}.yaml"
    path.write_bytes(msgspec.yaml.encode({"clouds": entry}))
    made = Client(path, f"abaca-{name}")
    wait_until(lambda: made.tried("share", "list").returncode == 0, "the new user to be known", 30)
    return made


def test_instances(shell: Shell, stage: str) -> None:
    shell.ask(
        "share",
        "create",
        "NFS",
        "1",
        "--name",
        "doomed",
        "--share-type",
        "every",
        "--share-network",
        "every",
    )
    until_share(shell, "available", "doomed")
    share = shell.ask("share", "show", "doomed")["id"]
    (instance,) = [
        row["ID"] for row in shell.ask("share", "instance", "list") if row["Share ID"] == share
    ]
    (location,) = shell.ask("share", "instance", "export", "location", "list", instance)
    assert (
        shell.ask("share", "instance", "export", "location", "show", instance, location["ID"])[
            "path"
        ]
        == location["Path"]
    )
    shell.run("share", "instance", "set", instance, "--status", "error")
    assert shell.ask("share", "instance", "show", instance)["status"] == "error"
    shell.run("share", "instance", "delete", instance)
    wait_until(lambda: len(shell.ask("share", "list")) == 1, "the share to go", 60)


def test_servers_and_what_stands_on_them(shell: Shell, stage: str) -> None:
    """A second one, on a share network of its own, is let go with its share, taken over and
    deleted."""
    where = ("--neutron-net-id", "every", "--neutron-subnet-id", "every")
    shell.ask("share", "network", "create", "--name", "other", *where)
    shell.ask(
        "share",
        "create",
        "NFS",
        "1",
        "--name",
        "brief",
        "--share-type",
        "every",
        "--share-network",
        "other",
    )
    until_share(shell, "available", "brief")
    (found,) = [row for row in shell.ask("share", "server", "list") if row["ID"] != stage]
    server, host = found["ID"], found["Host"]
    (location,) = shell.ask("share", "export", "location", "list", "brief")
    shell.run("share", "abandon", "brief")
    wait_until(lambda: len(shell.ask("share", "list")) == 1, "the share to be let go", 60)
    shell.run("share", "server", "set", server, "--status", "error")
    assert shell.ask("share", "server", "show", server)["status"] == "error"
    shell.run("share", "server", "abandon", server)
    wait_until(
        lambda: len(shell.ask("share", "server", "list")) == 1, "the server to be let go", 60
    )
    assert shell.ask("share", "server", "adopt", host, "other", server)["id"] == server
    wait_until(
        lambda: shell.ask("share", "server", "show", server)["status"] == "active",
        "the server to be taken over",
        60,
    )
    how = ("--share-type", "every", "--share-server-id", server, "--name", "back")
    shell.ask("share", "adopt", f"{host}#fake", "NFS", location["Path"], *how)
    until_share(shell, "available", "back")
    shell.run("share", "delete", "back")
    wait_until(lambda: len(shell.ask("share", "list")) == 1, "the share to go", 60)
    shell.run("share", "server", "delete", server)
    wait_until(lambda: len(shell.ask("share", "server", "list")) == 1, "the server to go", 60)
    shell.run("share", "network", "delete", "other")


def test_scheduler_hints(shell: Shell, stage: str) -> None:
    """Beside the share, where it is; apart from it there is no host."""
    share = shell.ask("share", "show", "every")["id"]
    create = ("share", "create", "NFS", "1", "--share-type", "every", "--share-network", "every")
    for hint, status in (("same_host", "available"), ("different_host", "error")):
        shell.ask(*create, "--name", hint, "--scheduler-hint", f"{hint}={share}")
        until_share(shell, status, hint)
    server = shell.ask("share", "show", "same_host")["share_server_id"]
    assert server == shell.ask("share", "show", "every")["share_server_id"] == stage
    (message,) = [row["ID"] for row in shell.ask("share", "message", "list")]
    shell.run("share", "message", "delete", message)
    shell.run("share", "delete", "same_host", "different_host")
    wait_until(lambda: len(shell.ask("share", "list")) == 1, "the shares to go", 60)


def test_connected_clients(shell: Shell, stage: str, shared_service: Installation) -> None:
    """Commands of Abaca's own, beside python-manilaclient's."""
    state_file = shared_service.state_dir / "worker" / "fake.json"
    driver = FakeDriver("fake", {"state_file": str(state_file)})
    ((address,),) = [
        [port["ip_address"] for port in info["network_allocations"]]
        for info in driver.world()["servers"][stage]["network_info"]
    ]
    client = values.Client(
        address="10.31.0.20", server_address=address, protocol="NFS", protocol_version="4.1"
    )
    driver.set_clients(stage, [client])
    assert shell.ask("share", "client", "list", "every") == [], "no rule admits it"
    (row,) = shell.ask("share", "server", "client", "list", stage)
    assert (row["Client"], row["Server Address"], row["Version"]) == ("10.31.0.20", address, "4.1")
    assert row["Routed"] is False
    refused = shell.tried("share", "client", "list", "nothing")
    assert refused.returncode != 0 and "nothing" in refused.stderr
    driver.set_clients(stage, [])


def test_subnets_leave(shell: Shell, stage: str) -> None:
    """Commands of Abaca's own, as well."""
    where = ("--neutron-net-id", "every", "--neutron-subnet-id", "every")
    shell.ask("share", "network", "create", "--name", "drains", *where)
    shell.ask("share", "network", "subnet", "create", "drains", *where)
    shown = shell.ask("share", "network", "show", "drains")
    first, second = re.findall(
        r"(?<![-\w])id'?\"?[ =:]+'?\"?([-0-9a-f]{36})", str(shown["share_network_subnets"])
    )
    removal = ("share", "network", "subnet", "removal")
    made = shell.ask(*removal, "set", "drains", first, "--deadline", "60", "--at-deadline", "force")
    assert (made["deadline"], made["at_deadline"], made["clients"]) == (60, "force", 0)
    assert shell.ask(*removal, "show", "drains", first) == made
    shell.run(*removal, "unset", "drains", first)
    refused = shell.tried(*removal, "show", "drains", first)
    assert refused.returncode != 0 and "does not drain" in refused.stderr
    assert shell.ask(*removal, "check", "drains", first, "--reset")["compatible"] is True
    shell.run(*removal, "force", "drains", first)
    shell.ask(*removal, "set", "drains", second)
    refused = shell.tried(*removal, "force", "drains", second)
    assert refused.returncode != 0 and "the last one" in refused.stderr
    shell.run("share", "network", "delete", "drains")


def test_back_ends(shell: Shell, stage: str) -> None:
    service, plain = sorted(shell.ask("share", "service", "list"), key=lambda row: row["Host"])
    for choice, status in (("--disable", "disabled"), ("--enable", "enabled")):
        shell.run("share", "service", "set", choice, service["Host"], "manila-share")
        told = {row["Host"]: row["Status"] for row in shell.ask("share", "service", "list")}
        assert told == {service["Host"]: status, plain["Host"]: "enabled"}
    shell.run("share", "service", "ensure", "shares", service["Host"])
    assert {row["Name"] for row in shell.ask("share", "pool", "list")} == {
        f"{each['Host']}#fake" for each in (service, plain)
    }
    assert [row["Name"] for row in shell.ask("share", "availability", "zone", "list")] == ["nova"]
    assert shell.ask("share", "replica", "list") == []


def test_limits_and_quotas_of_classes(shell: Shell, stage: str) -> None:
    limits = {
        row["Name"]: row["Value"] for row in shell.ask("share", "limits", "show", "--absolute")
    }
    assert limits["totalSharesUsed"] == 1
    shell.run("share", "quota", "set", "--class", "default", "--shares", "60")
    limits = {
        row["Name"]: row["Value"] for row in shell.ask("share", "limits", "show", "--absolute")
    }
    assert limits["maxTotalShares"] == 60


def test_messages(shell: Shell, stage: str) -> None:
    """Told when no back end can take a share."""
    shell.ask(
        "share",
        "create",
        "CIFS",
        "1",
        "--name",
        "nowhere",
        "--share-type",
        "every",
        "--share-network",
        "every",
    )
    until_share(shell, "error", "nowhere")
    (message,) = [row["ID"] for row in shell.ask("share", "message", "list")]
    assert shell.ask("share", "message", "show", message)["resource_type"] == "SHARE"
    shell.run("share", "message", "delete", message)
    assert shell.ask("share", "message", "list") == []
    shell.run("share", "delete", "nowhere")
    wait_until(lambda: len(shell.ask("share", "list")) == 1, "the share to go", 60)


def test_what_is_not_called_is_what_is_documented(shell: Shell, stage: str) -> None:
    """In the section of docs/reference/compatibility.md, with `*` for all that begin so."""
    section = (
        COMPATIBILITY.read_text()
        .partition("## Commands that are not covered")[2]
        .partition("\n## ")[0]
    )
    section = " ".join(section.split())  # a name may be on two lines
    told = [
        re.escape(name).replace(r"\*", ".*") for name in re.findall(r"`(share [^`]*)`", section)
    ]
    documented = {
        name for name in share_commands() if any(re.fullmatch(pattern, name) for pattern in told)
    }
    assert set(share_commands()) - shell.called == documented
