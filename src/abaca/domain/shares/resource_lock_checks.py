"""What resource locks prevent, and who may override a lock: its user, if it was placed as a user;
services override users' locks, and administrators override all. Placing and deleting locks:
`resource_locks`."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.tables import resource_locks as table
from abaca.db.tables import share_access_rules
from abaca.errors import Forbidden
from abaca.values import Caller

DELETE = "delete"
SHOW = "show"


def context_of(caller: Caller) -> str:
    """The context in which a caller places locks: user, service or admin."""
    return "admin" if caller.is_admin else "service" if "service" in caller.roles else "user"


def is_below(caller: Caller) -> sa.ColumnElement[bool]:
    """SQL condition: the caller may change and delete the lock, and see what it hides."""
    match context_of(caller):
        case "admin":
            return sa.true()
        case "service":
            return table.c.lock_context != "admin"
        case _:
            return (table.c.lock_context == "user") & (table.c.user_id == caller.user_id)


def is_hidden_from(caller: Caller) -> sa.ColumnElement[bool]:
    """SQL condition: a lock hides from the caller to whom an access rule opens its share."""
    return sa.exists().where(
        table.c.access_rule_id == share_access_rules.c.id,
        table.c.resource_action == SHOW,
        ~is_below(caller),
    )


def require_share_deletable(conn: Connection, share_id: str) -> None:
    """Raises Forbidden for a share, its row locked, with a resource lock against being deleted,
    soft-deleted or unmanaged, whoever asks."""
    locks = conn.scalars(
        sa.select(table.c.id)
        .where(table.c.share_id == share_id, table.c.resource_action == DELETE)
        .order_by(table.c.id)
    ).all()
    if locks:
        raise Forbidden(
            f"Invalid share: Resource locks prevent the deletion of share {share_id}: "
            f"{', '.join(locks)}."
        )


def require_rule_deletable(
    conn: Connection, caller: Caller, access_id: str, *, unrestrict: bool
) -> None:
    """Raises Forbidden for an access rule, its share's row locked, with a resource lock against
    deletion, unless the caller overrides that and may."""
    query = sa.select(table.c.id, is_below(caller)).where(
        table.c.access_rule_id == access_id, table.c.resource_action == DELETE
    )
    locks = conn.execute(query).all()
    if locks and not unrestrict:
        raise Forbidden(
            f"Access rule {access_id} is locked against deletion: deny it with unrestrict set to "
            "true,"
            " or delete its resource locks first."
        )
    if not all(may for _, may in locks):
        raise Forbidden(f"Access rule {access_id} is locked against deletion by another user.")
