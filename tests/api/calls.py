"""Which routes tests have called, and how they were answered: only calls whose status the test
named, and got.

Each process of a run notes its own calls; the first one puts them together, and imports this, so
that it imports nothing of Abaca's.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any


class Calls:
    """Of each route, by its name in `called_routes`, the statuses of its answers."""

    def __init__(self) -> None:
        self.is_whole = False
        """Whether all tests of this folder run, so that a route without a call lacks one."""
        self._statuses: dict[str, set[int]] = defaultdict(set)

    def note(self, route: str, status: int) -> None:
        self._statuses[route].add(status)

    def statuses(self, route: str) -> set[int]:
        return self._statuses.get(route, set())

    def told(self) -> dict[str, Any]:
        """For the process that puts everything together."""
        return {
            "is_whole": self.is_whole,
            "statuses": {route: sorted(statuses) for route, statuses in self._statuses.items()},
        }

    def add(self, told: dict[str, Any]) -> None:
        """What another process has told."""
        self.is_whole |= told["is_whole"]
        for route, statuses in told["statuses"].items():
            self._statuses[route] |= set(statuses)


CALLS = Calls()
