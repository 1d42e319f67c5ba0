"""Whether another host lives, by what its kernel answers on the networks of storage and tunnels:
namespaces play hosts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from abaca.drivers.linux import namespaces, signs_of_life
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


def test_one_that_lives_answers_and_one_that_is_gone_does_not(network: Underlay) -> None:
    here, there = network.machine(1), network.machine(2)
    own, other, nobody = (network.address(number) for number in (1, 2, 3))
    asked = [f"storage {each}" for each in (own, other, nobody)]
    assert signs_of_life.answering(here, asked) == [f"storage {other}"]
    ip("-n", there, "link", "set", "eth0", "down")
    assert signs_of_life.answering(here, asked) == []
    ip("-n", here, "link", "set", "eth0", "down")
    with pytest.raises(BackendError, match="does not reach"):
        signs_of_life.answering(here, asked)  # nothing is known of others


def test_tunnels_are_asked_from_where_the_worker_is(network: Underlay) -> None:
    here, other = network.machine(1), network.address(2)
    network.machine(2)

    def ask(_: object) -> list[str]:
        return signs_of_life.answering("none", [f"tunnel {other}"])

    assert namespaces.inside(here, ask) == [f"tunnel {other}"]


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
        assert signs_of_life.answering(here, [place]) == []
        assert signs_of_life.answering(here, [place, "storage 10.99.77.2"]) == [
            "storage 10.99.77.2"
        ]
    finally:
        underlay.close()
