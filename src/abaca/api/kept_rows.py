"""Rows of lists as they went over the wire, kept by their version: most have not changed since they were last asked for.

A list is read as ids and versions, and only rows that are not kept, or have another version by now, are read whole, rendered and encoded.
Each API process keeps its own; nothing has to be invalidated, because no row is given out without its version having been read.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from threading import Lock
from typing import Any, NamedTuple

import msgspec

Version = tuple[Any, ...]

_MOST_KINDS = 8


class Found(NamedTuple):
    """A row that a list holds: its id, and what changes whenever its content does."""

    id: str
    version: Version


class KeptRows:
    """At most `most` rows of each of a few kinds; the oldest go first. A kind: what else a row's encoded form depends on."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kinds: dict[Hashable, dict[str, tuple[Version, msgspec.Raw]]] = {}
        self._lock = Lock()

    def rows(self, kind: Hashable, found: Sequence[Found], make: Callable[[list[str]], Iterable[tuple[Found, Any]]]) -> list[msgspec.Raw]:
        """The rows found, encoded, in their order. `make(ids)`: those rows as they are now, for the encoder; one that has gone is left out."""
        kept = self._kinds.get(kind, {})
        encoded = {id_: row[1] for id_, version in found if (row := kept.get(id_)) is not None and row[0] == version}
        if len(encoded) < len(found):
            made = {now.id: (now.version, msgspec.Raw(msgspec.json.encode(row))) for now, row in make([f.id for f in found if f.id not in encoded])}
            self._keep(kind, made)
            encoded |= {id_: row for id_, (_, row) in made.items()}
        return [encoded[id_] for id_, _ in found if id_ in encoded]

    def _keep(self, kind: Hashable, made: dict[str, tuple[Version, msgspec.Raw]]) -> None:
        with self._lock:
            kept = self._kinds.setdefault(kind, {})
            for id_, row in made.items():
                kept.pop(id_, None)
                kept[id_] = row
            while len(kept) > self._most:
                del kept[next(iter(kept))]
            while len(self._kinds) > _MOST_KINDS:
                del self._kinds[next(iter(self._kinds))]

