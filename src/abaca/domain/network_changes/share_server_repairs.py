"""What the administrator does with share servers by hand: the two ways out of a change of its
subnets that failed, and capabilities.

Retrying finishes the addition or the removal. Abandoning takes it back from that server: it then
serves its old subnets as before. The share network is in network_change meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import lock_row, utcnow
from abaca.db.tables import services, share_networks, share_servers
from abaca.db.tables import share_server_share_network_subnet_mappings as mappings
from abaca.domain.network_changes import share_server_networks
from abaca.domain.share_networks import share_network_messages
from abaca.domain.share_servers import share_servers as servers
from abaca.errors import Conflict, Invalid, Missing

CAPABILITIES = (
    "network_allocation_update_support",
    "share_server_subnet_removal_support",
    "security_service_update_support",
)
_ADD = "share_server_add_subnet"


def retry_network_update(conn: Connection, share_server_id: str) -> None:
    """Put the failed addition or removal of a subnet into the queue again. Conflict when there is
    none."""
    change = _failed(conn, share_server_id)
    _begin(conn, change, "share_server_remove_subnet" if change.is_leaving else _ADD)


def abandon_network_update(conn: Connection, share_server_id: str) -> None:
    """Have the failed change taken back; server and rules are restored. Conflict when there is
    none.

    Of an addition addresses and mapping go. After a removal the server is given the subnet again,
    with the addresses that it had as far as they have not been given back.
    """
    change = _failed(conn, share_server_id)
    if change.is_leaving:
        _stay(conn, change)
    else:
        _abandon_addition(conn, change)


def resume_addition(conn: Connection, share_server_id: str, subnet_id: str) -> None:
    """Put an addition that was parked into the queue again. Conflict when that server does not wait
    for that subnet any more."""
    _begin(conn, _failed(conn, share_server_id, subnet_id, is_leaving=False), _ADD)


def resume_abandonment(conn: Connection, share_server_id: str, subnet_id: str) -> None:
    """As `resume_addition`, for taking one back."""
    _abandon_addition(conn, _failed(conn, share_server_id, subnet_id, is_leaving=False))


def resume_removal(conn: Connection, share_server_id: str, subnet_id: str) -> None:
    """As `resume_addition`, for giving a subnet up."""
    change = _failed(conn, share_server_id, subnet_id, is_leaving=True)
    _begin(conn, change, "share_server_remove_subnet")


def abandoned(conn: Connection, share_server_id: str, subnet_id: str) -> None:
    """The server is on its old subnets alone, and the addresses on the new one have been
    released."""
    network_id = share_server_networks.lock_network(conn, share_server_id)
    if network_id is None:
        return
    share_server_networks.leave(conn, share_server_id, subnet_id)
    share_server_networks.restore(conn, network_id, share_server_id)


def undone(conn: Connection, share_server_id: str, subnet_id: str, reason: str) -> None:
    """As `abandoned`, of an addition that found no addresses, which nobody but the project has to
    know of: it can delete the subnet, and add it again."""
    abandoned(conn, share_server_id, subnet_id)
    share_network_messages.about_subnet(
        conn,
        subnet_id,
        "A share server could not be given addresses on the subnet. It serves its other subnets "
        f"as before; to try again, delete the subnet and add it again: {reason}",
    )


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


class _Failed(NamedTuple):
    """A change of a server in error: the subnet that it is about, and which way."""

    server: sa.Row[Any]
    subnet_id: str
    is_leaving: bool


def _failed(
    conn: Connection,
    share_server_id: str,
    subnet_id: str | None = None,
    *,
    is_leaving: bool | None = None,
) -> _Failed:
    """The change that a server waits with, of that subnet and that way where they are given.
    Conflict when there is none."""
    server = _locked(conn, share_server_id)
    query = sa.select(mappings).where(
        mappings.c.share_server_id == share_server_id, servers.is_changing()
    )
    if subnet_id is not None:
        query = query.where(mappings.c.share_network_subnet_id == subnet_id)
    if is_leaving is not None:
        query = query.where(mappings.c.is_leaving == is_leaving)
    mapping = conn.execute(query.order_by(mappings.c.created_at)).first()
    if server.status != "error" or mapping is None:
        raise Conflict(
            f"Share server {share_server_id} has no failed addition or removal of a subnet; it is "
            f"{server.status}."
        )
    return _Failed(server, mapping.share_network_subnet_id, mapping.is_leaving)


def _abandon_addition(conn: Connection, change: _Failed) -> None:
    """From here on nobody sets the new addresses up again, not even a worker that starts meanwhile
    (`driver_values.server_with_added_subnets`). The network plug-in keeps them until they are
    released, for a retry as well."""
    _begin(conn, change, "share_server_abandon_subnet")
    share_server_networks.forget_allocations(conn, change.server.id, change.subnet_id)


def _stay(conn: Connection, change: _Failed) -> None:
    """The subnet is added to the server again: what is there of it is found, what is not is made
    anew."""
    _begin(conn, change, _ADD)
    conn.execute(
        sa.update(mappings)
        .where(servers.mapping_of(change.server.id, change.subnet_id))
        .values(is_leaving=False, is_served=False)
    )


def _begin(conn: Connection, change: _Failed, workflow: str) -> None:
    """Put the work into the queue."""
    share_server_networks.begin_change(
        conn,
        change.server.share_network_id,
        [change.server.id],
        workflow,
        f"{change.subnet_id}:{uuid4()}",
        change.subnet_id,
    )


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
    server = conn.execute(
        sa.select(share_servers).where(share_servers.c.id == share_server_id)
    ).first()
    if server is None:  # it has gone while its network was waited for
        raise Missing(f"Share server {share_server_id} could not be found.")
    return server
