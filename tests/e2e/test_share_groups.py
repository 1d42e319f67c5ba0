"""A share group from the snapshot of another one, on the Linux back end: what a client finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from abaca.domain.share_groups import share_group_snapshots, share_groups
from abaca.domain.shares import shares
from abaca.drivers.linux.inventory import leftovers
from abaca.values import Page
from tests.contracts.drivers.linux_backend import probe
from tests.e2e.conftest import EVERYBODY, Install
from tests.operations.scenarios_groups import clone_group, create_group
from tests.operations.scene import allow, settled_rules, told
from tests.stack import MEMBER

pytestmark = [pytest.mark.root, pytest.mark.slow("a share server, four shares and their clients")]

V4, V6 = "10.77.0.0/24", "fd00:77::/64"


def test_a_clone_has_the_data_of_the_snapshot(install: Install) -> None:
    """Of each member its own, as they were then; what is written to either is not in the other."""
    site = install(1, {"pool_size_gib": "6"})
    stack = site.stack
    v4, v6 = stack.network(V4, V6)
    network = stack.share_network(v4, v6)
    supports = {"snapshot_support": "True", "create_share_from_snapshot_support": "True"}
    stack.share_type("cloned", share_backend_name="b1", **supports)
    group = create_group(stack, network, "cloned")
    assert stack.settled_group(group) == "available"
    members = [site.share(network, share_type="cloned", share_group_id=group) for _ in range(2)]
    client = site.client("client", v4, V4, V6)
    places = {member: stack.paths(member)[0] for member in members}
    for member, place in places.items():
        assert probe(client, "write", place, "file", f"of {member}")["ok"]
    snapshot = str(stack.do(share_group_snapshots.create, MEMBER, group)["id"])
    assert stack.settled_group_snapshot(snapshot) == "available"
    for place in places.values():
        assert probe(client, "write", place, "file", "since then")["ok"]

    clone = clone_group(stack, snapshot, "cloned")
    assert stack.settled_group(clone) == "available", told(stack)
    made = stack.ask(shares.find, MEMBER, {"share_group_id": clone}, Page())
    assert len(made) == 2
    contents = set()
    for each in made:
        place = stack.paths(each["id"])[0]
        assert not probe(client, "read", place, "file")["ok"], "nobody was let in yet"
        for everybody in EVERYBODY:
            allow(stack, each["id"], everybody)
        assert settled_rules(stack, each["id"]) == "active"
        contents.add(probe(client, "read", place, "file")["text"])
        assert probe(client, "write", place, "file", "in the clone")["ok"]
    assert contents == {f"of {member}" for member in members}
    for place in places.values():
        assert probe(client, "read", place, "file") == {"ok": True, "text": "since then"}

    stack.do(share_group_snapshots.delete, MEMBER, snapshot)
    assert stack.settled_group_snapshot(snapshot) == "gone"
    for member in (*members, *(str(each["id"]) for each in made)):
        stack.do(shares.delete, MEMBER, member, group if member in members else clone)
        assert stack.settled_share(member) == "gone"
    for each_group in (group, clone):
        stack.do(share_groups.delete, MEMBER, each_group)
    left = leftovers(site.namespace, Path(stack.conf.state_dir, "worker"))
    assert (left["subvolumes"], left["exports"], told(stack)) == ([], [], [])
