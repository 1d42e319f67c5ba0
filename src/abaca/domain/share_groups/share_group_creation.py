"""Making a share group: its checks, the choice of its pool and of its share server, all in the
request's transaction. Its work only makes sure that the server stands."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple
from uuid import uuid4

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import utcnow
from abaca.db.tables import share_group_share_type_mappings, share_groups
from abaca.domain.capacity import placement, quota_usages
from abaca.domain.rows import states
from abaca.domain.share_group_types import share_group_types as group_types
from abaca.domain.share_group_types.share_group_types import GroupType
from abaca.domain.share_groups import share_groups as groups
from abaca.domain.share_types import share_types as types
from abaca.domain.shares import share_ground
from abaca.domain.shares.share_ground import Ground
from abaca.domain.shares.share_supports import is_true
from abaca.errors import Invalid, named_in_request
from abaca.scheduler.placement import Placement
from abaca.values import Caller, PlacementRequest, Value

_LOG = logging.getLogger(__name__)


class GroupRequest(Value):
    """A requested group. `share_types`: ids or names; `availability_zone` by id or name, None:
    any."""

    share_group_type_id: str
    share_types: list[str]
    name: str | None = None
    description: str | None = None
    share_network_id: str | None = None
    availability_zone: str | None = None
    source_share_group_snapshot_id: str | None = None
    """With it, share types, network and zone are those of the group that it is a snapshot of."""


class _Terms(NamedTuple):
    """What is asked for, judged. `specs`: of each share type, by its id; `zones`: zone id →
    name."""

    request: GroupRequest
    group_type: GroupType
    specs: dict[str, dict[str, str]]
    zones: dict[str, str]


class Place(NamedTuple):
    """Where the group goes: the scheduler's answer, with the zone and the server that follow from
    it, and how its pool takes consistent snapshots."""

    chosen: Placement
    zone_id: str | None
    share_server_id: str | None
    consistent_snapshots: str | None


def create(
    conn: Connection,
    caller: Caller,
    request: GroupRequest,
    quota_defaults: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Store the group in `creating`, placed, with its work enqueued; or in `error` with a user
    message if no pool fits. Returns its view. Raises Invalid, Missing, OverQuota."""
    specs = specs_of_types(conn, caller, request.share_types)
    zones = share_ground.zone_names(conn)
    ground = _ground(conn, caller, request, specs, zones)
    group_type = group_types.hold(conn, caller, request.share_group_type_id)
    require_types_of(group_type, specs)
    terms = _Terms(request, group_type, specs, zones)
    quota_usages.claim(
        conn, caller.project_id, caller.user_id, defaults=quota_defaults, share_groups=1
    )
    request = msgspec.structs.replace(request, share_types=list(specs))
    group_id = store(conn, caller, request, _place(conn, terms, ground))
    return groups.get(conn, caller, group_id)


def require_types_of(group_type: GroupType, share_type_ids: Collection[str]) -> None:
    """Raises Invalid unless groups of the type may hold shares of all these types."""
    if not group_type.share_type_ids.issuperset(share_type_ids):
        raise Invalid(
            "Invalid input received: The specified share types must be a subset of the share types "
            "supported by the share group type."
        )


def specs_of_types(
    conn: Connection, caller: Caller, wanted: list[str]
) -> dict[str, dict[str, str]]:
    """The extra specs of the wanted types, by id. Raises Invalid for one that the caller does not
    see, and unless they agree on share servers."""
    with named_in_request():
        ids = types.ids_of(conn, caller, wanted)
    specs = types.KIND.specs_of(conn, ids)
    handling = {is_true(each.get(types.HANDLES_SERVERS)) for each in specs.values()}
    if len(handling) > 1:
        raise Invalid(
            "Invalid input received: all share types of a share group must have the same "
            f"{types.HANDLES_SERVERS}."
        )
    return specs


def _ground(
    conn: Connection,
    caller: Caller,
    request: GroupRequest,
    specs: dict[str, dict[str, str]],
    zones: dict[str, str],
) -> Ground:
    """Where the group may be; locks its network's row."""
    zone_id = share_ground.requested_zone(zones, request.availability_zone)
    any_specs = next(iter(specs.values())) | _common_zones(specs)
    with named_in_request():
        network = share_ground.require_network(conn, caller, request.share_network_id, any_specs)
    if network is None:
        return share_ground.without_network(zones, zone_id, any_specs)
    return share_ground.in_network(conn, network, zones, zone_id, any_specs)


def _common_zones(specs: dict[str, dict[str, str]]) -> dict[str, str]:
    """The extra spec of the zones that all types allow; nothing if none names any."""
    named = [
        types.zones(each[types.AVAILABILITY_ZONES])
        for each in specs.values()
        if types.AVAILABILITY_ZONES in each
    ]
    if not named:
        return {}
    common = [zone for zone in named[0] if all(zone in others for others in named)]
    if not common:
        raise Invalid(
            "Invalid input received: there is no availability zone that all of the share types "
            "allow."
        )
    return {types.AVAILABILITY_ZONES: ",".join(common)}


def _place(conn: Connection, terms: _Terms, ground: Ground) -> Place:
    """A pool that fits shares of all the types, and a server there; the shares claim room."""
    buckets, zones = ground.buckets, terms.zones
    requests = [
        PlacementRequest(
            size=0,
            share_proto=None,
            extra_specs=specs,
            zones=share_ground.on_several(zones, buckets),
            availability_zone=zones[ground.zone_id] if ground.zone_id else None,
        )
        for _, specs in sorted(terms.specs.items())
    ]
    chosen, consistent = placement.choose_for_group(conn, requests, terms.group_type.specs)
    zone_id = next(
        (key for key, name in zones.items() if name == chosen.availability_zone), ground.zone_id
    )
    server_id = None
    if chosen.host is not None and ground.network is not None and buckets and zone_id:
        server_id = share_ground.server_for(conn, ground.network, chosen.host, buckets[zone_id])
    return Place(chosen, zone_id, server_id, consistent)


def store(conn: Connection, caller: Caller, request: GroupRequest, place: Place) -> str:
    """Store the group, and enqueue its work or say why there is none. Returns its id. `request`:
    its types by their ids."""
    group_id, host = str(uuid4()), place.chosen.host
    conn.execute(
        sa.insert(share_groups).values(
            id=group_id,
            project_id=caller.project_id,
            user_id=caller.user_id,
            name=request.name,
            description=request.description,
            status="creating",
            host=str(host) if host else None,
            share_group_type_id=request.share_group_type_id,
            share_network_id=request.share_network_id,
            share_server_id=place.share_server_id,
            availability_zone_id=place.zone_id,
            consistent_snapshot_support=place.consistent_snapshots,
            source_share_group_snapshot_id=request.source_share_group_snapshot_id,
            created_at=utcnow(),
        )
    )
    conn.execute(
        sa.insert(share_group_share_type_mappings),
        [{"share_group_id": group_id, "share_type_id": type_id} for type_id in request.share_types],
    )
    if host is None:
        _no_valid_host(conn, caller, group_id, place.chosen)
    else:
        groups.start_creation(conn, group_id)
    return group_id


def _no_valid_host(conn: Connection, caller: Caller, group_id: str, chosen: Placement) -> None:
    _LOG.warning("share group %s: %s", group_id, chosen.explain())
    states.move(conn, states.SHARE_GROUP, group_id, "error")
    placement.tell(conn, chosen, caller.project_id, "SHARE_GROUP", group_id)
