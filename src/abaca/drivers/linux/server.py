"""One share server as a whole: its namespace with ports and addresses, its file service, the shares
mounted for it.

Here the three seams meet: wires connect the ports, a pool gives what is mounted, a file service
publishes that. Brings what is there to what is asked and touches nothing that is right. Callers
hold the server's lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from abaca.drivers.linux import (
    announcements,
    drains,
    duplicates,
    findings,
    mounts,
    namespaces,
    routing,
)
from abaca.drivers.linux.bounds import Bounds
from abaca.drivers.linux.departures import departing
from abaca.drivers.linux.failures import Failures
from abaca.drivers.linux.file_services.interface import Export, FileService
from abaca.drivers.linux.layout import ServerLayout
from abaca.drivers.linux.pools.interface import Pool
from abaca.drivers.linux.programs import remove_tree
from abaca.drivers.linux.routing import Address
from abaca.drivers.linux.wires.interface import Port, Wires, segment_of
from abaca.errors import OutcomeUnknown, Unavailable
from abaca.values import Finding, NetworkInfo, Subnet


class LinuxServer:
    """The share server of `layout`, connected by `wires`, with shares in what `pool` gives,
    published by `service`.

    `highest_mtu`: links never get a larger one.
    """

    def __init__(
        self,
        layout: ServerLayout,
        wires: Wires,
        pool: Callable[[], Pool],
        service: FileService,
        bounds: Bounds,
        highest_mtu: int | None,
    ) -> None:
        self._layout = layout
        self._wires = wires
        self._pool = pool
        self.service = service
        self._bounds = bounds
        self._highest_mtu = highest_mtu

    def require(self) -> None:
        """Raise Unavailable when it is not there."""
        if not namespaces.exists(self._layout.namespace):
            raise Unavailable(f"share server {self._layout.id} is not there")

    # --- networks ---------------------------------------------------------------------------------

    def join(self, network_info: Sequence[NetworkInfo]) -> None:
        """Serve on these subnets, too."""
        self.service.prepare()
        namespaces.ensure(self._layout.namespace, routing.SERVER_SETTINGS)
        self._bounds.ensure(self._layout.namespace)  # before anybody can reach it
        self.service.close_to_strangers()
        ports, addresses = self._wanted(network_info)
        for port in ports.values():
            self._wires.connect(port)
        self.refuse_newcomers(network_info)
        added = routing.add_addresses(self._layout.namespace, addresses)
        announcements.announce(self._layout.namespace, added)

    def forget_question(self) -> None:
        """Remove what an interrupted question for duplicate addresses left behind."""
        duplicates.forget(self._layout, self._wires)

    def refuse_newcomers(self, network_info: Sequence[NetworkInfo]) -> None:
        """Refuse new clients on those of the subnets that drain, and on no others."""
        self.require()
        drains.refuse_newcomers(self._layout.namespace, network_info)

    def leave_others(self, network_info: Sequence[NetworkInfo]) -> None:
        """Serve on no other subnets than these; whoever is connected by another one is reset."""
        if not namespaces.exists(self._layout.namespace):
            return
        ports, addresses = self._wanted(network_info)
        too_many = routing.addresses_of(self._layout.namespace) - {
            address.ip_address for address in addresses
        }
        others = self._wires.port_names(self._layout.namespace) - ports.keys()
        with departing(self._layout.namespace, too_many, others):
            routing.remove_addresses(self._layout.namespace, too_many)
            for port in ports.values() if too_many else ():
                self._wires.connect(port)  # it sends with these addresses no longer
            if others:
                self._wires.disconnect(self._layout.namespace, sorted(others))

    def _mtu(self, subnet: Subnet) -> int:
        return min(subnet.mtu, self._highest_mtu or subnet.mtu)

    def _wanted(self, network_info: Sequence[NetworkInfo]) -> tuple[dict[str, Port], list[Address]]:
        ports: dict[str, Port] = {}
        addresses = []
        for info in network_info:
            for allocation in info.network_allocations:
                subnet = info.subnet
                mtu = self._mtu(subnet)
                segment = segment_of(subnet)
                own = (allocation.ip_address,)
                port = Port(
                    self._layout.namespace,
                    self._layout.id,
                    subnet.neutron_net_id,
                    allocation.mac_address,
                    mtu,
                    segment,
                    own,
                )
                # several addresses can be one port's: the smallest of their MTUs is right for all
                if before := ports.get(port.name):
                    port = before._replace(
                        mtu=min(before.mtu, mtu), addresses=before.addresses + own
                    )
                ports[port.name] = port
                addresses.append(
                    Address(port.name, allocation.ip_address, subnet.cidr, subnet.gateway)
                )
        return ports, addresses

    def findings(self, info: NetworkInfo, client: str | None) -> Iterator[Finding]:
        """What stands between clients on a network and this server's addresses there. Changes
        nothing, and needs no lock."""
        ports, addresses = self._wanted([info])
        segment, mtu = segment_of(info.subnet), self._mtu(info.subnet)
        for port in ports.values() or [None]:
            yield from self._wires.findings(info.subnet.neutron_net_id, segment, mtu, port)
        if not addresses or not namespaces.exists(self._layout.namespace):
            return  # wires have told
        for address in addresses:
            yield from findings.of(self._layout.namespace, address, client)
        yield from self.service.findings()

    # --- shares -----------------------------------------------------------------------------------

    def publish(self, exports: Sequence[Export]) -> dict[str, str]:
        """Have clients use these by exactly their rules. Returns the rules that cannot be enforced,
        by id, with the reason.

        A failure with one does not keep the others from being published, and is raised in the end.
        """
        self.require()
        self.service.prepare()
        failures = Failures()
        mounted: list[Export] = []
        newly_mounted: set[str] = set()
        for export in exports:
            with failures.collected(f"mounting {export.id}"):
                pool, point = self._pool(), self._layout.mount_point(export.id)
                source = pool.source(export.id)
                if source is None and pool.mount(export.id, point, read_only=export.is_snapshot):
                    newly_mounted.add(export.id)
                mounted.append(export._replace(source=source))
        refused: dict[str, str] = {}
        with failures.collected(f"publishing on share server {self._layout.id}"):
            refused = self.service.publish(mounted, newly_mounted)
        failures.raise_any()
        return refused

    def published(self) -> set[str]:
        """Ids of what is published, or still mounted."""
        points = self._layout.mounts.iterdir() if self._layout.mounts.is_dir() else ()
        return self.service.published() | {point.name for point in points}

    def withdraw(self, export_id: str) -> None:
        """Publish a share or snapshot no longer, in use or not, and unmount it. Nothing there is
        success."""
        self.service.withdraw(export_id)
        point = self._layout.mount_point(export_id)
        mounts.unmount(point)
        if point.exists():
            point.rmdir()

    @contextmanager
    def still(self) -> Iterator[None]:
        """Clients of the server write nothing while the block runs; they wait. Raises Unavailable,
        at its end, too, when that cannot be said: the file service is busy for too long, or the
        block took longer than clients may wait."""
        with self.service.clients_paused() as pause:
            pause.require_kept()
            yield
            pause.require_kept()

    @contextmanager
    def set_aside(self, export: Export) -> Iterator[None]:
        """A share is neither published nor mounted while the block runs, and is both again,
        whatever comes of it.

        Clients of the server wait. Export and mount are then as they were, so what clients hold of
        the share stays good.
        """
        self.publish([export])
        with self.service.clients_paused():
            try:
                self.service.release(export.id)
                mounts.unmount(self._layout.mount_point(export.id))
                yield
            finally:
                self.publish([export])

    def restart(self) -> bool:
        """Start the file service again, with the shares that are mounted, when it has died or
        hangs. Without one to start: False."""
        return namespaces.exists(self._layout.namespace) and self.service.restart()

    # --- the whole --------------------------------------------------------------------------------

    def remove(self) -> None:
        """Take everything away except the shares' data, from whatever is there."""
        self.service.stop()
        self.forget_question()
        self._wires.disconnect_owner(self._layout.id)
        mounts.unmount(self._layout.state)
        mounts.unmount(self._layout.run)
        namespaces.remove(self._layout.namespace)
        if mounts.mounts_below(self._layout.state):
            raise OutcomeUnknown(f"shares of share server {self._layout.id} are still mounted")
        for point in self._layout.mounts.iterdir() if self._layout.mounts.is_dir() else []:
            point.rmdir()  # fails rather than deletes, should a share's data be below
        remove_tree(self._layout.state)
        remove_tree(self._layout.run)
