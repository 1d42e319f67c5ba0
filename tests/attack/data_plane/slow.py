"""Clients that begin and do not end, or ask for much and take nothing of it."""

from __future__ import annotations

import struct
import threading
import time
from pathlib import Path

from abaca.drivers.linux.file_services.nfs import nfs4
from abaca.drivers.linux.file_services.nfs.nfs4 import Operation, putfh
from abaca.drivers.linux.file_services.nfs.rpc import call_message, record
from abaca.drivers.linux.file_services.nfs.xdr import text, u32
from tests.attack.crowd import Crowd, crowd
from tests.attack.data_plane.floods import MIB, folder, lived
from tests.attack.data_stage import SOURCES, DataStage
from tests.attack.registry import Force, Seen, attack
from tests.contracts.drivers.linux_site import path
from tests.nfs4 import operations as ops
from tests.nfs4.client import Client40, patiently

ASKED_EACH = 64  # READs of a mebibyte that each connection asks for
PAGE = 4096


def tcp_memory() -> int:
    """Bytes that TCP holds on this machine, of all namespaces."""
    words = next(
        line
        for line in Path("/proc/net/sockstat").read_text().splitlines()
        if line.startswith("TCP:")
    ).split()
    return int(words[words.index("mem") + 1]) * PAGE


@attack("slow readers")
def slow_readers(stage: DataStage, force: Force) -> Seen:
    """Many connections, each with 64 READs of a mebibyte under way, take no byte of the answers."""
    pid, tcp = stage.ganesha(), tcp_memory()
    with Client40(stage.attacker, stage.address()) as client:
        root = client.handle_of(folder(path(stage.open_share)))
        file = patiently(lambda: client.open(root, "large", create=True))
        client.run(putfh(file.handle), ops.setattr(ops.fattr(size=ASKED_EACH * MIB), file.stateid))
        asked = b"".join(
            _call(client, putfh(file.handle), nfs4.read(number * MIB, MIB))
            for number in range(ASKED_EACH)
        )
        with crowd(stage.attacker, stage.address(), force.count // 10, SOURCES) as made:
            made.send(asked)
            threading.Event().wait(force.seconds)
            what = (
                f"{len(made.links)} connections, {made.still_open()} open at the end, a "
                f"newcomer {stage.newcomer()}"
            )
            seen = lived(stage, pid, f"{what}, TCP holds {(tcp_memory() - tcp) // MIB} MiB more")
    return seen


def _call(client: Client40, *operations: Operation) -> bytes:
    """A COMPOUND as its bytes."""
    body = (
        text("")
        + u32(0)
        + u32(len(operations))
        + b"".join(u32(each.number) + each.arguments for each in operations)
    )
    return record(
        call_message(nfs4.PROGRAM, nfs4.VERSION, nfs4.COMPOUND, body, client.credentials)[1]
    )


@attack("large answers")
def large_answers(stage: DataStage, force: Force) -> Seen:
    """Requests of sixty READs each, sixteen on each connection."""
    pid = stage.ganesha()
    with Client40(stage.attacker, stage.address()) as client:
        file = patiently(
            lambda: client.open(
                client.handle_of(folder(path(stage.open_share))), "large", create=True
            )
        )
        client.run(putfh(file.handle), ops.setattr(ops.fattr(size=MIB), file.stateid))
        with crowd(stage.attacker, stage.address(), 40) as made:
            made.send(_call(client, putfh(file.handle), *[nfs4.read(0, MIB)] * 60) * 16)
            threading.Event().wait(force.seconds)
            seen = lived(
                stage, pid, f"{len(made.links)} connections, a newcomer {stage.newcomer()}"
            )
    return seen


@attack("half headers")
def half_headers(stage: DataStage, force: Force) -> Seen:
    """Three bytes of the four that say how long a request is."""
    pid = stage.ganesha()
    with crowd(stage.attacker, stage.address(), force.count // 10, SOURCES) as made:
        made.send(b"\x80\0\0")
        threading.Event().wait(force.seconds)
        newcomer = stage.newcomer()
        seen = lived(
            stage,
            pid,
            f"{len(made.links)} connections, {made.refused} refused, {made.still_open()} open at "
            f"the end, a newcomer {newcomer}",
        )
    return seen


@attack("half requests")
def half_requests(stage: DataStage, force: Force) -> Seen:
    """Each announces a mebibyte and sends all of it but a few bytes, as far as the server takes
    it."""
    pid, tcp = stage.ganesha(), tcp_memory()
    with crowd(stage.attacker, stage.address(), force.count // 10, SOURCES) as made:
        sent = made.send(record(bytes(MIB))[:4])
        sent += _send_all(made, MIB - 4, force.seconds)
        what = (
            f"{len(made.links)} connections, {sent // MIB} MiB sent, a newcomer {stage.newcomer()}"
        )
        seen = lived(stage, pid, f"{what}, TCP holds {(tcp_memory() - tcp) // MIB} MiB more")
    return seen


@attack("endless requests")
def endless_requests(stage: DataStage, force: Force) -> Seen:
    """Half of them announce two gibibytes, the others fragment after fragment with no last one;
    nobody has a rule, nor needs one."""
    pid = stage.ganesha()
    with crowd(stage.attacker, stage.address(), 40) as made:
        for number, link in enumerate(made.links):
            if number % 2:
                link.send(b"\x7f\xff\xff\xff")
        fragments = (struct.pack(">I", 65536) + bytes(65536)) * 16
        sent = _send_all(made, force.count // 2 * MIB, force.seconds, fragments)
        seen = lived(
            stage,
            pid,
            f"{len(made.links)} connections, {sent // MIB} MiB sent, {made.still_open()} open at "
            "the end",
        )
    return seen


def _send_all(made: Crowd, most: int, seconds: float, data: bytes = bytes(MIB)) -> int:
    """Send on all of them, each at most so many bytes; the bytes in all. What is sent goes on where
    it stopped."""
    sent, at, end = 0, dict.fromkeys(made.links, 0), time.monotonic() + seconds
    while at and time.monotonic() < end:
        for link, count in list(at.items()):
            try:
                done = link.send(data[count % len(data) :][: most - count])
            except BlockingIOError:
                continue
            except OSError:
                del at[link]
                continue
            sent, at[link] = sent + done, count + done
            if at[link] >= most:
                del at[link]
    return sent
