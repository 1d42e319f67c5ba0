"""Local networks: what a tenant makes where there is no Neutron. Their subnets: `local_subnets`;
addresses on those: `local_ports`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from abaca.db.session import lock_row, utcnow
from abaca.db.tables import (
    local_networks,
    local_ports,
    local_rbac_policies,
    local_subnets,
    share_network_subnets,
    share_networks,
)
from abaca.domain.local_networks import forwarding, listing, segments, sharing
from abaca.domain.rows.row_limits import (
    NO_LIMITS,
    RowLimits,
    hold_in_project,
    require_room_in_project,
)
from abaca.errors import Conflict, Forbidden, Invalid, Missing
from abaca.networks.segment_ranges import MTUS, VXLAN, SegmentRanges
from abaca.values import Caller

FILTERS = ("id", "name", "description", "project_id", "shared", "mtu")
PROVIDER_FILTERS = ("network_type", "physical_network", "segmentation_id")  # administrators' only
_ATTEMPTS = 16


def create(
    conn: Connection,
    caller: Caller,
    *,
    name: str = "",
    description: str = "",
    project_id: str | None = None,
    shared: bool = False,
    mtu: int | None = None,
    network_type: str | None = None,
    physical_network: str | None = None,
    segmentation_id: int | None = None,
    ranges: SegmentRanges = segments.DEFAULT_RANGES,
    limits: RowLimits = NO_LIMITS,
) -> dict[str, Any]:
    """A network without subnets. The view of the new network.

    Only administrators share networks, make them for another project, or say what they are on the
    wire; else it is a free wire of `ranges`. Without `mtu`, a VXLAN network gets one that fits
    through the tunnels of all hosts. Raises Invalid for a larger one, Conflict when the wire has a
    network already, and ServiceDown when none of the ranges is free.
    """
    if not caller.is_admin and (shared or project_id not in (None, caller.project_id)):
        raise Forbidden(
            "Only an administrator can create networks that are shared, or that belong to another "
            "project."
        )
    if not caller.is_admin and {network_type, physical_network, segmentation_id} != {None}:
        raise Forbidden("Only an administrator can set the provider attributes of networks.")
    choices = segments.choices(network_type, physical_network, segmentation_id, ranges)
    if mtu is not None and mtu not in MTUS:
        raise Invalid(f"The MTU must be between {MTUS[0]} and {MTUS[-1]}, not {mtu}.")
    owner = project_id or caller.project_id
    require_room_in_project(
        conn, "local_networks", limits.local_networks, local_networks.c.project_id, owner
    )
    values = {
        "name": name,
        "description": description,
        "project_id": owner,
    }
    largest = forwarding.largest_mtu(conn)
    for choice in choices:
        given = mtu or ranges.mtu_of(choice.network_type)
        if choice.network_type == VXLAN and largest is not None and given > largest:
            if mtu is not None or largest not in MTUS:
                raise Invalid(
                    f"The MTU must be at most {largest}, not {given}, to fit through the tunnels "
                    "between the hosts."
                )
            given = largest
        network_id = _insert(conn, values | {"mtu": given}, choice)
        if network_id is not None:
            if shared:
                sharing.share(conn, network_id, sharing.ALL_PROJECTS)
            return get(conn, caller, network_id)
    raise segments.none_left(choices)


def hold_projects(conn: Connection, project_ids: Iterable[str]) -> None:
    """Before several networks are created in one transaction: nobody else does so meanwhile, nor
    creates one for these projects, so that two such requests do not wait for each other."""
    hold_in_project(conn, "several local_networks", sharing.ALL_PROJECTS)
    for project_id in sorted(set(project_ids)):
        hold_in_project(conn, "local_networks", project_id)


def get(conn: Connection, caller: Caller, network_id: str) -> dict[str, Any]:
    """One network. Missing when it is not there, or neither the caller's nor shared."""
    views = _views(conn, _selected(caller).where(local_networks.c.id == network_id))
    if not views:
        raise Missing(f"Network {network_id} could not be found.")
    return views[0]


def find(
    conn: Connection,
    caller: Caller,
    filters: Mapping[str, Sequence[Any]],
    *,
    limit: int | None = None,
    marker: str | None = None,
) -> list[dict[str, Any]]:
    """Networks in the order of their ids, after `marker`. `filters`: any of FILTERS and
    PROVIDER_FILTERS → the values that match."""
    column = partial(_column, caller)
    return _views(
        conn, listing.part(_selected(caller), local_networks, column, filters, limit, marker)
    )


