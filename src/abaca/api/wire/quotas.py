"""Quotas and limits over the wire: which resources have a limit since which version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from abaca.api.wire import bodies
from abaca.errors import Invalid

SINCE = {
    "shares": 0, "gigabytes": 0, "snapshots": 0, "snapshot_gigabytes": 0, "share_networks": 0,
     "share_groups": 40, "share_group_snapshots": 40,
    "share_replicas": 53, "replica_gigabytes": 53, "per_share_gigabytes": 62, "backups": 80,
     "backup_gigabytes": 80, "encryption_keys": 90,
}  # fmt: skip
# a share type has nothing to do with them
OF_PROJECTS_ONLY = ("share_networks", "share_groups", "share_group_snapshots")
_NOT_LIMITS = ("force", "tenant_id", "project_id", "class_name", "id")

# How /limits calls each limit and what is in use of it, since which version.
_ABSOLUTE = (
    ("shares", "maxTotalShares", "totalSharesUsed", 0),
    ("gigabytes", "maxTotalShareGigabytes", "totalShareGigabytesUsed", 0),
    ("snapshots", "maxTotalShareSnapshots", "totalShareSnapshotsUsed", 0),
    ("snapshot_gigabytes", "maxTotalSnapshotGigabytes", "totalSnapshotGigabytesUsed", 0),
    ("share_networks", "maxTotalShareNetworks", "totalShareNetworksUsed", 0),
    ("share_replicas", "maxTotalShareReplicas", "totalShareReplicasUsed", 53),
    ("replica_gigabytes", "maxTotalReplicaGigabytes", "totalReplicaGigabytesUsed", 53),
    ("share_groups", "maxTotalShareGroups", "totalShareGroupsUsed", 58),
    ("share_group_snapshots", "maxTotalShareGroupSnapshots", "totalShareGroupSnapshotsUsed", 58),
    ("backups", "maxTotalShareBackups", "totalShareBackupsUsed", 80),
    ("backup_gigabytes", "maxTotalBackupGigabytes", "totalBackupGigabytesUsed", 80),
)


def resources(version: int, *, of_share_type: bool = False) -> list[str]:
    """The resources that have a limit at that version."""
    return [
        name
        for name, since in SINCE.items()
        if since <= version and not (of_share_type and name in OF_PROJECTS_ONLY)
    ]


def read_limits(body: Mapping[str, Any], known: list[str]) -> dict[str, int]:
    """The limits that a body sets. Raises Invalid for what is not a known resource's, and for what
    is no limit."""
    given = {name: value for name, value in body.items() if name not in _NOT_LIMITS}
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise Invalid(f"Bad key(s) in quota set: {', '.join(unknown)}.")
    limits = {
        name: bodies.integer(value, f"Quota limit for {name} must be an integer.")
        for name, value in given.items()
    }
    if any(limit < -1 for limit in limits.values()):
        raise Invalid("Quota limit must be -1 or greater.")
    return limits


def absolute(limits: Mapping[str, int], used: Mapping[str, int], version: int) -> dict[str, int]:
    """The members of `limits.absolute`."""
    shown = [row for row in _ABSOLUTE if row[3] <= version]
    return {most: limits[name] for name, most, _, _ in shown} | {
        total: used.get(name, 0) for name, _, total, _ in shown
    }
