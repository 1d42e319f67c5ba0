"""How long a share takes to be reverted, by the number of its files, and how long its clients wait:
a real back end, a reader without pause.

The reader holds handles that it has taken once, and asks by them over IPv4 as a client of NFSv4.0
would. Needs root.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from abaca.drivers.linux.file_services.nfs.nfs4 import Nfs4Error, getattr, lookup, putfh, read
from abaca.values import Share
from bench import conditions
from bench.conditions import ForeignLoad
from bench.report import Report, ms
from tests.contracts.drivers import linux_backend
from tests.contracts.drivers.linux_site import BOTH, CLIENT, Site, path
from tests.nfs4.client import Client40

REVERTS = 5
FILES_A_FOLDER = 1000
PAUSE_SECONDS = 0.5


def run(files: Sequence[int]) -> None:
    """Measure and report."""
    report = Report("reverts")
    report.say(
        f"Reverts of shares in use, {conditions.machine()}. Linux back end, {REVERTS} reverts "
        "each, files of 100 bytes."
    )
    load = ForeignLoad()
    with tempfile.TemporaryDirectory(prefix="abaca-bench-") as folder:
        driver = linux_backend.make_linux_driver(Path(folder))
        try:
            rows = [_measure(Site(driver), count) for count in files]
        finally:
            linux_backend.cleanup(driver)
    report.table(
        [
            "files",
            "a revert, ms (median, longest)",
            "reader: rounds of 3 requests",
            "errors",
            "longest round, ms",
        ],
        rows,
    )
    report.say(f"Cores kept busy by others, and by the NFS servers, meanwhile: {load.cores():.2f}.")
    print(f"Written to {report.path}")


@dataclass
class Seen:
    rounds: int = 0
    errors: int = 0
    longest: float = 0.0


def _measure(site: Site, files: int) -> list[str]:
    server = site.server(*BOTH)
    share = site.share(server, size=5)
    netns = site.client("client", "net", *CLIENT)
    _fill(site.driver.pool.path(share.id), files)
    snapshot = site.snapshot(share, server)
    seen, done, took = Seen(), threading.Event(), []
    with Client40(netns, "10.0.0.5", patience=30.0) as client:
        reader = threading.Thread(target=_read, args=(client, share, seen, done))
        reader.start()
        for number in range(REVERTS):
            (site.driver.pool.path(share.id) / f"new {number}").write_bytes(b"x")
            done.wait(PAUSE_SECONDS)
            began = time.perf_counter()
            site.driver.revert_to_snapshot(snapshot, share, server)
            took.append(time.perf_counter() - began)
        done.wait(PAUSE_SECONDS)
        done.set()
        reader.join()
    site.clear()
    return [
        f"{files:,}",
        f"{ms(median(took))}, {ms(max(took))}",
        f"{seen.rounds:,}",
        str(seen.errors),
        ms(seen.longest),
    ]


def _fill(folder: Path, files: int) -> None:
    (folder / "file").write_bytes(b"text")
    for number in range(files):
        place = folder / f"folder {number // FILES_A_FOLDER}"
        if number % FILES_A_FOLDER == 0:
            place.mkdir()
        (place / str(number)).write_bytes(b"x" * 100)
    os.sync()


def _read(client: Client40, share: Share, seen: Seen, done: threading.Event) -> None:
    root = client.handle_of(path(share).split(":", 1)[1])
    file = client.handle_of(f"{path(share).split(':', 1)[1]}/file")
    while not done.is_set():
        began = time.perf_counter()
        try:
            client.run(putfh(root), getattr("type"))
            client.run(putfh(file), read(0, 100))
            client.run(putfh(root), lookup("file"), read(0, 100))
        except (Nfs4Error, OSError):
            seen.errors += 1
        seen.rounds += 1
        seen.longest = max(seen.longest, time.perf_counter() - began)
