"""Machines that are network namespaces, with cables between them: a host for the Linux back end,
and others that it shall reach."""

from __future__ import annotations

import socket
from collections.abc import Callable
from ipaddress import ip_interface
from typing import Any, TypeVar

from pyroute2 import IPRoute

from abaca.drivers.linux import namespaces
from abaca.drivers.linux.clients import CLIENT_SETTINGS
from abaca.drivers.linux.routing import IFA_F_NODAD

Result = TypeVar("Result")
NFS_PORT = 2049
CONNECT_SECONDS = 1.0


class Machine:
    """A machine of a test. What is made on it is gone with it."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        namespaces.ensure(namespace, CLIENT_SETTINGS)

    def remove(self) -> None:
        namespaces.remove(self.namespace)

    def do(self, act: Callable[[], Result]) -> Result:
        """Have `act` done on this machine, as far as its network goes."""
        return namespaces.inside(self.namespace, lambda _links: act())

    def bridge(self, name: str) -> None:
        namespaces.inside(
            self.namespace,
            lambda links: links.link("add", ifname=name, kind="bridge", br_mcast_snooping=0),
        )
        self.configure(name)

    def cable(
        self, name: str, other: Machine, other_name: str, mtu: int = 1500, bridge: str = ""
    ) -> None:
        """A cable from the interface `name`, a port of `bridge` if one is named, to the other
        machine's."""

        def act(links: IPRoute) -> None:
            with open(namespaces.path_of(other.namespace), "rb") as there:
                peer = {"ifname": other_name, "mtu": mtu, "net_ns_fd": there.fileno()}
                links.link("add", ifname=name, kind="veth", mtu=mtu, peer=peer)
            if bridge:
                links.link(
                    "set",
                    index=links.link_lookup(ifname=name)[0],
                    master=links.link_lookup(ifname=bridge)[0],
                )

        namespaces.inside(self.namespace, act)
        self.configure(name)

    def cable_here(self, name: str, outer_name: str, bridge: str) -> None:
        """A cable from the interface `name`, a port of `bridge`, to an interface of the machine
        that runs the tests."""
        with open(namespaces.path_of(self.namespace), "rb") as there:
            peer = {"ifname": name, "net_ns_fd": there.fileno()}
            namespaces.here(
                lambda links: links.link("add", ifname=outer_name, kind="veth", peer=peer)
            )
        namespaces.inside(
            self.namespace,
            lambda links: links.link(
                "set",
                index=links.link_lookup(ifname=name)[0],
                master=links.link_lookup(ifname=bridge)[0],
            ),
        )
        self.configure(name)

    def tunnel_end(self, machine: Machine, name: str, **vxlan: Any) -> None:
        """A VXLAN interface of `machine` whose packets go through this one."""

        def act(links: IPRoute) -> None:
            with open(namespaces.path_of(machine.namespace), "rb") as there:
                links.link("add", ifname=name, kind="vxlan", net_ns_fd=there.fileno(), **vxlan)

        namespaces.inside(self.namespace, act)

    def configure(self, name: str, *addresses: str) -> None:
        """Raise an interface with these addresses, with prefix length."""

        def act(links: IPRoute) -> None:
            (index,) = links.link_lookup(ifname=name)
            links.link("set", index=index, state="up")
            for address in map(ip_interface, addresses):
                flags = IFA_F_NODAD if address.version == 6 else 0
                links.addr(
                    "replace",
                    index=index,
                    address=str(address.ip),
                    prefixlen=address.network.prefixlen,
                    flags=flags,
                )

        namespaces.inside(self.namespace, act)

    def reaches(self, address: str) -> bool:
        """Whether a share server answers there, be it by a reset: one without rules admits
        nobody."""

        def connects() -> bool:
            try:
                socket.create_connection((address, NFS_PORT), timeout=CONNECT_SECONDS).close()
            except ConnectionRefusedError:
                return True
            except OSError:
                return False
            return True

        return self.do(connects)

    def forget_neighbours(self) -> None:
        """Servers of one test have addresses of another's, and other MAC addresses."""

        def act(links: IPRoute) -> None:
            for found in links.get_neighbours():
                if found.get("NDA_LLADDR"):
                    links.neigh("del", ifindex=found["ifindex"], dst=found.get("NDA_DST"))

        namespaces.inside(self.namespace, act)

    def ports(self, bridge: str) -> list[str]:
        """The names of a bridge's ports."""

        def act(links: IPRoute) -> list[str]:
            (index,) = links.link_lookup(ifname=bridge)
            return sorted(
                link.get("ifname") for link in links.get_links() if link.get("master") == index
            )

        return namespaces.inside(self.namespace, act)

    def addresses(self, name: str) -> list[str]:
        """The addresses of an interface, those that the kernel gives by itself included."""

        def act(links: IPRoute) -> list[str]:
            return [
                found.get("IFA_ADDRESS")
                for found in links.get_addr(index=links.link_lookup(ifname=name)[0])
            ]

        return namespaces.inside(self.namespace, act)
