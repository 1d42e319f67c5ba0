"""Port security: each port of the bridges sends as itself only, and none sends as a share server.
The rules are in `port_rules.py`.

What ports may send as is kept in a file, because nothing in the namespace of the bridges tells it;
the file and the bridges are lost together, by a reboot. A table of the kernel's is made of it anew
at every change, and whenever somebody else changed a table there. Callers hold the lock of the
bridges.
"""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterable

import msgspec
from pyroute2 import IPRoute

from abaca.drivers.linux import namespaces, packet_filter
from abaca.drivers.linux.layout import private_folder, run_path, write_atomically
from abaca.drivers.linux.wires import newcomers
from abaca.drivers.linux.wires.links import BRIDGE_PREFIX, find
from abaca.drivers.linux.wires.port_rules import Identity, Role, table_body

FAMILY, TABLE = "bridge", "abaca"


class _Kept(msgspec.Struct):
    """What ports may send as; the table that was made of it, and the namespace's number and
    nftables' generation then."""

    identities: dict[str, Identity]
    loaded: tuple[str, int, int] = ("", 0, 0)


class PortSecurity:
    """Of the bridges in the network namespace `namespace`."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._file = run_path(namespace) / "ports.json"

    def admit(self, port: str, identity: Identity) -> None:
        """Let a port, there already or made next, send as `identity`. A machine that gets more
        addresses keeps those that it has."""
        kept = self._kept()
        before = kept.identities.get(port)
        if (
            before
            and identity.role is not Role.SERVER
            and before.mac_address == identity.mac_address
        ):
            identity = identity._replace(
                addresses=tuple(sorted({*before.addresses, *identity.addresses}))
            )
        kept.identities[port] = identity
        self._enforce(kept, coming=port)

    def enforce(self) -> None:
        """Make the table what the ports that are there need, uplinks included, and forget the
        others."""
        self._enforce(self._kept())

    def _enforce(self, kept: _Kept, coming: str = "") -> None:
        def act(links: IPRoute) -> None:
            there = {name for _, name in socket.if_nameindex()}
            known = {
                name: identity
                for name, identity in kept.identities.items()
                if name in there or name == coming
            }
            others = [name for name in there - known.keys() if not name.startswith(BRIDGE_PREFIX)]
            body = table_body(known, _bridges_of(links, others))
            pace = newcomers.table(
                name for name, identity in known.items() if identity.role is Role.SERVER
            )
            if self._state(body + pace) != kept.loaded:
                packet_filter.replace_table(FAMILY, TABLE, body)
                packet_filter.apply(pace)
            now = _Kept(known, self._state(body + pace))
            if now != kept:
                private_folder(self._file.parent)
                write_atomically(self._file, msgspec.json.encode(now).decode())

        namespaces.inside(self._namespace, act)

    def _state(self, tables: str) -> tuple[str, int, int]:
        """As long as this is the same, the tables are there as they were loaded. Called in the
        namespace."""
        number = namespaces.path_of(self._namespace).stat().st_ino
        return hashlib.sha256(tables.encode()).hexdigest(), number, packet_filter.generation()

    def _kept(self) -> _Kept:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=_Kept)
        except FileNotFoundError:
            return _Kept({})


def secured_ports(namespace: str) -> list[str]:
    """The ports that the table lets pass, by name; for finding what is left."""
    chains = namespaces.inside(namespace, lambda _: packet_filter.chains(FAMILY, TABLE))
    return sorted(chain.removeprefix("from_") for chain in chains if chain.startswith("from_"))


def _bridges_of(links: IPRoute, names: Iterable[str]) -> dict[str, str]:
    """The bridge of each of these links that is a port of one. Asked one by one: a list of hundreds
    takes a second."""
    names_by_index = dict(socket.if_nameindex())
    masters = {
        name: link.get("master") for name in names if (link := find(links, name)) is not None
    }
    return {
        name: names_by_index[master] for name, master in masters.items() if master in names_by_index
    }
