"""Share servers on several subnets: a mapping instead of one column, and allocations that know
their subnet.

Down again, a server keeps the subnet that it has served longest. What it has beyond that, mappings
and addresses, is lost, and that must be allowed: `downgrade(…, allow_data_loss=True)`.
"""

from __future__ import annotations

import logging

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.sql.elements import conv

from abaca.errors import Conflict

revision = "0002"
down_revision = "0001"

logger = logging.getLogger(__name__)

MAPPINGS = "share_server_share_network_subnet_mappings"
CHECKS = "share_network_subnet_checks"
# conv: too long for PostgreSQL, where it is cut as the naming convention cuts it.
POSITION_A_SUBNET = conv("uq_network_allocations_share_server_id_share_network_subnet_id_position")

servers = sa.table(
    "share_servers",
    *map(
        sa.column,
        ("id", "share_network_subnet_id", "created_at", "network_allocation_update_support"),
    ),
)
mappings = sa.table(
    MAPPINGS,
    *map(sa.column, ("share_server_id", "share_network_subnet_id", "is_served", "created_at")),
)
allocations = sa.table(
    "network_allocations",
    *map(sa.column, ("id", "share_server_id", "share_network_subnet_id", "ip_address")),
)


def upgrade() -> None:
    _create_mappings()
    _create_checks()
    op.add_column("share_servers", sa.Column("network_allocation_update_support", sa.Boolean))
    op.add_column("network_allocations", sa.Column("share_network_subnet_id", sa.String(36)))
    _fill_up()
    op.drop_index("ix_share_servers_share_network_subnet_id", "share_servers")
    with op.batch_alter_table("share_servers") as batch:
        batch.drop_constraint("fk_share_servers_share_network_subnet_id", type_="foreignkey")
        batch.drop_column("share_network_subnet_id")
        batch.alter_column(
            "network_allocation_update_support", existing_type=sa.Boolean, nullable=False
        )
    with op.batch_alter_table("network_allocations") as batch:
        batch.alter_column("share_network_subnet_id", existing_type=sa.String(36), nullable=False)
        batch.create_foreign_key(
            "fk_network_allocations_share_network_subnet_id",
            "share_network_subnets",
            ["share_network_subnet_id"],
            ["id"],
        )
        batch.drop_constraint("uq_network_allocations_share_server_id_position", type_="unique")
        batch.create_unique_constraint(
            POSITION_A_SUBNET, ["share_server_id", "share_network_subnet_id", "position"]
        )
    op.create_index(
        "ix_network_allocations_share_network_subnet_id",
        "network_allocations",
        ["share_network_subnet_id"],
    )


def downgrade() -> None:
    _judge_loss()
    op.add_column("share_servers", sa.Column("share_network_subnet_id", sa.String(36)))
    _fill_down()
    op.drop_index("ix_network_allocations_share_network_subnet_id", "network_allocations")
    with op.batch_alter_table("network_allocations") as batch:
        batch.drop_constraint(POSITION_A_SUBNET, type_="unique")
        batch.drop_constraint("fk_network_allocations_share_network_subnet_id", type_="foreignkey")
        batch.drop_column("share_network_subnet_id")
        batch.create_unique_constraint(
            "uq_network_allocations_share_server_id_position", ["share_server_id", "position"]
        )
    with op.batch_alter_table("share_servers") as batch:
        batch.drop_column("network_allocation_update_support")
        batch.create_foreign_key(
            "fk_share_servers_share_network_subnet_id",
            "share_network_subnets",
            ["share_network_subnet_id"],
            ["id"],
        )
    op.create_index(
        "ix_share_servers_share_network_subnet_id", "share_servers", ["share_network_subnet_id"]
    )
    op.drop_table(CHECKS)
    op.drop_table(MAPPINGS)


