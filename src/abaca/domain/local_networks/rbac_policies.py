"""RBAC policies of local networks, as Neutron has them: a network is shared with a project, or with
all. They belong to the network's project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.tables import local_networks, local_rbac_policies
from abaca.domain.local_networks import listing, sharing
from abaca.domain.local_networks import local_networks as networks
from abaca.domain.rows.row_limits import NO_LIMITS, RowLimits, require_room
from abaca.errors import Conflict, Forbidden, Invalid, Missing
from abaca.values import Caller

_COLUMNS: dict[str, sa.ColumnElement[str]] = {
    "id": local_rbac_policies.c.id,
    "project_id": local_networks.c.project_id,
    "object_type": sa.literal("network"),
    "object_id": local_rbac_policies.c.network_id,
    "action": sa.literal("access_as_shared"),
    "target_tenant": local_rbac_policies.c.target_project,
}
FILTERS = tuple(_COLUMNS)


def create(
    conn: Connection,
    caller: Caller,
    *,
    network_id: str,
    target_project: str,
    project_id: str | None = None,
    limits: RowLimits = NO_LIMITS,
) -> dict[str, Any]:
    """Share a network of the caller's with a project; only administrators share with all. The view
    of the new policy. Conflict when it is shared with them already."""
    network = networks.lock_owned(conn, caller, network_id)
    if project_id not in (None, network.project_id):
        raise Invalid(f"A policy belongs to the project of its network, {network.project_id}.")
    if not target_project:
        raise Invalid("target_tenant must be a project, or * for all.")
    _require_right(caller, target_project)
    if sharing.is_shared_with(conn, network_id, target_project):
        raise Conflict(f"Network {network_id} is shared with {target_project} already.")
    require_room(
        conn,
        "rbac_policies_per_local_network",
        limits.rbac_policies_per_local_network,
        local_rbac_policies.c.network_id == network_id,
        f"network {network_id}",
    )
    return get(conn, caller, sharing.share(conn, network_id, target_project))


def get(conn: Connection, caller: Caller, policy_id: str) -> dict[str, Any]:
    """One policy. Missing when it is not there, or its network another project's."""
    row = (
        conn.execute(_visible(caller).where(local_rbac_policies.c.id == policy_id))
        .mappings()
        .one_or_none()
    )
    if row is None:
        raise Missing(f"RBAC policy {policy_id} could not be found.")
    return dict(row)


def find(
    conn: Connection,
    caller: Caller,
    filters: Mapping[str, Sequence[Any]],
    *,
    limit: int | None = None,
    marker: str | None = None,
) -> list[dict[str, Any]]:
    """Policies in the order of their ids, after `marker`. `filters`: any of FILTERS → the values
    that match."""
    column = _COLUMNS.__getitem__
    query = listing.part(_visible(caller), local_rbac_policies, column, filters, limit, marker)
    return [dict(row) for row in conn.execute(query).mappings()]


def delete(conn: Connection, caller: Caller, policy_id: str) -> None:
    """Delete a policy. Conflict while a project has share networks on the network that could not
    stay there."""
    policy = get(conn, caller, policy_id)
    network = networks.lock_owned(conn, caller, policy["object_id"])
    _require_right(caller, policy["target_tenant"])
    sharing.withdraw(conn, network, policy["target_tenant"])


def _require_right(caller: Caller, target: str) -> None:
    if target == sharing.ALL_PROJECTS and not caller.is_admin:
        raise Forbidden("Only an administrator can share networks with all projects.")


def _visible(caller: Caller) -> sa.Select[Any]:
    columns: list[Any] = [column.label(name) for name, column in _COLUMNS.items()]
    query = sa.select(*columns).select_from(local_rbac_policies).join(local_networks)
    if caller.is_admin:
        return query
    return query.where(local_networks.c.project_id == caller.project_id)
