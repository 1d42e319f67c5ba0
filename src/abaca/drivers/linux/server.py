"""One share server as a whole: its namespace with ports and addresses, its NFS server, the shares mounted and exported in it.

Brings what is there to what is asked and touches nothing that is right. Callers hold the server's lock.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from abaca.drivers.linux import admission, hold, mounts, namespaces, routing
from abaca.drivers.linux.bounds import Bounds
from abaca.drivers.linux.file_services.nfs.exports import SHARES, SNAPSHOTS, admitted, export_ids, write_export
from abaca.drivers.linux.file_services.nfs.ganesha import GaneshaServer
from abaca.drivers.linux.layout import ServerLayout
from abaca.drivers.linux.pools.btrfs import BtrfsPool
from abaca.drivers.linux.programs import os_errors_sorted
from abaca.drivers.linux.routing import Address
from abaca.drivers.linux.wires import plugging
from abaca.drivers.linux.wires.plugging import Plug, Port
from abaca.drivers.linux.wires.wiring import segment_of
from abaca.errors import BackendError, OutcomeUnknown, Unavailable
from abaca.values import ExportLocation, NetworkInfo

RUN_OPTIONS = "size=4m,nr_inodes=1k,mode=0700,nosuid,nodev,noexec"
"""Of the small file system of sockets, process ids and configuration that each server has of its own."""


class LinuxServer:
    """The share server of `layout`, plugged by `plug`, with shares in what `pool` gives. `highest_mtu`: links never get a larger one."""

    def __init__(
        self, layout: ServerLayout, plug: Plug, pool: Callable[[], BtrfsPool], highest_mtu: int | None, bounds: Bounds, ganesha: GaneshaServer
    ) -> None:
        self._layout = layout
        self._plug = plug
        self._pool = pool
        self._highest_mtu = highest_mtu
        self._bounds = bounds
        self.ganesha = ganesha

    # --- networks --------------------------------------------------------------------------------------------------

    def join(self, network_info: Sequence[NetworkInfo]) -> None:
        """Stand on these subnets, too."""
        self._prepare()
        namespaces.ensure(self._layout.namespace, routing.SERVER_SETTINGS)
        self._bounds.ensure(self._layout.namespace)  # before anybody can reach it
        self._admit()
        ports, addresses = self._wanted(network_info)
        for port in ports.values():
            self._plug.connect(port)
        routing.add_addresses(self._layout.namespace, addresses)

    def leave_others(self, network_info: Sequence[NetworkInfo]) -> None:
        """Stand on no other subnets than these."""
        if not namespaces.exists(self._layout.namespace):
            return
        ports, addresses = self._wanted(network_info)
        too_many = routing.addresses_of(self._layout.namespace) - {address.ip_address for address in addresses}
        routing.remove_addresses(self._layout.namespace, too_many)
        for port in ports.values() if too_many else ():
            self._plug.connect(port)  # it sends with these addresses no longer
        others = plugging.ports_in(self._layout.namespace).keys() - ports.keys()
        if others:
            self._plug.disconnect(self._layout.namespace, sorted(others))

    def _wanted(self, network_info: Sequence[NetworkInfo]) -> tuple[dict[str, Port], list[Address]]:
        ports: dict[str, Port] = {}
        addresses = []
        for info in network_info:
            for allocation in info.network_allocations:
                subnet = info.subnet
                mtu = min(subnet.mtu, self._highest_mtu or subnet.mtu)
                segment = segment_of(subnet)
                own = (allocation.ip_address,)
                port = Port(self._layout.namespace, self._layout.id, subnet.neutron_net_id, allocation.mac_address, mtu, segment, own)
                if before := ports.get(port.name):  # several addresses can be one port's: the smallest of their MTUs is right for all
                    port = before._replace(mtu=min(before.mtu, mtu), addresses=before.addresses + own)
                ports[port.name] = port
                addresses.append(Address(port.name, allocation.ip_address, subnet.cidr, subnet.gateway))
        return ports, addresses

    # --- shares ----------------------------------------------------------------------------------------------------

    def publish(self, shares: Mapping[str, str], snapshots: Mapping[str, str] | None = None) -> None:
        """Export these shares and snapshots (id → CLIENT blocks), and start the NFS server when it does not run.

        What fails with one keeps none of the others from being exported, and is raised in the end.
        """
        if not namespaces.exists(self._layout.namespace):
            raise Unavailable(f"share server {self._layout.id} is not there")
        self._prepare()
        failures: list[BackendError] = []
        mounted: dict[str, bool] = {}
        ids = export_ids(self._layout)
        wanted = [(SHARES, *share) for share in shares.items()] + [(SNAPSHOTS, *snapshot) for snapshot in (snapshots or {}).items()]
        for folder, share_id, clients in wanted:
            try:
                with os_errors_sorted(f"/{folder}/{share_id}"):
                    is_new_mount = self._pool().mount(share_id, self._layout.mount_point(share_id), read_only=folder == SNAPSHOTS)
                    ids[share_id] = write_export(self._layout, share_id, clients, ids, folder)
                    mounted[share_id] = is_new_mount
            except BackendError as error:
                failures.append(error)
        try:
            self._admit()  # before NFS-Ganesha is told: who is let in by it must reach it
        except BackendError as error:
            failures.append(error)
        started = self.ganesha.ensure_running()
        active = self.ganesha.bus.active()
        for share_id, is_new_mount in mounted.items():
            try:
                self._announce(self._layout.export_file(share_id), ids[share_id], active, is_read=started, is_new_mount=is_new_mount)
            except BackendError as error:
                failures.append(error)
        if failures:
            raise type(failures[0])("; ".join(failure.message for failure in failures))

    def _admit(self) -> None:
        """Let those reach the NFS server whom the export files admit. They are the record: after a crash this mends what differs."""
        admission.admit(self._layout.namespace, admitted(self._layout))

    def _announce(self, file: Path, export_id: int, active: set[int], *, is_read: bool, is_new_mount: bool) -> None:
        """Tell Ganesha of a share's export file, unless it has just read it (`is_read`)."""
        if export_id not in active:
            self.ganesha.bus.add(file, export_id)
        elif is_new_mount and not is_read:
            self.ganesha.bus.remove(export_id)  # it holds what was mounted there before
            self.ganesha.bus.add(file, export_id)
        elif not is_read:
            self.ganesha.bus.update(file, export_id)

    def _prepare(self) -> None:
        """Make the folders. Those that Ganesha's cell shares with the host are mounts, made before the cell: that of the mount points hands on what
        is mounted in it, and through no other one is anything of the host's disk opened by a file handle."""
        layout = self._layout
        layout.prepare()
        made = {layout.mounts: "tmpfs", layout.run: "tmpfs", layout.exports: "overlay", layout.recovery: "overlay"}
        found = {folder: mounts.mount_at(folder) for folder in made}
        missing = [folder for folder, kind in made.items() if (there := found[folder]) is None or there.filesystem != kind]
        if missing:
            self.ganesha.stop()  # what is mounted from now on would not reach it
        for folder in missing:
            mounts.unmount(folder)
            if folder == layout.mounts:
                mounts.mount_shared(folder)
            elif folder == layout.run:
                mounts.mount("tmpfs", folder, RUN_OPTIONS, kind="tmpfs")
            else:
                mounts.mount_without_handles(folder, layout.overlays)

    def published(self) -> set[str]:
        """Ids of the shares and snapshots that have an export file."""
        return set(export_ids(self._layout))

    def withdraw(self, share_id: str) -> None:
        """Export a share or snapshot no longer, in use or not, and unmount it. Nothing there is success."""
        export_id = export_ids(self._layout).get(share_id)
        if export_id is not None and self.ganesha.is_started():
            self.ganesha.ensure_running()
            if export_id in self.ganesha.bus.active():
                self.ganesha.bus.remove(export_id)
        point = self._layout.mount_point(share_id)
        mounts.unmount(point)
        if point.exists():
            point.rmdir()
        self._layout.export_file(share_id).unlink(missing_ok=True)
        if namespaces.exists(self._layout.namespace):
            self._admit()

    @contextmanager
    def set_aside(self, share_id: str, clients: str) -> Iterator[None]:
        """A share is neither exported nor mounted while the block runs, and is both again, whatever comes of it.

        Clients of the server wait. Export and mount are then as they were, so what clients hold of the share stays good.
        """
        self.publish({share_id: clients})
        with hold.clients_wait(self._layout.namespace, self.ganesha.is_idle):
            try:
                self.ganesha.bus.remove(export_ids(self._layout)[share_id])
                mounts.unmount(self._layout.mount_point(share_id))
                yield
            finally:
                self.publish({share_id: clients})

    def withdraw_unknown(self) -> None:
        """Take away exports of the running NFS server that have no file."""
        for export_id in self.ganesha.bus.active() - set(export_ids(self._layout).values()):
            self.ganesha.bus.remove(export_id)

    def restart(self) -> bool:
        """Start the NFS server again, with the shares that are mounted, when it has died or hangs. Without a server to start: False."""
        if not namespaces.exists(self._layout.namespace) or not self._layout.ganesha_config.exists():
            return False
        return self.ganesha.ensure_running()

    # --- the whole -------------------------------------------------------------------------------------------------

    def remove(self) -> None:
        """Take everything away except the shares' data, from whatever is there."""
        self.ganesha.stop()
        self._plug.disconnect_owner(self._layout.id)
        mounts.unmount(self._layout.state)
        mounts.unmount(self._layout.run)
        namespaces.remove(self._layout.namespace)
        if mounts.mounts_below(self._layout.state):
            raise OutcomeUnknown(f"shares of share server {self._layout.id} are still mounted")
        for point in self._layout.mounts.iterdir() if self._layout.mounts.is_dir() else []:
            point.rmdir()  # fails rather than deletes, should a share's data be below
        shutil.rmtree(self._layout.state, ignore_errors=True)
        shutil.rmtree(self._layout.run, ignore_errors=True)


def export_locations(share_id: str, network_info: Sequence[NetworkInfo], folder: str = SHARES) -> list[ExportLocation]:
    """The paths of a share or snapshot in the order of its server's subnets; the first of each family is preferred."""
    locations: list[ExportLocation] = []
    families: set[int] = set()
    for info in network_info:
        for allocation in info.network_allocations:
            address = f"[{allocation.ip_address}]" if info.subnet.ip_version == 6 else allocation.ip_address
            preferred = info.subnet.ip_version not in families
            families.add(info.subnet.ip_version)
            locations.append(ExportLocation(path=f"{address}:/{folder}/{share_id}", preferred=preferred))
    return locations
