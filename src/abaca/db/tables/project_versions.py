"""How often something of a project has changed: what pages that are open ask for."""

from __future__ import annotations

import sqlalchemy as sa

from abaca.db.tables.registry import metadata

# A project's version is the sum of its rows: several, so that its transactions seldom wait for each
# other to commit. That of the project '' belongs to everybody.
project_versions = sa.Table(
    "project_versions",
    metadata,
    sa.Column("project_id", sa.String(255), primary_key=True),
    sa.Column("slot", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("version", sa.BigInteger, nullable=False),
)
