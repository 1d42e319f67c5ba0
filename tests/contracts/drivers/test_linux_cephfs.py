"""The Linux driver with its shares in CephFS: the conformance suite, and what is of this kind of
pool alone. A real Ceph, real NFS servers, real clients."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event

import msgspec
import pytest

from abaca.drivers.interface import ShareDriver
from abaca.drivers.linux import namespaces
from abaca.drivers.linux.driver import LinuxDriver
from abaca.drivers.linux.file_services.nfs.exports import export_ids
from abaca.drivers.linux.file_services.nfs.ganesha import GANESHA, GRACE_SECONDS
from abaca.drivers.linux.file_services.nfs.nfs4 import Nfs4Error, getattr, putfh
from abaca.drivers.linux.file_services.nfs.proof import forged
from abaca.drivers.linux.processes import by_pid_file
from abaca.drivers.linux.storage import Source
from abaca.errors import BackendError, Refused, Unavailable
from abaca.values import Share, ShareServer
from tests.ceph_cluster import ADDRESS, LEG, Ceph
from tests.contracts.drivers import linux_backend
from tests.contracts.drivers.linux_backend import Loop
from tests.contracts.drivers.linux_site import (
    BOTH,
    CLIENT,
    Site,
    assert_served,
    grow,
    path,
    routes_of,
)
from tests.contracts.drivers.test_linux_conformance import TestLinux as OnLinux
from tests.nfs4.client import Client40, Client41, patiently
from tests.stack import wait_for

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]
FILL = """
path, size = sys.argv[2].encode(), int(sys.argv[3])
if size:
    file = files.open(path, "w", 0o666); files.ftruncate(file, size); files.close(file)
else:
    files.unlink(path)
"""
HELD = """
try: print(files.stat(sys.argv[2].encode()).st_size)
except cephfs.ObjectNotFound: print(0)
"""


@pytest.fixture(scope="module")
def ceph_driver(ceph: Ceph, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LinuxDriver]:
    if reason := linux_backend.unavailable_reason():
        pytest.skip(reason)
    # libnfs, which speaks version 4.0, waits for the end of grace after each restart
    driver = linux_backend.make_linux_driver(
        tmp_path_factory.mktemp("linux"), grace_seconds=str(GRACE_SECONDS), **ceph.options()
    )
    yield driver
    linux_backend.cleanup(driver)


@pytest.fixture
def ceph_site(ceph_driver: LinuxDriver) -> Iterator[Site]:
    site = Site(ceph_driver)
    yield site
    site.clear()


@pytest.mark.sampled(64)
class TestLinuxOnCephFS(OnLinux):
    @pytest.fixture
    def driver(self, ceph_driver: LinuxDriver, ceph: Ceph) -> ShareDriver:
        self._ceph = ceph
        return ceph_driver

    def fill_share(self, driver: ShareDriver, share: Share, server: ShareServer, gib: int) -> None:
        self._ceph.in_files(FILL, self._filling(driver, share, server), str(gib * 1024**3))

    def empty_share(self, driver: ShareDriver, share: Share, server: ShareServer) -> None:
        self._ceph.in_files(FILL, self._filling(driver, share, server), "0")

    def held_gib(self, driver: ShareDriver, share: Share, server: ShareServer) -> int:
        return int(self._ceph.in_files(HELD, self._filling(driver, share, server))) // 1024**3

    @staticmethod
    def _filling(driver: ShareDriver, share: Share, server: ShareServer) -> str:
        assert isinstance(driver, LinuxDriver)
        source = driver.file_systems.of(server.id).source(share.id)
        assert source is not None
        return f"{source.path}/filling"


GIB = 1024**3
WRITE = """
file = files.open(sys.argv[2].encode(), "w", 0o644)
files.write(file, sys.argv[3].encode(), 0); files.close(file)
print(files.stat(sys.argv[2].encode()).st_ino)
"""
READ = """
file = files.open(sys.argv[2].encode(), "r"); print(files.read(file, 0, 100).decode())
"""
INODE = "print(files.stat(sys.argv[2].encode()).st_ino)"
# By the key of a share: what is tried, and what becomes of it.
TRY = """
import json, sys, cephfs, rados
conf = {"key": sys.argv[3], "log_file": "/dev/null"}
tried = {}
for path in sys.argv[4:]:
    files = cephfs.LibCephFS(auth_id=sys.argv[2], conffile=sys.argv[1], conf=conf)
    try:
        files.mount(mount_root=path.encode())
        files.close(files.open(b"/made", "w", 0o644))
        tried[path] = "written"
    except cephfs.Error as error:
        tried[path] = type(error).__name__
