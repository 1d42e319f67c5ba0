"""Shares that an administrator lets go and takes over on the Linux back end, and mount point names
there: by real NFS, and with what may lie in a pool that is no share."""

from __future__ import annotations

import os
import subprocess
import uuid
from pathlib import Path

import msgspec
import pytest

from abaca.errors import BackendError, NoSpace, Refused
from abaca.values import ManagedShare, Share, ShareServer
from tests.contracts.drivers.linux_backend import probe
from tests.contracts.drivers.linux_site import BOTH, CLIENT, EVERYBODY, Site, assert_served, path
from tests.contracts.drivers.linux_site import rule as rule_for

pytestmark = [pytest.mark.root, pytest.mark.sampled_file(4)]

MIB = 1024**2


def bare(share: Share) -> Share:
    """As it is described when it is taken over."""
    return msgspec.structs.replace(share, size=0, export_locations=[], access_rules=[])


def stranger(site: Site, server: ShareServer) -> Share:
    """What is taken over by a name that is no id gets a new one."""
    share = Share(
        id=str(uuid.uuid4()),
        share_id=str(uuid.uuid4()),
        size=0,
        share_proto="NFS",
        pool="pool",
        share_server_id=server.id,
    )
    site.forget_later(share)
    return share


def put(site: Site, server: ShareServer, name: str) -> Path:
    """A subvolume that an administrator puts beside the shares, with a file."""
    folder = site.driver.file_systems.of(server.id).path(str(uuid.uuid4())).parent
    btrfs("subvolume", "create", str(folder / name))
    (folder / name / "here").write_text("already")
    return folder / name


def btrfs(*arguments: str) -> None:
    subprocess.run(["btrfs", *arguments], check=True, capture_output=True, timeout=60)


def manage(site: Site, server: ShareServer, share: Share, name: str) -> ManagedShare:
    return site.driver.manage_share(share, f"10.0.0.5:/shares/{name}", server, {})


def test_a_share_comes_back_with_its_data(site: Site) -> None:
    server = site.server(*BOTH)
    share = site.share(server, size=2)
    netns = site.client("client", "net", *CLIENT)
    assert_served(netns, share)
    site.driver.unmanage_share(share, server)
    assert not probe(netns, "read", path(share), "file0")["ok"]
    site.driver.ensure_server(server, [])
    for number in (0, 1):
        found = site.driver.manage_share(bare(share), path(share, number), server, {})
        assert found == ManagedShare(size=2, export_locations=share.export_locations)
    assert not probe(netns, "read", path(share), "file0")["ok"], "for nobody yet"
    site.driver.update_access(share, [rule_for(to) for to in EVERYBODY], server)
    assert probe(netns, "read", path(share), "file0")["text"] == f"by {path(share)}"


def test_what_an_administrator_has_put_into_the_pool(site: Site) -> None:
    """It has the size of what it holds, in whole GiB, and no less."""
    server = site.server(*BOTH)
    folder = put(site, server, "old_data-1")
    share = stranger(site, server)
    for _ in range(2):  # the second call finds what a lost one has renamed
        found = manage(site, server, share, "old_data-1")
        assert found.size == 1
    assert not folder.exists()
    share = msgspec.structs.replace(share, size=1, export_locations=found.export_locations)
    assert path(share) == f"10.0.0.5:/shares/{share.id}"
    site.driver.update_access(share, [rule_for(to) for to in EVERYBODY], server)
    netns = site.client("client", "net", *CLIENT)
    assert probe(netns, "read", path(share), "here") == {"ok": True, "text": "already"}
    site.data(share).chmod(0o777)
    assert_served(netns, share)
    with pytest.raises(Refused, match="not in the pool"):
        manage(site, server, stranger(site, server), "old_data-1")


def test_its_size_is_kept_to_from_then_on(site: Site) -> None:
    server = site.server(*BOTH)
    folder = put(site, server, "large")
    with (folder / "much").open("wb") as file:
        for _ in range(10):
            file.write(os.urandom(MIB))
    share = stranger(site, server)
    assert manage(site, server, share, "large").size == 1
    with pytest.raises(OSError, match="quota"), (site.data(share) / "more").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, 1100 * MIB)


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "../x", "a b", "a\n", 'a"', "-x", "x" * 65, "a;b", "$(id)", "%2e"),
        "\N{LATIN SMALL LETTER E WITH ACUTE}",
    ],
    ids=ascii,
)
def test_what_is_no_name_is_refused(site: Site, name: str) -> None:
    server = site.server(*BOTH)
    share = stranger(site, server)
    with pytest.raises(Refused):
        manage(site, server, share, name)


