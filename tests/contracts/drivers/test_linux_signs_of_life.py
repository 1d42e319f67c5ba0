"""Whether another host lives, by what its kernel answers on the networks of storage and tunnels:
namespaces play hosts."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator
from ipaddress import ip_address

import pytest
from pyroute2 import IPRoute

from abaca.addresses import Address
from abaca.drivers.linux import namespaces, signs_of_life
from abaca.drivers.linux.neighbour_frames import checksum
from abaca.errors import BackendError
from abaca.values import TunnelEnd
from tests.played_hosts import Underlay, ip

pytestmark = pytest.mark.root


@pytest.fixture(params=["10.99.77.{}/24", "fd99:77::{}/64"])
def network(request: pytest.FixtureRequest) -> Iterator[Underlay]:
    made = Underlay(request.param)
    try:
        yield made
    finally:
        made.close()


def answering(storage_namespace: str, asked: list[str]) -> list[str]:
    """Where all could be asked."""
    found = signs_of_life.answering(storage_namespace, asked)
    assert found.unasked == {}
    return found.at


def test_one_that_lives_answers_and_one_that_is_gone_does_not(network: Underlay) -> None:
    here, there = network.machine(1), network.machine(2)
    own, other, nobody = (network.address(number) for number in (1, 2, 3))
    asked = [f"storage {each}" for each in (own, other, nobody)]
    assert answering(here, asked) == [f"storage {other}"]
    ip("-n", there, "link", "set", "eth0", "down")
    assert answering(here, asked) == []
    ip("-n", here, "link", "set", "eth0", "down")
    found = signs_of_life.answering(here, asked)
    assert found.at == [] and found.unasked.keys() >= set(asked[1:]), "nothing is known of others"


def test_without_the_network_of_the_storage_nobody_is_asked(network: Underlay) -> None:
    with pytest.raises(BackendError, match="none is not there"):
        signs_of_life.answering("none", [f"storage {network.address(2)}"])


def test_tunnels_are_asked_from_where_the_worker_is(network: Underlay) -> None:
    here, other = network.machine(1), network.address(2)
    network.machine(2)

    def ask(_: object) -> list[str]:
        return answering("none", [f"tunnel {other}"])

    assert namespaces.inside(here, ask) == [f"tunnel {other}"]


def test_a_flood_of_answers_that_nobody_asked_for_hides_no_real_one(network: Underlay) -> None:
    """More than a socket keeps, by a stranger on that network."""
    here, _, stranger = (network.machine(number) for number in (1, 2, 3))
    mark, other = os.urandom(16), ip_address(network.address(2))
    forged = _reply(other.version, os.urandom(16))
    with (
        namespaces.inside(here, lambda _: signs_of_life._raw(other.version, mark)) as raw,
        namespaces.inside(stranger, lambda _: signs_of_life._raw(other.version, mark)) as sender,
    ):
        for _ in range(2000):
            sender.sendto(forged, (network.address(1), 0))
        signs_of_life._send(raw, other, mark)
        found: set[Address] = set()
        until = time.monotonic() + 2
        while not found and time.monotonic() < until:
            found = signs_of_life._heard(other.version, raw, mark, 1)
    assert found == {other}


def test_what_does_not_end_with_the_mark_is_not_heard(network: Underlay) -> None:
    """Of any length."""
    here, there = network.machine(1), network.machine(2)
    mark, version = os.urandom(16), 6 if ":" in network.network else 4
    bodies = [bytes(size) for size in (0, 1, 8, 15, 16, 23, 60_000)]
    bodies += [mark[1:], mark[:15] + b"\0", b"\0" + mark[1:], mark + b"x"]
    for each in range(3):
        bodies.append(mark[: 4 * each] + bytes(4) + mark[4 * each + 4 :])
    with (
        namespaces.inside(here, lambda _: signs_of_life._raw(version, mark)) as raw,
        namespaces.inside(there, lambda _: signs_of_life._raw(version, mark)) as sender,
    ):
        for body in [*bodies, mark]:
            sender.sendto(_reply(version, body), (network.address(1), 0))
        raw.settimeout(5)
        assert raw.recv(65_536).endswith(mark)
        raw.settimeout(0.2)
        with pytest.raises(TimeoutError):
            raw.recv(65_536)


def test_many_that_are_gone_keep_nobody_waiting(network: Underlay) -> None:
    """The kernel keeps requests to them for seconds."""
    here, _ = network.machine(1), network.machine(2)
    asked = [f"storage {network.address(number)}" for number in range(2, 250)]
    began = time.monotonic()
    assert answering(here, asked) == asked[:1]
    assert time.monotonic() - began < 2 * signs_of_life.LISTEN_SECONDS


def test_both_networks_are_asked_at_once(network: Underlay) -> None:
    here = network.machine(1)
    asked = [f"{kind} {network.address(2)}" for kind in ("storage", "tunnel")]
    began = time.monotonic()
    assert namespaces.inside(here, lambda _: answering(here, asked)) == []
    assert time.monotonic() - began < 1.8 * signs_of_life.LISTEN_SECONDS


def test_an_answer_that_came_while_this_host_was_busy_counts(network: Underlay) -> None:
    """It had no time to listen."""
    here, _ = network.machine(1), network.machine(2)
    asked = {"there": ip_address(network.address(2))}

    def ask(links: IPRoute) -> list[str]:
        return signs_of_life._answering("storage", asked, links, (0, 0, 0)).at

    assert namespaces.inside(here, ask) == ["there"]


@pytest.mark.parametrize("kind", ["prohibit", "unreachable", "blackhole"])
def test_of_whom_this_host_cannot_ask_nothing_is_known(network: Underlay, kind: str) -> None:
    """A route, or a packet filter, of its own forbids it. Others are asked all the same."""
    here = network.machine(1)
    for number in (2, 3):
        network.machine(number)
    ip("-n", here, "route", "add", kind, network.address(3))
    asked = [f"storage {network.address(number)}" for number in (3, 2, 4)]
    found = signs_of_life.answering(here, asked)
    assert found.at == [asked[1]] and found.unasked.keys() == {asked[0]}
    assert f"does not reach {network.address(3)} (storage network): " in found.unasked[asked[0]]


def test_a_network_that_nobody_has_a_way_to_keeps_no_other_host_from_being_asked() -> None:
    """Of another family, too."""
    underlay = Underlay("10.99.77.{}/24")
    try:
        here, _ = underlay.machine(1), underlay.machine(2)
        asked = ["storage 203.0.113.1", "storage 2001:db8::1", "storage 10.99.77.2"]
        found = signs_of_life.answering(here, asked)
    finally:
        underlay.close()
    assert found.at == asked[2:] and found.unasked.keys() == set(asked[:2])


def test_what_is_too_much_is_not_asked_and_not_taken_for_silent(network: Underlay) -> None:
    here, _ = network.machine(1), network.machine(2)
    asked = [f"storage {network.address(2)}"] * signs_of_life.MOST_ASKED
    more = f"storage {network.address(3)}"
    found = signs_of_life.answering(here, [*asked, more])
    assert found.at == asked[:1] and found.unasked.keys() == {more}


def test_one_address_in_two_spellings_answers_as_both() -> None:
    """Whoever writes another's address in another way would else make it silent."""
    underlay = Underlay("fd99:77::{}/64")
    try:
        here, _ = underlay.machine(1), underlay.machine(2)
        asked = ["storage fd99:77::2", "storage FD99:77:0::2"]
        assert answering(here, asked) == asked
    finally:
        underlay.close()


