"""The cell of an NFS server: a hostile program in Ganesha's place sees and reaches nothing of the
host, of other servers, of Abaca's database."""

from __future__ import annotations

import ctypes
import json
import os
import platform
import socket
import stat
import struct
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from abaca.drivers.linux import bounds, control_groups, mounts, namespaces, processes
from abaca.drivers.linux.file_services.nfs.cell import confinement, library, view
from abaca.drivers.linux.file_services.nfs.cell.privileges import TOKEN
from abaca.drivers.linux.file_services.nfs.exports import ExportBus, export_ids
from abaca.drivers.linux.file_services.nfs.ganesha import GANESHA, NFS_PORT, OTHER_TASKS, THREADS
from abaca.drivers.linux.file_services.nfs.nfs4 import Nfs4Error
from abaca.drivers.linux.pools import subvolumes
from abaca.errors import OutcomeUnknown, Refused, Unavailable
from abaca.values import Share, ShareServer
from tests.contracts.drivers import linux_backend
from tests.contracts.drivers.linux_backend import btrfs_pool
from tests.contracts.drivers.linux_site import BOTH, CLIENT, Site, assert_served
from tests.nfs4.client import Client41

pytestmark = [pytest.mark.root, pytest.mark.sampled_file(4)]

HOSTILE = Path(__file__).with_name("hostile.py")
PYTHON = Path("/usr/bin/python3").resolve()  # what Debian brings, with its libraries in /usr/lib
ENDED_SECONDS = 60.0
MIB = 1024**2


@dataclass
class Host:
    """What there is on the host that a program in a cell must not find: files, by their paths, what
    listens, and files by their handles. `foreign`: what of these is in another server's share."""

    secret: list[str]
    addresses: list[str]
    handles: dict[str, tuple[int, str]]
    foreign: str

    def know(self, *paths: Path | str) -> None:
        """Let the program have the handles of these."""
        self.handles |= {str(path): _handle_of(str(path)) for path in paths}


@pytest.fixture
def host(tmp_path: Path, site: Site) -> Iterator[Host]:
    """A database's file and socket, another server with a share, and services on the host's own
    addresses."""
    other = site.server(("other", "10.9.0.5/24"))
    share = site.share(other)
    foreign = site.data(share) / "file"
    foreign.write_text("another tenant's")
    state = site.driver.layout.state_dir.parent
    database = state / "abaca.db"
    database.write_text("rows")
    layout = site.layout(other)
    secret = [
        *("/etc/shadow", "/etc/passwd-", "/proc/kcore", "/proc/sys/kernel/core_pattern"),
        *(str(path) for path in (database, Path(__file__), site.driver.layout.state / "pool.img")),
        *(
            str(path)
            for path in (
                layout.ganesha_config,
                layout.export_file(share.id),
                layout.mount_point(share.id) / "file",
            )
        ),
        str(foreign),
        *(
            f"/proc/{pid}/{file}"
            for pid in (os.getpid(), _pid(site, other))
            for file in ("environ", "maps", "root/etc/passwd")
        ),
    ]
    with ExitStack() as opened:
        addresses = [str(layout.bus_socket)]
        for where in (str(state / "s"), f"\0abaca-{os.getpid()}"):
            listening = opened.enter_context(socket.socket(socket.AF_UNIX))
            listening.bind(where)
            listening.listen()
            addresses.append(where.replace("\0", "@"))
        loopback = opened.enter_context(socket.create_server(("127.0.0.1", 0)))
        addresses.append(f"127.0.0.1:{loopback.getsockname()[1]}")
        found = Host(secret, addresses, {}, str(foreign))
        found.know(
            "/", "/etc/shadow", "/dev/zero", database, layout.epoch, layout.ganesha_config, foreign
        )
        found.know(
            *site.driver.layout.state.glob("*.img"), *btrfs_pool(site.driver).root.glob("*/*.img")
        )
        yield found


def _handle_of(path: str) -> tuple[int, str]:
    """Its kind and its bytes, as the kernel makes it for root."""
    libc, most = ctypes.CDLL(None, use_errno=True), 128
    made, mount = (
        ctypes.create_string_buffer(struct.pack("Ii", most, 0) + bytes(most)),
        ctypes.c_int(),
    )
    result = libc.name_to_handle_at(-100, os.fsencode(path), made, ctypes.byref(mount), 0)
    assert result == 0, f"{path}: {os.strerror(ctypes.get_errno())}"
    length, kind = struct.unpack_from("Ii", made.raw)
    return kind, made.raw[8 : 8 + length].hex()


