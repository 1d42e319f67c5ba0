"""What a request is refused for before the application sees it."""

from __future__ import annotations

from typing import ClassVar

from abaca.errors import CallerError, Invalid, ServiceDown


class TooSlow(CallerError):
    """The body did not come in time (408)."""

    status: ClassVar[int] = 408


class BrokenBody(Invalid):
    """The body broke off, or its length is given in a way that servers read differently (400):
    nothing after it is read."""


class Busy(ServiceDown):
    """Too many requests wait, of all clients or of this one (503); the client may repeat it after a
    second."""

    def __init__(self) -> None:
        super().__init__("Too many requests are waiting. Try again in a second.")


class ClientGone(Exception):
    """The client has gone: nobody waits for the answer."""
