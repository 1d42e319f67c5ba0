"""Placing a share again on another pool, if its pool turned out to have no room; the scheduler only
knew the pool's last report."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import lock_row, utcnow
from abaca.db.tables import share_instances, share_networks
from abaca.db.tables import shares as share_rows
from abaca.domain.capacity import placement
from abaca.domain.share_servers import share_servers
from abaca.domain.share_types import share_types
from abaca.domain.shares import affinity, export_choices, share_ground, shares
from abaca.errors import Invalid
from abaca.values import PlacementRequest

MOST_POOLS = 5
"""How many pools one share is tried on."""


def place_again(conn: Connection, instance_id: str, tried: Sequence[str]) -> bool:
    """Place a share that is being created on a pool of its zone that is not among `tried`
    (host@backend#pool, the last one its own).

    Nothing of it exists on the old pool. Returns False, and changes nothing, if there is no such
    pool, if it must stay on its own, or if it is no longer being created.
    """
    network_id = conn.scalar(
        sa.select(share_instances.c.share_network_id).where(share_instances.c.id == instance_id)
    )
    network = lock_row(conn, share_networks, network_id) if network_id else None
    instance = lock_row(conn, share_instances, instance_id)
    if instance is None or instance.status != "creating" or instance.host != tried[-1]:
        return False
    if instance.is_pinned:
        return False
    if (network is None) != (network_id is None) or len(tried) >= MOST_POOLS:
        return False
    if network is not None and network.status != "active":
        return False
    share = conn.execute(sa.select(share_rows).where(share_rows.c.id == instance.share_id)).one()
    specs = share_types.specs_of(conn, instance.share_type_id)
    zones = share_ground.zone_names(conn)
    subnets: dict[str, list[sa.Row[Any]]] | None = None
    if network is not None:
        subnets = {}
        with suppress(Invalid):  # the type is not offered there any more
            subnets = share_ground.subnets_by_zone(
                conn, network.id, zones, instance.availability_zone_id, specs
            )
    hinted = affinity.pools_for(conn, share, network_id)
    request = PlacementRequest(
        size=share.size,
        share_proto=share.share_proto,
        extra_specs=specs | export_choices.demanded(export_choices.of(share)),
        zones=share_ground.on_several(zones, subnets),
        availability_zone=zones[instance.availability_zone_id],
        only_pools=hinted.only,
        not_pools=hinted.without,
    )
    host = placement.place_and_claim(conn, request, excluded=tried).host
    if host is None:
        return False
    server_id = None
    if network is not None and subnets is not None:
        on_subnets = subnets[instance.availability_zone_id]
        server_id = share_ground.server_for(conn, network, host, on_subnets, hinted.apart_from)
    placement.release(conn, instance.host, share.size)
    changed = {"host": str(host), "share_server_id": server_id, "updated_at": utcnow()}
    conn.execute(
        sa.update(share_instances).where(share_instances.c.id == instance_id).values(**changed)
    )
    share_servers.restart_idle_timer(conn, instance.share_server_id)
    shares.start_on(
        conn, "share_create", instance_id, str(host), server_id, share.project_id, *tried
    )
    return True
