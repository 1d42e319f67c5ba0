"""Adding a subnet to a share network: judged, checked by every driver concerned when servers are in
the bucket, then begun in one transaction.

Nothing is in error when an addition is refused. What happens after it has begun:
`share_server_networks`.
"""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import utcnow
from abaca.db.tables import services, share_network_subnets, share_servers
from abaca.db.tables import share_server_share_network_subnet_mappings as mappings
from abaca.domain.local_networks import sharing
from abaca.domain.network_changes import share_network_checks as checks
from abaca.domain.network_changes import share_server_networks
from abaca.domain.network_changes.share_network_checks import PendingCheck, Question
from abaca.domain.rows.row_limits import NO_LIMITS, RowLimits, require_room
from abaca.domain.rows.share_network_lock import lock, refuse_while_changing
from abaca.domain.share_networks import share_network_subnets as subnets
from abaca.domain.share_servers.share_servers import on_subnets
from abaca.errors import CallerError, Conflict, Invalid
from abaca.values import Caller, Subnet, Value

_DENIED = "The subnet cannot be added"
_MOST_COUNTED = 2**31 - 1  # free addresses: a range of IPv6 has more than a column holds


class SubnetRequest(Value):
    """A subnet that is asked for: Neutron's ids (both or none) and an availability zone by name or
    id (None: a default subnet)."""

    neutron_net_id: str | None = None
    neutron_subnet_id: str | None = None
    availability_zone: str | None = None
    metadata: dict[str, str] = {}


class _Addition(Value):
    """An addition that passed all rules that need no driver: the share network's project, the
    zone, and the servers to grow and to ask."""

    project_id: str
    zone_id: str | None
    affected: list[str]
    asked: list[str]


def add(
    conn: Connection,
    caller: Caller,
    share_network_id: str,
    wanted: SubnetRequest,
    *,
    multiple_allowed: bool,
    limits: RowLimits = NO_LIMITS,
) -> dict[str, Any] | PendingCheck:
    """Add a subnet. Its view; or a pending check, when it is not the bucket's first, there are
    servers, and their drivers have yet to be asked.

    Conflict for every reason of state or capability and when a driver denies; ServiceDown when a
    worker concerned is down.
    """
    addition = _judge(
        conn, caller, share_network_id, wanted, multiple_allowed=multiple_allowed, refusal=Conflict
    )
    there = share_network_subnets.c.share_network_id == share_network_id
    require_room(
        conn,
        "subnets_per_share_network",
        limits.subnets_per_share_network,
        there,
        f"share network {share_network_id}",
    )
    if not addition.asked:
        subnet_id = _insert(conn, share_network_id, wanted, addition)
        return subnets.get(conn, caller, share_network_id, subnet_id)
    outcome = checks.outcome(
        conn,
        _question(conn, share_network_id, wanted, addition),
        refusal=Conflict,
        denied=_DENIED,
        limits=limits,
    )
    if isinstance(outcome, PendingCheck):
        return outcome
    subnet_id = _begin(
        conn, share_network_id, wanted, addition, msgspec.convert(outcome.subnet, Subnet)
    )
    return subnets.get(conn, caller, share_network_id, subnet_id)


def check(
    conn: Connection,
    caller: Caller,
    share_network_id: str,
    wanted: SubnetRequest,
    *,
    reset_operation: bool,
    limits: RowLimits = NO_LIMITS,
) -> dict[str, Any]:
    """Ask the drivers alone; see `share_network_checks.ask`. With how many addresses are needed on
    the subnet, and how many are free there, None while that is not known."""
    addition = _judge(
        conn, caller, share_network_id, wanted, multiple_allowed=True, refusal=Invalid
    )
    question = _question(conn, share_network_id, wanted, addition)
    answer = checks.ask(conn, question, reset_operation=reset_operation, limits=limits)
    return {**answer, "addresses_needed": question.request["addresses"]}


# --- for the workflow that asks -------------------------------------------------------------------


class Inquiry(Value):
    """What one back end is asked: may these of its servers get that subnet? `addresses`: needed
    there for all servers together."""

    project_id: str
    neutron_net_id: str | None
    neutron_subnet_id: str | None
    server_ids: list[str]
    addresses: int


def inquiry(conn: Connection, check_id: str, service_host: str) -> Inquiry | None:
    """What to ask the back end; None when the check is gone."""
    asked = checks.asked(conn, check_id, service_host)
    return (
        Inquiry(project_id=asked.project_id, server_ids=asked.server_ids, **asked.request)
        if asked
        else None
    )


