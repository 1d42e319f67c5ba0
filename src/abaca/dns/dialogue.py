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
MOST_RECORDS = 300_000
"""Of a transfer. 20,000 names of share servers, with addresses of both families, are 60,000."""
_BETWEEN_LOOKS_AT_THE_CLOCK = 250
"""Records, which are understood and used in a few hundredths of a second."""


class Refusal(DnsError):
    """The server said no, or there is no message that could ask for it. It is signed, or says that
    the key may not: so Knot DNS answers for a name that its ACL does not let the key change."""


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
            if not answer.had_tsig:
                code = dns.rcode.to_text(answer.rcode())
                raise DnsError(f"{what} from {self._where}: the answer is not signed: {code}")
            self._require_success(answer, what)
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
            wires, soas, records = [], 0, 0
            while soas < 2:
                wires.append(self._read_message())
                records += _count_of_records(wires[-1])
                if records > MOST_RECORDS:
                    raise DnsError(f"{self._where} sends more than {MOST_RECORDS} records")
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
            for index, record in enumerate(answer.answer):
                if not index % _BETWEEN_LOOKS_AT_THE_CLOCK:
                    self._seconds_left()
                yield record
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
        except dns.exception.TooBig as error:
            raise Refusal(f"{what} is too large for a message to {self._where}") from error
        except (OSError, EOFError, ValueError, dns.exception.DNSException) as error:
            reason = str(error) or type(error).__name__
            raise DnsError(f"{what} from {self._where} failed: {reason}") from error


def _count_of_records(wire: bytes) -> int:
    """How many questions and records, of all sections, a message says that it has. One that has
    fewer is an error when it is understood."""
    if len(wire) < 12:
        raise ValueError("a message ends too early")
    return sum(struct.unpack_from("!HHHH", wire, 4))


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
