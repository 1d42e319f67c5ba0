"""Share networks: a tenant's choice of subnets for its share servers. The subnets
themselves: `share_network_subnets`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import utcnow
from abaca.db.tables import (
    availability_zones,
    share_groups,
    share_instances,
    share_network_subnets,
    share_networks,
    share_servers,
)
from abaca.db.tables import share_network_security_service_association as associations
from abaca.domain.capacity import quota_usages
from abaca.domain.rows import states
from abaca.domain.rows.listings import Listing, among, containing, equal
from abaca.domain.rows.share_network_lock import lock, refuse_while_changing, visible
from abaca.domain.share_networks import share_network_subnets as subnets
from abaca.domain.share_servers import share_servers as servers
from abaca.errors import Conflict, Forbidden, Invalid, Missing
from abaca.values import Caller, Page


def create(
    conn: Connection,
    caller: Caller,
    *,
    name: str | None,
    description: str | None,
    neutron_net_id: str | None,
    neutron_subnet_id: str | None,
    availability_zone: str | None = None,
    quota_defaults: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Create a share network with its first subnet (a default one unless a zone is named); returns
    its view.

    `quota_defaults`: the limits where none are set; None: no limits. Raises OverQuota.
    """
    quota_usages.claim(
        conn, caller.project_id, caller.user_id, defaults=quota_defaults, share_networks=1
    )
    network_id = str(uuid4())
    conn.execute(
        sa.insert(share_networks).values(
            id=network_id,
            project_id=caller.project_id,
            user_id=caller.user_id,
            name=name,
            description=description,
            status="active",
            created_at=utcnow(),
        )
    )
    zone = subnets.zone_named(conn, availability_zone)
    subnets.insert(conn, network_id, zone and zone.id, neutron_net_id, neutron_subnet_id)
    return get(conn, caller, network_id)


def get(conn: Connection, caller: Caller, share_network_id: str) -> dict[str, Any]:
    """One share network. Raises Missing if it does not exist or is another project's."""
    views = _views(
        conn,
        [
            dict(row)
            for row in conn.execute(
                visible(caller).where(share_networks.c.id == share_network_id)
            ).mappings()
        ],
    )
    if not views:
        raise Missing(f"Share network {share_network_id} could not be found.")
    return views[0]


def find(
    conn: Connection,
    caller: Caller,
    filters: dict[str, Any],
    page: Page,
    all_projects: bool = False,
) -> list[dict[str, Any]]:
    """Share networks, newest first unless sorted otherwise, in three statements whatever their
    number.

    `filters`: name, project_id (of all projects, then), status, `name~`, `description~` (part of
    the text), created_since, created_before (YYYY-MM-DD), the fields of subnets, availability_zone
    (name), share_server_id, security_service_id.
    """
    return _find(LISTING, conn, caller, filters, page, all_projects)


def find_names(
    conn: Connection,
    caller: Caller,
    filters: dict[str, Any],
    page: Page,
    all_projects: bool = False,
) -> list[dict[str, Any]]:
    """As `find`, without subnets and capabilities, in one statement."""
    return _find(_NAMES, conn, caller, filters, page, all_projects)


def update(
    conn: Connection, caller: Caller, share_network_id: str, changes: dict[str, Any]
) -> dict[str, Any]:
    """Change name and description; neutron_net_id and neutron_subnet_id of the only default subnet
    while there is no share server."""
    network = lock(conn, caller, share_network_id)
    refuse_while_changing(network)
    neutron: dict[str, Any] = {
        key: changes[key] for key in ("neutron_net_id", "neutron_subnet_id") if key in changes
    }
    if neutron:
        _update_default_subnet(conn, network.id, neutron)
    texts = {key: changes[key] for key in ("name", "description") if key in changes}
    conn.execute(
        sa.update(share_networks)
        .where(share_networks.c.id == share_network_id)
        .values(updated_at=utcnow(), **texts)
    )
    return get(conn, caller, share_network_id)


