"""Before a share network in use is changed: is everything on it healthy, and do the drivers of all
its servers allow the change?

The drivers are asked by one workflow a back end; their answers are kept for a while, bound to
exactly what was asked and to the servers that were asked. What is asked: `subnet_additions`,
`subnet_removals`, `security_service_changes`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import utcnow
from abaca.db.tables import (
    services,
    share_instances,
    share_network_checks,
    share_networks,
    share_servers,
)
from abaca.domain.rows.heartbeats import is_up
from abaca.domain.rows.row_limits import NO_LIMITS, RowLimits, require_room_for_work
from abaca.domain.share_networks import share_network_messages
from abaca.domain.share_servers import server_hosts
from abaca.domain.share_servers.share_servers import is_leftover
from abaca.errors import CallerError, ServiceDown
from abaca.values import Value
from abaca.workflow.queue import Work, enqueue

CHECK_LASTS = timedelta(seconds=120)
DENIAL_LASTS = timedelta(seconds=10)

_checks = share_network_checks


class PendingCheck(Value):
    """The drivers have not answered yet; ask again. `id`: the check's."""

    id: str


class Question(Value):
    """What is asked of the drivers of the servers `asked` (sorted): `workflow(check id,
    host@backend)` asks each back end.

    `subject`: what the answer belongs to; `request`: what the workflow needs to know of it, no
    secrets.
    """

    share_network_id: str
    workflow: str
    subject: list[str | None]
    asked: list[str]
    request: dict[str, Any] = {}


def live_servers(conn: Connection, query: sa.Select[Any]) -> list[sa.Row[Any]]:
    """The servers of the query that are neither on their way out nor what a failure has left."""
    return [
        server
        for server in conn.execute(query.where(~is_leftover()))
        if server.status != "deleting"
    ]


def of_network(share_network_id: str) -> sa.Select[Any]:
    """A query for all servers of a share network."""
    return sa.select(share_servers).where(share_servers.c.share_network_id == share_network_id)


def require_healthy(
    conn: Connection,
    network: sa.Row[Any],
    affected: Sequence[sa.Row[Any]],
    asked: Sequence[sa.Row[Any]],
    *,
    support: str,
    refusal: type[CallerError],
    down: type[CallerError] = ServiceDown,
) -> None:
    """Raise `refusal` unless network, servers and shares can take the change, `down` when a worker
    concerned is down; each names the noun.

    `support`: the capability that all servers asked must have.
    """
    if network.status != "active":
        raise refusal(f"The share network {network.id} is not active but {network.status}.")
    for server in asked:
        if not server._mapping[support]:
            raise refusal(
                f"The share server {server.id} does not support updates of its "
                f"{_SUPPORTED[support]} ({support})."
            )
    for server in affected:
        if server.status != "active":
            raise refusal(f"The share server {server.id} is not active but {server.status}.")
    for service in conn.execute(
        sa.select(services).where(services.c.host.in_({server.host for server in asked}))
    ):
        if not is_up(service._mapping):
            raise down(f"The back end {service.host} is down; try again when it is up.")
    instance = share_instances
    unhealthy = sa.or_(instance.c.status != "available", instance.c.access_rules_status != "active")
    sick = conn.execute(
        sa.select(instance)
        .where(instance.c.share_server_id.in_([s.id for s in affected]), unhealthy)
        .limit(1)
    ).first()
    if sick is not None:
        are_in_error = sick.access_rules_status == "error"
        advice = " Delete those that are in error first." if are_in_error else ""
        raise refusal(
            f"The share {sick.share_id} must be available with active access rules; it is "
            f"{sick.status}, its rules are {sick.access_rules_status}.{advice}"
        )


_SUPPORTED = {
    "network_allocation_update_support": "network allocations",
    "share_server_subnet_removal_support": "subnets by removal",
    "security_service_update_support": "security services",
}


def outcome(
    conn: Connection,
    question: Question,
    *,
    refusal: type[CallerError],
    denied: str,
    limits: RowLimits = NO_LIMITS,
    denial_lasts: timedelta = DENIAL_LASTS,
) -> sa.Row[Any] | PendingCheck:
    """The drivers' answers when all of them allow it; a pending check while some have not answered,
    asked now at the latest.

    Raises `refusal`, `denied` and the drivers' reasons, when one denies; one that did so longer ago
    than `denial_lasts` is asked anew. The network's row is held.
    """
    check = _current(conn, question, denial_lasts)
    if check is None:
        return PendingCheck(id=_start(conn, question, limits))
    if False in check.hosts.values():
        raise refusal(
            f"{denied}: " + "; ".join(check.reasons[host] for host in sorted(check.reasons))
        )
    return PendingCheck(id=check.id) if None in check.hosts.values() else check


def ask(
    conn: Connection, question: Question, *, reset_operation: bool, limits: RowLimits = NO_LIMITS
) -> dict[str, Any]:
    """Ask the drivers alone: `{"compatible": True | False | None, "hosts_check_result": {host: …},
    "reasons": of those who deny, "addresses_free": int | None}`; None while they have not all
    answered."""
    if not question.asked:
        return {
            "compatible": True,
            "hosts_check_result": {},
            "reasons": [],
            "addresses_free": None,
        }
    known = _current(conn, question)
    if known is not None and reset_operation:
        _forget(conn, known.id)
        known = None
    if known is None:
        known = conn.execute(
            sa.select(_checks).where(_checks.c.id == _start(conn, question, limits))
        ).one()
    answers: Collection[bool | None] = known.hosts.values()
    compatible = False if False in answers else None if None in answers else True
    return {
        "compatible": compatible,
        "hosts_check_result": known.hosts,
        "reasons": [known.reasons[host] for host in sorted(known.reasons)],
        "addresses_free": known.free_addresses,
    }


