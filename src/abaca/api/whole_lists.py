"""Lists that are answered whole, however long they are: part after part, so that nothing is held
but the part that is being sent.

Manila cuts lists of shares, snapshots and access rules only when `limit` is given, and usual
clients follow no links to further parts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec
from sqlalchemy.exc import OperationalError

from abaca.errors import CallerError
from abaca.values import Page

LOG = logging.getLogger(__name__)

PART = 200
"""Rows of each part after the first."""


class Part(NamedTuple):
    """Rows as they are shown, and the page that follows them; None after the last."""

    rows: list[Any]
    following: Page | None


class WholeList:
    """The bytes of `{member: [rows], **more}`. `fetch(page)` reads a part, in a transaction of its
    own; `first` has been read."""

    def __init__(
        self, member: str, first: Part, fetch: Callable[[Page], Part], more: Mapping[str, Any]
    ) -> None:
        self._member = member
        self._first = first
        self._fetch = fetch
        self._more = more

    def __iter__(self) -> Iterator[bytes]:
        part, before = self._first, b"{%s:[" % msgspec.json.encode(self._member)
        while True:
            if part.rows:  # the last part may have none
                yield before + b",".join(map(msgspec.json.encode, part.rows))
            if part.following is None:
                break
            try:
                part = self._fetch(msgspec.structs.replace(part.following, limit=PART))
            except (OperationalError, CallerError) as error:
                # The answer has begun. Cut off it is no JSON, so nobody takes it for the whole
                # list.
                LOG.error("a list of %s is cut off: %s", self._member, error)
                return
            before = b","
        yield (
            b"]"
            + b"".join(
                b",%s:%s" % (msgspec.json.encode(name), msgspec.json.encode(value))
                for name, value in self._more.items()
            )
            + b"}"
        )
