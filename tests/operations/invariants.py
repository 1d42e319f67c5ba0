"""What is true of an installation at every moment, whoever asks for what at the same time; and what
is true besides when nothing goes on.

Each is a function of one snapshot of the database that gives what is wrong. `ALWAYS` may be asked
while everything is in motion.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from abaca.db.session import is_sqlite, read
from abaca.db.tables import (
    local_ports,
    network_allocations,
    pools,
    quota_usages,
    share_export_locations,
    share_instance_access_map,
    share_instances,
    share_networks,
    share_servers,
    share_snapshots,
    shares,
)
from abaca.db.tables import share_server_share_network_subnet_mappings as mappings
from abaca.domain.rows import states

NOUNS = (
    states.SHARE_NETWORK,
    states.SHARE_SERVER,
    states.SHARE,
    states.SNAPSHOT,
    states.ACCESS_RULES,
    states.ACCESS_RULE,
)
_COUNTED = ("shares", "gigabytes", "share_networks", "snapshots", "snapshot_gigabytes")
_CARRIES = ("creating", "active", "network_change")

Limits = Mapping[str, int]


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """A connection on which all reads see the same moment."""
    if engine.dialect.name == "sqlite":
        with read(engine) as conn:
            yield conn
    else:
        with engine.connect().execution_options(isolation_level="REPEATABLE READ") as conn:
            yield conn


def quotas_are_kept(conn: Connection, limits: Limits) -> list[str]:
    """Of each project what is counted is what is there, and no more than the limit."""
    size = sa.func.coalesce(shares.c.growing_to, shares.c.size)
    there: dict[str, Counter[str]] = defaultdict(Counter)
    for project, number, gigabytes in conn.execute(
        sa.select(shares.c.project_id, sa.func.count(), sa.func.sum(size)).group_by(
            shares.c.project_id
        )
    ):
        there[project].update(shares=number, gigabytes=int(gigabytes))
    column = share_snapshots.c
    for project, number, gigabytes in conn.execute(
        sa.select(column.project_id, sa.func.count(), sa.func.sum(column.size)).group_by(
            column.project_id
        )
    ):
        there[project].update(snapshots=number, snapshot_gigabytes=int(gigabytes))
    networks = (
        sa.select(share_networks.c.project_id, sa.func.count())
        .where(~share_networks.c.is_deleting)
        .group_by(share_networks.c.project_id)
    )
    for project, number in conn.execute(networks):
        there[project].update(share_networks=number)
    whole = (quota_usages.c.user_id == "") & (quota_usages.c.share_type_id == "")
    counted = {row.project_id: row for row in conn.execute(sa.select(quota_usages).where(whole))}
    wrong = []
    for project in there.keys() | counted.keys():
        for resource in _COUNTED:
            used = counted[project]._mapping[resource] if project in counted else 0
            if used != there[project][resource] or used > limits[resource]:
                wrong.append(
                    f"{project}: {used} {resource} counted, {there[project][resource]} there, "
                    f"{limits[resource]} allowed"
                )
    return wrong


def claims_are_right(conn: Connection, _limits: Limits) -> list[str]:
    """Of each pool what is claimed is what its shares have."""
    size = sa.func.sum(sa.func.coalesce(shares.c.growing_to, shares.c.size))
    there = dict(
        conn.execute(
            sa.select(share_instances.c.host, size).join(shares).group_by(share_instances.c.host)
        ).all()
    )
    return [
        f"{row.host}: {row.allocated_capacity_gb} claimed, {there.get(row.host) or 0} there"
        for row in conn.execute(sa.select(pools))
        if row.allocated_capacity_gb != int(there.get(row.host) or 0)
    ]


def pools_are_not_overbooked(conn: Connection, _limits: Limits) -> list[str]:
    """Of each pool no more is claimed than there is."""
    claimed = {
        row.host: (row.allocated_capacity_gb, row.stats["total_capacity_gb"])
        for row in conn.execute(sa.select(pools))
    }
    return [
        f"{host}: {there} claimed of {total}"
        for host, (there, total) in claimed.items()
        if there > total
    ]


def no_server_is_there_twice(conn: Connection, _limits: Limits) -> list[str]:
    """On a back end a share network has one server in use for the same subnets."""
    rows = conn.execute(
        sa.select(
            share_servers.c.id,
            share_servers.c.host,
            share_servers.c.share_network_id,
            mappings.c.share_network_subnet_id,
        )
        .join(mappings, mappings.c.share_server_id == share_servers.c.id)
        .where(share_servers.c.status.in_(_CARRIES))
    ).all()
    subnets = defaultdict(set)
    for row in rows:
        subnets[row.host, row.share_network_id, row.id].add(row.share_network_subnet_id)
    alike = Counter(
        (host, network, frozenset(stands_on)) for (host, network, _), stands_on in subnets.items()
    )
    return [
        f"{number} servers of share network {network} on {host}"
        for (host, network, _), number in alike.items()
        if number > 1
    ]


def paths_are_complete(conn: Connection, _limits: Limits) -> list[str]:
    """A share that is available on a server that is active is reached on every subnet of it."""
    paths: dict[str, int] = dict(
        conn.execute(
            sa.select(share_export_locations.c.share_instance_id, sa.func.count()).group_by(
                share_export_locations.c.share_instance_id
            )
        ).all()
    )
    subnets: dict[str, int] = dict(
        conn.execute(
            sa.select(mappings.c.share_server_id, sa.func.count()).group_by(
                mappings.c.share_server_id
            )
        ).all()
    )
    standing = sa.select(share_instances).join(
        share_servers, share_servers.c.id == share_instances.c.share_server_id
    )
    rows = conn.execute(
        standing.where(share_instances.c.status == "available", share_servers.c.status == "active")
    )
    return [
        f"share {row.share_id}: {paths.get(row.id, 0)} paths, "
        f"{subnets.get(row.share_server_id, 0)} subnets of its server {row.share_server_id}"
        for row in rows
        if paths.get(row.id, 0) != subnets.get(row.share_server_id, 0)
    ]


def what_goes_on_is_somebodys_work(conn: Connection, _limits: Limits) -> list[str]:
    """A status that says that something goes on belongs to work that has not ended."""
    schema = "" if is_sqlite(conn) else "dbos."
    text = sa.text(
        f"SELECT i.inputs FROM {schema}workflow_status s JOIN {schema}workflow_input i ON "
        "i.workflow_uuid = s.workflow_uuid "
        "WHERE s.status IN ('PENDING', 'ENQUEUED', 'DELAYED')"
    )
    work = "\n".join(conn.scalars(text))
    return [
        f"{noun.table.name} {key}: {status}"
        for noun, key, status, about in _passing(conn)
        if not any(one in work for one in about)
    ]


def nothing_goes_on(conn: Connection, _limits: Limits) -> list[str]:
    """No status says so."""
    return [f"{noun.table.name} {key}: {status}" for noun, key, status, _ in _passing(conn)]


def addresses_are_given(conn: Connection, _limits: Limits) -> list[str]:
    """What servers are on, the network plug-in has given to them; that it gives nothing twice is
    a constraint of the database."""
    given = set(
        conn.execute(
            sa.select(local_ports.c.device_id, local_ports.c.subnet_id, local_ports.c.ip_address)
        ).all()
    )
    table = network_allocations.c
    taken = conn.execute(
        sa.select(table.share_server_id, table.neutron_subnet_id, table.ip_address)
    )
    return [
        f"{address} of share server {server}"
        for server, subnet, address in taken
        if (server, subnet, address) not in given
    ]


ALWAYS: tuple[Callable[[Connection, Limits], list[str]], ...] = (
    quotas_are_kept,
    claims_are_right,
    pools_are_not_overbooked,
    no_server_is_there_twice,
    paths_are_complete,
    what_goes_on_is_somebodys_work,
)


AT_REST = (*ALWAYS, nothing_goes_on, addresses_are_given)


def broken(engine: Engine, limits: Limits, *, at_rest: bool = False) -> list[str]:
    """What is wrong at this moment. `at_rest`: no work is left."""
    with snapshot(engine) as conn:
        return [
            f"{invariant.__name__}: {wrong}"
            for invariant in (AT_REST if at_rest else ALWAYS)
            for wrong in invariant(conn, limits)
        ]


def _passing(conn: Connection) -> Iterator[tuple[states.Noun, str, str, list[str]]]:
    """What is on its way: noun, id, status, and the ids of which the owning work names one."""
    for noun in NOUNS:
        status = noun.table.c[noun.column]
        for row in conn.execute(
            sa.select(noun.table.c.id, status.label("status")).where(status.in_(noun.in_progress))
        ):
            yield noun, row.id, row.status, [row.id, *_owners(conn, noun, row.id)]


def _owners(conn: Connection, noun: states.Noun, key: str) -> list[str]:
    """Whose work also moves this one: servers that of their network, shares that of a server in the
    making, and of their rules."""
    query = None
    if noun is states.SHARE_NETWORK:
        query = sa.select(share_servers.c.id).where(
            share_servers.c.share_network_id == key, share_servers.c.status == "network_change"
        )
    elif noun is states.SHARE_SERVER:
        query = sa.select(share_instances.c.id).where(share_instances.c.share_server_id == key)
    elif noun is states.ACCESS_RULE:
        query = sa.select(share_instance_access_map.c.share_instance_id).where(
            share_instance_access_map.c.id == key
        )
    return [] if query is None else list(conn.scalars(query))
