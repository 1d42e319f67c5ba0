"""Rows of lists as they went over the wire, kept by their version: most have not changed since they
were last asked for.

A list is read as ids and versions, and only rows that are not kept, or have another version by now,
are read whole, rendered and encoded. Each API process keeps its own; nothing has to be invalidated,
because no row is given out without its version having been read.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from threading import Lock
from typing import Any, NamedTuple

import msgspec

Version = tuple[Any, ...]

_MOST_KINDS = 8
_BESIDE = 600  # bytes in memory for a row's id, its version and its place


class _Kept(NamedTuple):
    """A row's encoded form at a version."""

    version: Version
    raw: msgspec.Raw

    @property
    def bytes(self) -> int:
        """What it takes in memory, about."""
        return len(self.raw) + _BESIDE


class Found(NamedTuple):
    """A row that a list holds: its id, and what changes whenever its content does."""

    id: str
    version: Version


class KeptRows:
    """Rows of a few kinds, `most` bytes in all; those that nobody asks for go first. A kind: what
    else a row's encoded form depends on."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._bytes = 0
        # the one that was asked for last is the last
        self._kinds: OrderedDict[Hashable, dict[str, _Kept]] = OrderedDict()
        self._lock = Lock()

    @property
    def bytes(self) -> int:
        """How much is kept, about."""
        return self._bytes

    def rows(
        self,
        kind: Hashable,
        found: Sequence[Found],
        make: Callable[[list[str]], Iterable[tuple[Found, Any]]],
    ) -> list[msgspec.Raw]:
        """The rows found, encoded, in their order. `make(ids)`: those rows as they are now, for the
        encoder; one that has gone is left out."""
        kept = self._of(kind)
        encoded = {
            id_: row.raw
            for id_, version in found
            if (row := kept.get(id_)) is not None and row.version == version
        }
        if len(encoded) < len(found):
            made = {
                now.id: _Kept(now.version, _encoded(row))
                for now, row in make([f.id for f in found if f.id not in encoded])
            }
            self._keep(kind, made)
            encoded |= {id_: row.raw for id_, row in made.items()}
        return [encoded[id_] for id_, _ in found if id_ in encoded]

    def _of(self, kind: Hashable) -> dict[str, _Kept]:
        with self._lock:
            if kind not in self._kinds:
                return {}
            self._kinds.move_to_end(kind)
            return self._kinds[kind]

    def _keep(self, kind: Hashable, made: dict[str, _Kept]) -> None:
        with self._lock:
            kept = self._kinds.setdefault(kind, {})
            self._kinds.move_to_end(kind)
            for id_, row in made.items():
                self._forget(kept, id_)
                kept[id_] = row
                self._bytes += row.bytes
            while len(self._kinds) > _MOST_KINDS or self._bytes > self._most:
                oldest = next(iter(self._kinds.values()))
                if oldest and self._bytes > self._most:
                    self._forget(oldest, next(iter(oldest)))
                else:
                    self._bytes -= sum(row.bytes for row in oldest.values())
                    self._kinds.popitem(last=False)

    def _forget(self, kept: dict[str, _Kept], id_: str) -> None:
        row = kept.pop(id_, None)
        if row is not None:
            self._bytes -= row.bytes


def _encoded(row: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(row))
