"""What the walls around an NFS server cost: one server, in its cell and outside of it in turn,
asked by a raw client over its network.

Outside, NFS-Ganesha runs as a release without cells ran it: no library, no filters, the host's
files and capabilities. Needs root.
"""

from __future__ import annotations

import logging
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from abaca.drivers.linux import namespaces, processes
from abaca.drivers.linux.file_services.nfs.cell import confinement
from abaca.drivers.linux.file_services.nfs.ganesha import GANESHA, NFS_PORT
from abaca.drivers.linux.file_services.nfs.nfs4 import getattr, putfh
from abaca.values import Share, ShareServer
from bench import conditions
from bench.conditions import ForeignLoad
from bench.report import Report, number
from tests.contracts.drivers import linux_backend
from tests.contracts.drivers.linux_site import CLIENT, Site
from tests.nfs4 import operations as ops
from tests.nfs4.client import Client41, patiently

ADDRESS = "10.0.0.5"
FILES, CHUNKS, CHUNK = 2000, 256, 1024**2
DATA = os.urandom(CHUNK)
START_SECONDS = 30.0
HEAD = [
    "",
    "start, s",
    "create, 1/s",
    "stat, 1/s",
    "first stat by handle, 1/s",
    "write, MB/s",
    "read, MB/s",
    "resident, MB",
]


def run(rounds: int) -> None:
    """Measure in turn and report medians, with the lowest and the highest."""
    logging.disable(logging.WARNING)
    report = Report("walls")
    report.say(
        f"One NFS server with and without its walls, in turn, {rounds} times, "
        f"{conditions.machine()}. One connection, one request at a time."
    )
    driver = linux_backend.make_linux_driver(Path(tempfile.mkdtemp(prefix="abaca-bench-")))
    site = Site(driver)
    try:
        server = site.server(("net", f"{ADDRESS}/24"))
        share, netns = site.share(server, 4), site.client("client", "net", *CLIENT)
        site.ganesha(server).stop()
        # the configuration that it starts with now knows the share
        site.driver.ensure_server(server, [share])
        load = ForeignLoad()
        found: dict[str, list[list[float]]] = {"without": [], "with": []}
        for _ in range(rounds):
            found["without"].append(
                _measured(site, server, share, netns, lambda: _start_outside(site, server))
            )
            found["with"].append(
                _measured(site, server, share, netns, lambda: _start_inside(site, server))
            )
        report.table(
            HEAD,
            [
                [f"{name} walls", *map(_shown, zip(*runs, strict=True))]
                for name, runs in found.items()
            ],
        )
        report.say(
            f"Cores kept busy by others, and by the server itself, meanwhile: {load.cores():.2f}."
        )
    finally:
        site.clear()
        linux_backend.cleanup(driver)
    print(f"Written to {report.path}")


def _measured(
    site: Site, server: ShareServer, share: Share, netns: str, start: Callable[[], None]
) -> list[float]:
    """The columns of HEAD, of a server that has just been started."""
    began = time.perf_counter()
    start()
    started = time.perf_counter() - began
    with Client41(netns, ADDRESS) as client:
        folder = client.handle_of(f"shares/{share.id}")
        # once nobody's locks are waited for any more
        patiently(lambda: client.put(folder, "first", b""))
        handles, created = timed(FILES, lambda number: client.put(folder, f"file{number}", b""))
        _, known = timed(
            FILES, lambda number: client.run(putfh(handles[number]), getattr("size", "time_modify"))
        )
        file = client.open(folder, "large", create=True)
        commit = [putfh(file.handle), ops.commit()]
        _, written = timed(
            CHUNKS,
            lambda number: client.write(file, number * CHUNK, DATA, ops.UNSTABLE),
            lambda: client.run(*commit),
        )
        _, was_read = timed(CHUNKS, lambda number: client.read(file, number * CHUNK, CHUNK))
        client.close(file)
    resident = conditions.usage([_pid(site, server)], children=False).rss
    start()  # now it knows no file
    with Client41(netns, ADDRESS) as client:
        _, cold = timed(
            FILES, lambda number: client.run(putfh(handles[number]), getattr("size", "time_modify"))
        )
    for path in site.driver.pool.path(share.id).iterdir():
        path.unlink()
    return [started, created, known, cold, written * CHUNK / 1e6, was_read * CHUNK / 1e6, resident]


def timed(
    times: int, act: Callable[[int], Any], last: Callable[[], object] = lambda: None
) -> tuple[list[Any], float]:
    """(results, how many a second)."""
    began = time.perf_counter()
    found = [act(number) for number in range(times)]
    last()
    return found, times / (time.perf_counter() - began)


def _start_inside(site: Site, server: ShareServer) -> None:
    processes.end([_pid(site, server)], 5.0)
    site.layout(server).ganesha_pid.unlink(missing_ok=True)
    confinement.start(site.ganesha(server).launch())
    _wait_until_it_listens(site, server)


def _start_outside(site: Site, server: ShareServer) -> None:
    """In the server's network namespace, on the bus that is there, and nothing else."""
    layout = site.layout(server)
    processes.end([_pid(site, server)], 5.0)
    layout.ganesha_pid.unlink(missing_ok=True)
    files = ["-L", layout.log, "-f", layout.ganesha_config, "-p", layout.ganesha_pid]
    bus = {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={layout.bus_socket}"}
    command = [
        "nsenter",
        f"--net={namespaces.path_of(layout.namespace)}",
        GANESHA,
        *map(str, files),
    ]
    subprocess.run(command, env={**os.environ, **bus}, check=True)
    _wait_until_it_listens(site, server)


def _wait_until_it_listens(site: Site, server: ShareServer) -> None:
    file = site.layout(server).ganesha_pid
    processes.wait_until(
        lambda: file.exists() and processes.listens(_pid(site, server), NFS_PORT), START_SECONDS
    )


def _pid(site: Site, server: ShareServer) -> int:
    return int(site.layout(server).ganesha_pid.read_text())


def _shown(values: tuple[float, ...]) -> str:
    return f"{number(statistics.median(values))} ({number(min(values))}-{number(max(values))})"
