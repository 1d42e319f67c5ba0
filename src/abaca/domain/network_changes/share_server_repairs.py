"""What the administrator does with share servers by hand: the two ways out of a failed addition of
a subnet, and capabilities.

Retrying finishes the addition; abandoning takes it back from that server, which then serves its old
subnets as before. The share network is in network_change meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import lock_row, utcnow
from abaca.db.tables import network_allocations, services, share_networks, share_servers
from abaca.db.tables import share_server_share_network_subnet_mappings as mappings
from abaca.domain.network_changes import share_server_networks
from abaca.domain.rows import states
from abaca.domain.share_servers.share_servers import server_work, worker_hosts
from abaca.errors import Conflict, Invalid, Missing
from abaca.workflow.queue import enqueue

CAPABILITIES = (
    "network_allocation_update_support",
    "share_server_subnet_removal_support",
    "security_service_update_support",
)


def retry_network_update(conn: Connection, share_server_id: str) -> None:
    """Put the failed addition of a subnet into the queue again. Conflict when there is none."""
    _begin(conn, share_server_id, "share_server_add_subnet")


def abandon_network_update(conn: Connection, share_server_id: str) -> None:
    """Have the failed addition of a subnet taken back: its addresses and its mapping go, server and
    rules are restored.

    Conflict when there is none.
    """
    _begin_abandonment(conn, share_server_id)


def resume_addition(conn: Connection, share_server_id: str, subnet_id: str) -> None:
    """Put an addition that was parked into the queue again. Conflict when that server does not wait
    for that subnet any more."""
    _begin(conn, share_server_id, "share_server_add_subnet", subnet_id)


def resume_abandonment(conn: Connection, share_server_id: str, subnet_id: str) -> None:
    """As `resume_addition`, for taking one back."""
    _begin_abandonment(conn, share_server_id, subnet_id)


def abandoned(conn: Connection, share_server_id: str, subnet_id: str) -> None:
    """The server is on its old subnets alone, and the addresses on the new one have been
    released."""
    network_id = share_server_networks.lock_network(conn, share_server_id)
    if network_id is None:
        return
    for table in (network_allocations, mappings):
        conn.execute(
            sa.delete(table).where(
                table.c.share_server_id == share_server_id,
                table.c.share_network_subnet_id == subnet_id,
            )
        )
    share_server_networks.restore(conn, network_id, share_server_id)


def update_capabilities(
    conn: Connection,
    share_server_ids: Sequence[str],
    capabilities: Sequence[str],
    value: bool,
    *,
    check_driver: bool = False,
) -> None:
    """Set capabilities of share servers; all of them or, when anything is wrong, none.

    Invalid for a capability that is not known, Missing for a server that is not there, Conflict
    when `check_driver` and the back end of one does not report the capability.
    """
    unknown = sorted(set(capabilities) - set(CAPABILITIES))
    if unknown or not capabilities:
        raise Invalid(
            f"No such capability: {', '.join(unknown) or 'none given'}. Known: "
            f"{', '.join(CAPABILITIES)}."
        )
    rows = conn.execute(
        sa.select(
            share_servers.c.id, share_servers.c.host, *[services.c[name] for name in CAPABILITIES]
        )
        .outerjoin(services, services.c.host == share_servers.c.host)
        .where(share_servers.c.id.in_(share_server_ids))
    ).all()
    missing = sorted(set(share_server_ids) - {row.id for row in rows})
    if missing or not share_server_ids:
        raise Missing(f"No such share server: {', '.join(missing) or 'none given'}.")
    lacking = [
        f"{row.host} ({name})" for row in rows for name in capabilities if not row._mapping[name]
    ]
    if check_driver and value and lacking:
        raise Conflict(
            "The back end does not report that it supports this: "
            f"{', '.join(sorted(set(lacking)))}."
        )
    conn.execute(
        sa.update(share_servers)
        .where(share_servers.c.id.in_(share_server_ids))
        .values(updated_at=utcnow(), **dict.fromkeys(capabilities, value))
    )


def _begin_abandonment(
    conn: Connection, share_server_id: str, expected_subnet_id: str | None = None
) -> None:
    """From here on nobody sets the new addresses up again, also not a worker that starts in the
    middle (`driver_values.standing_server`). The network plug-in keeps them until they are given
    back, for a retry as well."""
    subnet_id = _begin(conn, share_server_id, "share_server_abandon_subnet", expected_subnet_id)
    of_subnet = network_allocations.c.share_network_subnet_id == subnet_id
    conn.execute(
        sa.delete(network_allocations).where(
            network_allocations.c.share_server_id == share_server_id, of_subnet
        )
    )


def _begin(
    conn: Connection, share_server_id: str, workflow: str, expected_subnet_id: str | None = None
) -> str:
    """Put the work into the queue; the id of the subnet that it is about."""
    server = _locked(conn, share_server_id)
    subnet_id = conn.scalar(
        sa.select(mappings.c.share_network_subnet_id).where(
            mappings.c.share_server_id == share_server_id, ~mappings.c.is_served
        )
    )
    if (
        server.status != "error"
        or subnet_id is None
        or subnet_id != (expected_subnet_id or subnet_id)
    ):
        raise Conflict(
            f"Share server {share_server_id} has no failed addition of a subnet; it is "
            f"{server.status}."
        )
    states.move(conn, states.SHARE_SERVER, share_server_id, "network_change")
    states.move(conn, states.SHARE_NETWORK, server.share_network_id, "network_change")
    worker_host = worker_hosts(conn, {server.host})[server.host]
    enqueue(conn, server_work(workflow, worker_host, server, f"{subnet_id}:{uuid4()}", subnet_id))
    return str(subnet_id)


def _locked(conn: Connection, share_server_id: str) -> sa.Row[Any]:
    network_id = conn.scalar(
        sa.select(share_servers.c.share_network_id).where(share_servers.c.id == share_server_id)
    )
    if network_id is None:
        raise Missing(f"Share server {share_server_id} could not be found.")
    network = lock_row(conn, share_networks, network_id)
    if network is not None and network.status != "active":
        raise Conflict(
            f"The share network {network_id} is {network.status}; try again when it is active."
        )
    return conn.execute(sa.select(share_servers).where(share_servers.c.id == share_server_id)).one()
