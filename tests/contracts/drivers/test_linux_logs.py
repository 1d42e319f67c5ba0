"""What strangers make an NFS server write down is bounded while it runs: its logs, and whom it
remembers for its next start."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from jeepney import DBusAddress, Properties
from jeepney.io.blocking import open_dbus_connection
from jeepney.wrappers import unwrap_msg

from abaca.drivers.linux import mounts, processes
from abaca.drivers.linux.file_services.nfs import logs
from abaca.drivers.linux.file_services.nfs.nfs4 import ANONYMOUS, Nfs4Error, Operation, putfh
from abaca.drivers.linux.file_services.nfs.rpc import RpcError
from abaca.drivers.linux.file_services.nfs.xdr import u32, u64
from abaca.values import ShareServer
from tests.contracts.drivers import linux_backend
from tests.contracts.drivers.linux_backend import Loop, probe
from tests.contracts.drivers.linux_site import BOTH, CLIENT, Site, path
from tests.nfs4 import operations as ops
from tests.nfs4.client import Client40, Client41
from tests.nfs4.nonsense import NONSENSE, send

pytestmark = [pytest.mark.root, pytest.mark.sampled_file(8)]

AT_ONCE = 100
ROUNDS = 40
LONGEST_NAME = 1024  # of a client, that the protocol knows
REMEMBERED = 10  # folders, of 4 KiB each
OPERATIONS = range(3, 59)  # all of NFSv4.1, and of 4.0
HARMLESS = 4096
"""Bytes that all the nonsense of one kind may add to a log: of ROUNDS * AT_ONCE requests."""


def logged(site: Site, server: ShareServer) -> int:
    """Bytes in all its logs."""
    return sum(file.lstat().st_size for file in site.layout(server).logs.iterdir())


@pytest.mark.slow("thousands of requests of each kind")
@pytest.mark.timeout(600)
def test_requests_that_cannot_be_read_are_not_logged(site: Site) -> None:
    server = site.server(*BOTH)
    share = site.share(server)
    netns = site.client("client", "net", *CLIENT)
    grown = {}
    for name, what in NONSENSE.items():
        before = logged(site, server)
        for _ in range(ROUNDS):
            send(netns, "10.0.0.5", what, AT_ONCE)
        grown[name] = logged(site, server) - before
    assert {name: size for name, size in grown.items() if size > HARMLESS} == {}
    assert probe(netns, "write", path(share), "name", "text")["ok"]
    assert "Unknown parameter" not in site.layout(server).log.read_text()


@pytest.mark.slow("each operation a thousand times")
@pytest.mark.timeout(300)
def test_operations_that_make_no_sense_are_not_logged(site: Site) -> None:
    """Each one there is, on a file of the client's: with nothing but zeros; and what asks for
    parallel NFS, which no share has."""
    server = site.server(*BOTH)
    share = site.share(server)
    netns = site.client("client", "net", *CLIENT)
    everything = u64(0) + u64(ops.WHOLE) + u64(0)
    layout = Operation(50, u32(0) + u32(1) + u32(1) + everything + ANONYMOUS + u32(4096))
    grown: dict[int, int] = {}
    with Client41(netns, "10.0.0.5") as client:
        client.put(client.handle_of(path(share).split(":/")[1]), "file", b"text")
    for operation in [*(Operation(number, bytes(256)) for number in OPERATIONS), layout]:
        before = logged(site, server)
        ask_again_and_again(netns, f"{path(share).split(':/')[1]}/file", operation)
        grown[operation.number] = grown.get(operation.number, 0) + logged(site, server) - before
    assert {number: size for number, size in grown.items() if size > HARMLESS} == {}
    assert probe(netns, "write", path(share), "name", "text")["ok"]


def ask_again_and_again(netns: str, file: str, operation: Operation) -> None:
    """By one client, for as long as its connection is not closed."""
    with Client41(netns, "10.0.0.5") as client:
        handle = client.handle_of(file)
        for _ in range(AT_ONCE):
            try:
                client.run(putfh(handle), operation)
            except (Nfs4Error, RpcError):
                pass
            except OSError:
                return


def make_verbose(site: Site, server: ShareServer) -> None:
    """Whatever can be logged is."""
    components = DBusAddress(
        "/org/ganesha/nfsd/admin", "org.ganesha.nfsd", "org.ganesha.nfsd.log.component"
    )
    with open_dbus_connection(f"unix:path={site.layout(server).bus_socket}") as bus:
        setting = Properties(components).set("COMPONENT_ALL", "s", "NIV_FULL_DEBUG")
        unwrap_msg(bus.send_and_get_reply(setting, timeout=10))


@pytest.mark.slow("a log is filled to its bound")
def test_a_log_is_bounded_while_the_server_runs_whatever_is_logged(site: Site) -> None:
    server, other = site.server(*BOTH), site.server(("other net", "10.0.0.5/24"))
    share = site.share(server)
    netns = site.client("client", "net", *CLIENT)
    make_verbose(site, server)
    quiet, largest, done = logged(site, other), 0, threading.Event()
    with Loop(netns, path(share), "loop") as loop:
        while largest < logs.ROOM * 0.99 and not done.wait(0.05):
            largest = max(largest, logged(site, server))
        for _ in range(20):
            largest = max(largest, logged(site, server))
            done.wait(0.05)
        assert largest <= logs.ROOM
        for _ in range(3):  # the newest messages come in again
            assert site.driver.unserved([server.id, other.id]) == []
            assert logged(site, server) <= logs.ROOM
            assert processes.wait_until(lambda: logged(site, server) > 2 * logs.KEPT, 10.0)
    assert loop.answer["error_count"] == 0, "who has no room for its log serves all the same"
    assert logged(site, other) == quiet


def test_logs_stay_over_a_restart_of_the_server_and_go_with_it(site: Site) -> None:
    server = site.server(*BOTH)
    layout = site.layout(server)
    linux_backend.stop_serving(site.driver, server)
    site.driver.ensure_server(server, [])
    assert layout.log.read_text().count("NFS SERVER INITIALIZED") == 2
    assert [mount.filesystem for mount in mounts.mounts_below(layout.logs)] == ["tmpfs"]
    site.driver.teardown_server(server.id, {})
    assert mounts.mounts_below(layout.logs) == []
    assert not layout.state.exists()


def test_what_a_captured_server_puts_among_its_logs_is_not_followed(
    site: Site, tmp_path: Path
) -> None:
    server = site.server(*BOTH)
    layout = site.layout(server)
    precious = tmp_path / "precious"
    precious.write_bytes(b"x" * (logs.KEPT + 1))
    layout.log.write_bytes(b"x" * (logs.KEPT + 1))
    layout.log.with_suffix(".log.1").symlink_to(precious)
    logs.make_room(layout)
    layout.log.unlink(missing_ok=True)
    layout.log.symlink_to(precious)
    logs.make_room(layout)
    assert logs.end_of(layout, 10) == "it wrote no log"
    layout.log.unlink()
    os.mkfifo(layout.log)
    assert logs.end_of(layout, 10) == "it wrote no log"
    layout.log.unlink()
    layout.log.mkdir()
    logs.make_room(layout)
    assert site.driver.unserved([server.id]) == []
    assert precious.stat().st_size == logs.KEPT + 1
    assert layout.log.with_suffix(".log.1").stat().st_size == logs.KEPT


def test_the_bus_of_a_server_logs_nowhere(site: Site) -> None:
    server = site.server(*BOTH)
    pid = site.layout(server).bus_pid.read_text().strip()
    # by number: in the bus's cell the device has another path
    assert {os.stat(f"/proc/{pid}/fd/{number}").st_rdev for number in range(3)} == {
        os.stat("/dev/null").st_rdev
    }


def test_what_a_client_makes_a_server_remember_is_small_and_goes_with_its_lease(site: Site) -> None:
    """How many clients it knows is bounded by itself: see `test_linux_bounds.py`."""
    server = site.server(*BOTH)
    site.share(server)
    netns = site.client("client", "net", *CLIENT)
    recovery = site.layout(server).recovery
    before = set(recovery.rglob("*"))
    client = Client40(netns, "10.0.0.5", name="n" * LONGEST_NAME)
    client.establish()
    remembered = set(recovery.rglob("*")) - before
    client.link.link.close()
    assert 0 < len(remembered) <= REMEMBERED
    assert processes.wait_until(lambda: set(recovery.rglob("*")) <= before, 60.0)
