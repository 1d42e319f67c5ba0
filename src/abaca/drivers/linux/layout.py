"""Names and paths of one installation's back end: everything that the driver makes can be found
again from an id alone.

Two roots. `state` (`<state_dir>/<backend>`) survives a reboot: pool image, mount points, export
files, NFS recovery data. `run` (`/run/abaca/<namespace>`) does not: sockets (their paths must stay
below 108 characters), process ids, locks. Nothing is made here but folders.
"""

from __future__ import annotations

import os
import re
import socket
import stat
import zlib
from pathlib import Path

from abaca.errors import Refused, Unavailable

RUN_ROOT = Path("/run/abaca")
# A dot separates the installation from the id in the names of namespaces, so no installation's
# names start with another's.
NAMESPACE_PATTERN = re.compile(r"[a-z][a-z0-9-]{0,31}")
NO_SHARE = "proof-"
"""Subvolumes whose names begin so are no shares: a back end proves with them that its walls
stand."""
OF_BACKUPS = ("backup-", "restore-")
"""Subvolumes whose names begin so are no shares either: the data of one instant that a backup is
made of, and data that a backup is restored to before it takes the place of a share's."""
BACKUP_KEY = "backup.key"
"""The file that the passwords of the backups of all back ends of a worker follow from."""
ID_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def safe_id(text: str) -> str:
    """`text`, when it can be part of a path and of a configuration file; else raises Refused."""
    if not ID_PATTERN.fullmatch(text):
        raise Refused(
            f"'{text}' cannot be used as an id: letters, digits, - and _ only, at most 64"
        )
    return text


class Layout:
    """The names of one back end of one installation."""

    def __init__(self, namespace: str, state_dir: Path, backend_name: str) -> None:
        if not NAMESPACE_PATTERN.fullmatch(namespace):
            raise Unavailable(
                f"option namespace, '{namespace}', must be 1 to 32 lower-case letters, digits and "
                "-, and start with a letter"
            )
        self.namespace = namespace
        self.backend_name = backend_name
        self.state_dir = state_dir
        self.state = state_dir / safe_id(backend_name)
        self.run = run_path(namespace)
        self.backup_jobs = self.run / "backups"
        self.backup_key = state_dir / BACKUP_KEY

    @property
    def host_mark(self) -> str:
        """What tells this host from others that serve the same back end."""
        return f"{zlib.crc32(f'{socket.gethostname()}:{self.state}'.encode()):08x}"

    @property
    def servers(self) -> Path:
        """The folder with one folder a share server."""
        return self.state / "servers"

    def server(self, server_id: str) -> ServerLayout:
        return ServerLayout(self, safe_id(server_id))

    def prepare(self) -> None:
        """Make the two roots, for root only. Raises Unavailable when another user could replace
        what root writes there."""
        for folder in (self.state, self.run):
            require_trusted(folder)
            private_folder(folder)


class ServerLayout:
    """The names of one share server."""

    def __init__(self, layout: Layout, server_id: str) -> None:
        self.id = server_id
        self.namespace = f"{layout.namespace}.{server_id}"
        self.state = layout.servers / server_id
        self.exports = self.state / "exports"
        self.mounts = self.state / "mounts"
        self.recovery = self.state / "recovery"
        # what overlays of `exports` and `recovery` need beside these
        self.overlays = self.state / "overlays"
        self.epoch = self.state / "epoch"  # of Ganesha's last start
        # by which clients' names are mixed with their addresses
        self.secret = self.state / "secret"
        self.logs = self.state / "log"
        self.log = self.logs / "ganesha.log"
        self.run = layout.run / server_id
        self.ganesha_config = self.run / "ganesha.conf"
        self.ganesha_pid = self.run / "ganesha.pid"
        self.ceph_config = self.run / "ceph.conf"
        self.ceph_keyring = self.run / "ceph.keyring"
        self.bus_config = self.run / "dbus.conf"
        self.bus_pid = self.run / "dbus.pid"
        self.bus_socket = self.run / "bus" / "dbus.sock"
        self.ldap = self.run / "ldap"  # not in `state`: passwords stay off the disk

    def prepare(self) -> None:
        for folder in (
            self.state.parent,
            self.state,
            self.exports,
            self.mounts,
            self.recovery,
            self.overlays,
            self.run,
        ):
            private_folder(folder)

    def export_file(self, share_id: str) -> Path:
        return self.exports / f"{safe_id(share_id)}.conf"

    def mount_point(self, share_id: str) -> Path:
        return self.mounts / safe_id(share_id)


def run_path(namespace: str) -> Path:
    """The folder of an installation's sockets, process ids and lock."""
    return RUN_ROOT / namespace


def private_folder(path: Path) -> None:
    """Make a folder (and its parents) that only root may enter."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)


def require_trusted(path: Path) -> None:
    """Raise Unavailable when a folder on the way to `path` belongs to another user or may be
    written by others (a sticky one of root's is fine)."""
    for folder in (path, *path.parents):
        if not folder.exists():
            continue
        found = folder.stat()
        writable = (
            found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not found.st_mode & stat.S_ISVTX
        )
        if found.st_uid != 0 or writable:
            raise Unavailable(
                f"{folder} must belong to root and be writable by root only, because the worker "
                "writes below it as root"
            )


def write_atomically(path: Path, text: str) -> None:
    """Replace a file by rename, on stable storage before this returns. Follows no link that
    somebody put in its way."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    with open(new, "w", opener=_private) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_EXCL | os.O_NOFOLLOW, mode=0o600)
