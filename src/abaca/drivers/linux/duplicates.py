"""Does another machine on a network already use an address? Asked by ARP probes (RFC 5227) and
neighbour solicitations (RFC 4862), which come from nobody's address, so that no neighbour's cache
changes.

The question goes out through a port in a namespace of its own, which is removed afterwards; a share
server is not touched by it. Answers are hostile input: they are read for a fixed time, and nothing
is kept of them but the addresses that were asked for.
"""

from __future__ import annotations

import hashlib
import logging
import selectors
import socket
import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address

from abaca.addresses import Address
from abaca.drivers.linux import namespaces
from abaca.drivers.linux.layout import ServerLayout
from abaca.drivers.linux.neighbour_frames import ARP, IPV6, claimed, mac_bytes, question
from abaca.drivers.linux.wires.interface import Port, Wires, segment_of
from abaca.drivers.linux.wires.port_rules import Role
from abaca.values import NetworkInfo

PROBE_SECONDS = (0.0, 0.25, 0.5)  # after the start; one may be lost
LISTEN_SECONDS = 1.0
# The namespace has no address, and makes none: nothing in it answers or says anything by itself.
_SILENT = {"ipv6/conf/all/disable_ipv6": "1", "ipv6/conf/default/disable_ipv6": "1"}

_LOG = logging.getLogger(__name__)

_LONGEST_FRAME = 2048  # what is looked at is in the first 86 bytes


def addresses_in_use(
    layout: ServerLayout, wires: Wires, network_info: Sequence[NetworkInfo], highest_mtu: int | None
) -> list[str]:
    """Those of a server's new addresses that another machine answers for, in their order; looked
    for on all networks at once.

    The addresses' own MAC addresses are not another machine: after a crash the server may be half
    set up. Raises BackendErrors as `Wires.connect` does.
    """
    asked: defaultdict[str, set[Address]] = defaultdict(set)
    with asking(layout, wires, network_info, highest_mtu) as ports:
        macs = {port.name: mac_bytes(port.mac_address) for port in ports.values()}
        own = set(macs.values())
        for info in network_info:
            for each in info.network_allocations:
                asked[ports[info.subnet.neutron_net_id].name].add(ip_address(each.ip_address))
                own.add(mac_bytes(each.mac_address))
        found = namespaces.inside(_namespace(layout), lambda _: _ask(asked, macs, own))
    for address, mac in found.items():
        _LOG.warning(
            "share server %s: %s already uses its new address %s",
            layout.id,
            mac.hex(":"),
            address,
        )
    return [
        each.ip_address
        for info in network_info
        for each in info.network_allocations
        if ip_address(each.ip_address) in found
    ]


def forget(layout: ServerLayout, wires: Wires) -> None:
    """Remove what an interrupted question left behind. Nothing there is success."""
    namespace = _namespace(layout)
    if namespaces.exists(namespace):
        wires.disconnect(namespace, sorted(wires.port_names(namespace)))
    namespaces.remove(namespace)


@contextmanager
def asking(
    layout: ServerLayout, wires: Wires, network_info: Sequence[NetworkInfo], highest_mtu: int | None
) -> Iterator[dict[str, Port]]:
    """A silent port on each of the networks, by the network's id. What an interrupted block left is
    removed by the next one, or by `forget`."""
    ports = {}
    for info in network_info:
        subnet = info.subnet
        port = Port(
            _namespace(layout),
            layout.id,
            subnet.neutron_net_id,
            _probe_mac(layout.id, subnet.neutron_net_id),
            min(subnet.mtu, highest_mtu or subnet.mtu),
            segment_of(subnet),
            # Without addresses: port security would keep out whoever answers for one of them.
            role=Role.MACHINE,
        )
        ports[subnet.neutron_net_id] = port
    forget(layout, wires)
    try:
        namespaces.ensure(_namespace(layout), _SILENT)
        for port in ports.values():
            wires.connect(port)
        yield ports
    finally:
        forget(layout, wires)


def _namespace(layout: ServerLayout) -> str:
    return f"{layout.namespace}.asks"


def _probe_mac(server_id: str, network_id: str) -> str:
    """A locally administered unicast address that is not the server's: its ports may be there."""
    digest = hashlib.sha256(f"probe {server_id} {network_id}".encode()).digest()[:6]
    return bytes((digest[0] & 0xFC | 0x02, *digest[1:])).hex(":")


# --- on the wire ----------------------------------------------------------------------------------


def _ask(
    asked: Mapping[str, Collection[Address]], macs: Mapping[str, bytes], own: Collection[bytes]
) -> dict[Address, bytes]:
    """Probe for the addresses on each interface. Address → the MAC address of somebody else who
    uses it."""
    found: dict[Address, bytes] = {}
    wanted = {address for addresses in asked.values() for address in addresses}
    with ExitStack() as opened, selectors.DefaultSelector() as selector:
        for name in asked:
            for protocol in (ARP, IPV6):
                raw = opened.enter_context(_listening(name, protocol))
                selector.register(raw, selectors.EVENT_READ, name)
        started = time.monotonic()
        due = [started + seconds for seconds in PROBE_SECONDS]
        end = started + LISTEN_SECONDS
        while (now := time.monotonic()) < end and len(found) < len(wanted):
            if due and now >= due[0]:
                del due[0]
                _probe({name: set(each) - found.keys() for name, each in asked.items()}, macs)
                continue
            for key, _ in selector.select(min([*due[:1], end]) - now):
                frame = key.fileobj.recv(_LONGEST_FRAME)  # type: ignore[union-attr]
                claim = claimed(frame)
                if claim and claim[0] in asked[key.data] and claim[1] not in own:
                    found.setdefault(*claim)
    return found


def _listening(interface: str, protocol: int) -> socket.socket:
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)  # nothing before it is bound
    raw.bind((interface, protocol))
    raw.setblocking(False)
    return raw


def _probe(asked: Mapping[str, Collection[Address]], macs: Mapping[str, bytes]) -> None:
    for name, addresses in asked.items():
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as raw:
            raw.bind((name, 0))
            for address in addresses:
                raw.send(question(address, macs[name]))
