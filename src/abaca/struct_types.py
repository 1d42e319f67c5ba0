"""Structs are made ready before threads use them.

The first time that msgspec decodes a struct, it works out the types of its fields, and keeps them
on the class before they are complete. A second thread that decodes one of the same class at that
moment reads what is not there yet, and the process dies (seen with msgspec 0.22).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import msgspec


def make_ready() -> None:
    """Have msgspec work out the fields of all structs that have been imported by now, but those
    that it cannot decode. Nobody else decodes any meanwhile."""
    for struct in set(_below(msgspec.Struct)):
        with suppress(NameError, TypeError):
            msgspec.json.Decoder(struct)


def _below(struct: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    for subclass in struct.__subclasses__():
        yield subclass
        yield from _below(subclass)
