"""Resource locks: what may not be done with a share or an access rule, and who locked it.
They are deleted with what they lock."""

from __future__ import annotations

import sqlalchemy as sa

from abaca.db.tables.registry import metadata, reference, timestamps, uuid_key

resource_locks = sa.Table(
    "resource_locks",
    metadata,
    uuid_key(),
    sa.Column("project_id", sa.String(255), nullable=False, index=True),
    sa.Column("user_id", sa.String(255), nullable=False),
    # user, service or admin: what its user was
    sa.Column("lock_context", sa.String(16), nullable=False),
    # What is locked: one of them.
    reference("share_id", "shares", nullable=True, ondelete="CASCADE"),
    reference("access_rule_id", "share_access_rules", nullable=True, ondelete="CASCADE"),
    # delete, or, of an access rule, show
    sa.Column("resource_action", sa.String(16), nullable=False),
    sa.Column("lock_reason", sa.String(1023)),
    # of a share: the rule's lock that it was made with, and goes with
    reference("cause_id", "resource_locks", nullable=True, ondelete="CASCADE"),
    *timestamps(),
    sa.CheckConstraint(
        "(share_id IS NULL) <> (access_rule_id IS NULL)", name="ck_resource_locks_one_resource"
    ),
)
