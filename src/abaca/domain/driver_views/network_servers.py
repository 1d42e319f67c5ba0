"""Who is on a network, for `abaca doctor --network`: its subnets, the share servers with addresses
there, and their shares with the states of their access rules."""

from __future__ import annotations

from collections import defaultdict

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.tables import (
    network_allocations,
    share_access_rules,
    share_instance_access_map,
    share_instances,
    share_network_subnets,
    share_servers,
)
from abaca.domain.driver_views import driver_values
from abaca.values import AccessRule, NetworkInfo, Share, Subnet, Value


class RuleState(Value):
    """An access rule of a share, and how far it is on the share's back end."""

    rule: AccessRule
    state: str


class ShareOn(Value):
    """A share with its status and its rules."""

    share: Share
    status: str
    rules: list[RuleState]


class ServerOn(Value):
    """A share server with its addresses on the network in question: `served`, and those of a
    subnet that it is just getting, or could not be given, `coming`."""

    id: str
    host: str
    status: str
    served: list[NetworkInfo]
    coming: list[NetworkInfo]
    shares: list[ShareOn]


def subnets(conn: Connection, network_id: str) -> list[Subnet]:
    """The network's subnets that share networks are on, as they were resolved."""
    rows = conn.execute(
        sa.select(share_network_subnets)
        .where(
            share_network_subnets.c.neutron_net_id == network_id,
            share_network_subnets.c.cidr.is_not(None),
        )
        .order_by(share_network_subnets.c.created_at, share_network_subnets.c.id)
    ).all()
    return list({row.neutron_subnet_id: driver_values.subnet(row) for row in rows}.values())


def server_ids(conn: Connection, network_id: str) -> list[str]:
    """Of the share servers with addresses on the network, the oldest first."""
    on_it = (
        sa.select(network_allocations.c.share_server_id)
        .join(
            share_network_subnets,
            share_network_subnets.c.id == network_allocations.c.share_network_subnet_id,
        )
        .where(share_network_subnets.c.neutron_net_id == network_id)
    )
    query = sa.select(share_servers.c.id).where(share_servers.c.id.in_(on_it))
    return list(conn.scalars(query.order_by(share_servers.c.created_at, share_servers.c.id)))


def servers(conn: Connection, network_id: str, ids: list[str]) -> list[ServerOn]:
    """These share servers with what they have on the network, the oldest first; in a fixed number
    of statements. Raises ValueError, TypeError and their like for rows that cannot be read."""
    rows = conn.execute(
        sa.select(share_servers.c.id, share_servers.c.host, share_servers.c.status)
        .where(share_servers.c.id.in_(ids))
        .order_by(share_servers.c.created_at, share_servers.c.id)
    ).all()
    served, coming = (
        driver_values.network_infos(conn, ids, served=is_served) for is_served in (True, False)
    )
    shares = _shares(conn, ids)
    return [
        ServerOn(
            id=row.id,
            host=row.host,
            status=row.status,
            served=_on(network_id, served[row.id]),
            coming=_on(network_id, coming[row.id]),
            shares=shares[row.id],
        )
        for row in rows
    ]


def _on(network_id: str, infos: list[NetworkInfo]) -> list[NetworkInfo]:
    return [info for info in infos if info.subnet.neutron_net_id == network_id]


def _shares(conn: Connection, server_ids: list[str]) -> dict[str, list[ShareOn]]:
    """By share server."""
    on_them = share_instances.c.share_server_id.in_(server_ids)
    query = sa.select(share_instances.c.id, share_instances.c.status).where(on_them)
    statuses = {row.id: row.status for row in conn.execute(query)}
    rules = _rules(conn, list(statuses))
    found: dict[str, list[ShareOn]] = defaultdict(list)
    for share in driver_values.shares(conn, on_them):
        found[share.share_server_id or ""].append(
            ShareOn(share=share, status=statuses[share.id], rules=rules[share.id])
        )
    return found


def _rules(conn: Connection, instance_ids: list[str]) -> dict[str, list[RuleState]]:
    """By share instance, the oldest first."""
    found: dict[str, list[RuleState]] = defaultdict(list)
    query = (
        sa.select(share_access_rules, share_instance_access_map)
        .join(
            share_instance_access_map,
            share_instance_access_map.c.access_id == share_access_rules.c.id,
        )
        .where(share_instance_access_map.c.share_instance_id.in_(instance_ids))
        .order_by(share_access_rules.c.created_at, share_access_rules.c.id)
    )
    for row in conn.execute(query):
        rule = AccessRule(
            id=row.access_id,
            access_type=row.access_type,
            access_to=row.access_to,
            access_level=row.access_level,
        )
        found[row.share_instance_id].append(RuleState(rule=rule, state=row.state))
    return found
