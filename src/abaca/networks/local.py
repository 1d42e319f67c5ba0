"""Networks of Abaca's own: addresses from the allocation pools of local subnets. Where they are
kept is behind `PortStore`.

Nothing here is a wire; drivers make those from what is returned.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import ClassVar, Protocol
from uuid import UUID, uuid5

from abaca.addresses import first_of, plain_address
from abaca.errors import NoSpace, Refused
from abaca.networks.address_pool import AddressPool, AddressRange, first_host, last_host
from abaca.networks.interface import AllocationRequest, NetworkPlugin
from abaca.networks.segment_ranges import OPTIONS, SegmentRanges
from abaca.plugin_options import Option
from abaca.values import NetworkAllocation, Subnet, Value

# any: it makes the ids of ports differ from those of others who use uuid5
_PORT_IDS = UUID("5d1f8f2c-4c5b-4d57-9d0f-3f4f6f0a7c11")

SET_ASIDE_FOR = timedelta(hours=1)
"""As long is an address given to nobody that another machine uses. After that it may be given
again, which is when it is looked for again."""


ALL_PROJECTS = "*"
"""With whom a network is shared that all projects may use."""


class LocalSubnet(Value):
    """A stored subnet: what it is, where its addresses come from, who may use it."""

    subnet: Subnet
    project_id: str
    shared_with: frozenset[str]  # ids of projects, or ALL_PROJECTS
    allocation_pools: list[AddressRange]

    def is_usable_by(self, project_id: str) -> bool:
        """Whether it is the project's own or shared with it."""
        return project_id == self.project_id or bool(self.shared_with & {ALL_PROJECTS, project_id})


class PortKey(Value):
    """What an address is asked for with: the `position`th of a share server on a share network
    subnet."""

    server_id: str
    share_network_subnet_id: str
    position: int

    def __str__(self) -> str:
        return f"{self.server_id}/{self.share_network_subnet_id}/{self.position}"


class Port(Value):
    """An address that was given, on the local subnet `subnet_id`."""

    key: PortKey
    subnet_id: str
    allocation: NetworkAllocation


class LockedPorts(Protocol):
    """Some subnets, in a transaction in which nobody else gives addresses of theirs, deletes them,
    or stops sharing their networks."""

    def subnets(self) -> Mapping[str, LocalSubnet]:
        """The subnets by id; those that are not there are left out."""

    def ports_of(self, server_ids: Collection[str]) -> list[Port]:
        """All ports of these share servers, on whatever subnet."""

    def taken(self) -> Mapping[str, Collection[str]]:
        """The addresses given, by subnet id."""

    def set_aside_now(self) -> Mapping[str, Collection[str]]:
        """The addresses that are given to nobody now, by subnet id."""

    def add(self, ports: Sequence[Port]) -> None:
        """Store new ports."""

    def move(self, port: Port, key: PortKey) -> None:
        """Store a port of a share server under another key of the same server."""


class PortStore(Protocol):
    """Where local subnets and ports are kept. Raises Unavailable or OutcomeUnknown when that place
    does not answer."""

    def find(self, *, network_id: str | None, subnet_id: str | None) -> list[LocalSubnet]:
        """The subnets with these ids (None: any), whoever they belong to."""

    def not_free(self, subnet_id: str) -> Collection[str]:
        """The addresses of a subnet that are given or set aside."""

    def lock(self, subnet_ids: Collection[str]) -> AbstractContextManager[LockedPorts]:
        """A transaction that holds these subnets; stored at its end, or not at all when it ends
        with an error."""

    def set_aside(self, server_id: str, ip_addresses: Collection[str], until: datetime) -> None:
        """Forget the ports of a share server that have these addresses, and give the addresses to
        nobody `until` then (UTC)."""

    def delete(self, server_id: str, share_network_subnet_ids: Sequence[str] | None) -> None:
        """Forget the ports of a share server, on the given share network subnets or on all."""


