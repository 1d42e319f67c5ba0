"""Updates of a real DNS server, and of servers that refuse, hang or lie."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from threading import Event, Thread

import dns.flags
import dns.message
import dns.rdatatype
import dns.rrset
import dns.tsig
import dns.update
import pytest

from abaca.dns import dialogue
from abaca.dns.dynamic_updates import Outcome, Primary
from abaca.dns.records import DnsError, Names
from abaca.dns.tsig_key import read_key
from tests import name_server
from tests.name_server import DOMAIN, NameServer, write_key

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
    with pytest.raises(DnsError, match=r"SOA of zone example\.net is refused"):
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


def honest(question: dns.message.Message, key: dns.tsig.Key | None, soas: int = 1) -> bytes:
    """The zone's SOA, so often; signed where there is a key."""
    answer = dns.message.Message(id=question.id)
    answer.flags = question.flags & 0x7800 | dns.flags.QR | dns.flags.AA  # its opcode
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
    values = [f"10.{a}.{b}.1" for a in range(8) for b in range(250)]
    answer.answer = [dns.rrset.from_text(DOMAIN + ".", 60, "IN", "A", *values)]
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
