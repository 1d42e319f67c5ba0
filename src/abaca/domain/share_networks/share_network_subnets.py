"""Share network subnets: reading, adding to a network that is not in use there, deleting. Adding to
one in use: `subnet_additions`; removing from one in use: `subnet_removals`.

A bucket is the set of subnets of one availability zone, or the default subnets (those without a
zone). A zone with subnets of its own does not use the defaults. Subnets are ordered by age.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import utcnow
from abaca.db.tables import (
    availability_zones,
    share_network_subnets,
    share_networks,
)
from abaca.db.tables import share_server_share_network_subnet_mappings as mappings
from abaca.domain.rows import messages
from abaca.domain.rows.draining import DRAINS, METADATA_KEY, METADATA_VALUE
from abaca.domain.rows.share_network_lock import lock, refuse_while_changing, require_visible
from abaca.domain.services import services
from abaca.domain.share_networks import share_network_messages
from abaca.domain.share_servers import share_servers as servers
from abaca.errors import CallerError, Conflict, Invalid, Missing
from abaca.values import Caller, Subnet, Value
from abaca.workflow.queue import Work, enqueue

UNRESOLVED = dict.fromkeys(
    ("cidr", "gateway", "ip_version", "mtu", "network_type", "segmentation_id", "physical_network")
)
"""The columns that the network plug-in fills, as they are before it has."""


def get(conn: Connection, caller: Caller, share_network_id: str, subnet_id: str) -> dict[str, Any]:
    """One subnet, looked up by its share network too."""
    require_visible(conn, caller, share_network_id)
    row = (
        conn.execute(
            _views().where(
                share_network_subnets.c.id == subnet_id,
                share_network_subnets.c.share_network_id == share_network_id,
            )
        )
        .mappings()
        .one_or_none()
    )
    if row is None:
        raise Missing(f"Share network subnet {subnet_id} could not be found.")
    return _view(row)


def find(conn: Connection, caller: Caller, share_network_id: str) -> list[dict[str, Any]]:
    """All subnets of a share network, the oldest first."""
    require_visible(conn, caller, share_network_id)
    return find_many(conn, [share_network_id])


def find_many(conn: Connection, share_network_ids: Sequence[str]) -> list[dict[str, Any]]:
    """The subnets of several share networks, the oldest first."""
    rows = conn.execute(
        _views().where(share_network_subnets.c.share_network_id.in_(share_network_ids))
    ).mappings()
    return [_view(row) for row in rows]


def delete(conn: Connection, caller: Caller, share_network_id: str, subnet_id: str) -> None:
    """Delete a subnet; its empty, auto-deletable share servers are deleted in the background."""
    network = lock(conn, caller, share_network_id)
    refuse_while_changing(network)
    get(conn, caller, share_network_id, subnet_id)
    if is_in_use(conn, subnet_id):
        raise Conflict(
            f"Cannot delete share network subnet {subnet_id} of share network {share_network_id}: "
            "it has one or more shares or share groups."
        )
    standing = conn.execute(servers.on_subnets([subnet_id])).all()
    if any(not server.is_auto_deletable for server in standing):
        raise Conflict(
            f"Cannot delete share network subnet {subnet_id}: it has share servers that are not "
            "deleted automatically; delete them first."
        )
    servers.start_deletion(conn, standing)
    retire(conn, subnet_id)


def retire(conn: Connection, subnet_id: str) -> None:
    """Hide the subnet; its row is deleted with the last share server on it."""
    conn.execute(
        sa.update(share_network_subnets)
        .where(share_network_subnets.c.id == subnet_id)
        .values(is_deleting=True)
    )
    servers.remove_deleted_networks(conn)


def refuse_while_draining(
    conn: Connection, share_network_id: str, refusal: type[CallerError] = Conflict
) -> None:
    """Raises `refusal` while a subnet of the network drains."""
    query = sa.select(share_network_subnets.c.id).where(
        share_network_subnets.c.share_network_id == share_network_id, DRAINS
    )
    drains = conn.scalar(query.limit(1))
    if drains is not None:
        raise refusal(
            f"The subnet {drains} of share network {share_network_id} drains: cancel that, or "
            "delete the subnet, first."
        )


def is_in_use(conn: Connection, subnet_id: str) -> bool:
    """Whether a share server on the subnet holds shares or share groups."""
    in_use = sa.select(mappings.c.share_server_id).where(
        mappings.c.share_network_subnet_id == subnet_id, servers.carries(mappings.c.share_server_id)
    )
    return conn.execute(in_use.limit(1)).first() is not None


def change_metadata(
    conn: Connection,
    caller: Caller,
    share_network_id: str,
    subnet_id: str,
    change: Callable[[dict[str, str]], dict[str, str]],
) -> dict[str, str]:
    """Replace the metadata of a subnet by the result of `change`, with its network's row locked;
    returns the new metadata.

    The key of drains is not stored: changing it begins or ends a drain
    (`network_changes/subnet_drains.py`).
    """
    lock(conn, caller, share_network_id)
    metadata = change(get(conn, caller, share_network_id, subnet_id)["metadata"])
    if metadata.get(METADATA_KEY, METADATA_VALUE) != METADATA_VALUE:
        raise Invalid(
            f"The only value of the metadata {METADATA_KEY} is {METADATA_VALUE}; delete the key to "
            "cancel the drain."
        )
    stored = {key: value for key, value in metadata.items() if key != METADATA_KEY}
    conn.execute(
        sa.update(share_network_subnets)
        .where(share_network_subnets.c.id == subnet_id)
        .values(metadata=stored, updated_at=utcnow())
    )
    return metadata


def insert(
    conn: Connection,
    share_network_id: str,
    zone_id: str | None,
    neutron_net_id: str | None,
    neutron_subnet_id: str | None,
    *,
    metadata: dict[str, str] | None = None,
    resolved: Subnet | None = None,
) -> str:
    """Store a subnet; unless it is `resolved`, its Neutron ids are unverified and looked up in the
    background. Returns its id."""
    require_both_or_none(neutron_net_id, neutron_subnet_id)
    if METADATA_KEY in (metadata or {}):
        raise Invalid(f"A new subnet cannot drain: leave the metadata {METADATA_KEY} out.")
    subnet_id = str(uuid4())
    conn.execute(
        sa.insert(share_network_subnets).values(
            id=subnet_id,
            share_network_id=share_network_id,
            availability_zone_id=zone_id,
            neutron_net_id=neutron_net_id,
            neutron_subnet_id=neutron_subnet_id,
            metadata=metadata or {},
            created_at=utcnow(),
        )
    )
    if resolved is not None:
        resolve(conn, subnet_id, resolved)
    else:
        start_resolution(conn, subnet_id, neutron_net_id)
    return subnet_id


def require_both_or_none(neutron_net_id: str | None, neutron_subnet_id: str | None) -> None:
    """Raises Invalid if one of the two is given without the other."""
    if (neutron_net_id is None) != (neutron_subnet_id is None):
        raise Invalid(
            "A share network subnet needs both neutron_net_id and neutron_subnet_id, or neither "
            "of them."
        )


def zone_named(conn: Connection, name_or_id: str | None) -> sa.Row[Any] | None:
    """The availability zone of that name or id; None for None. Raises Invalid if there is none."""
    if name_or_id is None:
        return None
    zone = conn.execute(
        sa.select(availability_zones).where(
            sa.or_(availability_zones.c.name == name_or_id, availability_zones.c.id == name_or_id)
        )
    ).one_or_none()
    if zone is None:
        raise Invalid(f"The availability zone {name_or_id} does not exist.")
    return zone


def bucket(conn: Connection, share_network_id: str, zone_id: str | None) -> list[sa.Row[Any]]:
    """The subnets of exactly this zone, or the default ones for None; the oldest first."""
    in_zone = share_network_subnets.c.availability_zone_id
    return list(
        conn.execute(
            sa.select(share_network_subnets)
            .where(
                share_network_subnets.c.share_network_id == share_network_id,
                in_zone == zone_id if zone_id else in_zone.is_(None),
                ~share_network_subnets.c.is_deleting,
            )
            .order_by(share_network_subnets.c.created_at, share_network_subnets.c.id)
        )
    )


def start_resolution(conn: Connection, subnet_id: str, neutron_net_id: str | None) -> None:
    """Have a worker look the Neutron ids up. Without a worker it is done when a share server is
    created."""
    worker_host = services.any_worker(conn)
    if neutron_net_id is None or worker_host is None:
        return
    project_id = conn.scalar(
        sa.select(share_networks.c.project_id)
        .join(share_network_subnets)
        .where(share_network_subnets.c.id == subnet_id)
    )
    name = "share_network_subnet_resolve"
    work_id = f"{name}:{subnet_id}:{uuid4()}"
    work = Work(
        name=name,
        worker_host=worker_host,
        project_id=project_id or "",
        id=work_id,
        key=f"subnet:{subnet_id}",
        args=(subnet_id,),
    )
    enqueue(conn, work)


def resolve(conn: Connection, subnet_id: str, found: Subnet) -> None:
    """Store what the network plug-in knows about the subnet, or which one it is if none was named.
    Does nothing if its ids have changed meanwhile."""
    named = share_network_subnets.c.neutron_subnet_id
    conn.execute(
        sa.update(share_network_subnets)
        .where(
            share_network_subnets.c.id == subnet_id,
            named.is_(None) | (named == found.neutron_subnet_id),
        )
        .values(
            neutron_net_id=sa.func.coalesce(
                share_network_subnets.c.neutron_net_id, found.neutron_net_id
            ),
            neutron_subnet_id=sa.func.coalesce(
                share_network_subnets.c.neutron_subnet_id, found.neutron_subnet_id
            ),
            cidr=found.cidr,
            gateway=found.gateway,
            ip_version=found.ip_version,
            mtu=found.mtu,
            network_type=found.network_type,
            segmentation_id=found.segmentation_id,
            physical_network=found.physical_network,
            is_local=found.is_local,
            updated_at=utcnow(),
        )
    )


class NeutronIds(Value):
    """What to look up for a subnet, and for which project."""

    project_id: str
    neutron_net_id: str
    neutron_subnet_id: str


def neutron_ids(conn: Connection, subnet_id: str) -> NeutronIds | None:
    """The subnet's Neutron ids; None if it does not exist or has none."""
    row = conn.execute(
        sa.select(
            share_networks.c.project_id,
            share_network_subnets.c.neutron_net_id,
            share_network_subnets.c.neutron_subnet_id,
        )
        .join(share_networks)
        .where(
            share_network_subnets.c.id == subnet_id,
            share_network_subnets.c.neutron_net_id.is_not(None),
        )
    ).one_or_none()
    return NeutronIds(**row._asdict()) if row else None


def tell_unresolved(conn: Connection, subnet_id: str, reason: str) -> None:
    """Tell the project that the subnet's Neutron ids could not be looked up."""
    detail = messages.Detail.UNEXPECTED_NETWORK
    share_network_messages.about_subnet(conn, subnet_id, reason, detail=detail)


def _view(row: sa.RowMapping) -> dict[str, Any]:
    drain = {METADATA_KEY: METADATA_VALUE} if row["removal_started_at"] is not None else {}
    return {**row, "metadata": row["metadata"] | drain}


def _views() -> sa.Select[Any]:
    columns = [
        column for column in share_network_subnets.c if column.name != "availability_zone_id"
    ]
    return (
        sa.select(
            *columns,
            availability_zones.c.name.label("availability_zone"),
            share_networks.c.name.label("share_network_name"),
        )
        .join(share_networks, share_networks.c.id == share_network_subnets.c.share_network_id)
        .outerjoin(
            availability_zones,
            availability_zones.c.id == share_network_subnets.c.availability_zone_id,
        )
        .where(~share_network_subnets.c.is_deleting)
        .order_by(share_network_subnets.c.created_at, share_network_subnets.c.id)
    )