cluster = rados.Rados(name="client." + sys.argv[2], conffile=sys.argv[1], conf=conf)
cluster.connect()
for pool, namespace in (
    ("cephfs_data", ""), ("cephfs_meta", ""), ("cephfs_data", "fsvolumens_other")
):
    with cluster.open_ioctx(pool) as objects:
        objects.set_namespace(namespace)
        try:
            objects.write_full("made", b"made")
            tried[pool + namespace] = "written"
        except rados.Error as error:
            tried[pool + namespace] = type(error).__name__
for prefix in ("auth ls", "osd blocklist", "fs fail"):
    command = {"prefix": prefix, "blocklistop": "add", "addr": "192.0.2.1", "fs_name": "cephfs"}
    code, _, _ = cluster.mon_command(json.dumps(command), b"")
    tried[prefix] = code
print(json.dumps(tried))
"""


def source_of(site: Site, share: Share) -> Source:
    found = site.driver.file_systems.of(share.share_server_id or "").source(share.id)
    assert found is not None
    return found


def space(client: Client40, share: Share) -> tuple[int, int]:
    """Size and free room, as `df` shows them."""
    found = client.attributes(client.handle_of(f"shares/{share.id}"), "space_total", "space_free")
    return found["space_total"], found["space_free"]


def test_clients_see_the_room_of_their_share_and_get_no_more(ceph_site: Site, ceph: Ceph) -> None:
    server = ceph_site.server(*BOTH)
    share, neighbour = ceph_site.share(server, 2), ceph_site.share(server, 1)
    filling = f"{source_of(ceph_site, neighbour).path}/filling"
    ceph.in_files(FILL, filling, str(GIB // 2))
    with Client40(ceph_site.client("client", "net", *CLIENT), "10.0.0.5") as client:
        assert space(client, share) == (2 * GIB, 2 * GIB)
        ceph_site.driver.extend_share(share, 3, server)
        wait_for(lambda: space(client, share) == (3 * GIB, 3 * GIB), 30)
        ceph_site.driver.shrink_share(share, 1, server)
        wait_for(lambda: space(client, share)[0] == GIB, 30)
        file = patiently(
            lambda: client.open(client.handle_of(f"shares/{share.id}"), "file", create=True)
        )
        client.write(file, GIB - 4096, bytes(4096))
        with pytest.raises(Nfs4Error, match="DQUOT"):
            client.write(file, GIB, bytes(4096))


def test_a_forged_handle_opens_nothing_and_stops_no_server(ceph_site: Site, ceph: Ceph) -> None:
    """Inodes of another share, of a share on another server, of folders above; each as it is, in a
    snapshot, and as the folder of its snapshots."""
    server, other = ceph_site.server(*BOTH), ceph_site.server(("other", "10.9.0.5/24"))
    own, beside, foreign = (
        ceph_site.share(server), ceph_site.share(server), ceph_site.share(other)
    )  # fmt: skip
    for share in (own, beside, foreign):
        ceph_site.snapshot(share, ceph_site_server(server, other, share))
    numbers = {}
    for name, share in (("own", own), ("beside", beside), ("foreign", foreign)):
        folder = source_of(ceph_site, share).path
        numbers[f"{name}'s file"] = int(ceph.in_files(WRITE, f"{folder}/secret", name))
        numbers[name] = int(ceph.in_files(INODE, folder))
        numbers[f"above {name}"] = int(ceph.in_files(INODE, str(Path(folder).parent)))
    own_file = numbers.pop("own's file")
    with Client40(ceph_site.client("client", "net", *CLIENT), "10.0.0.5") as client:
        handle = client.handle_of(f"shares/{own.id}")
        opened = {
            aim
            for aim, made in forged(handle, {**numbers, "own's file": own_file}).items()
            if opens(client, made)
        }
        assert opened == {f"own's file ({own_file})"}, "it is the client's own, in no snapshot"
        assert opens(client, handle), "the server goes on"


def ceph_site_server(server: ShareServer, other: ShareServer, share: Share) -> ShareServer:
    return server if share.share_server_id == server.id else other


def opens(client: Client40, handle: bytes) -> bool:
    try:
        client.run(putfh(handle), getattr("type", "fileid"))
    except Nfs4Error:
        return False
    return True


def test_the_key_of_a_share_is_good_for_that_share_alone(ceph_site: Site, ceph: Ceph) -> None:
    server = ceph_site.server(*BOTH)
    own, beside = ceph_site.share(server), ceph_site.share(server)
    mine, its = source_of(ceph_site, own), source_of(ceph_site, beside)
    text = ceph.python(
        TRY, mine.user, mine.key, mine.path, its.path, "/", str(Path(its.path).parent)
    )
    assert text == {
        mine.path: "written",
        its.path: "PermissionError",
        "/": "PermissionError",
        str(Path(its.path).parent): "PermissionError",
        "cephfs_data": "PermissionError",
        "cephfs_meta": "PermissionError",
        "cephfs_datafsvolumens_other": "PermissionError",
        "auth ls": -13,
        "osd blocklist": -13,
        "fs fail": -13,
    }
    ceph_site.driver.delete_share(own, server)
    with pytest.raises(AssertionError):
        ceph.python(TRY, mine.user, mine.key)


def test_a_tenants_range_may_be_cephs_own(ceph_site: Site, ceph: Ceph) -> None:
    """And its server's address the monitor's. Ceph is out of reach of the tenant, and the tenant is
    out of reach of what is beside Ceph."""
    server = ceph_site.server(("net", f"{ADDRESS}/24"), ("net", "fd00::5/64"))
    share = ceph_site.share(server)
    client = ceph_site.client("client", "net", f"{LEG}/24", "fd00::20/64")
    assert_served(client, share)
    for address in (ADDRESS, LEG, "fd00::5"):
        for port in (3300, 6789, 6790, 6800, 6801):
            assert not connects(client, address, port), f"{address} port {port}"
    assert not connects(ceph.storage, LEG, 2049), "what listens there is for tenants only"
    own = ceph_site.layout(server).namespace
    assert not any("storage" in route for route in routes_of(own))
    pid = by_pid_file(ceph_site.layout(server).ganesha_pid, GANESHA)
    assert pid is not None and namespaces.is_of(ceph.storage, pid)
    assert not namespaces.is_of(own, pid)


def connects(namespace: str, address: str, port: int) -> bool:
    def act(_: object) -> bool:
        try:
            socket.create_connection((address, port), timeout=0.5).close()
        except OSError:
            return False
        return True

    return namespaces.inside(namespace, act)


def test_a_subnet_is_added_while_clients_work(ceph_site: Site) -> None:
    server = ceph_site.server(*BOTH)
    share = ceph_site.share(server)
    netns = ceph_site.client("client", "net", *CLIENT)
    pid = by_pid_file(ceph_site.layout(server).ganesha_pid, GANESHA)
    with Loop(netns, path(share, 0), "four") as four, Loop(netns, path(share, 1), "six") as six:
        grown, [share] = grow(ceph_site, server, [share], "net two", "10.20.0.5/24")
        grown, [share] = grow(ceph_site, grown, [share], "net two", "fd00:b::5/64")
        assert_served(
            ceph_site.client("client two", "net two", "10.20.0.20/24", "fd00:b::20/64"),
            msgspec.structs.replace(share, export_locations=share.export_locations[2:]),
        )
    for loop in (four, six):
        assert loop.answer["error_count"] == 0, loop.answer
        assert loop.answer["rounds"] > 5
    assert by_pid_file(ceph_site.layout(server).ganesha_pid, GANESHA) == pid


def test_a_server_that_ceph_has_shut_out_is_found_and_started_again(
    ceph_site: Site, ceph: Ceph
) -> None:
    """It runs, listens and answers whoever asks for no file."""
    server = ceph_site.server(*BOTH)
    share = ceph_site.share(server)
    netns = ceph_site.client("client", "net", *CLIENT)
    assert_served(netns, share)
    assert ceph_site.driver.unserved([server.id]) == []
    ceph.evict(source_of(ceph_site, share).user)
    wait_for(lambda: ceph_site.driver.unserved([server.id]) == [server.id], 60)
    assert ceph_site.driver.restart_server(server.id)
    assert ceph_site.driver.unserved([server.id]) == []
    assert_served(netns, share)


def test_who_is_shut_out_writes_nothing_more_and_does_not_come_back(
    ceph_site: Site, ceph: Ceph
) -> None:
    """As the NFS server of a host that is gone for the service, and alive. What it needs elsewhere
    stays: the numbers of exports, and the key of clients' names."""
    server = ceph_site.server(*BOTH)
    share = ceph_site.share(server)
    layout, old = ceph_site.layout(server), source_of(ceph_site, share)
    number, secret = export_ids(layout)[share.id], layout.secret.read_text()
    netns = ceph_site.client("client", "net", *CLIENT)
    with Client40(netns, "10.0.0.5", patience=3.0) as client:
        folder = client.handle_of(f"shares/{share.id}")
        file = patiently(lambda: client.open(folder, "file", create=True))
        client.write(file, 0, b"before")
        ceph_site.driver.fence_server(server.id)
        with pytest.raises((Nfs4Error, OSError)):
            client.write(file, 0, b"after")
    with pytest.raises(AssertionError):
        ceph.python(TRY, old.user, old.key, old.path)
    assert ceph.in_files(READ, f"{old.path}/file") == "before\n"
    assert ceph_site.driver.unserved([server.id]) == [server.id]
    with suppress(BackendError):
        ceph_site.driver.restart_server(server.id)  # by the keys that its host knows
    with Client40(netns, "10.0.0.5") as client, pytest.raises(Nfs4Error):
        client.handle_of(f"shares/{share.id}")
    ceph_site.driver.leave_server(server.id)
    assert ceph_site.driver.servers_here() == []
    ceph_site.driver.ensure_server(server, [share])
    assert source_of(ceph_site, share).key != old.key
    assert (export_ids(layout)[share.id], layout.secret.read_text()) == (number, secret)
    assert_served(netns, share)


