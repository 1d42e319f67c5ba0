"""The addresses of share servers on their subnets: what to ask for, storing what was given, and how
a change of the networks of servers in use begins and ends, good or bad.

One row of `share_server_share_network_subnet_mappings` says where a change stands:

| `is_served` | `is_leaving` | the server |
|---|---|---|
| yes | no | serves the subnet |
| no | no | is being given it, or could not be |
| yes | yes | is giving it up, or could not; it serves it as long as nobody says otherwise |
| no | yes | has given it up; its addresses there go back to the network plug-in |
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import lock_row, utcnow
from abaca.db.tables import (
    network_allocations,
    services,
    share_instances,
    share_networks,
    share_servers,
)
from abaca.db.tables import share_network_subnets as subnet_table
from abaca.db.tables import share_server_share_network_subnet_mappings as mappings
from abaca.domain.driver_views import driver_values, snapshot_values
from abaca.domain.network_changes import share_network_checks as checks
from abaca.domain.rows import states
from abaca.domain.share_networks import share_network_messages
from abaca.domain.share_networks import share_network_subnets as subnets
from abaca.domain.share_servers import server_hosts
from abaca.domain.share_servers import share_servers as servers
from abaca.domain.shares import access_rule_states
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
from abaca.workflow.queue import enqueue


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
        sa.select(subnet_table, share_servers.c.project_id, services.c.network_allocations_number)
        .join(mappings, mappings.c.share_network_subnet_id == subnet_table.c.id)
        .join(share_servers, share_servers.c.id == mappings.c.share_server_id)
        .join(services, services.c.host == share_servers.c.host)
        .where(mappings.c.share_server_id == share_server_id, mappings.c.is_served == served)
        .order_by(subnet_table.c.created_at, subnet_table.c.id)
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
    gone. `has_addresses`: some are stored there already, so the driver may have been asked."""

    host: str
    places: list[Place]
    has_addresses: bool = True


