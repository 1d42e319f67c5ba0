"""What becomes of a drain at its deadline: it is cancelled, or the subnet is removed, whoever is
connected there. The project is told which.

A removal that is refused then is tried again for a day, after longer and longer pauses; each new
reason is told once.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import utcnow
from abaca.db.tables import share_network_subnets, share_networks
from abaca.domain.network_changes import subnet_drains, subnet_removals
from abaca.domain.network_changes.share_network_checks import CHECK_LASTS, PendingCheck
from abaca.domain.rows.share_network_lock import lock
from abaca.domain.share_networks import share_network_messages
from abaca.domain.shares.shares import ANYBODY

RETRIED_FOR = timedelta(days=1)
RETRIED_AT_ONCE_FOR = timedelta(minutes=5)
LONGEST_PAUSE = timedelta(minutes=10)
_NO_ANSWER = "the back ends have not answered."

_subnets = share_network_subnets


def due(conn: Connection) -> list[str]:
    """The subnets whose drain is over by now; those of networks that are being changed wait, and
    those whose removal has been refused, for a while."""
    return _due(conn, sa.true())


def _due(conn: Connection, which: sa.ColumnElement[bool]) -> list[str]:
    now = utcnow()
    query = (
        sa.select(_subnets)
        .join(share_networks, share_networks.c.id == _subnets.c.share_network_id)
        .where(
            which,
            _subnets.c.removal_deadline <= now,
            ~_subnets.c.is_deleting,
            ~share_networks.c.is_deleting,
            share_networks.c.status == "active",
        )
    )
    rows = conn.execute(query.order_by(_subnets.c.removal_deadline, _subnets.c.id))
    return [row.id for row in rows if not _is_paused(row, now)]


def _is_paused(row: sa.Row[Any], now: datetime) -> bool:
    """Whether the removal was refused a short while ago: after the first minutes each pause is
    about as long as it has been tried before. A change of the subnet's metadata counts as well. The
    last try, after a day, is not put off."""
    if row.removal_obstacle in (None, _NO_ANSWER) or row.removal_deadline + RETRIED_FOR <= now:
        return False
    tried_for = row.updated_at - row.removal_deadline
    return bool(now < row.updated_at + min(tried_for - RETRIED_AT_ONCE_FOR, LONGEST_PAUSE))


def meet(conn: Connection, subnet_id: str) -> None:
    """Cancel the drain, or begin the removal; nothing when it is not due any more. Drivers that
    have yet to be asked are: it goes on the next time, and ends after a day without an answer.

    Raises CallerError when the removal is refused; see `refused`.
    """
    network_id = _hold(conn, subnet_id)
    if network_id is None:
        return
    if _at_deadline(conn, subnet_id) == subnet_drains.CANCEL:
        subnet_drains.cancel(conn, ANYBODY, network_id, subnet_id)
        _tell(conn, network_id, subnet_id, "The drain of the subnet was cancelled at its deadline.")
        return
    # A denial has to last until the pass looks again.
    outcome = subnet_removals.begin(conn, ANYBODY, network_id, subnet_id, denial_lasts=CHECK_LASTS)
    if isinstance(outcome, PendingCheck):
        _not_answered(conn, network_id, subnet_id)
    else:
        subnet_drains.removal_begun(conn, subnet_id)
        _tell(
            conn,
            network_id,
            subnet_id,
            "The drain of the subnet has reached its deadline: it is being removed, and clients "
            "that are still connected there are cut off.",
        )


def refused(conn: Connection, subnet_id: str, reason: str) -> bool:
    """The removal cannot begin: the project is told why unless it knows; after a day the drain is
    cancelled. Whether anything was new in that."""
    network_id = _hold(conn, subnet_id)
    if network_id is None:
        return False
    row = conn.execute(sa.select(_subnets).where(_subnets.c.id == subnet_id)).one()
    if row.removal_deadline + RETRIED_FOR <= utcnow():
        _give_up(conn, network_id, subnet_id, reason)
        return True
    subnet_drains.obstructed(conn, subnet_id, reason)  # also when it was refused
    if row.removal_obstacle == reason[:1023]:
        return False
    _tell(
        conn,
        network_id,
        subnet_id,
        f"The subnet cannot be removed at its deadline; it is tried again: {reason}",
    )
    return True


def _not_answered(conn: Connection, network_id: str, subnet_id: str) -> None:
    """Nobody is told unless it is for the last time. The first one is never that, however long
    there was no worker."""
    row = conn.execute(sa.select(_subnets).where(_subnets.c.id == subnet_id)).one()
    if row.removal_obstacle is None:
        subnet_drains.obstructed(conn, subnet_id, _NO_ANSWER)
    elif row.removal_deadline + RETRIED_FOR <= utcnow():
        _give_up(conn, network_id, subnet_id, row.removal_obstacle)


def _give_up(conn: Connection, network_id: str, subnet_id: str, reason: str) -> None:
    subnet_drains.cancel(conn, ANYBODY, network_id, subnet_id)
    _tell(
        conn,
        network_id,
        subnet_id,
        f"The subnet could not be removed for a day, and its drain was cancelled: {reason}",
    )


def _hold(conn: Connection, subnet_id: str) -> str | None:
    """The subnet's network, its row held; None when the drain is not due."""
    network_id = conn.scalar(
        sa.select(_subnets.c.share_network_id).where(_subnets.c.id == subnet_id)
    )
    if network_id is None:
        return None
    lock(conn, ANYBODY, network_id)
    return network_id if _due(conn, _subnets.c.id == subnet_id) else None


def _at_deadline(conn: Connection, subnet_id: str) -> str | None:
    return conn.scalar(sa.select(_subnets.c.removal_at_deadline).where(_subnets.c.id == subnet_id))


def _tell(conn: Connection, network_id: str, subnet_id: str, text: str) -> None:
    """Also when the subnet has gone at once, for no server was on it."""
    share_network_messages.about_subnet(conn, subnet_id, text, share_network_id=network_id)
