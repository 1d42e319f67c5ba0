"""A client with opens and locks that it remembers, so that it can reclaim them: one class a minor
version."""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import Any, Self, TypeVar

from abaca.drivers.linux.file_services.nfs import nfs4
from abaca.drivers.linux.file_services.nfs.nfs4 import (
    Nfs4Error,
    Operation,
    getattr,
    getfh,
    putfh,
    walk,
)
from abaca.drivers.linux.file_services.nfs.rpc import auth_sys, call_message, record
from abaca.drivers.linux.file_services.nfs.xdr import Malformed, text, u32
from tests.nfs4 import operations as ops
from tests.nfs4.connection import NFS_PORT, RawConnection, connect

# seconds between the attempts of a kernel client whose server is gone
LINUX_RECONNECTS = (0.0, 3.0, 3.0, 6.0, 12.0)
# how a server that was restarted says that it does not know a client
FORGOTTEN = ("BADSESSION", "STALE_CLIENTID", "STALE_STATEID")
_names = itertools.count(1)
Result = TypeVar("Result")


@dataclass
class Lock:
    stateid: bytes
    owner: bytes
    kind: int
    offset: int
    length: int


@dataclass
class OpenFile:
    handle: bytes
    stateid: bytes
    share: int
    owner: bytes
    seqid: int = 0  # of the open owner: minor version 0
    locks: list[Lock] = field(default_factory=list)


