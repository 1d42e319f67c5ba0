"""The addresses of share servers on their subnets: what to ask for, storing what was given, and the
end of an addition, good or bad."""

from __future__ import annotations

from collections import defaultdict

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import lock_row, utcnow
from abaca.db.tables import (
    network_allocations,
    services,
    share_instances,
    share_network_subnets,
    share_networks,
    share_servers,
)
from abaca.db.tables import share_server_share_network_subnet_mappings as mappings
from abaca.domain.driver_views import driver_values, snapshot_values
from abaca.domain.rows import messages, states
from abaca.domain.share_servers import share_servers as servers
from abaca.domain.shares import access_rule_states, export_locations
from abaca.domain.snapshots import share_snapshot_instances
from abaca.values import (
    NetworkAllocation,
    NetworkInfo,
    NetworkInfoUpdate,
    ServerUpdate,
    Share,
    Snapshot,
    Subnet,
    Value,
)


class Place(Value):
    """One share network subnet that a server shall be on. `subnet` is None while the network
    plug-in has not been asked what it is."""

    share_network_subnet_id: str
    project_id: str
    neutron_net_id: str | None
    neutron_subnet_id: str | None
    count: int
    subnet: Subnet | None


def places(conn: Connection, share_server_id: str, *, served: bool = True) -> list[Place]:
    """The subnets that a server is on (or, `served=False`, is about to), the oldest first, with
    the addresses it needs on each."""
    rows = conn.execute(
        sa.select(
            share_network_subnets, share_servers.c.project_id, services.c.network_allocations_number
        )
        .join(mappings, mappings.c.share_network_subnet_id == share_network_subnets.c.id)
        .join(share_servers, share_servers.c.id == mappings.c.share_server_id)
        .join(services, services.c.host == share_servers.c.host)
        .where(mappings.c.share_server_id == share_server_id, mappings.c.is_served == served)
        .order_by(share_network_subnets.c.created_at, share_network_subnets.c.id)
    )
    return [
        Place(
            share_network_subnet_id=row.id,
            project_id=row.project_id,
            neutron_net_id=row.neutron_net_id,
            neutron_subnet_id=row.neutron_subnet_id,
            count=row.network_allocations_number,
            subnet=driver_values.subnet(row) if row.cidr else None,
        )
        for row in rows
    ]


class ToSetUp(Value):
    """A server that is to be set up on these places, if it is in `creating`; `reason`: why it is in
    error."""

    status: str
    reason: str | None
    places: list[Place]


def to_set_up(conn: Connection, share_server_id: str) -> ToSetUp:
    """What a share finds that is to be made on the server; `gone` when there is none."""
    status, reason = servers.status_of(conn, share_server_id)
    return ToSetUp(
        status=status,
        reason=reason,
        places=places(conn, share_server_id) if status == "creating" else [],
    )


class ToExtend(Value):
    """A server on `host` that is to get a place more: one in `places`, or none when that has
    gone."""

    host: str
    places: list[Place]


def to_extend(conn: Connection, share_server_id: str, subnet_id: str) -> ToExtend | None:
    """The server and the subnet that it is to be given; None when the server is gone."""
    host = servers.host_of(conn, share_server_id)
    if host is None:
        return None
    coming = places(conn, share_server_id, served=False)
    return ToExtend(
        host=host, places=[place for place in coming if place.share_network_subnet_id == subnet_id]
    )


def with_allocations(
    conn: Connection, share_server_id: str, given: dict[str, list[NetworkAllocation]]
) -> list[NetworkInfo]:
    """Store the addresses that the network plug-in gave; the server's networks with them."""
    store_allocations(conn, share_server_id, given)
    return driver_values.network_info(conn, share_server_id)


def store_allocations(
    conn: Connection, share_server_id: str, given: dict[str, list[NetworkAllocation]]
) -> None:
    """Store the addresses that the network plug-in gave: share network subnet id → allocations.
    Those stored already stay."""
    neutron = dict(
        conn.execute(
            sa.select(share_network_subnets.c.id, share_network_subnets.c.neutron_subnet_id).where(
                share_network_subnets.c.id.in_(given)
            )
        ).all()
    )
    known = set(
        conn.scalars(
            sa.select(network_allocations.c.id).where(
                network_allocations.c.share_server_id == share_server_id
            )
        )
    )
    now = utcnow()
    rows = [
        {
            "id": allocation.id,
            "share_server_id": share_server_id,
            "share_network_subnet_id": subnet_id,
            "position": position,
            "neutron_subnet_id": neutron[subnet_id],
            "ip_address": allocation.ip_address,
            "mac_address": allocation.mac_address,
            "created_at": now,
        }
        for subnet_id, allocations in given.items()
        for position, allocation in enumerate(allocations)
        if allocation.id not in known
    ]
    if rows:
        conn.execute(sa.insert(network_allocations), rows)


class Addition(Value):
    """All that a driver is given when a server gets one more subnet."""

    network_info: NetworkInfoUpdate
    server_details: dict[str, str]
    shares: list[Share]
    snapshots: list[Snapshot]


def addition(conn: Connection, share_server_id: str, subnet_id: str) -> Addition:
    """The server's networks as they are and with the new subnet, its addresses there stored
    already."""
    server = driver_values.share_server(conn, share_server_id)
    added = driver_values.network_info(conn, share_server_id, served=False)
    return Addition(
        network_info=NetworkInfoUpdate(
            current=server.network_info,
            added=[i for i in added if i.share_network_subnet_id == subnet_id],
        ),
        server_details=server.backend_details,
        shares=driver_values.shares(conn, share_instances.c.share_server_id == share_server_id),
        snapshots=snapshot_values.of_server(conn, share_server_id),
    )


