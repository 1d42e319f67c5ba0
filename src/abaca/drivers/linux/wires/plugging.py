"""Wires by Linux bridges: interfaces of namespaces connected to tenants' networks. Addresses and
routes are in `routing.py`.

There is one bridge a network, in a namespace of Abaca's own, which has no addresses, no forwarding
and none of the host's firewall: networks with the same ranges do not meet, and the host is on none
of them. Bridges are made with their first port and vanish with the last. What connects them with
the outside: `uplinks.py`.
"""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pyroute2 import IPRoute

from abaca.drivers.linux import namespaces
from abaca.drivers.linux.layout import private_folder, run_path
from abaca.drivers.linux.wires import findings
from abaca.drivers.linux.wires.between_hosts import BetweenHosts
from abaca.drivers.linux.wires.carriers import Carriers
from abaca.drivers.linux.wires.interface import Port, Segment, Wires
from abaca.drivers.linux.wires.links import BRIDGE_PREFIX, PORT_PREFIX, delete, find, short_name
from abaca.drivers.linux.wires.port_rules import Identity
from abaca.drivers.linux.wires.port_security import PortSecurity
from abaca.drivers.linux.wires.uplinks import Uplinks, delete_unused
from abaca.drivers.linux.wires.wiring import Wiring
from abaca.values import Finding, NetworkInfo, SpannedNetwork, TunnelEnd

_LOG = logging.getLogger(__name__)

BRIDGES_ONLY = {
    "ipv6/conf/all/disable_ipv6": "1",
    "ipv6/conf/default/disable_ipv6": "1",
    # Where br_netfilter is loaded, bridged packets would go through the hooks of routers as well,
    # for nothing.
    "bridge/bridge-nf-call-arptables": "0",
    "bridge/bridge-nf-call-iptables": "0",
    "bridge/bridge-nf-call-ip6tables": "0",
}


