"""A real Ceph for tests: a monitor, a manager, an OSD and an MDS with one CephFS, in a network
namespace of their own; and the namespace with the storage leg, from which it is reached.

About 170 MiB of memory, and what tests write: an OSD keeps it in memory, unless it is to be killed.
Everything is below one folder; what was started is
ended by its process ids.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import signal
import struct
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from abaca.drivers.linux import namespaces
from abaca.drivers.linux.pools.cephfs.cluster import PYTHON
from tests.contracts.drivers.wired_hosts import Machine
from tests.stack import wait_for

PROGRAMS = {
    "ceph-mon": "ceph-mon",
    "ceph-mgr": "ceph-mgr",
    "ceph-osd": "ceph-osd",
    "ceph-mds": "ceph-mds",
    "monmaptool": "ceph-common",
}
KINDS = ("mon", "mgr", "osd", "mds")  # as they are started
FSAL = "ganesha/libfsalceph.so"
ADDRESS, LEG, LENGTH = "10.99.0.1", "10.99.0.2", 24
NETWORK = f"10.99.0.0/{LENGTH}"
FILESYSTEM = "cephfs"
ROOM_GIB = 64
START_SECONDS = 180.0
# `volumes` makes subvolumes; the others take most of the manager's memory.
WITHOUT_MODULES = (
    "alerts,balancer,crash,devicehealth,diskprediction_local,influx,insights,iostat,localpool,"
    "mirroring,nfs,orchestrator,osd_perf_query,osd_support,pg_autoscaler,progress,prometheus,"
    "rbd_support,restful,selftest,snap_schedule,stats,telegraf,telemetry,test_orchestrator,zabbix"
)
CAPS = {
    "mon.": {"mon": "allow *"},
    "client.admin": {"mon": "allow *", "osd": "allow *", "mds": "allow *", "mgr": "allow *"},
    "mgr.a": {"mon": "allow profile mgr", "osd": "allow *", "mds": "allow *"},
    "mds.a": {"mon": "allow profile mds", "mgr": "allow profile mds", "osd": "allow *",
              "mds": "allow *"},
    "osd.0": {"mon": "allow profile osd", "mgr": "allow profile osd", "osd": "allow *"},
    # as the administrator guide has it
    "client.abaca": {
        "mon": 'allow r, allow command "auth get", allow command "auth get-or-create", '
        'allow command "auth caps", allow command "auth rm"',
        "mgr": "allow rw",
        "mds": "allow *",
        "osd": "allow r",
    },
}  # fmt: skip
CONFIGURATION = """\
[global]
fsid = {fsid}
mon_host = [v2:{address}:6790,v1:{address}:6789]
public_addr = {address}
cluster_addr = {address}
ms_bind_ipv6 = false
auth_cluster_required = cephx
auth_service_required = cephx
auth_client_required = cephx
auth_allow_insecure_global_id_reclaim = false
keyring = {folder}/keyring
run_dir = {folder}
pid_file = {folder}/$type.pid
admin_socket = {folder}/$type.asok
log_file = {folder}/$type.log
log_to_file = true
mon_cluster_log_file = {folder}/cluster.log
crash_dir = {folder}
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 8
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
[mon]
mon_data = {folder}/mon
mon_allow_pool_size_one = true
mon_warn_on_pool_no_redundancy = false
mon_data_avail_warn = 1
mon_data_avail_crit = 1
mgr_initial_modules =
[mgr]
mgr_data = {folder}/mgr
mgr_pool = false
mgr_disabled_modules = {without}
[osd]
osd_data = {folder}/osd
osd_objectstore = {store}
osd_op_num_shards = 1
osd_op_num_threads_per_shard = 2
memstore_device_bytes = {bytes}
bluestore_block_size = {bytes}
bluestore_block_path =
bluestore_block_db_create = false
bluestore_block_wal_create = false
bluestore_cache_size = 67108864
bluestore_cache_autotune = false
[mds]
mds_data = {folder}/mds
mds_cache_memory_limit = 67108864
mds_cap_revoke_eviction_timeout = 30
mds_reconnect_timeout = 10
[client]
log_file = /dev/null
pid_file =
"""
ASK = """\
import json, sys, rados
cluster = rados.Rados(conffile=sys.argv[1]); cluster.connect(timeout=60)
for prefix, given, more in json.load(sys.stdin):
    command = json.dumps({"prefix": prefix, "format": "json", **more})
    code, out, said = cluster.mon_command(command, given.encode())
    assert not code, (prefix, code, said)
    print(json.dumps(json.loads(out) if out else None))
