"""Creating a share: its checks, its placement, and the choice of its share server, all in the
request's transaction."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import lock_row, utcnow
from abaca.db.tables import (
    availability_zones,
    services,
    share_instances,
    share_network_subnets,
    share_networks,
    share_type_projects,
    share_types,
    shares,
)
from abaca.domain.capacity import placement, quota_usages
from abaca.domain.rows import messages, states
from abaca.domain.rows.draining import DRAINS
from abaca.domain.rows.share_network_lock import lock, require_active
from abaca.domain.share_servers import share_servers
from abaca.domain.share_types import share_types as types
from abaca.domain.shares import export_choices, share_sizes, share_sources
from abaca.domain.shares import shares as share_nouns
from abaca.domain.shares.share_sources import Source
from abaca.errors import Forbidden, Invalid, Missing
from abaca.scheduler.placement import Placement
from abaca.scheduler.specs import wants_true
from abaca.values import Caller, ExportChoice, Host, PlacementRequest, Value

_LOG = logging.getLogger(__name__)

PROTOCOLS = ("NFS", "CIFS", "CEPHFS", "GLUSTERFS", "HDFS", "MAPRFS")
_TRUE = {"true", "<is> true", "1", "yes", "on", "t", "y"}
# Statements of every creation are built once: that costs more than the database needs for them.
_SHARE_TYPE = (
    sa.select(share_types)
    .where(
        sa.or_(
            share_types.c.id == sa.bindparam("name_or_id"),
            share_types.c.name == sa.bindparam("name_or_id"),
        )
    )
    .order_by(share_types.c.id != sa.bindparam("name_or_id"))
)
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
_SUPPORTS = (
    "snapshot_support",
    "create_share_from_snapshot_support",
    "revert_to_snapshot_support",
    "mount_snapshot_support",
)


class ShareRequest(Value):
    """A requested share. `size` in GiB; `share_type` and `availability_zone` by id or name, None:
    the default, any.

    With `snapshot_id`, omitted values are those of the snapshot's share.
    """

    share_proto: str
    size: int
    name: str | None = None
    description: str | None = None
    share_type: str | None = None
    share_network_id: str | None = None
    availability_zone: str | None = None
    is_public: bool = False
    metadata: dict[str, str] = {}
    snapshot_id: str | None = None
    goes_by_type_zones: bool = True
    """Whether the zones that the share type names matter."""


def create(
    conn: Connection,
    caller: Caller,
    request: ShareRequest,
    quota_defaults: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Store the share in `creating`, placed, with its work enqueued; or in `error` with a user
    message if no pool fits. Returns its view.

    `quota_defaults`: the limits where none are set; None: no limits. Raises OverQuota.
    """
    if request.share_proto.upper() not in PROTOCOLS:
        raise Invalid(
            f"Invalid share protocol provided: {request.share_proto}. Known protocols: "
            f"{', '.join(PROTOCOLS)}."
        )
    source = share_sources.find(conn, caller, request.snapshot_id) if request.snapshot_id else None
    request = _inherit(source, request) if source else request
    share_type, specs = _share_type(conn, caller, request.share_type)
    if not request.goes_by_type_zones:
        specs.pop(types.AVAILABILITY_ZONES, None)
    if request.size <= 0:
        raise Invalid(
            f"Invalid input received: Share size '{request.size}' must be an integer and greater "
            "than 0."
        )
    if complaint := share_sizes.complaint(request.size, specs):
        raise Invalid(f"Invalid input received: {complaint}")
    zones = zone_names(conn)
    zone_id = _requested_zone(zones, request.availability_zone)
    network = _network(conn, caller, request, specs)
    if source is not None:
        zone_id = share_sources.hold(conn, source, share_type.id, zone_id)
    buckets = subnets_by_zone(conn, network.id, zones, zone_id, specs) if source is None else None
    choices = _export_choices(conn, request, specs, source, buckets)
    if buckets is not None:
        buckets = {zone: buckets[zone] for zone in choices}
    quota_usages.claim(
        conn,
        caller.project_id,
        caller.user_id,
        share_type.id,
        defaults=quota_defaults,
        share_size=request.size,
        shares=1,
        gigabytes=request.size,
    )
    chosen = placement.place_and_claim(
        conn,
        PlacementRequest(
            size=request.size,
            share_proto=request.share_proto.upper(),
            extra_specs=specs | export_choices.demanded(next(iter(choices.values()))),
            zones={zones[zone]: len(subnets) > 1 for zone, subnets in buckets.items()}
            if buckets is not None
            else None,
            availability_zone=zones[zone_id] if zone_id else None,
        ),
        source.host if source else None,
    )
    share_id, instance_id = str(uuid4()), str(uuid4())
    placed_zone = next(
        (key for key, name in zones.items() if name == chosen.availability_zone), None
    )
    server_id = source.share_server_id if source and chosen.host else None
    if chosen.host is not None and buckets is not None and placed_zone is not None:
        server_id = server_for(conn, network, chosen.host, buckets[placed_zone])
    choice = choices.get(placed_zone or "") or next(iter(choices.values()))
    _insert(conn, caller, request, specs, share_id, choice)
    conn.execute(
        sa.insert(share_instances).values(
            id=instance_id,
            share_id=share_id,
            share_type_id=share_type.id,
            share_network_id=request.share_network_id,
            share_server_id=server_id,
            availability_zone_id=placed_zone or zone_id,
            host=str(chosen.host) if chosen.host else None,
            status="creating",
            access_rules_status="active",
            created_at=utcnow(),
        )
    )
    if chosen.host is None:
        _no_valid_host(conn, caller, share_id, instance_id, chosen)
    else:
        share_nouns.start_on(
            conn, "share_create", instance_id, str(chosen.host), server_id, caller.project_id
        )
    return {**share_nouns.get(conn, caller, share_id), "export_locations": []}