def test_whose_servers_are_others_by_now_makes_no_users_for_them(
    ceph_site: Site, ceph: Ceph
) -> None:
    """As a worker that was held up in a call."""
    server = ceph_site.server(*BOTH)
    share = ceph_site.share(server)
    user = source_of(ceph_site, share).user
    ceph_site.driver.fence_server(server.id)

    def too_late() -> None:
        raise Refused("others have taken over")

    before, ceph_site.driver.guard = ceph_site.driver.guard, too_late
    try:
        with pytest.raises(BackendError):
            ceph_site.driver.ensure_server(server, [share])
    finally:
        ceph_site.driver.guard = before
    (users,) = ceph.ask(("auth ls", "", {}))
    assert not [each for each in users["auth_dump"] if each["entity"] == f"client.{user}"]
    ceph_site.driver.ensure_server(server, [share])
    assert_served(ceph_site.client("client", "net", *CLIENT), share)


@pytest.mark.slow("calls to a monitor that is away have a deadline of 30 s")
def test_while_ceph_is_away_no_server_is_blamed_and_then_all_goes_on(
    ceph_site: Site, ceph: Ceph
) -> None:
    server = ceph_site.server(*BOTH)
    share = ceph_site.share(server)
    pid = by_pid_file(ceph_site.layout(server).ganesha_pid, GANESHA)
    ceph.kill("mon")
    ceph.kill("mds")
    try:
        ceph_site.driver.unserved([server.id])
        with pytest.raises(BackendError):
            ceph_site.share(server)
    finally:
        ceph.daemon("mon")
        ceph.daemon("mds")
        ceph.await_ready()
    assert by_pid_file(ceph_site.layout(server).ganesha_pid, GANESHA) == pid
    netns = ceph_site.client("client", "net", *CLIENT)
    wait_for(lambda: is_served(netns, share), 60)  # who waits for too long loses its lease