cluster.shutdown()  # its threads must not decrypt while OpenSSL is taken down
"""
FILES = """\
import atexit, sys, cephfs
files = cephfs.LibCephFS(conffile=sys.argv[1]); files.mount(); atexit.register(files.shutdown)
"""

EVICT = """
import json
command = {"prefix": "session evict", "filters": ["auth_name=" + sys.argv[2]]}
code, out, said = files.mds_command("*", json.dumps(command), "")
assert not code, (code, said)
"""


def unavailable_reason() -> str | None:
    """Why there can be no Ceph on this machine, or None."""
    lacking = [package for program, package in PROGRAMS.items() if shutil.which(program) is None]
    if not any(Path("/usr/lib").glob(f"*/{FSAL}")):
        lacking.append("nfs-ganesha-ceph")
    for module in ("rados", "cephfs"):
        if not any(Path("/usr/lib/python3/dist-packages").glob(f"{module}.*.so")):
            lacking.append(f"python3-{module}")
    if lacking:
        return f"Ceph is not installed: make system-ceph (it lacks {', '.join(lacking)})"
    return None if os.geteuid() == 0 else "a Ceph in a namespace of its own needs root"


class Ceph:
    """One that runs. `name`: of its namespace; `storage`: of the one that it is reached from."""

    def __init__(self, folder: Path, name: str, *, is_durable: bool = False) -> None:
        self.folder = folder
        self._store = "bluestore" if is_durable else "memstore"
        self.config, self.keyring = folder / "ceph.conf", folder / "keyring"
        self.name, self.storage = name, f"{name}-leg"

    def options(self) -> dict[str, str]:
        """Of a Linux back end whose pool it is."""
        return {
            "ceph_config": str(self.config),
            "ceph_keyring": str(self.keyring),
            "ceph_namespace": self.storage,
        }

    def start(self) -> None:
        self._configure()
        found_at = f"[v2:{ADDRESS}:6790,v1:{ADDRESS}:6789]"
        monitors = str(self.folder / "monmap")
        self._run("monmaptool", "--create", "--fsid", self._fsid, "--addv", "a", found_at, monitors)
        self._daemon("mon", "a", "--mkfs", "--monmap", monitors)
        self.daemon("mon")
        osd = str(uuid.uuid4())
        secret = json.dumps({"cephx_secret": self._keys["osd.0"]})
        self.ask(("osd new", secret, {"uuid": osd, "id": 0}))
        self._daemon("osd", "0", "--mkfs", "--osd-uuid", osd)
        self.daemon("mgr")
        self.daemon("osd")
        data, meta = f"{FILESYSTEM}_data", f"{FILESYSTEM}_meta"
        pools = [("osd pool create", "", {"pool": pool, "pg_num": 8}) for pool in (data, meta)]
        made = {"fs_name": FILESYSTEM, "metadata": meta, "data": data}
        self.ask(*pools, ("fs new", "", made))
        self.daemon("mds")
        self.await_ready()

    def daemon(self, kind: str) -> None:
        """Start one of them, which knows where its data are."""
        self._daemon(kind, "0" if kind == "osd" else "a")

    def kill(self, kind: str) -> None:
        with suppress(FileNotFoundError, ProcessLookupError, ValueError):
            pid = int((self.folder / f"{kind}.pid").read_text())
            if f"{self.config}".encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)
                wait_for(lambda: not _lives(pid), 30)

    def stop(self) -> None:
        for kind in reversed(KINDS):
            self.kill(kind)

    def ask(self, *commands: tuple[str, str, dict[str, Any]]) -> list[Any]:
        """Commands of the monitor's, in turn: its name, what it reads, its arguments."""
        out = self._python(ASK, given=json.dumps(commands))
        return [json.loads(line) for line in out.splitlines()]

    def in_files(self, code: str, *arguments: str) -> str:
        """Run Python with `files`, the whole CephFS, as an administrator may; what it printed.
        Its arguments begin with `sys.argv[2]`."""
        return self._python(FILES + code, *arguments)

    def python(self, code: str, *arguments: str) -> Any:
        """Run Python with Ceph's configuration as `sys.argv[1]`; the JSON that it printed."""
        return json.loads(self._python(code, *arguments))

    def evict(self, user: str) -> None:
        """End the sessions of a user's clients, which can do nothing from then on."""
        self.in_files(EVICT, user)

    def await_ready(self) -> None:
        wait_for(self._is_ready, START_SECONDS)

    def _python(self, code: str, *arguments: str, given: str = "") -> str:
        return self._run(
            PYTHON, "-I", "-c", code, str(self.config), *arguments, given=given, where=self.storage
        )

    def _daemon(self, kind: str, id_: str, *arguments: str) -> None:
        self._run(f"ceph-{kind}", "-c", str(self.config), "-i", id_, *arguments)

    def _run(self, *command: str, given: str = "", where: str = "") -> str:
        inside = ("nsenter", f"--net={namespaces.path_of(where or self.name)}", *command)
        with open(self.folder / "said", "ab") as said:
            done = subprocess.run(
                inside, input=given, stdout=subprocess.PIPE, stderr=said, text=True, check=False,
                timeout=START_SECONDS, cwd=self.folder,
            )  # fmt: skip
        assert done.returncode == 0, f"{command}: {(self.folder / 'said').read_text()[-1000:]}"
        return done.stdout

    def _is_ready(self) -> bool:
        (status,) = self.ask(("mds stat", "", {}))
        (found,) = status["fsmap"]["filesystems"]
        (manager,) = self.ask(("mgr stat", "", {}))
        states = [each["state"] for each in found["mdsmap"]["info"].values()]
        return states == ["up:active"] and bool(manager["available"])

    def _configure(self) -> None:
        self._fsid = str(uuid.uuid4())
        self._keys = {name: _key() for name in CAPS}
        for kind in KINDS:
            (self.folder / kind).mkdir(mode=0o700)
        lines = []
        for name, caps in CAPS.items():
            lines += [f"[{name}]", f"key = {self._keys[name]}"]
            lines += [f"caps {which} = \"{text.replace(chr(34), chr(92) + chr(34))}\""
                      for which, text in caps.items()]  # fmt: skip
        self.keyring.write_text("\n".join(lines) + "\n")
        self.keyring.chmod(0o600)
        self.config.write_text(
            CONFIGURATION.format(
                fsid=self._fsid,
                address=ADDRESS,
                folder=self.folder,
                without=WITHOUT_MODULES,
                bytes=ROOM_GIB << 30,
                store=self._store,
            )
        )


@contextmanager
def running(folder: Path, *, is_durable: bool = False) -> Iterator[Ceph]:
    """A Ceph below an empty folder, while the block runs. `is_durable`: its OSD may be killed."""
    ceph = Ceph(folder, f"c{uuid.uuid4().hex[:8]}", is_durable=is_durable)
    with ExitStack() as undone:
        own, leg = Machine(ceph.name), Machine(ceph.storage)
        undone.callback(leg.remove)
        undone.callback(own.remove)
        own.cable("ceph", leg, "storage")
        own.configure("ceph", f"{ADDRESS}/{LENGTH}")
        leg.configure("storage", f"{LEG}/{LENGTH}")
        undone.callback(ceph.stop)
        ceph.start()
        yield ceph


def _key() -> str:
    """As Ceph writes one: a type, seconds, nanoseconds, its length, 16 bytes."""
    return base64.b64encode(
        struct.pack("<HIIH", 1, int(time.time()), 0, 16) + secrets.token_bytes(16)
    ).decode()


def _lives(pid: int) -> bool:
    """Not one that has ended and was not reaped."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except (FileNotFoundError, ProcessLookupError):
        return False
