"""Workers and what they offer: availability zones, worker hosts, services (one a back end), leases
(one a worker host) and pools."""

from __future__ import annotations

import sqlalchemy as sa

from abaca.db.tables.registry import metadata, reference, timestamps, uuid_key

availability_zones = sa.Table(
    "availability_zones",
    metadata,
    uuid_key(),
    sa.Column("name", sa.String(255), nullable=False, unique=True),
    *timestamps(),
)

services = sa.Table(
    "services",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("host", sa.String(255), nullable=False, unique=True),  # host@backend
    # the queue that its work goes to
    sa.Column("worker_host", sa.String(255), nullable=False, index=True),
    # several workers may serve it; `worker_host` is then the one that does what is about all of it
    sa.Column("is_shared", sa.Boolean, nullable=False, default=False),
    sa.Column("binary", sa.String(255), nullable=False),
    reference("availability_zone_id", "availability_zones"),
    sa.Column("disabled", sa.Boolean, nullable=False, default=False),
    sa.Column("disabled_reason", sa.String(255)),
    # its share servers are being looked after on an administrator's behalf
    sa.Column("ensuring", sa.Boolean, nullable=False, default=False),
    # why the back end is not ready although its worker lives
    sa.Column("state_reason", sa.String(1023)),
    sa.Column("is_ready", sa.Boolean, nullable=False, default=False),
    # that did not serve their clients at the worker's last look
    sa.Column("unserved_share_servers", sa.Integer, nullable=False, default=0),
    # since its worker started: a counter for /metrics
    sa.Column("share_server_restarts", sa.Integer, nullable=False, default=0),
    # when it was last asked what its shares hold (`share_usages`); null: it never told
    sa.Column("usage_measured_at", sa.DateTime),
    sa.Column("network_allocations_number", sa.Integer, nullable=False, default=1),
    # The driver's capabilities of these names; new share servers take them over.
    sa.Column("network_allocation_update_support", sa.Boolean, nullable=False, default=False),
    sa.Column("share_server_subnet_removal_support", sa.Boolean, nullable=False, default=False),
    sa.Column("security_service_update_support", sa.Boolean, nullable=False, default=False),
    # without another heartbeat the service counts as down from then on
    sa.Column("expires_at", sa.DateTime, nullable=False),
    *timestamps(),
)

# The workers that serve a shared back end, each with its last heartbeat.
service_workers = sa.Table(
    "service_workers",
    metadata,
    sa.Column("service_host", sa.String(255), primary_key=True),  # host@backend
    sa.Column("worker_host", sa.String(255), primary_key=True),
    sa.Column("is_ready", sa.Boolean, nullable=False),
    sa.Column("state_reason", sa.String(1023)),
    sa.Column("unserved_share_servers", sa.Integer, nullable=False),
    sa.Column("share_server_restarts", sa.Integer, nullable=False),
    # where the driver on another host sees whether this one lives: what it has named, one a line
    sa.Column("reached_at", sa.String(1023)),
    sa.Column("expires_at", sa.DateTime, nullable=False),
    *timestamps(),
)

hosts = sa.Table(
    "hosts",
    metadata,
    uuid_key(),
    sa.Column("name", sa.String(255), nullable=False, unique=True),  # services.worker_host
    # up, draining or fenced; whether its worker lives is in worker_leases
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("state_reason", sa.String(1023)),
    # Its end of tunnels to other hosts; null: it has none.
    sa.Column("tunnel_address", sa.String(64), unique=True),
    sa.Column("tunnel_port", sa.Integer),
    sa.Column("underlay_mtu", sa.Integer),
    # what its worker could not connect with other hosts, and why
    sa.Column("unreached", sa.String(1023)),
    # when another host found it dead and had its share servers taken over; null: never
    sa.Column("failed_over_at", sa.DateTime),
    # its worker does not live, and why it is not taken for dead by itself
    sa.Column("failover_refusal", sa.String(1023)),
    *timestamps(),
)

worker_leases = sa.Table(
    "worker_leases",
    metadata,
    sa.Column("host", sa.String(255), primary_key=True),
    sa.Column("machine", sa.String(255), nullable=False),
    # grows by one with each new holder: the fencing token
    sa.Column("token", sa.Integer, nullable=False),
    sa.Column("expires_at", sa.DateTime, nullable=False),
)

pools = sa.Table(
    "pools",
    metadata,
    sa.Column("host", sa.String(255), primary_key=True),  # host@backend#pool
    sa.Column("service_host", sa.String(255), nullable=False, index=True),  # host@backend
    sa.Column("stats", sa.JSON, nullable=False),  # values.PoolStats
    sa.Column("allocated_capacity_gb", sa.BigInteger, nullable=False, default=0),
    sa.Column("updated_at", sa.DateTime, nullable=False),
)