class Client(ABC):
    """Connected when made, known to the server (`establish`) when entered. `name`: what it is for
    the server, over restarts of both."""

    minor: int

    def __init__(
        self,
        netns: str,
        address: str,
        *,
        port: int = NFS_PORT,
        source: str | None = None,
        source_port: int | None = None,
        uid: int = 0,
        gid: int = 0,
        groups: tuple[int, ...] = (),
        name: str | None = None,
        patience: float = 10.0,
    ) -> None:
        self._place = (netns, address)
        self._source = {
            "port": port,
            "source": source,
            "source_port": source_port,
            "patience": patience,
        }
        self._patience = patience
        self.credentials = auth_sys(uid, gid, groups)
        self.name = (name or f"abaca test {os.getpid()} {next(_names)}").encode()
        self.verifier = os.urandom(8)
        self.client_id = 0
        self.files: list[OpenFile] = []
        self.link = self._connect()

    def __enter__(self) -> Self:
        self.establish()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError, Nfs4Error, Malformed):
            self.leave()
        self.link.link.close()

    # -- connection and state --

    @abstractmethod
    def establish(self) -> None:
        """Become known to the server."""

    @abstractmethod
    def leave(self) -> None:
        """Have the server forget this client, with all it holds, as far as the minor version
        can."""

    @abstractmethod
    def renew(self) -> None:
        """Keep the lease."""

    @abstractmethod
    def run(self, *operations: Operation) -> list[Any]:
        """The results of a COMPOUND; minor version 1 puts its SEQUENCE before it. Raises Nfs4Error,
        OSError, Malformed."""

    def compound(self, operations: Iterable[Operation]) -> list[Any]:
        """The operations as they stand."""
        return nfs4.compound(self.link, operations, minor=self.minor, credentials=self.credentials)

    def asked(self, *operations: Operation) -> bytes:
        """A call with these operations as its bytes."""
        body = (
            text("")
            + u32(self.minor)
            + u32(len(operations))
            + b"".join(u32(each.number) + each.arguments for each in operations)
        )
        return record(
            call_message(nfs4.PROGRAM, nfs4.VERSION, nfs4.COMPOUND, body, self.credentials)[1]
        )

    def reconnect(self, delays: Sequence[float] = LINUX_RECONNECTS) -> None:
        """A new connection, tried after each of the delays (seconds) until one comes about. State
        is as it was: see `recover`."""
        self.link.link.close()
        for place, delay in enumerate(delays):
            Event().wait(delay)
            try:
                self.link = self._connect()
                return
            except OSError:
                if place == len(delays) - 1:
                    raise

    def recover(self, patience: float = 60.0) -> None:
        """What Linux does when a restarted server no longer knows it: become known anew, then
        reclaim all that is open and locked.

        `patience`: seconds that the server may answer "not now".
        """
        self.establish_again()
        for file in self.files:
            patiently(lambda file=file: self._reclaim(file), patience)  # type: ignore[misc]
        self.reclaimed()

    def persistently(self, act: Callable[[], Result]) -> Result:
        """Do it until it is answered, as Linux does behind its users' backs: it connects anew,
        becomes known again and reclaims."""
        mend: Callable[[], None] | None = None
        while True:
            try:
                if mend is not None:
                    mend()
                return act()
            except (OSError, Malformed):
                mend = self.reconnect
            except Nfs4Error as error:
                if error.name not in FORGOTTEN:
                    raise
                mend = self.recover

    def establish_again(self) -> None:
        self.establish()

    def reclaimed(self) -> None:  # noqa: B027 - nothing is said in minor version 0
        """All was reclaimed."""

    def _connect(self) -> RawConnection:
        return RawConnection(connect(*self._place, **self._source), self._patience)  # type: ignore[arg-type]

    def _reclaim(self, file: OpenFile) -> None:
        self._open(file, putfh(file.handle), ops.existing(), ops.reclaimed())
        held, file.locks = file.locks, []
        for lock in held:
            self.lock(
                file,
                kind=lock.kind,
                offset=lock.offset,
                length=lock.length,
                owner=lock.owner,
                reclaim=True,
            )

    # -- verbs --

    def handle_of(self, path: str) -> bytes:
        handle: bytes = self.run(*walk(path))[-1]
        return handle

    def attributes(self, handle: bytes, *names: str) -> dict[str, Any]:
        found: dict[str, Any] = self.run(putfh(handle), getattr(*names))[-1]
        return found

    def open(
        self,
        folder: bytes,
        name: str,
        *,
        create: bool = False,
        share: int = ops.BOTH,
        owner: bytes | None = None,
    ) -> OpenFile:
        file = OpenFile(b"", b"", share, owner or f"owner {next(_names)}".encode())
        self._open(
            file, putfh(folder), ops.created() if create else ops.existing(), ops.by_name(name)
        )
        self.files.append(file)
        return file

    def _open(self, file: OpenFile, place: Operation, how: bytes, claim: bytes) -> None:
        wanted = ops.open_(
            file.owner, self.client_id, how, claim, seqid=file.seqid, share=file.share
        )
        # an open that was refused counts, too, but for reasons that no test here needs
        file.seqid += 1
        *_, opened, file.handle = self.run(place, wanted, getfh())
        file.stateid = opened.stateid
        if opened.flags & ops.MUST_CONFIRM:
            file.stateid = self.run(
                putfh(file.handle), ops.open_confirm(file.stateid, self._next(file))
            )[-1]

    def close(self, file: OpenFile) -> None:
        self.run(putfh(file.handle), ops.close(file.stateid, self._next(file)))
        self.files.remove(file)

    def read(self, file: OpenFile, offset: int = 0, count: int = 65536) -> bytes:
        data, _ = self.run(putfh(file.handle), nfs4.read(offset, count, file.stateid))[-1]
        return bytes(data)

    def write(self, file: OpenFile, offset: int, data: bytes, stable: int = ops.FILE_SYNC) -> int:
        count: int = self.run(putfh(file.handle), ops.write(offset, data, file.stateid, stable))[
            -1
        ][0]
        return count

    def lock(
        self,
        file: OpenFile,
        *,
        kind: int = ops.WRITE_LOCK,
        offset: int = 0,
        length: int = ops.WHOLE,
        owner: bytes | None = None,
        reclaim: bool = False,
    ) -> Lock:
        """A lock by a lock owner of its own."""
        owner = owner or f"locker {next(_names)}".encode()
        arguments: dict[str, Any] = {
            "kind": kind,
            "offset": offset,
            "length": length,
            "reclaim": reclaim,
        }
        stateid = self.run(
            putfh(file.handle),
            ops.lock_first(
                file.stateid, self.client_id, owner, seqid=self._next(file), **arguments
            ),
        )[-1]
        file.locks.append(Lock(stateid, owner, kind, offset, length))
        return file.locks[-1]

    def unlock(self, file: OpenFile, lock: Lock) -> None:
        self.run(
            putfh(file.handle),
            ops.locku(lock.stateid, offset=lock.offset, length=lock.length, seqid=1),
        )
        file.locks.remove(lock)

    def put(self, folder: bytes, name: str, data: bytes) -> bytes:
        """Make a file with this text, and close it; its handle."""
        file = self.open(folder, name, create=True)
        self.write(file, 0, data)
        self.close(file)
        return file.handle

    def get(self, folder: bytes, name: str) -> bytes:
        file = self.open(folder, name, share=ops.READ)
        data = self.read(file)
        self.close(file)
        return data

    def names_in(self, folder: bytes) -> list[str]:
        found: list[str] = []
        cookie, verifier, is_end = 0, bytes(8), False
        while not is_end:
            entries, verifier, is_end = self.run(
                putfh(folder), ops.readdir(cookie=cookie, verifier=verifier)
            )[-1]
            found += [name for name, _, _ in entries]
            cookie = entries[-1][1] if entries else cookie
        return found

    def _next(self, file: OpenFile) -> int:
        """The open owner's sequence number; minor version 1 ignores it."""
        file.seqid += 1
        return file.seqid - 1


