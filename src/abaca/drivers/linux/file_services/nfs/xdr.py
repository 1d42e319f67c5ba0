"""XDR (RFC 4506): values to bytes by functions, bytes to values by a `Reader`. Whatever was sent,
reading ends in a value or in Malformed."""

from __future__ import annotations

import struct


class Malformed(ValueError):
    """An answer that is not what the protocol says."""


def u32(number: int) -> bytes:
    return struct.pack(">I", number)


def u64(number: int) -> bytes:
    return struct.pack(">Q", number)


def fixed(data: bytes) -> bytes:
    """Bytes of a length that both sides know, padded to four."""
    return data + bytes(-len(data) % 4)


def opaque(data: bytes) -> bytes:
    return u32(len(data)) + fixed(data)


def text(value: str) -> bytes:
    return opaque(value.encode())


def words(numbers: list[int]) -> bytes:
    return u32(len(numbers)) + b"".join(map(u32, numbers))


class Reader:
    """Takes values from the front of `data`."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def fixed(self, length: int) -> bytes:
        end = self._at + length
        if end > len(self._data):
            raise Malformed(f"{length} bytes are missing at byte {self._at} of {len(self._data)}")
        taken, self._at = self._data[self._at : end], end + -length % 4
        return taken

    def u32(self) -> int:
        return int.from_bytes(self.fixed(4), "big")

    def u64(self) -> int:
        return int.from_bytes(self.fixed(8), "big")

    def opaque(self) -> bytes:
        return self.fixed(self.u32())

    def text(self) -> str:
        return self.opaque().decode(errors="backslashreplace")

    def words(self) -> list[int]:
        return [self.u32() for _ in range(self.u32())]

    def rest(self) -> bytes:
        return self._data[self._at :]
