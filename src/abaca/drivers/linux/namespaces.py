"""Network namespaces by name, as `ip netns` knows them: made, entered by a short-lived thread,
taken away.

Only the network namespace is entered: with `ip netns exec` (a mount namespace of its own) Ganesha
would not see what is mounted later. A thread instead of a child process: forking a worker full of
threads can hang.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from pyroute2 import IPRoute, NetlinkError

from abaca.drivers.linux import mounts
from abaca.errors import OutcomeUnknown, Unavailable

NETNS_ROOT = Path("/run/netns")
CLONE_NEWNET = 0x40000000
MS_BIND = 1 << 12
MS_REC = 1 << 14
MS_SHARED = 1 << 20
MNT_DETACH = 2
MOST_MOUNTS = 10

Result = TypeVar("Result")
_libc = ctypes.CDLL(None, use_errno=True)

# Settings that a namespace can inherit from the host. With forwarding, it would join a tenant's
# networks.
ISOLATED = {
    "ipv4/ip_forward": "0",
    "ipv6/conf/all/forwarding": "0",
    "ipv6/conf/default/forwarding": "0",
    "ipv6/conf/all/accept_ra": "0",
    "ipv6/conf/default/accept_ra": "0",
}


def path_of(name: str) -> Path:
    return NETNS_ROOT / name


def exists(name: str) -> bool:
    """Whether the name stands for a namespace; a mere file, left by a crash between the two steps
    of making one, does not."""
    try:
        return path_of(name).stat().st_dev != NETNS_ROOT.stat().st_dev
    except FileNotFoundError:
        return False


def is_of(name: str, pid: int) -> bool:
    """Whether a process is in the namespace that has this name now."""
    try:
        return exists(name) and path_of(name).stat().st_ino == os.stat(f"/proc/{pid}/ns/net").st_ino
    except FileNotFoundError:
        return False


def names() -> list[str]:
    """All namespaces of this machine that have a name."""
    return sorted(filter(exists, os.listdir(NETNS_ROOT))) if NETNS_ROOT.is_dir() else []


def ensure(name: str, settings: Mapping[str, str]) -> None:
    """Make sure of a namespace with its loopback up and these settings (`ipv4/ip_forward` →
    `0`)."""
    if not exists(name):
        _share_root()
        path_of(name).touch(mode=0o600)
        _in_thread(lambda: _unshare_as(path_of(name)))
    inside(name, lambda links: _prepare(links, {**ISOLATED, **settings}))


def remove(name: str) -> None:
    """Take a namespace's name away; the namespace goes with its last process. Nothing there is
    success."""
    # More than once, should another tool have mounted the folder over itself. Not by mountinfo:
    # what is hidden is listed there, too.
    for _ in range(MOST_MOUNTS):
        if not exists(name):
            break
        _check(_libc.umount2(bytes(path_of(name)), MNT_DETACH), f"unmount {path_of(name)}")
    try:
        path_of(name).unlink(missing_ok=True)
    except OSError as error:
        # a hidden mount keeps the file, which stands for nothing any more
        if error.errno != errno.EBUSY:
            raise OutcomeUnknown(f"network namespace {name}: {error}") from error


def inside(name: str, act: Callable[[IPRoute], Result]) -> Result:
    """Run `act` in the namespace `name` with netlink to it.

    Raises Unavailable when there is no such namespace, OutcomeUnknown when the kernel refuses
    something.
    """

    def enter_and_act() -> Result:
        try:
            handle = os.open(path_of(name), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise Unavailable(f"network namespace {name} is not there") from error
        try:
            _check(_libc.setns(handle, CLONE_NEWNET), f"enter network namespace {name}")
        finally:
            os.close(handle)
        try:
            with IPRoute() as links:
                return act(links)
        except (NetlinkError, OSError) as error:
            raise OutcomeUnknown(f"network namespace {name}: {error}") from error

    return _in_thread(enter_and_act)


def here(act: Callable[[IPRoute], Result]) -> Result:
    """Run `act` with netlink to the namespace that the caller is in: the host's. Raises
    OutcomeUnknown when the kernel refuses something."""
    try:
        with IPRoute() as links:
            return act(links)
    except (NetlinkError, OSError) as error:
        raise OutcomeUnknown(f"links of this machine: {error}") from error


def inside_new(act: Callable[[IPRoute], Result]) -> Result:
    """Run `act` in a new namespace without a name, which is gone afterwards. Raises Unavailable
    when the kernel refuses."""

    def make_and_act() -> Result:
        _check(_libc.unshare(CLONE_NEWNET), "make a network namespace")
        try:
            with IPRoute() as links:
                return act(links)
        except (NetlinkError, OSError) as error:
            raise Unavailable(f"in a new network namespace: {error}") from error

    return _in_thread(make_and_act)


def set_sysctl(settings: Mapping[str, str]) -> None:
    """Write settings of the calling thread's namespace; only where they differ, as a write can drop
    learned state."""
    for name, value in settings.items():
        path = Path("/proc/sys/net") / name
        if path.exists() and path.read_text().strip() != value:
            path.write_text(value)


def _share_root() -> None:
    """Make the folder of names a mount of its own, as `ip netns add` does: done later, what is
    mounted below would be there twice."""
    NETNS_ROOT.mkdir(mode=0o755, exist_ok=True)
    if not mounts.mounts_below(NETNS_ROOT):
        _mount(bytes(NETNS_ROOT), NETNS_ROOT, MS_BIND | MS_REC)
        _mount(b"", NETNS_ROOT, MS_SHARED | MS_REC)


def _mount(source: bytes, point: Path, flags: int) -> None:
    _check(
        _libc.mount(source, bytes(point), b"none", ctypes.c_ulong(flags), None), f"mount {point}"
    )


def _prepare(links: IPRoute, settings: Mapping[str, str]) -> None:
    set_sysctl(settings)
    links.link("set", index=1, state="up")


def _unshare_as(path: Path) -> None:
    _check(_libc.unshare(CLONE_NEWNET), "make a network namespace")
    _mount(b"/proc/thread-self/ns/net", path, MS_BIND)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise Unavailable(f"cannot {what}: {os.strerror(number)}")


def _in_thread(act: Callable[[], Result]) -> Result:
    """Run `act` in a new thread, which takes its namespace with it when it ends."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="netns") as threads:
        return threads.submit(act).result()
