"""Who is connected to share servers: questions to back ends, and for some seconds their answers. No
other table holds addresses of clients."""

from __future__ import annotations

import sqlalchemy as sa

from abaca.db.tables.registry import metadata, timestamps, uuid_key

client_inquiries = sa.Table(
    "client_inquiries",
    metadata,
    uuid_key(),
    sa.Column("digest", sa.String(64), nullable=False, index=True),  # of share_server_ids
    sa.Column("share_server_ids", sa.JSON, nullable=False),  # sorted
    sa.Column("hosts", sa.JSON, nullable=False),  # {host@backend: whether it has answered}
    # {share server id: values.Clients with the owners of networks; null: it cannot tell}
    sa.Column("answers", sa.JSON, nullable=False),
    sa.Column("expires_at", sa.DateTime, nullable=False, index=True),
    *timestamps(),
)
