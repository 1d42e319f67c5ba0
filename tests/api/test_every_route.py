"""Every route was called by a test: once and more with success, and where it can refuse, with a refusal that was expected.

What counts is the calls that the tests of this folder have made in this run (`calls`), so this stands last, and only runs when all of them do.
"""

from __future__ import annotations

from tests.api.calls import CALLS


def test_every_route_has_been_called() -> None:
    assert CALLS.lacking() == []