def update(
    conn: Connection, caller: Caller, network_id: str, changes: Mapping[str, Any]
) -> dict[str, Any]:
    """Change name, description, and, for administrators, shared. Conflict when it is shared no
    longer while others use it."""
    network = lock_owned(conn, caller, network_id)
    values = dict(changes)
    is_shared = sharing.is_shared_with(conn, network_id, sharing.ALL_PROJECTS)
    if values.pop("shared", is_shared) != is_shared:
        if not caller.is_admin:
            raise Forbidden("Only an administrator can share networks with all projects.")
        if is_shared:
            sharing.withdraw(conn, network, sharing.ALL_PROJECTS)
        else:
            sharing.share(conn, network_id, sharing.ALL_PROJECTS)
    conn.execute(
        sa.update(local_networks)
        .where(local_networks.c.id == network_id)
        .values(updated_at=utcnow(), **values)
    )
    return get(conn, caller, network_id)


def delete(conn: Connection, caller: Caller, network_id: str) -> None:
    """Delete a network with its subnets. Conflict when one of them is in use."""
    lock_owned(conn, caller, network_id)
    subnet_ids = conn.scalars(
        sa.select(local_subnets.c.id)
        .where(local_subnets.c.network_id == network_id)
        .order_by(local_subnets.c.id)
        .with_for_update()
    ).all()
    used = in_use(conn, subnet_ids)
    if used:
        raise Conflict(
            f"Unable to complete operation on network {network_id}. There are subnets in use on "
            f"it: {', '.join(used)}."
        )
    for table in (local_subnets, local_rbac_policies):
        conn.execute(sa.delete(table).where(table.c.network_id == network_id))
    conn.execute(sa.delete(local_networks).where(local_networks.c.id == network_id))
    forwarding.changed(conn)  # machines may still be on it


def visible(caller: Caller) -> sa.ColumnElement[bool]:
    """The condition that a network is the caller's or shared with it; an administrator sees
    all."""
    return sa.true() if caller.is_admin else sharing.usable_by(caller.project_id)


def lock_owned(conn: Connection, caller: Caller, network_id: str) -> sa.Row[Any]:
    """The network's row, held until the transaction ends. Missing when the caller cannot see it,
    Forbidden when it is only shared with it."""
    network = lock_row(conn, local_networks, network_id)
    if network is not None and (caller.is_admin or network.project_id == caller.project_id):
        return network
    if network is None or not sharing.is_shared_with(
        conn, network_id, sharing.ALL_PROJECTS, caller.project_id
    ):
        raise Missing(f"Network {network_id} could not be found.")
    raise Forbidden(f"The network {network_id} belongs to another project.")


def in_use(conn: Connection, subnet_ids: Sequence[str]) -> list[str]:
    """Those of the subnets that have ports, or that are in a share network which may use them
    (anybody can write down any id)."""
    with_ports = sa.select(local_ports.c.subnet_id).where(local_ports.c.subnet_id.in_(subnet_ids))
    in_share_networks = (
        sa.select(local_subnets.c.id)
        .join(local_networks)
        .join(
            share_network_subnets, share_network_subnets.c.neutron_subnet_id == local_subnets.c.id
        )
        .join(share_networks, share_networks.c.id == share_network_subnets.c.share_network_id)
        .where(local_subnets.c.id.in_(subnet_ids))
        .where(sharing.usable_by(share_networks.c.project_id))
    )
    return sorted(conn.scalars(with_ports.union(in_share_networks)))


def _insert(conn: Connection, values: Mapping[str, Any], choice: segments.Choice) -> str | None:
    """Store a network on a free wire of the choice, on another one when somebody gets that first.
    None when all are taken."""
    for _ in range(_ATTEMPTS):
        segment = segments.free(conn, choice)
        if segment is None:
            return None
        network_id = str(uuid4())
        row = {"id": network_id, "created_at": utcnow(), **segment._asdict(), **values}
        try:
            with conn.begin_nested():
                conn.execute(sa.insert(local_networks).values(row))
        except IntegrityError:
            continue
        return network_id
    return None


def _shared(caller: Caller) -> sa.ColumnElement[bool]:
    """Whether a network is shared with all or with the caller's project, as Neutron shows it."""
    return sharing.shared_with(sharing.ALL_PROJECTS, caller.project_id)


def _column(caller: Caller, name: str) -> sa.ColumnElement[Any]:
    return _shared(caller) if name == "shared" else local_networks.c[name]


def _selected(caller: Caller) -> sa.Select[Any]:
    return sa.select(local_networks, _shared(caller).label("shared")).where(visible(caller))


def _views(conn: Connection, query: sa.Select[Any]) -> list[dict[str, Any]]:
    """The networks with the ids of their subnets, the oldest first, in two statements."""
    views = [dict(row) for row in conn.execute(query).mappings()]
    subnets = sa.select(local_subnets.c.network_id, local_subnets.c.id).where(
        local_subnets.c.network_id.in_(query.with_only_columns(local_networks.c.id))
    )
    by_network = defaultdict(list)
    for network_id, subnet_id in conn.execute(
        subnets.order_by(local_subnets.c.created_at, local_subnets.c.id)
    ):
        by_network[network_id].append(subnet_id)
    return [view | {"subnets": by_network[view["id"]]} for view in views]
