"""Whether a share network subnet drains: its project wants it to leave the share servers in use.

Meanwhile anything new is placed as if the subnet did not exist. How a drain begins and ends:
`network_changes/subnet_drains.py`.
"""

from __future__ import annotations

from abaca.db.tables import share_network_subnets

DRAINS = share_network_subnets.c.removal_started_at.is_not(None)
"""The condition that a subnet drains."""

METADATA_KEY = "abaca:drain"
"""Shown in the metadata of a subnet that drains, and only there; to set it starts a drain."""
METADATA_VALUE = "true"