class BridgePlug(Wires):
    """Bridges in the network namespace `namespace`, made on demand. `wiring`: what they are
    connected with; None: nothing. `cards`: how long network cards are waited for."""

    def __init__(
        self, namespace: str, wiring: Wiring | None = None, cards: Carriers | None = None
    ) -> None:
        self._namespace = namespace
        self._wiring = wiring
        self._uplinks = Uplinks(namespace, wiring, cards or Carriers()) if wiring else None
        self._security = PortSecurity(namespace)
        self._between_hosts = BetweenHosts(namespace)

    @property
    def is_own_only(self) -> bool:
        return self._wiring is None or self._wiring.is_own_only

    def prepare(self) -> None:
        """Make sure of the namespace, and of what its ports may send."""
        with self._exclusive():
            namespaces.ensure(self._namespace, BRIDGES_ONLY)
            self._security.enforce()
        for what in self.unnamed():
            _LOG.warning(
                "share servers are connected by something that the options no longer name, until "
                "this machine restarts or their last port is deleted: %s",
                what,
            )
        if self._wiring:
            self._wiring.require()

    def refuse_unreachable(
        self, network_info: Sequence[NetworkInfo], highest_mtu: int | None
    ) -> None:
        if self._wiring:
            self._wiring.refuse_unreachable(network_info, highest_mtu)

    def join_hosts(self, end: TunnelEnd | None, networks: Sequence[SpannedNetwork]) -> list[str]:
        with self._exclusive():
            ours = {
                bridge_name(network.network_id): network
                for network in networks
                if self._wiring is None
                or self._wiring.stays_here(Segment("vxlan", network.segmentation_id, is_local=True))
            }
            self._between_hosts.tell(end, ours)
            if not namespaces.exists(self._namespace):
                return []
            lacks = self._between_hosts.ensure_all()
            self._security.enforce()  # a new link passes nothing before
            return lacks

    def unnamed(self) -> list[str]:
        if self._uplinks is None or not namespaces.exists(self._namespace):
            return []
        return self._uplinks.unnamed()

    def port_names(self, namespace: str) -> set[str]:
        return set(ports_in(namespace))

    def findings(
        self, network_id: str, segment: Segment, mtu: int, port: Port | None
    ) -> Iterator[Finding]:
        name = bridge_name(network_id)
        stays_here = self._wiring is None or self._wiring.stays_here(segment)
        if self._wiring and not stays_here:
            yield from findings.link(self._wiring, segment, mtu)
        else:
            yield findings.between_hosts(self._namespace, name)
        if port is None:
            return
        if not namespaces.exists(self._namespace):
            yield findings.no_bridges(self._namespace)
            return
        outside = None if stays_here else segment
        yield from namespaces.inside(
            self._namespace, lambda links: list(findings.bridge(links, name, outside))
        )
        yield findings.port(self._namespace, port, name)

    def connect(self, port: Port) -> None:
        if self._uplinks and port.segment:
            self._uplinks.wait_for_carrier(port.segment)
        with self._exclusive():
            namespaces.ensure(self._namespace, BRIDGES_ONLY)
            inner = namespaces.inside(port.namespace, lambda links: find(links, port.name))
            outer_is_there = (
                namespaces.inside(self._namespace, lambda links: find(links, port.name)) is not None
            )
            whole = (
                inner is not None
                and outer_is_there
                and inner.get("address") == port.mac_address.lower()
            )
            self._security.admit(port.name, _identity(port))
            namespaces.inside(self._namespace, lambda links: _wire(links, port, whole=whole))
            namespaces.inside(port.namespace, lambda links: _raise_inner(links, port))
            if self._between_hosts.ensure(bridge_name(port.network_id)):
                self._security.enforce()
            if (
                self._uplinks
                and port.segment
                and self._uplinks.ensure(bridge_name(port.network_id), port.segment, port.mtu)
            ):
                self._security.enforce()  # a new uplink passes nothing before
        if self._uplinks and port.segment:
            self._uplinks.wait_until_forwarding(port.segment)

    def disconnect(self, namespace: str, port_names: Sequence[str]) -> None:
        with self._exclusive():
            if namespaces.exists(namespace):
                namespaces.inside(namespace, lambda links: delete(links, port_names))
            if namespaces.exists(self._namespace):
                namespaces.inside(self._namespace, lambda links: delete(links, port_names))
                self._forget_unused()

    def disconnect_owner(self, owner: str) -> None:
        with self._exclusive():
            if namespaces.exists(self._namespace):
                namespaces.inside(
                    self._namespace, lambda links: delete(links, _ports_of(links, owner))
                )
                self._forget_unused()

    def _forget_unused(self) -> None:
        if self._uplinks:
            self._uplinks.delete_unused()
        else:
            namespaces.inside(self._namespace, delete_unused)
        self._security.enforce()

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """One change of the bridges at a time, across processes too: a bridge must not vanish while
        it gets a port."""
        folder = run_path(self._namespace)
        private_folder(folder)
        with open(folder / "plugging.lock", "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def bridge_name(network_id: str) -> str:
    """The bridge of a network: at most 15 characters."""
    return short_name(BRIDGE_PREFIX, network_id)


def _identity(port: Port) -> Identity:
    return Identity(
        port.role, bridge_name(port.network_id), port.mac_address.lower(), port.addresses
    )


def ports_in(namespace: str) -> dict[str, str]:
    """The interfaces plugged into a namespace: name → MAC address."""
    found = namespaces.inside(
        namespace,
        lambda links: [
            (link.get("ifname"), link.get("address")) for link in links.get_links(kind="veth")
        ],
    )
    return {name: mac_address for name, mac_address in found if name.startswith(PORT_PREFIX)}


def _wire(links: IPRoute, port: Port, *, whole: bool) -> None:
    """The outer half: the bridge, and the pair unless it is `whole`."""
    if not whole:
        delete(links, [port.name])
    bridge = _ensure_bridge(links, port.network_id)
    if not whole:
        with open(namespaces.path_of(port.namespace), "rb") as handle:
            inner = {
                "ifname": port.name,
                "address": port.mac_address,
                "mtu": port.mtu,
                "net_ns_fd": handle.fileno(),
            }
            links.link("add", ifname=port.name, kind="veth", mtu=port.mtu, peer=inner)
    outer = find(links, port.name)
    alias = f"{port.owner} {port.network_id}"
    right = (
        outer.get("master") == bridge
        and outer.get("ifalias") == alias
        and outer.get("mtu") == port.mtu
        and outer.get("operstate") == "UP"
    )
    if not right:
        links.link("set", index=outer["index"], mtu=port.mtu, ifalias=alias)
        links.link("set", index=outer["index"], master=bridge, state="up")


def _raise_inner(links: IPRoute, port: Port) -> None:
    inner = find(links, port.name)
    if inner.get("mtu") != port.mtu:
        links.link("set", index=inner["index"], mtu=port.mtu)
    if inner["state"] != "up":
        links.link("set", index=inner["index"], state="up")


def _ensure_bridge(links: IPRoute, network_id: str) -> int:
    name = bridge_name(network_id)
    if find(links, name) is None:
        # Snooping without a querier would lose the multicast that IPv6 finds its neighbours by.
        links.link("add", ifname=name, kind="bridge", br_stp_state=0, br_mcast_snooping=0)
    bridge = find(links, name)
    if bridge["state"] != "up":
        links.link("set", index=bridge["index"], ifalias=network_id, state="up")
    return int(bridge["index"])


def _ports_of(links: IPRoute, owner: str) -> list[str]:
    return [
        link.get("ifname")
        for link in links.get_links(kind="veth")
        if (link.get("ifalias") or "").split(" ")[0] == owner
    ]
