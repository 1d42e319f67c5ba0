"""How often and how long network cards without a carrier are waited for."""

from __future__ import annotations

from abaca.drivers.linux.wires.carriers import Carriers


class Card:
    """Gets its carrier when it has been looked at so many times; None: never."""

    def __init__(self, looks: int | None = None) -> None:
        self.looked, self._looks = 0, looks

    def has_carrier(self) -> bool:
        self.looked += 1
        return self._looks is not None and self.looked >= self._looks


def test_one_that_gets_a_carrier_is_waited_for_each_time() -> None:
    cards = Carriers(seconds=60)
    for _ in range(2):
        card = Card(looks=4)
        cards.wait(1, card.has_carrier)
        assert card.looked == 4


def test_one_that_was_waited_for_in_vain_is_only_looked_at() -> None:
    """Also when it comes back and goes again; another card is another matter."""
    cards = Carriers(seconds=0.02, pause_seconds=3600)
    dead = Card()
    cards.wait(1, dead.has_carrier)
    assert dead.looked > 1
    for _ in range(3):
        before = dead.looked
        cards.wait(1, dead.has_carrier)
        assert dead.looked == before + 1
    other = Card()
    cards.wait(2, other.has_carrier)
    assert other.looked > 1


def test_after_a_pause_it_is_waited_for_again() -> None:
    cards, dead = Carriers(seconds=0.02, pause_seconds=0), Card()
    for _ in range(2):
        before = dead.looked
        cards.wait(1, dead.has_carrier)
        assert dead.looked > before + 1
