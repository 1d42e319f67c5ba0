"""NFS servers that die or hang: told at once, or after three probes that nobody else is to blame
for; restarted as they were."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event

import pytest

from abaca.drivers.linux.driver import LinuxDriver
from abaca.drivers.linux.file_services.nfs import nfs_null
from abaca.drivers.linux.file_services.nfs.ganesha import GRACE_SECONDS
from abaca.drivers.linux.file_services.nfs.vigil import MOST_SILENCES, Vigil
from abaca.errors import Unavailable
from abaca.values import ShareServer
from tests.contracts.drivers import linux_backend
from tests.contracts.drivers.linux_backend import btrfs_pool
from tests.contracts.drivers.linux_site import BOTH, CLIENT, Site, assert_served, path, rule
from tests.nfs4.client import Client41, patiently
from tests.service import wait_until

pytestmark = [pytest.mark.root, pytest.mark.sampled_file(4)]

PATIENCE, LONG_PATIENCE = 0.5, 3.0
DEATH_SECONDS = 10.0
FREEZE, THAW = 0xC0045877, 0xC0045878


@pytest.fixture
def hasty_site(linux_driver: LinuxDriver) -> Iterator[Site]:
    """On a back end whose worker has been replaced by one of little patience."""
    site = Site(linux_backend.successor(linux_driver, answer_seconds=str(PATIENCE)))
    yield site
    site.clear()


def pid_of(site: Site, server: ShareServer) -> int:
    return int(site.layout(server).ganesha_pid.read_text())


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """The process hangs meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def frozen(folder: Path) -> Iterator[None]:
    """No write to the file system of `folder` comes back meanwhile."""
    handle = os.open(folder, os.O_RDONLY)
    fcntl.ioctl(handle, FREEZE, 0)
    try:
        yield
    finally:
        fcntl.ioctl(handle, THAW, 0)
        os.close(handle)


def test_a_worker_that_starts_anew_is_told_of_deaths_too(
    site: Site, linux_driver: LinuxDriver
) -> None:
    server = site.server(*BOTH)
    share = site.share(server)
    site.driver = linux_backend.successor(linux_driver)
    site.driver.ensure_server(server, [share])
    os.kill(pid_of(site, server), signal.SIGKILL)
    assert site.driver.wait_for_deaths(DEATH_SECONDS) == [server.id]
    assert site.driver.restart_server(server.id)
    assert_served(site.client("client", "net", *CLIENT), share)


def test_no_two_starts_have_the_same_epoch(site: Site) -> None:
    """Else clients are told that their state has expired, not that the server was started anew, and
    reclaim nothing."""
    server = site.server(*BOTH)
    site.share(server)
    netns = site.client("client", "net", *CLIENT)
    epochs = []
    for _ in range(5):
        with Client41(netns, "10.0.0.5") as client:
            epochs.append(client.client_id >> 32)
        site.driver.wait_for_deaths(0)  # of servers that other tests let die
        os.kill(pid_of(site, server), signal.SIGKILL)
        assert site.driver.wait_for_deaths(DEATH_SECONDS) == [server.id]
        assert site.driver.restart_server(server.id)
    assert epochs == sorted(set(epochs))


@pytest.mark.slow("the grace of an NFS server")
def test_clients_have_all_of_the_grace_once_they_reach_the_server(site: Site) -> None:
    """Ganesha counts it from before it opens its exports, which takes long on a busy machine."""
    server = site.server(*BOTH)
    share = site.share(server)
    netns = site.client("client", "net", *CLIENT)
    with Client41(netns, "10.0.0.5") as client:
        folder = client.handle_of(path(share).partition(":")[2])
        file = patiently(lambda: client.open(folder, "file", create=True))
        client.lock(file, length=10)
        before = site.layout(server).log.stat().st_size
        os.kill(pid_of(site, server), signal.SIGKILL)
        with ThreadPoolExecutor(1) as threads:
            starting = threads.submit(site.driver.ensure_server, server, [share])
            wait_until(lambda: is_in_grace(site, server, before), "it starts", 20)
            with stopped(pid_of(site, server)):
                Event().wait(GRACE_SECONDS * 2 / 3)
            starting.result()
        Event().wait(GRACE_SECONDS / 2)  # it is looked every five seconds whether grace is over
        client.reconnect()
        client.recover()
        client.write(file, 0, b"mine")


