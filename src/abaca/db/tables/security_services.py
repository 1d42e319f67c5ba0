"""Security services, and which share networks use them."""

from __future__ import annotations

import sqlalchemy as sa

from abaca.db.tables.registry import metadata, reference, timestamps, uuid_key

security_services = sa.Table(
    "security_services",
    metadata,
    uuid_key(),
    sa.Column("project_id", sa.String(255), nullable=False, index=True),
    sa.Column("type", sa.String(32), nullable=False),  # ldap, kerberos, active_directory
    sa.Column("name", sa.String(255)),
    sa.Column("description", sa.String(255)),
    sa.Column("dns_ip", sa.String(255)),
    sa.Column("server", sa.String(255)),
    sa.Column("domain", sa.String(255)),
    sa.Column("ou", sa.String(255)),
    sa.Column("default_ad_site", sa.String(255)),
    sa.Column("user", sa.String(255)),
    sa.Column("encrypted_password", sa.Text),  # by abaca.db.encryption; never a clear one
    *timestamps(),
)

share_network_security_service_association = sa.Table(
    "share_network_security_service_association",
    metadata,
    reference("share_network_id", "share_networks", ondelete="CASCADE"),
    reference("security_service_id", "security_services"),
    sa.Column("created_at", sa.DateTime, nullable=False),
    sa.PrimaryKeyConstraint("share_network_id", "security_service_id"),
)
