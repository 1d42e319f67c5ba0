"""Handshakes and heads over TLS."""

from __future__ import annotations

import contextlib
import time

from tests.attack.api.floods import hold
from tests.attack.api_stage import ApiStage
from tests.attack.registry import Force, Seen, attack
from tests.raw_http import unverified

HALF_A_HANDSHAKE = bytes.fromhex("1603010200010001fc0303")


@attack("API, TLS: handshakes that stall", stage="api_tls")
def stalled(stage: ApiStage, force: Force) -> Seen:
    """The first bytes of one, then one each half second."""
    cpu = time.thread_time()
    with stage.crowd(force.count // 10, HALF_A_HANDSHAKE) as links:
        hold(links, force.seconds * 2, drip=b"\x00")
    return stage.seen(force, f"{len(links)} connections", time.thread_time() - cpu)


@attack("API, TLS: heads without end", stage="api_tls")
def heads(stage: ApiStage, force: Force) -> Seen:
    """Handshakes, then header fields for as long as they are taken."""
    cpu, began, number, fields = time.thread_time(), time.monotonic(), 0, 0
    context = unverified()
    while time.monotonic() - began < force.seconds:
        raw = stage.connect()
        if raw is None:
            continue
        raw.settimeout(5)
        number += 1
        with contextlib.suppress(OSError), context.wrap_socket(raw) as link:
            link.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
            for field in range(10_000):
                link.sendall(b"X-%d: %s\r\n" % (field, b"x" * 1000))
                fields += 1
        raw.close()
    return stage.seen(
        force, f"{number} handshakes, {fields} fields taken", time.thread_time() - cpu
    )