class LocalNetworks(NetworkPlugin):
    """The network plug-in over local subnets. Its options say which wires networks get; that is
    decided where networks are created, by the API."""

    OPTIONS: ClassVar[Mapping[str, Option]] = OPTIONS

    def __init__(self, options: Mapping[str, str], store: PortStore) -> None:
        """Raises Unavailable for options that make no sense."""
        SegmentRanges.of(options)
        self._store = store

    def get_subnet(
        self, project_id: str, neutron_net_id: str | None, neutron_subnet_id: str | None
    ) -> Subnet:
        """As the interface says; the subnet may be left out where the network has only one, and
        both where one is shared with all projects."""
        found = self._store.find(network_id=neutron_net_id, subnet_id=neutron_subnet_id)
        if neutron_net_id is None and neutron_subnet_id is None:
            return _only_shared(found)
        visible = [item.subnet for item in found if item.is_usable_by(project_id)]
        if not visible:
            said = (
                f"There is no subnet {neutron_subnet_id or ''} on the network "
                f"{neutron_net_id or 'given'}."
            ).replace("  ", " ")
            raise Refused(said, is_public=True)
        if len(visible) > 1:
            raise Refused(
                f"The network {neutron_net_id} has {len(visible)} subnets: name one of them.",
                is_public=True,
            )
        return visible[0]

    def owner(self, neutron_net_id: str) -> str | None:
        found = self._store.find(network_id=neutron_net_id, subnet_id=None)
        return next((item.project_id for item in found), None)

    def free_addresses(self, subnet: Subnet) -> int:
        found = self._store.find(network_id=None, subnet_id=subnet.neutron_subnet_id)
        if not found:
            raise Refused(f"There is no subnet {subnet.neutron_subnet_id}.", is_public=True)
        not_free = self._store.not_free(subnet.neutron_subnet_id)
        return AddressPool(found[0].allocation_pools).free(not_free)

    def allocate(self, requests: Sequence[AllocationRequest]) -> list[list[NetworkAllocation]]:
        asking = {request.neutron_subnet_id: request.project_id for request in requests}
        with self._store.lock(set(asking)) as locked:
            _require_usable(requests, locked.subnets())
            ports = {
                port.key: port
                for port in locked.ports_of({request.server_id for request in requests})
            }
            made = _new_ports(_missing_keys(requests, ports), locked, asking)
            if made:
                locked.add(made)
            ports |= {port.key: port for port in made}
        return [[ports[key].allocation for key in _keys(request)] for request in requests]

    def set_aside(self, server_id: str, ip_addresses: Sequence[str]) -> None:
        self._store.set_aside(
            server_id, ip_addresses, datetime.now(UTC).replace(tzinfo=None) + SET_ASIDE_FOR
        )

    def take_over(
        self, request: AllocationRequest, ip_addresses: Sequence[str]
    ) -> list[NetworkAllocation]:
        with self._store.lock({request.neutron_subnet_id}) as locked:
            _require_usable([request], locked.subnets())
            taken = _Taken(locked, request)
            return [
                taken.hand_over(key, address)
                for key, address in zip(
                    _keys(request, len(ip_addresses)), ip_addresses, strict=True
                )
            ]

    def release(
        self, server_id: str, share_network_subnet_ids: Sequence[str] | None = None
    ) -> None:
        self._store.delete(server_id, share_network_subnet_ids)


def mac_address(key: PortKey) -> str:
    """A locally administered unicast address, always the same for a key."""
    digest = hashlib.sha256(f"mac {key}".encode()).digest()[:6]
    return ":".join(f"{byte:02x}" for byte in ((digest[0] & 0xFC) | 0x02, *digest[1:]))


def _only_shared(found: Sequence[LocalSubnet]) -> Subnet:
    shared = [item.subnet for item in found if ALL_PROJECTS in item.shared_with]
    if len(shared) != 1:
        raise Refused(
            f"No network or subnet is given, and {len(shared) or 'no'} subnets are shared with "
            "all projects.",
            is_public=True,
        )
    return shared[0]


class _Taken:
    """The addresses of one subnet while one server's are taken over."""

    def __init__(self, locked: LockedPorts, request: AllocationRequest) -> None:
        self._locked = locked
        self._subnet = locked.subnets()[request.neutron_subnet_id].subnet
        own = [
            port
            for port in locked.ports_of({request.server_id})
            if port.subnet_id == request.neutron_subnet_id
        ]
        self._own = {port.allocation.ip_address: port for port in own}
        self._taken = set(locked.taken().get(request.neutron_subnet_id, ()))

    def hand_over(self, key: PortKey, address: str) -> NetworkAllocation:
        """The address kept under that key."""
        require_within(
            self._subnet.neutron_subnet_id, self._subnet.cidr, self._subnet.gateway, address
        )
        port = self._own.get(address)
        if port is not None:
            if port.key != key:
                self._locked.move(port, key)
            return port.allocation
        if address in self._taken:
            raise Refused(f"The address {address} is already in use.", is_public=True)
        made = _new_port(key, self._subnet.neutron_subnet_id, address)
        self._locked.add([made])
        return made.allocation