def _create_mappings() -> None:
    op.create_table(
        MAPPINGS,
        sa.Column(
            "share_server_id",
            sa.String(36),
            sa.ForeignKey("share_servers.id", ondelete="CASCADE"),
            nullable=False,
            index=True,
        ),
        sa.Column(
            "share_network_subnet_id",
            sa.String(36),
            sa.ForeignKey("share_network_subnets.id"),
            nullable=False,
            index=True,
        ),
        sa.Column("is_served", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.PrimaryKeyConstraint("share_server_id", "share_network_subnet_id"),
    )


def _create_checks() -> None:
    op.create_table(
        CHECKS,
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column(
            "share_network_id",
            sa.String(36),
            sa.ForeignKey("share_networks.id", ondelete="CASCADE"),
            nullable=False,
            index=True,
        ),
        sa.Column("request", sa.JSON, nullable=False),
        sa.Column("request_digest", sa.String(64), nullable=False, index=True),
        sa.Column("share_server_ids", sa.JSON, nullable=False),
        sa.Column("hosts", sa.JSON, nullable=False),
        sa.Column("reasons", sa.JSON, nullable=False),
        sa.Column("subnet", sa.JSON),
        sa.Column("expires_at", sa.DateTime, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("updated_at", sa.DateTime),
    )


def _fill_up() -> None:
    """Servers of before serve their one subnet, and their drivers are not known to allow a change
    of networks."""
    op.execute(servers.update().values(network_allocation_update_support=sa.false()))
    one_subnet = sa.select(
        servers.c.id, servers.c.share_network_subnet_id, sa.true(), servers.c.created_at
    ).where(servers.c.share_network_subnet_id.is_not(None))
    op.execute(
        mappings.insert().from_select(
            ["share_server_id", "share_network_subnet_id", "is_served", "created_at"], one_subnet
        )
    )
    of_server = (
        sa.select(servers.c.share_network_subnet_id)
        .where(servers.c.id == allocations.c.share_server_id)
        .scalar_subquery()
    )
    op.execute(allocations.update().values(share_network_subnet_id=of_server))
    lost = (
        op.get_bind()
        .scalars(
            sa.select(allocations.c.ip_address).where(
                allocations.c.share_network_subnet_id.is_(None)
            )
        )
        .all()
    )
    if lost:
        raise Conflict(
            f"Addresses of share servers that are on no subnet: {sorted(lost)}. Delete those "
            "servers first."
        )


def _kept() -> sa.Subquery:
    """(share_server_id, share_network_subnet_id) of the one subnet that each server keeps."""
    order = (mappings.c.is_served.desc(), mappings.c.created_at, mappings.c.share_network_subnet_id)
    rank = (
        sa.func.row_number()
        .over(partition_by=mappings.c.share_server_id, order_by=order)
        .label("rank")
    )
    ranked = sa.select(
        mappings.c.share_server_id, mappings.c.share_network_subnet_id, rank
    ).subquery()
    return (
        sa.select(ranked.c.share_server_id, ranked.c.share_network_subnet_id)
        .where(ranked.c.rank == 1)
        .subquery()
    )


def _beyond(table: sa.TableClause) -> sa.ColumnElement[bool]:
    """The rows of `table` that are about another subnet than the one kept."""
    kept = _kept()
    here = (kept.c.share_server_id == table.c.share_server_id) & (
        kept.c.share_network_subnet_id == table.c.share_network_subnet_id
    )
    return ~sa.exists().where(here)


def _judge_loss() -> None:
    """Warn of each server that loses something; raise Conflict unless that is allowed. Deleted
    servers have no rows: each row is a live one."""
    lost: dict[str, list[str]] = {}
    for table, column in (
        (mappings, mappings.c.share_network_subnet_id),
        (allocations, allocations.c.ip_address),
    ):
        for server_id, what in op.get_bind().execute(
            sa.select(table.c.share_server_id, column).where(_beyond(table)).order_by(column)
        ):
            lost.setdefault(server_id, []).append(what)
    for server_id, what in sorted(lost.items()):
        logger.warning(
            "Share server %s has more than one subnet: the downgrade takes away the subnets and "
            "addresses %s",
            server_id,
            ", ".join(what),
        )
    if lost and not context.config.attributes.get("allow_data_loss", False):
        raise Conflict(
            "The downgrade would take subnets and addresses from share servers: "
            f"{', '.join(sorted(lost))}. Nothing was changed."
        )


def _fill_down() -> None:
    op.execute(allocations.delete().where(_beyond(allocations)))
    kept = _kept()
    subnet = (
        sa.select(kept.c.share_network_subnet_id)
        .where(kept.c.share_server_id == servers.c.id)
        .scalar_subquery()
    )
    op.execute(servers.update().values(share_network_subnet_id=subnet))
