"""Ports for services that run beside others."""

from __future__ import annotations

import contextlib
import random
import socket


def free_port() -> int:
    """A port of the loopback address that nobody listens on.

    It is below those that the system gives to connections that go out: one of them would take it
    before whoever is to listen there.
    """
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as attempt, contextlib.suppress(OSError):
            attempt.bind(("127.0.0.1", port))
            return port