def candidates(
    conn: Connection, share_server_ids: list[str], subnet: Subnet
) -> dict[str, Addition]:
    """The same of several servers before anything is stored, for a check, by server: the new subnet
    comes without allocations."""
    current = driver_values.network_infos(conn, share_server_ids)
    details = servers.details_of_all(conn, share_server_ids)
    shares, snapshots = defaultdict(list), defaultdict(list)
    for share in driver_values.shares(
        conn, share_instances.c.share_server_id.in_(share_server_ids)
    ):
        shares[share.share_server_id].append(share)
    for snapshot in snapshot_values.of_servers(conn, share_server_ids):
        snapshots[snapshot.share.share_server_id].append(snapshot)
    found = {}
    for id_ in share_server_ids:
        added = NetworkInfo(
            server_id=id_, share_network_subnet_id="", subnet=subnet, network_allocations=[]
        )
        update = NetworkInfoUpdate(current=current[id_], added=[added])
        found[id_] = Addition(
            network_info=update,
            server_details=details[id_],
            shares=shares[id_],
            snapshots=snapshots[id_],
        )
    return found


def finish_addition(
    conn: Connection, share_server_id: str, subnet_id: str, update: ServerUpdate
) -> None:
    """The server serves the new subnet. Its `active` and, when it was the last, the network's
    commit together."""
    network_id = lock_network(conn, share_server_id)
    if network_id is None:
        return
    conn.execute(
        sa.update(mappings)
        .where(
            mappings.c.share_server_id == share_server_id,
            mappings.c.share_network_subnet_id == subnet_id,
        )
        .values(is_served=True)
    )
    if update.backend_details:
        servers.save_details(
            conn,
            share_server_id,
            {**servers.details_of(conn, share_server_id), **update.backend_details},
        )
    for instance_id, share in update.share_updates.items():
        if share.export_locations is not None:
            export_locations.replace(conn, instance_id, share.export_locations)
    for instance_id, snapshot in update.snapshot_updates.items():
        share_snapshot_instances.changed(conn, instance_id, snapshot)
    restore(conn, network_id, share_server_id)
    access_rule_states.apply_choices_again(conn, share_server_id)


def restore(conn: Connection, share_network_id: str, share_server_id: str) -> None:
    """The server is active again, and with the last one the network; rules that an earlier failure
    put into error are applied again.

    A status that an administrator has set meanwhile stays.
    """
    if servers.status_of(conn, share_server_id)[0] == "network_change":
        states.move(conn, states.SHARE_SERVER, share_server_id, "active", status_reason=None)
    access_rule_states.apply_again(conn, share_instances.c.share_server_id == share_server_id)
    finish_network(conn, share_network_id)


def fail_addition(conn: Connection, share_server_id: str, subnet_id: str, reason: str) -> None:
    """The server could not be given the subnet: it is in error with its shares' rules; the network
    continues with the subnet added.

    Addresses and mapping stay for a retry; the shares stay served on the old subnets.
    """
    fail_change(
        conn,
        share_server_id,
        reason,
        f"A share server could not be given addresses on the new subnet {subnet_id}",
    )


def fail_change(conn: Connection, share_server_id: str, reason: str, what: str) -> None:
    """A change of a server in use went wrong: it is in error with its shares' rules, the project
    gets the message `what: reason`, the network continues."""
    network_id = lock_network(conn, share_server_id)
    if network_id is None:
        return
    # else the change is over, or an administrator has ended it
    if servers.status_of(conn, share_server_id)[0] == "network_change":
        instances = conn.scalars(
            sa.select(share_instances.c.id).where(
                share_instances.c.share_server_id == share_server_id
            )
        )
        # shares before their server, as everybody holds them
        access_rule_states.fail_all(conn, list(instances))
        servers.mark_error(conn, share_server_id, reason)
        _tell(conn, network_id, f"{what}: {reason}")
    finish_network(conn, network_id)


def fail_setup(conn: Connection, share_server_id: str, reason: str) -> None:
    """The server could not be set up and what was made for it has been taken away again."""
    servers.forget_allocations(conn, share_server_id)
    servers.mark_error(conn, share_server_id, reason)


def lock_network(conn: Connection, share_server_id: str) -> str | None:
    """Hold the row of the server's network; its id, or None when there is no such server."""
    network_id = conn.scalar(
        sa.select(share_servers.c.share_network_id).where(share_servers.c.id == share_server_id)
    )
    if network_id is not None:
        lock_row(conn, share_networks, network_id)
    return network_id


def finish_network(conn: Connection, share_network_id: str) -> None:
    changing = sa.select(share_servers.c.id).where(
        share_servers.c.share_network_id == share_network_id,
        share_servers.c.status == "network_change",
    )
    if conn.execute(changing.limit(1)).first() is None:
        states.move(conn, states.SHARE_NETWORK, share_network_id, "active")


def _tell(conn: Connection, share_network_id: str, text: str) -> None:
    project_id = conn.scalar(
        sa.select(share_networks.c.project_id).where(share_networks.c.id == share_network_id)
    )
    messages.create(
        conn,
        project_id=project_id or "",
        resource_type="SHARE_NETWORK",
        resource_id=share_network_id,
        action=messages.Action.UPDATE,
        text=text,
    )