def test_a_host_tells_where_it_is_reached(network: Underlay) -> None:
    here, own = network.machine(1), network.address(1)
    end = TunnelEnd(address="10.98.0.1/24", port=4789)
    assert signs_of_life.places(here, end) == ["tunnel 10.98.0.1", f"storage {own}"]
    assert signs_of_life.places(here, None) == [f"storage {own}"]
    assert signs_of_life.places("none", end) == ["tunnel 10.98.0.1"]


@pytest.mark.parametrize(
    "place",
    [
        "storage 127.0.0.1",
        "storage ::1",
        "storage 0.0.0.0",
        "storage 224.0.0.1",
        "storage fe80::1",
        "storage fd00::1%eth0",
        "storage fd00::1%\N{IDEOGRAPHIC FULL STOP}",  # of which a name's encoding is none
        "storage",
        "storage 10.99.77.2; reboot",
        "elsewhere 10.99.77.2",
        "\0",
    ],
)
def test_what_is_no_address_of_a_machine_is_not_asked(place: str) -> None:
    """Whatever a captured API process writes."""
    underlay = Underlay("10.99.77.{}/24")
    try:
        here, _ = underlay.machine(1), underlay.machine(2)
        assert answering(here, [place]) == []
        assert answering(here, [place, "storage 10.99.77.2"]) == ["storage 10.99.77.2"]
    finally:
        underlay.close()


def _reply(version: int, body: bytes) -> bytes:
    """An echo reply with that after its head."""
    message = struct.pack("!BBHHH", {4: 0, 6: 129}[version], 0, 0, 0, 1) + body
    if version == 6:  # the kernel sums up
        return message
    return message[:2] + struct.pack("!H", checksum(message + bytes(len(body) % 2))) + message[4:]
