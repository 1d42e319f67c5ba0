"""Updates of a real DNS server, and of servers that refuse, hang or lie."""

from __future__ import annotations

import contextlib
import io
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from threading import Event, Thread
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.renderer
import dns.rrset
import dns.tsig
import dns.update
import pytest

from abaca.dns import dialogue, dynamic_updates
from abaca.dns.dynamic_updates import Outcome, Primary
from abaca.dns.records import DnsError, Names
from abaca.dns.tsig_key import read_key
from tests import name_server
from tests.name_server import DOMAIN, NameServer, write_key

pytestmark = pytest.mark.sampled_file(4)

ONE, TWO, THREE = f"server-1.{DOMAIN}", f"server-2.{DOMAIN}", f"docs.red.{DOMAIN}"


def primary(server: NameServer, address: str = "127.0.0.1", **more: object) -> Primary:
    settings: dict[str, object] = {
        "key_file": server.key_file,
        "zone": DOMAIN,
        "domain": DOMAIN,
        "ttl": 60,
        "owner": "abaca",
        "seconds": 60.0,
    }
    return Primary(address, server.port, **(settings | more))  # type: ignore[arg-type]


def names(**addresses: str) -> Names:
    known = {"one": ONE, "two": TWO, "three": THREE}
    return {
        known[name]: frozenset(map(ip_address, text.split())) for name, text in addresses.items()
    }


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NameServer]:
    with name_server.running(tmp_path) as running:
        yield running


@pytest.fixture(params=name_server.KINDS)
def any_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NameServer]:
    """Each kind in turn: how they answer differs."""
    with name_server.running(tmp_path, kind=request.param) as running:
        yield running


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_names_come_change_and_go(any_server: NameServer, address: str) -> None:
    there = primary(any_server, address)
    assert there.publish(lambda: names(one="10.0.0.1 fd00::1", three="10.0.0.1")) == Outcome(2, {})
    assert any_server.addresses(ONE) == ["10.0.0.1", "fd00::1"]
    assert there.publish(lambda: names(one="fd00::1 fd00::2", two="10.0.0.2")) == Outcome(3, {})
    assert any_server.addresses(ONE) == ["fd00::1", "fd00::2"]
    assert any_server.names() == {"server-1", "server-2"}
    assert there.publish(dict) == Outcome(2, {})
    assert any_server.names() == set()


def test_what_is_right_is_left_alone_and_what_is_not_is_put_right(server: NameServer) -> None:
    there, wanted = primary(server), names(one="10.0.0.1", two="10.0.0.2")
    there.publish(lambda: wanted)
    for _ in range(3):
        before = server.serial()
        assert there.publish(lambda: wanted) == Outcome(0, {})
        assert server.serial() == before
    update = dns.update.UpdateMessage(DOMAIN)
    update.delete("server-1")
    update.replace("server-2", 60, "A", "10.6.6.6")
    server.change(update)
    there.publish(lambda: wanted)
    assert (server.addresses(ONE), server.addresses(TWO)) == (["10.0.0.1"], ["10.0.0.2"])
    assert primary(server, ttl=30).publish(lambda: wanted) == Outcome(2, {})


def test_names_of_others_are_never_touched(any_server: NameServer) -> None:
    update = dns.update.UpdateMessage(DOMAIN)
    update.add("server-1", 60, "A", "192.0.2.1")
    update.add("server-2", 60, "TXT", '"abaca another"')
    update.add("docs.red", 60, "CNAME", "www.example.org.")
    update.add("unrelated", 60, "A", "192.0.2.9")
    any_server.change(update)
    before = any_server.names()
    outcome = primary(any_server).publish(
        lambda: names(one="10.0.0.1", two="10.0.0.2", three="fd00::1")
    )
    assert (outcome.changed, set(outcome.failed)) == (0, {ONE, TWO, THREE})
    assert (any_server.names(), any_server.addresses(ONE)) == (before, ["192.0.2.1"])
    primary(any_server).publish(dict)
    assert any_server.names() == before


