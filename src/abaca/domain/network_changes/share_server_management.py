"""Managing share servers that are on a back end and unknown to Abaca, and unmanaging them.

A server that Abaca made has its id as its identifier, and keeps both: whatever was called after it
(on the back end, in Neutron) is found by it again. One from elsewhere gets an id of its own. What
has once been managed or let go is never deleted automatically.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import lock_row, utcnow
from abaca.db.tables import services, share_networks, share_servers
from abaca.db.tables import share_server_share_network_subnet_mappings as mappings
from abaca.domain.network_changes import share_server_networks
from abaca.domain.network_changes.share_server_networks import Place
from abaca.domain.rows import states
from abaca.domain.rows.heartbeats import is_up
from abaca.domain.rows.share_network_lock import lock, require_active
from abaca.domain.rows.states import Permit
from abaca.domain.share_networks import share_network_subnets as subnets
from abaca.domain.share_servers import departed_share_servers, server_hosts
from abaca.domain.share_servers import share_servers as servers
from abaca.errors import Conflict, Invalid, Missing, named_in_request
from abaca.values import Caller, Host, NetworkAllocation, Value


class ServerToManage(Value):
    """What an administrator says of a share server. `host`: host@backend; `share_network_subnet_id`
    None: the default subnet."""

    host: str
    share_network_id: str
    identifier: str
    share_network_subnet_id: str | None = None
    driver_options: dict[str, str] = {}


def manage(conn: Connection, caller: Caller, wanted: ServerToManage) -> dict[str, Any]:
    """Store the server in `manage_starting` and have it taken over. Its view. Invalid, whatever is
    wrong (Manila's answer)."""
    service = _service(conn, wanted.host)
    subnet_id = _only_subnet(conn, caller, wanted)
    if (known := _similar_server(conn, wanted.identifier)) is not None:
        raise Invalid(
            f"The identifier {wanted.identifier} is too similar to that of the share server "
            f"{known}."
        )
    network = conn.execute(
        sa.select(share_networks).where(share_networks.c.id == wanted.share_network_id)
    ).one()
    server_id, now = _id_for(wanted.identifier), utcnow()
    conn.execute(
        sa.insert(share_servers).values(
            id=server_id,
            share_network_id=network.id,
            project_id=network.project_id,
            host=wanted.host,
            worker_host=server_hosts.host_for(conn, wanted.host),
            status="manage_starting",
            identifier=wanted.identifier,
            is_auto_deletable=False,
            network_allocation_update_support=service.network_allocation_update_support,
            share_server_subnet_removal_support=service.share_server_subnet_removal_support,
            security_service_update_support=service.security_service_update_support,
            created_at=now,
        )
    )
    departed_share_servers.forget(conn, server_id)
    conn.execute(
        sa.insert(mappings).values(
            share_server_id=server_id,
            share_network_subnet_id=subnet_id,
            is_served=True,
            created_at=now,
        )
    )
    _enqueue(
        conn,
        "share_server_manage",
        server_id,
        msgspec.json.encode(wanted.driver_options).decode(),
    )
    return servers.get(conn, server_id)


def unmanage(conn: Connection, share_server_id: str, *, forced: bool = False) -> None:
    """Let a server without shares go, in the background; `forced`: whatever its driver says.
    Invalid when it cannot go (Manila's answer)."""
    server = _locked(conn, share_server_id)
    if (
        len(
            conn.execute(
                sa.select(mappings).where(mappings.c.share_server_id == share_server_id)
            ).all()
        )
        > 1
    ):
        raise Invalid(
            f"Share server {share_server_id} is on several subnets, so it cannot be unmanaged."
        )
    if not states.SHARE_SERVER.permits(server.status, Permit.UNMANAGE):
        permitting = ", ".join(states.SHARE_SERVER.permitted[Permit.UNMANAGE])
        raise Invalid(
            f"Share server {share_server_id} is {server.status}; to be unmanaged it must be one "
            f"of {permitting}."
        )
    if servers.is_in_use(conn, share_server_id):
        raise Invalid(
            f"Share server {share_server_id} is in use by one or more shares or share groups."
        )
    states.move(
        conn, states.SHARE_SERVER, share_server_id, "unmanage_starting", is_auto_deletable=False
    )
    _enqueue(conn, "share_server_unmanage", share_server_id, "forced" if forced else "")


# --- for operations -------------------------------------------------------------------------------


class Managing(Value):
    """What a driver and a network plug-in are asked for when a server is taken over."""

    host: str
    identifier: str
    place: Place


def managing(conn: Connection, share_server_id: str) -> Managing | None:
    """What is to be taken over; None when that is over or was given up."""
    row = conn.execute(
        sa.select(share_servers).where(share_servers.c.id == share_server_id)
    ).one_or_none()
    if row is None or row.status != "manage_starting":
        return None
    (place,) = share_server_networks.places(conn, share_server_id)
    return Managing(host=row.host, identifier=row.identifier, place=place)


def store(
    conn: Connection,
    share_server_id: str,
    subnet_id: str,
    given: list[NetworkAllocation],
    backend_details: dict[str, str],
) -> None:
    """What the server has: its addresses and its details."""
    share_server_networks.store_allocations(conn, share_server_id, {subnet_id: given})
    servers.save_details(conn, share_server_id, backend_details)


def managed(conn: Connection, share_server_id: str) -> None:
    """The server is taken over; a status that an administrator has set meanwhile stays."""
    _settle(conn, share_server_id, "active", None)


def fail_managing(
    conn: Connection, share_server_id: str, _driver_options: str, reason: str
) -> None:
    """The server could not be taken over: it may be unmanaged again."""
    _settle(conn, share_server_id, "manage_error", reason)


def resume_managing(conn: Connection, share_server_id: str, driver_options: str) -> None:
    """The server is `manage_starting` again."""
    _again(conn, share_server_id, "manage_error", "manage_starting")
    _enqueue(conn, "share_server_manage", share_server_id, driver_options)


def fail_unmanaging(conn: Connection, share_server_id: str, _forced: str, reason: str) -> None:
    """The server did not go."""
    _settle(conn, share_server_id, "unmanage_error", reason)


def resume_unmanaging(conn: Connection, share_server_id: str, forced: str) -> None:
    """The server is `unmanage_starting` again."""
    _again(conn, share_server_id, "unmanage_error", "unmanage_starting")
    _enqueue(conn, "share_server_unmanage", share_server_id, forced)


def _service(conn: Connection, host: str) -> sa.Row[Any]:
    """The service of host@backend, which is up; its row is held, so that two at once do not manage
    the same server."""
    try:
        is_pool = Host.parse(host).pool is not None
    except ValueError as error:
        raise Invalid(f"{error}.") from None
    if is_pool:
        raise Invalid(f"Name the host without its pool: {Host.parse(host).service}.")
    service = conn.execute(
        sa.select(services).where(services.c.host == host).with_for_update()
    ).one_or_none()
    if service is None:
        raise Invalid(f"Service manila-share could not be found on host {host}.")
    if not is_up(service._mapping):
        raise Invalid(f"The service {host} is down.")
    return service


def _only_subnet(conn: Connection, caller: Caller, wanted: ServerToManage) -> str:
    """The subnet that the server is on. Invalid unless it is the only one of its zone, and its
    network active."""
    with named_in_request():
        network = lock(conn, caller, wanted.share_network_id)
        named = wanted.share_network_subnet_id and subnets.get(
            conn, caller, network.id, wanted.share_network_subnet_id
        )
    require_active(network)
    zone = subnets.zone_named(conn, named["availability_zone"]) if named else None
    bucket = subnets.bucket(conn, network.id, zone and zone.id)
    if len(bucket) != 1:
        where = f"in availability zone {zone.name}" if zone else "without an availability zone"
        raise Invalid(
            f"The share network {network.id} must have exactly one subnet {where} for a share "
            f"server to be managed; it has {len(bucket)}."
        )
    subnets.refuse_while_draining(conn, network.id, Invalid)
    return str(bucket[0].id)


def _similar_server(conn: Connection, identifier: str) -> str | None:
    """A share server whose id or identifier holds the identifier, or is held by it; hyphens and
    underscores count as the same."""
    wanted = identifier.replace("_", "-")
    known = sa.func.replace(
        sa.func.coalesce(share_servers.c.identifier, share_servers.c.id), "_", "-"
    )
    alike = known.contains(wanted, autoescape=True) | sa.literal(wanted).contains(known)
    return conn.scalar(
        sa.select(share_servers.c.id).where(alike | (share_servers.c.id == identifier)).limit(1)
    )


def _id_for(identifier: str) -> str:
    try:
        return str(UUID(identifier)) if len(identifier) == 36 else str(uuid4())
    except ValueError:
        return str(uuid4())


def _locked(conn: Connection, share_server_id: str) -> sa.Row[Any]:
    network_id = share_server_networks.lock_network(conn, share_server_id)
    server = (
        conn.execute(
            sa.select(share_servers).where(share_servers.c.id == share_server_id)
        ).one_or_none()
        if network_id
        else None
    )
    if server is None:
        raise Missing(f"Share server {share_server_id} could not be found.")
    return server


def _again(conn: Connection, share_server_id: str, found: str, to: str) -> None:
    network_id = conn.scalar(
        sa.select(share_servers.c.share_network_id).where(share_servers.c.id == share_server_id)
    )
    lock_row(conn, share_networks, network_id or "")
    status, _ = servers.status_of(conn, share_server_id)
    if status != found:
        raise Conflict(
            f"The share server {share_server_id} is {status}, no longer {found}; the operation "
            "cannot be resumed."
        )
    states.move(conn, states.SHARE_SERVER, share_server_id, to, status_reason=None)


def _settle(conn: Connection, share_server_id: str, status: str, reason: str | None) -> None:
    found, _ = servers.status_of(conn, share_server_id)
    if found != "gone" and states.may_follow(states.SHARE_SERVER, found, status):
        states.move(
            conn,
            states.SHARE_SERVER,
            share_server_id,
            status,
            status_reason=reason and reason[:1023],
        )


def _enqueue(conn: Connection, workflow: str, share_server_id: str, *args: str) -> None:
    server = conn.execute(
        sa.select(share_servers).where(share_servers.c.id == share_server_id)
    ).one()
    servers.enqueue_on(conn, workflow, [server], *args)
