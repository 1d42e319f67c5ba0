"""The seam of wires: how a port of a network namespace reaches its network. Addresses and routes on
it are not theirs (`routing.py`).

The contract suite: tests/contracts/seams/test_wires.py.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from abaca.drivers.linux.wires.links import PORT_PREFIX, short_name
from abaca.drivers.linux.wires.port_rules import Role
from abaca.values import Finding, NetworkInfo, SpannedNetwork, Subnet, TunnelEnd


class Segment(NamedTuple):
    """What a network is on the wire: Neutron's provider fields. `is_local`: it is one of Abaca's
    own, which needs no way out of this machine unless it is flat or a VLAN."""

    network_type: str
    segmentation_id: int | None = None
    physical_network: str | None = None
    is_local: bool = False


class Port(NamedTuple):
    """An interface of `namespace` on a network. `owner`: whose it is, a share server's id.

    `mtu` in bytes. `segment`: what the network is on the wire; None: whoever connects it does not
    know, and leaves that as it is. `addresses`: what it may send with, without prefix length; none:
    they are not known.
    """

    namespace: str
    owner: str
    network_id: str
    mac_address: str
    mtu: int
    segment: Segment | None = None
    addresses: tuple[str, ...] = ()
    role: Role = Role.SERVER

    @property
    def name(self) -> str:
        """The interface's name: at most 15 characters, the same for the same owner, network and MAC
        address."""
        return short_name(PORT_PREFIX, self.owner, self.network_id, self.mac_address.lower())


class Wires(ABC):
    """What connects ports to networks. Every method may be repeated, and raises BackendErrors,
    sorted by what to do next."""

    @property
    @abstractmethod
    def is_own_only(self) -> bool:
        """Whether all networks are made here, so that nobody else is on them."""

    @abstractmethod
    def prepare(self) -> None:
        """When the back end starts, before any port is connected. Raises Unavailable, naming it,
        when this machine lacks something."""

    @abstractmethod
    def refuse_unreachable(
        self, network_info: Sequence[NetworkInfo], highest_mtu: int | None
    ) -> None:
        """Raise Refused, naming what is lacking, when one of these is on a network that is not
        reached from here. Changes nothing.

        `highest_mtu`: bytes; ports get no larger one than that, whatever their subnets say. None:
        there is no such limit.
        """

    @abstractmethod
    def connect(self, port: Port) -> None:
        """Make sure that the interface `port.name` is in the port's namespace, on its network, with
        its MAC address and MTU, and up.

        It sends as itself only, and other ports of that network do not send as it. A port that is
        right already is not touched, and neither is the way that its network has out of this
        machine when options name that no longer. Raises Unavailable when the namespace is not
        there, and Refused when the network cannot be reached.
        """

    @abstractmethod
    def join_hosts(self, end: TunnelEnd | None, networks: Sequence[SpannedNetwork]) -> list[str]:
        """Connect these networks with their ports on other hosts, as soon and as long as they have
        a port here, and no others. Returns what cannot be connected, and why. A network that
        options connect with machines of others is left to them. `end`: this host's; None: it has
        none, and `networks` is empty."""

    @abstractmethod
    def findings(
        self, network_id: str, segment: Segment, mtu: int, port: Port | None
    ) -> Iterator[Finding]:
        """What stands, or does not, between a network's machines and a port on it, or the network
        alone. Changes nothing."""

    def unnamed(self) -> list[str]:
        """By what running servers are connected although the options name it no longer: sentences
        that say which option named it. Changes nothing."""
        return []

    @abstractmethod
    def port_names(self, namespace: str) -> set[str]:
        """The interfaces of a namespace that are connected to networks. Raises Unavailable when it
        is not there."""

    @abstractmethod
    def disconnect(self, namespace: str, port_names: Sequence[str]) -> None:
        """Take these interfaces of a namespace away. Nothing there is success."""

    @abstractmethod
    def disconnect_owner(self, owner: str) -> None:
        """Take away whatever is left of an owner's ports, be their namespaces there or not. Nothing
        there is success."""


def segment_of(subnet: Subnet) -> Segment:
    """What the subnet's network is on the wire."""
    return Segment(
        subnet.network_type, subnet.segmentation_id, subnet.physical_network, subnet.is_local
    )
