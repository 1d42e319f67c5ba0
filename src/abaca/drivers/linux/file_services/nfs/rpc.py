"""ONC RPC (RFC 5531) over a TCP connection that the caller made: one call at a time, each answered
within a deadline.

A connection stays in the network namespace that its socket was made in; calls may come from any
thread, one after the other.
"""

from __future__ import annotations

import itertools
import socket
import time

from abaca.drivers.linux.file_services.nfs.xdr import Malformed, Reader, opaque, text, u32, words

CALL, REPLY, ACCEPTED, SUCCESS = 0, 1, 0, 0
RPC_VERSION = 2
AUTH_NONE, AUTH_SYS = 0, 1
LAST_FRAGMENT = 1 << 31
MOST_BYTES = 4 * 1024**2  # of one answer: more than any server here sends
NO_AUTHENTICATION = u32(AUTH_NONE) + opaque(b"")
_transactions = itertools.count(0x41420000)


class RpcError(OSError):
    """The server refused a call as such: an unknown program, wrong credentials, garbage."""


def auth_sys(uid: int, gid: int, groups: tuple[int, ...] = (), machine: str = "abaca") -> bytes:
    """Credentials that the server believes: whoever has the connection is who it says."""
    return u32(AUTH_SYS) + opaque(
        u32(0) + text(machine) + u32(uid) + u32(gid) + words(list(groups))
    )


def record(message: bytes) -> bytes:
    """A message as one fragment, as it goes over TCP."""
    return u32(LAST_FRAGMENT | len(message)) + message


def call_message(
    program: int, version: int, procedure: int, body: bytes, credentials: bytes = NO_AUTHENTICATION
) -> tuple[int, bytes]:
    """(transaction, message)."""
    transaction = next(_transactions) & 0xFFFFFFFF
    head = b"".join(map(u32, (transaction, CALL, RPC_VERSION, program, version, procedure)))
    return transaction, head + credentials + NO_AUTHENTICATION + body


class Connection:
    """RPC over the connected socket `link`, which its maker closes. An answer takes at most
    `patience` seconds, or TimeoutError is raised."""

    def __init__(self, link: socket.socket, patience: float) -> None:
        self.link = link
        self.patience = patience

    def call(
        self,
        program: int,
        version: int,
        procedure: int,
        body: bytes,
        credentials: bytes = NO_AUTHENTICATION,
    ) -> Reader:
        """The result of a call. Raises RpcError, Malformed or, when the connection fails, another
        OSError."""
        deadline = time.monotonic() + self.patience
        transaction, message = call_message(program, version, procedure, body, credentials)
        self.link.settimeout(self.patience)
        self.link.sendall(record(message))
        while True:
            answer = Reader(self._record(deadline))
            answered, kind = answer.u32(), answer.u32()
            # not a call that the server makes, nor an answer that came too late
            if (answered, kind) == (transaction, REPLY):
                return _result(answer)

    def _record(self, deadline: float) -> bytes:
        message, is_last = b"", False
        while not is_last:
            head = int.from_bytes(self._take(4, deadline), "big")
            is_last, length = bool(head & LAST_FRAGMENT), head & ~LAST_FRAGMENT
            if len(message) + length > MOST_BYTES:
                raise Malformed(f"an answer of more than {MOST_BYTES} bytes")
            message += self._take(length, deadline)
        return message

    def _take(self, length: int, deadline: float) -> bytes:
        data = bytearray()
        while len(data) < length:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise TimeoutError(f"no answer within {self.patience:g} s")
            self.link.settimeout(remaining)
            if not (part := self.link.recv(length - len(data))):
                raise ConnectionResetError("the server closed the connection")
            data += part
        return bytes(data)


def _result(answer: Reader) -> Reader:
    if answer.u32() != ACCEPTED:
        raise RpcError(f"the call was denied: {answer.rest().hex()}")
    answer.u32(), answer.opaque()  # the verifier
    if (status := answer.u32()) != SUCCESS:
        raise RpcError(f"the call failed with RPC status {status}")
    return answer