def require_within(subnet_id: str, cidr: str, gateway: str | None, address: str) -> None:
    """Refused when a share server cannot have that address on that subnet."""
    network = ip_network(cidr)
    try:
        wanted = plain_address(address)
    except ValueError as error:
        raise Refused(
            f"The address {address} cannot be used by a share server on the subnet {subnet_id} "
            f"({cidr}): {error}.",
            is_public=True,
        ) from None
    is_within = wanted.version == network.version and int(first_host(network)) <= int(
        wanted
    ) <= int(last_host(network))
    if not is_within or address == gateway:
        raise Refused(
            f"The address {address} cannot be used by a share server on the subnet {subnet_id} "
            f"({cidr}).",
            is_public=True,
        )


def _keys(request: AllocationRequest, count: int | None = None) -> list[PortKey]:
    return [
        PortKey(
            server_id=request.server_id,
            share_network_subnet_id=request.share_network_subnet_id,
            position=position,
        )
        for position in range(request.count if count is None else count)
    ]


def _require_usable(
    requests: Sequence[AllocationRequest], subnets: Mapping[str, LocalSubnet]
) -> None:
    """Refused, as by `get_subnet`: it may be long ago that this was asked, and the network shared
    no more."""
    for request in requests:
        found = subnets.get(request.neutron_subnet_id)
        if (
            found is None
            or found.subnet.neutron_net_id != request.neutron_net_id
            or not found.is_usable_by(request.project_id)
        ):
            raise Refused(
                f"There is no subnet {request.neutron_subnet_id} on the network "
                f"{request.neutron_net_id}.",
                is_public=True,
            )


def _missing_keys(
    requests: Sequence[AllocationRequest], ports: Mapping[PortKey, Port]
) -> dict[str, list[PortKey]]:
    """The keys that have no address yet, by the subnet that it shall be on."""
    missing: dict[str, dict[PortKey, None]] = {}
    for request in requests:
        for key in _keys(request):
            if key not in ports:
                missing.setdefault(request.neutron_subnet_id, {})[key] = None
            elif ports[key].subnet_id != request.neutron_subnet_id:
                raise Refused(
                    f"Share server {key.server_id} has its address on the subnet "
                    f"{ports[key].subnet_id}: release it first.",
                    is_public=True,
                )
    return {subnet_id: list(keys) for subnet_id, keys in missing.items()}


def _new_ports(
    missing: Mapping[str, Sequence[PortKey]], locked: LockedPorts, asking: Mapping[str, str]
) -> list[Port]:
    """`asking`: the project that asks, by subnet."""
    if not missing:
        return []
    subnets, taken, set_aside = locked.subnets(), locked.taken(), locked.set_aside_now()
    made: list[Port] = []
    for subnet_id, keys in missing.items():
        pool = AddressPool(subnets[subnet_id].allocation_pools)
        used = {*taken.get(subnet_id, ()), *set_aside.get(subnet_id, ())}
        free = pool.free(used)
        if free < len(keys):
            said = no_space(subnet_id, subnets[subnet_id].subnet.cidr, free, len(keys))
            others = sorted(set_aside.get(subnet_id, ()))
            is_own = subnets[subnet_id].project_id == asking[subnet_id]
            raise NoSpace(said + _used_by_others(others, is_own=is_own), is_public=True)
        made += [
            _new_port(key, subnet_id, address)
            for key, address in zip(keys, pool.pick([str(key) for key in keys], used), strict=True)
        ]
    return made


def _new_port(key: PortKey, subnet_id: str, address: str) -> Port:
    allocation = NetworkAllocation(
        id=str(uuid5(_PORT_IDS, str(key))), ip_address=address, mac_address=mac_address(key)
    )
    return Port(key=key, subnet_id=subnet_id, allocation=allocation)


def _used_by_others(addresses: Sequence[str], *, is_own: bool) -> str:
    """Which addresses machines of others have is told to the owner of the network only."""
    if not addresses:
        return ""
    shown = first_of(addresses) if is_own else str(len(addresses))
    return f"; set aside, because other machines use them: {shown}"


def no_space(subnet_id: str, cidr: str, free: int, needed: int) -> str:
    """What is said of a subnet that has too few addresses left."""
    have = "1 free address" if free == 1 else f"{free} free addresses"
    want = "1 is" if needed == 1 else f"{needed} are"
    return f"subnet {subnet_id} ({cidr}) has {have}, {want} needed"
