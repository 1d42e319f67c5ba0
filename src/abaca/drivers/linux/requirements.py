"""What the Linux back end needs of a machine, and which of it is not there. Changes nothing."""

from __future__ import annotations

import os
import platform
import socket
from pathlib import Path

from pyroute2 import IPRoute

from abaca.drivers.linux import connections, namespaces, packet_filter
from abaca.drivers.linux.file_services.nfs.cell import library
from abaca.drivers.linux.file_services.nfs.cell.privileges import ARCHITECTURES
from abaca.drivers.linux.programs import is_installed, run
from abaca.errors import BackendError

# Program → the Debian package that brings it.
PROGRAMS = {
    "ganesha.nfsd": "nfs-ganesha",
    "dbus-daemon": "dbus-daemon",
    "nsenter": "util-linux",
    "ldapsearch": "ldap-utils",
    "nft": "nftables",
    "losetup": "mount",
    "mount": "mount",
    "umount": "mount",
    "btrfs": "btrfs-progs",
    "mkfs.btrfs": "btrfs-progs",
}
VFS_LIBRARY = (
    "/usr/lib/*/ganesha/libfsalvfs.so",
    "/usr/lib/ganesha/libfsalvfs.so",
    "/usr/lib64/ganesha/libfsalvfs.so",
)


def missing() -> list[str]:
    """What is not there, each with what to do about it; empty when the back end can work."""
    lacking = [
        f"program {program} (Debian package {package})"
        for program, package in PROGRAMS.items()
        if not is_installed(program)
    ]
    if not any(list(Path("/").glob(pattern.lstrip("/"))) for pattern in VFS_LIBRARY):
        lacking.append("NFS-Ganesha's VFS library (Debian package nfs-ganesha-vfs)")
    lacking += library.missing()
    if platform.machine() not in ARCHITECTURES:
        lacking.append(
            f"processor: NFS servers can be confined on {' and '.join(ARCHITECTURES)}, not on "
            f"{platform.machine()}"
        )
    if os.geteuid() != 0:
        # what follows cannot be tried without
        return ["root: the worker must run as root", *lacking]
    if not _has_filesystem("btrfs"):
        lacking.append("kernel: btrfs file systems")
    if not _has_filesystem("overlay"):
        lacking.append("kernel: overlay file systems")
    if not Path("/dev/loop-control").exists():
        lacking.append("kernel: loop devices")
    if not Path("/proc/sys/net/ipv6").exists():
        lacking.append("kernel: IPv6")
    return lacking + _missing_network()


def _has_filesystem(name: str) -> bool:
    filesystems = Path("/proc/filesystems")
    if name not in filesystems.read_text().split() and is_installed("modprobe"):
        try:
            run("modprobe", name)
        except BackendError:
            return False
    return name in filesystems.read_text().split()


def _missing_network() -> list[str]:
    """What of links and routing the kernel lacks, tried in a namespace that is thrown away."""

    def add_veth(links: IPRoute) -> None:
        links.link("add", ifname="abaca0", kind="veth", peer={"ifname": "abaca1"})

    def add_bridge(links: IPRoute) -> None:
        links.link("add", ifname="abaca2", kind="bridge")

    def add_rule(links: IPRoute) -> None:
        links.rule(
            "add", family=socket.AF_INET, src="192.0.2.1", src_len=32, table=1000, priority=1000
        )

    def add_filters(links: IPRoute) -> None:
        packet_filter.replace_table("inet", "abaca", "")
        packet_filter.replace_table(
            "bridge",
            "abaca",
            "chain c { type filter hook prerouting priority 0; iifname vmap { a : drop }; }",
        )

    attempts = {
        "pairs of virtual interfaces (veth)": add_veth,
        "bridges": add_bridge,
        "routing by source address": add_rule,
        "nftables, its bridge family included": add_filters,
        "ending TCP connections (CONFIG_INET_DIAG_DESTROY)": lambda _: connections.require_resets(),
    }
    lacking = []
    for what, attempt in attempts.items():
        try:
            namespaces.inside_new(attempt)
        except BackendError as error:
            lacking.append(f"kernel: {what}: {error.message}")
    return lacking
