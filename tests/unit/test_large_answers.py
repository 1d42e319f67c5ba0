"""How many bytes of large answers are under way at once, in all and of one client."""

from __future__ import annotations

from abaca.api.door.large_answers import LargeAnswers

MIB = 1024 * 1024


class Slow:
    """A client that takes what it is told to."""

    def __init__(self) -> None:
        self.has_taken: int | None = 0
        self.is_released = False

    def taken(self) -> int | None:
        assert not self.is_released
        return self.has_taken

    def release(self) -> None:
        self.is_released = True


def test_one_client_has_a_quarter_and_all_together_have_no_more_than_there_is() -> None:
    answers = LargeAnswers(64 * MIB)
    assert [answers.admit("one", Slow(), 5 * MIB) for _ in range(5)] == [
        True,
        True,
        True,
        False,
        False,
    ]
    admitted = [answers.admit(f"client-{number}", Slow(), 5 * MIB) for number in range(20)]
    assert admitted == [True] * 9 + [False] * 11


def test_what_was_taken_or_broken_off_makes_room() -> None:
    answers, slow = LargeAnswers(64 * MIB), [Slow() for _ in range(4)]
    assert [answers.admit("one", one, 8 * MIB) for one in slow] == [True, True, False, False]
    assert [one.is_released for one in slow] == [False, False, True, True]
    slow[0].has_taken = 8 * MIB
    assert answers.admit("one", Slow(), 8 * MIB) and slow[0].is_released
    slow[1].has_taken = None
    assert answers.admit("one", Slow(), 8 * MIB) and slow[1].is_released


def test_one_alone_may_be_larger() -> None:
    answers = LargeAnswers(8 * MIB)
    assert answers.admit("one", Slow(), 20 * MIB)
    assert not answers.admit("two", Slow(), 3 * MIB)
