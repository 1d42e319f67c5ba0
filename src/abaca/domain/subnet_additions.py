"""Adding a subnet to a share network: judged, checked by every driver concerned when servers stand in the bucket, then begun in one transaction.

Nothing is in error when an addition is refused. What happens after it has begun: `share_server_networks`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import utcnow
from abaca.db.tables import services, share_instances, share_network_subnet_checks, share_networks, share_servers
from abaca.db.tables import share_server_share_network_subnet_mappings as mappings
from abaca.domain import messages, states
from abaca.domain import share_network_subnets as subnets
from abaca.domain.share_network_lock import lock, refuse_while_changing
from abaca.domain.share_servers import on_subnets, worker_hosts
from abaca.errors import CallerError, Conflict, Invalid, ServiceDown
from abaca.values import Caller, Subnet, Value
from abaca.workflow.queue import Work, enqueue

CHECK_LASTS = timedelta(seconds=120)


class SubnetRequest(Value):
    """A subnet that is asked for: Neutron's ids (both or none) and an availability zone by name or id (None: a default subnet)."""

    neutron_net_id: str | None = None
    neutron_subnet_id: str | None = None
    availability_zone: str | None = None
    metadata: dict[str, str] = {}


class PendingCheck(Value):
    """The drivers have not answered yet; ask again. `id`: the check's."""

    id: str


class _Addition(Value):
    """An addition that passed all rules that need no driver: the zone, and the servers to grow and to ask."""

    zone_id: str | None
    affected: list[str]
    asked: list[str]


def add(
    conn: Connection, caller: Caller, share_network_id: str, wanted: SubnetRequest, *, multiple_allowed: bool
) -> dict[str, Any] | PendingCheck:
    """Add a subnet. Its view; or a pending check, when it is not the bucket's first, servers stand and their drivers have yet to be asked.

    Conflict for every reason of state or capability and when a driver denies; ServiceDown when a worker concerned is down.
    """
    addition = _judge(conn, caller, share_network_id, wanted, multiple_allowed=multiple_allowed, refusal=Conflict)
    if not addition.asked:
        subnet_id = _insert(conn, share_network_id, wanted, addition)
        return subnets.get(conn, caller, share_network_id, subnet_id)
    check = _current_check(conn, share_network_id, wanted, addition)
    if check is None:
        return PendingCheck(id=_start_check(conn, share_network_id, wanted, addition))
    if False in check.hosts.values():
        raise Conflict(_denial(check.reasons))
    if None in check.hosts.values():
        return PendingCheck(id=check.id)
    subnet_id = _begin(conn, share_network_id, wanted, addition, msgspec.convert(check.subnet, Subnet))
    return subnets.get(conn, caller, share_network_id, subnet_id)


def check(conn: Connection, caller: Caller, share_network_id: str, wanted: SubnetRequest, *, reset_operation: bool) -> dict[str, Any]:
    """Ask the drivers alone: `{"compatible": True | False | None, "hosts_check_result": {host: …}}`; None while they have not all answered."""
    addition = _judge(conn, caller, share_network_id, wanted, multiple_allowed=True, refusal=Invalid)
    if not addition.asked:
        return {"compatible": True, "hosts_check_result": {}}
    known = _current_check(conn, share_network_id, wanted, addition)
    if known is not None and reset_operation:
        _forget(conn, known.id)
        known = None
    if known is None:
        check_id = _start_check(conn, share_network_id, wanted, addition)
        known = conn.execute(sa.select(share_network_subnet_checks).where(share_network_subnet_checks.c.id == check_id)).one()
    answers = set(known.hosts.values())
    compatible = False if False in answers else None if None in answers else True
    return {"compatible": compatible, "hosts_check_result": known.hosts}


def is_pending(conn: Connection, check_id: str) -> bool:
    """Whether a driver has still to answer and none has denied."""
    hosts = conn.scalar(sa.select(share_network_subnet_checks.c.hosts).where(share_network_subnet_checks.c.id == check_id))
    return hosts is not None and None in hosts.values() and False not in hosts.values()


# --- for the workflow that asks ------------------------------------------------------------------------------------


class Inquiry(Value):
    """What one back end is asked: may these of its servers get that subnet? `addresses`: needed there for all servers together."""

    project_id: str
    neutron_net_id: str | None
    neutron_subnet_id: str | None
    server_ids: list[str]
    addresses: int