def to_extend(conn: Connection, share_server_id: str, subnet_id: str) -> ToExtend | None:
    """The server and the subnet that it is to be given; None when the server is gone."""
    host = servers.host_of(conn, share_server_id)
    if host is None:
        return None
    coming = places(conn, share_server_id, served=False)
    stored = sa.select(network_allocations.c.id).where(_addresses(share_server_id, subnet_id))
    return ToExtend(
        host=host,
        places=[place for place in coming if place.share_network_subnet_id == subnet_id],
        has_addresses=conn.execute(stored.limit(1)).first() is not None,
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
            sa.select(subnet_table.c.id, subnet_table.c.neutron_subnet_id).where(
                subnet_table.c.id.in_(given)
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


class ToShrink(Value):
    """A server on `host` that is to give a subnet up. `is_served` False: the back end has let go of
    it already."""

    host: str
    is_served: bool


def to_shrink(conn: Connection, share_server_id: str, subnet_id: str) -> ToShrink | None:
    """None when the server is gone or does not leave the subnet (any more)."""
    host = servers.host_of(conn, share_server_id)
    mapping = conn.execute(
        sa.select(mappings).where(
            servers.mapping_of(share_server_id, subnet_id), mappings.c.is_leaving
        )
    ).one_or_none()
    if host is None or mapping is None:
        return None
    return ToShrink(host=host, is_served=mapping.is_served)


class NetworkChange(Value):
    """All that a driver is given when the networks of a server change."""

    network_info: NetworkInfoUpdate
    server_details: dict[str, str]
    shares: list[Share]
    snapshots: list[Snapshot]


def addition(conn: Connection, share_server_id: str, subnet_id: str) -> NetworkChange:
    """The server's networks as they are and with the new subnet, its addresses there stored
    already."""
    added = driver_values.network_info(conn, share_server_id, served=False)
    update = NetworkInfoUpdate(
        current=driver_values.network_info(conn, share_server_id),
        added=[i for i in added if i.share_network_subnet_id == subnet_id],
    )
    return _changes(conn, {share_server_id: update})[share_server_id]


def additions(
    conn: Connection, share_server_ids: list[str], subnet: Subnet
) -> dict[str, NetworkChange]:
    """The same of several servers before anything is stored, for a check, by server: the new subnet
    comes without allocations."""
    current = driver_values.network_infos(conn, share_server_ids)
    updates = {}
    for id_ in share_server_ids:
        added = NetworkInfo(
            server_id=id_, share_network_subnet_id="", subnet=subnet, network_allocations=[]
        )
        updates[id_] = NetworkInfoUpdate(current=current[id_], added=[added])
    return _changes(conn, updates)


def removal(conn: Connection, share_server_id: str, subnet_id: str) -> NetworkChange:
    """The server's networks that stay, and the one that goes with its addresses."""
    return removals(conn, [share_server_id], subnet_id)[share_server_id]


def removals(
    conn: Connection, share_server_ids: list[str], subnet_id: str
) -> dict[str, NetworkChange]:
    """The same of several servers, by server."""
    served = driver_values.network_infos(conn, share_server_ids)
    updates = {
        id_: NetworkInfoUpdate(
            current=[i for i in served[id_] if i.share_network_subnet_id != subnet_id],
            added=[],
            removed=[i for i in served[id_] if i.share_network_subnet_id == subnet_id],
        )
        for id_ in share_server_ids
    }
    return _changes(conn, updates)


def _changes(conn: Connection, updates: dict[str, NetworkInfoUpdate]) -> dict[str, NetworkChange]:
    """By server, with all that stands on each; a fixed number of statements."""
    details = servers.details_of_all(conn, updates)
    shares, snapshots = defaultdict(list), defaultdict(list)
    for share in driver_values.shares(conn, share_instances.c.share_server_id.in_(updates)):
        shares[share.share_server_id].append(share)
    for snapshot in snapshot_values.of_servers(conn, list(updates)):
        snapshots[snapshot.share.share_server_id].append(snapshot)
    return {
        id_: NetworkChange(
            network_info=update,
            server_details=details[id_],
            shares=shares[id_],
            snapshots=snapshots[id_],
        )
        for id_, update in updates.items()
    }


def begin_change(
    conn: Connection,
    share_network_id: str,
    share_server_ids: Sequence[str],
    workflow: str,
    which: str,
    *args: str,
) -> None:
    """Network and servers become network_change, and the work on each server is put into the queue
    of its host: `workflow(server id, *args)`. `which`: see `share_servers.server_work`."""
    states.move(conn, states.SHARE_NETWORK, share_network_id, "network_change")
    states.move(conn, states.SHARE_SERVER, share_server_ids, "network_change")
    rows = conn.execute(
        sa.select(share_servers).where(share_servers.c.id.in_(share_server_ids))
    ).all()
    queues = server_hosts.queues(conn, share_server_ids)
    enqueue(
        conn,
        *[servers.server_work(workflow, queues[row.id], row, which, *args) for row in rows],
    )


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
        .where(servers.mapping_of(share_server_id, subnet_id))
        .values(is_served=True)
    )
    _store_update(conn, share_server_id, update)
    restore(conn, network_id, share_server_id)
    access_rule_states.apply_choices_again(conn, share_server_id)


def let_go(conn: Connection, share_server_id: str, subnet_id: str, update: ServerUpdate) -> None:
    """The back end serves the subnet no more: its export locations go, and nobody sets its
    addresses up again. The network plug-in keeps them until they are released."""
    if lock_network(conn, share_server_id) is None:
        return
    conn.execute(
        sa.update(mappings)
        .where(servers.mapping_of(share_server_id, subnet_id))
        .values(is_served=False)
    )
    forget_allocations(conn, share_server_id, subnet_id)
    _store_update(conn, share_server_id, update)


def finish_removal(conn: Connection, share_server_id: str, subnet_id: str) -> None:
    """The addresses are given back. With the last server the subnet goes, and with the last change
    the network is active again."""
    network_id = lock_network(conn, share_server_id)
    if network_id is None:
        return
    leave(conn, share_server_id, subnet_id)
    if not checks.live_servers(conn, servers.on_subnets([subnet_id])):
        subnets.retire(conn, subnet_id)
    restore(conn, network_id, share_server_id)
    access_rule_states.apply_choices_again(conn, share_server_id)


def leave(conn: Connection, share_server_id: str, subnet_id: str) -> None:
    """The server has nothing to do with the subnet any more."""
    forget_allocations(conn, share_server_id, subnet_id)
    conn.execute(sa.delete(mappings).where(servers.mapping_of(share_server_id, subnet_id)))


def forget_allocations(conn: Connection, share_server_id: str, subnet_id: str) -> None:
    """Nobody sets the server's addresses on that subnet up again; the network plug-in has them
    until they are released."""
    conn.execute(sa.delete(network_allocations).where(_addresses(share_server_id, subnet_id)))


def _addresses(share_server_id: str, subnet_id: str) -> sa.ColumnElement[bool]:
    """Those of the server on that subnet."""
    of_server = network_allocations.c.share_server_id == share_server_id
    return of_server & (network_allocations.c.share_network_subnet_id == subnet_id)


def _store_update(conn: Connection, share_server_id: str, update: ServerUpdate) -> None:
    """What the driver said of the server, its shares and its snapshots when their networks had
    changed."""
    if update.backend_details:
        servers.save_details(
            conn,
            share_server_id,
            {**servers.details_of(conn, share_server_id), **update.backend_details},
        )
    share_snapshot_instances.moved(conn, update)


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


def fail_removal(conn: Connection, share_server_id: str, subnet_id: str, reason: str) -> None:
    """The server could not give the subnet up: it is in error with its shares' rules; the network
    goes on. What has not been let go of is served on; a retry or an abandonment ends it."""
    fail_change(
        conn, share_server_id, reason, f"A share server could not give up the subnet {subnet_id}"
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
        share_network_messages.about_network(conn, network_id, f"{what}: {reason}")
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
