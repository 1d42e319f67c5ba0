"""With which projects local networks are shared: conditions for statements, and who uses one."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import lock_row, utcnow
from abaca.db.tables import (
    local_networks,
    local_rbac_policies,
    local_subnets,
    share_network_subnets,
    share_networks,
)
from abaca.errors import Conflict
from abaca.networks.local import ALL_PROJECTS as ALL_PROJECTS

_MOST_NAMED = 10


def shared_with(*projects: str | sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """The condition that a network is shared with one of these: ids of projects, also columns, or
    ALL_PROJECTS."""
    target = local_rbac_policies.c.target_project
    return sa.exists().where(
        local_rbac_policies.c.network_id == local_networks.c.id,
        sa.or_(*(target == project for project in projects)),
    )


def usable_by(project: str | sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """The condition that a network is the project's own or shared with it."""
    return sa.or_(local_networks.c.project_id == project, shared_with(ALL_PROJECTS, project))


def is_shared_with(conn: Connection, network_id: str, *projects: str) -> bool:
    """Whether the network is shared with one of these."""
    query = sa.select(local_networks.c.id).where(
        local_networks.c.id == network_id, shared_with(*projects)
    )
    return conn.execute(query).first() is not None


def hold_usable(conn: Connection, project_id: str, network_id: str, subnet_id: str) -> bool:
    """Whether the project may use the subnet of that network. If so, nobody deletes it or stops
    sharing it until the transaction ends."""
    lock_row(conn, local_networks, network_id)
    lock_row(conn, local_subnets, subnet_id)
    query = (
        sa.select(local_subnets.c.id)
        .join(local_networks)
        .where(
            local_subnets.c.id == subnet_id,
            local_networks.c.id == network_id,
            usable_by(project_id),
        )
    )
    return conn.execute(query).first() is not None


def share(conn: Connection, network_id: str, target: str) -> str:
    """Share a network that is held with a project or with all. The id of the policy."""
    policy_id = str(uuid4())
    conn.execute(
        sa.insert(local_rbac_policies).values(
            id=policy_id, network_id=network_id, target_project=target, created_at=utcnow()
        )
    )
    return policy_id


def withdraw(conn: Connection, network: sa.Row[Any], target: str) -> None:
    """Share a network that is held no longer with a project, or with all. Conflict while a project
    uses it that could not go on."""
    targets = set(
        conn.scalars(
            sa.select(local_rbac_policies.c.target_project).where(
                local_rbac_policies.c.network_id == network.id
            )
        )
    )
    left = targets - {target}
    losing = set() if ALL_PROJECTS in left else _users(conn, network.id) - {network.project_id}
    losing = losing - left if target == ALL_PROJECTS else losing & {target}
    if losing:
        named = ", ".join(sorted(losing)[:_MOST_NAMED])
        raise Conflict(
            f"Unable to stop sharing network {network.id}: share networks of these projects are on "
            f"it: {named}."
        )
    conn.execute(
        sa.delete(local_rbac_policies).where(
            local_rbac_policies.c.network_id == network.id,
            local_rbac_policies.c.target_project == target,
        )
    )


def _users(conn: Connection, network_id: str) -> set[str]:
    """The projects with a share network on a subnet of the network, until its share servers there
    are gone."""
    subnets = sa.select(local_subnets.c.id).where(local_subnets.c.network_id == network_id)
    return set(
        conn.scalars(
            sa.select(share_networks.c.project_id)
            .join(share_network_subnets)
            .where(share_network_subnets.c.neutron_subnet_id.in_(subnets))
            .distinct()
        )
    )
