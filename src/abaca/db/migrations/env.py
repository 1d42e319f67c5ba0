"""Alembic runs this file for each migration, on the connection and in the transaction that
`abaca.db.migrations` has opened."""

from __future__ import annotations

from alembic import context

from abaca.db.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=True,
    on_version_apply=context.config.attributes.get("applied"),
)
with context.begin_transaction():
    context.run_migrations()
