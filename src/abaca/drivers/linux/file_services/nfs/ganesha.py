"""The processes of one share server: a DBus of its own and one Ganesha, in the server's network
namespace.

Ganesha runs in a cell (`cell/`). They outlive the worker and are found again by their pid files,
checked against /proc. What they serve is in `exports.py`.
"""

from __future__ import annotations

import logging
import os
import random
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from abaca.drivers.linux import control_groups, mounts, namespaces, processes
from abaca.drivers.linux.connections import established
from abaca.drivers.linux.file_services.nfs import (
    bus_daemon,
    connected,
    exports,
    file_probe,
    logs,
    nfs_null,
)
from abaca.drivers.linux.file_services.nfs.cell import confinement
from abaca.drivers.linux.file_services.nfs.cell.launch import Launch
from abaca.drivers.linux.file_services.nfs.cell.privileges import CAPABILITIES
from abaca.drivers.linux.file_services.nfs.exports import ExportBus
from abaca.drivers.linux.file_services.nfs.holders import held, holders
from abaca.drivers.linux.file_services.nfs.nfs_null import Starved
from abaca.drivers.linux.file_services.nfs.vigil import Health, Vigil
from abaca.drivers.linux.layout import ServerLayout, write_atomically
from abaca.drivers.linux.storage import Storage
from abaca.errors import BackendError, Unavailable
from abaca.values import Clients

GANESHA = "ganesha.nfsd"
NFS_PORT = 2049
START_SECONDS = 30.0
CELL_SECONDS = 5.0
SHORT_PATIENCE = 1.0  # with a server that has just been started, or has left probes unanswered
END_SECONDS = 5.0
ANSWER_SECONDS = 10.0
# and two a connection, which can keep one that receives and one that sends waiting for some seconds
THREADS = 256
SECRET_BYTES = 16
MOST_CLIENTS_OF_CEPH, THREADS_OF_CEPH = 256, 20  # one an export
ASKED_FILES = 4  # of shares in CephFS, drawn at random for each probe
CLIENTS_PER_CONNECTION = 4  # one that connects anew may be known twice until its old lease ends
# bytes, of both processes together; the kernel takes back what it keeps of files first
MEMORY = 2 * 1024**3
OTHER_TASKS = 64  # besides those threads
LOOK_SECONDS = 0.5  # at what clients have open
TOLD_BYTES = 1000  # of its log, when it does not start

# What strangers' requests reach first says nothing: each that cannot be read would be a message.
# Nor does parallel NFS, which no share has: each operation of it that a client sends would be one.
QUIET = (
    *("DISPATCH", "RPC", "TIRPC", "NFSPROTO", "NFS_V4", "NFS_V4_LOCK", "NFS_V4_ACL", "NFS_READDIR"),
    *("NFS_CB", "SESSIONS", "CLIENTID", "DUPREQ", "FILEHANDLE", "PNFS"),
)

# Grace must be longer than the lease, or a client's locks are lost over a restart; with a recovery
# folder it ends early when everybody is back. Owner and scope would else be the host's name in
# every server, and clients take them for one. Version 4.2 is not offered: Ganesha before 6.2
# answers its READ_PLUS, which Linux sends since 6.6, without data, and files look empty.
GANESHA_TEMPLATE = """\
NFS_CORE_PARAM {{
    NFS_Protocols = 4;
    NFS_Port = {port};
    Enable_NLM = false;
    Enable_RQUOTA = false;
    Enable_UDP = false;
    mount_path_pseudo = true;
    fsid_device = false;
    RPC_Max_Connections = {connections};
    RPC_Idle_Timeout_S = 60;
    RPC_Ioq_ThrdMax = {threads};
}}
NFSV4 {{
    Minor_Versions = 0, 1;
    Max_Client_Ids = {clients};
    Slot_Table_Size = 16;
    Graceless = false;
    Lease_Lifetime = 10;
    Grace_Period = {grace};
    {recovery}
    Server_Scope = "{server_id}";
    Server_Owner = "{server_id}";
    Only_Numeric_Owners = true;
    Allow_Numeric_Owners = true;
}}
LOG {{
    Default_Log_Level = EVENT;
    COMPONENTS {{ {quiet} }}
}}
{includes}"""


