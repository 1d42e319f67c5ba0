"""What is true of an installation at every moment, whoever asks for what at the same time; and what
is true besides when nothing goes on.

Each is a function of one snapshot of the database that gives what is wrong. `ALWAYS` may be asked
while everything is in motion.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from abaca.db.session import is_sqlite, read
from abaca.db.tables import (
    local_ports,
    messages,
    network_allocations,
    pools,
    quota_usages,
    share_access_rules,
    share_backups,
    share_export_locations,
    share_group_share_type_mappings,
    share_group_snapshots,
    share_groups,
    share_instance_access_map,
    share_instances,
    share_network_subnets,
    share_networks,
    share_servers,
    share_snapshot_access_rules,
    share_snapshot_export_locations,
    share_snapshot_instance_access_map,
    share_snapshot_instances,
    share_snapshots,
    share_transfers,
    shares,
)
from abaca.db.tables import share_server_share_network_subnet_mappings as mappings
from abaca.domain.rows import states
from abaca.domain.rows.draining import DRAINS
from abaca.domain.share_servers import share_servers as servers
from abaca.domain.shares import affinity, export_choices
from abaca.values import ExportChoice

NOUNS = (
    states.SHARE_NETWORK,
    states.SHARE_SERVER,
    states.SHARE,
    states.SHARE_GROUP,
    states.SHARE_GROUP_SNAPSHOT,
    states.SNAPSHOT,
    states.BACKUP,
    states.ACCESS_RULES,
    states.ACCESS_RULE,
    states.SNAPSHOT_ACCESS_RULE,
)
_COUNTED = (
    *("shares", "gigabytes", "share_networks", "snapshots", "snapshot_gigabytes"),
    *("backups", "backup_gigabytes", "share_groups"),
    "share_group_snapshots",
)
_CARRIES = ("creating", "active", "network_change")

_UNFINISHED = "s.status IN ('PENDING', 'ENQUEUED', 'DELAYED')"

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


def in_use(
    conn: Connection,
) -> tuple[dict[str, dict[str, bool | None]], dict[str, tuple[ExportChoice, set[str]]]]:
    """What back ends shall hold when nothing goes on. Of each active share server its subnets, and
    whether they drain; None: its driver could not be told, but the project was. Of each share
    instance there with active rules its choice of subnets, and the addresses that rules admit."""
    told = _told_subnets(conn)
    subnets: dict[str, dict[str, bool | None]] = defaultdict(dict)
    standing = (
        sa.select(mappings, DRAINS.label("drains"))
        .join(share_servers)
        .join(share_network_subnets)
        .where(share_servers.c.status == "active")
    )
    for row in conn.execute(standing):
        key = row.share_network_subnet_id
        subnets[row.share_server_id][key] = None if key in told else row.drains
    rules = defaultdict(set)
    for row in conn.execute(
        sa.select(
            share_instance_access_map.c.share_instance_id, share_access_rules.c.access_to
        ).join(share_access_rules)
    ):
        rules[row.share_instance_id].add(row.access_to)
    instances = {
        share.id: (export_choices.of(share), rules[share.id])
        for share in conn.execute(_STANDING)
        if share.access_rules_status == "active"
    }
    return subnets, instances


def without_servers(conn: Connection) -> dict[str, set[str]]:
    """Of each available share instance that is on no share server, with active rules, the addresses
    that these admit."""
    found: dict[str, set[str]] = {}
    admitted = share_access_rules.c.access_to
    for key, address in conn.execute(
        sa.select(share_instances.c.id, admitted)
        .select_from(share_instances)
        .outerjoin(share_instance_access_map)
        .outerjoin(share_access_rules)
        .where(_ALONE, share_instances.c.access_rules_status == "active")
    ):
        found.setdefault(key, set()).update({address} - {None})
    return found


_ALONE = (
    (share_instances.c.status == "available")
    & share_instances.c.share_server_id.is_(None)
    & share_instances.c.host.is_not(None)
)


def mounted_by(conn: Connection) -> dict[str, set[str]]:
    """Of each snapshot instance that clients may mount the addresses that rules admit: those of its
    share unless it follows only rules of its own, and its own. Not of those with a rule that could
    not be enforced, and of shares that are not exported on all subnets."""
    _, of_shares = in_use(conn)
    states_of = defaultdict(set)
    own = defaultdict(set)
    table = share_snapshot_instance_access_map
    for row in conn.execute(
        sa.select(table, share_snapshot_access_rules.c.access_to).join(share_snapshot_access_rules)
    ):
        states_of[row.snapshot_instance_id].add(row.state)
        own[row.snapshot_instance_id].add(row.access_to)
    column = shares.c.snapshot_inherit_share_access_support
    found = {}
    for row in conn.execute(_MOUNTED.add_columns(column.label("inherits"))):
        choice, followed = of_shares.get(row.share_instance_id, (None, set()))
        if choice is not None and choice.is_free and states_of[row.id] <= {"active"}:
            found[row.id] = own[row.id] | (set() if row.inherits is False else followed)
    return found


def quotas_are_kept(conn: Connection, limits: Limits) -> list[str]:
    """Of each project what is counted is what is there, and no more than the limit."""
    size = sa.func.coalesce(shares.c.growing_to, shares.c.size)
    there: dict[str, Counter[str]] = defaultdict(Counter)
    for project, number, gigabytes in conn.execute(
        sa.select(shares.c.project_id, sa.func.count(), sa.func.sum(size))
        .where(shares.c.deletion_deferred_at.is_(None))
        .group_by(shares.c.project_id)
    ):
        there[project].update(shares=number, gigabytes=int(gigabytes))
    column = share_snapshots.c
    for project, number, gigabytes in conn.execute(
        sa.select(column.project_id, sa.func.count(), sa.func.sum(column.size))
        .where(column.deletion_deferred_at.is_(None))
        .group_by(column.project_id)
    ):
        there[project].update(snapshots=number, snapshot_gigabytes=int(gigabytes))
    column = share_backups.c
    for project, number, gigabytes in conn.execute(
        sa.select(column.project_id, sa.func.count(), sa.func.sum(column.size)).group_by(
            column.project_id
        )
    ):
        there[project].update(backups=number, backup_gigabytes=int(gigabytes))
    groups = sa.select(share_groups.c.project_id, sa.func.count())
    for project, number in conn.execute(groups.group_by(share_groups.c.project_id)):
        there[project].update(share_groups=number)
    taken = sa.select(share_group_snapshots.c.project_id, sa.func.count())
    for project, number in conn.execute(taken.group_by(share_group_snapshots.c.project_id)):
        there[project].update(share_group_snapshots=number)
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
    """On a back end a share network has one server in use for the same subnets, or more when they
    have become alike by giving a subnet up."""
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
    changed = "\n".join(_inputs(conn, "s.name = 'share_server_remove_subnet'"))
    subnets = defaultdict(set)
    for row in rows:
        if row.id not in changed:
            subnets[row.host, row.share_network_id, row.id].add(row.share_network_subnet_id)
    alike = Counter(
        (host, network, frozenset(stands_on)) for (host, network, _), stands_on in subnets.items()
    )
    return [
        f"{number} servers of share network {network} on {host}"
        for (host, network, _), number in alike.items()
        if number > 1
    ]


def shares_are_reached_where_they_shall(conn: Connection, _limits: Limits) -> list[str]:
    """A share that is available on a server that is active is reached on every subnet of it that
    is chosen, and on no other. While a subnet drains, only what was there before is reached there;
    and when its end could not be brought about, the project has been told."""
    subnets = defaultdict(list)
    at = {}
    for row in conn.execute(_SERVED):
        subnets[row.share_server_id].append(row)
        at[row.share_server_id, row.ip_address] = row.share_network_subnet_id
    telling = "\n".join(_inputs(conn, f"s.name = 'share_server_update_drains' AND {_UNFINISHED}"))
    told = _told_subnets(conn)
    paths = defaultdict(set)
    for instance, path in conn.execute(_PATHS):
        paths[instance].add(path.rpartition(":/")[0].strip("[]"))
    snapshots = defaultdict(list)
    for row in conn.execute(_MOUNTED):
        snapshots[row.share_instance_id].append(row.id)
    wrong = []
    for share in conn.execute(_STANDING):
        server = share.share_server_id
        choice = export_choices.of(share)
        admitted = [
            row
            for row in subnets[server]
            if share.access_rules_status != "active"  # the choice is being applied
            or choice.admits(row.share_network_subnet_id, row.ip_version)
        ]
        wanted = {
            row.ip_address
            for row in admitted
            if choice.admits(row.share_network_subnet_id, row.ip_version)
            and share.access_rules_status == "active"
            and not row.drains
            and not row.refuses_new_clients
            and row.share_network_subnet_id not in told
            and server not in telling
        }
        most = {row.ip_address for row in admitted}
        wrong += [
            f"{what}: reached by {sorted(by)}, wanted {sorted(wanted)} of server {server}"
            for what, by in _reached(share, paths, snapshots[share.id])
            if not wanted <= by <= most
        ]
    return wrong


def _reached(
    share: sa.Row[Any], paths: Mapping[str, set[str]], snapshots: Iterable[str]
) -> Iterator[tuple[str, set[str]]]:
    """By which addresses a share is reached, and its snapshots that can be mounted."""
    yield f"share {share.share_id}", paths[share.id]
    for snapshot in snapshots:
        yield f"snapshot instance {snapshot} of share {share.share_id}", paths[snapshot]


_PATHS = sa.union_all(
    sa.select(share_export_locations.c.share_instance_id, share_export_locations.c.path),
    sa.select(
        share_snapshot_export_locations.c.share_snapshot_instance_id,
        share_snapshot_export_locations.c.path,
    ),
)
_MOUNTED = (
    sa.select(share_snapshot_instances)
    .join(share_snapshots, share_snapshots.c.id == share_snapshot_instances.c.snapshot_id)
    .join(shares, shares.c.id == share_snapshots.c.share_id)
    .where(
        share_snapshot_instances.c.status == "available",
        shares.c.mount_snapshot_support,
        share_snapshots.c.share_group_snapshot_id.is_(None),
    )
)
_STANDING = (
    sa.select(share_instances, shares.c.export_choice)
    .join(shares, shares.c.id == share_instances.c.share_id)
    .join(share_servers, share_servers.c.id == share_instances.c.share_server_id)
    .where(share_instances.c.status == "available", share_servers.c.status == "active")
)
_SERVED = (
    sa.select(
        mappings,
        network_allocations.c.ip_address,
        share_network_subnets.c.ip_version,
        DRAINS.label("drains"),
    )
    .join(share_network_subnets, share_network_subnets.c.id == mappings.c.share_network_subnet_id)
    .join(
        network_allocations,
        (network_allocations.c.share_server_id == mappings.c.share_server_id)
        & (network_allocations.c.share_network_subnet_id == mappings.c.share_network_subnet_id),
    )
    .where(mappings.c.is_served)
)


def shares_without_servers_are_reached(conn: Connection, _limits: Limits) -> list[str]:
    """A share that is available and on no share server has an export location."""
    located = sa.exists().where(share_export_locations.c.share_instance_id == share_instances.c.id)
    alone = sa.select(share_instances.c.id).where(_ALONE, ~located)
    return [f"share instance {key}" for key in conn.scalars(alone)]


def who_gives_up_is_being_changed(conn: Connection, _limits: Limits) -> list[str]:
    """A server that gives a subnet up, or is being given one, is being changed or in error; and
    a subnet has no deadline unless it drains."""
    settled = (
        sa.select(mappings)
        .join(share_servers)
        .where(
            servers.is_changing(),
            share_servers.c.status.not_in(("network_change", "error", "deleting")),
        )
    )
    stray = sa.select(share_network_subnets).where(
        ~DRAINS,
        share_network_subnets.c.removal_deadline.is_not(None)
        | share_network_subnets.c.removal_at_deadline.is_not(None),
    )
    return [
        *[f"share server {row.share_server_id}: {row}" for row in conn.execute(settled)],
        *[f"subnet {row.id} drains not" for row in conn.execute(stray)],
    ]


def what_goes_on_is_somebodys_work(conn: Connection, _limits: Limits) -> list[str]:
    """A status that says that something goes on belongs to work that has not ended."""
    work = "\n".join(_inputs(conn, _UNFINISHED))
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


def addresses_are_not_kept(conn: Connection, _limits: Limits) -> list[str]:
    """Of a server that is active the network plug-in has given no address that it is not on."""
    taken = sa.select(network_allocations.c.id)
    kept = (
        sa.select(local_ports)
        .join(share_servers, share_servers.c.id == local_ports.c.device_id)
        .where(local_ports.c.id.not_in(taken), share_servers.c.status == "active")
    )
    return [f"{row.ip_address} of share server {row.device_id}" for row in conn.execute(kept)]


def deleted_subnets_are_gone(conn: Connection, _limits: Limits) -> list[str]:
    """A deleted subnet is there for a share server that stands on it."""
    used = sa.select(mappings.c.share_network_subnet_id)
    table = share_network_subnets
    left = sa.select(table.c.id).where(table.c.is_deleting, table.c.id.not_in(used))
    return [f"subnet {key}" for key in conn.scalars(left)]


def backups_go_on_with_their_shares(conn: Connection, _limits: Limits) -> list[str]:
    """A share is being backed up or restored while one backup says so, and no longer."""
    busy = {"backup_creating": "creating", "backup_restoring": "restoring"}
    of_shares = Counter(
        (row.share_id, busy[row.status])
        for row in conn.execute(
            sa.select(share_instances.c.share_id, share_instances.c.status).where(
                share_instances.c.status.in_(busy)
            )
        )
    )
    of_backups = Counter(
        (row.restore_share_id if row.status == "restoring" else row.share_id, row.status)
        for row in conn.execute(
            sa.select(share_backups).where(share_backups.c.status.in_(busy.values()))
        )
    )
    return [
        f"share {share}: {of_backups[share, status]} backups are {status}, the share "
        f"{of_shares[share, status]} times"
        for share, status in of_shares.keys() | of_backups.keys()
        if (of_shares[share, status], of_backups[share, status]) != (1, 1)
    ]


def offered_shares_await_a_transfer(conn: Connection, _limits: Limits) -> list[str]:
    """A share awaits a transfer while it is offered, by its own project, and no longer."""
    awaiting = set(
        conn.execute(
            sa.select(shares.c.id, shares.c.project_id)
            .join(share_instances, share_instances.c.share_id == shares.c.id)
            .where(share_instances.c.status == "awaiting_transfer")
        ).all()
    )
    table = share_transfers.c
    offered = set(conn.execute(sa.select(table.share_id, table.source_project_id)).all())
    return [
        f"share {share} of project {project}: "
        + ("not offered" if (share, project) in awaiting else "awaits no transfer")
        for share, project in awaiting ^ offered
    ]


def hints_are_mutual(conn: Connection, _limits: Limits) -> list[str]:
    """A share whose metadata names another as hint is named by that in turn, in the same
    project."""
    rows = {row.id: row for row in conn.execute(sa.select(shares))}
    return [
        f"share {row.id} names {other} under {key}, which does not name it"
        for row in rows.values()
        for key in (affinity.SAME, affinity.DIFFERENT)
        for other in filter(None, row.metadata.get(key, "").split(","))
        if other not in rows
        or rows[other].project_id != row.project_id
        or row.id not in rows[other].metadata.get(key, "").split(",")
    ]


def members_are_where_their_group_is(conn: Connection, _limits: Limits) -> list[str]:
    """A share in a group is of the group's project and of one of its types, and in its network and
    zone. It is on the group's pool and share server, where it stays; one that failed may be
    nowhere."""
    types = defaultdict(set)
    for mapping in conn.execute(sa.select(share_group_share_type_mappings)):
        types[mapping.share_group_id].add(mapping.share_type_id)
    return [
        f"share {row.share_id}, {row.of_share}, of group {row}"
        for row in conn.execute(_MEMBERS)
        if not row.is_pinned
        or row.share_type_id not in types[row.id]
        or (row.project, row.network, row.zone)
        != (row.project_id, row.share_network_id, row.availability_zone_id)
        or any(
            is_at not in ((group_is_at,) if row.of_share == "available" else (group_is_at, None))
            for is_at, group_is_at in (
                (row.pool, row.host),
                (row.server, row.share_server_id),
            )
        )
    ]


_MEMBERS = (
    sa.select(
        share_groups,
        share_instances.c.share_id,
        share_instances.c.share_type_id,
        share_instances.c.is_pinned,
        share_instances.c.status.label("of_share"),
        share_instances.c.host.label("pool"),
        share_instances.c.share_network_id.label("network"),
        share_instances.c.share_server_id.label("server"),
        share_instances.c.availability_zone_id.label("zone"),
        shares.c.project_id.label("project"),
    )
    .join(shares, shares.c.share_group_id == share_groups.c.id)
    .join(share_instances, share_instances.c.share_id == shares.c.id)
)


def groups_that_are_available_are_somewhere(conn: Connection, _limits: Limits) -> list[str]:
    """Such a group has a pool, and a share server if it is in a share network."""
    available = sa.select(share_groups).where(share_groups.c.status == "available")
    return [
        f"share group {row.id} is nowhere"
        for row in conn.execute(available)
        if row.host is None or (row.share_network_id is None) != (row.share_server_id is None)
    ]


def group_snapshots_are_whole(conn: Connection, _limits: Limits) -> list[str]:
    """An available group snapshot has only available members, and one that goes on has none that
    does something else; each member is of a share of that group and its project."""
    fits = {"available": {"available"}, "creating": {"creating"}, "deleting": {"deleting"}}
    return [
        f"member {row.member} of group snapshot {row.id}, {row.status}, is {row.of_member}"
        for row in conn.execute(_GROUP_SNAPSHOT_MEMBERS)
        if row.of_member not in fits.get(row.status, {row.of_member})
        or (row.group_of_share, row.project) != (row.share_group_id, row.project_id)
    ]


_GROUP_SNAPSHOT_MEMBERS = (
    sa.select(
        share_group_snapshots,
        share_snapshots.c.id.label("member"),
        share_snapshots.c.project_id.label("project"),
        share_snapshot_instances.c.status.label("of_member"),
        shares.c.share_group_id.label("group_of_share"),
    )
    .join(share_snapshots, share_snapshots.c.share_group_snapshot_id == share_group_snapshots.c.id)
    .join(share_snapshot_instances, share_snapshot_instances.c.snapshot_id == share_snapshots.c.id)
    .join(shares, shares.c.id == share_snapshots.c.share_id)
)


def clones_are_whole(conn: Connection, _limits: Limits) -> list[str]:
    """While a group is made from a snapshot, so are its shares; then all of them are there, or none
    is."""
    fits = {"creating": ("creating", "deleting", "deferred_deleting"), "error": _NOT_THERE}
    rows = conn.execute(
        sa.select(share_groups, share_instances.c.status.label("of_share"))
        .join(shares, shares.c.share_group_id == share_groups.c.id)
        .join(share_instances, share_instances.c.share_id == shares.c.id)
        .where(shares.c.source_share_group_snapshot_member_id.is_not(None))
    )
    return [
        f"a share made with group {row.id}, {row.status}, is {row.of_share}"
        for row in rows
        if row.of_share not in fits.get(row.status, (row.of_share,))
        or (row.status == "available" and row.of_share == "creating")
    ]


_NOT_THERE = (
    *("error", "deleting", "deferred_deleting", "error_deleting"),
    "error_deferred_deleting",
)

ALWAYS: tuple[Callable[[Connection, Limits], list[str]], ...] = (
    quotas_are_kept,
    claims_are_right,
    pools_are_not_overbooked,
    no_server_is_there_twice,
    shares_are_reached_where_they_shall,
    who_gives_up_is_being_changed,
    deleted_subnets_are_gone,
    backups_go_on_with_their_shares,
    members_are_where_their_group_is,
    groups_that_are_available_are_somewhere,
    group_snapshots_are_whole,
    clones_are_whole,
    shares_without_servers_are_reached,
    what_goes_on_is_somebodys_work,
    hints_are_mutual,
    offered_shares_await_a_transfer,
)


AT_REST = (*ALWAYS, nothing_goes_on, addresses_are_given, addresses_are_not_kept)


def broken(engine: Engine, limits: Limits, *, at_rest: bool = False) -> list[str]:
    """What is wrong at this moment. `at_rest`: no work is left."""
    with snapshot(engine) as conn:
        return [
            f"{invariant.__name__}: {wrong}"
            for invariant in (AT_REST if at_rest else ALWAYS)
            for wrong in invariant(conn, limits)
        ]


def _inputs(conn: Connection, which: str) -> list[str]:
    """The arguments of the work that the condition on its status `s` is true of."""
    schema = "" if is_sqlite(conn) else "dbos."
    text = (
        f"SELECT i.inputs FROM {schema}workflow_status s JOIN {schema}workflow_input i ON "
        f"i.workflow_uuid = s.workflow_uuid WHERE {which}"
    )
    return list(conn.scalars(sa.text(text)))


def _told_subnets(conn: Connection) -> set[str]:
    """The subnets of which their projects were told that a share server does not know that they
    drain, or do not any more."""
    text = messages.c.user_message
    but = text.startswith("The subnet drains, but") | text.startswith("The subnet does not drain")
    return set(conn.scalars(sa.select(messages.c.resource_id).where(but)))


def _passing(conn: Connection) -> Iterator[tuple[states.Noun, str, str, list[str]]]:
    """What is on its way: noun, id, status, and the ids of which the owning work names one."""
    for noun in NOUNS:
        status = noun.table.c[noun.column]
        for row in conn.execute(
            sa.select(noun.table.c.id, status.label("status")).where(status.in_(noun.in_progress))
        ):
            yield noun, row.id, row.status, [row.id, *_owners(conn, noun, row.id)]


def _owners(conn: Connection, noun: states.Noun, key: str) -> list[str]:
    """Whose work also moves this one: servers that of their network, shares and groups that of a
    server in the making, shares that of their rules or of the group that they are made with,
    members that of their group snapshot."""
    query: sa.Select[Any] | sa.CompoundSelect[Any] | None = None
    if noun is states.SHARE_NETWORK:
        query = sa.select(share_servers.c.id).where(
            share_servers.c.share_network_id == key, share_servers.c.status == "network_change"
        )
    elif noun is states.SHARE_SERVER:
        query = sa.union_all(
            *[
                sa.select(table.c.id).where(table.c.share_server_id == key)
                for table in (share_instances, share_groups)
            ]
        )
    elif noun is states.SHARE:
        made_with_group = shares.c.source_share_group_snapshot_member_id.is_not(None)
        of_instance = sa.select(share_instances.c.share_id).where(share_instances.c.id == key)
        query = sa.select(shares.c.share_group_id).where(
            made_with_group, shares.c.id.in_(of_instance)
        )
    elif noun is states.ACCESS_RULE:
        query = sa.select(share_instance_access_map.c.share_instance_id).where(
            share_instance_access_map.c.id == key
        )
    elif noun is states.SNAPSHOT:
        query = sa.select(share_snapshots.c.share_group_snapshot_id).where(
            share_snapshots.c.share_group_snapshot_id.is_not(None),
            share_snapshots.c.id.in_(
                sa.select(share_snapshot_instances.c.snapshot_id).where(
                    share_snapshot_instances.c.id == key
                )
            ),
        )
    elif noun is states.SNAPSHOT_ACCESS_RULE:
        query = sa.select(share_snapshot_instance_access_map.c.snapshot_instance_id).where(
            share_snapshot_instance_access_map.c.id == key
        )
    return [] if query is None else list(conn.scalars(query))
