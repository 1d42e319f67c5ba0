"""Servers, shares and clients on a real Linux back end, for one test each: what was made is taken
away with `clear`."""

from __future__ import annotations

import ipaddress
import itertools
import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
from pyroute2 import IPRoute

from abaca.admin.nfs_probe import Mount, NfsError
from abaca.drivers.linux import namespaces
from abaca.drivers.linux.clients import attach_client, detach_client
from abaca.drivers.linux.driver import LinuxDriver
from abaca.drivers.linux.file_services.nfs.ganesha import GaneshaServer
from abaca.drivers.linux.file_services.nfs.vigil import Vigil
from abaca.drivers.linux.layout import ServerLayout
from abaca.drivers.linux.pools.interface import NotThere
from abaca.drivers.linux.wires import plugging
from abaca.values import (
    AccessRule,
    ExportLocation,
    NetworkAllocation,
    NetworkInfo,
    NetworkInfoUpdate,
    Share,
    ShareServer,
    Snapshot,
    Subnet,
)
from tests.contracts.drivers.linux_backend import client_namespace, probe

BOTH = (("net", "10.0.0.5/24"), ("net", "fd00::5/64"))
CLIENT = ("10.0.0.20/24", "fd00::20/64")
EVERYBODY = ("0.0.0.0/0", "::/0")
_mac_addresses = (
    f"fa:16:3e:00:{number >> 8:02x}:{number & 255:02x}" for number in itertools.count(1)
)


class Site:
    """Networks are named by short texts; the same text is the same network within one site."""

    def __init__(self, driver: LinuxDriver) -> None:
        self.driver = driver
        self._networks: dict[str, str] = {}
        self._servers: list[str] = []
        self._shares: list[tuple[str, str]] = []  # and snapshots, each with its server
        self._clients: set[str] = set()

    def network_id(self, network: str) -> str:
        return self._networks.setdefault(network, str(uuid.uuid4()))

    def entry(
        self,
        server_id: str,
        network: str,
        address: str,
        *,
        gateway: str | None = None,
        mac: str | None = None,
        mtu: int = 1500,
        subnet: str = "",
    ) -> NetworkInfo:
        """`address` with prefix length, `10.0.0.5/24`: the server's on that subnet."""
        interface = ipaddress.ip_interface(address)
        return NetworkInfo(
            server_id=server_id,
            share_network_subnet_id=str(uuid.uuid4()),
            subnet=Subnet(
                neutron_net_id=self.network_id(network),
                neutron_subnet_id=self.network_id(f"{network} {interface.network} {subnet}"),
                cidr=str(interface.network),
                ip_version=interface.version,
                gateway=gateway,
                mtu=mtu,
            ),
            network_allocations=[
                NetworkAllocation(
                    id=str(uuid.uuid4()),
                    ip_address=str(interface.ip),
                    mac_address=mac or next(_mac_addresses),
                )
            ],
        )

    def server(self, *on: tuple[str, str]) -> ShareServer:
        """A server on these (network, address with prefix length)."""
        server_id = str(uuid.uuid4())
        return self.set_up(
            server_id, [self.entry(server_id, network, address) for network, address in on]
        )

    def set_up(self, server_id: str, entries: list[NetworkInfo]) -> ShareServer:
        self._servers.append(server_id)
        details = self.driver.setup_server(server_id, entries)
        return ShareServer(id=server_id, network_info=entries, backend_details=details)

    def share(
        self,
        server: ShareServer,
        size: int = 1,
        rules: Iterable[AccessRule] | None = None,
        extra_specs: dict[str, str] | None = None,
        mount_point_name: str | None = None,
    ) -> Share:
        """A share that everybody may write to, unless `rules` says who may. `extra_specs`: of its
        type."""
        share = Share(
            id=str(uuid.uuid4()),
            share_id=str(uuid.uuid4()),
            size=size,
            share_proto="NFS",
            pool="pool",
            share_server_id=server.id,
            extra_specs=extra_specs or {},
            mount_point_name=mount_point_name,
        )
        self._shares.append((share.id, server.id))
        locations = self.driver.create_share(share, server)
        given = [rule(to) for to in EVERYBODY] if rules is None else list(rules)
        if given:
            assert self.driver.update_access(share, given, server) == {}
        return msgspec.structs.replace(share, export_locations=locations, access_rules=given)

    def snapshot(
        self, share: Share, server: ShareServer, *, is_mountable: bool = False
    ) -> Snapshot:
        """A snapshot of the share as it is now; one that is mountable is read by whoever uses the
        share."""
        snapshot = self.new_snapshot(share, server, is_mountable=is_mountable)
        taken = self.driver.create_snapshot(snapshot, server)
        return msgspec.structs.replace(
            snapshot,
            export_locations=taken.export_locations or [],
            provider_location=taken.provider_location,
        )

    def new_snapshot(
        self, share: Share, server: ShareServer, *, is_mountable: bool = False
    ) -> Snapshot:
        """One that is not taken yet."""
        rules = (
            [msgspec.structs.replace(given, access_level="ro") for given in share.access_rules]
            if is_mountable
            else []
        )
        id_, snapshot_id = str(uuid.uuid4()), str(uuid.uuid4())
        snapshot = Snapshot(
            id=id_,
            snapshot_id=snapshot_id,
            share=share,
            size=share.size,
            is_mountable=is_mountable,
            access_rules=rules,
        )
        self._shares.append((snapshot.id, server.id))
        return snapshot

    def clone(self, snapshot: Snapshot, server: ShareServer, size: int = 1) -> Share:
        """A share made from the snapshot, that everybody may write to."""
        clone = Share(
            id=str(uuid.uuid4()),
            share_id=str(uuid.uuid4()),
            size=size,
            share_proto="NFS",
            pool="pool",
            share_server_id=server.id,
        )
        self._shares.append((clone.id, server.id))
        locations = self.driver.create_share_from_snapshot(clone, snapshot, server)
        given = [rule(to) for to in EVERYBODY]
        assert self.driver.update_access(clone, given, server) == {}
        return msgspec.structs.replace(clone, export_locations=locations, access_rules=given)

    def client(
        self,
        name: str,
        network: str,
        *addresses: str,
        gateways: Sequence[str] = (),
        forwards: bool = False,
        mac: str | None = None,
    ) -> str:
        """A client's namespace with these addresses, with prefix length, on a network; `forwards`:
        a router's."""
        netns = client_namespace(self.driver, name)
        self._clients.add(netns)
        own = self.driver.layout.namespace
        attach_client(
            own,
            self.network_id(network),
            netns,
            addresses,
            mac,
            gateways=gateways,
            forwards=forwards,
        )
        return netns

    def forget_later(self, share: Share) -> None:
        """A share that the test makes by itself is taken away with the others."""
        self._shares.append((share.id, share.share_server_id or ""))

    def data(self, share: Share) -> Path:
        """Where the share's data is in its pool."""
        return self.driver.file_systems.of(share.share_server_id or "").path(share.id)

    def layout(self, server: ShareServer) -> ServerLayout:
        return self.driver.layout.server(server.id)

    def ganesha(self, server: ShareServer) -> GaneshaServer:
        """The server's processes, as somebody sees them who has not watched them."""
        return GaneshaServer(self.layout(server), Vigil())

    def port_names(self, server: ShareServer) -> list[str]:
        return sorted(plugging.ports_in(self.layout(server).namespace))

    def clear(self) -> None:
        for netns in self._clients:
            detach_client(netns, self.driver.layout.namespace)
        for server_id in self._servers:
            self.driver.teardown_server(server_id, {})
        for share_id, server_id in self._shares:
            with suppress(NotThere):
                self.driver.file_systems.of(server_id).delete(share_id)
        for server_id in self._servers:
            self.driver.file_systems.remove(server_id)