def is_in_grace(site: Site, server: ShareServer, since: int) -> bool:
    """By what it has logged after so many bytes."""
    with suppress(FileNotFoundError):
        return b"Now IN GRACE" in site.layout(server).log.read_bytes()[since:]
    return False


def test_a_server_that_hangs_is_named_after_three_silences_in_a_row_and_restarted(
    hasty_site: Site,
) -> None:
    site = hasty_site
    server, other = site.server(*BOTH), site.server(("net", "10.0.0.6/24"))
    share, pid = site.share(server), pid_of(site, server)
    with stopped(pid):
        for _ in range(MOST_SILENCES - 1):
            assert site.driver.unserved([other.id, server.id]) == []
    assert site.driver.unserved([server.id]) == [], "it has answered, so the count begins again"
    os.kill(pid, signal.SIGSTOP)
    found = [site.driver.unserved([other.id, server.id]) for _ in range(MOST_SILENCES)]
    assert found == [[], [], [server.id]]
    assert site.driver.restart_server(server.id)
    assert site.driver.unserved([other.id, server.id]) == []
    assert pid_of(site, server) != pid
    assert_served(site.client("client", "net", *CLIENT), share)


def test_a_silent_server_is_not_blamed_while_the_disk_is_silent_too(hasty_site: Site) -> None:
    site = hasty_site
    server = site.server(*BOTH)
    site.share(server)
    with stopped(pid_of(site, server)):
        with frozen(btrfs_pool(site.driver).root):
            assert [site.driver.unserved([server.id]) for _ in range(MOST_SILENCES + 1)] == [[]] * (
                MOST_SILENCES + 1
            )
        assert [site.driver.unserved([server.id]) for _ in range(MOST_SILENCES)] == [
            [],
            [],
            [server.id],
        ]


def test_an_operation_that_meets_a_silent_server_does_not_restart_it(hasty_site: Site) -> None:
    site = hasty_site
    server = site.server(*BOTH)
    share, pid = site.share(server), pid_of(site, server)
    with stopped(pid), pytest.raises(Unavailable, match="does not answer now"):
        site.driver.update_access(share, [rule("10.0.0.0/8")], server)
    site.driver.update_access(share, [rule("10.0.0.0/8")], server)
    assert pid_of(site, server) == pid


def test_a_prober_that_was_starved_says_so_instead_of_blaming_the_server() -> None:
    code = (
        "from abaca.drivers.linux.file_services.nfs import nfs_null\nnfs_null.answers(%d, "
        f"{LONG_PATIENCE})"
    )
    with socket.create_server(("127.0.0.1", 0)) as silent:
        command = [sys.executable, "-c", code % silent.getsockname()[1]]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as prober:
            silent.settimeout(30)
            asked, _ = silent.accept()  # its patience has begun
            with asked:
                with stopped(prober.pid):
                    Event().wait(LONG_PATIENCE + 2)
                _, said = prober.communicate(timeout=30)
    assert "Starved" in said, said


def test_a_server_that_turns_a_connection_away_is_not_silent() -> None:
    """It has as many as it takes, and serves those: a restart would cut them off."""
    with socket.create_server(("127.0.0.1", 0)) as full, ThreadPoolExecutor(1) as threads:
        turned_away = threads.submit(lambda: full.accept()[0].close())
        assert nfs_null.answers(full.getsockname()[1], DEATH_SECONDS)
        turned_away.result()


def test_of_two_processes_with_one_name_the_death_of_the_first_is_not_told_for_the_second() -> None:
    vigil = Vigil()
    with subprocess.Popen(["sleep", "60"]) as first, subprocess.Popen(["sleep", "60"]) as second:
        vigil.watch("server", lambda: first.pid)
        vigil.watch("server", lambda: second.pid)
        first.kill()
        assert vigil.wait(0.2) == []
        second.kill()
        assert vigil.wait(DEATH_SECONDS) == ["server"]
        assert vigil.wait(0) == []
