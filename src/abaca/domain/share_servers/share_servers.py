"""Share servers: reading, choosing one for a share, deleting, and what drivers see of them.
Growing them: `share_server_networks`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from functools import partial
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import lock_row, utcnow
from abaca.db.tables import (
    network_allocations,
    services,
    share_groups,
    share_instances,
    share_network_subnets,
    share_networks,
    share_server_backend_details,
    share_servers,
)
from abaca.db.tables import share_server_share_network_subnet_mappings as mappings
from abaca.domain.rows import states
from abaca.domain.rows.draining import DRAINS
from abaca.domain.rows.listings import Listing
from abaca.domain.rows.states import Permit
from abaca.domain.share_servers import server_hosts
from abaca.errors import Conflict, Forbidden, Invalid, Missing
from abaca.values import Page
from abaca.workflow.queue import Work, enqueue

FILTERS = (
    "host", "status", "project_id", "share_network_id", "identifier", "task_state",
     "source_share_server_id", "is_auto_deletable",
    "security_service_update_support", "network_allocation_update_support",
    "share_server_subnet_removal_support", "share_network", "share_network_subnet_id",
)  # fmt: skip
_TRUE = {"1", "t", "true", "y", "yes", "on"}


def find(conn: Connection, filters: dict[str, Any], page: Page) -> list[dict[str, Any]]:
    """Share servers of all projects, newest first unless sorted otherwise, in two statements.
    `filters`: any of FILTERS with its text; an unknown one matches nothing."""
    if not filters.keys() <= set(FILTERS):
        return []
    return LISTING.found(conn, _select(), filters, page)


def get(conn: Connection, share_server_id: str) -> dict[str, Any]:
    """One share server with its back end details."""
    rows = [
        dict(row)
        for row in conn.execute(_select().where(share_servers.c.id == share_server_id)).mappings()
    ]
    if not rows:
        raise Missing(f"Share server {share_server_id} could not be found.")
    view = _views(conn, rows)[0]
    return {**view, "backend_details": details_of(conn, share_server_id)}


def details(conn: Connection, share_server_id: str) -> dict[str, str]:
    """The back end details of a share server."""
    backend_details: dict[str, str] = get(conn, share_server_id)["backend_details"]
    return backend_details


def delete(conn: Connection, share_server_id: str) -> None:
    """Delete a share server without shares, in the background."""
    network_id = get(conn, share_server_id)["share_network_id"]
    lock_row(conn, share_networks, network_id)
    server = conn.execute(
        sa.select(share_servers).where(share_servers.c.id == share_server_id)
    ).one_or_none()
    if server is None:  # it went while its network's row was waited for
        raise Missing(f"Share server {share_server_id} could not be found.")
    if not states.SHARE_SERVER.permits(server.status, Permit.DELETE):
        raise Forbidden(
            f"Share server {share_server_id} is {server.status}; only one that is active or in "
            "error can be deleted."
        )
    if is_in_use(conn, share_server_id):
        raise Conflict(f"Share server {share_server_id} is in use.")
    start_deletion(conn, [server])


def reset_status(conn: Connection, share_server_id: str, status: str) -> None:
    """The administrator sets a status by hand."""
    known = states.statuses(states.SHARE_SERVER)
    if status not in known:
        raise Invalid(f"Invalid state. Valid states: {', '.join(known)}.")
    get(conn, share_server_id)
    states.force(conn, states.SHARE_SERVER, share_server_id, status)


def reset_task_state(conn: Connection, share_server_id: str, task_state: str | None) -> None:
    """The administrator sets a task state by hand."""
    get(conn, share_server_id)
    states.set_task_state(conn, share_servers, share_server_id, task_state)


def start_deletion(conn: Connection, doomed: Sequence[sa.Row[Any]]) -> None:
    """Enqueue the deletion of empty servers on their hosts; those that are already being deleted
    are skipped.

    Raises Conflict while one of them is being changed, whatever its network's status.
    """
    fresh = [server for server in doomed if server.status != "deleting"]
    busy = next(
        (
            server
            for server in fresh
            if not states.may_follow(states.SHARE_SERVER, server.status, "deleting")
        ),
        None,
    )
    if busy is not None:
        raise Conflict(
            f"Share server {busy.id} is {busy.status}; try again when that has finished."
        )
    states.move(conn, states.SHARE_SERVER, [server.id for server in fresh], "deleting")
    enqueue_on(conn, "share_server_delete", fresh)


def enqueue_on(
    conn: Connection, workflow: str, servers: Sequence[sa.Row[Any]], *args: str, which: str = ""
) -> None:
    """Enqueue work on each of these share servers (`id`, `project_id`) where it stands. `which`:
    what it is about, so that the same is told from it in the records of work."""
    queues = server_hosts.queues(conn, [server.id for server in servers])
    about = f"{which}:{uuid4()}" if which else str(uuid4())
    enqueue(
        conn,
        *[server_work(workflow, queues[server.id], server, about, *args) for server in servers],
    )


def server_work(
    workflow: str, worker_host: str, server: sa.Row[Any], which: str, *args: str
) -> Work:
    """Work on a share server (`id`, `project_id`), one after the other: `workflow(server id,
    *args)`. `which`: distinguishes it from other work of its kind on the server."""
    return Work(
        name=workflow,
        worker_host=worker_host,
        project_id=server.project_id,
        id=f"{workflow}:{server.id}:{which}",
        key=f"server:{server.id}",
        args=(server.id, *args),
    )


def worker_hosts(conn: Connection, service_hosts: set[str]) -> dict[str, str]:
    """host@backend → the worker host whose queue takes its work."""
    rows = conn.execute(
        sa.select(services.c.host, services.c.worker_host).where(services.c.host.in_(service_hosts))
    )
    return dict(rows.all())


def on_subnets(subnet_ids: Sequence[str]) -> sa.Select[Any]:
    """A query for the servers that are on any of the subnets."""
    standing = sa.select(mappings.c.share_server_id).where(
        mappings.c.share_network_subnet_id.in_(subnet_ids)
    )
    return (
        sa.select(share_servers)
        .where(share_servers.c.id.in_(standing))
        .order_by(share_servers.c.created_at, share_servers.c.id)
    )


def choose(
    conn: Connection, share_network_id: str, service_host: str, subnet_ids: Sequence[str]
) -> str | None:
    """A server on that back end that is on exactly these subnets, not counting draining ones, and
    can take a share; None if one has to be made.

    Raises Invalid if a server of the network, on any back end, waits for a repair of its networks:
    a second one would hide it.
    """
    of_network = conn.execute(_OF_NETWORK, {"share_network_id": share_network_id}).all()
    waiting = next((row for row in of_network if row.is_leaving or not row.is_served), None)
    if waiting is not None:
        what = (
            "give a subnet up" if waiting.is_leaving else "be given its addresses on a new subnet"
        )
        raise Invalid(
            f"The share server {waiting.share_server_id} of the share network {share_network_id} "
            f"could not {what}; the administrator has to retry or abandon that change first."
        )
    subnets_of = defaultdict(set)
    for row in of_network:
        if row.drains:
            continue
        if row.host == service_host and states.SHARE_SERVER.permits(row.status, Permit.TAKE_SHARES):
            subnets_of[row.share_server_id].add(row.share_network_subnet_id)
    return next(
        (server_id for server_id, subnets in subnets_of.items() if subnets == set(subnet_ids)), None
    )


_OF_NETWORK = (
    sa.select(mappings, share_servers.c.host, share_servers.c.status, DRAINS.label("drains"))
    .join(share_servers, share_servers.c.id == mappings.c.share_server_id)
    .join(share_network_subnets, share_network_subnets.c.id == mappings.c.share_network_subnet_id)
    .where(share_servers.c.share_network_id == sa.bindparam("share_network_id"))
    .order_by(share_servers.c.created_at, share_servers.c.id)
)


def create(
    conn: Connection,
    network: sa.Row[Any],
    service_host: str,
    subnet_ids: Sequence[str],
    *,
    rather_not: Collection[str] = (),
    network_allocation_update_support: bool,
    share_server_subnet_removal_support: bool,
    security_service_update_support: bool,
) -> str:
    """Create a server in `creating` on these subnets; the first share's creation sets it up.
    Returns its id. `rather_not`: worker hosts, of a shared back end."""
    server_id = str(uuid4())
    now = utcnow()
    conn.execute(
        sa.insert(share_servers).values(
            id=server_id,
            share_network_id=network.id,
            project_id=network.project_id,
            host=service_host,
            worker_host=server_hosts.host_for(conn, service_host, rather_not),
            status="creating",
            network_allocation_update_support=network_allocation_update_support,
            share_server_subnet_removal_support=share_server_subnet_removal_support,
            security_service_update_support=security_service_update_support,
            created_at=now,
        )
    )
    conn.execute(
        sa.insert(mappings),
        [
            {
                "share_server_id": server_id,
                "share_network_subnet_id": subnet,
                "is_served": True,
                "created_at": now,
            }
            for subnet in subnet_ids
        ],
    )
    return server_id


def carries(share_server_id: sa.ColumnElement[Any] | str) -> sa.ColumnElement[bool]:
    """SQL condition: something is on that server, so it may not go."""
    share = sa.exists().where(share_instances.c.share_server_id == share_server_id)
    return share | sa.exists().where(share_groups.c.share_server_id == share_server_id)


def is_in_use(conn: Connection, share_server_id: str) -> bool:
    """Whether something is on the server, so that it may not go."""
    return bool(conn.scalar(sa.select(carries(share_server_id))))


def is_leftover() -> sa.ColumnElement[bool]:
    """SQL condition: the server is left over from a failure: it never became active, or its
    deletion failed half-way.

    It has no users, and `reconcile.failed_share_servers` deletes it. A server in error whose
    networks wait for a repair is not a leftover.
    """
    # Servers of early releases have no identifier; but whatever became active has back end details.
    described = sa.select(share_server_backend_details.c.share_server_id)
    never_stood = share_servers.c.identifier.is_(None) & share_servers.c.id.not_in(described)
    waiting = sa.select(mappings.c.share_server_id).where(is_changing())
    empty = (
        share_servers.c.is_auto_deletable
        & ~carries(share_servers.c.id)
        & share_servers.c.id.not_in(waiting)
    )
    return (share_servers.c.status == "error") & (never_stood | empty)


def mapping_of(share_server_id: str, subnet_id: str) -> sa.ColumnElement[bool]:
    """SQL condition: the mapping is that of one server to one subnet."""
    return (mappings.c.share_server_id == share_server_id) & (
        mappings.c.share_network_subnet_id == subnet_id
    )


def is_changing() -> sa.ColumnElement[bool]:
    """SQL condition: a mapping is being changed, or its change failed: the server is getting the
    subnet or giving it up."""
    return ~mappings.c.is_served | mappings.c.is_leaving


def serving() -> sa.Select[Any]:
    """A query for the ids of the servers in a serving status, wherever they stand."""
    return sa.select(share_servers.c.id).where(_serving())


def serving_ids(conn: Connection, host: str, worker_host: str) -> list[str]:
    """The ids of the servers of host@backend in a serving status that stand on that worker's host,
    the oldest first."""
    query = serving().where(share_servers.c.host == host, server_hosts.on(worker_host))
    return list(conn.scalars(query.order_by(share_servers.c.created_at, share_servers.c.id)))


def is_serving(conn: Connection, share_server_id: str, worker_host: str | None = None) -> bool:
    """Whether the server exists and is in a serving status; of a worker that asks for itself:
    and stands on its host."""
    query = serving().where(share_servers.c.id == share_server_id)
    if worker_host is not None:
        query = query.where(server_hosts.on(worker_host))
    return conn.scalar(query) is not None


def status_of(conn: Connection, share_server_id: str) -> tuple[str, str | None]:
    """Status and, in error, the reason; `gone` if the server does not exist."""
    row = conn.execute(
        sa.select(share_servers.c.status, share_servers.c.status_reason).where(
            share_servers.c.id == share_server_id
        )
    ).one_or_none()
    return (row.status, row.status_reason) if row else ("gone", None)


def all_drain(conn: Connection, share_server_id: str) -> bool:
    """Whether every subnet of the server drains, so that a new share could not be reached."""
    stays = (
        sa.select(mappings.c.share_server_id)
        .join(
            share_network_subnets, share_network_subnets.c.id == mappings.c.share_network_subnet_id
        )
        .where(mappings.c.share_server_id == share_server_id, ~DRAINS)
    )
    return conn.execute(stays.limit(1)).first() is None


def host_of(conn: Connection, share_server_id: str) -> str | None:
    """The server's host@backend; None if it does not exist."""
    return conn.scalar(sa.select(share_servers.c.host).where(share_servers.c.id == share_server_id))


