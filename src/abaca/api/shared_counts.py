"""Numbers that several processes count together, in memory that they share.

Each process counts in a part of its own, so none waits for another. The memory belongs to no file:
nobody can fill the disk below it, and nothing is left over. A part outlives its process, and the
next one goes on with it.
"""

from __future__ import annotations

import fcntl
import mmap
import operator
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from threading import Lock

import msgspec

Key = tuple[str, ...]

PART_BYTES = 4 * 2**20  # twenty thousand rows and more; a page takes memory once it is written
_WORD = 8
_HEAD = struct.Struct("=II")  # of a row: bytes of its key, and how many numbers follow that


class SharedCounts:
    """Rows of numbers by key. They are the process's own until `share`."""

    def __init__(self) -> None:
        self._parts = _parts(1)
        self._own = _Part(self._parts[0])
        self._lock = Lock()
        self._owners: int | None = None

    def share(self, processes: int) -> None:
        """Begin anew, with parts for as many processes, which are forked later: see `take_part`.

        Raises OSError when there is not so much memory.
        """
        self._parts = _parts(processes)
        self._owners = os.memfd_create("abaca-counts")  # whose part n is has byte n locked

    def take_part(self) -> None:
        """Count in a part that no living process has; alone if there is none. Once in a process."""
        assert self._owners is not None
        for number, part in enumerate(self._parts):
            with suppress(BlockingIOError, PermissionError):  # taken
                fcntl.lockf(self._owners, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)  # until we end
                self._own = _Part(part)
                return
        self._parts += _parts(1)
        self._own = _Part(self._parts[-1])

    def add(self, key: Key, numbers: Sequence[float]) -> None:
        """Add to the row of that key, which always has as many numbers.

        A new row that there is no room for is not counted.
        """
        with self._lock:
            row = self._own.row(key, len(numbers))
            if row is not None:
                for index, number in enumerate(numbers):
                    if number:
                        row[index] += number

    def totals(self) -> dict[Key, list[float]]:
        """The rows of all processes together, those that have ended included."""
        found: dict[Key, list[float]] = {}
        for part in self._parts:
            for key, row in _rows(part):
                found[key] = list(map(operator.add, found[key], row)) if key in found else [*row]
        return found


class _Part:
    """One process's rows. The first word says how many bytes are used. Then, row after row:
    `_HEAD`, the key as JSON and, from the next word on, the numbers as doubles."""

    def __init__(self, memory: memoryview) -> None:
        self._memory, self._used = memory, memory.cast("Q")
        self._used[0] = self._used[0] or _WORD
        self._rows = dict(_rows(memory))

    def row(self, key: Key, count: int) -> memoryview[float] | None:
        """Its numbers, to be changed; a new row has zeros. None: there is no room for it."""
        if key in self._rows:
            return self._rows[key]
        text, begin = msgspec.json.encode(key), self._used[0]
        numbers = _numbers(begin, len(text), count)
        if numbers.stop > len(self._memory):
            return None
        self._memory[begin : begin + _HEAD.size + len(text)] = _HEAD.pack(len(text), count) + text
        self._used[0] = numbers.stop  # last: who is killed before this leaves no half row
        return self._rows.setdefault(key, self._memory[numbers].cast("d"))


def _parts(number: int) -> list[memoryview]:
    """Empty ones, shared with the processes that are forked from this one. Raises OSError.

    Memory without a file is accounted for here, so a page that is missing later is no bus error.
    """
    whole = memoryview(mmap.mmap(-1, number * PART_BYTES))
    return [whole[begin : begin + PART_BYTES] for begin in range(0, len(whole), PART_BYTES)]


def _rows(part: memoryview) -> Iterator[tuple[Key, memoryview[float]]]:
    used, begin = part.cast("Q")[0], _WORD
    while begin < used:
        length, count = _HEAD.unpack_from(part, begin)
        key, numbers = part[begin + _HEAD.size :][:length], _numbers(begin, length, count)
        yield msgspec.json.decode(key, type=Key), part[numbers].cast("d")
        begin = numbers.stop


def _numbers(begin: int, length: int, count: int) -> slice:
    """Where the numbers of a row are that begins there and whose key has `length` bytes."""
    first = -(-(begin + _HEAD.size + length) // _WORD) * _WORD
    return slice(first, first + count * _WORD)