def _export_choices(
    conn: Connection,
    request: ShareRequest,
    specs: dict[str, str],
    source: Source | None,
    buckets: Mapping[str, Sequence[sa.Row[Any]]] | None,
) -> dict[str, ExportChoice]:
    """By zone in which the share may be placed, its export choice; for a share from a snapshot, by
    no zone. Raises Invalid, Conflict if there is none."""
    if buckets is not None:
        return export_choices.within_buckets(request.metadata, specs, buckets)
    if source is None or not export_choices.is_made(request.metadata, specs):
        return {"": ExportChoice()}
    subnets = export_choices.subnets_of(conn, [source.share_server_id or ""])
    choice = export_choices.choose(request.metadata, specs, subnets)
    export_choices.require_capable(conn, choice, [source.host])
    return {"": choice}


def _inherit(source: Source, request: ShareRequest) -> ShareRequest:
    """The request with omitted values taken from the source. Raises Invalid if its values are
    impossible for a share from that snapshot."""
    if request.size < source.size:
        raise Invalid(
            f"Invalid input received: Share size '{request.size}' must be equal or greater than "
            f"snapshot size {source.size}."
        )
    if request.share_proto.upper() != source.share_proto:
        raise Invalid(
            f"Invalid input received: the protocol must be the snapshot's, {source.share_proto}."
        )
    if request.share_network_id not in (None, source.share_network_id):
        raise Invalid(
            "Share network ID should be the same as snapshot's parent share's or not specified."
        )
    return msgspec.structs.replace(
        request,
        share_type=request.share_type or source.share_type_id,
        share_network_id=source.share_network_id,
    )


def _share_type(
    conn: Connection, caller: Caller, name_or_id: str | None
) -> tuple[sa.Row[Any], dict[str, str]]:
    if name_or_id is None:
        raise Invalid("A share type must be given: no default share type is configured.")
    share_type = conn.execute(_SHARE_TYPE, {"name_or_id": name_or_id}).first()
    if share_type is None or not (
        share_type.is_public or caller.is_admin or _has_access(conn, caller, share_type.id)
    ):
        raise Missing(f"Share type {name_or_id} could not be found.")
    return share_type, types.specs_of(conn, share_type.id)


def _has_access(conn: Connection, caller: Caller, share_type_id: str) -> bool:
    table = share_type_projects
    return (
        conn.execute(
            sa.select(table).where(
                table.c.share_type_id == share_type_id, table.c.project_id == caller.project_id
            )
        ).first()
        is not None
    )


def zone_names(conn: Connection) -> dict[str, str]:
    """Zone id → name."""
    return dict(conn.execute(_ZONES).all())


def _requested_zone(zones: dict[str, str], name_or_id: str | None) -> str | None:
    if name_or_id is None:
        return None
    for zone_id, name in zones.items():
        if name_or_id in (zone_id, name):
            return zone_id
    raise Missing(f"Availability zone {name_or_id} could not be found.")


