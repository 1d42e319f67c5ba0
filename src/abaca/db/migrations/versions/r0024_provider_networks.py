"""Local networks know what they are on the wire: type, physical network and segmentation id; those
that are there are VXLAN with the id they have. Share network subnets know whether they are on a
local network.

Going back, a flat, VLAN or local network becomes a VXLAN network with an id that no other has; take
such networks away before, for their share servers lose their wires.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0022"

_NETWORKS = sa.table(
    "local_networks",
    sa.column("id"),
    sa.column("vxlan_id"),
    sa.column("network_type"),
    sa.column("segmentation_id"),
)
_SUBNETS = sa.table("share_network_subnets", sa.column("neutron_net_id"), sa.column("is_local"))
# (name, columns, type): no two networks on one wire
_WIRES = (
    ("uq_local_networks_flat", ("physical_network",), "flat"),
    ("uq_local_networks_vlan", ("physical_network", "segmentation_id"), "vlan"),
    ("uq_local_networks_vxlan", ("segmentation_id",), "vxlan"),
)


def upgrade() -> None:
    with op.batch_alter_table("local_networks") as batch:
        batch.add_column(
            sa.Column("network_type", sa.String(32), nullable=False, server_default="vxlan")
        )
        batch.add_column(sa.Column("physical_network", sa.String(255)))
        batch.add_column(sa.Column("segmentation_id", sa.Integer))
    op.execute(sa.update(_NETWORKS).values(segmentation_id=_NETWORKS.c.vxlan_id))
    with op.batch_alter_table("local_networks") as batch:
        batch.drop_constraint("uq_local_networks_vxlan_id", type_="unique")
        batch.drop_column("vxlan_id")
        batch.alter_column("network_type", existing_type=sa.String(32), server_default=None)
    for name, columns, kind in _WIRES:
        condition = sa.text(f"network_type = '{kind}'")
        op.create_index(
            name,
            "local_networks",
            list(columns),
            unique=True,
            sqlite_where=condition,
            postgresql_where=condition,
        )
    with op.batch_alter_table("share_network_subnets") as batch:
        batch.add_column(
            sa.Column("is_local", sa.Boolean, nullable=False, server_default=sa.false())
        )
    op.execute(
        sa.update(_SUBNETS)
        .where(_SUBNETS.c.neutron_net_id.in_(sa.select(_NETWORKS.c.id)))
        .values(is_local=sa.true())
    )
    with op.batch_alter_table("share_network_subnets") as batch:
        batch.alter_column("is_local", existing_type=sa.Boolean, server_default=None)


def downgrade() -> None:
    with op.batch_alter_table("share_network_subnets") as batch:
        batch.drop_column("is_local")
    for name, _, _ in _WIRES:
        op.drop_index(name, "local_networks")
    op.add_column("local_networks", sa.Column("vxlan_id", sa.Integer))
    op.execute(
        sa.update(_NETWORKS)
        .where(_NETWORKS.c.network_type == "vxlan")
        .values(vxlan_id=_NETWORKS.c.segmentation_id)
    )
    _number_the_others()
    with op.batch_alter_table("local_networks") as batch:
        batch.alter_column("vxlan_id", existing_type=sa.Integer, nullable=False)
        batch.create_unique_constraint("uq_local_networks_vxlan_id", ["vxlan_id"])
        for name in ("network_type", "physical_network", "segmentation_id"):
            batch.drop_column(name)


def _number_the_others() -> None:
    connection = op.get_bind()
    used = set(connection.scalars(sa.select(_NETWORKS.c.vxlan_id)))
    free = (vni for vni in range(1, 2**24) if vni not in used)
    for network_id in connection.scalars(
        sa.select(_NETWORKS.c.id).where(_NETWORKS.c.vxlan_id.is_(None)).order_by(_NETWORKS.c.id)
    ).all():
        connection.execute(
            sa.update(_NETWORKS).where(_NETWORKS.c.id == network_id).values(vxlan_id=next(free))
        )