def test_a_name_that_changes_meanwhile_holds_up_no_other(
    any_server: NameServer,
) -> None:
    there = primary(any_server)

    def taken_meanwhile() -> Names:
        update = dns.update.UpdateMessage(DOMAIN)
        update.add("server-1", 60, "A", "192.0.2.1")
        any_server.change(update)
        return names(one="10.0.0.1", two="10.0.0.2", three="10.0.0.3")

    outcome = there.publish(taken_meanwhile)
    assert (outcome.changed, set(outcome.failed)) == (2, {ONE})
    assert any_server.addresses(ONE) == ["192.0.2.1"]
    assert (any_server.addresses(TWO), any_server.addresses(THREE)) == (["10.0.0.2"], ["10.0.0.3"])


def test_an_older_state_never_replaces_a_newer_one(server: NameServer) -> None:
    """Two workers: while one has read the zone, the other publishes what is newer."""
    first, second = primary(server), primary(server)
    first.publish(lambda: names(one="10.0.0.1 10.0.0.2"))

    def overtaken() -> Names:
        second.publish(lambda: names(one="10.0.0.2"))
        return names(one="10.0.0.1", two="10.0.0.9")

    assert set(first.publish(overtaken).failed) == {ONE}
    assert server.addresses(ONE) == ["10.0.0.2"]
    assert server.addresses(TWO) == ["10.0.0.9"]


def test_a_domain_within_a_zone_of_others(server: NameServer) -> None:
    """Only what is below the domain counts."""
    update = dns.update.UpdateMessage(DOMAIN)
    update.add("server-1", 60, "TXT", '"abaca abaca"')
    server.change(update)
    inner = f"shares.{DOMAIN}"
    wanted = {f"server-1.{inner}": frozenset({ip_address("10.0.0.1")})}
    assert primary(server, domain=inner).publish(lambda: wanted) == Outcome(1, {})
    assert primary(server, domain=inner).publish(dict) == Outcome(1, {})
    assert server.names() == {"server-1"}


def test_many_names_take_several_messages(any_server: NameServer) -> None:
    many = {f"server-{n}.{DOMAIN}": frozenset({ip_address(2**24 * 10 + n)}) for n in range(1, 1500)}
    there = primary(any_server)
    assert there.publish(lambda: many) == Outcome(1499, {})
    assert len(any_server.names()) == 1499
    assert there.publish(lambda: many) == Outcome(0, {})


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ({"secret": "d3JvbmcgYnV0IGxvbmcgZW5vdWdo"}, "BADSIG|signature"),
        ({"name": "unknown"}, "BADKEY|key"),
    ],
)
def test_a_wrong_key_is_told(
    any_server: NameServer, tmp_path: Path, key: dict[str, str], said: str
) -> None:
    there = primary(any_server, key_file=write_key(tmp_path / "other", **key))
    with pytest.raises(DnsError, match=said):
        there.publish(lambda: names(one="10.0.0.1"))
    assert any_server.names() == set()


def test_a_key_that_may_only_read_is_told(any_server: NameServer, tmp_path: Path) -> None:
    there = primary(any_server, key_file=write_key(tmp_path / "reader", name="reader"))
    outcome = there.publish(lambda: names(one="10.0.0.1", two="10.0.0.2"))
    assert outcome.changed == 0
    assert set(outcome.failed) == {ONE, TWO}
    assert "is refused by" in outcome.failed[ONE]
    assert any_server.names() == set()


