"""The worker's side of a cell: starting a program of a share server in one, and looking whether a
process is in one."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from abaca.drivers.linux import namespaces
from abaca.drivers.linux.file_services.nfs.cell import library
from abaca.drivers.linux.file_services.nfs.cell.launch import Launch
from abaca.drivers.linux.file_services.nfs.cell.privileges import CAPABILITIES
from abaca.drivers.linux.layout import ServerLayout
from abaca.drivers.linux.programs import SEARCH_PATH, run
from abaca.errors import OutcomeUnknown, Unavailable

PROC = Path("/proc")
START_SECONDS = 30.0
LEAST_DATA = 1 << 30
STACK = 8 * 1024**2  # bytes of a thread's, which count as data whether it uses them or not
FILTERS = 2  # the launcher's and the library's
# Programs and libraries, and settings of the C library.
OF_THE_HOST = (
    "/usr/lib",
    "/usr/lib64",
    "/usr/share/zoneinfo",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/netconfig",
)
# CORE: with 1, nothing is dumped, not even to a program of the host's that core dumps are handed
# to.
LIMITS = {"CORE": 1, "NOFILE": 16384, "MSGQUEUE": 0, "MEMLOCK": 1 << 20}


def launch(
    server: ServerLayout,
    program: str,
    arguments: Sequence[str],
    pid_file: Path,
    *,
    environment: Mapping[str, str] | None = None,
    read_only: Sequence[Path],
    writable: Sequence[Path],
    shares: Path | None = None,
    groups: Sequence[str],
    capabilities: int,
    data: int = LEAST_DATA,
    network: str = "",
) -> Launch:
    """How a program of Debian's is started in the server's network namespace and a cell of its own.
    `network`: it is in that network namespace instead, and listens in the server's. Raises
    Unavailable."""
    file = shutil.which(program, path=SEARCH_PATH)
    if file is None:
        raise Unavailable(f"program {program} is not installed")
    root = server.run / "cell"
    root.mkdir(mode=0o700, exist_ok=True)
    return Launch(
        program=file,
        argv=[program, *arguments],
        pid_file=str(pid_file),
        network=str(namespaces.path_of(network or server.namespace)),
        listens_in=str(namespaces.path_of(server.namespace)) if network else "",
        root=str(root),
        library=str(library.ensure()),
        host_name=server.id,
        environment=dict(environment or {}),
        of_the_host=[file, *OF_THE_HOST],
        read_only=[str(path) for path in read_only],
        writable=[str(path) for path in writable],
        private=["/tmp", str(server.run)],
        shares=None if shares is None else str(shares),
        limits={**LIMITS, "DATA": data},
        groups=list(groups),
        capabilities=capabilities,
    )


def start(launch: Launch) -> None:
    """Raises Unavailable, with the launcher's reason, when the program was not started."""
    text = json.dumps(launch._asdict())
    try:
        run(
            sys.executable,
            "-P",
            "-m",
            "abaca.drivers.linux.file_services.nfs.cell.launch",
            text,
            timeout=START_SECONDS,
        )
    except OutcomeUnknown as error:
        raise Unavailable(error.message) from error


def gap(pid: int) -> str | None:
    """What is not as it must be around an NFS server's process; None when its cell is complete,
    or when it is gone."""
    process, loaded = PROC / str(pid), f"/{library.name()}".encode()
    try:
        # Its name and those of files are its own choice: no text, or very long.
        lines = (process / "status").read_text(errors="replace").splitlines()
        with open(process / "maps", "rb") as maps:
            is_loaded = any(loaded in line for line in maps)
    except (FileNotFoundError, ProcessLookupError):
        return None
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    wanted = {
        **dict.fromkeys(("CapPrm", "CapEff", "CapBnd"), f"{CAPABILITIES:016x}"),
        **dict.fromkeys(("CapInh", "CapAmb"), f"{0:016x}"),
        "NoNewPrivs": "1",
        "Seccomp": "2",
        "Seccomp_filters": str(FILTERS),
    }
    wrong = [
        f"{name} is {status.get(name)}, not {value}"
        for name, value in wanted.items()
        if status.get(name) != value
    ]
    if not is_loaded:
        wrong.append(f"the library {library.name()} is not loaded")
    return "; ".join(wrong) or None
