"""Talking to a DNS server over TCP, signed with TSIG: each answer is checked, and bytes and time
are bounded, whatever the server sends."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from typing import Any, Self

import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import dns.tsig

from abaca.dns.records import DnsError

MOST_BYTES = 16_000_000
"""Of all answers of one connection. A transfer of 20,000 names of share servers takes 2 MB."""


class Refusal(DnsError):
    """The server answered, and said no."""


class Dialogue:
    """One connection, which ends with the block. `seconds`: how long all of that may take. Each
    method raises DnsError, and Refusal when the server says no."""

    def __init__(self, address: str, port: int, key: dns.tsig.Key, seconds: float) -> None:
        self._where = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        self._key = key
        self._ends = time.monotonic() + seconds
        self._bytes_left = MOST_BYTES
        with self._told("the connection"):
            self._socket = socket.create_connection((address, port), self._seconds_left())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, question: dns.message.Message, what: str) -> dns.message.Message:
        """The answer to a question or an update. `what` was asked for: for errors."""
        with self._told(what):
            self._send(question)
            answer = self._understand(question, self._read_message())
            self._require_success(answer, what)
            if not answer.had_tsig:
                raise DnsError(f"{what} from {self._where}: the answer is not signed")
            return answer

    def transfer(self, zone: dns.name.Name) -> Iterator[dns.rrset.RRset]:
        """The records of a zone one by one, its SOA first. When it raises, what came before is
        worth nothing.

        All of it is read before anything is understood, which takes longer than some servers let
        a client stop reading for.
        """
        what = f"the transfer of zone {zone}"
        question = dns.message.make_query(zone, dns.rdatatype.AXFR)
        with self._told(what):
            self._send(question)
            wires, soas = [], 0
            while soas < 2:
                wires.append(self._read_message())
                soas += _count_of_soas(wires[-1])
                if wires[-1][3] & 0x0F:  # it says no
                    break
            yield from self._understood(question, wires, what)

    def _understood(
        self, question: dns.message.Message, wires: Sequence[bytes], what: str
    ) -> Iterator[dns.rrset.RRset]:
        context, is_signed = None, False
        for number, wire in enumerate(wires):
            answer = self._understand(question, wire, context)
            self._require_success(answer, what)
            context, is_signed = answer.tsig_ctx, answer.had_tsig
            if not number and (
                not answer.answer or answer.answer[0].rdtype != dns.rdatatype.SOA or not is_signed
            ):
                raise DnsError(f"{what} from {self._where}: its beginning is not a signed SOA")
            yield from answer.answer
        if not is_signed:
            raise DnsError(f"{what} from {self._where}: its end is not signed")

    def _send(self, question: dns.message.Message) -> None:
        question.use_tsig(self._key)
        wire = question.to_wire(max_size=65_535)
        self._socket.settimeout(self._seconds_left())
        self._socket.sendall(len(wire).to_bytes(2, "big") + wire)

    def _understand(
        self, question: dns.message.Message, wire: bytes, context: Any = None
    ) -> dns.message.Message:
        """An answer, its signature checked where it has one; with the context of the one before,
        one of several."""
        answer = dns.message.from_wire(
            wire,
            keyring=question.keyring,
            request_mac=question.mac,
            xfr=True,
            tsig_ctx=context,
            multi=True,
            one_rr_per_rrset=True,
        )
        # the later parts of a transfer need not repeat the question (RFC 5936)
        is_later = context is not None and not answer.question and answer.id == question.id
        if not is_later and not question.is_response(answer):
            raise DnsError(f"{self._where} answers something that was not asked")
        return answer

    def _read_message(self) -> bytes:
        return self._read(int.from_bytes(self._read(2), "big"))

    def _read(self, count: int) -> bytes:
        self._bytes_left -= count
        if self._bytes_left < 0:
            raise DnsError(f"{self._where} sends more than {MOST_BYTES} bytes")
        found = bytearray()
        while len(found) < count:
            self._socket.settimeout(self._seconds_left())
            part = self._socket.recv(count - len(found))
            if not part:
                raise DnsError(f"{self._where} ended the connection")
            found += part
        return bytes(found)

    def _seconds_left(self) -> float:
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError("it takes too long")
        return left

    def _require_success(self, answer: dns.message.Message, what: str) -> None:
        if answer.rcode() != dns.rcode.NOERROR:
            code = dns.rcode.to_text(answer.rcode())
            raise Refusal(f"{what} is refused by {self._where}: {code}")

    @contextlib.contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """What goes wrong inside is a DnsError."""
        try:
            yield
        except dns.tsig.PeerError as error:
            raise Refusal(f"{what} is refused by {self._where}: {error}") from error
        except (OSError, EOFError, ValueError, dns.exception.DNSException) as error:
            reason = str(error) or type(error).__name__
            raise DnsError(f"{what} from {self._where} failed: {reason}") from error


def _count_of_soas(wire: bytes) -> int:
    """How many SOA records the answer section of a message holds, which is all that is looked at.
    Raises ValueError for a message that ends too early."""
    try:
        questions, answers = struct.unpack_from("!HH", wire, 4)
        at = 12
        for _ in range(questions):
            at = _behind_name(wire, at) + 4
        found = 0
        for _ in range(answers):
            at = _behind_name(wire, at)
            kind, _, _, length = struct.unpack_from("!HHIH", wire, at)
            found += kind == dns.rdatatype.SOA
            at += 10 + length
    except (struct.error, IndexError):
        raise ValueError("a message ends too early") from None
    return found


def _behind_name(wire: bytes, at: int) -> int:
    while length := wire[at]:
        if length >= 0xC0:  # the rest of the name stands elsewhere
            return at + 2
        at += 1 + length
    return at + 1
