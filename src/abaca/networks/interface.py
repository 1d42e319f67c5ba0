"""What a network plug-in is asked: what a subnet is, and addresses on it. It owns ids and
addresses, no wires.

Idempotent: an address is given by (owner, share network subnet, index), which is looked up before
anything is made; so a repeated call returns the same addresses, also after a crash that lost the
answer. Failures are `BackendError`s.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from abaca.errors import Refused
from abaca.plugin_options import Option
from abaca.values import NetworkAllocation, Subnet, Value


class AllocationRequest(Value):
    """Addresses wanted on one subnet: `count` of them for share server `server_id` through
    `share_network_subnet_id`.

    `project_id`: whose they are, where somebody keeps account of that; empty: the plug-in's own.
    """

    server_id: str
    share_network_subnet_id: str
    neutron_net_id: str
    neutron_subnet_id: str
    count: int
    project_id: str = ""


class NetworkPlugin(ABC):
    """A source of subnets and addresses. Made once by the worker: `Plugin(options, store)`; see
    `networks/registry.py`."""

    OPTIONS: ClassVar[Mapping[str, Option]] = {}
    """What may be in the section of its name, by name. Values reach the constructor as text, and
    only those that are set. It judges them and does nothing else: `abaca config check` makes a
    plug-in, too."""

    MAY_COME_LATE: ClassVar[bool] = False
    """Whether an address whose request failed with OutcomeUnknown may still be made after that.
    Then `release` is called twice, in the end."""

    @abstractmethod
    def get_subnet(
        self, project_id: str, neutron_net_id: str | None, neutron_subnet_id: str | None
    ) -> Subnet:
        """The subnet's data. A plug-in may know one that is meant when nothing is named.

        Raises Refused when it is not there, not of that network or not visible to the project;
        Unavailable when it cannot be asked.
        """

    def owner(self, neutron_net_id: str) -> str | None:
        """The project that a network belongs to, whoever may use it; None when that cannot be
        known. Other projects on it are not shown the addresses of its machines."""
        return None

    @abstractmethod
    def free_addresses(self, subnet: Subnet) -> int | None:
        """How many more addresses the subnet can give; None when that cannot be known."""

    @abstractmethod
    def allocate(self, requests: Sequence[AllocationRequest]) -> list[list[NetworkAllocation]]:
        """Addresses for each request, in the order asked: all of them or none. Raises NoSpace, with
        numbers, when a subnet is full."""

    def set_aside(self, server_id: str, ip_addresses: Sequence[str]) -> None:
        """Take these addresses back from a share server, because other machines use them; the next
        `allocate` gives it others. As far as the plug-in can, nobody is given them for a while.

        What the server does not have (any more) is left alone. Raises Refused when the plug-in
        cannot do it: the server then gets no addresses.
        """
        raise Refused(
            f"Another machine on the network already uses {', '.join(ip_addresses)}. Keep what "
            "other machines use out of the subnet's allocation pools, and try again.",
            is_public=True,
        )

    def take_over(
        self, request: AllocationRequest, ip_addresses: Sequence[str]
    ) -> list[NetworkAllocation]:
        """The addresses that a server has which is being managed, in the order given, kept from now
        on as `request` says.

        What is that server's already, through whatever share network subnet, stays as it is; what
        nobody has becomes its own. Raises Refused when an address is another's or not of the
        subnet.
        """
        raise Refused("This network plug-in cannot take over addresses.", is_public=True)

    @abstractmethod
    def release(
        self, server_id: str, share_network_subnet_ids: Sequence[str] | None = None
    ) -> None:
        """Give back every address of a share server (on the given share network subnets, or all).
        None there is success."""
