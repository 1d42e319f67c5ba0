"""Security services: LDAP, Kerberos or Active Directory domains that share servers join. Attaching
them: `security_service_changes`.

Passwords are encrypted here (`encrypted_password`); only `of_server` and `named` decrypt them, for
the worker.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.encryption import Cipher
from abaca.db.session import lock_row, utcnow
from abaca.db.tables import security_services, share_networks, share_servers
from abaca.db.tables import share_network_security_service_association as associations
from abaca.domain.rows.listings import Listing, among, equal
from abaca.domain.rows.row_limits import NO_LIMITS, RowLimits, require_room_in_project
from abaca.domain.rows.share_network_lock import require_visible
from abaca.errors import Forbidden, Invalid, Missing
from abaca.values import Caller, Page, SecurityService

TYPES = ("ldap", "kerberos", "active_directory")
_WHILE_IN_USE = {"name", "description"}


def create(
    conn: Connection,
    caller: Caller,
    *,
    type: str,
    limits: RowLimits = NO_LIMITS,
    **fields: str | None,
) -> dict[str, Any]:
    """Create a security service; `fields`: the other columns. Its view: all columns, and
    `share_networks`, the ids of those that use it."""
    if type not in TYPES:
        raise Invalid(
            f"Invalid type {type} specified for security service. Valid types are "
            f"{','.join(TYPES)}."
        )
    _refuse_both(fields)
    require_room_in_project(
        conn,
        "security_services",
        limits.security_services,
        security_services.c.project_id,
        caller.project_id,
    )
    service_id = str(uuid4())
    conn.execute(
        sa.insert(security_services).values(
            id=service_id, project_id=caller.project_id, type=type, created_at=utcnow(), **fields
        )
    )
    return get(conn, caller, service_id)


def get(conn: Connection, caller: Caller, security_service_id: str) -> dict[str, Any]:
    """One security service. Raises Missing if it does not exist or is another project's."""
    rows = (
        conn.execute(visible(caller).where(security_services.c.id == security_service_id))
        .mappings()
        .all()
    )
    if not rows:
        raise _missing(security_service_id)
    return _views(conn, [dict(rows[0])])[0]


def find(
    conn: Connection,
    caller: Caller,
    filters: dict[str, Any],
    page: Page,
    all_projects: bool = False,
) -> list[dict[str, Any]]:
    """Security services, newest first unless sorted otherwise, in two statements. `filters`: id,
    name, type, user, server, dns_ip, domain, share_network_id (then of all projects; raises Missing
    if the caller may not see it), and with all projects project_id."""
    network_id = filters.get("share_network_id")
    if network_id is not None:
        require_visible(conn, caller, network_id)
    known = {
        name: wanted for name, wanted in filters.items() if all_projects or name != "project_id"
    }
    return LISTING.find(conn, caller, known, page, all_projects or network_id is not None)


def update(
    conn: Connection, caller: Caller, security_service_id: str, changes: dict[str, Any]
) -> dict[str, Any]:
    """Change columns. Raises Forbidden for others than name and description while a share server
    may have joined it."""
    row = lock(conn, caller, security_service_id)
    if changes.get("type", row.type) not in TYPES:
        raise Invalid(
            f"Invalid type {changes['type']} specified for security service. Valid types are "
            f"{','.join(TYPES)}."
        )
    _refuse_both({**row._mapping, **changes})
    in_use = (
        sa.select(share_servers.c.id)
        .join(associations, associations.c.share_network_id == share_servers.c.share_network_id)
        .where(associations.c.security_service_id == security_service_id)
    )
    if changes.keys() - _WHILE_IN_USE and conn.execute(in_use.limit(1)).first():
        raise Forbidden(
            f"Cannot update security service {security_service_id}. It is attached to share "
            "network with share server associated. "
            "Only 'name' and 'description' fields are available for update."
        )
    conn.execute(
        sa.update(security_services)
        .where(security_services.c.id == security_service_id)
        .values(updated_at=utcnow(), **changes)
    )
    return get(conn, caller, security_service_id)


