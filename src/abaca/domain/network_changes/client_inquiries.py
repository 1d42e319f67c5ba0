"""Asking back ends who is connected to share servers.

They are asked live, by one workflow a back end and host. An answer holds addresses, so it is kept
in one row that is good for seconds and then deleted: never in messages, logs or records of work.
What an answer means: `connected_clients`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from uuid import uuid4

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import utcnow
from abaca.db.tables import client_inquiries, share_servers
from abaca.domain.driver_views import driver_values
from abaca.domain.network_changes.share_network_checks import PendingCheck
from abaca.domain.rows.row_limits import NO_LIMITS, RowLimits, require_room_for_work
from abaca.domain.share_servers import server_hosts
from abaca.domain.share_servers import share_servers as servers
from abaca.values import Clients, ShareServer, Value
from abaca.workflow.queue import Work, enqueue

WORKFLOW = "share_server_clients"
ANSWER_LASTS = timedelta(seconds=5)
"""So long everybody who asks about the same servers gets the same answer."""
_QUESTION_LASTS = timedelta(seconds=60)

_table = client_inquiries


class Answer(Value):
    """What a back end said of one share server, and when. `clients` is None when it cannot tell.
    `owners`: project ids by Neutron network id, of the networks whose owner is known."""

    clients: Clients | None
    at: datetime
    owners: dict[str, str] = {}


def ask(
    conn: Connection,
    project_id: str,
    share_server_ids: Collection[str],
    limits: RowLimits = NO_LIMITS,
) -> dict[str, Answer] | PendingCheck:
    """The answers about these share servers, by id; pending while a back end has not answered.

    A server is left out whose back end is down, or could not say now who is connected. The work is
    done for `project_id`.
    """
    asked = sorted(share_server_ids)
    now = utcnow()
    conn.execute(sa.delete(_table).where(_table.c.expires_at <= now))
    row = conn.execute(
        sa.select(_table)
        .where(_table.c.digest == _digest(asked), _table.c.created_at <= now)
        .order_by(_table.c.created_at.desc())
        .limit(1)
    ).first()
    if row is None:
        inquiry_id = _start(conn, project_id, asked, limits)
        return PendingCheck(id=inquiry_id) if inquiry_id else {}
    if False in row.hosts.values():
        return PendingCheck(id=row.id)
    return msgspec.convert(row.answers, dict[str, Answer])


def is_pending(conn: Connection, inquiry_id: str) -> bool:
    """Whether a back end has still to answer."""
    hosts = conn.scalar(sa.select(_table.c.hosts).where(_table.c.id == inquiry_id))
    return hosts is not None and False in hosts.values()


def forget(conn: Connection, share_server_ids: Collection[str]) -> None:
    """Delete what was asked about any of these share servers, answered or not: who asks next is
    told what is so from now on."""
    ids = sa.cast(_table.c.share_server_ids, sa.Text)
    conn.execute(sa.delete(_table).where(sa.or_(sa.false(), *map(ids.contains, share_server_ids))))


def delete_expired(conn: Connection) -> None:
    """Delete answers, and questions without one, whose time is over."""
    conn.execute(sa.delete(_table).where(_table.c.expires_at <= utcnow()))


# --- for the workflow that asks -------------------------------------------------------------------


def asked(conn: Connection, inquiry_id: str, place: str) -> list[ShareServer]:
    """The servers to ask about at this place; none when the inquiry is gone."""
    ids = conn.scalar(sa.select(_table.c.share_server_ids).where(_table.c.id == inquiry_id)) or []
    here = conn.scalars(
        sa.select(share_servers.c.id)
        .where(share_servers.c.id.in_(ids), server_hosts.at(place))
        .order_by(share_servers.c.id)
    ).all()
    networks = driver_values.network_infos(conn, here)
    details = servers.details_of_all(conn, here)
    return [
        ShareServer(id=id_, network_info=networks[id_], backend_details=details[id_])
        for id_ in here
    ]


def answer(conn: Connection, inquiry_id: str, place: str, answers: Mapping[str, Answer]) -> None:
    """Store what a back end says of its servers at a place, by id; of one that is left out,
    nothing."""
    row = conn.execute(
        sa.select(_table).where(_table.c.id == inquiry_id).with_for_update()
    ).one_or_none()
    if row is None:
        return
    now = utcnow()
    conn.execute(
        sa.update(_table)
        .where(_table.c.id == inquiry_id)
        .values(
            hosts={**row.hosts, place: True},
            answers={**row.answers, **msgspec.to_builtins(answers)},
            expires_at=now + ANSWER_LASTS,
            updated_at=now,
        )
    )


def give_up(conn: Connection, inquiry_id: str, place: str, _reason: str) -> None:
    """The back end could not be asked: an inquiry is never left without an answer."""
    answer(conn, inquiry_id, place, {})


# -------------------------------------------------------------------------------------------------


def _start(conn: Connection, project_id: str, asked: list[str], limits: RowLimits) -> str | None:
    """The id of a new inquiry; None when no back end could be asked."""
    places = server_hosts.places(conn, asked)
    if not places:
        return None
    require_room_for_work(conn, project_id, limits)
    inquiry_id, now = str(uuid4()), utcnow()
    conn.execute(
        sa.insert(_table).values(
            id=inquiry_id,
            digest=_digest(asked),
            share_server_ids=asked,
            hosts=dict.fromkeys(places, False),
            answers={},
            expires_at=now + _QUESTION_LASTS,
            created_at=now,
        )
    )
    enqueue(
        conn,
        *[
            Work(
                name=WORKFLOW,
                worker_host=worker_host,
                project_id=project_id,
                id=f"{WORKFLOW}:{inquiry_id}:{place}",
                key=f"clients:{_digest(asked)}:{place}",
                args=(inquiry_id, place),
            )
            for place, worker_host in sorted(places.items())
        ],
    )
    return inquiry_id


def _digest(share_server_ids: list[str]) -> str:
    return hashlib.sha256("\n".join(share_server_ids).encode()).hexdigest()
