"""More of everything than a client needs: connections, clients, opens, locks."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from abaca.drivers.linux.file_services.nfs.nfs4 import Nfs4Error, Operation, putfh, walk
from abaca.drivers.linux.file_services.nfs.xdr import Malformed
from tests.attack.crowd import crowd
from tests.attack.data_stage import DataStage
from tests.attack.registry import Force, Seen, attack
from tests.contracts.drivers.linux_site import path
from tests.nfs4 import operations as ops
from tests.nfs4.client import Client40, Client41, patiently

MIB = 1024**2
MOST_MEMORY = 1536 * MIB  # of one file server, whatever is done to it


def lived(stage: DataStage, pid: int, what: str) -> Seen:
    """The server that ran as `pid` runs still, within its bounds."""
    now = stage.ganesha()
    memory, files, threads = stage.memory(now) // MIB, stage.files(now) if now else 0, stage.threads(now)
    figures = f"server: {memory} MiB, {files} descriptors, {threads} threads" + ("" if now == pid else f", process {pid} became {now}")
    return Seen(now == pid != 0 and memory * MIB <= MOST_MEMORY, f"{what}; {figures}")


def folder(share_path: str) -> str:
    return share_path.split(":", 1)[1]


@attack("connections")
def connections(stage: DataStage, force: Force) -> Seen:
    """All from one address, and silent."""
    pid = stage.ganesha()
    with crowd(stage.attacker, stage.address(), force.count) as made:
        seen = lived(stage, pid, f"{force.count} connections: {len(made.links)} made, {made.refused} refused, {made.still_open()} open at the end")
    return seen


def repeat(count: int, act: Callable[[int], object], seconds: float = 60.0) -> tuple[int, str]:
    """How often it went well, and what the server said last when it refused."""
    said, done, end = "nothing refused", 0, time.monotonic() + seconds
    for number in range(count):
        try:
            act(number)
            done += 1
        except (Nfs4Error, OSError, Malformed) as error:
            said = str(error)
            if isinstance(error, OSError):
                break
        if time.monotonic() > end:
            said += f", ended after {seconds:g} s"
            break
    return done, said


@attack("clients of version 4.0")
def clients_40(stage: DataStage, force: Force) -> Seen:
    """One connection says that it is ever another client, and confirms it."""
    pid = stage.ganesha()
    client = Client40(stage.attacker, stage.address())

    def become(number: int) -> None:
        client.name = f"client {os.getpid()} {number}".encode()
        client.establish()

    done, said = repeat(force.count, become)
    client.link.link.close()
    return lived(stage, pid, f"{done} clients confirmed, {said}")


@attack("clients of version 4.1")
def clients_41(stage: DataStage, force: Force) -> Seen:
    """The same, each with a session of 64 slots."""
    pid = stage.ganesha()
    client = Client41(stage.attacker, stage.address())

    def become(number: int) -> None:
        exchanged = ops.exchange_id(f"client {os.getpid()} {number}".encode(), client.verifier)
        client_id, sequence, *_ = client.compound([exchanged])[0]
        client.compound([ops.create_session(client_id, sequence, slots=64)])

    done, said = repeat(force.count, become)
    client.link.link.close()
    return lived(stage, pid, f"{done} clients with sessions, {said}")


@attack("sessions of one client")
def sessions(stage: DataStage, force: Force) -> Seen:
    pid = stage.ganesha()
    client = Client41(stage.attacker, stage.address())
    client_id, sequence, *_ = client.compound([ops.exchange_id(client.name, client.verifier)])[0]
    done, said = repeat(force.count, lambda number: client.compound([ops.create_session(client_id, sequence + number, slots=64)]))
    client.link.link.close()
    return lived(stage, pid, f"{done} sessions, {said}")


@attack("opens")
def opens(stage: DataStage, force: Force) -> Seen:
    """Each of another file, by another owner, none of them closed."""
    pid = stage.ganesha()
    with Client41(stage.attacker, stage.address()) as client:
        root = client.handle_of(folder(path(stage.open_share)))
        done, said = repeat(force.count, lambda number: patiently(lambda: client.open(root, f"open {number}", create=True), 1))
        seen = lived(stage, pid, f"{done} files open, {said}")
        client.files.clear()
    return seen


@attack("opens of one file")
def opens_of_one_file(stage: DataStage, force: Force) -> Seen:
    pid = stage.ganesha()
    with Client41(stage.attacker, stage.address()) as client:
        root = client.handle_of(folder(path(stage.open_share)))
        done, said = repeat(force.count, lambda _: patiently(lambda: client.open(root, "the one", create=True), 1))
        seen = lived(stage, pid, f"{done} opens by as many owners, {said}")
        client.files.clear()
    return seen


@attack("locks")
def locks(stage: DataStage, force: Force) -> Seen:
    """Of single bytes of one file, every other one, by an owner each."""
    pid = stage.ganesha()
    with Client41(stage.attacker, stage.address()) as client:
        root = client.handle_of(folder(path(stage.open_share)))
        file = client.open(root, "locked", create=True)
        done, said = repeat(force.count, lambda number: client.lock(file, offset=2 * number, length=1))
        seen = lived(stage, pid, f"{done} locks, {said}")
        client.files.clear()
    return seen


@attack("long compounds")
def long_compounds(stage: DataStage, force: Force) -> Seen:
    """As many operations in one call as the server takes."""
    pid = stage.ganesha()
    with Client40(stage.attacker, stage.address()) as client:
        root = client.handle_of(folder(path(stage.open_share)))
        many: list[Operation] = [putfh(root), *[ops.readdir() for _ in range(200)]]
        done, said = repeat(force.count // 100, lambda _: client.run(*walk("/"), *many), force.seconds)
    return lived(stage, pid, f"{done} calls with 200 READDIRs, {said}")