def delete(conn: Connection, caller: Caller, security_service_id: str) -> None:
    """Delete one that no share network uses; otherwise raises Forbidden."""
    lock(conn, caller, security_service_id)
    if conn.execute(
        sa.select(associations)
        .where(associations.c.security_service_id == security_service_id)
        .limit(1)
    ).first():
        raise Forbidden("Cannot delete security service. It is assigned to share network(s).")
    conn.execute(sa.delete(security_services).where(security_services.c.id == security_service_id))


def visible(caller: Caller) -> sa.Select[Any]:
    """The security services that a caller may see."""
    query = sa.select(security_services)
    return (
        query
        if caller.is_admin
        else query.where(security_services.c.project_id == caller.project_id)
    )


def lock(conn: Connection, caller: Caller, security_service_id: str) -> sa.Row[Any]:
    """The row, locked until the transaction ends. Raises Missing as `get` does. If a share network
    is locked too, it must be locked first."""
    row = lock_row(conn, security_services, security_service_id)
    if row is None or not (caller.is_admin or row.project_id == caller.project_id):
        raise _missing(security_service_id)
    return row


def attached(conn: Connection, share_network_id: str) -> list[sa.Row[Any]]:
    """The security services of a share network, the oldest association first."""
    query = (
        sa.select(security_services)
        .join(associations, associations.c.security_service_id == security_services.c.id)
        .where(associations.c.share_network_id == share_network_id)
        .order_by(associations.c.created_at, security_services.c.id)
    )
    return list(conn.execute(query))


def of_server(conn: Connection, cipher: Cipher, share_server_id: str) -> list[SecurityService]:
    """The services that a share server has to join, with clear-text passwords: never stored, never
    a step's result. Raises Unavailable (no key)."""
    network_id = conn.scalar(
        sa.select(share_servers.c.share_network_id).where(share_servers.c.id == share_server_id)
    )
    return [value(row, cipher) for row in attached(conn, network_id or "")]


def named(conn: Connection, cipher: Cipher, security_service_id: str) -> SecurityService | None:
    """One security service as drivers see it, with its clear-text password; None if it does not
    exist."""
    row = conn.execute(
        sa.select(security_services).where(security_services.c.id == security_service_id)
    ).one_or_none()
    return value(row, cipher) if row else None


def value(row: sa.Row[Any], cipher: Cipher) -> SecurityService:
    """A row as drivers see it."""
    return SecurityService(
        id=row.id,
        type=row.type,
        dns_ip=row.dns_ip,
        server=row.server,
        domain=row.domain,
        ou=row.ou,
        default_ad_site=row.default_ad_site,
        user=row.user,
        password=cipher.decrypt(row.encrypted_password)
        if row.encrypted_password is not None
        else None,
    )


def _views(conn: Connection, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    users = defaultdict(list)
    query = (
        sa.select(associations.c.security_service_id, associations.c.share_network_id)
        .join(share_networks, share_networks.c.id == associations.c.share_network_id)
        .where(associations.c.security_service_id.in_([row["id"] for row in rows]))
        .order_by(associations.c.created_at, associations.c.share_network_id)
    )
    for service_id, network_id in conn.execute(query):
        users[service_id].append(network_id)
    for row in rows:
        row["share_networks"] = users[row["id"]]
    return rows


def _refuse_both(fields: dict[str, Any]) -> None:
    if fields.get("server") and fields.get("default_ad_site"):
        raise Invalid("A security service has either server or default_ad_site, not both.")


def _missing(security_service_id: str) -> Missing:
    return Missing(f"Security service {security_service_id} could not be found.")


def _visible(caller: Caller, all_projects: bool) -> sa.Select[Any]:
    query = visible(caller)
    return (
        query if all_projects else query.where(security_services.c.project_id == caller.project_id)
    )


def _of_network(share_network_id: str) -> sa.Select[Any]:
    return sa.select(associations.c.security_service_id).where(
        associations.c.share_network_id == share_network_id
    )


_FILTERS = ("id", "name", "type", "user", "server", "dns_ip", "domain", "project_id")
_COLUMNS = {name: security_services.c[name] for name in _FILTERS}
LISTING = Listing(
    "Security services",
    _visible,
    security_services.c.id,
    conditions={**equal(_COLUMNS), "share_network_id": among(security_services.c.id, _of_network)},
    sort_keys=_COLUMNS | {name: security_services.c[name] for name in ("created_at", "updated_at")},
    view=_views,
)