def mark_active(conn: Connection, share_server_id: str, backend_details: dict[str, str]) -> None:
    """The server is set up: store the driver's details."""
    save_details(conn, share_server_id, backend_details)
    states.move(
        conn,
        states.SHARE_SERVER,
        share_server_id,
        "active",
        identifier=share_server_id,
        status_reason=None,
    )


def mark_error(conn: Connection, share_server_id: str, reason: str) -> None:
    """Set the server to error, with the reason."""
    states.move(conn, states.SHARE_SERVER, share_server_id, "error", status_reason=reason[:1023])


def restart_idle_timer(conn: Connection, share_server_id: str) -> None:
    """A share left the server: the time until an unused server is deleted begins again."""
    conn.execute(
        sa.update(share_servers)
        .where(share_servers.c.id == share_server_id)
        .values(updated_at=utcnow())
    )


def save_details(conn: Connection, share_server_id: str, backend_details: dict[str, str]) -> None:
    """Replace the back end details of a server."""
    table = share_server_backend_details
    conn.execute(sa.delete(table).where(table.c.share_server_id == share_server_id))
    if backend_details:
        conn.execute(
            sa.insert(table),
            [
                {"share_server_id": share_server_id, "key": k, "value": v}
                for k, v in backend_details.items()
            ],
        )


