"""User messages: why background work failed, for the project that requested it.

`action_id` and `detail_id` are Manila's numbers, so that clients can sort by them; the text is
ours.
"""

from __future__ import annotations

from datetime import timedelta
from enum import Enum
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca import log_context
from abaca.db.session import utcnow
from abaca.db.tables import messages
from abaca.domain.rows.listings import Listing, created, equal
from abaca.errors import Missing
from abaca.values import Caller

KEPT_FOR = timedelta(days=30)
_LONGEST = 1023


class Action(Enum):
    """What failed."""

    ALLOCATE_HOST = "001"
    CREATE = "002"
    UPDATE = "005"
    REVERT_TO_SNAPSHOT = "006"
    DELETE = "007"
    EXTEND = "008"
    SHRINK = "009"
    UPDATE_ACCESS_RULES = "010"


class Detail(Enum):
    """Why it failed, where Manila has a number for it."""

    UNKNOWN_ERROR = "001"
    NO_VALID_HOST = "002"
    UNEXPECTED_NETWORK = "003"
    FILTER_AVAILABILITY = "007"
    FILTER_CAPABILITIES = "008"
    FILTER_CAPACITY = "009"
    DRIVER_FAILED_EXTEND = "015"


_OF_FILTERS = {
    "availability zone": Detail.FILTER_AVAILABILITY,
    "share server handling": Detail.FILTER_CAPABILITIES,
    "multiple subnets": Detail.FILTER_CAPABILITIES,
    "storage protocol": Detail.FILTER_CAPABILITIES,
    "capabilities": Detail.FILTER_CAPABILITIES,
    "capacity": Detail.FILTER_CAPACITY,
}


def of_filter(name: str | None) -> Detail:
    """Why there was no valid host, by the scheduler's filter that removed the last pools; None:
    there was no pool."""
    return _OF_FILTERS.get(name or "", Detail.NO_VALID_HOST)


def create(
    conn: Connection,
    *,
    project_id: str,
    resource_type: str,
    resource_id: str,
    action: Action,
    text: str,
    detail: Detail = Detail.UNKNOWN_ERROR,
    repeats: bool = True,
) -> None:
    """Tell a project why the request of this thread failed. A long text is truncated.

    `resource_type` as in Manila: SHARE, SHARE_NETWORK, SHARE_NETWORK_SUBNET, … `repeats` False:
    skip it if the newest message about the resource is the same.
    """
    now = utcnow()
    text = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
    if not repeats and text == _newest_about(conn, resource_id):
        return
    conn.execute(
        sa.insert(messages).values(
            id=str(uuid4()),
            project_id=project_id,
            request_id=log_context.request_id() or None,
            resource_type=resource_type,
            resource_id=resource_id,
            action_id=action.value,
            detail_id=detail.value,
            message_level="ERROR",
            user_message=text,
            created_at=now,
            expires_at=now + KEPT_FOR,
        )
    )


def _select(caller: Caller, _all_projects: bool) -> sa.Select[Any]:
    """The messages of the caller's project, for administrators those of all projects."""
    query = sa.select(messages)
    return query if caller.is_admin else query.where(messages.c.project_id == caller.project_id)


_FILTERS = {
    name: messages.c[name]
    for name in (
        "request_id",
        "resource_type",
        "resource_id",
        "action_id",
        "detail_id",
        "message_level",
    )
}
LISTING = Listing(
    "Messages",
    _select,
    messages.c.id,
    conditions={**equal(_FILTERS), **created(messages.c.created_at)},
    sort_keys=_FILTERS
    | {name: messages.c[name] for name in ("id", "project_id", "created_at", "expires_at")},
)


def get(conn: Connection, caller: Caller, message_id: str) -> dict[str, Any]:
    """One message of the caller's project."""
    row = conn.execute(_own(caller, message_id)).mappings().one_or_none()
    if row is None:
        raise Missing(f"Message {message_id} could not be found.")
    return dict(row)


def delete(conn: Connection, caller: Caller, message_id: str) -> None:
    """Delete one message of the caller's project."""
    get(conn, caller, message_id)
    conn.execute(sa.delete(messages).where(messages.c.id == message_id))


def delete_expired(conn: Connection) -> None:
    """Delete expired messages of all projects."""
    conn.execute(sa.delete(messages).where(messages.c.expires_at < utcnow()))


def _newest_about(conn: Connection, resource_id: str) -> str | None:
    return conn.scalar(
        sa.select(messages.c.user_message)
        .where(messages.c.resource_id == resource_id)
        .order_by(messages.c.created_at.desc())
        .limit(1)
    )


def keep_newest(conn: Connection, most: int) -> None:
    """Delete the oldest messages of projects that have more than `most`."""
    crowded = (
        sa.select(messages.c.project_id)
        .group_by(messages.c.project_id)
        .having(sa.func.count() > most)
    )
    age = sa.func.row_number().over(
        partition_by=messages.c.project_id, order_by=(messages.c.created_at.desc(), messages.c.id)
    )
    aged = (
        sa.select(messages.c.id, age.label("age"))
        .where(messages.c.project_id.in_(crowded))
        .subquery()
    )
    conn.execute(
        sa.delete(messages).where(messages.c.id.in_(sa.select(aged.c.id).where(aged.c.age > most)))
    )


def _own(caller: Caller, message_id: str) -> sa.Select[Any]:
    query = sa.select(messages).where(messages.c.id == message_id)
    return query if caller.is_admin else query.where(messages.c.project_id == caller.project_id)
