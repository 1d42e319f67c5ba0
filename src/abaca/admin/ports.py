"""Ports for services that run beside others."""

from __future__ import annotations

import errno
import random
import socket


def free_port(address: str = "127.0.0.1") -> int:
    """A port of that address of this machine that nobody listens on. Raises OSError where the
    machine does not have the address.

    It is below those that the system gives to connections that go out: one of them would take it
    before whoever is to listen there.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket(family) as attempt:
            try:
                attempt.bind((address, port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
            else:
                return port