def forget_allocations(conn: Connection, share_server_id: str) -> None:
    """Delete the rows of released addresses."""
    conn.execute(
        sa.delete(network_allocations).where(
            network_allocations.c.share_server_id == share_server_id
        )
    )


def remove(conn: Connection, share_server_id: str) -> None:
    """Delete the rows of a deleted server, and those of a deleted network or subnet that waited for
    it."""
    network_id = conn.scalar(
        sa.select(share_servers.c.share_network_id).where(share_servers.c.id == share_server_id)
    )
    if network_id is not None:
        lock_row(conn, share_networks, network_id)
    forget_allocations(conn, share_server_id)
    conn.execute(sa.delete(share_servers).where(share_servers.c.id == share_server_id))
    remove_deleted_networks(conn)


def remove_deleted_networks(conn: Connection) -> None:
    """Delete the rows of deleted subnets and networks that have no server any more."""
    used_subnets = sa.select(mappings.c.share_network_subnet_id)
    used_networks = sa.select(share_servers.c.share_network_id)
    dying = sa.select(share_networks.c.id).where(
        share_networks.c.is_deleting, share_networks.c.id.not_in(used_networks)
    )
    doomed = share_network_subnets.c.is_deleting | share_network_subnets.c.share_network_id.in_(
        dying
    )
    conn.execute(
        sa.delete(share_network_subnets).where(
            doomed, share_network_subnets.c.id.not_in(used_subnets)
        )
    )
    conn.execute(
        sa.delete(share_networks).where(
            share_networks.c.is_deleting, share_networks.c.id.not_in(used_networks)
        )
    )


