"""Snapshots of the Linux back end, as real NFS clients see them: what stays, what is cloned, what
comes back, and that nobody writes to one."""

from __future__ import annotations

import msgspec
import pytest

from abaca.drivers.linux.file_services.nfs.exports import export_ids
from abaca.drivers.linux.inventory import leftovers
from abaca.drivers.linux.pools.room import GIB
from abaca.errors import NoSpace, Refused
from abaca.values import NetworkInfoUpdate, Share, Snapshot
from tests.contracts.drivers import linux_backend
from tests.contracts.drivers.linux_backend import Loop, probe
from tests.contracts.drivers.linux_site import BOTH, CLIENT, Site, path, rule

pytestmark = [pytest.mark.root, pytest.mark.sampled_file(4)]


def write(netns: str, share: Share, text: str) -> None:
    assert probe(netns, "write", path(share), "name", text)["ok"]


def read(netns: str, location: str) -> str:
    return str(probe(netns, "read", location, "name").get("text"))


def test_a_snapshot_keeps_what_was_there_and_a_clone_starts_with_it(site: Site) -> None:
    server = site.server(*BOTH)
    share = site.share(server)
    netns = site.client("client", "net", *CLIENT)
    write(netns, share, "before")
    snapshot = site.snapshot(share, server, is_mountable=True)
    write(netns, share, "after")
    clone = site.clone(snapshot, server)
    for location in snapshot.export_locations:
        assert read(netns, location.path) == "before", location
    assert [read(netns, location.path) for location in clone.export_locations] == [
        "before",
        "before",
    ]
    write(netns, clone, "of the clone")
    assert (read(netns, path(share)), read(netns, snapshot.export_locations[0].path)) == (
        "after",
        "before",
    )
    site.driver.delete_snapshot(snapshot, server)
    assert not probe(netns, "mount", snapshot.export_locations[0].path)["ok"]
    assert (read(netns, path(share)), read(netns, path(clone))) == ("after", "of the clone")


def test_nobody_writes_to_a_snapshot_in_either_family(site: Site) -> None:
    server = site.server(*BOTH)
    share = site.share(server)
    snapshot = site.snapshot(share, server, is_mountable=True)
    netns = site.client("client", "net", *CLIENT)
    for location in snapshot.export_locations:
        assert "ROFS" in probe(netns, "write", location.path, "name", "text")["error"], location
    # Not even when a rule says so.
    site.driver.update_snapshot_access(snapshot, [rule("0.0.0.0/0"), rule("::/0")], server)
    for location in snapshot.export_locations:
        assert not probe(netns, "write", location.path, "name", "text")["ok"], location
    assert [location.path for location in snapshot.export_locations] == [
        f"10.0.0.5:/snapshots/{snapshot.id}", f"[fd00::5]:/snapshots/{snapshot.id}"
    ]  # fmt: skip


def test_the_rules_of_a_snapshot_are_exactly_the_last_ones(site: Site) -> None:
    server = site.server(*BOTH)
    share = site.share(server, rules=[rule("10.0.0.20")])
    snapshot = site.snapshot(share, server, is_mountable=True)
    netns = site.client("client", "net", *CLIENT)
    four, six = (location.path for location in snapshot.export_locations)
    assert (probe(netns, "mount", four)["ok"], probe(netns, "mount", six)["ok"]) == (True, False)
    site.driver.update_snapshot_access(snapshot, [rule("fd00::20", "ro")], server)
    assert (probe(netns, "mount", four)["ok"], probe(netns, "mount", six)["ok"]) == (False, True)
    assert probe(netns, "mount", path(share))["ok"], "the share's own rules are its own"


def test_a_subnet_added_later_serves_snapshots_too(site: Site) -> None:
    server = site.server(*BOTH)
    share = site.share(server)
    netns = site.client("client", "net", *CLIENT)
    write(netns, share, "text")
    snapshot = site.snapshot(share, server, is_mountable=True)
    added = [
        site.entry(server.id, "net two", address) for address in ("10.20.0.5/24", "fd00:b::5/64")
    ]
    with Loop(netns, path(share), "loop") as loop:
        update = NetworkInfoUpdate(current=server.network_info, added=added)
        answer = site.driver.update_share_server_network_allocations(
            update, {}, [share], [snapshot]
        )
        locations = answer.snapshot_updates[snapshot.id].export_locations or []
        other = site.client("client two", "net two", "10.20.0.20/24", "fd00:b::20/64")
        assert [read(other, location.path) for location in locations[2:]] == ["text", "text"]
    assert loop.answer["error_count"] == 0, loop.answer
    assert locations[:2] == snapshot.export_locations
    assert [location.preferred for location in locations] == [True, True, False, False]
    assert "ROFS" in probe(other, "write", locations[-1].path, "name", "other")["error"]


def test_a_share_in_use_is_reverted_with_its_rules_and_its_size(site: Site) -> None:
    server = site.server(*BOTH)
    share, other = site.share(server, size=3), site.share(server)
    netns = site.client("client", "net", *CLIENT)
    write(netns, share, "before")
    snapshot = site.snapshot(share, server, is_mountable=True)
    write(netns, share, "after")
    site.driver.shrink_share(share, 1, server)
    with Loop(netns, path(other), "loop") as undisturbed:
        site.driver.revert_to_snapshot(snapshot, msgspec.structs.replace(share, size=1), server)
    assert undisturbed.answer["error_count"] == 0, undisturbed.answer
    for location in share.export_locations:
        assert read(netns, location.path) == "before"
    write(netns, share, "and on")
    assert read(netns, snapshot.export_locations[0].path) == "before"
    linux_backend.fill_share(site.driver, share, server, 2)
    with pytest.raises(OSError, match="quota"):
        linux_backend.fill_share(site.driver, share, server, 4)


