"""Creating a share: its checks, its placement, and the choice of its share server, all in the
request's transaction."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import uuid4

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import utcnow
from abaca.db.tables import share_instances, share_type_projects, share_types
from abaca.domain.capacity import placement, quota_usages
from abaca.domain.rows import states
from abaca.domain.share_types import share_types as types
from abaca.domain.shares import (
    affinity,
    export_choices,
    mount_point_names,
    schedules,
    share_ground,
    share_membership,
    share_sizes,
    share_sources,
    share_supports,
)
from abaca.domain.shares import shares as share_nouns
from abaca.domain.shares.affinity import Pools
from abaca.domain.shares.schedules import Plans
from abaca.domain.shares.share_ground import Ground
from abaca.domain.shares.share_requests import ShareRequest
from abaca.domain.shares.share_sources import Source
from abaca.errors import Invalid, Missing
from abaca.scheduler.placement import Placement
from abaca.values import Caller, ExportChoice, PlacementRequest

_LOG = logging.getLogger(__name__)

PROTOCOLS = ("NFS", "CIFS", "CEPHFS", "GLUSTERFS", "HDFS", "MAPRFS")
# Built once: that costs every creation more than the database needs for it.
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


class _Terms(NamedTuple):
    """What is asked for, judged, with what a source gives. `zones`: zone id → name; `zone_id`: the
    zone asked for; `plans`: the schedules."""

    request: ShareRequest
    source: Source | None
    share_type: sa.Row[Any]
    specs: dict[str, str]
    zones: dict[str, str]
    zone_id: str | None
    plans: Plans


class _Place(NamedTuple):
    """Where the share goes: the scheduler's answer, with the zone, the server and the export choice
    that follow from it."""

    chosen: Placement
    zone_id: str | None
    share_server_id: str | None
    export_choice: ExportChoice


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
    terms = _terms(conn, caller, request)
    ground, hinted = _ground(conn, caller, terms)
    choices = _export_choices(conn, terms, ground)
    quota_usages.claim(
        conn,
        caller.project_id,
        caller.user_id,
        terms.share_type.id,
        defaults=quota_defaults,
        share_size=terms.request.size,
        shares=1,
        gigabytes=terms.request.size,
    )
    share_id = _insert(conn, caller, terms, _place(conn, terms, ground, hinted, choices))
    schedules.begin(conn, {share_id: terms.plans})
    affinity.tell(conn, share_id, terms.request)
    return {**share_nouns.get(conn, caller, share_id), "export_locations": []}


def _terms(conn: Connection, caller: Caller, request: ShareRequest) -> _Terms:
    """Raises Invalid, Missing for what cannot be."""
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
    zones = share_ground.zone_names(conn)
    zone_id = share_ground.requested_zone(zones, request.availability_zone)
    plans = schedules.plans(
        request.metadata,
        specs,
        snapshot_support=share_supports.is_true(specs.get(types.SNAPSHOT_SUPPORT)),
    )
    name = mount_point_names.whole(request.mount_point_name, specs, caller.project_id)
    request = msgspec.structs.replace(request, mount_point_name=name)
    return _Terms(request, source, share_type, specs, zones, zone_id, plans)


def _ground(conn: Connection, caller: Caller, terms: _Terms) -> tuple[Ground, Pools]:
    """Where the share may be, and the pools that its hints leave. Locks the rows of what it is to
    be in, its network's first, then its group's, then those of shares that it names."""
    group_id = terms.request.share_group_id
    if group_id is not None:
        share_membership.find(conn, caller, group_id)
    network = share_ground.require_network(
        conn, caller, terms.request.share_network_id, terms.specs
    )
    group = group_id and share_membership.hold(
        conn, group_id, network, terms.share_type.id, terms.zone_id
    )
    hinted = affinity.hold(conn, caller, terms.request, network and network.id)
    if terms.source is not None:
        ground = share_ground.of_source(
            conn, network, terms.source, terms.share_type.id, terms.zone_id
        )
        share_membership.require_same_place(group or ground, ground)
    elif group:
        ground = group
    elif network is None:
        ground = share_ground.without_network(terms.zones, terms.zone_id, terms.specs)
    else:
        ground = share_ground.in_network(conn, network, terms.zones, terms.zone_id, terms.specs)
    return ground, hinted


def _export_choices(conn: Connection, terms: _Terms, ground: Ground) -> dict[str, ExportChoice]:
    """By zone in which the share may be placed, its export choice; where its server is given, by no
    zone. Raises Invalid, Conflict if there is none."""
    metadata = terms.request.metadata
    if ground.buckets is not None:
        return export_choices.within_buckets(metadata, terms.specs, ground.buckets)
    if not export_choices.is_made(metadata, terms.specs):
        return {"": ExportChoice()}
    if ground.pool is None or ground.share_server_id is None:
        raise export_choices.no_server()
    subnets = export_choices.subnets_of(conn, [ground.share_server_id])
    choice = export_choices.choose(metadata, terms.specs, subnets)
    export_choices.require_capable(conn, choice, [ground.pool])
    return {"": choice}


def _place(
    conn: Connection,
    terms: _Terms,
    ground: Ground,
    hinted: Pools,
    choices: Mapping[str, ExportChoice],
) -> _Place:
    """Claim room on a pool, and choose or make a server there; the placement has no host if no pool
    fits."""
    zones, any_choice = terms.zones, next(iter(choices.values()))
    buckets = ground.buckets and {zone: ground.buckets[zone] for zone in choices}
    chosen = placement.place_and_claim(
        conn,
        PlacementRequest(
            size=terms.request.size,
            share_proto=terms.request.share_proto.upper(),
            extra_specs=terms.specs | export_choices.demanded(any_choice),
            zones=share_ground.on_several(zones, buckets),
            availability_zone=zones[ground.zone_id] if ground.zone_id else None,
            only_pools=hinted.only,
            not_pools=hinted.without,
        ),
        ground.pool,
    )
    if chosen.host is None:
        return _Place(chosen, ground.zone_id, None, any_choice)
    zone = next((key for key, name in zones.items() if name == chosen.availability_zone), None)
    server_id = ground.share_server_id
    if ground.network is not None and buckets is not None and zone is not None:
        server_id = share_ground.server_for(
            conn, ground.network, chosen.host, buckets[zone], hinted.apart_from
        )
    choice = choices.get(zone or "", any_choice)
    return _Place(chosen, zone or ground.zone_id, server_id, choice)


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


def _insert(conn: Connection, caller: Caller, terms: _Terms, place: _Place) -> str:
    """Store the share with its instance, and enqueue its work or say why there is none. Returns its
    id."""
    share_id, instance_id = str(uuid4()), str(uuid4())
    request, host = terms.request, place.chosen.host
    mount_point_names.insert(
        conn,
        request.mount_point_name,
        id=share_id,
        project_id=caller.project_id,
        user_id=caller.user_id,
        display_name=request.name,
        display_description=request.description,
        size=request.size,
        share_proto=request.share_proto.upper(),
        is_public=request.is_public,
        metadata=affinity.metadata(request),
        export_choice=export_choices.stored(place.export_choice),
        snapshot_id=request.snapshot_id,
        share_group_id=request.share_group_id,
        replication_type=terms.specs.get("replication_type"),
        created_at=utcnow(),
        **share_supports.of_type(terms.specs),
    )
    conn.execute(
        sa.insert(share_instances).values(
            id=instance_id,
            share_id=share_id,
            share_type_id=terms.share_type.id,
            share_network_id=request.share_network_id,
            share_server_id=place.share_server_id,
            availability_zone_id=place.zone_id,
            host=str(host) if host else None,
            status="creating",
            is_pinned=request.only_host is not None or request.share_group_id is not None,
            access_rules_status="active",
            created_at=utcnow(),
        )
    )
    if host is None:
        _no_valid_host(conn, caller, share_id, instance_id, place.chosen)
    else:
        share_nouns.start_on(
            conn,
            "share_create",
            instance_id,
            str(host),
            place.share_server_id,
            caller.project_id,
        )
    return share_id


def _no_valid_host(
    conn: Connection, caller: Caller, share_id: str, instance_id: str, chosen: Placement
) -> None:
    _LOG.warning("share %s: %s", share_id, chosen.explain())
    states.move(conn, states.SHARE, instance_id, "error")
    placement.tell(conn, chosen, caller.project_id, "SHARE", share_id)