def rule(access_to: str, access_level: str = "rw", access_type: str = "ip") -> AccessRule:
    return AccessRule(
        id=str(uuid.uuid4()),
        access_type=access_type,
        access_to=access_to,
        access_level=access_level,
    )


def path(share: Share, number: int = 0) -> str:
    return share.export_locations[number].path


def paths(locations: Iterable[ExportLocation]) -> list[str]:
    return [location.path for location in locations]


def access_of(netns: str, location: str) -> str:
    """`rw`, `ro` or `none`, as a client there finds it, be it hidden or the connection reset; or
    the error, when it is another one."""

    def try_it(_: object) -> str:
        try:
            with Mount(location) as share:
                share.write("file", b"x")
        except NfsError as error:
            words = (("ROFS", "ro"), ("NFS4ERR_NOENT", "none"), ("nfs_service failed", "none"))
            found = [level for name, level in words if name in str(error)]
            return found[0] if found else str(error)
        return "rw"

    return namespaces.inside(netns, try_it)


def routes_of(namespace: str) -> list[str]:
    """Every route and rule of a namespace, as comparable text; without those that the kernel gives
    each link some time after it is up."""

    def act(links: IPRoute) -> list[str]:
        routes = [
            f"{r.get('RTA_TABLE')} {r.get('RTA_DST')}/{r['dst_len']} {r.get('RTA_GATEWAY')} "
            f"{r.get('RTA_OIF')} {r['type']}"
            for r in links.get_routes()
        ]
        rules = [
            f"{r.get('FRA_PRIORITY')} {r.get('FRA_SRC')} {r.get('FRA_TABLE')}"
            for version in (2, 10)
            for r in links.get_rules(family=version)
        ]
        return sorted(text for text in routes + rules if "fe80" not in text and "ff00" not in text)

    return namespaces.inside(namespace, act)


def assert_served(netns: str, share: Share) -> None:
    """Written and read by every location."""
    for number, location in enumerate(share.export_locations):
        text = f"by {location.path}"
        answer = probe(netns, "write", location.path, f"file{number}", text)
        assert answer["ok"], answer
        assert probe(netns, "read", location.path, f"file{number}") == {"ok": True, "text": text}


def grow(
    site: Site, server: ShareServer, shares: list[Share], network: str, address: str
) -> tuple[ShareServer, list[Share]]:
    """The server and its shares after one more subnet."""
    added = site.entry(server.id, network, address)
    update = NetworkInfoUpdate(current=server.network_info, added=[added])
    answer = site.driver.update_share_server_network_allocations(update, {}, shares, [])
    grown = msgspec.structs.replace(server, network_info=[*server.network_info, added])
    return grown, [
        msgspec.structs.replace(
            share, export_locations=answer.share_updates[share.id].export_locations
        )
        for share in shares
    ]


def shrink(
    site: Site, server: ShareServer, shares: list[Share], removed: Sequence[NetworkInfo]
) -> tuple[ShareServer, list[Share]]:
    """The server and its shares without these of its subnets."""
    current = [entry for entry in server.network_info if entry not in removed]
    update = NetworkInfoUpdate(current=current, added=[], removed=list(removed))
    answer = site.driver.update_share_server_network_allocations(update, {}, shares, [])
    shrunk = ShareServer(id=server.id, network_info=current, backend_details=answer.backend_details)
    return shrunk, [
        msgspec.structs.replace(
            share, export_locations=answer.share_updates[share.id].export_locations
        )
        for share in shares
    ]
