"""Request bodies, read whole in the event loop, within a limit and a deadline."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from abaca.api.door.refusals import BrokenBody, Busy, TooSlow
from abaca.api.faults import TooLarge

_SECONDS = 10.0
_AT_ONCE = 1024
_OF_ONE_CLIENT = 128


def is_announced(environ: dict[str, Any]) -> bool:
    """Whether a body follows the head."""
    return "HTTP_TRANSFER_ENCODING" in environ or environ.get("CONTENT_LENGTH", "0") != "0"


class Bodies:
    """Those that are being read by this process."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._number = 0
        self._by_client: Counter[str] = Counter()

    async def read(self, protocol: Any, environ: dict[str, Any], client: str) -> bytes:
        """The body. Raises TooLarge, TooSlow, BrokenBody, Busy (too many are being read)."""
        coding = environ.get("HTTP_TRANSFER_ENCODING")
        if coding is not None and coding.lower() != "chunked":
            raise BrokenBody("The only Transfer-Encoding that is supported is chunked.")
        length = _length(environ["CONTENT_LENGTH"]) if coding is None else None
        if length is not None and length > self._most_bytes:
            # before anything of it is read: who waits for "100 Continue" need not send it
            raise self._too_large()
        if self._number >= _AT_ONCE or self._by_client[client] >= _OF_ONE_CLIENT:
            raise Busy()
        self._number += 1
        self._by_client[client] += 1
        try:
            async with asyncio.timeout(_SECONDS):
                body = await self._receive(protocol)
        except TimeoutError:
            raise TooSlow(f"The request body did not come within {_SECONDS:g} s.") from None
        finally:
            self._number -= 1
            self._by_client[client] -= 1
            if not self._by_client[client]:
                del self._by_client[client]
        if length is not None and len(body) != length:
            raise BrokenBody("The request body broke off.")
        return body

    async def _receive(self, protocol: Any) -> bytes:
        """Raises BrokenBody unless a chunked body was there to its last chunk, without trailers.

        Granian gives an empty part for the end, and one more before it where the body broke off (it
        says nothing else of that) or had trailers.
        """
        received, ends = bytearray(), 0
        async for part in protocol:
            received += part
            ends += not part
            if len(received) > self._most_bytes:
                raise self._too_large()
        if ends != 1:
            raise BrokenBody(
                "The request body broke off, or had trailers, which are not supported."
            )
        return bytes(received)

    def _too_large(self) -> TooLarge:
        return TooLarge(f"The request body has more than {self._most_bytes} bytes.")


def _length(text: str) -> int:
    if not text.isascii() or not text.isdigit():  # given twice
        raise BrokenBody("The Content-Length header is malformed.")
    return int(text)
