"""A file system of its own for each share server (image_per_share_server): what that keeps apart,
and how it grows, shrinks and goes."""

from __future__ import annotations

import hashlib
import os
import platform
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from abaca.drivers.linux import mounts
from abaca.drivers.linux.driver import LinuxDriver
from abaca.drivers.linux.inventory import leftovers, remove_installation, simulate_reboot
from abaca.drivers.linux.pools.btrfs import BtrfsPool
from abaca.drivers.linux.pools.interface import NotThere
from abaca.drivers.linux.pools.room import GIB, MIB
from abaca.drivers.linux.pools.server_images import FIRST_SIZE
from abaca.drivers.linux.programs import run
from abaca.errors import NoSpace, OutcomeUnknown, Unavailable
from abaca.values import Share, ShareServer
from tests.contracts.drivers import linux_backend
from tests.contracts.drivers.linux_backend import btrfs_pool
from tests.contracts.drivers.linux_site import BOTH, CLIENT, Site, assert_served
from tests.contracts.drivers.test_linux_cell import Host, host, number_of, report_of
from tests.contracts.drivers.test_linux_promises import write_all
from tests.stack import wait_for

__all__ = ["host"]  # a fixture

pytestmark = [
    pytest.mark.sampled_file(8),
    pytest.mark.sampled(4),
    pytest.mark.root,
    pytest.mark.timeout(300),
]
GIVEN_BACK_SECONDS = 120.0


@pytest.fixture(scope="module")
def linux_driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LinuxDriver]:
    if reason := linux_backend.unavailable_reason():
        pytest.skip(reason)
    driver = linux_backend.make_linux_driver(
        tmp_path_factory.mktemp("images"), image_per_share_server="true", pool_size_gib="12"
    )
    yield driver
    linux_backend.cleanup(driver)


def image_of(site: Site, server: ShareServer) -> Path:
    return btrfs_pool(site.driver).root / site.driver.layout.namespace / f"{server.id}.img"


def mount_of(site: Site, server: ShareServer) -> Path:
    pool = site.driver.file_systems.of(server.id)
    assert isinstance(pool, BtrfsPool)
    return pool.root


def fill(path: Path, mib: int) -> str:
    """Put so much into a file; what is in it, as a digest."""
    content = hashlib.sha256()
    with open(path, "wb") as file:
        for _ in range(mib):
            block = os.urandom(MIB)
            content.update(block)
            file.write(block)
        os.fsync(file.fileno())
    return content.hexdigest()


def digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def wait_until_given_back(site: Site, server: ShareServer, size: int) -> None:
    """Until the image is no larger than that, and as large as the file system in it."""

    def is_small() -> bool:
        site.driver.get_pools()  # as a worker asks every few seconds
        run("btrfs", "filesystem", "sync", str(mount_of(site, server)))
        found, whole = os.statvfs(mount_of(site, server)), image_of(site, server).stat().st_size
        # it is cut after its file system
        return whole <= size and found.f_blocks * found.f_frsize == whole

    wait_for(is_small, GIVEN_BACK_SECONDS)


def is_reserved(image: Path) -> bool:
    found = image.stat()
    return found.st_blocks * 512 >= found.st_size


def test_code_in_an_nfs_server_opens_nothing_of_another_servers_share(
    site: Site, host: Host
) -> None:
    """Without the option it does: `test_linux_cell.py`."""
    if platform.machine() != "x86_64":
        pytest.skip("the hostile program knows the system calls of x86_64 only")
    server = site.server(*BOTH)
    share, beside = site.share(server), site.share(server)
    own = site.data(beside) / "file"
    own.write_text("the tenant's own")
    host.know(own, image_of(site, server))
    found = report_of(site, server, share, host, number_of(site, beside))
    assert found["by handles with the token"] == [str(own)], (
        "its own server's shares are in its file system, and nothing else"
    )


def test_images_and_what_they_hold_are_roots_and_data_only(site: Site) -> None:
    server = site.server(*BOTH)
    share = site.share(server)
    assert image_of(site, server).stat().st_mode & 0o777 == 0o600
    assert image_of(site, server).parent.stat().st_mode & 0o777 == 0o700
    for point in (mount_of(site, server), site.layout(server).mount_point(share.id)):
        mounted = mounts.mount_at(point)
        assert mounted is not None and mounted.flags >= {"nodev", "nosuid", "noexec", "nosymfollow"}