def delete(conn: Connection, caller: Caller, share_network_id: str) -> None:
    """Delete a share network with at most one subnet; its empty, auto-deletable share servers are
    deleted too, in the background."""
    network = lock(conn, caller, share_network_id)
    refuse_while_changing(network)
    used = sa.select(share_instances.c.id).where(share_instances.c.share_network_id == network.id)
    if conn.execute(used.limit(1)).first():
        raise Conflict(f"Cannot delete share network {network.id}: it has one or more shares.")
    grouped = sa.select(share_groups.c.id).where(share_groups.c.share_network_id == network.id)
    if conn.execute(grouped.limit(1)).first():
        raise Conflict(
            f"Cannot delete share network {network.id}: it has one or more share groups."
        )
    remaining = (
        share_network_subnets.c.share_network_id == network.id
    ) & ~share_network_subnets.c.is_deleting
    subnet_ids = conn.scalars(sa.select(share_network_subnets.c.id).where(remaining)).all()
    if len(subnet_ids) > 1:
        raise Conflict(
            f"The share network {network.id} has {len(subnet_ids)} subnets; delete all but one of "
            "them first."
        )
    rows = conn.execute(
        sa.select(share_servers).where(share_servers.c.share_network_id == network.id)
    ).all()
    if any(not server.is_auto_deletable for server in rows):
        raise Conflict(
            f"The share network {network.id} has share servers that are not deleted "
            "automatically; delete them first."
        )
    conn.execute(
        sa.update(share_networks).where(share_networks.c.id == network.id).values(is_deleting=True)
    )
    # they may be deleted at once
    conn.execute(sa.delete(associations).where(associations.c.share_network_id == network.id))
    quota_usages.release(conn, network.project_id, network.user_id, share_networks=1)
    servers.start_deletion(conn, rows)
    servers.remove_deleted_networks(conn)


def reset_status(conn: Connection, caller: Caller, share_network_id: str, status: str) -> None:
    """The administrator sets a status by hand."""
    if status not in states.statuses(states.SHARE_NETWORK):
        raise Invalid(
            f"Invalid state. Valid states: {', '.join(states.statuses(states.SHARE_NETWORK))}."
        )
    network = lock(conn, caller, share_network_id)
    states.force(conn, states.SHARE_NETWORK, network.id, status)


def _day(name: str, value: str) -> datetime:
    try:
        return datetime.strptime(value, "%Y-%m-%d")
    except ValueError:
        raise Invalid(f"{name} must be a date of the form YYYY-MM-DD, not '{value}'.") from None


