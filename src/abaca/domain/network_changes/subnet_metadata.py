"""Handing metadata of share network subnets to the drivers of the share servers that are there, and
reporting the outcome to their project.

Values are read when the work runs, so the newest win however often they change meanwhile. A server
that is set up, or given the subnet, later gets them with its network information.
"""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.tables import share_network_subnets, share_networks
from abaca.domain.rows.row_limits import NO_LIMITS, RowLimits, require_room_for_work
from abaca.domain.share_networks import share_network_messages
from abaca.domain.share_servers import share_servers as servers
from abaca.errors import Refused
from abaca.values import Value


def hand_over(
    conn: Connection,
    subnet_id: str,
    given: Collection[str],
    dropped: Collection[str],
    limits: RowLimits = NO_LIMITS,
) -> None:
    """Have these keys handed over; say of those that are dropped that drivers are not told."""
    standing = conn.execute(servers.on_subnets([subnet_id])).all()
    if dropped and standing:
        names = ", ".join(sorted(dropped))
        share_network_messages.about_subnet(
            conn,
            subnet_id,
            f"The metadata {names} of the subnet has been deleted, but stays in effect on the "
            "share servers there.",
        )
    told = standing if given else []
    if told:
        project = (
            sa.select(share_networks.c.project_id)
            .join(share_network_subnets)
            .where(share_network_subnets.c.id == subnet_id)
        )
        require_room_for_work(conn, conn.scalar(project) or "", limits)
    name = "share_server_update_subnet_metadata"
    args = (subnet_id, *sorted(given))
    servers.enqueue_on(conn, name, told, *args, which=subnet_id)


# --- for the workflow -----------------------------------------------------------------------------


class HandOver(Value):
    """The driver on `host` is given these keys of a subnet."""

    host: str
    keys: list[str]


def wanted(
    conn: Connection, share_server_id: str, subnet_id: str, keys: list[str]
) -> HandOver | None:
    """What to hand over; None when there is nothing left of it, or the server gets it in another
    way: with its set-up.

    Refused for a server that does not serve.
    """
    status, _ = servers.status_of(conn, share_server_id)
    host = servers.host_of(conn, share_server_id)
    if status in ("creating", "deleting", "gone") or host is None:
        return None
    if not servers.is_serving(conn, share_server_id):
        raise Refused(f"the share server is {status}.", is_public=True)
    there = sorted(values(conn, subnet_id, keys))
    return HandOver(host=host, keys=there) if there else None


def values(conn: Connection, subnet_id: str, keys: list[str]) -> dict[str, str]:
    """What those of the keys are that the subnet has."""
    table = share_network_subnets
    there = conn.scalar(sa.select(table.c.metadata).where(table.c.id == subnet_id)) or {}
    return {key: there[key] for key in keys if key in there}


def handed_over(conn: Connection, share_server_id: str, subnet_id: str, keys: list[str]) -> None:
    """The driver has taken it."""
    share_network_messages.about_subnet(
        conn,
        subnet_id,
        f"The metadata {', '.join(keys)} of the subnet is in effect on share server "
        f"{share_server_id}.",
    )


def fail(conn: Connection, share_server_id: str, subnet_id: str, *keys_and_reason: str) -> None:
    """The server continues as before; a message to the project says why."""
    *keys, reason = keys_and_reason
    share_network_messages.about_subnet(
        conn,
        subnet_id,
        f"The metadata {', '.join(keys)} of the subnet could not take effect on share server "
        f"{share_server_id}: {reason}",
    )