@pytest.mark.slow("file systems are resized several times")
def test_it_grows_with_its_shares_and_gives_back_what_is_deleted(site: Site) -> None:
    (before,) = site.driver.get_pools()
    server = site.server(*BOTH)
    image = image_of(site, server)
    assert (image.stat().st_size, is_reserved(image)) == (FIRST_SIZE, True)
    kept, large = site.share(server), site.share(server, 3)
    four = image.stat().st_size
    assert 4 * GIB < four < 5.5 * GIB and is_reserved(image)
    content = fill(site.data(kept) / "kept", 300)
    site.driver.extend_share(large, 4, server)
    assert image.stat().st_size > four and is_reserved(image)
    fill(site.data(large) / "large", 700)
    site.driver.delete_share(large, server)
    wait_until_given_back(site, server, 2 * GIB + 256 * MIB)
    assert is_reserved(image)
    assert digest(site.data(kept) / "kept") == content
    assert write_all(site.data(kept)) > GIB - 332 * MIB, "what is left of its promise"
    site.driver.delete_share(kept, server)
    wait_until_given_back(site, server, FIRST_SIZE + 256 * MIB)
    site.driver.teardown_server(server.id, {})
    assert not image.exists()
    wait_for(lambda: str(image) not in run("losetup", "--list"))  # nobody keeps what was removed
    (after,) = site.driver.get_pools()
    assert after.free_capacity_gb > before.free_capacity_gb - 0.5, (
        "but for what btrfs has set aside for its own trees"
    )


def test_a_snapshot_takes_its_room_from_the_pool_and_all_of_the_share_can_be_written_over(
    site: Site,
) -> None:
    server = site.server(*BOTH)
    share = site.share(server)
    content = fill(site.data(share) / "file", 600)
    before = image_of(site, server).stat().st_size
    snapshot = site.snapshot(share, server)
    assert image_of(site, server).stat().st_size > before + 256 * MIB
    (site.data(share) / "file").unlink()
    assert write_all(site.data(share)) > GIB - 32 * MIB
    clone = site.clone(snapshot, server, 2)
    site.driver.revert_to_snapshot(snapshot, share, server)
    for each in (share, clone):
        assert digest(site.data(each) / "file") == content
    assert_served(site.client("client", "net", *CLIENT), clone)


def test_what_finds_no_room_is_refused_and_takes_nothing_from_others(site: Site) -> None:
    server, other = site.server(*BOTH), site.server(("other", "10.9.0.5/24"))
    share, foreign = site.share(server), site.share(other)
    _leave(site, 3 * GIB)
    sizes = [image_of(site, each).stat().st_size for each in (server, other)]
    for act in (
        lambda: site.share(server, 20),
        lambda: site.driver.extend_share(share, 20, server),
    ):
        with pytest.raises(NoSpace, match=r"^There is no room for a share of 20 GiB\.$"):
            act()
    assert [image_of(site, each).stat().st_size for each in (server, other)] == sizes
    full = site.share(server, int(site.driver.get_pools()[0].free_capacity_gb) - 2)
    assert full.size >= 1, "what is reported can be had"
    assert write_all(site.data(full)) > full.size * GIB - full.size * 32 * MIB
    assert write_all(site.data(foreign)) > GIB - 32 * MIB
    _leave(site, 100 * MIB)
    with pytest.raises(NoSpace, match="no room for a snapshot"):
        site.snapshot(foreign, other)
    with pytest.raises(NoSpace, match="no room for the file system of a share server"):
        site.server(("third", "10.10.0.5/24"))
    (btrfs_pool(site.driver).root / "filling").unlink()


def _leave(site: Site, size: int) -> None:
    """So much room in the pool, besides what its servers have."""
    with open(btrfs_pool(site.driver).root / "filling", "ab") as filling:
        os.posix_fallocate(
            filling.fileno(), filling.tell(), max(1, btrfs_pool(site.driver).left() - size)
        )
    btrfs_pool(site.driver).commit()


