"""Quotas, and what is in use by the shares and share networks that are there; what an extension in
progress has claimed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_SHARES = """
    INSERT INTO quota_usages (project_id, user_id, share_type_id, shares, gigabytes, share_networks)
    SELECT s.project_id, {user}, {share_type}, count(*), sum(s.size), 0
    FROM shares s JOIN share_instances i ON i.share_id = s.id WHERE {which} GROUP BY 1, 2, 3
"""
_NETWORKS = """
    INSERT INTO quota_usages (project_id, user_id, share_type_id, shares, gigabytes, share_networks)
    SELECT project_id, {user}, '', 0, 0, count(*)
    FROM share_networks WHERE {which} AND NOT is_deleting GROUP BY 1, 2
    ON CONFLICT (project_id, user_id, share_type_id)
    DO UPDATE SET share_networks = excluded.share_networks
"""


def _scope() -> list[sa.Column[str]]:
    return [
        sa.Column("project_id", sa.String(255), nullable=False),
        sa.Column("user_id", sa.String(255), nullable=False),
        sa.Column("share_type_id", sa.String(36), nullable=False),
    ]


def _limit() -> list[sa.Column[object]]:
    return [
        sa.Column("resource", sa.String(64), nullable=False),
        sa.Column("hard_limit", sa.Integer, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("updated_at", sa.DateTime),
    ]


def upgrade() -> None:
    op.add_column("shares", sa.Column("growing_to", sa.Integer))
    key = ("project_id", "user_id", "share_type_id")
    op.create_table(
        "quotas", *_scope(), *_limit(), sa.PrimaryKeyConstraint(*key, "resource", name="pk_quotas")
    )
    op.create_table(
        "quota_classes",
        sa.Column("class_name", sa.String(255), nullable=False),
        *_limit(),
        sa.PrimaryKeyConstraint("class_name", "resource", name="pk_quota_classes"),
    )
    counted = [
        sa.Column(resource, sa.BigInteger, nullable=False)
        for resource in ("shares", "gigabytes", "share_networks")
    ]
    op.create_table(
        "quota_usages", *_scope(), *counted, sa.PrimaryKeyConstraint(*key, name="pk_quota_usages")
    )
    for user, share_type, which in (
        ("''", "''", "true"),
        ("s.user_id", "''", "s.user_id <> ''"),
        ("''", "i.share_type_id", "true"),
    ):
        op.execute(_SHARES.format(user=user, share_type=share_type, which=which))
    for user, which in (("''", "true"), ("user_id", "user_id <> ''")):
        op.execute(_NETWORKS.format(user=user, which=which))


def downgrade() -> None:
    for table in ("quota_usages", "quota_classes", "quotas"):
        op.drop_table(table)
    with op.batch_alter_table("shares") as batch:
        batch.drop_column("growing_to")
