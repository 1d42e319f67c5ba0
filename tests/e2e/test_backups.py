"""Backups on the Linux back end, from the request to what a client finds in its mount."""

from __future__ import annotations

from pathlib import Path

import pytest

from abaca.domain.backups import share_backups as backups
from abaca.drivers.linux.inventory import leftovers
from tests.contracts.drivers.linux_backend import probe
from tests.e2e.conftest import Install, Site
from tests.operations.scene import delete_share, share, told
from tests.stack import MEMBER, wait_for

pytestmark = [
    pytest.mark.sampled_file(8),
    pytest.mark.root,
    pytest.mark.slow("restic runs a dozen times"),
    pytest.mark.timeout(600),
]

V4, V6 = "10.76.0.0/24", "fd00:76::/64"
PATIENCE = 200


def ends(site: Site, backup: str, status: str) -> None:
    def is_so() -> bool:
        found = site.stack.ask(backups.get, MEMBER, backup)["status"]
        assert found != "error", told(site.stack)
        return bool(found == status)

    wait_for(is_so, PATIENCE)


def test_a_client_gets_its_files_back(install: Install, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    site = install(1, {"backup_folder": str(folder), "pool_size_gib": "4"})
    stack = site.stack
    v4, v6 = stack.network(V4, V6)
    network = stack.share_network(v4, v6)
    stack.share_type("kept", share_backend_name="b1", backup_support="True")
    made, other = (site.share(network, share_type="kept") for _ in range(2))
    client = site.client("client", v4, V4, V6)
    (location, _), (elsewhere, _) = stack.paths(made), stack.paths(other)
    assert probe(client, "write", location, "file", "before")["ok"]

    backup = stack.backup(made)
    ends(site, backup, "available")
    assert probe(client, "write", location, "file", "after")["ok"]
    assert probe(client, "write", location, "new", "new")["ok"]
    stack.do(backups.restore, MEMBER, backup)
    ends(site, backup, "available")
    assert share(stack, made)["status"] == "available"
    assert probe(client, "read", location, "file") == {"ok": True, "text": "before"}
    assert not probe(client, "read", location, "new")["ok"]
    assert probe(client, "write", location, "file", "and on")["ok"]

    stack.do(backups.restore, MEMBER, backup, other)
    ends(site, backup, "available")
    assert probe(client, "read", elsewhere, "file") == {"ok": True, "text": "before"}
    stack.do(backups.delete, MEMBER, backup)
    wait_for(lambda: stack.settled_backup(backup) == "gone", PATIENCE)
    assert [each.name for each in folder.iterdir()] == ["abaca-backups"]
    for each in (made, other):
        delete_share(stack, each)
    left = leftovers(site.namespace, Path(stack.conf.state_dir, "worker"))
    assert (left["subvolumes"], [each for each in left["control_groups"] if backup in each]) == (
        [],
        [],
    )
    assert told(stack) == []