def test_a_clone_on_another_server_is_refused(site: Site) -> None:
    server, other = site.server(*BOTH), site.server(("other", "10.9.0.5/24"))
    snapshot = site.snapshot(site.share(server), server)
    with pytest.raises(NotThere, match=f"the data of {snapshot.id} is not in the pool"):
        site.clone(snapshot, other)


def test_after_a_power_cut_everything_is_there(site: Site) -> None:
    server = site.server(*BOTH)
    share = site.share(server)
    content = fill(site.data(share) / "file", 10)
    site.driver = linux_backend.lose_everything(site.driver)
    site.driver.check_for_setup_error()
    site.driver.ensure_server(server, [share])
    assert digest(site.data(share) / "file") == content
    assert_served(site.client("client", "net", *CLIENT), share)


def test_a_server_that_still_holds_shares_keeps_its_file_system(site: Site) -> None:
    server = site.server(*BOTH)
    share = site.share(server)
    content = fill(site.data(share) / "file", 1)
    site.driver.teardown_server(server.id, {})
    assert digest(site.data(share) / "file") == content
    site.driver.delete_share(share, server)
    site.driver.teardown_server(server.id, {})
    assert not image_of(site, server).exists()
    site.driver.delete_share(share, server)


def _cut_off_when_made(site: Site, server: ShareServer, share: Share) -> None:
    site.driver.delete_share(share, server)
    site.driver.teardown_server(server.id, {})
    image_of(site, server).with_name(f".{server.id}.img.new").write_bytes(bytes(MIB))


def _cut_off_before_the_file_system_grew(site: Site, server: ShareServer, share: Share) -> None:
    os.truncate(image_of(site, server), image_of(site, server).stat().st_size + 777 * MIB)


def _cut_off_after_the_file_system_shrank(site: Site, server: ShareServer, share: Share) -> None:
    run("btrfs", "filesystem", "resize", "-64M", str(mount_of(site, server)))


def _cut_off_before_the_image_was_removed(site: Site, server: ShareServer, share: Share) -> None:
    site.driver.delete_share(share, server)
    root = mount_of(site, server)
    mounts.unmount(site.layout(server).mounts)
    mounts.unmount(root)
    root.rmdir()


CUT_OFF: list[Callable[[Site, ShareServer, Share], None]] = [
    _cut_off_when_made,
    _cut_off_before_the_file_system_grew,
    _cut_off_after_the_file_system_shrank,
    _cut_off_before_the_image_was_removed,
]


@pytest.mark.parametrize("cut_off", CUT_OFF, ids=lambda cut_off: cut_off.__name__.strip("_"))
def test_where_a_worker_died_the_next_one_goes_on(
    site: Site, cut_off: Callable[[Site, ShareServer, Share], None]
) -> None:
    server = site.server(*BOTH)
    share = site.share(server)
    cut_off(site, server, share)
    site.driver = linux_backend.successor(site.driver)
    site.driver.check_for_setup_error()
    site.driver.ensure_server(server, [msgspec.structs.replace(share, is_complete=False)])
    site.driver.create_share(share, server)
    site.driver.update_access(share, share.access_rules, server)
    site.driver.extend_share(share, 2, server)
    assert_served(site.client("client", "net", *CLIENT), share)
    wait_until_given_back(site, server, 3 * GIB + 256 * MIB)


