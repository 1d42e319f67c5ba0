"""A program that took NFS-Ganesha's place: it looks and reaches about, and writes what it found to
the file that it is given, as JSON.

No test: `test_linux_cell.py` starts it. It imports nothing but the standard library, as it sees
nothing else.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import socket
import sys
from collections.abc import Callable

libc = ctypes.CDLL(None, use_errno=True)
NUMBERS = {  # of system calls, on x86_64
    "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161, "unshare": 272, "setns": 308,
     "ptrace": 101,
    "process_vm_readv": 310, "kill": 62, "pidfd_open": 434, "bpf": 321, "io_uring_setup": 425,
     "keyctl": 250, "add_key": 248,
    "init_module": 175, "finit_module": 313, "kexec_load": 246, "reboot": 169, "swapon": 167,
     "userfaultfd": 323,
    "perf_event_open": 298, "sethostname": 170, "settimeofday": 164, "clone3": 435, "execve": 59,
     "execveat": 322, "fork": 57,
    "personality": 135, "quotactl": 179, "iopl": 172, "open_tree": 428, "move_mount": 429,
     "fsopen": 430,
    "memfd_create": 319, "seccomp": 317, "shmget": 29, "msgget": 68, "semget": 64,
     "landlock_create_ruleset": 444, "syslog": 103,
}  # fmt: skip
CLONE, CLONE_NEWUSER, SIGCHLD, OPEN_BY_HANDLE_AT, X32 = 56, 0x10000000, 17, 304, 0x40000000
BTRFS_IOC_SNAP_CREATE_V2, TIOCSTI = 0x50009417, 0x5412


def main() -> None:
    asked = json.loads(sys.argv[1])
    found = {
        "pid": os.getpid(),
        "processes": sorted(name for name in os.listdir("/proc") if name.isdecimal()),
        "host name": socket.gethostname(),
        "files": everything("/"),
        "readable": [path for path in asked["secret"] if can(read_from, path)],
        "writable": [folder for folder in everything("/", folders=True) if can(write_into, folder)],
        "links followed": links(asked["secret"], asked["share"]),
        "reached": [address for address in asked["addresses"] if can(connect, address)],
        "calls": {name: outcome(number) for name, number in NUMBERS.items()},
        "clone": outcome(CLONE, CLONE_NEWUSER),
        "fork by clone": outcome(CLONE, SIGCHLD),
        "x32": outcome(X32 | 2),
        "by handle": by_handle(asked["handle"], asked["share"]),
        "by handle, around the library": by_handle(asked["handle"], asked["share"], around=True),
        "by handles with the token": by_token(asked["handles"], asked["token"]),
        "ioctls": {
            str(number): ioctl(asked["share"], number)
            for number in (BTRFS_IOC_SNAP_CREATE_V2, TIOCSTI)
        },
        "sockets": {name: can(close_socket, *kind) for name, kind in sockets().items()},
        "devices": [
            path
            for path in ("/tmp/device", f"{asked['share']}/device")
            if can(os.mknod, path, 0o60600, 0x700)
        ],
        "more capabilities": more_capabilities(),
        "descriptors": descriptors(),
    }
    with open(asked["report"], "w") as report:
        json.dump(found, report)


def everything(top: str, folders: bool = False) -> list[str]:
    """Paths of all files, or of all folders, except what is Debian's or the kernel's."""
    found: list[str] = []
    for folder, below, files in os.walk(top):
        below[:] = [
            name
            for name in below
            if os.path.join(folder, name) not in ("/usr/lib", "/proc", "/sys")
        ]
        found += [folder] if folders else [os.path.join(folder, name) for name in files]
    return sorted(found)


def can(act: Callable[..., object], *arguments: object) -> bool:
    try:
        act(*arguments)
    except OSError:
        return False
    return True


def read_from(path: str) -> None:
    open(path, "rb").close()


def open_once(path: str) -> None:
    """Of folders, too."""
    os.close(os.open(path, os.O_RDONLY))


def close_socket(family: int, kind: int, protocol: int) -> None:
    socket.socket(family, kind, protocol).close()


def write_into(folder: str) -> None:
    path = os.path.join(folder, "hostile")
    with open(path, "w"):
        os.unlink(path)


def links(secret: list[str], share: str) -> list[str]:
    """What can be read by links that lie in a share."""
    found = []
    for number, path in enumerate(secret):
        link = os.path.join(share, f"link{number}")
        os.symlink(path, link)
        found += [path] if can(read_from, link) else []
        os.unlink(link)
    return found


def connect(address: str) -> None:
    """`host:port`, a path, or @name for an abstract one."""
    host, _, port = address.rpartition(":")
    kind = socket.AF_INET if port.isdecimal() else socket.AF_UNIX
    with socket.socket(kind, socket.SOCK_STREAM) as attempt:
        attempt.settimeout(2)
        attempt.connect((host, int(port)) if kind == socket.AF_INET else address.replace("@", "\0"))


def outcome(number: int, *arguments: int) -> str:
    """The error of a system call; "done" when there was none."""
    found = libc.syscall(ctypes.c_long(number), *map(ctypes.c_ulong, (*arguments, 0, 0, 0, 0)[:5]))
    if found == 0 and number in (CLONE, NUMBERS["fork"]):
        os._exit(0)  # a child, which must not be
    if found >= 0:
        return "done"
    return errno.errorcode[ctypes.get_errno()]


def by_handle(handle: str, share: str, around: bool = False) -> str:
    """Opening an inode of somebody else's by its handle on one's own share: by the C library, or by
    the system call as it is."""
    kernel = bytes.fromhex(handle)
    given = ctypes.create_string_buffer(
        len(kernel).to_bytes(4, "little") + (0x4D).to_bytes(4, "little") + kernel
    )
    mount = os.open(share, os.O_RDONLY)
    if around:
        found = libc.syscall(
            ctypes.c_long(OPEN_BY_HANDLE_AT),
            ctypes.c_ulong(mount),
            given,
            ctypes.c_ulong(os.O_RDONLY),
        )
    else:
        found = libc.open_by_handle_at(mount, given, os.O_RDONLY)
    return "done" if found >= 0 else errno.errorcode[ctypes.get_errno()]


def by_token(handles: dict[str, tuple[int, str]], token: int) -> list[str]:
    """What opens by the handles that the host has of it, on any mount that there is here, when the
    call is made as the library makes it."""
    found = set()
    with open("/proc/self/mounts") as mounts:
        points = [line.split(" ")[1] for line in mounts]
    opened = [0, 1, 2, *(os.open(point, os.O_RDONLY) for point in points if can(open_once, point))]
    for mount in opened:
        for name, (kind, text) in handles.items():
            kernel = bytes.fromhex(text)
            given = ctypes.create_string_buffer(
                len(kernel).to_bytes(4, "little") + kind.to_bytes(4, "little") + kernel
            )
            made = libc.syscall(
                ctypes.c_long(OPEN_BY_HANDLE_AT),
                ctypes.c_long(mount),
                given,
                ctypes.c_ulong(os.O_RDONLY | token << 32),
            )
            if made >= 0:
                os.close(made)
                found.add(name)
    return sorted(found)


def ioctl(path: str, number: int) -> str:
    room = ctypes.create_string_buffer(4096)
    return (
        "done"
        if libc.ioctl(os.open(path, os.O_RDONLY), ctypes.c_ulong(number), room) >= 0
        else errno.errorcode[ctypes.get_errno()]
    )


def sockets() -> dict[str, tuple[int, int, int]]:
    return {
        "raw": (socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
        "packet": (socket.AF_PACKET, socket.SOCK_RAW, 0),
        "vsock": (socket.AF_VSOCK, socket.SOCK_STREAM, 0),
        "algorithms": (socket.AF_ALG, socket.SOCK_SEQPACKET, 0),
        "audit": (socket.AF_NETLINK, socket.SOCK_RAW, 9),
    }


def more_capabilities() -> str:
    """Asking for all of them."""
    head = ctypes.create_string_buffer((0x20080522).to_bytes(4, "little") + bytes(4))
    sets = ctypes.create_string_buffer(b"\xff" * 12 + b"\xff\x01\x00\x00" * 2 + bytes(4))
    return "done" if libc.capset(head, sets) == 0 else errno.errorcode[ctypes.get_errno()]


def descriptors() -> int:
    """How many files can be open at once."""
    opened = []
    try:
        while True:
            opened.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        return len(opened)
    finally:
        for each in opened:
            os.close(each)


main()
