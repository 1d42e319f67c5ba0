"""What a driver may keep beside its storage: a small store of text for each back end, which
outlives the worker process.

For what the storage itself cannot tell and a crash must not lose: a name that it gave, the answer
of a call that cannot be repeated. It is no place for data of shares.
"""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from typing import Protocol

from abaca.errors import Refused

MOST_NAME = 255
"""Characters of a subject or a key."""
MOST_VALUE = 16 * 1024
"""Bytes of a value in UTF-8."""
MOST_KEYS = 100
"""Keys of one subject."""
MOST_VALUES = 100_000
"""Values of one back end."""


class DriverData(Protocol):
    """Text by subject and key, for one back end. A subject is the id of what the values are about,
    such as a share server's.

    What `update` and `remove` have returned from is kept, whatever dies afterwards; of one that did
    not return, all is kept or nothing. Methods may be called from several threads. They raise
    Refused for what is beyond the bounds of this module and for NUL characters, and Unavailable or
    OutcomeUnknown when the database is away: let both out, and the call of the driver is repeated.
    What is kept may have been changed by whoever may write to the database: trust it no more than
    an answer of the storage.
    """

    def get(self, subject: str) -> dict[str, str]:
        """All that is kept of a subject, key → value; nothing kept is an empty dict."""

    def update(self, subject: str, values: Mapping[str, str | None]) -> None:
        """Keep these values beside the others of the subject, in place of those of the same keys;
        None: the key goes."""

    def remove(self, subject: str) -> None:
        """Forget a subject. Nothing there is success."""


class MemoryDriverData:
    """A `DriverData` that forgets all with its object: for tests of drivers, and for drivers that
    nobody gave another."""

    def __init__(self, most_values: int = MOST_VALUES) -> None:
        self._most_values = most_values
        self._lock = Lock()
        self._kept: dict[str, dict[str, str]] = {}

    def get(self, subject: str) -> dict[str, str]:
        with self._lock:
            return dict(self._kept.get(subject, {}))

    def update(self, subject: str, values: Mapping[str, str | None]) -> None:
        require_fit(subject, values)
        with self._lock:
            before = self._kept.get(subject, {})
            merged = {
                key: value for key, value in {**before, **values}.items() if value is not None
            }
            values_then = sum(map(len, self._kept.values())) - len(before) + len(merged)
            require_room(subject, len(merged), values_then, self._most_values)
            self._kept[subject] = merged

    def remove(self, subject: str) -> None:
        with self._lock:
            self._kept.pop(subject, None)


def require_fit(subject: str, values: Mapping[str, str | None]) -> None:
    """Raises Refused for a subject, key or value that is too long, empty where it names something,
    or holds NUL."""
    for what, name in (("subject", subject), *(("key", key) for key in values)):
        if not 0 < len(name) <= MOST_NAME or "\0" in name:
            raise Refused(
                f"A driver cannot store data under the {what} {name[:40]!r}: 1 to {MOST_NAME} "
                "characters, none of them NUL."
            )
    for key, value in values.items():
        if value is not None and ("\0" in value or len(value.encode()) > MOST_VALUE):
            raise Refused(
                f"A driver cannot store that value of {key!r} for {subject}: {MOST_VALUE} bytes at "
                "most, none of them NUL."
            )


def require_room(subject: str, keys: int, values: int, most_values: int) -> None:
    """Raises Refused when a subject would have so many keys, or its back end so many values that it
    is more than `most_values`."""
    if keys > MOST_KEYS:
        raise Refused(f"A driver can store {MOST_KEYS} keys for {subject}, not {keys}.")
    if values > most_values:
        raise Refused(f"A driver can store {most_values} values per back end; remove some first.")