def is_pending(conn: Connection, check_id: str) -> bool:
    """Whether a driver has still to answer and none has denied."""
    hosts = conn.scalar(sa.select(_checks.c.hosts).where(_checks.c.id == check_id))
    return hosts is not None and None in hosts.values() and False not in hosts.values()


def forget_all(conn: Connection, share_network_id: str) -> None:
    """The network is changed now: what was answered before says nothing any more."""
    conn.execute(sa.delete(_checks).where(_checks.c.share_network_id == share_network_id))


# --- for the workflows that ask -------------------------------------------------------------------


class Asked(Value):
    """What one back end is asked: `request` as in the question, about these of its servers."""

    share_network_id: str
    project_id: str
    server_ids: list[str]
    request: dict[str, Any]


def asked(conn: Connection, check_id: str, service_host: str) -> Asked | None:
    """What to ask the back end; None when the check is gone."""
    row = conn.execute(sa.select(_checks).where(_checks.c.id == check_id)).one_or_none()
    if row is None:
        return None
    mine = sa.select(share_servers.c.id).where(
        share_servers.c.id.in_(row.share_server_ids), share_servers.c.host == service_host
    )
    return Asked(
        share_network_id=row.share_network_id,
        project_id=_project(conn, row.share_network_id),
        server_ids=list(conn.scalars(mine.order_by(share_servers.c.id))),
        request=row.request,
    )


def answer(
    conn: Connection,
    check_id: str,
    service_host: str,
    denial: str | None,
    *,
    denied: str,
    repeats: bool = True,
    **found: Any,
) -> None:
    """Store what a back end answered: None is a yes; a denial becomes a message to the project,
    `denied: denial`, which `repeats` the one before or does not. `found`: further columns."""
    row = conn.execute(
        sa.select(_checks).where(_checks.c.id == check_id).with_for_update()
    ).one_or_none()
    if row is None:
        return
    if denial is not None:
        share_network_messages.about_network(
            conn, row.share_network_id, f"{denied}: {denial}", repeats=repeats
        )
    changes = {
        "hosts": {**row.hosts, service_host: denial is None},
        "reasons": row.reasons if denial is None else {**row.reasons, service_host: denial},
        "updated_at": utcnow(),
        **found,
    }
    conn.execute(sa.update(_checks).where(_checks.c.id == check_id).values(**changes))


# -------------------------------------------------------------------------------------------------


def _current(
    conn: Connection, question: Question, denial_lasts: timedelta = DENIAL_LASTS
) -> sa.Row[Any] | None:
    """The check of exactly this question and these servers, unless it has expired."""
    row = conn.execute(
        sa.select(_checks)
        .where(
            _checks.c.share_network_id == question.share_network_id,
            _checks.c.request_digest == _digest(question),
        )
        .order_by(_checks.c.created_at.desc())
        .limit(1)
        .with_for_update()
    ).one_or_none()
    if row is None:
        return None
    is_denied = False in row.hosts.values() and None not in row.hosts.values()
    now = utcnow()
    # one from the future was asked before the clock was set back
    is_over = not row.created_at <= now < row.expires_at
    worth_asking_again = is_denied and not row.updated_at <= now <= row.updated_at + denial_lasts
    if is_over or row.share_server_ids != question.asked or worth_asking_again:
        _forget(conn, row.id)
        return None
    return row


def _start(conn: Connection, question: Question, limits: RowLimits) -> str:
    project_id = _project(conn, question.share_network_id)
    require_room_for_work(conn, project_id, limits)
    workers = server_hosts.one_of_each(conn, question.asked)
    check_id = str(uuid4())
    now = utcnow()
    conn.execute(
        sa.delete(_checks).where(
            _checks.c.share_network_id == question.share_network_id, _checks.c.expires_at <= now
        )
    )
    conn.execute(
        sa.insert(_checks).values(
            id=check_id,
            share_network_id=question.share_network_id,
            request=question.request,
            request_digest=_digest(question),
            share_server_ids=question.asked,
            hosts=dict.fromkeys(workers),
            reasons={},
            expires_at=now + CHECK_LASTS,
            created_at=now,
        )
    )
    enqueue(
        conn,
        *[
            Work(
                name=question.workflow,
                worker_host=worker_host,
                project_id=project_id,
                id=f"{question.workflow}:{check_id}:{host}",
                # one at a time: what it asks may never answer
                key=f"check:{question.share_network_id}",
                args=(check_id, host),
            )
            for host, worker_host in workers.items()
        ],
    )
    return check_id


def _forget(conn: Connection, check_id: str) -> None:
    conn.execute(sa.delete(_checks).where(_checks.c.id == check_id))


def _digest(question: Question) -> str:
    text = "\n".join([question.workflow, *map(str, question.subject)])
    return hashlib.sha256(text.encode()).hexdigest()


def _project(conn: Connection, share_network_id: str) -> str:
    return (
        conn.scalar(
            sa.select(share_networks.c.project_id).where(share_networks.c.id == share_network_id)
        )
        or ""
    )
