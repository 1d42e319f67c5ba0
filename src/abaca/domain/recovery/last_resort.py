"""If work has failed and its `on_failure` fails too: its resources leave their transitional states,
without any further logic.

So a bug in `on_failure` leaves nothing `creating` for ever. Claimed room stays claimed until the
resource is deleted, and only the log says why.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.tables import (
    services,
    share_backups,
    share_group_snapshots,
    share_groups,
    share_instance_access_map,
    share_instances,
    share_networks,
    share_servers,
    share_snapshot_instance_access_map,
    share_snapshot_instances,
    share_snapshots,
    shares,
)
from abaca.domain.network_changes import share_server_networks
from abaca.domain.rows import states
from abaca.domain.shares import share_instances as instances


def end(conn: Connection, ids: Sequence[str], reason: str) -> None:
    """Set the resources that these ids (the arguments of the work) name, and what belongs to them,
    to error if they are in a transitional state."""
    held = (
        sa.select(share_networks.c.id)
        .where(share_networks.c.id.in_(_networks(ids)))
        .order_by(share_networks.c.id)
    )
    networks = conn.scalars(held.with_for_update()).all()
    servers_to_be = sa.union_all(
        *[
            sa.select(table.c.share_server_id).where(
                table.c.id.in_(ids), table.c.status == "creating"
            )
            for table in (share_instances, share_groups)
        ]
    )
    server = share_servers.c.id
    half_set_up = sa.select(share_servers.c.id).where(
        server.in_(servers_to_be), share_servers.c.status == "creating"
    )
    states.give_up(
        conn,
        states.SHARE_SERVER,
        server.in_(ids) | server.in_(half_set_up),
        status_reason=reason[:1023],
    )
    made_with_group = sa.select(shares.c.id).where(
        shares.c.share_group_id.in_(ids),
        shares.c.source_share_group_snapshot_member_id.is_not(None),
    )
    of_group = share_instances.c.share_id.in_(made_with_group)
    states.give_up(
        conn,
        states.SHARE,
        share_instances.c.id.in_(ids) | (of_group & (share_instances.c.status == "creating")),
    )
    states.give_up(conn, states.ACCESS_RULES, share_instances.c.id.in_(ids))
    states.give_up(conn, states.ACCESS_RULE, share_instance_access_map.c.share_instance_id.in_(ids))
    instances.show_change(
        conn,
        conn.scalars(
            sa.select(share_instances.c.share_id).where(share_instances.c.id.in_(ids))
        ).all(),
    )
    states.give_up(conn, states.SHARE_GROUP, share_groups.c.id.in_(ids))
    states.give_up(conn, states.SHARE_GROUP_SNAPSHOT, share_group_snapshots.c.id.in_(ids))
    members = sa.select(share_snapshots.c.id).where(
        share_snapshots.c.share_group_snapshot_id.in_(ids)
    )
    table = share_snapshot_instances
    states.give_up(conn, states.SNAPSHOT, table.c.id.in_(ids) | table.c.snapshot_id.in_(members))
    states.give_up(
        conn,
        states.SNAPSHOT_ACCESS_RULE,
        share_snapshot_instance_access_map.c.snapshot_instance_id.in_(ids),
    )
    states.give_up(conn, states.BACKUP, share_backups.c.id.in_(ids))
    conn.execute(sa.update(services).where(services.c.host.in_(ids)).values(ensuring=False))
    for network in networks:
        share_server_networks.finish_network(conn, network)


def _networks(ids: Sequence[str]) -> sa.Select[tuple[str]]:
    return sa.select(share_servers.c.share_network_id).where(share_servers.c.id.in_(ids))
