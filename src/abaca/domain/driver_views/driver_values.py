"""Rows as drivers and network plug-ins see them: shares, share servers and subnets as values.
Snapshots: `snapshot_values`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.tables import network_allocations, share_instances, share_network_subnets
from abaca.db.tables import share_server_share_network_subnet_mappings as mappings
from abaca.db.tables import share_servers as share_servers_table
from abaca.db.tables import shares as shares_table
from abaca.domain.rows import states
from abaca.domain.rows.states import Permit
from abaca.domain.share_servers import share_servers
from abaca.domain.share_types import share_types
from abaca.domain.shares import access_rule_states, export_choices, export_locations
from abaca.domain.shares import share_instances as instances
from abaca.errors import Refused
from abaca.values import (
    ExportLocation,
    Host,
    NetworkAllocation,
    NetworkInfo,
    Share,
    ShareServer,
    Subnet,
    Value,
)

# A share in one of these may have no data: it is being made, deleted or replaced, or that has
# failed.
_SHARE_COLUMNS = (
    "project_id",
    "display_name",
    "size",
    "share_proto",
    "metadata",
    "export_choice",
    "mount_point_name",
)
_RESIZING = ("extending", "shrinking", "reverting")


class ShareState(Value):
    """What decides how work on a share continues. `host` is host@backend#pool. `server_id` is empty
    for a share without a share server. `snapshot_id`: the snapshot that it is made from.

    Stored as a step's result, so it holds no more than that: the values for drivers are read when
    they are called (ADR 0042).
    """

    host: str
    server_id: str
    server_status: str
    size: int
    snapshot_id: str | None
    mount_snapshot_support: bool


def share_state(conn: Connection, instance_id: str) -> ShareState | None:
    """None if the share instance does not exist."""
    row = conn.execute(
        sa.select(
            share_instances.c.host,
            share_instances.c.share_server_id,
            share_servers_table.c.status.label("server_status"),
            shares_table.c.size,
            shares_table.c.snapshot_id,
            shares_table.c.mount_snapshot_support,
        )
        .join(shares_table, shares_table.c.id == share_instances.c.share_id)
        .outerjoin(
            share_servers_table, share_servers_table.c.id == share_instances.c.share_server_id
        )
        .where(share_instances.c.id == instance_id, share_instances.c.host.is_not(None))
    ).one_or_none()
    if row is None:
        return None
    return ShareState(
        host=row.host,
        server_id=row.share_server_id or "",
        server_status=row.server_status or "gone",
        size=row.size,
        snapshot_id=row.snapshot_id,
        mount_snapshot_support=row.mount_snapshot_support,
    )


def share(conn: Connection, instance_id: str) -> Share:
    """A share as drivers see it. Raises Refused if it does not exist."""
    found = shares(conn, share_instances.c.id == instance_id)
    if not found:
        raise Refused(f"The share instance {instance_id} is gone.", is_public=True)
    return found[0]


def shares(conn: Connection, condition: Any) -> list[Share]:
    """The shares whose instances match, as drivers see them, the oldest first, in four
    statements."""
    rows = conn.execute(
        sa.select(share_instances, *[shares_table.c[name] for name in _SHARE_COLUMNS])
        .join(shares_table, shares_table.c.id == share_instances.c.share_id)
        .where(condition)
        .order_by(share_instances.c.created_at, share_instances.c.id)
    ).all()
    locations = export_locations.by_instance(conn, [row.id for row in rows])
    rules = access_rule_states.granted(conn, [row.id for row in rows])
    specs = share_types.KIND.specs_of(conn, {row.share_type_id for row in rows})
    return [
        Share(
            id=row.id,
            share_id=row.share_id,
            project_id=row.project_id,
            name=row.display_name,
            mount_point_name=row.mount_point_name,
            size=row.size,
            share_proto=row.share_proto,
            pool=Host.parse(row.host).pool or "",
            share_server_id=row.share_server_id,
            is_complete=row.size != 0 and states.SHARE.permits(row.status, Permit.HAS_ALL_DATA),
            is_resizing=row.status in _RESIZING,
            metadata=row.metadata,
            access_rules=rules.get(row.id, []),
            export_locations=locations_of(locations[row.id]),
            extra_specs=specs[row.share_type_id],
            export_choice=export_choices.of(row),
        )
        for row in rows
        if row.host is not None
    ]


def locations_of(rows: list[sa.Row[Any]]) -> list[ExportLocation]:
    """Export locations as drivers see them."""
    return [
        ExportLocation(
            path=row.path,
            ip_version=row.ip_version,
            preferred=row.preferred,
            is_admin_only=row.is_admin_only,
        )
        for row in rows
    ]


def shares_of_server(conn: Connection, share_server_id: str) -> list[Share]:
    """The shares on a server, the oldest first, without those that are being deleted or were not
    taken over."""
    return shares(conn, (share_instances.c.share_server_id == share_server_id) & _is_there())


def shares_of_back_end(conn: Connection, service_host: str) -> list[Share]:
    """The same of a back end (host@backend) without share servers."""
    return shares(conn, instances.without_server_on(service_host) & _is_there())


def _is_there() -> sa.ColumnElement[bool]:
    """SQL condition: the back end has the share, for its project. Of one that was never taken over
    it may have anything by that id, whatever the status of the share has become since."""
    on_it = share_instances.c.status.in_(states.SHARE.permitted[Permit.IS_ON_SERVER])
    return on_it & (shares_table.c.size > 0) & shares_table.c.deletion_deferred_at.is_(None)


def server_of_share(conn: Connection, share_server_id: str) -> ShareServer | None:
    """The server of a share, by `ShareState`; None for a share without one."""
    return share_server(conn, share_server_id) if share_server_id else None


def share_server(conn: Connection, share_server_id: str) -> ShareServer:
    """The server as drivers see it: the networks that it has addresses on, the oldest first."""
    return ShareServer(
        id=share_server_id,
        network_info=network_info(conn, share_server_id),
        backend_details=share_servers.details_of(conn, share_server_id),
    )


def server_with_added_subnets(conn: Connection, share_server_id: str) -> ShareServer:
    """The server as drivers see it, including a subnet that is being added and has addresses.

    For a restart: the work that adds the subnet continues where it was, and may not repeat the
    driver's call.
    """
    server = share_server(conn, share_server_id)
    if share_servers.status_of(conn, share_server_id)[0] != "network_change":
        return server
    coming = network_info(conn, share_server_id, served=False)
    return msgspec.structs.replace(server, network_info=[*server.network_info, *coming])


def network_info(
    conn: Connection, share_server_id: str, *, served: bool = True
) -> list[NetworkInfo]:
    """One entry per subnet with the server's allocations on it, the oldest subnet first; either
    those that it serves, or those that are being added."""
    return network_infos(conn, [share_server_id], served=served)[share_server_id]


def network_infos(
    conn: Connection, share_server_ids: Collection[str], *, served: bool = True
) -> dict[str, list[NetworkInfo]]:
    """The same for several servers, by server, in one statement."""
    subnet_columns = [c for c in share_network_subnets.c if c.name not in network_allocations.c]
    rows = conn.execute(
        sa.select(network_allocations, *subnet_columns)
        .join(
            share_network_subnets,
            share_network_subnets.c.id == network_allocations.c.share_network_subnet_id,
        )
        .join(
            mappings,
            (mappings.c.share_server_id == network_allocations.c.share_server_id)
            & (mappings.c.share_network_subnet_id == network_allocations.c.share_network_subnet_id),
        )
        .where(
            network_allocations.c.share_server_id.in_(share_server_ids),
            mappings.c.is_served == served,
        )
        .order_by(
            share_network_subnets.c.created_at,
            share_network_subnets.c.id,
            network_allocations.c.position,
        )
    ).all()
    by_place: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for row in rows:
        by_place[row.share_server_id, row.share_network_subnet_id].append(row)
    found: dict[str, list[NetworkInfo]] = {server_id: [] for server_id in share_server_ids}
    for (server_id, subnet_id), entries in by_place.items():
        found[server_id].append(
            NetworkInfo(
                server_id=server_id,
                share_network_subnet_id=subnet_id,
                subnet=subnet(entries[0]),
                subnet_metadata=entries[0].metadata,
                is_draining=entries[0].removal_started_at is not None,
                network_allocations=[
                    NetworkAllocation(id=e.id, ip_address=e.ip_address, mac_address=e.mac_address)
                    for e in entries
                ],
            )
        )
    return found


def subnet(row: Any) -> Subnet:
    """A share network subnet that has been looked up, as network plug-ins and drivers see it."""
    return Subnet(
        neutron_net_id=row.neutron_net_id,
        neutron_subnet_id=row.neutron_subnet_id,
        cidr=row.cidr,
        ip_version=row.ip_version,
        gateway=row.gateway,
        mtu=row.mtu,
        network_type=row.network_type,
        segmentation_id=row.segmentation_id,
        physical_network=row.physical_network,
        is_local=row.is_local,
    )
