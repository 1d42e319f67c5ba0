"""Names, links and files in a pool are what strangers may have put there: root follows none of
them, on no path of the driver or the uninstaller."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

from abaca.drivers.linux import mounts
from abaca.drivers.linux.driver import LinuxDriver
from abaca.drivers.linux.file_services.nfs.nfs4 import lookup, putfh
from abaca.drivers.linux.inventory import leftovers, remove_installation
from abaca.drivers.linux.programs import run
from abaca.errors import BackendError
from tests.contracts.drivers.linux_backend import btrfs_pool
from tests.contracts.drivers.linux_site import BOTH, CLIENT, Site
from tests.nfs4.client import Client40
from tests.nfs4.operations import SYMLINK, create, readlink

pytestmark = pytest.mark.root

WALLS = {"nodev", "nosuid", "noexec", "nosymfollow"}


@pytest.fixture
def of_the_host(tmp_path: Path) -> Path:
    """A folder outside the pool that nobody but root may enter or change."""
    folder = tmp_path / "of the host"
    folder.mkdir(mode=0o710)
    (folder / "secret").write_text("of the host")
    return folder


def flags(point: Path) -> set[str]:
    """Those of what is mounted there."""
    mount = mounts.mount_at(point)
    assert mount is not None, point
    return set(mount.flags)


def unchanged(folder: Path) -> bool:
    return folder.stat().st_mode & 0o7777 == 0o710 and [each.name for each in folder.iterdir()] == [
        "secret"
    ]


def test_a_link_in_the_place_of_all_shares_leads_the_next_start_nowhere(
    lonely_driver: LinuxDriver, of_the_host: Path
) -> None:
    """By a forged handle a client reached the pool's top, renamed the folder and left a link: the
    next start made a folder of the host its own."""
    root, name = btrfs_pool(lonely_driver).root, lonely_driver.layout.namespace
    os.rename(root / name, root / "away")
    os.symlink(of_the_host, root / name)
    with pytest.raises(BackendError, match="must be a folder"):
        lonely_driver.check_for_setup_error()
    assert unchanged(of_the_host)
    for act in (
        lambda: lonely_driver.pool.create("share", 1),
        lonely_driver.pool.share_ids,
        lambda: lonely_driver.pool.delete("secret"),
    ):
        with pytest.raises(BackendError):
            act()
    assert unchanged(of_the_host)
    assert leftovers(name, lonely_driver.layout.state_dir)["subvolumes"] == []
    os.unlink(root / name)
    os.rename(root / "away", root / name)


@pytest.mark.parametrize("kind", ["link", "link to another tenant's share", "folder", "file"])
def test_what_is_in_the_place_of_a_share_is_not_taken_for_it(
    site: Site, of_the_host: Path, kind: str
) -> None:
    server = site.server(*BOTH)
    share, others = site.share(server), site.share(server)
    pool = site.driver.pool
    mark = pool.path(others.id) / "mark"
    mark.write_text("another tenant's")
    place = pool.path(share.id)
    os.rename(place, place.with_name("away"))
    put: dict[str, Callable[[], object]] = {
        "link": lambda: os.symlink(of_the_host, place),
        "link to another tenant's share": lambda: os.symlink(others.id, place),
        "folder": place.mkdir,
        "file": place.touch,
    }
    put[kind]()
    calls: list[Callable[[], object]] = [
        lambda: pool.create(share.id, 1),
        lambda: pool.resize(share.id, 2),
        lambda: pool.snapshot("snapshot", share.id),
        lambda: pool.clone("clone", share.id, 1),
        lambda: pool.revert(share.id, others.id, 1, nullcontext()),
        lambda: pool.ensure_limits({share.id: 3}),
        lambda: pool.used(share.id),
        lambda: pool.mount(share.id, site.driver.layout.state / "point"),
        lambda: pool.delete(share.id),
    ]
    for number, act in enumerate(calls):
        with pytest.raises(BackendError, match=share.id):
            act()
        assert unchanged(of_the_host), number
        assert mark.read_text() == "another tenant's", number
    assert not pool.has("snapshot") and not pool.has("clone")
    place.rmdir() if kind == "folder" else place.unlink()
    os.rename(place.with_name("away"), place)


def test_taking_a_pool_away_follows_no_link(
    lonely_driver: LinuxDriver, site: Site, tmp_path: Path
) -> None:
    """A link beside the shares, to a subvolume of somebody else's in a pool that an administrator
    gave: the uninstaller leaves it."""
    given, namespace = btrfs_pool(lonely_driver).root, f"{lonely_driver.layout.namespace}-b"
    lonely_driver.pool.create("others", 1)
    options = {
        "state_dir": str(tmp_path / "guest"),
        "namespace": namespace,
        "pool_path": str(given),
    }
    guest = LinuxDriver("guest", options)
    guest.check_for_setup_error()
    guest.pool.create("own", 1)
    os.symlink(lonely_driver.pool.path("others"), given / namespace / "link")
    with pytest.raises(OSError, match="not empty"):
        remove_installation(namespace, tmp_path / "guest", given)
    assert not (given / namespace / "own").exists()
    assert lonely_driver.pool.has("others")
    os.unlink(given / namespace / "link")
    remove_installation(namespace, tmp_path / "guest", given)


def test_pool_and_shares_are_mounted_as_data_only(site: Site) -> None:
    """Also those that an older release has mounted otherwise. Clients' links are clients' own: they
    make, read and follow them."""
    server = site.server(*BOTH)
    share = site.share(server)
    snapshot = site.snapshot(share, server, is_mountable=True)
    points = [
        btrfs_pool(site.driver).root,
        *(site.layout(server).mount_point(id_) for id_ in (share.id, snapshot.id)),
    ]
    for point in points:
        run("mount", "-o", "remount,bind,rw,dev,suid,exec,symfollow", str(point))
        assert not WALLS & flags(point)
    site.driver.check_for_setup_error()
    site.driver.ensure_server(server, [share], [snapshot])
    for point in points:
        assert flags(point) >= WALLS, point
    assert "ro" in flags(points[-1])

    with Client40(site.client("client", "net", *CLIENT), "10.0.0.5") as client:
        root = client.handle_of(f"/shares/{share.id}")
        client.run(putfh(root), create("link", SYMLINK, target="/etc/hostname"))
        assert client.run(putfh(root), lookup("link"), readlink())[-1] == "/etc/hostname"
    with pytest.raises(OSError, match="symbolic"):
        (points[1] / "link").read_text()