def inquiry(conn: Connection, check_id: str, service_host: str) -> Inquiry | None:
    """What to ask the back end; None when the check is gone."""
    row = conn.execute(sa.select(share_network_subnet_checks).where(share_network_subnet_checks.c.id == check_id)).one_or_none()
    if row is None:
        return None
    mine = conn.execute(
        sa.select(share_servers.c.id, share_servers.c.project_id)
        .where(share_servers.c.id.in_(row.share_server_ids), share_servers.c.host == service_host)
        .order_by(share_servers.c.id)
    ).all()
    return Inquiry(
        project_id=mine[0].project_id if mine else "",
        neutron_net_id=row.request["neutron_net_id"],
        neutron_subnet_id=row.request["neutron_subnet_id"],
        server_ids=[server.id for server in mine],
        addresses=row.request["addresses"],
    )


def answer(conn: Connection, check_id: str, service_host: str, denial: str | None, subnet: Subnet | None) -> None:
    """Store what a back end answered: None is a yes; a denial is told to the one who asks."""
    table = share_network_subnet_checks
    row = conn.execute(sa.select(table).where(table.c.id == check_id).with_for_update()).one_or_none()
    if row is None:
        return
    reasons = {**row.reasons, service_host: denial} if denial else row.reasons
    if denial:
        project_id = conn.scalar(sa.select(share_networks.c.project_id).where(share_networks.c.id == row.share_network_id))
        messages.create(
            conn,
            project_id=project_id or "",
            resource_type="SHARE_NETWORK",
            resource_id=row.share_network_id,
            action=messages.Action.UPDATE,
            text=f"A subnet cannot be added: {denial}",
        )
    changes: dict[str, Any] = {"hosts": {**row.hosts, service_host: denial is None}, "reasons": reasons, "updated_at": utcnow()}
    if subnet is not None:
        changes["subnet"] = msgspec.to_builtins(subnet)
    conn.execute(sa.update(table).where(table.c.id == check_id).values(**changes))


# -------------------------------------------------------------------------------------------------------------------


def _judge(
    conn: Connection, caller: Caller, share_network_id: str, wanted: SubnetRequest, *, multiple_allowed: bool, refusal: type[CallerError]
) -> _Addition:
    """Every rule that needs no driver, the network's row held from here on."""
    network = lock(conn, caller, share_network_id)
    subnets.require_both_or_none(wanted.neutron_net_id, wanted.neutron_subnet_id)
    zone = subnets.zone_named(conn, wanted.availability_zone)
    refuse_while_changing(network)
    bucket = subnets.bucket(conn, network.id, zone.id if zone else None)
    if bucket and not multiple_allowed:
        raise Conflict(
            f"Another share network subnet was found in the specified availability zone. Only one share network subnet is allowed "
            f"per availability zone for share network {network.id}."
        )
    affected = _live(conn.execute(on_subnets([subnet.id for subnet in bucket])).all())
    asked: list[sa.Row[Any]] = []
    if bucket:  # the first subnet of a zone is nobody's business
        asked = _live(conn.execute(sa.select(share_servers).where(share_servers.c.share_network_id == network.id)).all())
    if asked:
        _require_healthy(conn, network, affected, asked, refusal)
    return _Addition(zone_id=zone.id if zone else None, affected=[s.id for s in affected], asked=sorted(s.id for s in asked))


def _live(rows: Sequence[sa.Row[Any]]) -> list[sa.Row[Any]]:
    return [server for server in rows if server.status != "deleting"]


def _require_healthy(
    conn: Connection, network: sa.Row[Any], affected: list[sa.Row[Any]], asked: list[sa.Row[Any]], refusal: type[CallerError]
) -> None:
    if network.status != "active":
        raise refusal(f"The share network {network.id} is not active but {network.status}.")
    for server in asked:
        if not server.network_allocation_update_support:
            raise refusal(f"The share server {server.id} does not support updates of its network allocations (network_allocation_update_support).")
    for server in affected:
        if server.status != "active":
            raise refusal(f"The share server {server.id} is not active but {server.status}.")
    for down in conn.execute(sa.select(services).where(services.c.host.in_({server.host for server in asked}))):
        if not down.is_ready or down.expires_at <= utcnow():
            raise ServiceDown(f"The back end {down.host} is down; repeat when it is up again.")
    instance = share_instances
    unhealthy = sa.or_(instance.c.status != "available", instance.c.access_rules_status != "active")
    sick = conn.execute(sa.select(instance).where(instance.c.share_server_id.in_([s.id for s in affected]), unhealthy).limit(1)).first()
    if sick is not None:
        raise refusal(
            f"The share {sick.share_id} must be available with active access rules; it is {sick.status}, its rules are "
            f"{sick.access_rules_status}."
        )


