"""The ground on which a new share stands: its share network with the subnets of each zone, or the
place to which it is bound, and the choice of its share server."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import lock_row, utcnow
from abaca.db.tables import (
    availability_zones,
    services,
    share_instances,
    share_network_subnets,
    share_networks,
)
from abaca.domain.rows.draining import DRAINS
from abaca.domain.rows.share_network_lock import lock, require_active
from abaca.domain.share_servers import share_servers
from abaca.domain.share_types import share_types as types
from abaca.domain.shares import share_sources
from abaca.domain.shares.share_sources import Source
from abaca.domain.shares.share_supports import is_true
from abaca.errors import Forbidden, Invalid, Missing
from abaca.values import Caller, Host

# Statements of every creation are built once: that costs more than the database needs for them.
_ZONES = sa.select(availability_zones.c.id, availability_zones.c.name)
_SUBNETS = (
    sa.select(
        *[
            *[
                share_network_subnets.c[name]
                for name in ("id", "availability_zone_id", "cidr", "ip_version")
            ],
            DRAINS.label("drains"),
        ]
    )
    .where(
        share_network_subnets.c.share_network_id == sa.bindparam("share_network_id"),
        ~share_network_subnets.c.is_deleting,
    )
    .order_by(share_network_subnets.c.created_at, share_network_subnets.c.id)
)


class Ground(NamedTuple):
    """Where a new share may be. `network`: its share network's row, locked; None: it has none.

    `buckets`: zone id → the subnets of a server there; None where no server has to be chosen: it is
    given, or there is none. `zone_id`: the zone asked for, or that of what the share is bound to.
    `pool` (host@backend#pool) and `share_server_id`: what it is bound to; None: nothing.
    """

    network: sa.Row[Any] | None
    buckets: Mapping[str, Sequence[sa.Row[Any]]] | None
    zone_id: str | None
    pool: str | None
    share_server_id: str | None


def in_network(
    conn: Connection,
    network: sa.Row[Any],
    zones: Mapping[str, str],
    zone_id: str | None,
    specs: Mapping[str, str],
) -> Ground:
    """Anywhere in a share network (its row locked) that the zone asked for and the share type
    permit. Raises Invalid if that is nowhere."""
    buckets = subnets_by_zone(conn, network.id, zones, zone_id, specs)
    return Ground(network, buckets, zone_id, pool=None, share_server_id=None)


def of_source(
    conn: Connection,
    network: sa.Row[Any] | None,
    source: Source,
    share_type_id: str,
    zone_id: str | None,
) -> Ground:
    """Where the snapshot that the share is made from is: its row is locked, after its network's.
    Raises Invalid if type or zone differ, or it cannot be used."""
    zone_id = share_sources.hold(conn, source, share_type_id, zone_id)
    return Ground(network, None, zone_id, source.host, source.share_server_id)


def without_network(
    zones: Mapping[str, str], zone_id: str | None, specs: Mapping[str, str]
) -> Ground:
    """Anywhere that the zone asked for and the share type permit, on a back end without share
    servers. Raises Invalid if that is nowhere."""
    _permitted_zones(zones, zone_id, specs)
    return Ground(None, None, zone_id, pool=None, share_server_id=None)


def require_network(
    conn: Connection, caller: Caller, network_id: str | None, specs: Mapping[str, str]
) -> sa.Row[Any] | None:
    """The share network for a share with these extra specs, its row locked; None for a share type
    without share servers. Raises Invalid, Missing, Forbidden."""
    if not is_true(specs.get(types.HANDLES_SERVERS)):
        if network_id is not None:
            raise Invalid(
                "A share network may not be given for a share of this type, which is made on no "
                "share server (driver_handles_share_servers=False)."
            )
        return None
    if network_id is None:
        raise Invalid("Share network must be set when the driver_handles_share_servers is true.")
    network = lock(conn, caller, network_id)
    if network.project_id != caller.project_id and not caller.is_admin:
        raise Forbidden(f"Share network {network.id} belongs to another project.")
    require_active(network)
    return network


def zone_names(conn: Connection) -> dict[str, str]:
    """Zone id → name."""
    return dict(conn.execute(_ZONES).all())


def requested_zone(zones: Mapping[str, str], name_or_id: str | None) -> str | None:
    """The id of a zone given by name or id; None if none is asked for. Raises Missing."""
    if name_or_id is None:
        return None
    for zone_id, name in zones.items():
        if name_or_id in (zone_id, name):
            return zone_id
    raise Missing(f"Availability zone {name_or_id} could not be found.")


def subnets_by_zone(
    conn: Connection,
    network_id: str,
    zones: Mapping[str, str],
    zone_id: str | None,
    specs: Mapping[str, str],
) -> dict[str, list[sa.Row[Any]]]:
    """Zone id → the subnets that a server there is on (id, cidr, ip_version), without draining
    ones; only requested zones with subnets."""
    all_rows = conn.execute(_SUBNETS, {"share_network_id": network_id}).all()
    rows: list[sa.Row[Any]] = [row for row in all_rows if not row.drains]
    candidates = _permitted_zones(zones, zone_id, specs)
    buckets = {}
    for zone in candidates:
        own = [row for row in rows if row.availability_zone_id == zone]
        bucket = own or [row for row in rows if row.availability_zone_id is None]
        if bucket:
            buckets[zone] = bucket
    if not buckets:
        where = ", ".join(sorted(zones[zone] for zone in candidates)) or "that there is"
        drained = [row.id for row in all_rows if row.drains]
        but = f" that does not drain (these do: {', '.join(drained)})" if drained else ""
        raise Invalid(
            f"The share network {network_id} has no default subnet, and none in availability zone "
            f"{where}{but}."
        )
    return buckets


def _permitted_zones(
    zones: Mapping[str, str], zone_id: str | None, specs: Mapping[str, str]
) -> list[str]:
    """Ids of the zones that a share with these extra specs may be in. Raises Invalid if there are
    zones, but none of them will do."""
    allowed = (
        set(types.zones(specs[types.AVAILABILITY_ZONES]))
        if types.AVAILABILITY_ZONES in specs
        else set(zones.values())
    )
    if zone_id and zones[zone_id] not in allowed:
        raise Invalid(
            f"The share type may not be used in availability zone {zones[zone_id]}, only in "
            f"{', '.join(sorted(allowed))}."
        )
    permitted = [zone_id] if zone_id else [key for key, name in zones.items() if name in allowed]
    if zones and not permitted:
        raise Invalid(
            f"The share type may be used in availability zones {', '.join(sorted(allowed))} only, "
            "and there are none of these names."
        )
    return permitted


def on_several(
    zones: Mapping[str, str], buckets: Mapping[str, Sequence[sa.Row[Any]]] | None
) -> dict[str, bool] | None:
    """By name of zone, whether a server there is on several subnets, as pools are asked; None where
    no server has to be chosen. `zones`: zone id → name; `buckets`: zone id → its subnets."""
    if buckets is None:
        return None
    return {zones[zone]: len(subnets) > 1 for zone, subnets in buckets.items()}


def server_for(
    conn: Connection,
    network: sa.Row[Any],
    host: Host,
    subnets: Sequence[sa.Row[Any]],
    rather_not: Collection[str] = (),
) -> str:
    """The id of a share server on that back end that is on exactly these subnets of the network; a
    new one if there is none. `rather_not`: the worker hosts that a new one is to stay away from."""
    subnet_ids = [each.id for each in subnets]
    existing = share_servers.choose(conn, network.id, host.service, subnet_ids)
    if existing is not None:
        return existing
    support = conn.execute(
        sa.select(
            services.c.network_allocation_update_support,
            services.c.share_server_subnet_removal_support,
            services.c.security_service_update_support,
        ).where(services.c.host == host.service)
    ).one()
    return share_servers.create(
        conn,
        network,
        host.service,
        subnet_ids,
        rather_not=rather_not,
        network_allocation_update_support=support.network_allocation_update_support,
        share_server_subnet_removal_support=support.share_server_subnet_removal_support,
        security_service_update_support=support.security_service_update_support,
    )


def choose_server_again(
    conn: Connection, instance_id: str, rather_not: Collection[str] = ()
) -> None:
    """Choose another server for a share that was detached from a server that was never set up, on
    its pool. Raises Invalid if there can be none. `rather_not`: as `server_for` takes it."""
    instance = conn.execute(
        sa.select(share_instances).where(share_instances.c.id == instance_id)
    ).one()
    network = lock_row(conn, share_networks, instance.share_network_id)
    if network is None:
        raise Missing(f"Share network {instance.share_network_id} could not be found.")
    require_active(network)
    specs, zone = types.specs_of(conn, instance.share_type_id), instance.availability_zone_id
    subnets = subnets_by_zone(conn, network.id, zone_names(conn), zone, specs)[zone]
    server_id = server_for(conn, network, Host.parse(instance.host), subnets, rather_not)
    conn.execute(
        sa.update(share_instances)
        .where(share_instances.c.id == instance_id)
        .values(share_server_id=server_id, updated_at=utcnow())
    )
