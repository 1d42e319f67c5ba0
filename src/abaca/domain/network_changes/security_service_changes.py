"""The security services of a share network: attaching, taking away, exchanging; in use only after
every driver concerned has been asked.

A change in use follows the pattern of `subnet_additions`: judged, checked, then begun in one
transaction, and its end stored here, too. The network's list holds the new service from the
beginning on, so that a server brought up meanwhile joins what it shall join. After a failure the
server is in error; when its administrator has reset it, the network's services can be exchanged
again.
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import lock_row, utcnow
from abaca.db.tables import share_network_security_service_association as associations
from abaca.db.tables import share_networks as share_networks_table
from abaca.db.tables import share_servers as server_table
from abaca.domain.network_changes import share_network_checks as checks
from abaca.domain.network_changes import share_server_networks
from abaca.domain.network_changes.share_network_checks import PendingCheck, Question
from abaca.domain.rows.row_limits import NO_LIMITS, RowLimits
from abaca.domain.rows.share_network_lock import lock, refuse_while_changing
from abaca.domain.share_networks import security_services, share_networks
from abaca.domain.share_servers import share_servers
from abaca.errors import CallerError, Conflict, Forbidden, Invalid, Missing
from abaca.values import Caller, Value

_DENIED = "The security service cannot be changed so"
_SUPPORT = "security_service_update_support"


class ChangeRequest(Value):
    """The security service that a share network shall get; in place of `current_id`, unless that is
    None."""

    new_id: str
    current_id: str | None = None


def change(
    conn: Connection,
    caller: Caller,
    share_network_id: str,
    wanted: ChangeRequest,
    *,
    in_use_allowed: bool = True,
    limits: RowLimits = NO_LIMITS,
) -> dict[str, Any] | PendingCheck:
    """Attach or exchange. The network's view; or a pending check, when servers are on the network
    and their drivers have yet to be asked.

    Forbidden on a network in use unless `in_use_allowed`. Conflict for a second service of a type,
    for one of another type than the current one, and when a worker is down. Missing (Invalid in an
    exchange) for one that is not there. Invalid for every other reason of state or capability, and
    when a driver denies.
    """
    unknown = Invalid if wanted.current_id else Missing
    servers = _judge(
        conn, caller, share_network_id, wanted, in_use_allowed=in_use_allowed, unknown=unknown
    )
    if servers:
        outcome = checks.outcome(
            conn,
            _question(share_network_id, wanted, servers),
            refusal=Invalid,
            denied=_DENIED,
            limits=limits,
        )
        if isinstance(outcome, PendingCheck):
            return outcome
    _exchange(conn, share_network_id, wanted)
    checks.forget_all(conn, share_network_id)
    if servers:
        _begin(conn, share_network_id, wanted, servers)
    return share_networks.get(conn, caller, share_network_id)


def check(
    conn: Connection,
    caller: Caller,
    share_network_id: str,
    wanted: ChangeRequest,
    *,
    reset_operation: bool,
    limits: RowLimits = NO_LIMITS,
) -> dict[str, Any]:
    """Ask the drivers alone; see `share_network_checks.ask`. What cannot be found is Invalid
    here."""
    servers = _judge(conn, caller, share_network_id, wanted, unknown=Invalid)
    return checks.ask(
        conn,
        _question(share_network_id, wanted, servers),
        reset_operation=reset_operation,
        limits=limits,
    )


def remove(
    conn: Connection, caller: Caller, share_network_id: str, security_service_id: str
) -> dict[str, Any]:
    """Take a security service from a network that no share server is on; Forbidden otherwise.
    The network's view."""
    network = lock(conn, caller, share_network_id)
    refuse_while_changing(network)
    service = security_services.lock(conn, caller, security_service_id)
    if checks.live_servers(conn, checks.of_network(network.id)):
        raise Forbidden("Cannot remove security services. Share network is used.")
    if service.id not in {row.id for row in security_services.attached(conn, network.id)}:
        raise Invalid(
            f"The security service {service.id} is not associated with the share network "
            f"{network.id}."
        )
    _dissociate(conn, network.id, service.id)
    return share_networks.get(conn, caller, share_network_id)


def resume(conn: Connection, share_server_id: str, new_id: str, current_id: str) -> None:
    """Have a server that could not join the new service try again. Conflict when it, or the
    network's services, were changed since."""
    server = conn.execute(
        sa.select(server_table).where(server_table.c.id == share_server_id)
    ).one_or_none()
    network = lock_row(conn, share_networks_table, server.share_network_id) if server else None
    if server is None or network is None or server.status != "error" or network.status != "active":
        raise Conflict(
            f"The share server {share_server_id}, or its network, has changed since; the "
            "operation cannot be resumed."
        )
    if new_id not in {row.id for row in security_services.attached(conn, network.id)}:
        raise Conflict(
            f"The security service {new_id} is no longer attached to the share network "
            f"{network.id}."
        )
    _begin(conn, network.id, ChangeRequest(new_id=new_id, current_id=current_id or None), [server])


# --- for the workflows ----------------------------------------------------------------------------