def _current_check(conn: Connection, share_network_id: str, wanted: SubnetRequest, addition: _Addition) -> sa.Row[Any] | None:
    """The check of exactly this request and these servers, unless it has expired."""
    table = share_network_subnet_checks
    row = conn.execute(
        sa.select(table)
        .where(table.c.share_network_id == share_network_id, table.c.request_digest == _digest(wanted, addition))
        .order_by(table.c.created_at.desc())
        .limit(1)
        .with_for_update()
    ).one_or_none()
    if row is None:
        return None
    if row.expires_at <= utcnow() or row.share_server_ids != addition.asked:
        _forget(conn, row.id)
        return None
    if False in row.hosts.values() and None not in row.hosts.values() and row.updated_at + timedelta(seconds=10) < utcnow():
        _forget(conn, row.id)  # a denial is worth asking again after a while
        return None
    return row


def _start_check(conn: Connection, share_network_id: str, wanted: SubnetRequest, addition: _Addition) -> str:
    rows = conn.execute(
        sa.select(share_servers.c.id, share_servers.c.host, services.c.network_allocations_number)
        .join(services, services.c.host == share_servers.c.host)
        .where(share_servers.c.id.in_(addition.asked))
    ).all()
    check_id = str(uuid4())
    now = utcnow()
    table = share_network_subnet_checks
    conn.execute(sa.delete(table).where(table.c.share_network_id == share_network_id, table.c.expires_at <= now))
    hosts = sorted({row.host for row in rows})
    conn.execute(
        sa.insert(share_network_subnet_checks).values(
            id=check_id,
            share_network_id=share_network_id,
            request={
                "neutron_net_id": wanted.neutron_net_id,
                "neutron_subnet_id": wanted.neutron_subnet_id,
                "addresses": sum(row.network_allocations_number for row in rows if row.id in addition.affected),
            },
            request_digest=_digest(wanted, addition),
            share_server_ids=addition.asked,
            hosts=dict.fromkeys(hosts),
            reasons={},
            expires_at=now + CHECK_LASTS,
            created_at=now,
        )
    )
    for host, worker_host in worker_hosts(conn, set(hosts)).items():
        work_id = f"share_network_subnet_check:{check_id}:{host}"
        enqueue(conn, Work(name="share_network_subnet_check", worker_host=worker_host, id=work_id, key=work_id, args=(check_id, host)))
    return check_id


def _begin(conn: Connection, share_network_id: str, wanted: SubnetRequest, addition: _Addition, subnet: Subnet) -> str:
    """Everything becomes network_change, the subnet and its mappings are stored and the work is enqueued: all of it or nothing."""
    subnet_id = _insert(conn, share_network_id, wanted, addition, resolved=subnet)
    table = share_network_subnet_checks
    conn.execute(sa.delete(table).where(table.c.share_network_id == share_network_id))
    if not addition.affected:  # the servers that were asked stand in other zones
        return subnet_id
    now = utcnow()
    conn.execute(
        sa.insert(mappings),
        [{"share_server_id": s, "share_network_subnet_id": subnet_id, "is_served": False, "created_at": now} for s in addition.affected],
    )
    states.move(conn, states.SHARE_NETWORK, share_network_id, "network_change")
    states.move(conn, states.SHARE_SERVER, addition.affected, "network_change")
    rows = conn.execute(sa.select(share_servers.c.id, share_servers.c.host).where(share_servers.c.id.in_(addition.affected))).all()
    hosts = worker_hosts(conn, {row.host for row in rows})
    for row in rows:
        work_id = f"share_server_add_subnet:{row.id}:{subnet_id}"
        args = (row.id, subnet_id)
        enqueue(conn, Work(name="share_server_add_subnet", worker_host=hosts[row.host], id=work_id, key=f"server:{row.id}", args=args))
    return subnet_id


def _insert(conn: Connection, share_network_id: str, wanted: SubnetRequest, addition: _Addition, resolved: Subnet | None = None) -> str:
    return subnets.insert(
        conn,
        share_network_id,
        addition.zone_id,
        wanted.neutron_net_id,
        wanted.neutron_subnet_id,
        metadata=wanted.metadata,
        resolved=resolved,
    )


def _forget(conn: Connection, check_id: str) -> None:
    conn.execute(sa.delete(share_network_subnet_checks).where(share_network_subnet_checks.c.id == check_id))


def _digest(wanted: SubnetRequest, addition: _Addition) -> str:
    text = f"{addition.zone_id}\n{wanted.neutron_net_id}\n{wanted.neutron_subnet_id}"
    return hashlib.sha256(text.encode()).hexdigest()


def _denial(reasons: dict[str, str]) -> str:
    return "The subnet cannot be added: " + "; ".join(reasons[host] for host in sorted(reasons))