@pytest.mark.slow("the grace of an NFS server in CephFS")
def test_who_comes_back_late_has_its_locks(ceph_site: Site) -> None:
    """TCP tries again after about as long as it has waited, and a host's death takes long."""
    worker = linux_backend.successor(ceph_site.driver)
    server = ceph_site.server(*BOTH)
    share = ceph_site.share(server)
    with Client41(ceph_site.client("client", "net", *CLIENT), "10.0.0.5") as client:
        folder = client.handle_of(path(share).partition(":")[2])
        file = patiently(lambda: client.open(folder, "file", create=True))
        client.lock(file, length=10)
        pid = by_pid_file(ceph_site.layout(server).ganesha_pid, GANESHA)
        assert pid
        os.kill(pid, signal.SIGKILL)
        worker.ensure_server(server, [share])
        Event().wait(GRACE_SECONDS + 5)  # it is looked every five seconds whether grace is over
        client.reconnect()
        client.recover()
        client.write(file, 0, b"mine")


def is_served(netns: str, share: Share) -> bool:
    with suppress(AssertionError):
        assert_served(netns, share)
        return True
    return False


def test_what_it_can_do_is_told(ceph_driver: LinuxDriver) -> None:
    (pool,) = ceph_driver.get_pools()
    can = pool.capabilities
    assert can["snapshot_support"] and can["create_share_from_snapshot_support"]
    assert not can["revert_to_snapshot_support"] and not can["mount_snapshot_support"]
    assert not can["backup_support"] and can["sg_consistent_snapshot_support"] is None
    assert 0 < pool.free_capacity_gb <= pool.total_capacity_gb