def test_a_ruined_image_is_one_servers_harm(site: Site) -> None:
    server, other = site.server(*BOTH), site.server(("other", "10.9.0.5/24"))
    share, foreign = site.share(server), site.share(other)
    site.driver = linux_backend.lose_everything(site.driver)
    btrfs_pool(site.driver).prepare(lambda: None)
    with open(image_of(site, server), "r+b") as image:
        image.write(bytes(image_of(site, server).stat().st_size // 8))
    site.driver.check_for_setup_error()
    site.driver.ensure_server(other, [foreign])
    with pytest.raises(OutcomeUnknown, match="mount"):
        site.driver.ensure_server(server, [share])
    assert site.driver.get_pools()
    assert_served(site.client("others", "other", "10.9.0.20/24"), foreign)
    image_of(site, server).unlink()


@pytest.mark.parametrize(("before", "after"), [("false", "true"), ("true", "false")])
def test_a_pool_that_is_used_otherwise_is_refused(tmp_path: Path, before: str, after: str) -> None:
    driver = linux_backend.make_linux_driver(tmp_path, image_per_share_server=before)
    try:
        site = Site(driver)
        server = site.server(*BOTH)
        site.share(server)
        with pytest.raises(Unavailable, match="image_per_share_server"):
            linux_backend.successor(driver, image_per_share_server=after).check_for_setup_error()
        site.clear()
        linux_backend.successor(driver, image_per_share_server=after).check_for_setup_error()
    finally:
        linux_backend.cleanup(driver)


def test_images_are_not_promised_several_times(tmp_path: Path) -> None:
    options = {
        "state_dir": str(tmp_path),
        "image_per_share_server": "true",
        "max_over_subscription_ratio": "2",
    }
    with pytest.raises(
        Unavailable, match="max_over_subscription_ratio must be 1 with image_per_share_server"
    ):
        LinuxDriver("linux", options)


# --- the whole installation, in a pool that an administrator gave ---------------------------------


@pytest.fixture
def guest(site: Site, tmp_path: Path) -> Iterator[LinuxDriver]:
    """An installation of its own on a btrfs that somebody else's images are in, too."""
    options = {
        "state_dir": str(tmp_path / "state"),
        "namespace": f"{site.driver.layout.namespace}-g",
        "pool_path": str(btrfs_pool(site.driver).root),
        "image_per_share_server": "true",
    }
    driver = LinuxDriver("guest", options)
    driver.check_for_setup_error()
    yield driver
    remove_installation(driver.layout.namespace, driver.layout.state_dir, btrfs_pool(driver).root)


def of_guest(guest: LinuxDriver) -> dict[str, list[str]]:
    return leftovers(guest.layout.namespace, guest.layout.state_dir, btrfs_pool(guest).root)


def held_for_a_while(file: Path) -> threading.Thread:
    """Somebody has the file open, and closes it soon: its file system cannot go before that."""
    held = open(file, "rb")  # noqa: SIM115 - closed by the thread
    closing = threading.Timer(1.0, held.close)
    closing.start()
    return closing


def test_an_installation_in_a_given_pool_goes_whole_and_nothing_else_does(
    site: Site, guest: LinuxDriver
) -> None:
    neighbour, others = site.server(*BOTH), Site(guest)
    beside = site.share(neighbour)
    note, folder = (
        btrfs_pool(guest).root / "administrators",
        btrfs_pool(guest).root / guest.layout.namespace,
    )
    note.write_text("text")
    servers = [others.server(("net", f"10.0.0.{number}/24")) for number in (5, 6)]
    shares = [others.share(server) for server in servers]
    snapshot = others.snapshot(shares[0], servers[0])
    client = others.client("client", "net", "10.0.0.20/24")
    assert_served(client, shares[0])
    (folder / ".lost.img.new").write_bytes(bytes(MIB))
    found = of_guest(guest)
    assert len(found["loop_devices"]) == len(servers)
    assert len(found["subvolumes"]) == len([*shares, snapshot])
    assert_served(client, shares[1])
    held = held_for_a_while(others.data(shares[1]) / "file0")
    for _ in range(2):  # the second time there is nothing
        remove_installation(guest.layout.namespace, guest.layout.state_dir, btrfs_pool(guest).root)
        assert not any(of_guest(guest).values()), of_guest(guest)
    held.join()
    assert not folder.exists()
    assert note.read_text() == "text"
    note.unlink()
    assert_served(site.client("client", "net", *CLIENT), beside)


def test_a_reboot_of_an_installation_in_a_given_pool(site: Site, guest: LinuxDriver) -> None:
    others = Site(guest)
    server = others.server(*BOTH)
    share = others.share(server)
    assert_served(others.client("client", "net", *CLIENT), share)
    held = held_for_a_while(others.data(share) / "file0")
    simulate_reboot(guest.layout.namespace, guest.layout.state_dir, btrfs_pool(guest).root)
    assert of_guest(guest)["loop_devices"] == []
    held.join()
    guest.check_for_setup_error()
    guest.ensure_server(server, [share])
    assert_served(others.client("client", "net", *CLIENT), share)
