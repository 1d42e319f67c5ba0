"""A cache of encoded rows of lists, by version: most rows have not changed since the last request.

A list is read as ids and versions; only rows that are not cached with that version are read whole,
rendered and encoded. Each API process has its own cache. Nothing has to be invalidated, because the
version of every row is read for each answer.
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
    """The encoded form of a row at a version."""

    version: Version
    raw: msgspec.Raw

    @property
    def bytes(self) -> int:
        """Approximate size in memory."""
        return len(self.raw) + _BESIDE


class Found(NamedTuple):
    """A row of a list: its id, and a version that changes whenever its content does."""

    id: str
    version: Version


class RowCache:
    """Rows of a few kinds, at most `most` bytes in all, least recently used first out. A kind:
    everything else that a row's encoded form depends on."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._bytes = 0
        # the one that was asked for last is the last
        self._kinds: OrderedDict[Hashable, dict[str, _Kept]] = OrderedDict()
        self._lock = Lock()

    @property
    def bytes(self) -> int:
        """Approximate size of the cache."""
        return self._bytes

    def rows(
        self,
        kind: Hashable,
        found: Sequence[Found],
        make: Callable[[list[str]], Iterable[tuple[Found, Any]]],
    ) -> list[msgspec.Raw]:
        """The rows of `found`, encoded, in the same order. `make(ids)` reads those rows for the
        encoder; it leaves out rows that no longer exist."""
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
