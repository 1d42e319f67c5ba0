"""Forged frames on the attacked server's network."""

from __future__ import annotations

import time
from itertools import cycle, takewhile

from abaca.drivers.linux.wires import plugging
from tests.attack.data_plane.floods import lived
from tests.attack.data_stage import ADDRESSES, DataStage
from tests.attack.registry import Force, Seen, attack
from tests.contracts.drivers.linux_backend import client_namespace
from tests.forged_frames import ATTACKS, Station, arrived, send


@attack("forged frames")
def forged_frames(stage: DataStage, force: Force) -> Seen:
    """In the names of the server and of its honest client: ARP, neighbour discovery, redirects,
    source addresses, tags."""
    pid = stage.ganesha()
    attacker = _station(stage.attacker, "10.0.0.66", "fd00::66")
    client = _station(client_namespace(stage.driver, "honest-attacked"), "10.0.0.20", "fd00::20")
    server = _station(stage.site.layout(stage.attacked).namespace, *ADDRESSES["attacked"])
    forged = [
        frame
        for kind in ATTACKS
        for pair in ((server, client), (client, server))
        for frame in kind(attacker, *pair)
    ]
    end = time.monotonic() + force.seconds
    send(attacker, takewhile(lambda _: time.monotonic() < end, cycle(forged)))
    (seen,) = arrived(attacker, forged, client)
    lived_on = lived(
        stage,
        pid,
        f"{len(seen)} of {len(forged)} kinds of frames arrived, sent for {force.seconds:g} s",
    )
    return Seen(lived_on.holds and not seen, lived_on.what)


def _station(netns: str, ipv4: str, ipv6: str) -> Station:
    """By the first of its interfaces."""
    interface, mac = sorted(plugging.ports_in(netns).items())[0]
    return Station(netns, interface, mac, ipv4, ipv6)
