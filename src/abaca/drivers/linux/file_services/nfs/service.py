"""NFS as a file service: exports by `exports.py` and `access.py`, processes by `ganesha.py`, who
reaches them by `admission.py`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from abaca.drivers.interface import path_name
from abaca.drivers.linux import admission, client_pause, mounts, namespaces
from abaca.drivers.linux.failures import Failures
from abaca.drivers.linux.file_services.interface import PROOF_OWN, Export, FileService, FileServices
from abaca.drivers.linux.file_services.nfs import findings, logs, proof
from abaca.drivers.linux.file_services.nfs.access import client_blocks
from abaca.drivers.linux.file_services.nfs.exports import (
    FOR_PROBES,
    SHARES,
    SNAPSHOTS,
    admitted,
    export_ids,
    networks_in,
    new_export_id,
    only_at,
    write_export,
)
from abaca.drivers.linux.file_services.nfs.ganesha import (
    ANSWER_SECONDS,
    GRACE_SECONDS,
    GRACE_SECONDS_IN_CEPH,
    GaneshaServer,
)
from abaca.drivers.linux.file_services.nfs.vigil import Health, Vigil
from abaca.drivers.linux.layout import ServerLayout
from abaca.drivers.linux.option_values import number
from abaca.drivers.linux.storage import Storage
from abaca.errors import BackendError, Unavailable
from abaca.plugin_options import Option
from abaca.values import Finding

LEAST_GRACE, MOST_GRACE = 15, 180  # longer than a lease; NFS-Ganesha takes no more
OPTIONS = {
    "answer_seconds": Option(
        "Seconds that an NFS server may leave a call without an answer before it counts as "
        "hanging.",
        str(ANSWER_SECONDS),
    ),
    "grace_seconds": Option(
        "Seconds in which clients reclaim opens and locks after the start of an NFS server, and "
        f"wait with new ones until all have: {LEAST_GRACE} to {MOST_GRACE}. By default "
        f"{GRACE_SECONDS}, with ceph_config {GRACE_SECONDS_IN_CEPH}: then about as long as a dead "
        "host's servers are away, or longer."
    ),
    "memory_mib": Option(
        "Memory that each NFS server may take, in MiB, 128 or more, where the machine has control "
        "groups.",
        "2048",
    ),
}
ASKED_SECONDS = 3.0
_EXPORT_ID = "export_id"
RUN_OPTIONS = "size=4m,nr_inodes=1k,mode=0700,nosuid,nodev,noexec"
"""Of the small file system of sockets, process ids and configuration that each server has of its
own."""


class NfsServices(FileServices):
    """`connections`: most of one server at a time. `storage`: how data are reached that are not
    mounted. Raises Unavailable for an option that makes no
    sense."""

    def __init__(
        self, options: Mapping[str, str], connections: int, storage: Storage | None = None
    ) -> None:
        self.patience = number(options, "answer_seconds", 0.1)
        self._memory = int(number(options, "memory_mib", 128)) * 1024**2
        self._grace = _grace_seconds(options, storage)
        self._connections = connections
        self._storage = storage
        self._vigil = Vigil()

    def of(self, server: ServerLayout, counts: Callable[[], Path | None]) -> FileService:
        return NfsService(
            *(server, self._vigil, self.patience, self._connections, self._memory, counts),
            storage=self._storage,
            grace=self._grace,
        )

    def deaths(self, seconds: float) -> list[str]:
        return self._vigil.wait(seconds)

    def proof_export(self) -> Export:
        return Export(PROOF_OWN, proof.RULES)

    def prove(self, server: ServerLayout, numbers: Mapping[str, int]) -> None:
        proof.require(server.namespace, numbers, self.patience)

    def path(self, address: str, ip_version: int, export: Export) -> str:
        literal = f"[{address}]" if ip_version == 6 else address
        return f"{literal}:/{_folder(export)}/{path_name(export.name, export.id)}"


def _grace_seconds(options: Mapping[str, str], storage: Storage | None) -> int:
    if not options["grace_seconds"]:
        return GRACE_SECONDS if storage is None else GRACE_SECONDS_IN_CEPH
    seconds = number(options, "grace_seconds", LEAST_GRACE)
    if seconds > MOST_GRACE:
        raise Unavailable(
            f"option grace_seconds must be at most {MOST_GRACE}, not {options['grace_seconds']}"
        )
    return int(seconds)


class NfsService(GaneshaServer, FileService):
    """The NFS server of one share server: its processes, and what they export.

    The export files are the record of what is published: after a crash they mend what differs.
    """

    def prepare(self) -> None:
        """Folders that Ganesha's cell shares with the host are mounts, made before the cell: that
        of the mount points hands on what is mounted in it, and through no other one is anything of
        the host's disk opened by a file handle."""
        server = self._server
        server.prepare()
        made = {
            server.mounts: "tmpfs",
            server.run: "tmpfs",
            server.exports: "overlay",
            server.recovery: "overlay",
        }
        found = {folder: mounts.mount_at(folder) for folder in made}
        missing = [
            folder
            for folder, kind in made.items()
            if (there := found[folder]) is None or there.filesystem != kind
        ]
        if missing:
            self.stop()  # what is mounted from now on would not reach it
        for folder in missing:
            mounts.unmount(folder)
            if folder == server.mounts:
                mounts.mount_shared(folder)
            elif folder == server.run:
                mounts.mount("tmpfs", folder, RUN_OPTIONS, kind="tmpfs")
            else:
                mounts.mount_without_handles(folder, server.overlays)

    def close_to_strangers(self) -> None:
        named = admitted(self._server)
        everywhere = named.pop(None)
        at = {address: networks for address, networks in named.items() if address is not None}
        admission.admit(self._server.namespace, everywhere, at)

    def restart(self) -> bool:
        return self._server.ganesha_config.exists() and self.ensure_running()

    def serves(self, blame: Callable[[], bool]) -> bool:
        logs.make_room(self._server)
        return super().serves(blame)

    def findings(self) -> Iterator[Finding]:
        lack = {
            Health.GONE: "it does not run; the worker starts it within seconds, if `abaca serve` "
            f"runs. Its log: {self._server.log}",
            Health.SILENT: "it does not answer; if that lasts, the worker starts it again",
        }
        health = self._health(ASKED_SECONDS)
        yield Finding(what="NFS server", seen="answers", lack=lack.get(health))

    def export_findings(
        self, export_id: str, address: str, client: str | None
    ) -> Iterator[Finding]:
        try:
            active = self.bus.active()
        except BackendError as error:
            yield Finding(what="exports", lack=f"{error.message}; see the NFS server above")
            return
        yield from findings.of_export(self._server, active, export_id, address, client)

    def publish(self, exports: Sequence[Export], newly_mounted: Collection[str]) -> dict[str, str]:
        failures = Failures()
        refused: dict[str, str] = {}
        ids, written = export_ids(self._server), []
        with failures.collected(f"export ids of share server {self._server.id}"):
            self._keep_ids([each.id for each in exports if each.source is not None], ids)
        for export in exports:
            clients, not_enforced = client_blocks(
                export.access_rules, export.extra_specs, export.choice, export.networks
            )
            refused |= not_enforced
            if export.addresses is not None:
                clients = only_at(export.addresses) + clients
            if export.source is not None:
                clients = FOR_PROBES + clients
            with failures.collected(f"/{_folder(export)}/{export.id}"):
                ids[export.id] = write_export(
                    self._server,
                    export.id,
                    clients,
                    ids,
                    _folder(export),
                    export.name,
                    export.source,
                )
                written.append(export.id)
        with failures.collected("letting clients in"):
            self.close_to_strangers()  # before Ganesha has the rules: those admitted reach it
        is_just_read = self.ensure_running()
        active = self.bus.active()
        for export_id in written:
            with failures.collected(f"export {export_id}"):
                if ids[export_id] not in active or not is_just_read:
                    self._announce(
                        export_id, ids[export_id], active, is_new_mount=export_id in newly_mounted
                    )
                self._send_away_former(export_id)
        failures.raise_any()
        return refused

    def _keep_ids(self, share_ids: Sequence[str], ids: dict[str, int]) -> None:
        """Export ids are in file handles, and so they are kept with data that another host may
        serve next. Adds them to `ids`."""
        if self._storage is None:
            return
        kept, server_id = self._storage.kept, self._server.id
        for share_id in share_ids:
            there = kept(server_id, share_id, _EXPORT_ID, _text(ids.get(share_id)))
            if there is not None:
                ids[share_id] = int(there)
        for share_id in share_ids:
            if share_id not in ids:  # by now the others' are known
                new = str(new_export_id(share_id, set(ids.values())))
                ids[share_id] = int(kept(server_id, share_id, _EXPORT_ID, new) or new)

    def _send_away_former(self, export_id: str) -> None:
        """Send away, until their leases are over, clients that have files of an export open and
        that none of its rules admits any more.

        Else they would keep these, and locks, for as long as they use another share. Who has closed
        its files notices nothing.
        """
        holders = self.holders(self._server.mount_point(export_id))
        networks = networks_in(self._server.export_file(export_id).read_text()) if holders else []
        if former := admission.outside(holders, networks):
            admission.send_away(self._server.namespace, former)

    def _announce(
        self, export_id: str, export_number: int, active: set[int], *, is_new_mount: bool
    ) -> None:
        """Have the running Ganesha read an export's file. `export_number`: by which it knows the
        export."""
        file = self._server.export_file(export_id)
        if export_number in active and not is_new_mount:
            self.bus.update(file, export_number)
            return
        if export_number in active:
            self.bus.remove(export_number)  # it holds what was mounted there before
        self.bus.add(file, export_number)

    def published(self) -> set[str]:
        return set(export_ids(self._server))

    def withdraw(self, export_id: str) -> None:
        if self.is_started() and export_id in self.published():
            self.ensure_running()
            self.release(export_id)
        self._server.export_file(export_id).unlink(missing_ok=True)
        if namespaces.exists(self._server.namespace):
            self.close_to_strangers()

    def withdraw_unknown(self) -> None:
        for export_number in self.bus.active() - set(export_ids(self._server).values()):
            self.bus.remove(export_number)

    def release(self, export_id: str) -> None:
        export_number = export_ids(self._server)[export_id]
        if export_number in self.bus.active():
            self.bus.remove(export_number)

    def clients_paused(self) -> AbstractContextManager[client_pause.Pause]:
        return client_pause.clients_paused(self._server.namespace, self.is_idle)

    def resume_clients(self) -> None:
        client_pause.release(self._server.namespace)


def _text(export_id: int | None) -> str | None:
    return None if export_id is None else str(export_id)


def _folder(export: Export) -> str:
    return SNAPSHOTS if export.is_snapshot else SHARES
