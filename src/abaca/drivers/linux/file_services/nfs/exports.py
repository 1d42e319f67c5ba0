"""Exports of one share server: a file a share or mountable snapshot, from which Ganesha starts, and
the same commands to the running Ganesha by DBus.

Processes are in `ganesha.py`; what a CLIENT block is, in `access.py`. Callers hold the server's
lock.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from jeepney import DBusAddress, DBusErrorResponse, new_method_call
from jeepney.wrappers import unwrap_msg

from abaca.drivers.interface import path_name
from abaca.drivers.linux.file_services.nfs import bus_link
from abaca.drivers.linux.file_services.nfs.vigil import Health
from abaca.drivers.linux.layout import ServerLayout, write_atomically
from abaca.drivers.linux.storage import Source
from abaca.errors import OutcomeUnknown, Refused, Unavailable

HIGHEST_EXPORT_ID = 65535
SHARES, SNAPSHOTS = "shares", "snapshots"  # the folders that clients see
_ADDRESSES = r"# Exported at: ([^;]*);"
TOLD_CHARACTERS = 500  # of what Ganesha says
# What reading nonsense raises: the library has no error of its own for bytes that are no message.
NO_MESSAGE = (
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)
DBUS_TIMEOUT = 20.0
FILESYSTEM_IDS = UUID("5f0f6a5e-6bb1-4be5-a5b5-5ec0bd1d2a4e")
EXPORT_MANAGER = DBusAddress(
    "/org/ganesha/nfsd/ExportMgr",
    bus_name="org.ganesha.nfsd",
    interface="org.ganesha.nfsd.exportmgr",
)
CLIENT_MANAGER = DBusAddress(
    "/org/ganesha/nfsd/ClientMgr",
    bus_name="org.ganesha.nfsd",
    interface="org.ganesha.nfsd.clientmgr",
)
ADMINISTRATION = DBusAddress(
    "/org/ganesha/nfsd/admin",
    bus_name="org.ganesha.nfsd",
    interface="org.ganesha.nfsd.admin",
)
JUST_GRACE = "0:"  # of no address that is taken over

# What NFS-Ganesha 4.3 answers with, by method.
ANSWERS = {
    "ShowExports": f"(tt)a(qs({'(sb)' * 8})(tt))",
    "AddExport": "s",
    "UpdateExport": "s",
    "RemoveExport": "",
    "ShowClients": f"(tt)a(s({'(sb)' * 8})(tt))",
    "get_grace": "bbs",
    "grace": "bs",
}
_ELSEWHERE = {
    "ShowClients": CLIENT_MANAGER,
    "get_grace": ADMINISTRATION,
    "grace": ADMINISTRATION,
}


EXPORT_TEMPLATE = """\
EXPORT {{
    Export_Id = {export_id};
    Path = "{path}";
    Pseudo = "/{folder}/{name}";
    Filesystem_Id = {filesystem_id};
    Protocols = 4;
    Transports = TCP;
    SecType = sys;
    Squash = No_Root_Squash;
    Access_Type = None;
    Disable_ACL = true;
    FSAL {{ {fsal} }}
{clients}}}
"""


# The worker asks each of them for a file, through the loopback, which no client comes by. First, as
# Ganesha takes the first that fits, and rules may want a port of root's. In other
# letters, which are all the same to Ganesha, so that it counts for no access rule.
FOR_PROBES = (
    "    CLIENT { clients = 127.0.0.1; Protocols = 4; Access_Type = RO; Squash = All_Squash; }\n"
)
CEPH = 'Name = CEPH; Filesystem = "{filesystem}"; User_Id = "{user}"; Secret_Access_Key = "{key}";'


def write_export(
    server: ServerLayout,
    share_id: str,
    clients: str,
    known: Mapping[str, int],
    folder: str = SHARES,
    name: str = "",
    source: Source | None = None,
) -> int:
    """Write the export file of a share (or, by `folder`, of a snapshot) with these CLIENT blocks;
    returns its export id, which it keeps for life. `name`: what clients know it by in place of its
    id.

    `known`: what `export_ids` says now. `source`: where its data are that are not mounted.
    """
    export_id = known.get(share_id) or new_export_id(share_id, set(known.values()))
    text = EXPORT_TEMPLATE.format(
        export_id=export_id,
        path=server.mount_point(share_id) if source is None else source.path,
        name=path_name(name, share_id),
        folder=folder,
        filesystem_id=_filesystem_id(share_id),
        clients=clients,
        fsal="Name = VFS;" if source is None else CEPH.format(**source._asdict()),
    )
    file = server.export_file(share_id)
    if not file.exists() or file.read_text() != text:
        write_atomically(file, text)
    return export_id


def is_mounted_by_itself(file: Path) -> bool:
    """Whether an export's data are found by Ganesha, not mounted for it."""
    return "Name = CEPH;" in file.read_text()


def path_in(file: Path) -> str | None:
    """Under which clients reach an export whose data Ganesha finds itself."""
    text = file.read_text()
    found = re.search(r'Pseudo = "([^"]+)";', text)
    return found[1] if found and "Name = CEPH;" in text else None


def export_ids(server: ServerLayout) -> dict[str, int]:
    """Export ids by the id of the share or snapshot, as the export files have them."""
    found = {}
    for file in sorted(server.exports.glob("*.conf")) if server.exports.is_dir() else []:
        match = re.search(r"Export_Id = (\d+);", file.read_text())
        if match:
            found[file.stem] = int(match[1])
    return found