@pytest.mark.parametrize(
    "export_path",
    [
        *("10.0.0.6:/shares/x", "/shares/x", "10.0.0.5:/snapshots/x", "10.0.0.5:/shares/a/../x"),
        *("10.0.0.5:/etc/x", "[fd00::6]:/shares/x", "fd00::5:/shares/x", "10.0.0.5:/shares//x"),
        *(" 10.0.0.5:/shares/x", "10.0.0.5:/shares/x/", "x", ""),
    ],
)
def test_other_paths_are_refused(site: Site, export_path: str) -> None:
    server = site.server(*BOTH)
    put(site, server, "x")
    share = stranger(site, server)
    with pytest.raises(Refused):
        site.driver.manage_share(share, export_path, server, {})
    assert manage(site, server, share, "x").size == 1


def test_what_is_no_data_of_a_share_is_refused(site: Site) -> None:
    """Snapshots, folders, links out of the pool, the back end's own, what has subvolumes in it, and
    another share that somebody names past the API."""
    server = site.server(*BOTH)
    other = site.share(server)
    snapshot = site.snapshot(other, server)
    beside = put(site, server, "whole")
    folder = beside.parent
    (folder / "folder").mkdir()
    (folder / "link").symlink_to("/etc")
    (folder / "within").symlink_to(other.id)
    (folder / "file").write_text("no folder")
    btrfs("subvolume", "snapshot", "-r", str(beside), str(folder / "read_only"))
    btrfs("subvolume", "create", str(folder / "x-successor"))
    btrfs("subvolume", "create", str(beside / "inner"))
    names = ["folder", "link", "within", "file", "read_only", "x-successor", "whole", "missing"]
    try:
        for name in [*names, other.id, snapshot.id, other.id.upper()]:
            with pytest.raises(Refused):
                manage(site, server, stranger(site, server), name)
        with pytest.raises(Refused):
            manage(site, server, msgspec.structs.replace(bare(other), id=snapshot.id), snapshot.id)
        assert_served(site.client("client", "net", *CLIENT), other)
    finally:
        for name in ("link", "within", "file"):
            (folder / name).unlink()
        (folder / "folder").rmdir()
        for inner in (beside / "inner", beside, folder / "read_only", folder / "x-successor"):
            btrfs("subvolume", "delete", str(inner))


def test_what_the_pool_cannot_promise_is_not_taken_over(site: Site) -> None:
    server = site.server(*BOTH)
    folder = put(site, server, "extra")
    size = int(site.driver.get_pools()[0].total_capacity_gb)
    while True:
        try:
            full = site.share(server, size=size)
            break
        except NoSpace:
            size -= 1
    share = stranger(site, server)
    with pytest.raises(NoSpace):
        manage(site, server, share, "extra")
    assert (folder / "here").read_text() == "already"
    site.driver.delete_share(full, server)
    assert manage(site, server, share, "extra").size == 1


def test_a_share_is_used_by_its_name(site: Site) -> None:
    server = site.server(*BOTH)
    share = site.share(server, mount_point_name="red_data")
    other = site.share(server)
    assert path(share) == "10.0.0.5:/shares/red_data"
    netns = site.client("client", "net", *CLIENT)
    assert_served(netns, share)
    assert not probe(netns, "mount", f"10.0.0.5:/shares/{share.id}")["ok"]
    site.driver.teardown_server(server.id, {})
    site.driver.setup_server(server.id, server.network_info)
    site.driver.ensure_server(server, [share, other])
    assert_served(netns, share)
    assert_served(netns, other)


def test_a_row_with_a_hostile_name_spoils_its_share_alone(site: Site) -> None:
    """Written past the API: a line of configuration, and the path of another share."""
    server = site.server(*BOTH)
    honest, spoiled = site.share(server), site.share(server)
    netns = site.client("client", "net", *CLIENT)
    for name in ('x"; Access_Type = RW; Squash = None; Pseudo = "/', "../..", honest.id):
        hostile = msgspec.structs.replace(spoiled, mount_point_name=name)
        site.driver.teardown_server(server.id, {})
        site.driver.setup_server(server.id, server.network_info)
        with pytest.raises(BackendError, match="mount point name"):
            site.driver.ensure_server(server, [hostile, honest])
        assert_served(netns, honest)