def _serving() -> sa.ColumnElement[bool]:
    """SQL condition: the server serves, also in error if an addition or removal of a subnet failed.

    Servers that are being made or deleted are left to that work.
    """
    waiting = sa.select(mappings.c.share_server_id).where(is_changing())
    serving = share_servers.c.status.in_(states.SHARE_SERVER.permitted[Permit.SERVE])
    return serving | ((share_servers.c.status == "error") & share_servers.c.id.in_(waiting))


def _select() -> sa.Select[Any]:
    return sa.select(share_servers, share_networks.c.name.label("share_network_name")).join(
        share_networks
    )


def _views(conn: Connection, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    by_server = defaultdict(list)
    for row in conn.execute(
        sa.select(mappings).where(mappings.c.share_server_id.in_([row["id"] for row in rows]))
    ):
        by_server[row.share_server_id].append(row.share_network_subnet_id)
    for view in rows:
        view["share_network_subnet_ids"] = sorted(by_server[view["id"]])
    return rows


def details_of(conn: Connection, share_server_id: str) -> dict[str, str]:
    """The driver's details of a server; empty if there are none yet, or no such server."""
    return details_of_all(conn, [share_server_id])[share_server_id]


def details_of_all(
    conn: Connection, share_server_ids: Collection[str]
) -> dict[str, dict[str, str]]:
    """The same for several servers, by server, in one statement."""
    table = share_server_backend_details
    found: dict[str, dict[str, str]] = {server_id: {} for server_id in share_server_ids}
    for row in conn.execute(
        sa.select(table).where(table.c.share_server_id.in_(share_server_ids)).order_by(table.c.key)
    ):
        found[row.share_server_id][row.key] = row.value
    return found


def _condition(name: str, text: str) -> sa.ColumnElement[bool]:
    """`name`: one of FILTERS. A share network is given by its id or its name."""
    if name == "share_network":
        return sa.or_(share_networks.c.id == text, share_networks.c.name == text)
    if name == "share_network_subnet_id":
        return share_servers.c.id.in_(
            sa.select(mappings.c.share_server_id).where(mappings.c.share_network_subnet_id == text)
        )
    column = share_servers.c[name]
    return (
        column == (text.lower() in _TRUE) if isinstance(column.type, sa.Boolean) else column == text
    )


_SORT_KEYS = (
    "id",
    "created_at",
    "updated_at",
    "host",
    "status",
    "project_id",
    "share_network_id",
    "identifier",
    "task_state",
)
LISTING = Listing(
    "Share servers",
    lambda _caller, _all_projects: _select(),
    share_servers.c.id,
    conditions={name: partial(_condition, name) for name in FILTERS},
    sort_keys={name: share_servers.c[name] for name in _SORT_KEYS},
    view=_views,
)
