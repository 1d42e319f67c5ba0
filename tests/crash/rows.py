"""What must hold between the rows of a database once nothing goes on. Each function gives what is
wrong, as sentences; nothing: all is well."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from abaca.db.session import read
from abaca.db.tables import (
    local_ports,
    messages,
    network_allocations,
    pools,
    quota_usages,
    share_access_rules,
    share_backups,
    share_export_locations,
    share_group_snapshots,
    share_groups,
    share_instance_access_map,
    share_instances,
    share_network_subnets,
    share_networks,
    share_servers,
    share_snapshot_export_locations,
    share_snapshot_instances,
    share_snapshots,
    shares,
)
from abaca.db.tables import share_server_share_network_subnet_mappings as mappings
from abaca.domain.capacity.quota_usages import COUNTED
from abaca.domain.rows import states
from abaca.workflow import inspection, queue
from tests.operations import invariants

NOUNS = {
    "share network": states.SHARE_NETWORK,
    "share server": states.SHARE_SERVER,
    "share": states.SHARE,
    "snapshot": states.SNAPSHOT,
    "rules of share": states.ACCESS_RULES,
    "access rule": states.ACCESS_RULE,
    "share group": states.SHARE_GROUP,
    "share group snapshot": states.SHARE_GROUP_SNAPSHOT,
    "backup": states.BACKUP,
    "access rule of a snapshot": states.SNAPSHOT_ACCESS_RULE,
}
INVARIANTS = (
    invariants.backups_go_on_with_their_shares,
    invariants.clones_are_whole,
    invariants.groups_that_are_available_are_somewhere,
    invariants.group_snapshots_are_whole,
    invariants.hints_are_mutual,
    invariants.members_are_where_their_group_is,
    invariants.offered_shares_await_a_transfer,
)
"""Those of a crowd that hold here, too."""


def going_on(conn: Connection) -> list[str]:
    """Nouns in a status that says that something goes on."""
    return [
        f"{what} {id_} is {status}"
        for what, noun in NOUNS.items()
        for id_, status in conn.execute(
            sa.select(noun.table.c.id, noun.table.c[noun.column]).where(
                noun.table.c[noun.column].in_(states.IN_PROGRESS)
            )
        )
    ]


def violations(engine: Engine) -> list[str]:
    """All of it."""
    with read(engine) as conn:
        found = (
            [f"{what}, and nothing works on it" for what in going_on(conn)]
            if not queue.unfinished(engine)
            else ["work has not ended"]
        )
        found += [problem for check in CHECKS for problem in check(conn)]
        found += [problem for invariant in INVARIANTS for problem in invariant(conn, {})]
    return found + [
        f"{work.name} of {work.about} is {work.state}: {work.reason}"
        for work in inspection.find(engine)
    ]


def errors(conn: Connection) -> list[str]:
    """Nouns in error, and what their projects were told."""
    wrong = [
        f"{what} {id_} is in {status}"
        for what, noun in NOUNS.items()
        for id_, status in conn.execute(
            sa.select(noun.table.c.id, noun.table.c[noun.column]).where(
                noun.table.c[noun.column].contains("error")
            )
        )
    ]
    told = (
        [f"told: {text}" for text in conn.scalars(sa.select(messages.c.user_message).distinct())]
        if wrong
        else []
    )
    return wrong + told


def _addresses(conn: Connection) -> list[str]:
    """What the address source has given is what servers hold, each once, and the servers are given
    all that they need."""
    given = {
        row.id: (row.device_id, row.share_network_subnet_id, row.ip_address, row.mac_address)
        for row in conn.execute(sa.select(local_ports))
    }
    held = {
        row.id: (row.share_server_id, row.share_network_subnet_id, row.ip_address, row.mac_address)
        for row in conn.execute(sa.select(network_allocations))
    }
    found = [f"port {id_} {given[id_]} is held by no server" for id_ in given.keys() - held.keys()]
    found += [f"allocation {id_} {held[id_]} was never given" for id_ in held.keys() - given.keys()]
    found += [
        f"port {id_} {given[id_]} is held as {held[id_]}"
        for id_ in given.keys() & held.keys()
        if given[id_] != held[id_]
    ]
    macs = Counter(mac for *_, mac in given.values())
    found += [
        f"the MAC address {mac} was given {number} times"
        for mac, number in macs.items()
        if number > 1
    ]
    places = Counter(
        (row.subnet_id, row.ip_address) for row in conn.execute(sa.select(local_ports))
    )
    return found + [
        f"address {address} of subnet {subnet} was given {number} times"
        for (subnet, address), number in places.items()
        if number > 1
    ]


def _servers(conn: Connection) -> list[str]:
    """A server that is active is on all subnets of its network, with one address each."""
    found = []
    for server in conn.execute(
        sa.select(share_servers).where(share_servers.c.status == "active")
    ).all():
        of_network = share_network_subnets.c.share_network_id == server.share_network_id
        subnets = set(conn.scalars(sa.select(share_network_subnets.c.id).where(of_network)))
        standing = conn.execute(sa.select(mappings).where(mappings.c.share_server_id == server.id))
        mapped = {row.share_network_subnet_id: row.is_served for row in standing}
        of_server = network_allocations.c.share_server_id == server.id
        held = sorted(
            conn.scalars(sa.select(network_allocations.c.share_network_subnet_id).where(of_server))
        )
        if set(mapped) != subnets or not all(mapped.values()):
            found.append(
                f"share server {server.id} is on {mapped}, its network on {sorted(subnets)}"
            )
        if held != sorted(mapped):
            found.append(
                f"share server {server.id} has addresses on {held}, it is on {sorted(mapped)}"
            )
    return found


def _export_locations(conn: Connection) -> list[str]:
    """What is available has a location by every address of its server, and no other; by its mount
    point name, if the share has one. What is on no server has some."""
    found = []
    kinds = (
        ("shares", share_instances, share_export_locations, "share_instance_id", sa.true()),
        (
            "snapshots",
            share_snapshot_instances,
            share_snapshot_export_locations,
            "share_snapshot_instance_id",
            shares.c.mount_snapshot_support,
        ),
    )
    for folder, table, locations, column, condition in kinds:
        named = shares.c.mount_point_name if table is share_instances else sa.null()
        query = (
            sa.select(table.c.id, share_instances.c.share_server_id, named)
            .select_from(share_instances)
            .join(shares)
        )
        if table is not share_instances:
            query = query.join(table, table.c.share_instance_id == share_instances.c.id)
        if table is share_snapshot_instances:  # members of group snapshots are not mounted
            query = query.join(share_snapshots, share_snapshots.c.id == table.c.snapshot_id).where(
                share_snapshots.c.share_group_snapshot_id.is_(None)
            )
        for id_, server_id, name in conn.execute(
            query.where(table.c.status == "available", condition)
        ).all():
            there = sorted(
                conn.scalars(sa.select(locations.c.path).where(locations.c[column] == id_))
            )
            if server_id is None:
                if not there or not all(path.endswith(f"/{name or id_}") for path in there):
                    found.append(f"{folder} {id_} has export locations {there}")
                continue
            addresses = conn.scalars(
                sa.select(network_allocations.c.ip_address).where(
                    network_allocations.c.share_server_id == server_id
                )
            )
            wanted = sorted(
                f"{f'[{address}]' if ':' in address else address}:/{folder}/{id_}"
                for address in addresses
            )
            if there != wanted or not wanted:
                found.append(f"{folder} {id_} has export locations {there} instead of {wanted}")
    return found


class _Stored(NamedTuple):
    """A share or snapshot as quotas count it."""

    project_id: str
    user_id: str | None
    share_type_id: str
    size: int


def _quotas(conn: Connection) -> list[str]:
    """What is counted is what is there, and is not to go by a deferred deletion."""
    wanted: Counter[tuple[str, str, str, str]] = Counter()

    def count(project: str, user: str | None, share_type: str | None, /, **amounts: int) -> None:
        scopes = {(project, "", ""), (project, user or "", "")} | (
            {(project, "", share_type)} if share_type else set()
        )
        for scope in scopes:
            for resource, amount in amounts.items():
                wanted[(*scope, resource)] += amount

    claimed = sa.func.coalesce(shares.c.growing_to, shares.c.size)
    for row in conn.execute(
        sa.select(shares.c.project_id, shares.c.user_id, share_instances.c.share_type_id, claimed)
        .join(share_instances)
        .where(shares.c.deletion_deferred_at.is_(None))
    ):
        stored = _Stored(*row)
        count(*stored[:3], shares=1, gigabytes=stored.size)
    for row in conn.execute(
        sa.select(
            share_snapshots.c.project_id,
            share_snapshots.c.user_id,
            share_instances.c.share_type_id,
            share_snapshots.c.size,
        )
        .join(
            share_snapshot_instances, share_snapshot_instances.c.snapshot_id == share_snapshots.c.id
        )
        .join(share_instances, share_instances.c.id == share_snapshot_instances.c.share_instance_id)
        .where(share_snapshots.c.deletion_deferred_at.is_(None))
    ):
        stored = _Stored(*row)
        count(*stored[:3], snapshots=1, snapshot_gigabytes=stored.size)
    for backup in conn.execute(sa.select(share_backups)):
        count(backup.project_id, backup.user_id, None, backups=1, backup_gigabytes=backup.size)
    for resource, table in (
        ("share_groups", share_groups),
        ("share_group_snapshots", share_group_snapshots),
    ):
        for project, user in conn.execute(sa.select(table.c.project_id, table.c.user_id)):
            count(project, user, None, **{resource: 1})
    for network in conn.execute(sa.select(share_networks).where(~share_networks.c.is_deleting)):
        count(network.project_id, network.user_id, None, share_networks=1)
    counted = {
        (row["project_id"], row["user_id"], row["share_type_id"], resource): row[resource]
        for row in conn.execute(sa.select(quota_usages)).mappings()
        for resource in COUNTED
    }
    return [
        f"{resource} of project {project}, user '{user}', type '{share_type}': "
        f"{counted.get((project, user, share_type, resource), 0)} counted, "
        f"{wanted[project, user, share_type, resource]} there"
        for project, user, share_type, resource in sorted(counted.keys() | wanted.keys())
        if counted.get((project, user, share_type, resource), 0)
        != wanted[project, user, share_type, resource]
    ]


def _pools(conn: Connection) -> list[str]:
    """What is claimed on a pool is what its shares have."""
    claimed = sa.func.sum(sa.func.coalesce(shares.c.growing_to, shares.c.size))
    by_host = (
        sa.select(share_instances.c.host, claimed)
        .join(shares)
        .where(share_instances.c.host.is_not(None))
        .group_by(share_instances.c.host)
    )
    wanted: dict[str, Any] = dict(conn.execute(by_host).all())
    found = dict(conn.execute(sa.select(pools.c.host, pools.c.allocated_capacity_gb)).all())
    return [
        f"pool {host}: {found.get(host, 0)} GiB claimed, {wanted.get(host, 0)} there"
        for host in found.keys() | wanted.keys()
        if found.get(host, 0) != wanted.get(host, 0)
    ]


def _half_gone(conn: Connection) -> list[str]:
    """Nothing waits for an end that has come: deleted networks without servers, claims for a growth
    that is over, rules in between."""
    used = (
        sa.select(share_servers.c.id)
        .where(share_servers.c.share_network_id == share_networks.c.id)
        .exists()
    )
    deleted = sa.select(share_networks.c.id).where(share_networks.c.is_deleting, ~used)
    found = [f"share network {id_} is deleted and still there" for id_ in conn.scalars(deleted)]
    growing = (
        sa.select(shares.c.id)
        .join(share_instances)
        .where(shares.c.growing_to.is_not(None), share_instances.c.status == "available")
    )
    found += [f"share {id_} is available and claims a growth" for id_ in conn.scalars(growing)]
    unsettled = (
        sa.select(share_instance_access_map.c.access_id, share_instance_access_map.c.state)
        .join(
            share_instances, share_instances.c.id == share_instance_access_map.c.share_instance_id
        )
        .where(
            share_instances.c.access_rules_status == "active",
            share_instance_access_map.c.state != "active",
        )
    )
    is_somewhere = sa.exists().where(
        share_instance_access_map.c.access_id == share_access_rules.c.id
    )
    lost = conn.scalars(sa.select(share_access_rules.c.id).where(~is_somewhere))
    found += [f"access rule {id_} is on no instance of its share" for id_ in lost]
    return found + [
        f"access rule {id_} is {state}, the rules of its share are active"
        for id_, state in conn.execute(unsettled)
    ]


CHECKS: tuple[Callable[[Connection], list[str]], ...] = (
    _addresses,
    _servers,
    _export_locations,
    _quotas,
    _pools,
    _half_gone,
)