class Client40(Client):
    minor = 0
    callback = ("tcp", "0.0.0.0.0.0")

    def establish(self) -> None:
        self.client_id, confirm = self.compound(
            [ops.setclientid(self.name, self.verifier, self.callback)]
        )[0]
        self.compound([ops.setclientid_confirm(self.client_id, confirm)])

    def leave(self) -> None:
        for file in list(self.files):
            for lock in list(file.locks):
                self.unlock(file, lock)
            self.close(file)

    def run(self, *operations: Operation) -> list[Any]:
        return self.compound(operations)

    def renew(self) -> None:
        self.compound([ops.renew(self.client_id)])

    def _reclaim(self, file: OpenFile) -> None:
        file.seqid = 0  # the server knows the owner no longer
        super()._reclaim(file)


class Client41(Client):
    """One session with one slot. While it has not said that it reclaims nothing, a server in grace
    refuses its opens: `establish` says it."""

    minor = 1
    session = b""
    _sequence = 0

    def establish(self) -> None:
        self.establish_again()
        self.reclaimed()

    def establish_again(self) -> None:
        self.client_id, sequence, *_ = self.compound([ops.exchange_id(self.name, self.verifier)])[0]
        self.session = self.compound([ops.create_session(self.client_id, sequence)])[0]
        self._sequence = 0

    def reclaimed(self) -> None:
        try:
            self.run(ops.reclaim_complete())
        except Nfs4Error as error:
            if error.name != "COMPLETE_ALREADY":
                raise

    def leave(self) -> None:
        for file in list(self.files):
            for lock in list(file.locks):
                self.unlock(file, lock)
            self.close(file)
        self.compound([ops.destroy_session(self.session)])
        try:
            self.compound([ops.destroy_clientid(self.client_id)])
        except Nfs4Error as error:
            # what Abaca's servers say: who has gone is forgotten with his lease
            if error.name != "STALE_CLIENTID":
                raise

    def run(self, *operations: Operation) -> list[Any]:
        self._sequence += 1
        return self.compound([ops.sequence(self.session, self._sequence), *operations])[1:]

    def renew(self) -> None:
        self.run()


class Client42(Client41):
    minor = 2


def patiently(
    act: Callable[[], Result],
    patience: float = 60.0,
    meanwhile: Callable[[], object] = lambda: None,
) -> Result:
    """Do it again for as long as the server says that it is in its grace period, or busy;
    `meanwhile`, say, another client's `renew`."""
    end = time.monotonic() + patience
    while True:
        try:
            return act()
        except Nfs4Error as error:
            if error.name not in ("GRACE", "DELAY") or time.monotonic() > end:
                raise
            meanwhile()
            Event().wait(0.2)
