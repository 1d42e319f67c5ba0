"""More of everything than a client needs: connections, clients, opens, locks."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from threading import Event

from abaca.drivers.linux.file_services.nfs.nfs4 import Nfs4Error, Operation, putfh, walk
from abaca.drivers.linux.file_services.nfs.xdr import Malformed
from tests.attack.crowd import crowd
from tests.attack.data_stage import DataStage
from tests.attack.registry import Force, Seen, attack
from tests.contracts.drivers.linux_site import path
from tests.nfs4 import operations as ops
from tests.nfs4.client import Client40, Client41, patiently

MIB = 1024**2
FORGETTING_SECONDS = 20.0  # a lease, and as long again until the server looks
MOST_MEMORY = 1536 * MIB  # of one file server, whatever is done to it


def lived(stage: DataStage, pid: int, what: str) -> Seen:
    """The server that ran as `pid` runs still, within its bounds."""
    now = stage.ganesha()
    memory, files, threads = (
        stage.memory(now) // MIB,
        stage.files(now) if now else 0,
        stage.threads(now),
    )
    figures = f"server: {memory} MiB, {files} descriptors, {threads} threads" + (
        "" if now == pid else f", process {pid} became {now}"
    )
    return Seen(now == pid != 0 and memory * MIB <= MOST_MEMORY, f"{what}; {figures}")


def folder(share_path: str) -> str:
    return share_path.split(":", 1)[1]


@attack("connections")
def connections(stage: DataStage, force: Force) -> Seen:
    """All from one address, and silent."""
    pid = stage.ganesha()
    with crowd(stage.attacker, stage.address(), force.count) as made:
        seen = lived(
            stage,
            pid,
            f"{force.count} connections: {len(made.links)} made, {made.refused} refused, "
            f"{made.still_open()} open at the end",
        )
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


def known(stage: DataStage) -> Client41:
    """A client that the server knows. Floods before may have taken all it keeps; those are
    forgotten with their leases."""
    deadline = time.monotonic() + 3 * FORGETTING_SECONDS
    while True:
        client = Client41(stage.attacker, stage.address())
        try:
            client.establish()
            return client
        except Nfs4Error as error:
            client.link.link.close()
            if "RESOURCE" not in str(error) or time.monotonic() > deadline:
                raise
            Event().wait(1)


@attack("sessions of one client")
def sessions(stage: DataStage, force: Force) -> Seen:
    pid = stage.ganesha()
    client = known(stage)
    client_id, sequence, *_ = client.compound([ops.exchange_id(client.name, client.verifier)])[0]
    done, said = repeat(
        force.count,
        lambda number: client.compound(
            [ops.create_session(client_id, sequence + number, slots=64)]
        ),
    )
    client.link.link.close()
    return lived(stage, pid, f"{done} sessions, {said}")


def vanish(stage: DataStage, client: Client41, descriptors: int) -> str:
    """The client goes without a word; how long it takes until the server has forgotten what it
    held."""
    client.link.link.close()
    began = time.monotonic()
    while (
        stage.files(stage.ganesha()) > descriptors + 100
        and time.monotonic() - began < FORGETTING_SECONDS
    ):
        Event().wait(1)
    return f"forgotten after {time.monotonic() - began:.0f} s"


def hold(stage: DataStage, act: Callable[[Client41, bytes, int], object], count: int) -> str:
    """What became of it when a client has held `count` of something, which `act` has it take in the
    share's root."""
    client = known(stage)
    before = stage.files(stage.ganesha())
    root = client.handle_of(folder(path(stage.open_share)))
    done, said = repeat(count, lambda number: patiently(lambda: act(client, root, number), 1))
    held = stage.files(stage.ganesha())
    return f"{done} taken, {said}, {held} descriptors then, {vanish(stage, client, before)}"


@attack("opens")
def opens(stage: DataStage, force: Force) -> Seen:
    """Each of another file, by another owner, none of them closed."""
    pid = stage.ganesha()
    return lived(
        stage,
        pid,
        hold(
            stage,
            lambda client, root, number: client.open(root, f"open {number}", create=True),
            force.count,
        ),
    )


@attack("opens of one file", spares_server=False)
def opens_of_one_file(stage: DataStage, force: Force) -> Seen:
    """By as many owners; each takes two descriptors, until the server has none left."""
    pid = stage.ganesha()
    return lived(
        stage,
        pid,
        hold(stage, lambda client, root, _: client.open(root, "the one", create=True), force.count),
    )


@attack("locks")
def locks(stage: DataStage, force: Force) -> Seen:
    """Of single bytes of one file, every other one, by an owner each."""
    pid = stage.ganesha()

    def lock(client: Client41, root: bytes, number: int) -> None:
        if not client.files:
            client.open(root, "locked", create=True)
        client.lock(client.files[0], offset=2 * number, length=1)

    return lived(stage, pid, hold(stage, lock, force.count))


@attack("long compounds")
def long_compounds(stage: DataStage, force: Force) -> Seen:
    """As many operations in one call as the server takes."""
    pid = stage.ganesha()
    with Client40(stage.attacker, stage.address()) as client:
        root = client.handle_of(folder(path(stage.open_share)))
        many: list[Operation] = [putfh(root), *[ops.readdir() for _ in range(90)]]
        done, said = repeat(
            force.count // 100, lambda _: client.run(*walk("/"), *many), force.seconds
        )
    return lived(stage, pid, f"{done} calls with 90 READDIRs, {said}")