def answered(conn: Connection, check_id: str, service_host: str, denial: str | None) -> None:
    """Store what a back end answered: None is a yes; a denial is shown to the one who asks."""
    checks.answer(conn, check_id, service_host, denial, denied=_DENIED)


def finish(conn: Connection, share_server_id: str, backend_details: dict[str, str]) -> None:
    """The server has joined the new service. Its `active` and, when it was the last, the network's
    commit together."""
    network_id = share_server_networks.lock_network(conn, share_server_id)
    if network_id is None:
        return
    if backend_details:
        share_servers.save_details(
            conn,
            share_server_id,
            {**share_servers.details_of(conn, share_server_id), **backend_details},
        )
    share_server_networks.restore(conn, network_id, share_server_id)


def fail(conn: Connection, share_server_id: str, new_id: str, current_id: str, reason: str) -> None:
    """The server could not join: it is in error with its shares' rules; the network continues with
    the new service."""
    share_server_networks.fail_change(
        conn,
        share_server_id,
        reason,
        f"A share server could not change to the security service {new_id}",
    )


# -------------------------------------------------------------------------------------------------


def _judge(
    conn: Connection,
    caller: Caller,
    share_network_id: str,
    wanted: ChangeRequest,
    *,
    in_use_allowed: bool = True,
    unknown: type[CallerError],
) -> list[sa.Row[Any]]:
    """Every rule that needs no driver, the rows of network and services held from here on; the
    servers that have to change.

    `unknown`: what a security service that is not there is.
    """
    network = lock(conn, caller, share_network_id)
    refuse_while_changing(network)
    new = _held(conn, caller, wanted, unknown)
    if new.project_id != network.project_id:
        raise Invalid(
            f"The security service {new.id} belongs to another project than the share network "
            f"{network.id}."
        )
    there = {row.id: row for row in security_services.attached(conn, network.id)}
    servers = checks.live_servers(conn, checks.of_network(network.id))
    if servers and not in_use_allowed:
        raise Forbidden("Cannot add security services. Share network is used.")
    _judge_type(network.id, there, new, wanted.current_id)
    if servers:
        checks.require_healthy(
            conn, network, servers, servers, support=_SUPPORT, refusal=Invalid, down=Conflict
        )
    return servers


def _held(
    conn: Connection, caller: Caller, wanted: ChangeRequest, unknown: type[CallerError]
) -> sa.Row[Any]:
    """The new service's row, held, and so is the current one's: both in an order that two exchanges
    the other way round share."""
    wanted_ids = {wanted.new_id, wanted.current_id} - {None}
    try:
        rows = {
            id_: security_services.lock(conn, caller, id_) for id_ in sorted(map(str, wanted_ids))
        }
    except Missing as missing:
        raise unknown(missing.message) from None
    return rows[wanted.new_id]


def _judge_type(
    share_network_id: str, there: dict[str, sa.Row[Any]], new: sa.Row[Any], current_id: str | None
) -> None:
    """A network has one security service of each type."""
    current = there.get(current_id) if current_id else None
    if current_id and current is None:
        raise Conflict(
            f"The security service {current_id} is not associated with the share network "
            f"{share_network_id}."
        )
    if current is not None and current.type != new.type:
        raise Conflict(
            f"A security service of type {current.type} cannot be replaced by one of type "
            f"{new.type}."
        )
    if (
        any(row.type == new.type for row in there.values() if row.id != current_id)
        or new.id in there
    ):
        raise Conflict(
            f"Cannot add security service to share network. Security service with '{new.type}' "
            "type already added to "
            f"'{share_network_id}' share network."
        )


def _question(share_network_id: str, wanted: ChangeRequest, servers: list[sa.Row[Any]]) -> Question:
    return Question(
        share_network_id=share_network_id,
        workflow="share_network_security_service_check",
        subject=[wanted.new_id, wanted.current_id],
        asked=sorted(server.id for server in servers),
        request={"new_id": wanted.new_id, "current_id": wanted.current_id},
    )


def _exchange(conn: Connection, share_network_id: str, wanted: ChangeRequest) -> None:
    if wanted.current_id:
        _dissociate(conn, share_network_id, wanted.current_id)
    conn.execute(
        sa.insert(associations).values(
            share_network_id=share_network_id,
            security_service_id=wanted.new_id,
            created_at=utcnow(),
        )
    )


def _dissociate(conn: Connection, share_network_id: str, security_service_id: str) -> None:
    conn.execute(
        sa.delete(associations).where(
            associations.c.share_network_id == share_network_id,
            associations.c.security_service_id == security_service_id,
        )
    )


def _begin(
    conn: Connection, share_network_id: str, wanted: ChangeRequest, servers: list[sa.Row[Any]]
) -> None:
    """Everything becomes network_change and the work is enqueued."""
    share_server_networks.begin_change(
        conn,
        share_network_id,
        [server.id for server in servers],
        "share_server_update_security_service",
        f"{wanted.new_id}:{uuid4()}",
        wanted.new_id,
        wanted.current_id or "",
    )