def _pid(site: Site, server: ShareServer) -> int:
    return int(site.layout(server).ganesha_pid.read_text())


def report_of(
    site: Site, server: ShareServer, share: Share, host: Host, other: int
) -> dict[str, Any]:
    """What the hostile program found, started as Ganesha is, except for its own file and
    Python's."""
    layout = site.layout(server)
    ganesha = site.ganesha(server)
    asked = {
        "secret": host.secret,
        "addresses": host.addresses,
        "share": str(layout.mount_point(share.id)),
        "handle": struct.pack("<QQI", subvolumes.FIRST_INODE, other, 0).hex(),
        "handles": host.handles,
        "token": TOKEN,
        "report": str(layout.logs / "report"),
    }
    launch = ganesha.launch()._replace(
        program=str(PYTHON),
        argv=[GANESHA, "-I", "-S", str(HOSTILE), json.dumps(asked), str(layout.ganesha_pid)],
        of_the_host=[*ganesha.launch().of_the_host, str(PYTHON), str(HOSTILE)],
    )
    processes.end([_pid(site, server)], 5.0)
    confinement.start(launch)
    assert processes.wait_until(lambda: not ganesha.is_started(), ENDED_SECONDS)
    found: dict[str, Any] = json.loads((layout.logs / "report").read_text())
    return found


def test_a_hostile_program_in_ganeshas_place_finds_nothing(site: Site, host: Host) -> None:
    if platform.machine() != "x86_64":
        pytest.skip("the hostile program knows the system calls of x86_64 only")
    server = site.server(*BOTH)
    share, beside = site.share(server), site.share(server)
    missing = [
        path
        for path in host.secret
        if not Path(path).exists() and "/proc/" not in path and path not in OPTIONAL
    ]
    assert not missing, "these are there to be found"
    found = report_of(site, server, share, host, number_of(site, beside))
    layout = site.layout(server)
    shares = {str(layout.mount_point(each.id)) for each in (share, beside)}

    assert (found["pid"], found["processes"], found["host name"]) == (1, ["1"], server.id)
    assert (found["readable"], found["reached"], found["links followed"]) == ([], [], [])
    made = (layout.state, *layout.state.parents, *HOSTILE.parents)
    private = {str(path) for path in made if Path("/tmp") in path.parents}  # in the cell's own /tmp
    below = {path for path in found["writable"] if layout.recovery in Path(path).parents}
    own_memory = {"/tmp", str(layout.run), str(layout.bus_socket.parent)}
    assert set(found["writable"]) - private - below == {
        *own_memory,
        str(layout.logs),
        str(layout.recovery),
        *shares,
    }
    own = tuple(map(str, (layout.state, layout.run)))
    strange = (
        {path for path in found["files"] if not path.startswith(own)}
        - EXPECTED
        - {str(PYTHON), str(HOSTILE)}
    )
    assert {
        path
        for path in strange
        if not path.startswith(("/usr/share/zoneinfo/", "/usr/local/lib/abaca/", "/usr/lib"))
    } == set()

    assert {name: error for name, error in found["calls"].items() if error != "ENOSYS"} == {}
    assert (found["clone"], found["fork by clone"], found["x32"]) == ("EPERM", "EPERM", "ENOSYS")
    assert (found["by handle"], found["by handle, around the library"]) == ("ESTALE", "EPERM")
    assert found["by handles with the token"] == [host.foreign], (
        "all shares of this pool are in one file system"
    )
    assert set(found["ioctls"].values()) == {"ENOTTY"}
    assert not any(found["sockets"].values())
    assert (found["devices"], found["more capabilities"]) == ([], "EPERM")
    assert found["descriptors"] < confinement.LIMITS["NOFILE"]


OPTIONAL = {"/etc/passwd-"}  # not on every machine
EXPECTED = {
    *(
        "/etc/passwd",
        "/etc/group",
        "/etc/hosts",
        "/etc/nsswitch.conf",
        "/etc/mtab",
        "/etc/ld.so.cache",
        "/etc/localtime",
        "/etc/netconfig",
    ),
    *("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom", "/usr/bin/ganesha.nfsd"),
}