def test_what_holds_a_key_is_roots_alone(ceph_site: Site) -> None:
    server = ceph_site.server(*BOTH)
    share = ceph_site.share(server)
    layout, key = ceph_site.layout(server), source_of(ceph_site, share).key
    assert key in layout.export_file(share.id).read_text()
    for file in (layout.export_file(share.id), layout.ceph_config):
        assert file.stat().st_mode & 0o777 == 0o600 and file.stat().st_uid == 0
    assert key not in layout.log.read_text()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"pool_path": "/srv"}, "pool_path"),
        ({"pool_size_gib": "5"}, "pool_size_gib"),
        ({"image_per_share_server": "true"}, "image_per_share_server"),
        ({"backup_folder": "/srv"}, "backup_folder"),
        ({"ceph_namespace": ""}, "ceph_namespace"),
    ],
)
def test_options_that_make_no_sense_together_are_refused(
    options: dict[str, str], told: str
) -> None:
    given = {"ceph_config": "/etc/ceph/ceph.conf", "ceph_namespace": "storage", **options}
    with pytest.raises(Unavailable, match=told):
        LinuxDriver("linux", given)


def test_without_its_namespace_the_back_end_says_what_is_missing(
    ceph: Ceph, tmp_path: Path
) -> None:
    given = {**ceph.options(), "ceph_namespace": "nowhere", "state_dir": str(tmp_path / "state")}
    with pytest.raises(Unavailable, match="no network namespace nowhere"):
        linux_backend.make_linux_driver(tmp_path, **given)
