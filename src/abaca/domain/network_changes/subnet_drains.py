"""Drains: a project says that a subnet shall leave its share servers, and has time to move its
clients first. Network and servers stay `active`.

Whatever is new is placed as if the subnet were not there (`rows/draining.py`); the drivers of the
servers there refuse new clients, where they can. A drain ends when it is cancelled, when the subnet
is deleted, or at its deadline (`subnet_drain_deadlines`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import utcnow
from abaca.db.tables import share_instances, share_network_subnets, share_servers
from abaca.db.tables import share_server_share_network_subnet_mappings as mappings
from abaca.domain.driver_views import driver_values
from abaca.domain.network_changes import client_inquiries
from abaca.domain.rows import states
from abaca.domain.rows.draining import DRAINS, METADATA_KEY
from abaca.domain.rows.row_limits import NO_LIMITS, RowLimits, require_room_for_work
from abaca.domain.rows.share_network_lock import lock, refuse_while_changing
from abaca.domain.rows.states import Permit
from abaca.domain.share_networks import share_network_messages
from abaca.domain.share_networks import share_network_subnets as subnets
from abaca.domain.share_servers import share_servers as servers
from abaca.domain.snapshots import share_snapshot_instances
from abaca.errors import Conflict, Missing
from abaca.values import Caller, ServerUpdate, Share, Value

DEFAULT_SECONDS = 86_400
LONGEST_SECONDS = 30 * 86_400
CANCEL, FORCE = "cancel", "force"

_WORKFLOW = "share_server_update_drains"
_NONE = dict.fromkeys(
    ("removal_started_at", "removal_deadline", "removal_at_deadline", "removal_obstacle")
)


def start(
    conn: Connection,
    caller: Caller,
    share_network_id: str,
    subnet_id: str,
    *,
    seconds: int = DEFAULT_SECONDS,
    at_deadline: str = CANCEL,
    limits: RowLimits = NO_LIMITS,
) -> None:
    """Let a subnet drain for so many seconds; one that drains gets a new deadline.

    `at_deadline`: CANCEL the drain then, or FORCE: remove the subnet, whoever is connected. Servers
    that do not refuse new clients yet are told again. Missing; Conflict unless the network is
    active; OverQuota when too much work of the project waits.
    """
    subnet = _changeable(conn, caller, share_network_id, subnet_id)
    is_new = subnet["removal_started_at"] is None
    # What ends another drain may be on its way, so what is known says nothing of a new one.
    untold = _standing(conn, subnet_id, sa.true() if is_new else ~mappings.c.refuses_new_clients)
    if untold:
        require_room_for_work(conn, untold[0].project_id, limits)
        client_inquiries.forget(conn, [server.id for server in untold])
    now = utcnow()
    _set(
        conn,
        subnet_id,
        removal_started_at=now,
        removal_deadline=now + timedelta(seconds=seconds),
        removal_at_deadline=at_deadline,
        removal_obstacle=None,
    )
    _tell_drivers(conn, subnet_id, untold)


def get(conn: Connection, caller: Caller, share_network_id: str, subnet_id: str) -> dict[str, Any]:
    """The drain of a subnet, and of each server there whether it refuses new clients. Missing when
    it does not drain.

    `deadline` is in seconds from the start, `ends_at` when that is; both are None once the removal
    has begun.
    """
    subnet = subnets.get(conn, caller, share_network_id, subnet_id)
    if subnet["removal_started_at"] is None:
        raise Missing(f"Share network subnet {subnet_id} does not drain.")
    started, ends = subnet["removal_started_at"], subnet["removal_deadline"]
    refuses = sa.select(mappings.c.share_server_id, mappings.c.refuses_new_clients).where(
        mappings.c.share_network_subnet_id == subnet_id
    )
    return {
        "share_network_id": share_network_id,
        "share_network_subnet_id": subnet_id,
        "started_at": started,
        "deadline": None if ends is None else round((ends - started).total_seconds()),
        "ends_at": ends,
        "at_deadline": subnet["removal_at_deadline"],
        "obstacle": subnet["removal_obstacle"],
        "refuses_new_clients": dict(conn.execute(refuses).all()),
    }


def cancel(conn: Connection, caller: Caller, share_network_id: str, subnet_id: str) -> None:
    """End a drain: the servers admit new clients again, and what was made meanwhile is exported
    there, too. Missing when the subnet does not drain; Conflict unless the network is active.

    Taken however much work waits: what begins a drain is limited.
    """
    subnet = _changeable(conn, caller, share_network_id, subnet_id)
    if subnet["removal_started_at"] is None:
        raise Missing(f"Share network subnet {subnet_id} does not drain.")
    _set(conn, subnet_id, **_NONE)
    _tell_drivers(conn, subnet_id, _standing(conn, subnet_id, sa.true()))


def changed_by_metadata(
    conn: Connection,
    caller: Caller,
    share_network_id: str,
    subnet_id: str,
    given: Collection[str],
    dropped: Collection[str],
    limits: RowLimits = NO_LIMITS,
) -> None:
    """The metadata of a subnet has been changed: have it drain when the key of drains is among
    those given, which changes nothing for one that does, and no longer when it is among those
    dropped."""
    subnet = subnets.get(conn, caller, share_network_id, subnet_id)
    if METADATA_KEY in dropped:
        cancel(conn, caller, share_network_id, subnet_id)
    elif METADATA_KEY in given and subnet["removal_started_at"] is None:
        start(conn, caller, share_network_id, subnet_id, limits=limits)


def removal_begun(conn: Connection, subnet_id: str) -> None:
    """The servers give the subnet up: nothing is to be done at a deadline any more. The row goes
    with the last server; should the removal be abandoned, the subnet drains on until that is
    cancelled."""
    _set(conn, subnet_id, removal_deadline=None, removal_obstacle=None)


def obstructed(conn: Connection, subnet_id: str, reason: str) -> None:
    """The subnet could not be removed at its deadline."""
    _set(conn, subnet_id, removal_obstacle=reason[:1023])


# --- for the workflow -----------------------------------------------------------------------------


class ToTell(Value):
    """The driver on `host` learns which subnets of the server drain."""

    host: str


def to_tell(conn: Connection, share_server_id: str) -> ToTell | None:
    """None when there is no such server, or nobody serves on it: its set-up brings the same
    about."""
    host = servers.host_of(conn, share_server_id)
    if host is None or not servers.is_serving(conn, share_server_id):
        return None
    return ToTell(host=host)


def shares_to_tell(conn: Connection, share_server_id: str) -> list[Share]:
    """The shares whose export locations may change."""
    of_server = share_instances.c.share_server_id == share_server_id
    exported = share_instances.c.status.in_(states.SHARE.permitted[Permit.HAS_LOCATIONS])
    return driver_values.shares(conn, of_server & exported)


def told(conn: Connection, share_server_id: str, subnet_id: str, update: ServerUpdate) -> None:
    """The driver has taken it. A drain that began or ended meanwhile has work of its own. Who was
    connected before says nothing: clients may have come until now."""
    client_inquiries.forget(conn, [share_server_id])
    drains = sa.select(DRAINS).where(share_network_subnets.c.id == subnet_id).scalar_subquery()
    conn.execute(
        sa.update(mappings)
        .where(servers.mapping_of(share_server_id, subnet_id))
        .values(refuses_new_clients=drains)
    )
    share_snapshot_instances.moved(conn, update)


def fail(conn: Connection, share_server_id: str, subnet_id: str, reason: str) -> None:
    """The server continues as before; a message to the project says what that means. One that was
    to refuse new clients admits them, whatever was stored of the drain before."""
    row = conn.execute(
        sa.select(DRAINS.label("drains"), share_network_subnets.c.share_network_id).where(
            share_network_subnets.c.id == subnet_id
        )
    ).one_or_none()
    if row is None:
        return
    if row.drains:
        conn.execute(
            sa.update(mappings)
            .where(servers.mapping_of(share_server_id, subnet_id))
            .values(refuses_new_clients=False)
        )
    what = (
        "The subnet drains, but new clients can still connect there to one of the share servers"
        if row.drains
        else "The subnet does not drain any more, but one of the share servers may still refuse "
        "new clients there, and shares made meanwhile may lack export locations there (start a "
        "drain and cancel it to try again)"
    )
    share_network_messages.about_subnet(conn, subnet_id, f"{what}: {reason}")


# -------------------------------------------------------------------------------------------------


def _changeable(
    conn: Connection, caller: Caller, share_network_id: str, subnet_id: str
) -> dict[str, Any]:
    """The subnet, its network's row held. Conflict unless the network is active."""
    network = lock(conn, caller, share_network_id)
    refuse_while_changing(network)
    subnet = subnets.get(conn, caller, share_network_id, subnet_id)
    if network.status != "active":
        raise Conflict(f"The share network {network.id} is not active but {network.status}.")
    return subnet


def _set(conn: Connection, subnet_id: str, **columns: datetime | str | None) -> None:
    conn.execute(
        sa.update(share_network_subnets)
        .where(share_network_subnets.c.id == subnet_id)
        .values(updated_at=utcnow(), **columns)
    )


def _standing(
    conn: Connection, subnet_id: str, which: sa.ColumnElement[bool]
) -> Sequence[sa.Row[Any]]:
    """The servers on a subnet whose mapping fulfils the condition, without those being deleted."""
    on_it = sa.select(mappings.c.share_server_id).where(
        mappings.c.share_network_subnet_id == subnet_id, which
    )
    query = servers.on_subnets([subnet_id]).where(share_servers.c.id.in_(on_it))
    return conn.execute(query.where(share_servers.c.status != "deleting")).all()


def _tell_drivers(conn: Connection, subnet_id: str, standing: Sequence[sa.Row[Any]]) -> None:
    """Work for each of the servers."""
    servers.enqueue_on(conn, _WORKFLOW, standing, subnet_id, which=subnet_id)
