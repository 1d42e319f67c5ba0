"""Changes that a DNS server refused: each waits before it is sent again, longer and longer."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

LONGEST_PAUSE = 300.0
"""Seconds."""

Change = TypeVar("Change")


class _Refused(NamedTuple):
    change: object
    reason: str
    pause: float
    until: float


@dataclass(frozen=True)
class RefusedNames:
    """Names whose last change was refused. Another change of the same name does not wait: what is
    refused for one address may be taken for another. `shortest_pause`: seconds."""

    shortest_pause: float
    _refused: dict[str, _Refused] = field(default_factory=dict)

    def due(self, changes: Mapping[str, Change]) -> dict[str, Change]:
        """The changes that do not wait, by name; those that were never refused first, so that many
        refusals do not keep them out. What is no longer among the changes is forgotten."""
        for name, refused in list(self._refused.items()):
            if changes.get(name) != refused.change:
                del self._refused[name]
        now = time.monotonic()
        return {
            name: change
            for name, change in sorted(changes.items(), key=lambda pair: pair[0] in self._refused)
            if name not in self._refused or self._refused[name].until <= now
        }

    def add(self, name: str, change: object, reason: str) -> None:
        """The change of that name was refused just now."""
        before = self._refused.get(name)
        pause = min(2 * before.pause, LONGEST_PAUSE) if before else self.shortest_pause
        self._refused[name] = _Refused(change, reason, pause, time.monotonic() + pause)

    def forget(self, name: str) -> None:
        """The change of that name was carried out."""
        self._refused.pop(name, None)

    def reasons(self) -> dict[str, str]:
        """Why each of them was refused, by name."""
        return {name: refused.reason for name, refused in self._refused.items()}

    def next_due(self) -> float:
        """When the first of them need not wait any longer (of the monotonic clock)."""
        return min((refused.until for refused in self._refused.values()), default=float("inf"))
