"""Waiting until network cards have a carrier, and ports of bridges forward: it takes them seconds
after they are raised, and what is sent before is lost. One without a cable never gets one, one that
would close a loop never forwards, and they are used as they are."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from pyroute2 import IPRoute

from abaca.drivers.linux import namespaces
from abaca.drivers.linux.processes import wait_until

CARRIER_SECONDS = 10.0
PAUSE_SECONDS = 300.0
_FORWARDING = 3  # the state of a bridge's port (BR_STATE_FORWARDING)


class Carriers:
    """A card, or a port, is waited for up to `seconds`; after one wait in vain not again for
    `pause_seconds`."""

    def __init__(
        self, seconds: float = CARRIER_SECONDS, pause_seconds: float = PAUSE_SECONDS
    ) -> None:
        self._seconds = seconds
        self._pause_seconds = pause_seconds
        self._in_vain: dict[int, float] = {}  # the card's number → when the wait ended
        self._guard = threading.Lock()

    def wait(self, number: int, has_carrier: Callable[[], bool]) -> None:
        """Return when the card has a carrier, or when it is not to be waited for any longer."""
        if has_carrier() or self._is_known_in_vain(number):
            return
        if not wait_until(has_carrier, self._seconds):
            with self._guard:
                self._in_vain[number] = time.monotonic()

    def _is_known_in_vain(self, number: int) -> bool:
        with self._guard:
            ended = self._in_vain.get(number)
        return ended is not None and time.monotonic() < ended + self._pause_seconds


def raise_card(number: int) -> None:
    """Raise an interface of the host's."""
    namespaces.here(lambda links: links.link("set", index=number, state="up"))


def has_carrier(number: int) -> bool:
    """Whether an interface of the host's has a carrier."""

    def look(links: IPRoute) -> bool:
        return bool(links.get_links(number)[0].get("carrier"))

    return namespaces.here(look)


def forwards(number: int) -> bool:
    """Whether an interface of the host's is no port of a bridge, or one that forwards."""

    def look(links: IPRoute) -> bool:
        information = links.get_links(number)[0].get("linkinfo")
        as_port = information.get("slave_data") if information else None
        state = as_port.get("IFLA_BRPORT_STATE") if as_port else None
        return state in (None, _FORWARDING)

    return namespaces.here(look)
