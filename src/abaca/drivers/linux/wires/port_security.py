"""Port security: each port of the bridges sends as itself only, and none sends as a share server. The rules are in `port_rules.py`.

What ports may send as is kept in a file, because nothing in the namespace of the bridges tells it; the file and the bridges are lost
together, by a reboot. A table of the kernel's is made of it anew at every change, so that what was taken away by hand is there again.
Callers hold the lock of the bridges.
"""

from __future__ import annotations

from typing import Any

import msgspec
from pyroute2 import IPRoute

from abaca.drivers.linux import namespaces, packet_filter
from abaca.drivers.linux.layout import private_folder, run_path, write_atomically
from abaca.drivers.linux.wires.port_rules import Identity, Role, table_body

FAMILY, TABLE = "bridge", "abaca"


class PortSecurity:
    """Of the bridges in the network namespace `namespace`."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._file = run_path(namespace) / "ports.json"

    def admit(self, port: str, identity: Identity) -> None:
        """Let a port, there already or made next, send as `identity`. A machine that gets more addresses keeps those that it has."""
        identities = self._identities()
        before = identities.get(port)
        if before and identity.role is not Role.SERVER and before.mac_address == identity.mac_address:
            identity = identity._replace(addresses=tuple(sorted({*before.addresses, *identity.addresses})))
        self._enforce(identities | {port: identity}, coming=port)

    def enforce(self) -> None:
        """Make the table what the ports that are there need, uplinks included, and forget the others."""
        self._enforce(self._identities())

    def _enforce(self, identities: dict[str, Identity], coming: str = "") -> None:
        def act(links: IPRoute) -> None:
            bridges = _bridges_by_port(links)
            known = {name: identity for name, identity in identities.items() if name in bridges or name == coming}
            packet_filter.replace_table(FAMILY, TABLE, table_body(known, {name: bridges[name] for name in bridges.keys() - known.keys()}))
            private_folder(self._file.parent)
            write_atomically(self._file, msgspec.json.encode(known).decode())

        namespaces.inside(self._namespace, act)

    def _identities(self) -> dict[str, Identity]:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=dict[str, Identity])
        except FileNotFoundError:
            return {}


def secured_ports(namespace: str) -> list[str]:
    """The ports that the table lets pass, by name; for finding what is left."""
    chains = namespaces.inside(namespace, lambda _: packet_filter.chains(FAMILY, TABLE))
    return sorted(chain.removeprefix("from_") for chain in chains if chain.startswith("from_"))


def _bridges_by_port(links: IPRoute) -> dict[str, str]:
    everything: list[Any] = list(links.get_links())
    names = {link["index"]: link.get("ifname") for link in everything}
    return {link.get("ifname"): names[link.get("master")] for link in everything if link.get("master") in names}