def number_of(site: Site, share: Share) -> int:
    asked = ["btrfs", "inspect-internal", "rootid", str(site.data(share))]
    return int(subprocess.run(asked, capture_output=True, text=True, check=True).stdout)


def test_both_processes_of_a_server_are_in_cells(site: Site) -> None:
    """And what keeps Ganesha in its cell is looked at; the bus has no capability at all."""
    server = site.server(*BOTH)
    assert site.ganesha(server).gap() is None
    bus = (Path("/proc") / site.layout(server).bus_pid.read_text().strip() / "status").read_text()
    status = dict(line.split(":\t", 1) for line in bus.splitlines() if ":\t" in line)
    assert {status[name] for name in ("CapPrm", "CapEff", "CapBnd")} == {f"{0:016x}"}
    assert (status["NoNewPrivs"], status["Seccomp_filters"]) == ("1", "2")


def test_a_ganesha_outside_a_cell_is_started_anew(site: Site) -> None:
    """One of an older release, for example: what a worker does when it finds one after an
    upgrade."""
    server = site.server(*BOTH)
    share = site.share(server)
    layout = site.layout(server)
    processes.end([_pid(site, server)], 5.0)
    layout.ganesha_pid.unlink()
    files = ["-L", layout.log, "-f", layout.ganesha_config, "-p", layout.ganesha_pid]
    inside = ["nsenter", f"--net={namespaces.path_of(layout.namespace)}"]
    bus = {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={layout.bus_socket}"}
    subprocess.run([*inside, GANESHA, *map(str, files)], env={**os.environ, **bus}, check=True)
    assert processes.wait_until(lambda: layout.ganesha_pid.exists(), 10.0)
    before, gap = _pid(site, server), site.ganesha(server).gap()
    assert gap is not None and "the library" in gap and f"CapEff is {os_capabilities()}" in gap
    site.driver.ensure_server(server, [share])
    assert site.ganesha(server).gap() is None and _pid(site, server) != before
    assert_served(site.client("client", "net", *CLIENT), share)


def os_capabilities() -> str:
    return next(
        line.split()[1]
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("CapEff")
    )


def test_nothing_is_started_without_the_library(site: Site) -> None:
    server = site.server(*BOTH)
    launch = site.ganesha(server).launch()._replace(library="/usr/lib/abaca/not-there.so")
    processes.end([_pid(site, server)], 5.0)
    with pytest.raises(Unavailable, match=r"the library /usr/lib/abaca/not-there\.so is not there"):
        confinement.start(launch)
    assert not site.ganesha(server).is_started()


def test_nothing_is_started_beside_a_mount_of_a_disk(site: Site, tmp_path: Path) -> None:
    """Through one folder of it, any file of the disk could be opened by a handle."""
    server = site.server(*BOTH)
    launch = site.ganesha(server).launch()
    processes.end([_pid(site, server)], 5.0)
    kind = next(
        mount.filesystem
        for point in (tmp_path, *tmp_path.parents)
        if (mount := mounts.mount_at(point)) is not None
    )
    if kind in view.KINDS:
        pytest.skip(f"the folder of this test is on no disk, but on {kind}")
    for opened in (
        launch._replace(writable=[*launch.writable, str(tmp_path)]),
        launch._replace(read_only=[*launch.read_only, str(tmp_path)]),
    ):
        with pytest.raises(Unavailable, match=f"{tmp_path} is of the file system of a disk"):
            confinement.start(opened)
    assert not site.ganesha(server).is_started()


def test_without_the_library_in_force_nothing_opens(site: Site, tmp_path: Path) -> None:
    """Whatever the reason is: the launcher's filter lets no file be opened by its handle, not even
    by an honest client."""
    server = site.server(*BOTH)
    share = site.share(server)
    other = tmp_path / "other.so"
    calls = Path(library.__file__).with_name("calls.c")
    subprocess.run([library.COMPILER, *library.FLAGS, "-o", str(other), str(calls)], check=True)
    other.chmod(0o644)
    site.driver.ensure_server(server, [share])
    ganesha = site.ganesha(server)
    processes.end([_pid(site, server)], 5.0)
    confinement.start(ganesha.launch()._replace(library=str(other)))
    pid = _pid(site, server)
    assert processes.wait_until(lambda: processes.listens(pid, NFS_PORT), ENDED_SECONDS)
    assert ganesha.gap() == f"the library {library.name()} is not loaded"
    bus = ExportBus(site.layout(server).bus_socket)
    with Client41(site.client("client", "net", *CLIENT), "10.0.0.5") as client:
        with suppress(Refused):  # it may refuse the export itself
            bus.add(
                site.layout(server).export_file(share.id), export_ids(site.layout(server))[share.id]
            )
        with pytest.raises(Nfs4Error) as refused:
            client.names_in(client.handle_of(f"shares/{share.id}"))
    assert refused.value.name == "PERM"
    site.driver.ensure_server(server, [share])
    assert_served(site.client("client", "net", *CLIENT), share)


def test_an_nfs_server_takes_no_more_memory_and_tasks_than_it_may(site: Site) -> None:
    """One that takes more is ended; its neighbour notices nothing, and it is started again."""
    small = linux_backend.successor(site.driver, memory_mib="128")
    server, neighbour = site.server(*BOTH), site.server(("other", "10.9.0.5/24"))
    share, other = site.share(server), site.share(neighbour)
    processes.end([_pid(site, server)], 5.0)
    small.ensure_server(server, [share])
    limits = control_groups.limits_of(_pid(site, server))
    if not limits:
        pytest.skip("this machine has no control groups with the controllers memory and pids")
    tasks = 2 * int(bounds.OPTIONS["max_connections"].default) + THREADS + OTHER_TASKS
    assert limits == {control_groups.MEMORY: 128 * MIB, control_groups.TASKS: tasks}
    assert control_groups.limits_of(_pid(site, neighbour))[control_groups.MEMORY] == 2048 * MIB

    before = _pid(site, neighbour)
    forking = _in_place_of_ganesha(site, server, TAKING_TASKS, limits)
    assert processes.wait_until(lambda: _threads(forking) >= tasks - 10, ENDED_SECONDS)
    assert _threads(forking) <= tasks
    _in_place_of_ganesha(site, server, TAKING_MEMORY, limits)
    assert processes.wait_until(lambda: not site.ganesha(server).is_started(), ENDED_SECONDS), (
        "it goes on taking memory"
    )
    assert _pid(site, neighbour) == before
    assert_served(site.client("others", "other", "10.9.0.20/24"), other)
    small.ensure_server(server, [share])
    assert_served(site.client("client", "net", *CLIENT), share)


TAKING_TASKS = """
import threading, time
threading.stack_size(64 * 1024)
try:
    while True:
        threading.Thread(target=time.sleep, args=(60,)).start()
except RuntimeError:
    pass
"""
TAKING_MEMORY = """
held = []
while True:
    held.append(bytearray(1 << 20))
"""


# What a program that was taken over can do to those who look at it from outside.
DISGUISES = {
    "other arguments": "ctypes.memset(start, 65, end - start)",
    "a name that is no text": "libc.prctl(15, bytes([0xff, 0xfe, 0xfd]), 0, 0, 0)",
    "no main thread": "threading.Thread(target=listen).start(); libc.syscall(60, 0)",
}
DISGUISED = """
import ctypes, signal, socket, threading
libc = ctypes.CDLL(None)
def listen():
    while not {is_disguised}:
        threading.Event().wait(0.05)
    listening = socket.create_server(("::", 2049), family=socket.AF_INET6, dualstack_ipv6=True)
    while True:
        threading.Event().wait(60)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
start, end = map(int, open("/proc/self/stat").read().rpartition(") ")[2].split()[45:47])
{disguise}
listen()
"""


@pytest.mark.parametrize("disguise", DISGUISES)
def test_a_captured_server_is_ended_whatever_it_says_of_itself(site: Site, disguise: str) -> None:
    """Else it would keep the port, and outlive its share server."""
    server = site.server(*BOTH)
    share = site.share(server)
    captured, ganesha = _captured(site, server, disguise), site.ganesha(server)
    # nothing that it says is a bug of ours
    ganesha.gap(), ganesha.is_idle(), processes.is_idle(captured)
    ganesha.stop(0)
    assert _has_ended(captured)
    site.driver.ensure_server(server, [share])
    assert_served(site.client("client", "net", *CLIENT), share)


def _captured(site: Site, server: ShareServer, disguise: str) -> int:
    """The process id of a program in Ganesha's place that has disguised itself and listens."""
    is_disguised = (
        'open("/proc/1/stat").read().rpartition(") ")[2][0] == "Z"'
        if "thread" in disguise
        else "True"
    )
    program = DISGUISED.format(disguise=DISGUISES[disguise], is_disguised=is_disguised)
    pid = _in_place_of_ganesha(site, server, program, LIMITS)

    def listens() -> bool:
        try:
            namespaces.inside(
                site.layout(server).namespace,
                lambda _: socket.create_connection(("127.0.0.1", NFS_PORT), 10).close(),
            )
        except OutcomeUnknown:
            return False
        return True

    assert processes.wait_until(listens, ENDED_SECONDS)
    return pid


DIGGING = """
import os, threading
words = open("/proc/self/mounts").read().split()
recovery = next(each for each in words if each.endswith("/recovery"))
place = os.open(recovery, os.O_RDONLY)
for _ in range(3000):
    os.mkdir("deeper", dir_fd=place)
    below = os.open("deeper", os.O_RDONLY, dir_fd=place)
    os.close(place)
    place = below
os.mkdir(recovery + "/done")
threading.Event().wait(600)
"""


def test_what_a_captured_server_leaves_on_the_disk_goes_with_its_share_server(site: Site) -> None:
    """Folders in folders, deeper than a recursion or a path can be."""
    server = site.server(*BOTH)
    layout = site.layout(server)
    _in_place_of_ganesha(site, server, DIGGING, LIMITS)
    assert processes.wait_until((layout.recovery / "done").exists, ENDED_SECONDS)
    site.driver.teardown_server(server.id, {})
    assert not layout.state.exists()


LIMITS = {control_groups.MEMORY: 256 * MIB, control_groups.TASKS: 100}


def _has_ended(pid: int) -> bool:
    """A zombie that nobody has reaped has, but not one that other threads have outlived."""
    try:
        return (
            os.listdir(f"/proc/{pid}/task") == [str(pid)]
            and b") Z" in Path(f"/proc/{pid}/stat").read_bytes()
        )
    except FileNotFoundError:
        return True


def _in_place_of_ganesha(
    site: Site, server: ShareServer, program: str, limits: dict[str, int]
) -> int:
    """The process id of a Python program that has taken Ganesha's place, under these limits."""
    layout, launch = site.layout(server), site.ganesha(server).launch()
    processes.end(processes.find(GANESHA, str(layout.ganesha_pid)), 5.0)
    control_groups.ensure(layout.namespace, limits)
    argv = [GANESHA, "-I", "-S", "-c", program, str(layout.ganesha_pid)]
    confinement.start(
        launch._replace(
            program=str(PYTHON), argv=argv, of_the_host=[*launch.of_the_host, str(PYTHON)]
        )
    )
    return _pid(site, server)


def _threads(pid: int) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/task"))
    except FileNotFoundError:
        return 0


def test_everybody_may_list_control_groups_whatever_the_umask() -> None:
    """`abaca doctor` and `uninstall` do, as ordinary users, too."""
    if reason := linux_backend.unavailable_reason():
        pytest.skip(reason)
    name = f"test-{uuid4()}"
    before = os.umask(0o077)
    try:
        joined = control_groups.ensure(name, LIMITS)
        control_groups.remove(name)
    finally:
        os.umask(before)
    if not joined:
        pytest.skip("this machine's control groups may not be written")
    assert {stat.S_IMODE(Path(file).parents[1].stat().st_mode) for file in joined} == {0o755}


def test_a_control_group_is_taken_away_while_its_last_process_still_ends() -> None:
    """A process that was killed stays in its group until the machine has time to end it."""
    if reason := linux_backend.unavailable_reason():
        pytest.skip(reason)
    name = f"test-{uuid4()}"
    joined = control_groups.ensure(
        name, {control_groups.MEMORY: 64 * MIB, control_groups.TASKS: 10}
    )
    if not joined:
        pytest.skip("this machine's control groups may not be written")
    ending = subprocess.Popen(["sleep", "0.5"])
    try:
        for file in joined:
            Path(file).write_text(str(ending.pid))
        control_groups.remove(name)
        assert name not in control_groups.names()
    finally:
        ending.wait(30)
        control_groups.remove(name)
