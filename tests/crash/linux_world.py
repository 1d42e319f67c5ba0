"""What a Linux back end must have made of this machine once nothing goes on: what the rows say, and
nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_address
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from abaca.db.session import read
from abaca.db.tables import (
    network_allocations,
    share_instances,
    share_network_subnets,
    share_servers,
    share_snapshot_instances,
    share_snapshots,
    shares,
)
from abaca.drivers.linux import inventory, namespaces, routing
from abaca.drivers.linux.file_services.nfs.exports import ExportBus, export_ids
from abaca.drivers.linux.layout import Layout
from abaca.drivers.linux.pools.cephfs.cluster import Cluster, Reached
from abaca.drivers.linux.pools.cephfs.file_systems import PROOF
from abaca.drivers.linux.pools.cephfs.pool import VOLUMES
from abaca.drivers.linux.wires import plugging
from abaca.drivers.linux.wires.interface import Port
from tests.ceph_cluster import FILESYSTEM, Ceph

RT_SCOPE_UNIVERSE = 0
_IS_ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def violations(
    engine: Engine,
    namespace: str,
    worker_folder: Path,
    backend: str,
    ceph: Ceph | None = None,
) -> list[str]:
    """No client may be attached. Everything must have ended well: nouns in error are expected to be
    whole, too. `ceph`: shares are in that, not in a pool of this machine."""
    layout = Layout(namespace, worker_folder, backend)
    with read(engine) as conn:
        # One that never became active has nothing here, nor have its shares: it goes by itself
        # within a minute.
        never_stood = (share_servers.c.status == "error") & share_servers.c.identifier.is_(None)
        servers = set(conn.scalars(sa.select(share_servers.c.id).where(~never_stood)))
        held = conn.execute(
            sa.select(network_allocations, share_network_subnets.c.neutron_net_id).join(
                share_network_subnets,
                share_network_subnets.c.id == network_allocations.c.share_network_subnet_id,
            )
        ).all()
        instances = {
            row.id: row.share_server_id
            for row in conn.execute(sa.select(share_instances))
            if row.share_server_id in servers
        }
        snapshots = {
            row.id: (row.share_server_id, row.is_mounted)
            for row in conn.execute(
                sa.select(
                    share_snapshot_instances.c.id,
                    share_instances.c.share_server_id,
                    sa.and_(  # members of group snapshots are not mounted
                        shares.c.mount_snapshot_support,
                        share_snapshots.c.share_group_snapshot_id.is_(None),
                    ).label("is_mounted"),
                )
                .join(
                    share_instances,
                    share_instances.c.id == share_snapshot_instances.c.share_instance_id,
                )
                .join(shares, shares.c.id == share_instances.c.share_id)
                .join(
                    share_snapshots, share_snapshots.c.id == share_snapshot_instances.c.snapshot_id
                )
            )
            if row.share_server_id in servers  # else of a back end without share servers
        }
    published = dict(instances) | {
        id_: server for id_, (server, is_mounted) in snapshots.items() if is_mounted
    }
    ports = {
        Port(
            layout.server(row.share_server_id).namespace,
            row.share_server_id,
            row.neutron_net_id,
            row.mac_address,
            0,
        ).name: row
        for row in held
    }
    there = inventory.leftovers(namespace, worker_folder)
    found = _compared(
        "namespace",
        there["namespaces"],
        [namespace, *(layout.server(id_).namespace for id_ in servers)],
    )
    found += _compared(
        "link",
        there["links"],
        [*ports, *{plugging.bridge_name(row.neutron_net_id) for row in held}],
    )
    mounted = [] if ceph else [layout.state / "pool"]
    for one in map(layout.server, servers):
        mounted += [one.mounts, one.logs, one.run, one.exports, one.recovery]
    if ceph is None:
        mounted += (layout.server(server).mount_point(id_) for id_, server in published.items())
    found += _compared("mount", there["mounts"], map(str, mounted))
    found += _compared(
        "export file",
        there["exports"],
        (str(layout.server(server).export_file(id_)) for id_, server in published.items()),
    )
    if ceph is None:
        pool = layout.state / "pool" / namespace
        found += _compared(
            "subvolume", there["subvolumes"], (str(pool / id_) for id_ in (*instances, *snapshots))
        )
    else:
        of_snapshots = {f"{server}/{id_}" for id_, (server, _) in snapshots.items()}
        wanted = {
            "groups": servers,
            "subvolumes": {f"{server}/{id_}" for id_, server in instances.items()},
            "snapshots": of_snapshots,
            "users": {*instances, *(f"nfs.{server}" for server in servers)},
        }
        for kind, names in in_ceph(ceph, namespace).items():
            found += _compared(f"of {kind} in Ceph,", names, wanted[kind])
    found += _compared("folder of a server", _names(layout.servers), servers)
    found += _compared("run folder of a server", _names(layout.run), servers)
    if len(there["loop_devices"]) != (0 if ceph else 1):
        found.append(f"loop devices: {there['loop_devices']}")
    if len(there["processes"]) != 2 * len(servers):
        found.append(f"{len(there['processes'])} processes for {len(servers)} servers")
    for server in servers & {path.name for path in layout.servers.glob("*")}:
        one = layout.server(server)
        addresses = [row.ip_address for row in held if row.share_server_id == server]
        own_ports = [name for name, row in ports.items() if row.share_server_id == server]
        if one.namespace in there["namespaces"]:
            found += _compared(f"port of {server}", plugging.ports_in(one.namespace), own_ports)
            found += _compared(f"address of {server}", addresses_in(one.namespace), addresses)
            found += _compared(
                f"route from an address of {server}", routing.addresses_of(one.namespace), addresses
            )
            told = map(str, ExportBus(one.bus_socket).active())
            found += _compared(
                f"export told to the NFS server {server}", told, map(str, export_ids(one).values())
            )
    return found


def in_ceph(ceph: Ceph, prefix: str) -> dict[str, set[str]]:
    """What of an installation is there, by kind, without prefixes: groups, subvolumes and snapshots
    as `group/name`, users. What the proof at each start needs is left out."""
    reached = Reached(str(ceph.config), "admin", str(ceph.keyring), FILESYSTEM, ceph.storage)
    cluster = Cluster(reached, guard=lambda: None)
    try:
        groups = {
            name.removeprefix(f"{prefix}."): cluster.ask("contents", f"{VOLUMES}/{name}")
            for name in cluster.ask("names", VOLUMES)
            if name.startswith(f"{prefix}.") and not name.startswith(f"{prefix}.{PROOF}")
        }
    finally:
        cluster.close()
    subvolumes = {
        (group, name.removeprefix(f"{prefix}.")): each["snapshots"]
        for group, contents in groups.items()
        for name, each in contents.items()
    }
    (known,) = ceph.ask(("auth ls", "", {}))
    entities = [each["entity"] for each in known["auth_dump"]]
    users = {
        kind + entity.removeprefix(start)
        for entity in entities
        for kind, start in (
            ("", f"client.abaca.{prefix}."), ("nfs.", f"client.abaca.nfs.{prefix}.")
        )
        if entity.startswith(start)
    }  # fmt: skip
    return {
        "groups": {*groups},
        "subvolumes": {f"{group}/{name}" for group, name in subvolumes},
        "snapshots": {f"{group}/{id_}" for (group, _), ids in subvolumes.items() for id_ in ids},
        "users": {name for name in users if _IS_ID.fullmatch(name.removeprefix("nfs."))},
    }


def addresses_in(namespace: str) -> set[str]:
    """The addresses of its interfaces that reach further than the link."""
    found = namespaces.inside(
        namespace,
        lambda links: [
            (address.get("IFA_ADDRESS"), address["scope"]) for address in links.get_addr()
        ],
    )
    return {str(ip_address(address)) for address, scope in found if scope == RT_SCOPE_UNIVERSE}


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []


def _compared(what: str, there: Iterable[str], wanted: Iterable[str]) -> list[str]:
    """Both ways."""
    there, wanted = set(there), set(wanted)
    return [
        f"{what} {name} is there, and belongs to nothing" for name in sorted(there - wanted)
    ] + [f"{what} {name} is not there" for name in sorted(wanted - there)]