def test_a_revert_that_was_cut_off_is_done_again(site: Site) -> None:
    """Killed in every place: `test_linux_reverts.py`."""
    server = site.server(*BOTH)
    share = site.share(server)
    netns = site.client("client", "net", *CLIENT)
    write(netns, share, "before")
    snapshot = site.snapshot(share, server)
    write(netns, share, "after")
    pool = site.driver.pool
    pool.clone(f"{share.id}-successor", snapshot.id, 1)
    site.driver.revert_to_snapshot(snapshot, share, server)
    assert read(netns, path(share)) == "before"
    assert pool.share_ids() == sorted((share.id, snapshot.id))


def test_a_revert_that_was_cut_off_takes_no_room_from_others(site: Site) -> None:
    """Until it is done again there are two subvolumes of the share, which is promised its size
    once."""
    server = site.server(*BOTH)
    share, other = site.share(server, size=9), site.share(server, size=9)
    pool = site.driver.pool
    pool.clone(f"{share.id}-successor", site.snapshot(share, server).id, 1)
    pool.ensure_limits({f"{share.id}-successor": 9})
    site.driver.extend_share(other, linux_backend.POOL_GIB - 9, server)
    with pytest.raises(NoSpace):
        site.driver.extend_share(other, linux_backend.POOL_GIB - 8, server)


def test_a_revert_that_cannot_be_leaves_the_share_as_it_was(site: Site) -> None:
    server = site.server(*BOTH)
    share = site.share(server)
    netns = site.client("client", "net", *CLIENT)
    write(netns, share, "after")
    snapshot = site.snapshot(share, server)
    huge = msgspec.structs.replace(snapshot, size=linux_backend.POOL_GIB + 1)
    with pytest.raises(NoSpace):
        site.driver.revert_to_snapshot(huge, share, server)
    gone = msgspec.structs.replace(snapshot, id="gone")
    with pytest.raises(Refused, match="gone"):
        site.driver.revert_to_snapshot(gone, share, server)
    assert read(netns, path(share)) == "after"
    write(netns, share, "and on")


def test_a_snapshot_takes_no_room_that_shares_are_promised(site: Site) -> None:
    """The scheduler counts shares only."""
    server = site.server(*BOTH)
    share, other = site.share(server, size=9), site.share(server)
    site.snapshot(share, server)
    site.driver.extend_share(other, linux_backend.POOL_GIB - 9, server)


def test_a_clone_has_a_limit_of_its_own(site: Site) -> None:
    server = site.server(*BOTH)
    share = site.share(server, size=1)
    clone = site.clone(site.snapshot(share, server), server, size=2)
    linux_backend.fill_share(site.driver, clone, server, 1)
    assert site.driver.pool.used(clone.id) >= GIB
    with pytest.raises(OSError, match="quota"):
        linux_backend.fill_share(site.driver, clone, server, 3)


def test_a_lost_server_comes_back_with_its_snapshots(site: Site) -> None:
    server = site.server(*BOTH)
    share = site.share(server)
    netns = site.client("client", "net", *CLIENT)
    write(netns, share, "text")
    snapshot, hidden = site.snapshot(share, server, is_mountable=True), site.snapshot(share, server)
    before = export_ids(site.layout(server))
    site.driver.teardown_server(server.id, {})
    linux_backend.successor(site.driver).ensure_server(server, [share], [snapshot, hidden])
    assert read(netns, snapshot.export_locations[1].path) == "text"
    assert set(export_ids(site.layout(server))) == set(before) == {share.id, snapshot.id}
    # What is described no longer is served no longer, and what is lost is told.
    site.driver.ensure_server(server, [share], [hidden])
    assert not probe(netns, "mount", snapshot.export_locations[0].path)["ok"]
    lost: Snapshot = msgspec.structs.replace(hidden, id="lost")
    with pytest.raises(Refused, match="lost"):
        site.driver.ensure_server(server, [share], [lost])
    assert read(netns, path(share)) == "text"


def test_nothing_of_snapshots_is_left_over(site: Site) -> None:
    layout = site.driver.layout
    before = leftovers(layout.namespace, layout.state_dir)
    server = site.server(*BOTH)
    share = site.share(server)
    snapshot = site.snapshot(share, server, is_mountable=True)
    assert (
        len(leftovers(layout.namespace, layout.state_dir)["exports"]) == len(before["exports"]) + 2
    )
    site.driver.delete_snapshot(snapshot, server)
    site.driver.delete_share(share, server)
    site.driver.teardown_server(server.id, {})
    assert leftovers(layout.namespace, layout.state_dir) == before


def test_a_snapshot_is_told_from_those_of_others(site: Site) -> None:
    """After its share was reverted: to it, yes; to a later one, no longer."""
    server = site.server(*BOTH)
    share, other = site.share(server), site.share(server)
    first, second = site.snapshot(share, server), site.snapshot(share, server)

    def is_taken_over(snapshot: Snapshot, of: Share) -> bool:
        found = msgspec.structs.replace(snapshot, share=of, size=0, is_complete=False)
        try:
            site.driver.manage_snapshot(found, server, {})
        except Refused:
            return False
        return True

    def taken_over() -> list[bool]:
        return [is_taken_over(each, share) for each in (first, second)]

    assert taken_over() == [True, True]
    assert not is_taken_over(first, other)
    site.driver.revert_to_snapshot(second, share, server)
    assert taken_over() == [False, True]
