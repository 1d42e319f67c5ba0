"""What drivers keep beside their storage, by back end, subject and key. What that is only the
driver knows."""

from __future__ import annotations

import sqlalchemy as sa

from abaca.db.tables.registry import metadata

driver_data = sa.Table(
    "driver_data",
    metadata,
    sa.Column("service_host", sa.String(255), primary_key=True),  # host@backend
    sa.Column("subject", sa.String(255), primary_key=True),
    sa.Column("key", sa.String(255), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)
