"""What the removal of a subnet would cut off, for those who decide about it: export locations of
shares by the subnet's addresses, and access rules for clients on it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import islice
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.tables import (
    network_allocations,
    share_access_rules,
    share_export_locations,
    share_instances,
    share_network_subnets,
)
from abaca.db.tables import share_server_share_network_subnet_mappings as mappings

Network = IPv4Network | IPv6Network
_AT_MOST = 1000  # of each kind


def of(conn: Connection, subnet_id: str) -> dict[str, list[dict[str, Any]]]:
    """`export_locations` and `access_rules` that go with the subnet, each with its `share_id`, at
    most 1000 of each, in a fixed number of statements."""
    return {
        "export_locations": _export_locations(conn, subnet_id),
        "access_rules": _access_rules(conn, subnet_id),
    }


def _export_locations(conn: Connection, subnet_id: str) -> list[dict[str, Any]]:
    allocations = network_allocations.c
    held = sa.select(allocations.share_server_id, allocations.ip_address)
    starts: dict[str, list[str]] = defaultdict(list)
    for row in conn.execute(held.where(allocations.share_network_subnet_id == subnet_id)):
        starts[row.share_server_id] += _starts(row.ip_address)
    table = share_export_locations
    rows = conn.execute(
        sa.select(table, share_instances.c.share_id, share_instances.c.share_server_id)
        .join(share_instances, share_instances.c.id == table.c.share_instance_id)
        .where(_is_on_server(subnet_id), ~table.c.is_admin_only)
        .order_by(share_instances.c.share_id, table.c.position)
    )
    cut = (row for row in rows if row.path.startswith(tuple(starts[row.share_server_id])))
    return [
        {"id": row.id, "share_id": row.share_id, "path": row.path} for row in islice(cut, _AT_MOST)
    ]


def _starts(address: str) -> list[str]:
    """How the path of an export location by that address begins: of NFS over IPv4 and IPv6, and of
    CIFS."""
    return [f"{address}:", f"[{address}]:", f"\\\\{address}\\"]


def _access_rules(conn: Connection, subnet_id: str) -> list[dict[str, Any]]:
    """Rules by address for clients on the subnet alone: one that names a wider range is needed
    elsewhere, too."""
    ranges = _ranges(conn, subnet_id)
    if subnet_id not in ranges:
        return []
    leaving = ranges.pop(subnet_id)
    staying = list(ranges.values())
    table = share_access_rules
    stands = sa.select(share_instances.c.share_id).where(_is_on_server(subnet_id))
    rows = conn.execute(
        sa.select(table)
        .where(table.c.share_id.in_(stands), table.c.access_type == "ip")
        .order_by(table.c.share_id, table.c.created_at, table.c.id)
    )
    cut = (
        row
        for row in rows
        if _within(row.access_to, [leaving]) and not _within(row.access_to, staying)
    )
    return [
        {name: row._mapping[name] for name in ("id", "share_id", "access_to", "access_level")}
        for row in islice(cut, _AT_MOST)
    ]


def _ranges(conn: Connection, subnet_id: str) -> dict[str, Network]:
    """Share network subnet id → its range, of this subnet and of all that stay for its servers."""
    here = sa.select(mappings.c.share_server_id).where(
        mappings.c.share_network_subnet_id == subnet_id
    )
    table = share_network_subnets
    rows = conn.execute(
        sa.select(table.c.id, table.c.cidr)
        .join(mappings, mappings.c.share_network_subnet_id == table.c.id)
        .where(mappings.c.share_server_id.in_(here), table.c.cidr.is_not(None))
        .distinct()
    )
    return {row.id: ip_network(row.cidr) for row in rows}


def _within(text: str, ranges: Iterable[Network]) -> bool:
    """Whether an address or a range, as access rules name them, lies in one of these."""
    wanted = ip_network(text, strict=False)
    return any(
        wanted.version == each.version and wanted.subnet_of(each)  # type: ignore[arg-type]
        for each in ranges
    )


def _is_on_server(subnet_id: str) -> sa.ColumnElement[bool]:
    """The condition that a share instance stands on a server of the subnet."""
    here = sa.select(mappings.c.share_server_id).where(
        mappings.c.share_network_subnet_id == subnet_id
    )
    return share_instances.c.share_server_id.in_(here)