def admitted(server: ServerLayout) -> dict[str | None, set[str]]:
    """The networks that the export files admit to any share or snapshot: at each of the server's
    addresses that are named in them; under None, at all addresses."""
    found: dict[str | None, set[str]] = {None: set()}
    for file in server.exports.glob("*.conf") if server.exports.is_dir() else []:
        text = file.read_text()
        for address in (*addresses_in(text),) or (None,):
            found.setdefault(address, set()).update(networks_in(text))
    return found


def addresses_in(text: str) -> list[str]:
    """The server's addresses that an export file names; none: it is exported at all."""
    named = re.search(_ADDRESSES, text)
    return re.findall(r"[^\s,]+", named[1]) if named else []


def only_at(addresses: Iterable[str]) -> str:
    """What an export's file says, for `admitted`, of the addresses at which it is exported.
    NFS-Ganesha knows no such thing: it is a comment."""
    return f"    # Exported at: {', '.join(addresses)};\n"


def networks_in(clients: str) -> list[str]:
    """The networks that CLIENT blocks admit."""
    return [
        client.strip()
        for listed in re.findall(r"\bClients = ([^;]+);", clients)
        for client in listed.split(",")
    ]


def new_export_id(share_id: str, taken: set[int]) -> int:
    """One that no export has, which `taken` are."""
    # Scattered, so that a deleted share's id (it is part of the file handles that its clients hold)
    # is seldom given again.
    first = zlib.crc32(share_id.encode()) % HIGHEST_EXPORT_ID
    candidates = ((first + step) % HIGHEST_EXPORT_ID + 1 for step in range(HIGHEST_EXPORT_ID))
    free = next((number for number in candidates if number not in taken), None)
    if free is None:
        raise Refused("the share server has no export id left")
    return free


def _filesystem_id(share_id: str) -> str:
    number = uuid5(FILESYSTEM_IDS, share_id).int
    return f"{number >> 65}.{number & (2**63 - 1)}"


class ExportBus:
    """The bus of one running Ganesha: its exports and clients. Whatever a captured one answers,
    callers see a BackendError with a short text."""

    def __init__(self, socket: Path, patience: float = DBUS_TIMEOUT) -> None:
        self._socket = socket
        self._patience = patience  # seconds for each call

    def active(self) -> set[int]:
        """Ids of the exports that Ganesha serves now (its own root of the pseudo file system left
        out)."""
        answer = self._call("ShowExports")
        try:
            _, exports = answer
            return {int(export[0]) for export in exports if export[0] != 0}
        except NO_MESSAGE as error:
            raise Refused(
                f"Ganesha listed exports that cannot be read: {_start_of(answer)}"
            ) from error

    def add(self, file: Path, export_id: int) -> None:
        self._call("AddExport", "ss", (str(file), f"EXPORT(Export_Id={export_id})"))

    def update(self, file: Path, export_id: int) -> None:
        self._call("UpdateExport", "ss", (str(file), f"EXPORT(Export_Id={export_id})"))

    def remove(self, export_id: int) -> None:
        self._call("RemoveExport", "q", (export_id,))

    def versions(self) -> dict[str, list[str]]:
        """What the clients have spoken that Ganesha knows, by address as it writes it: `NFSv41`."""
        answer = self._call("ShowClients")
        try:
            _, clients = answer
            return {
                str(address): [str(name) for name, is_so in spoken if is_so]
                for address, spoken, _ in clients
            }
        except NO_MESSAGE as error:
            raise Refused(
                f"Ganesha listed clients that cannot be read: {_start_of(answer)}"
            ) from error

    def begin_grace_anew(self) -> None:
        """If there is one that goes on: it lasts from now on as long as if it began now."""
        if self.is_in_grace():
            self._call("grace", "s", (JUST_GRACE,))

    def is_in_grace(self) -> bool:
        return bool(self._call("get_grace")[0])

    def health(self) -> Health:
        try:
            self.active()
        except OutcomeUnknown:
            return Health.SILENT
        except (Unavailable, Refused):
            return Health.GONE
        return Health.SERVES

    def _call(
        self, method: str, signature: str | None = None, body: tuple[Any, ...] = ()
    ) -> tuple[Any, ...]:
        try:
            manager = _ELSEWHERE.get(method, EXPORT_MANAGER)
            question = new_method_call(manager, method, signature, body)
            reply = bus_link.call(str(self._socket), question, ANSWERS[method], self._patience)
            answer: tuple[Any, ...] = unwrap_msg(reply)
        except TimeoutError as error:
            raise OutcomeUnknown(
                f"Ganesha did not answer {method} within {self._patience:g} s"
            ) from error
        except DBusErrorResponse as error:
            raise _as_backend_error(method, error) from error
        except OSError as error:
            raise Unavailable(f"Ganesha cannot be reached for {method}: {error}") from error
        except NO_MESSAGE as error:
            raise Refused(
                f"Ganesha answered {method} with what is not a D-Bus message: {_start_of(error)}"
            ) from error
        # A file that was read in part is answered as a success whose text tells of errors.
        if any(isinstance(part, str) and "rror" in part for part in answer):
            raise Refused(f"Ganesha said to {method}: {_start_of(answer)}")
        return answer


def _as_backend_error(
    method: str, error: DBusErrorResponse
) -> Unavailable | OutcomeUnknown | Refused:
    if error.name in (
        "org.freedesktop.DBus.Error.ServiceUnknown",
        "org.freedesktop.DBus.Error.NameHasNoOwner",
    ):
        return Unavailable(f"Ganesha is not on its bus for {method}")
    if error.name in (
        "org.freedesktop.DBus.Error.NoReply",
        "org.freedesktop.DBus.Error.Disconnected",
    ):
        return OutcomeUnknown(f"Ganesha disconnected during {method}")
    return Refused(f"Ganesha refused {method}: {_start_of(error)}")


def _start_of(said: object) -> str:
    return str(said)[:TOLD_CHARACTERS]
