"""Quotas: limits set by administrators, and what is in use.

A scope is a project, one of its users or one of its share types: project_id with user_id and
share_type_id, each "" where it is not meant.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from abaca.db.tables.registry import metadata, timestamps


def _scope() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("project_id", sa.String(255), primary_key=True),
        sa.Column("user_id", sa.String(255), primary_key=True),
        sa.Column("share_type_id", sa.String(36), primary_key=True),
    )


quotas = sa.Table(
    "quotas",
    metadata,
    *_scope(),
    sa.Column("resource", sa.String(64), primary_key=True),
    sa.Column("hard_limit", sa.Integer, nullable=False),  # -1: none
    *timestamps(),
)

quota_classes = sa.Table(
    "quota_classes",
    metadata,
    sa.Column("class_name", sa.String(255), primary_key=True),  # "default" holds for every project
    sa.Column("resource", sa.String(64), primary_key=True),
    sa.Column("hard_limit", sa.Integer, nullable=False),
    *timestamps(),
)

# Changed in the transaction that makes or removes what is counted; the row of the project is what
# concurrent requests wait for.
quota_usages = sa.Table(
    "quota_usages",
    metadata,
    *_scope(),
    *[
        sa.Column(resource, sa.BigInteger, nullable=False)
        for resource in (
            "shares",
            "gigabytes",
            "share_networks",
            "snapshots",
            "snapshot_gigabytes",
            "share_groups",
            "share_group_snapshots",
            "backups",
            "backup_gigabytes",
        )
    ],
)
