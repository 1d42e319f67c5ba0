"""Wires: interfaces of namespaces connected to tenants' networks. Addresses and routes are in `routing.py`.

`Plug` is the seam: what connects an interface to a network. `BridgePlug` does it with one bridge a network in a namespace of
Abaca's own, which has no addresses, no forwarding and none of the host's firewall: networks with the same ranges do not meet, and the
host is on none of them. Bridges are made with their first port and vanish with the last.
"""

from __future__ import annotations

import fcntl
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from pyroute2 import IPRoute

from abaca.drivers.linux import namespaces
from abaca.drivers.linux.layout import private_folder, run_path

BRIDGES_ONLY = {"ipv6/conf/all/disable_ipv6": "1", "ipv6/conf/default/disable_ipv6": "1"}


class Port(NamedTuple):
    """An interface of `namespace` on a network. `owner`: whose it is (a share server's id), shown in the alias of its outer end."""

    namespace: str
    owner: str
    network_id: str
    mac_address: str
    mtu: int

    @property
    def name(self) -> str:
        """The interface's name: at most 15 characters, the same for the same owner, network and MAC address."""
        return _short("p", self.owner, self.network_id, self.mac_address.lower())


class Plug(ABC):
    """Connects ports to networks. Every method may be repeated."""

    @abstractmethod
    def connect(self, port: Port) -> None:
        """Make sure that the interface `port.name` is in the port's namespace, on its network, with its MAC address and MTU, and up."""

    @abstractmethod
    def disconnect(self, namespace: str, port_names: list[str]) -> None:
        """Take these interfaces of a namespace away. Nothing there is success."""

    @abstractmethod
    def disconnect_owner(self, owner: str) -> None:
        """Take away whatever is left of an owner's ports. Nothing there is success."""


class BridgePlug(Plug):
    """Bridges in the network namespace `namespace`, made on demand."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace

    def prepare(self) -> None:
        """Make sure of the namespace."""
        with self._exclusive():
            namespaces.ensure(self._namespace, BRIDGES_ONLY)

    def connect(self, port: Port) -> None:
        with self._exclusive():
            namespaces.ensure(self._namespace, BRIDGES_ONLY)
            inner = namespaces.inside(port.namespace, lambda links: _link(links, port.name))
            outer_is_there = namespaces.inside(self._namespace, lambda links: _link(links, port.name)) is not None
            whole = inner is not None and outer_is_there and inner.get("address") == port.mac_address.lower()
            namespaces.inside(self._namespace, lambda links: _wire(links, port, whole=whole))
            namespaces.inside(port.namespace, lambda links: _raise_inner(links, port))

    def disconnect(self, namespace: str, port_names: list[str]) -> None:
        with self._exclusive():
            if namespaces.exists(namespace):
                namespaces.inside(namespace, lambda links: _delete(links, port_names))
            if namespaces.exists(self._namespace):
                namespaces.inside(self._namespace, lambda links: _delete(links, port_names))
                namespaces.inside(self._namespace, _delete_empty_bridges)

    def disconnect_owner(self, owner: str) -> None:
        with self._exclusive():
            if namespaces.exists(self._namespace):
                namespaces.inside(self._namespace, lambda links: _delete(links, _ports_of(links, owner)))
                namespaces.inside(self._namespace, _delete_empty_bridges)

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """One change of the bridges at a time, across processes too: a bridge must not vanish while it gets a port."""
        folder = run_path(self._namespace)
        private_folder(folder)
        with open(folder / "plugging.lock", "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def bridge_name(network_id: str) -> str:
    """The bridge of a network: at most 15 characters."""
    return _short("br", network_id)


def ports_in(namespace: str) -> dict[str, str]:
    """The interfaces plugged into a namespace: name → MAC address."""
    found = namespaces.inside(namespace, lambda links: [(link.get("ifname"), link.get("address")) for link in links.get_links(kind="veth")])
    return {name: mac_address for name, mac_address in found if name.startswith("p")}


def _short(prefix: str, *parts: str) -> str:
    return prefix + hashlib.sha256("/".join(parts).encode()).hexdigest()[:12]


def _link(links: IPRoute, name: str) -> Any:
    return next(iter(links.get_links(ifname=name)), None) if links.link_lookup(ifname=name) else None


def _wire(links: IPRoute, port: Port, *, whole: bool) -> None:
    """The outer half: the bridge, and the pair unless it is `whole`."""
    if not whole:
        _delete(links, [port.name])
    bridge = _ensure_bridge(links, port.network_id)
    if not whole:
        with open(namespaces.path_of(port.namespace), "rb") as handle:
            inner = {"ifname": port.name, "address": port.mac_address, "mtu": port.mtu, "net_ns_fd": handle.fileno()}
            links.link("add", ifname=port.name, kind="veth", mtu=port.mtu, peer=inner)
    outer = _link(links, port.name)
    alias = f"{port.owner} {port.network_id}"
    right = outer.get("master") == bridge and outer.get("ifalias") == alias and outer.get("mtu") == port.mtu and outer.get("operstate") == "UP"
    if not right:
        links.link("set", index=outer["index"], mtu=port.mtu, ifalias=alias)
        links.link("set", index=outer["index"], master=bridge, state="up")


def _raise_inner(links: IPRoute, port: Port) -> None:
    inner = _link(links, port.name)
    if inner.get("mtu") != port.mtu:
        links.link("set", index=inner["index"], mtu=port.mtu)
    if inner["state"] != "up":
        links.link("set", index=inner["index"], state="up")


def _ensure_bridge(links: IPRoute, network_id: str) -> int:
    name = bridge_name(network_id)
    if _link(links, name) is None:
        # Snooping without a querier would lose the multicast that IPv6 finds its neighbours by.
        links.link("add", ifname=name, kind="bridge", br_stp_state=0, br_mcast_snooping=0)
    bridge = _link(links, name)
    if bridge["state"] != "up":
        links.link("set", index=bridge["index"], ifalias=network_id, state="up")
    return int(bridge["index"])


def _ports_of(links: IPRoute, owner: str) -> list[str]:
    return [link.get("ifname") for link in links.get_links(kind="veth") if (link.get("ifalias") or "").split(" ")[0] == owner]


def _delete(links: IPRoute, port_names: list[str]) -> None:
    for name in port_names:
        for index in links.link_lookup(ifname=name):
            links.link("del", index=index)


def _delete_empty_bridges(links: IPRoute) -> None:
    used = {link.get("master") for link in links.get_links()}
    for bridge in links.get_links(kind="bridge"):
        if bridge["index"] not in used:
            links.link("del", index=bridge["index"])