def test_a_zone_that_the_server_does_not_have_is_told(server: NameServer) -> None:
    with pytest.raises(DnsError, match=r"SOA of zone example\.net from .* is not signed: REFUSED"):
        primary(server, zone="example.net", domain="example.net").publish(dict)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not one key"),
        ('key "a" { algorithm hmac-md5; secret "YWJj"; };', "algorithm hmac-md5; use one of"),
        ('key "a" { algorithm hmac-sha256; secret "YWJ"; };', "no usable key"),
        ('key "a..b" { algorithm hmac-sha256; secret "YWJj"; };', "no usable key"),
    ],
)
def test_a_file_that_holds_no_key_is_told_without_what_is_in_it(
    tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(DnsError, match=said) as told:
        read_key(path)
    assert "YWJ" not in str(told.value)


def test_a_key_that_others_may_read_is_not_used(tmp_path: Path) -> None:
    path = write_key(tmp_path / "key")
    path.chmod(0o644)
    with pytest.raises(DnsError, match="may be read or written by others"):
        read_key(path)


# --- servers that lie ---------------------------------------------------------------------------

Answer = Callable[[dns.message.Message], Iterator[bytes]]
"""What a server sends for a question: pieces, whole messages or not."""


def framed(wire: bytes) -> bytes:
    return len(wire).to_bytes(2, "big") + wire


def honest(
    question: dns.message.Message,
    key: dns.tsig.Key | None,
    soas: int = 1,
    rcode: dns.rcode.Rcode = dns.rcode.NOERROR,
) -> bytes:
    """The zone's SOA, so often; signed where there is a key."""
    answer = dns.message.Message(id=question.id)
    answer.set_rcode(rcode)
    answer.flags |= question.flags & 0x7800 | dns.flags.QR | dns.flags.AA  # its opcode
    answer.question = question.question
    soa = dns.rrset.from_text(
        DOMAIN + ".", 60, "IN", "SOA", "ns1.example.org. admin.example.org. 7 1 1 1 60"
    )
    answer.answer = [soa] * soas
    if key is not None:
        answer.use_tsig(key)
        answer.request_mac = question.mac or b""
    return framed(answer.to_wire())


def closes(_: dns.message.Message) -> Iterator[bytes]:
    yield b"\0"
    raise ConnectionError


def drips(_: dns.message.Message) -> Iterator[bytes]:
    yield b"\xff\xff"
    while True:
        yield b"\0"
        Event().wait(0.05)


def floods(question: dns.message.Message) -> Iterator[bytes]:
    """Records without end, and without a second SOA."""
    yield honest(question, None)
    answer = dns.message.Message(id=question.id)
    answer.flags = dns.flags.QR
    values = [f'"{n:0250}"' for n in range(200)]
    answer.answer = [dns.rrset.from_text(DOMAIN + ".", 60, "IN", "TXT", *values)]
    wire = framed(answer.to_wire(max_size=65_535))
    while True:
        yield wire


def babbles(question: dns.message.Message) -> Iterator[bytes]:
    while True:
        yield framed(question.id.to_bytes(2, "big") + b"\x80\0" + b"\xc0\x0c" * 400)


def loops(question: dns.message.Message) -> Iterator[bytes]:
    """A name that points to itself."""
    header = question.id.to_bytes(2, "big") + b"\x80\0" + b"\0\1\0\1\0\0\0\0"
    yield framed(header + b"\xc0\x0c\0\6\0\1" + b"\xc0\x0c\0\6\0\1\0\0\0\0\0\0")


def does_not_sign(question: dns.message.Message) -> Iterator[bytes]:
    yield honest(question, None, soas=2)


def does_not_sign_the_end(question: dns.message.Message) -> Iterator[bytes]:
    """Somebody in between, who has no key, puts in what he likes."""
    assert isinstance(question.keyring, dns.tsig.Key | None)
    yield honest(question, question.keyring)
    yield honest(question, None)


def answers_another(question: dns.message.Message) -> Iterator[bytes]:
    question.id = (question.id + 1) % 2**16
    yield honest(question, None)


def is_empty(question: dns.message.Message) -> Iterator[bytes]:
    yield framed(b"")


LIES: dict[str, Answer] = {
    lie.__name__: lie
    for lie in (
        closes, drips, floods, babbles, loops, does_not_sign, does_not_sign_the_end,
        answers_another, is_empty,
    )
}  # fmt: skip


@contextmanager
def lying(lie: Answer, key: dns.tsig.Key | None = None) -> Iterator[int]:
    """A server that lies to everybody; its port. With a key it is honest about the SOA, and lies
    about transfers only."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listening.accept()
                with connection, contextlib.suppress(OSError):
                    while length := connection.recv(2):
                        wire = connection.recv(int.from_bytes(length, "big"))
                        question = dns.message.from_wire(wire, keyring=key or False)
                        is_update = isinstance(question, dns.update.UpdateMessage)
                        of_soa = question.question[0].rdtype == dns.rdatatype.SOA
                        if key and of_soa and not is_update:
                            connection.sendall(honest(question, key))
                            continue
                        for piece in lie(question):
                            connection.sendall(piece)

    thread = Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(20)


@pytest.mark.parametrize("about", ["everything", "transfers"])
@pytest.mark.parametrize("lie", LIES)
def test_a_server_that_lies_ends_in_an_error_within_bounds(
    tmp_path: Path, lie: str, about: str
) -> None:
    key_file = write_key(tmp_path / "key")
    key = read_key(key_file) if about == "transfers" else None
    asked = []
    with lying(LIES[lie], key) as port:
        there = Primary("127.0.0.1", port, key_file, DOMAIN, DOMAIN, 60, "abaca", seconds=2.0)
        with pytest.raises(DnsError) as told:
            there.publish(lambda: asked.append(1) or {})  # type: ignore[func-returns-value]
    assert not asked
    assert len(str(told.value)) <= 500


def test_an_update_that_somebody_else_confirms_has_failed(tmp_path: Path) -> None:
    key_file = write_key(tmp_path / "key")
    key = read_key(key_file)

    def confirms(question: dns.message.Message) -> Iterator[bytes]:
        is_update = isinstance(question, dns.update.UpdateMessage)
        yield honest(question, None if is_update else key, soas=2)

    with lying(confirms, key) as port:
        there = Primary("127.0.0.1", port, key_file, DOMAIN, DOMAIN, 60, "abaca", seconds=5.0)
        with pytest.raises(DnsError, match=r"an update of zone .*: the answer is not signed"):
            there.publish(lambda: names(one="10.0.0.1"))


def test_a_server_that_hangs_is_given_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        key = write_key(tmp_path / "key")
        there = Primary("127.0.0.1", port, key, DOMAIN, DOMAIN, 60, "abaca", seconds=0.5)
        with pytest.raises(DnsError, match=r"SOA of zone .* failed: (timed out|it takes)"):
            there.publish(dict)


def test_a_transfer_is_given_up_at_so_many_bytes(tmp_path: Path) -> None:
    key_file = write_key(tmp_path / "key")
    with lying(floods, read_key(key_file)) as port:
        there = Primary("127.0.0.1", port, key_file, DOMAIN, DOMAIN, 60, "abaca")
        with pytest.raises(DnsError, match=f"more than {dialogue.MOST_BYTES} bytes"):
            there.publish(dict)


# --- what a look costs --------------------------------------------------------------------------


def test_a_transfer_is_given_up_at_so_many_records(tmp_path: Path) -> None:
    """Records of 16 bytes, of which 16 MB hold a million; with names outside of the domain."""
    key_file = write_key(tmp_path / "key")

    def swarms(question: dns.message.Message) -> Iterator[bytes]:
        yield honest(question, None)
        header = question.id.to_bytes(2, "big") + b"\x80\0" + struct.pack("!HHHH", 0, 4000, 0, 0)
        record = b"\0" + struct.pack("!HHIH", dns.rdatatype.A, 1, 60, 4) + bytes(4)
        for _ in range(dialogue.MOST_RECORDS // 4000 + 1):
            yield framed(header + record * 4000)

    with lying(swarms, read_key(key_file)) as port:
        there = Primary("127.0.0.1", port, key_file, DOMAIN, DOMAIN, 60, "abaca")
        with pytest.raises(DnsError, match=f"more than {dialogue.MOST_RECORDS} records"):
            there.publish(dict)


Part = tuple[int, bytes]
"""Records of a message: how many, and what they are on the wire."""


def records(name: str, kind: str, *values: str) -> Part:
    wire = io.BytesIO()
    return dns.rrset.from_text(name, 60, "IN", kind, *values).to_wire(wire), wire.getvalue()


SOA = records(DOMAIN + ".", "SOA", "ns1.example.org. admin.example.org. 7 1 1 1 60")


def signed(
    question: dns.message.Message, key: dns.tsig.Key, parts: Sequence[Part]
) -> Iterator[bytes]:
    """A transfer in so many messages, each of them signed."""
    context = None
    renderer: Any = dns.renderer.Renderer  # has no types
    for count, wire in parts:
        message = renderer(question.id, dns.flags.QR, max_size=65_535)
        if context is None:
            message.add_question(question.question[0].name, dns.rdatatype.AXFR)
        message.output.write(wire)
        message.counts[dns.renderer.ANSWER] = count
        message.write_header()
        context = message.add_multi_tsig(
            context, key.name, key, 300, question.id, 0, b"", question.mac or b"", key.algorithm
        )
        yield framed(message.get_wire())


def test_time_is_over_while_answers_are_understood_too(tmp_path: Path) -> None:
    """Signed answers that are read at once and take many times as long to understand."""
    key_file = write_key(tmp_path / "key")
    key = read_key(key_file)
    count, first = records("a." * 100 + DOMAIN + ".", "A", "10.0.0.0")
    more = [
        b"\xc0\x0c" + struct.pack("!HHIHI", dns.rdatatype.A, 1, 60, 4, 10 * 2**24 + n)
        for n in range(1, 3000)
    ]

    def burdens(question: dns.message.Message) -> Iterator[bytes]:
        parts = [SOA, *[(count + len(more), first + b"".join(more))] * 20, SOA]
        yield from signed(question, key, parts)

    asked = []
    with lying(burdens, key) as port:
        there = Primary("127.0.0.1", port, key_file, DOMAIN, DOMAIN, 60, "abaca", seconds=1.0)
        with pytest.raises(DnsError, match=r"it takes too long|timed out"):
            there.publish(lambda: asked.append(1) or {})  # type: ignore[func-returns-value]
    assert not asked


@contextmanager
def refusing(key: dns.tsig.Key, signed: bool = True) -> Iterator[tuple[int, list[str]]]:
    """A server that is honest, and refuses each update; its port, and what it was asked for."""
    asked: list[str] = []

    def refuses(question: dns.message.Message) -> Iterator[bytes]:
        if isinstance(question, dns.update.UpdateMessage):
            asked.append("update")
            yield honest(question, key if signed else None, rcode=dns.rcode.REFUSED)
        else:
            asked.append("transfer")
            yield honest(question, key, soas=2)

    with lying(refuses, key) as port:
        yield port, asked


def test_a_name_that_is_refused_waits_and_holds_up_no_other(tmp_path: Path) -> None:
    """Neither the zone nor the name is asked about again, until its pause is over."""
    key_file = write_key(tmp_path / "key")
    with refusing(read_key(key_file)) as (port, asked):
        there = Primary(
            "127.0.0.1", port, key_file, DOMAIN, DOMAIN, 60, "abaca", shortest_pause=3000.0
        )
        for _ in range(20):
            outcome = there.publish(lambda: names(one="10.0.0.1", two="10.0.0.2"))
            assert set(outcome.failed) == {ONE, TWO}
        assert (asked.count("update"), asked.count("transfer")) == (3, 2)
        for _ in range(2):
            there.publish(lambda: names(one="10.0.0.1", two="10.0.0.2", three="10.0.0.3"))
        assert asked.count("update") == 4  # the new one, alone
        there.publish(lambda: names(one="10.0.0.9", two="10.0.0.2"))
        assert asked.count("update") == 5  # what is refused for one address is not for another


def test_a_name_that_is_refused_is_tried_again_after_its_pause(tmp_path: Path) -> None:
    key_file = write_key(tmp_path / "key")
    with refusing(read_key(key_file)) as (port, asked):
        there = Primary(
            "127.0.0.1", port, key_file, DOMAIN, DOMAIN, 60, "abaca", shortest_pause=0.0
        )
        for _ in range(4):
            there.publish(lambda: names(one="10.0.0.1"))
    assert asked.count("update") == 4


def test_a_server_that_refuses_everything_is_given_up(tmp_path: Path) -> None:
    key_file = write_key(tmp_path / "key")
    many = {f"server-{n}.{DOMAIN}": frozenset({ip_address(n)}) for n in range(1, 1000)}
    with refusing(read_key(key_file)) as (port, asked):
        there = Primary("127.0.0.1", port, key_file, DOMAIN, DOMAIN, 60, "abaca")
        with pytest.raises(DnsError, match=f"refused {dynamic_updates.MOST_REFUSALS} updates"):
            there.publish(lambda: many)
    assert asked.count("update") == dynamic_updates.MOST_REFUSALS


def test_a_refusal_that_is_not_signed_is_none(tmp_path: Path) -> None:
    """Somebody in between, who has no key, says no: nothing is known of the names."""
    key_file = write_key(tmp_path / "key")
    with refusing(read_key(key_file), signed=False) as (port, asked):
        there = Primary("127.0.0.1", port, key_file, DOMAIN, DOMAIN, 60, "abaca")
        with pytest.raises(DnsError, match=r"an update of zone .* is not signed: REFUSED"):
            there.publish(lambda: names(one="10.0.0.1", two="10.0.0.2"))
    assert asked.count("update") == 1


BAD_NAMES = [
    f"a..b.{DOMAIN}",
    f"{'x' * 64}.{DOMAIN}",
    f"{'x.' * 120}{DOMAIN}",
    f"ü.{DOMAIN}",
    f"x 60 A 10.6.6.6\ny.{DOMAIN}",
    f"*.{DOMAIN}",
    f"UP.{DOMAIN}",
    "www.example.org",
    DOMAIN,
    "",
]


def test_what_is_no_name_in_the_domain_costs_itself_alone(server: NameServer) -> None:
    address = frozenset({ip_address("10.0.0.1")})
    wanted = dict.fromkeys([*BAD_NAMES, ONE], address)
    for changed in (1, 0):
        outcome = primary(server).publish(lambda: wanted)
        assert (outcome.changed, set(outcome.failed)) == (changed, set(BAD_NAMES))
    assert server.names() == {"server-1"}


def test_a_name_with_more_than_a_message_holds_costs_itself_alone(tmp_path: Path) -> None:
    """Somebody gave a name of ours so many addresses that no update can name them all."""
    key_file = write_key(tmp_path / "key")
    key = read_key(key_file)
    crowds = [
        records(ONE + ".", "A", *[f"10.{part}.{n >> 8}.{n & 255}" for n in range(1500)])
        for part in range(3)
    ]
    asked = []

    def holds(question: dns.message.Message) -> Iterator[bytes]:
        if isinstance(question, dns.update.UpdateMessage):
            asked.append({str(each.name) for each in question.update})
            yield honest(question, key)
        else:
            marker = records(ONE + ".", "TXT", '"abaca abaca"')
            yield from signed(question, key, [SOA, marker, *crowds, SOA])

    with lying(holds, key) as port:
        there = Primary("127.0.0.1", port, key_file, DOMAIN, DOMAIN, 60, "abaca")
        outcome = there.publish(lambda: names(one="10.0.0.1", two="10.0.0.2"))
    assert (outcome.changed, set(outcome.failed)) == (1, {ONE})
    assert asked == [{TWO + "."}]