# Ceph's client keeps what folders hold, so nothing else does.
CEPH_BLOCKS = """\
MDCACHE {{ Dir_Chunk = 0; }}
RADOS_KV {{
    Ceph_Conf = "{config}";
    UserId = "{recovery.user}";
    Pool = "{recovery.pool}";
    Namespace = "{recovery.namespace}";
    Nodeid = "{server_id}";
}}
"""
IN_FOLDER = 'RecoveryBackend = fs;\n    RecoveryRoot = "{}";'
IN_CEPH = "RecoveryBackend = rados_ng;"
GRACE_SECONDS = 15
# Of a server that may come from a host that has died: TCP tries again after about as long as it has
# waited, which is some 40 s with the defaults of `[hosts]`.
GRACE_SECONDS_IN_CEPH = 45
KEYRING = "[client.{user}]\nkey = {key}\n"

_LOG = logging.getLogger(__name__)


class GaneshaServer:
    """The processes of the share server `server`. Callers hold the server's lock, except those who
    only ask whether it serves.

    `patience`: seconds that Ganesha may leave clients without an answer. `vigil`: the back end's.
    `connections`: at a time, at most. `memory`: bytes that both processes may take together.
    `counts`: tells in which folder the kernel counts what shares hold. `storage`: Ganesha is in its
    network namespace, and listens in the server's. `grace`: seconds in which clients reclaim.
    """

    def __init__(
        self,
        server: ServerLayout,
        vigil: Vigil,
        patience: float = ANSWER_SECONDS,
        connections: int = 512,
        memory: int = MEMORY,
        counts: Callable[[], Path | None] = lambda: None,
        storage: Storage | None = None,
        grace: int = GRACE_SECONDS,
    ) -> None:
        self._server = server
        self._vigil = vigil
        self._connections = connections
        self._storage = storage
        self._network = server.namespace if storage is None else storage.namespace
        self._threads = 2 * connections + THREADS
        if storage is not None:
            self._threads += MOST_CLIENTS_OF_CEPH * THREADS_OF_CEPH
        self._memory = memory
        self._counts = counts
        self._patience = patience
        self._grace = grace
        self.bus = ExportBus(server.bus_socket)

    def ensure_running(self) -> bool:
        """Start what does not run; True when Ganesha was to be started. Raises Unavailable with the
        end of its log when it does not come up.

        A Ganesha whose bus is gone cannot be given commands and is started anew, and so is one that
        hangs; its clients reclaim what they hold. Of one that is merely silent nobody knows:
        Unavailable.
        """
        health = self._whole_health(SHORT_PATIENCE if self._hangs() else self._patience)
        if health is Health.SILENT and not self._hangs():
            raise Unavailable(
                f"the NFS server of share server {self._server.id} does not answer now"
            )
        if health is not Health.SERVES:
            self._restart()
        self._vigil.watch(self._server.id, self._pid)
        return health is not Health.SERVES

    def serves(self, blame: Callable[[], bool]) -> bool:
        """False when Ganesha has died, or hangs. Each call is a probe; one without an answer counts
        when Ganesha is to `blame`."""
        try:
            health = self._health(self._patience)
        except Starved:
            return not self._hangs()
        if health is Health.SERVES:
            self._vigil.answered(self._server.id)
        elif health is Health.SILENT and (pid := self._pid()) is not None:
            if blame():
                self._vigil.left_unanswered(self._server.id, pid)
            return not self._hangs()
        return health is Health.SERVES

    def _restart(self) -> None:
        self.stop(0 if self._hangs() else END_SECONDS)
        self._write_configuration()
        logs.prepare(self._server)
        logs.make_room(self._server)
        launch = self.launch()
        bus_daemon.start(self._server, launch.groups)
        confinement.start(launch)
        # it is still loading what shuts it
        is_in_cell = processes.wait_until(lambda: self.gap() is None, CELL_SECONDS)
        if is_in_cell:
            processes.wait_until(lambda: self._is_up() or not self.is_started(), START_SECONDS)
        if not self._is_up():
            reason = self.gap() or logs.end_of(self._server, TOLD_BYTES)
            self.stop()
            raise Unavailable(
                f"the NFS server of share server {self._server.id} did not start: {reason}"
            )
        self._give_clients_time()

    def _give_clients_time(self) -> None:
        """Ganesha counts its grace from before it opens its exports, which takes long where there
        are many, or the machine is busy: clients have reached nobody meanwhile."""
        try:
            self.bus.begin_grace_anew()
        except BackendError as error:
            _LOG.warning(
                "clients of share server %s have less time to reclaim: %s",
                self._server.id,
                error.message,
            )

    def gap(self) -> str | None:
        """What is wrong with the cell of the Ganesha that runs, if one does: one of an older
        release, for example, has none."""
        pid = self._pid()
        return None if pid is None else confinement.gap(pid)

    def _is_up(self) -> bool:
        try:
            return self._whole_health(SHORT_PATIENCE) is Health.SERVES
        except Starved:
            return False

    def _whole_health(self, patience: float) -> Health:
        """Not only to its clients: it is in its cell, and can be given exports, too."""
        if self.gap() is not None:
            return Health.GONE
        health = self._health(patience)
        return self.bus.health() if health is Health.SERVES else health

    def _health(self, patience: float) -> Health:
        """Whether Ganesha lives, listens in the namespace that has the server's name now, and
        answers clients there."""
        pid = self._pid()
        if pid is None or not namespaces.is_of(self._network, pid) or not self._listens(pid):
            return Health.GONE
        try:
            is_answered = namespaces.inside(
                self._server.namespace, lambda _: nfs_null.answers(NFS_PORT, patience)
            )
            if is_answered and self._is_fenced(patience):
                return Health.GONE
        except TimeoutError:
            is_answered = False  # of a file
        except Starved:
            raise
        except BackendError:
            return Health.GONE  # the namespace went this moment
        if self._pid() != pid:
            return Health.GONE  # it died under the question
        # What a hostile client has left open may never be closed; then nobody else can open
        # anything.
        return (
            Health.SERVES if is_answered and not processes.is_out_of_files(pid) else Health.SILENT
        )

    def _listens(self, pid: int) -> bool:
        if self._storage is None:
            return processes.listens(pid, NFS_PORT)
        try:
            listens = namespaces.inside(
                self._server.namespace, lambda _: processes.listens(None, NFS_PORT)
            )
        except BackendError:  # there is no such namespace
            return False
        return listens

    def _is_fenced(self, patience: float) -> bool:
        """Whether Ganesha is shut out from shares in CephFS, while it answers whoever asks for no
        file. Raises TimeoutError."""
        if self._storage is None:
            return False
        files = list(self._server.exports.glob("*.conf"))
        paths = [
            path
            for file in random.sample(files, min(len(files), ASKED_FILES))
            if (path := exports.path_in(file)) is not None
        ]
        return bool(paths) and namespaces.inside(
            self._server.namespace, lambda _: file_probe.is_shut_out(NFS_PORT, paths, patience)
        )

    def _hangs(self) -> bool:
        pid = self._pid()
        return pid is not None and self._vigil.hangs(self._server.id, pid)

    def _pid(self) -> int | None:
        return processes.by_pid_file(self._server.ganesha_pid, GANESHA)

    def is_idle(self) -> bool:
        """No request is being worked on."""
        pid = self._pid()
        return pid is None or processes.is_idle(pid)

    def holders(self, share: Path) -> set[IPv4Address | IPv6Address]:
        """Addresses of the clients for which files of the share mounted here are open."""
        pid = self._pid()
        return set() if pid is None or self._storage else holders(pid, share.stat().st_dev)

    def clients(self) -> Clients:
        """Who is connected. One that asks holds no lock. Raises Unavailable when Ganesha does not
        run, as its clients are only away then."""
        pid = self._pid()
        if pid is None or not namespaces.is_of(self._network, pid):
            raise Unavailable(f"the NFS server of share server {self._server.id} does not run")
        are_back = not self._awaits_clients()
        found = established(self._server.namespace, NFS_PORT)
        devices = {}
        for file in self._server.exports.glob("*.conf"):
            with suppress(OSError):  # just withdrawn
                devices[self._server.mount_point(file.stem).stat().st_dev] = file.stem
        # Files of shares in CephFS are no descriptors.
        looks = found and self._storage is None
        held_files = held(pid, devices, LOOK_SECONDS) if looks else None
        versions = connected.versions(self._server.bus_socket) if found else {}
        if self._pid() != pid:
            raise Unavailable(f"the NFS server of share server {self._server.id} has just ended")
        return connected.clients(found, versions, held_files, are_back=are_back)

    def _awaits_clients(self) -> bool:
        """Whether it was started a moment ago and clients of before may not be back: until its
        grace is over, Ganesha keeps their records here; where it keeps them in Ceph, it is
        asked."""
        if self._storage is not None:
            return self.bus.is_in_grace()
        with suppress(OSError):  # it was never started, or the records go this moment
            for node in os.scandir(self._server.recovery / "v4old"):
                if node.is_dir(follow_symlinks=False) and any(os.scandir(node)):
                    return True
        return False

    def is_started(self) -> bool:
        """Ganesha lives, healthy or not."""
        return bool(self._ganeshas())

    def stop(self, patience: float = END_SECONDS) -> None:
        """End both processes, and any that a lost call may have started; Ganesha gets `patience`
        seconds to do it by itself.

        What was taken over and cannot be told by its name any more is ended by where it is. Nothing
        there is success.
        """
        self._vigil.forget(self._server.id)
        processes.end(self._ganeshas(), patience)
        self._server.ganesha_pid.unlink(missing_ok=True)
        bus_daemon.stop(self._server)
        if self._storage is None:
            processes.end(processes.in_cells(namespaces.path_of(self._server.namespace)), 0)
        else:
            control_groups.kill(self._server.namespace)
        control_groups.remove(self._server.namespace)

    def _ganeshas(self) -> list[int]:
        return processes.find(GANESHA, str(self._server.ganesha_pid))

    def _write_configuration(self) -> None:
        # A share that is not mounted is left out: clients would write into the folder below it,
        # onto the host's disk.
        mounted = {mount.point for mount in mounts.mounts_below(self._server.mounts)}
        included = [
            file
            for file in sorted(self._server.exports.glob("*.conf"))
            if self._server.mount_point(file.stem) in mounted or exports.is_mounted_by_itself(file)
        ]
        configuration = GANESHA_TEMPLATE.format(
            port=NFS_PORT,
            recovery=IN_CEPH if self._storage else IN_FOLDER.format(self._server.recovery),
            grace=self._grace,
            server_id=self._server.id,
            quiet=" ".join(f"{component} = FATAL;" for component in QUIET),
            connections=self._connections,
            threads=self._threads,
            clients=CLIENTS_PER_CONNECTION * self._connections,
            includes="".join(f'%include "{file}"\n' for file in included),
        )
        if self._storage is not None:
            server, recovery = self._server, self._storage.recovery(self._server.id)
            config = str(server.ceph_config)
            configuration += CEPH_BLOCKS.format(
                config=config, recovery=recovery, server_id=server.id
            )
            keyring = str(server.ceph_keyring)
            write_atomically(server.ceph_keyring, KEYRING.format(**recovery._asdict()))
            write_atomically(server.ceph_config, self._storage.configuration(keyring))
        write_atomically(self._server.ganesha_config, configuration)

    def _next_epoch(self) -> int:
        """The time in seconds, but later than that of any earlier start.

        By its epoch Ganesha tells states of an earlier start, which clients may reclaim, from those
        that have expired, which they lose. Two starts in one second, or a clock that was set back,
        would make it take one for the other.
        """
        file = self._server.epoch
        last = int(file.read_text()) if file.exists() else 0
        epoch = max(int(time.time()), last + 1)
        write_atomically(file, f"{epoch}\n")
        return epoch

    def _secret(self) -> str:
        """The key by which the names of clients are mixed with their addresses
        (`cell/identities.c`): one for ever, or nobody could reclaim."""
        file = self._server.secret
        known = file.read_text() if file.exists() else secrets.token_hex(SECRET_BYTES)
        if self._storage is not None:
            known = self._storage.kept(self._server.id, "", "secret", known) or known
        if not file.exists() or file.read_text() != known:
            write_atomically(file, known)
        return known

    def launch(self) -> Launch:
        """How Ganesha is started in its cell."""
        server = self._server
        limits = {
            control_groups.MEMORY: self._memory,
            control_groups.TASKS: self._threads + OTHER_TASKS,
        }
        files = ("-L", server.log, "-f", server.ganesha_config, "-p", server.ganesha_pid)
        return confinement.launch(
            server,
            GANESHA,
            ["-F", "-N", "NIV_EVENT", "-E", str(self._next_epoch()), *map(str, files)],
            server.ganesha_pid,
            environment={
                "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={server.bus_socket}",
                "ABACA_SECRET": self._secret(),
                "CEPH_CONF": str(server.ceph_config),
            },
            read_only=[
                server.ganesha_config,
                server.bus_socket,
                server.exports,
                *filter(None, [self._counts(), self._storage and server.ceph_config]),
                *([server.ceph_keyring] if self._storage else []),
            ],
            writable=[server.logs, server.recovery],
            shares=server.mounts,
            groups=control_groups.ensure(server.namespace, limits),
            capabilities=CAPABILITIES,
            data=self._memory + (self._threads + OTHER_TASKS) * confinement.STACK,
            network=self._network if self._storage else "",
        )
