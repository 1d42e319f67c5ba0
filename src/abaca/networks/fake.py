"""Networks in memory: the real rules of local networks over a store without a database, and faults
on demand. For tests and benchmarks."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from ipaddress import ip_network
from threading import Lock
from uuid import uuid4

import msgspec

from abaca.errors import BackendError
from abaca.networks.address_pool import AddressRange, default_ranges, first_host
from abaca.networks.interface import AllocationRequest
from abaca.networks.local import ALL_PROJECTS, LocalNetworks, LocalSubnet, Port, PortKey, PortStore
from abaca.values import NetworkAllocation, Subnet


class MemoryPorts:
    """A `PortStore` (and its own `LockedPorts`) in memory; one lock replaces all row locks."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._subnets: dict[str, LocalSubnet] = {}
        self._ports: dict[PortKey, Port] = {}
        self._set_aside: dict[tuple[str, str], datetime] = {}

    def put(self, subnet: LocalSubnet) -> None:
        """Add or replace a subnet."""
        self._subnets[subnet.subnet.neutron_subnet_id] = subnet

    def find(self, *, network_id: str | None, subnet_id: str | None) -> list[LocalSubnet]:
        return [
            item
            for item in self._subnets.values()
            if network_id in (None, item.subnet.neutron_net_id)
            and subnet_id in (None, item.subnet.neutron_subnet_id)
        ]

    def not_free(self, subnet_id: str) -> Collection[str]:
        return {*self.taken().get(subnet_id, ()), *self.set_aside_now().get(subnet_id, ())}

    @contextmanager
    def lock(self, subnet_ids: Collection[str]) -> Iterator[MemoryPorts]:
        with self._lock:
            yield self

    def set_aside(self, server_id: str, ip_addresses: Collection[str], until: datetime) -> None:
        with self._lock:
            for key, port in list(self._ports.items()):
                address = port.allocation.ip_address
                if key.server_id == server_id and address in ip_addresses:
                    del self._ports[key]
                    self._set_aside[port.subnet_id, address] = until

    def delete(self, server_id: str, share_network_subnet_ids: Sequence[str] | None) -> None:
        with self._lock:
            gone = [
                key
                for key in self._ports
                if key.server_id == server_id
                and (
                    share_network_subnet_ids is None
                    or key.share_network_subnet_id in share_network_subnet_ids
                )
            ]
            for key in gone:
                del self._ports[key]

    def subnets(self) -> Mapping[str, LocalSubnet]:
        return self._subnets

    def ports_of(self, server_ids: Collection[str]) -> list[Port]:
        return [port for port in self._ports.values() if port.key.server_id in server_ids]

    def taken(self) -> Mapping[str, Collection[str]]:
        taken: dict[str, list[str]] = {}
        for port in list(self._ports.values()):
            taken.setdefault(port.subnet_id, []).append(port.allocation.ip_address)
        return taken

    def set_aside_now(self) -> Mapping[str, Collection[str]]:
        now = datetime.now(UTC).replace(tzinfo=None)
        found: dict[str, list[str]] = {}
        for (subnet_id, address), until in list(self._set_aside.items()):
            if until > now:
                found.setdefault(subnet_id, []).append(address)
        return found

    def add(self, ports: Sequence[Port]) -> None:
        self._ports |= {port.key: port for port in ports}

    def move(self, port: Port, key: PortKey) -> None:
        del self._ports[port.key]
        self._ports[key] = msgspec.structs.replace(port, key=key)


class FakeNetworks(LocalNetworks):
    """A network plug-in whose subnets are made by `add_subnet` and whose calls fail when `fail`
    said so."""

    def __init__(
        self, options: Mapping[str, str] | None = None, store: PortStore | None = None
    ) -> None:
        """Same shape as every plug-in; both are ignored."""
        self.ports = MemoryPorts()
        self._faults: dict[tuple[str, bool], list[BackendError]] = {}
        super().__init__({}, self.ports)

    def add_subnet(
        self,
        cidr: str,
        *,
        network_id: str | None = None,
        project_id: str | None = None,
        allocation_pools: list[AddressRange] | None = None,
    ) -> Subnet:
        """A new subnet, on a new network unless one is named, for all projects unless one is
        named."""
        network = ip_network(cidr)
        gateway = first_host(network)
        subnet = Subnet(
            neutron_net_id=network_id or str(uuid4()),
            neutron_subnet_id=str(uuid4()),
            cidr=str(network),
            ip_version=network.version,
            gateway=str(gateway),
        )
        pools = allocation_pools or default_ranges(network, gateway)
        self.ports.put(
            LocalSubnet(
                subnet=subnet,
                project_id=project_id or "",
                shared_with=frozenset() if project_id else frozenset({ALL_PROJECTS}),
                allocation_pools=pools,
            )
        )
        return subnet

    def fail(self, method: str, error: BackendError, *, after: bool = False) -> None:
        """The next call of `method` raises `error`, before it does anything or (`after`) when
        everything is done. Several calls queue up."""
        self._faults.setdefault((method, after), []).append(error)

    def get_subnet(
        self, project_id: str, neutron_net_id: str | None, neutron_subnet_id: str | None
    ) -> Subnet:
        with self._faulty("get_subnet"):
            return super().get_subnet(project_id, neutron_net_id, neutron_subnet_id)

    def owner(self, neutron_net_id: str) -> str | None:
        with self._faulty("owner"):
            return super().owner(neutron_net_id)

    def free_addresses(self, subnet: Subnet) -> int:
        with self._faulty("free_addresses"):
            return super().free_addresses(subnet)

    def allocate(self, requests: Sequence[AllocationRequest]) -> list[list[NetworkAllocation]]:
        with self._faulty("allocate"):
            return super().allocate(requests)

    def set_aside(self, server_id: str, ip_addresses: Sequence[str]) -> None:
        with self._faulty("set_aside"):
            super().set_aside(server_id, ip_addresses)

    def take_over(
        self, request: AllocationRequest, ip_addresses: Sequence[str]
    ) -> list[NetworkAllocation]:
        with self._faulty("take_over"):
            return super().take_over(request, ip_addresses)

    def release(
        self, server_id: str, share_network_subnet_ids: Sequence[str] | None = None
    ) -> None:
        with self._faulty("release"):
            super().release(server_id, share_network_subnet_ids)

    @contextmanager
    def _faulty(self, method: str) -> Iterator[None]:
        self._raise_fault(method, after=False)
        yield
        self._raise_fault(method, after=True)

    def _raise_fault(self, method: str, *, after: bool) -> None:
        errors = self._faults.get((method, after))
        if errors:
            raise errors.pop(0)