def answer(
    conn: Connection,
    check_id: str,
    service_host: str,
    denial: str | None,
    subnet: Subnet | None,
    free: int | None = None,
) -> None:
    """Store what a back end answered: None is a yes; a denial is shown to the one who asks. `free`:
    addresses on the subnet."""
    found: dict[str, Any] = {}
    if subnet is not None:
        counted = None if free is None else min(free, _MOST_COUNTED)
        found = {"subnet": msgspec.to_builtins(subnet), "free_addresses": counted}
    checks.answer(conn, check_id, service_host, denial, denied=_DENIED, **found)


# -------------------------------------------------------------------------------------------------


def _judge(
    conn: Connection,
    caller: Caller,
    share_network_id: str,
    wanted: SubnetRequest,
    *,
    multiple_allowed: bool,
    refusal: type[CallerError],
) -> _Addition:
    """Every rule that needs no driver, the network's row held from here on."""
    network = lock(conn, caller, share_network_id)
    subnets.require_both_or_none(wanted.neutron_net_id, wanted.neutron_subnet_id)
    zone = subnets.zone_named(conn, wanted.availability_zone)
    refuse_while_changing(network)
    subnets.refuse_while_draining(conn, network.id, refusal)
    bucket = subnets.bucket(conn, network.id, zone.id if zone else None)
    if bucket and not multiple_allowed:
        raise Conflict(
            "Another share network subnet was found in the specified availability zone. Only one "
            "share network subnet is allowed "
            f"per availability zone for share network {network.id}."
        )
    affected = checks.live_servers(conn, on_subnets([subnet.id for subnet in bucket]))
    # The first subnet of a zone concerns no server.
    asked = checks.live_servers(conn, checks.of_network(network.id)) if bucket else []
    if asked:
        checks.require_healthy(
            conn,
            network,
            affected,
            asked,
            support="network_allocation_update_support",
            refusal=refusal,
        )
    return _Addition(
        project_id=network.project_id,
        zone_id=zone.id if zone else None,
        affected=[s.id for s in affected],
        asked=sorted(s.id for s in asked),
    )


def _question(
    conn: Connection, share_network_id: str, wanted: SubnetRequest, addition: _Addition
) -> Question:
    """The answer belongs to exactly this zone and these Neutron ids."""
    needed = conn.scalar(
        sa.select(sa.func.sum(services.c.network_allocations_number))
        .join(share_servers, share_servers.c.host == services.c.host)
        .where(share_servers.c.id.in_(addition.affected))
    )
    return Question(
        share_network_id=share_network_id,
        workflow="share_network_subnet_check",
        subject=[addition.zone_id, wanted.neutron_net_id, wanted.neutron_subnet_id],
        asked=addition.asked,
        request={
            "neutron_net_id": wanted.neutron_net_id,
            "neutron_subnet_id": wanted.neutron_subnet_id,
            "addresses": int(needed or 0),
        },
    )


def _begin(
    conn: Connection,
    share_network_id: str,
    wanted: SubnetRequest,
    addition: _Addition,
    subnet: Subnet,
) -> str:
    """Everything becomes network_change, the subnet and its mappings are stored and the work is
    enqueued: all of it or nothing. Conflict when the subnet is the project's to use no more."""
    _require_usable(conn, addition.project_id, subnet)
    subnet_id = _insert(conn, share_network_id, wanted, addition, resolved=subnet)
    checks.forget_all(conn, share_network_id)
    if not addition.affected:  # the servers that were asked are in other zones
        return subnet_id
    now = utcnow()
    conn.execute(
        sa.insert(mappings),
        [
            {
                "share_server_id": s,
                "share_network_subnet_id": subnet_id,
                "is_served": False,
                "created_at": now,
            }
            for s in addition.affected
        ],
    )
    share_server_networks.begin_change(
        conn, share_network_id, addition.affected, "share_server_add_subnet", subnet_id, subnet_id
    )
    return subnet_id


def _require_usable(conn: Connection, project_id: str, subnet: Subnet) -> None:
    """The network plug-in was asked before the drivers were; a local subnet may be gone since then,
    or its network shared no more."""
    net, sub = subnet.neutron_net_id, subnet.neutron_subnet_id
    if subnet.is_local and not sharing.hold_usable(conn, project_id, net, sub):
        raise Conflict(f"{_DENIED}: There is no subnet {sub} on the network {net}.")


def _insert(
    conn: Connection,
    share_network_id: str,
    wanted: SubnetRequest,
    addition: _Addition,
    resolved: Subnet | None = None,
) -> str:
    return subnets.insert(
        conn,
        share_network_id,
        addition.zone_id,
        wanted.neutron_net_id,
        wanted.neutron_subnet_id,
        metadata=wanted.metadata,
        resolved=resolved,
    )
