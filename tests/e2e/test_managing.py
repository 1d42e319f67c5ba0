"""Shares of the Linux back end that an administrator lets go and takes over by the `openstack`
command, data that never were a share among them, and a client that finds what it had."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from abaca.drivers.linux.clients import attach_client
from tests.clients.command import Shell
from tests.contracts.drivers.linux_backend import probe
from tests.e2e.test_reboot import Machine, machine
from tests.service import wait_until

pytest.importorskip(
    "manilaclient", reason="python-manilaclient is missing (pip install 'abaca[client]')"
)

__all__ = ["machine"]

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow("an installation, a share server and many commands"),
    pytest.mark.timeout(400),
    pytest.mark.sampled_file(4),
]

CIDR, CLIENT = "10.76.0.0/24", "10.76.0.200"
TYPE = ("--share-type", "kept")


class Site:
    """What an administrator has: a share network `site`, and a machine on it."""

    def __init__(self, shell: Shell, machine: Machine) -> None:
        self.shell = shell
        self._machine = machine
        network = shell.ask("network", "create", "site")["id"]
        shell.run("subnet", "create", "--network", "site", "--subnet-range", CIDR, "site")
        specs = ("snapshot_support=True", "mount_point_name_support=True")
        shell.ask("share", "type", "create", "kept", "true", "--extra-specs", *specs)
        where = ("--neutron-net-id", "site", "--neutron-subnet-id", "site")
        shell.run("share", "network", "create", "--name", "site", *where)
        self._network = network
        self.client = f"{machine.namespace}-client"

    def attach(self) -> None:
        attach_client(self._machine.namespace, self._network, self.client, [f"{CLIENT}/24"])

    def path(self, share: str) -> str:
        (row,) = self.shell.ask("share", "export", "location", "list", share)
        return str(row["Path"])

    def admit(self, share: str) -> None:
        self.shell.run("share", "access", "create", share, "ip", CLIENT, "--wait")

    def instance(self, share: str) -> dict[str, str]:
        (found,) = [
            row for row in self.shell.ask("share", "instance", "list") if row["Share ID"] == share
        ]
        return dict(self.shell.ask("share", "instance", "show", found["ID"]))

    def adopt(self, host: str, server: str, path: str, name: str, *more: str) -> str:
        command = ("share", "adopt", host, "NFS", path, *TYPE, "--share-server-id", server)
        made = self.shell.ask(*command, "--name", name, *more)["id"]

        def status() -> str:
            return str(self.shell.ask("share", "show", name)["status"])

        wait_until(lambda: status() != "manage_starting", "the share to be taken over", 60)
        assert status() == "available", self.shell.ask("share", "message", "list")
        return str(made)


@pytest.fixture
def site(machine: Machine) -> Iterator[Site]:
    machine.made.start()
    with ExitStack() as undo:
        shell = Shell(machine.made.state_dir / "clouds.yaml", "abaca")
        undo.callback(shell.close)
        yield Site(shell, machine)


def test_shares_are_let_go_and_taken_over(site: Site, machine: Machine) -> None:
    shell = site.shell
    create = ("share", "create", "NFS", "1", *TYPE, "--share-network", "site", "--wait")
    papers = shell.ask(*create, "--name", "papers", "--mount-point-name", "papers")["id"]
    site.attach()
    named = site.path("papers")
    assert named.endswith("_papers")
    site.admit("papers")
    assert probe(site.client, "write", named, "file", "by a client")["ok"]
    instance = site.instance(papers)
    host, server = instance["host"], instance["share_server_id"]

    # its data stay in a subvolume named after the id of the instance, and nobody is served
    shell.run("share", "abandon", "papers", "--wait")
    assert not probe(site.client, "read", named, "file")["ok"]
    plain = f"{named.rpartition('/')[0]}/{instance['id']}"
    taken = site.adopt(host, server, plain, "taken", "--mount-point-name", "again")
    path = site.path("taken")
    assert taken != papers and path.endswith("_again")
    assert not probe(site.client, "read", path, "file")["ok"], "for nobody yet"
    site.admit("taken")
    assert probe(site.client, "read", path, "file") == {"ok": True, "text": "by a client"}

    # once more as it is, by the name that it has had, which is no path of it any more
    shell.run("share", "abandon", "taken", "--wait")
    command = ("share", "adopt", host, "NFS", named, *TYPE, "--share-server-id", server)
    shell.ask(*command, "--name", "wrong")
    wait_until(
        lambda: shell.ask("share", "show", "wrong")["status"] == "manage_error", "a refusal", 60
    )
    shell.run("share", "abandon", "wrong", "--wait")

    # what was never a share
    (subvolume,) = machine.worker_dir.glob(f"**/pool/**/{instance['id']}")
    old = subvolume.parent / "old_data"
    subprocess.run(["btrfs", "subvolume", "create", str(old)], check=True, capture_output=True)
    Path(old, "here").write_text("already")
    brought = f"{named.rpartition('/')[0]}/old_data"
    site.adopt(host, server, brought, "brought")
    assert shell.ask("share", "show", "brought")["size"] == 1
    site.admit("brought")
    assert probe(site.client, "read", site.path("brought"), "here")["text"] == "already"
    assert not old.exists(), "it is named by an id now"

    # and with all that a share can do
    shell.run("share", "resize", "brought", "2", "--wait")
    shell.run("share", "snapshot", "create", "brought", "--name", "then", "--wait")
    location = shell.ask("share", "snapshot", "show", "then")["provider_location"]
    shell.run("share", "snapshot", "abandon", "then", "--wait")
    shell.ask("share", "snapshot", "adopt", "brought", location, "--name", "back", "--wait")
    refused = shell.tried("share", "abandon", "brought", "--wait")
    assert refused.returncode != 0 and "snapshots" in refused.stderr
    shell.run("share", "snapshot", "delete", "back", "--wait")
    shell.run("share", "delete", "brought", "--wait")
    assert shell.ask("share", "list") == []
