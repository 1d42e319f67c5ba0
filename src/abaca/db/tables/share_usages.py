"""What shares hold, as their back ends last measured it. A table of its own: measuring waits for no
row that a request holds."""

from __future__ import annotations

import sqlalchemy as sa

from abaca.db.tables.registry import metadata

share_usages = sa.Table(
    "share_usages",
    metadata,
    # Of a share instance. No foreign key: inserting would wait for whoever holds that row.
    sa.Column("share_instance_id", sa.String(36), primary_key=True),
    sa.Column("service_host", sa.String(255), nullable=False, index=True),  # host@backend
    sa.Column("used_bytes", sa.BigInteger, nullable=False),
)