def _views(conn: Connection, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows with their subnets and with the capabilities that all their servers have, in two more
    statements."""
    ids = [row["id"] for row in rows]
    by_network = defaultdict(list)
    for subnet in subnets.find_many(conn, ids):
        by_network[subnet["share_network_id"]].append(subnet)
    lacking = conn.execute(
        sa.select(
            share_servers.c.share_network_id,
            sa.func.min(sa.cast(share_servers.c.network_allocation_update_support, sa.Integer)),
            sa.func.min(sa.cast(share_servers.c.security_service_update_support, sa.Integer)),
        )
        .where(share_servers.c.share_network_id.in_(ids))
        .group_by(share_servers.c.share_network_id)
    )
    supports = {
        network_id: (bool(allocation), bool(security))
        for network_id, allocation, security in lacking
    }
    for row in rows:
        row["share_network_subnets"] = by_network[row["id"]]
        row["network_allocation_update_support"], row["security_service_update_support"] = (
            supports.get(row["id"], (True, True))
        )
    return rows


def _find(
    listing: Listing,
    conn: Connection,
    caller: Caller,
    filters: dict[str, Any],
    page: Page,
    all_projects: bool,
) -> list[dict[str, Any]]:
    of_subnets = {name: filters[name] for name in _SUBNET_CONDITIONS if name in filters}
    others = {name: wanted for name, wanted in filters.items() if name not in of_subnets}
    return listing.find(
        conn,
        caller,
        others | ({_ONE_SUBNET: of_subnets} if of_subnets else {}),
        page,
        all_projects or "project_id" in filters,
    )


def _with_one_subnet(wanted: dict[str, Any]) -> sa.Select[Any]:
    """SQL condition: one subnet of the network matches all filters."""
    conditions = [_SUBNET_CONDITIONS[name](value) for name, value in wanted.items()]
    return (
        sa.select(share_network_subnets.c.share_network_id)
        .outerjoin(availability_zones)
        .where(*conditions)
    )


def _update_default_subnet(
    conn: Connection, share_network_id: str, neutron: dict[str, Any]
) -> None:
    if conn.execute(
        sa.select(share_servers.c.id)
        .where(share_servers.c.share_network_id == share_network_id)
        .limit(1)
    ).first():
        raise Forbidden(
            f"Cannot update share network {share_network_id}: it is used by share servers. Only "
            "name and description can be changed."
        )
    defaults = conn.execute(
        sa.select(share_network_subnets).where(
            share_network_subnets.c.share_network_id == share_network_id,
            share_network_subnets.c.availability_zone_id.is_(None),
            ~share_network_subnets.c.is_deleting,
        )
    ).all()
    if len(defaults) != 1:
        raise Invalid(
            f"The share network {share_network_id} must have exactly one default subnet"
            f" for its network and subnet to be changed; it has {len(defaults)}."
        )
    subnet = defaults[0]
    net_id = neutron.get("neutron_net_id", subnet.neutron_net_id)
    subnet_id = neutron.get("neutron_subnet_id", subnet.neutron_subnet_id)
    subnets.require_both_or_none(net_id, subnet_id)
    conn.execute(
        sa.update(share_network_subnets)
        .where(share_network_subnets.c.id == subnet.id)
        .values(
            neutron_net_id=net_id,
            neutron_subnet_id=subnet_id,
            updated_at=utcnow(),
            **subnets.UNRESOLVED,
        )
    )
    subnets.start_resolution(conn, subnet.id, net_id)


def _visible(caller: Caller, all_projects: bool) -> sa.Select[Any]:
    query = visible(caller)
    return query if all_projects else query.where(share_networks.c.project_id == caller.project_id)


_ONE_SUBNET = "subnet"
_COLUMNS = {name: share_networks.c[name] for name in ("name", "project_id", "status")}
_SUBNET_FIELDS = (
    "neutron_net_id",
    "neutron_subnet_id",
    "network_type",
    "segmentation_id",
    "ip_version",
    "cidr",
)
_SUBNET_CONDITIONS = equal(
    {
        **{name: sa.cast(share_network_subnets.c[name], sa.String) for name in _SUBNET_FIELDS},
        "availability_zone": availability_zones.c.name,
    }
)
LISTING = Listing(
    "Share networks",
    _visible,
    share_networks.c.id,
    conditions={
        **equal(_COLUMNS),
        **containing({name: share_networks.c[name] for name in ("name", "description")}),
        "created_since": lambda text: share_networks.c.created_at >= _day("created_since", text),
        "created_before": lambda text: share_networks.c.created_at <= _day("created_before", text),
        "share_server_id": among(
            share_networks.c.id,
            lambda id_: sa.select(share_servers.c.share_network_id).where(
                share_servers.c.id == id_
            ),
        ),
        "security_service_id": among(
            share_networks.c.id,
            lambda id_: sa.select(associations.c.share_network_id).where(
                associations.c.security_service_id == id_
            ),
        ),
        _ONE_SUBNET: among(share_networks.c.id, _with_one_subnet),
    },
    sort_keys=_COLUMNS
    | {name: share_networks.c[name] for name in ("id", "description", "created_at", "updated_at")},
    view=_views,
)
_NAMES = replace(LISTING, view=lambda _conn, rows: rows)