def _network(
    conn: Connection, caller: Caller, request: ShareRequest, specs: dict[str, str]
) -> sa.Row[Any]:
    if specs.get(types.HANDLES_SERVERS, "").lower() not in _TRUE:
        raise Invalid(
            "Shares of this type cannot be made: it has driver_handles_share_servers=False, and "
            "back ends that make no share servers "
            "are not served yet. Use another share type."
        )
    if request.share_network_id is None:
        raise Invalid("Share network must be set when the driver_handles_share_servers is true.")
    network = lock(conn, caller, request.share_network_id)
    if network.project_id != caller.project_id and not caller.is_admin:
        raise Forbidden(f"Share network {network.id} belongs to another project.")
    require_active(network)
    return network


def subnets_by_zone(
    conn: Connection,
    network_id: str,
    zones: dict[str, str],
    zone_id: str | None,
    specs: dict[str, str],
) -> dict[str, list[sa.Row[Any]]]:
    """Zone id → the subnets that a server there is on (id, cidr, ip_version), without draining
    ones; only requested zones with subnets."""
    all_rows = conn.execute(_SUBNETS, {"share_network_id": network_id}).all()
    rows: list[sa.Row[Any]] = [row for row in all_rows if not row.drains]
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
    candidates = [zone_id] if zone_id else [key for key, name in zones.items() if name in allowed]
    if zones and not candidates:
        raise Invalid(
            f"The share type may be used in availability zones {', '.join(sorted(allowed))} only, "
            "and there are none of these names."
        )
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


def server_for(
    conn: Connection, network: sa.Row[Any], host: Host, subnets: Sequence[sa.Row[Any]]
) -> str:
    """The id of a share server on that back end that is on exactly these subnets of the network; a
    new one if there is none."""
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
        network_allocation_update_support=support.network_allocation_update_support,
        share_server_subnet_removal_support=support.share_server_subnet_removal_support,
        security_service_update_support=support.security_service_update_support,
    )


def choose_server_again(conn: Connection, instance_id: str) -> None:
    """Choose another server for a share that was detached from a server that was never set up, on
    its pool. Raises Invalid if there can be none."""
    instance = conn.execute(
        sa.select(share_instances).where(share_instances.c.id == instance_id)
    ).one()
    network = lock_row(conn, share_networks, instance.share_network_id)
    if network is None:
        raise Missing(f"Share network {instance.share_network_id} could not be found.")
    require_active(network)
    specs, zone = types.specs_of(conn, instance.share_type_id), instance.availability_zone_id
    subnets = subnets_by_zone(conn, network.id, zone_names(conn), zone, specs)[zone]
    server_id = server_for(conn, network, Host.parse(instance.host), subnets)
    conn.execute(
        sa.update(share_instances)
        .where(share_instances.c.id == instance_id)
        .values(share_server_id=server_id, updated_at=utcnow())
    )


def _insert(
    conn: Connection,
    caller: Caller,
    request: ShareRequest,
    specs: dict[str, str],
    share_id: str,
    choice: ExportChoice,
) -> None:
    conn.execute(
        sa.insert(shares).values(
            id=share_id,
            project_id=caller.project_id,
            user_id=caller.user_id,
            display_name=request.name,
            display_description=request.description,
            size=request.size,
            share_proto=request.share_proto.upper(),
            is_public=request.is_public,
            metadata=request.metadata,
            export_choice=export_choices.stored(choice),
            snapshot_id=request.snapshot_id,
            replication_type=specs.get("replication_type"),
            created_at=utcnow(),
            snapshot_inherit_share_access_support=wants_true(
                specs.get("snapshot_inherit_share_access_support")
            ),
            **{name: specs.get(name, "").lower() in _TRUE for name in _SUPPORTS},
        )
    )


def _no_valid_host(
    conn: Connection, caller: Caller, share_id: str, instance_id: str, chosen: Placement
) -> None:
    _LOG.warning("share %s: %s", share_id, chosen.explain())
    states.move(conn, states.SHARE, instance_id, "error")
    messages.create(
        conn,
        project_id=caller.project_id,
        resource_type="SHARE",
        resource_id=share_id,
        action=messages.Action.ALLOCATE_HOST,
        detail=messages.of_filter(chosen.rejections[-1].filter if chosen.rejections else None),
        text=f"No storage could be allocated for this share request. {chosen.public_text()}",
    )
