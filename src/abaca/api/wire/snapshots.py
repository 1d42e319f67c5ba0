"""Snapshots and their export locations over the wire."""

from __future__ import annotations

from typing import Any

import msgspec

from abaca.api.wire.bodies import Body, Identifier, Text
from abaca.api.wire.fields import SHOW, SUMMARY, Field, View, time_field
from abaca.api.wire.schemas import FLAG, LINKS, MAP, NUMBER, NUMBER_OR_NULL, TEXT


def _null_for_zero(size: int) -> int | None:
    """Null while a snapshot is being taken over: its size is not known yet."""
    return size or None


SNAPSHOT = View(
    "Snapshot",
    Field("id", level=SUMMARY, type=TEXT),
    Field("name", level=SUMMARY),
    Field("links", level=SUMMARY, type=LINKS),
    Field("share_id"),
    Field("share_size", type=NUMBER),
    time_field("created_at"),
    Field("status"),
    Field("description"),
    Field("size", convert=_null_for_zero, type=NUMBER_OR_NULL),
    Field("share_proto"),
    Field("provider_location", since=12, admin=True),
    Field("user_id", since=17),
    Field("project_id", since=17, type=TEXT),
    Field("metadata", since=73, type=MAP),
)

SNAPSHOT_INSTANCE = View(
    "SnapshotInstance",
    Field("id", level=SUMMARY, type=TEXT),
    Field("snapshot_id", level=SUMMARY, type=TEXT),
    Field("status", level=SUMMARY),
    time_field("created_at"),
    time_field("updated_at"),
    Field("share_id", type=TEXT),
    Field("share_instance_id", type=TEXT),
    Field("progress"),
    Field("provider_location"),
)

SNAPSHOT_EXPORT_LOCATION = View(
    "SnapshotExportLocation",
    Field("id", type=TEXT),
    Field("path"),
    Field("links", type=LINKS),
    Field("share_snapshot_instance_id", admin=True),
    Field("is_admin_only", admin=True, type=FLAG),
    time_field("created_at", level=SHOW),
    time_field("updated_at", level=SHOW),
)


SNAPSHOT_ACCESS = View(
    "SnapshotAccess",
    Field("id", type=TEXT),
    Field("access_type", type=TEXT),
    Field("access_to", type=TEXT),
    Field("state", type=TEXT),
)


class SnapshotAccessAllow(Body):
    """Arguments of allow_access of a snapshot. A level is ignored: all are to read only."""

    access_type: Identifier
    access_to: Identifier


class SnapshotAccessDeny(Body):
    """Arguments of deny_access of a snapshot."""

    access_id: Identifier


class SnapshotCreate(Body):
    """`{"snapshot": …}` of a new snapshot."""

    share_id: Identifier
    name: Text | None = None
    display_name: Text | None = None
    description: Text | None = None
    display_description: Text | None = None
    force: Any = None
    metadata: dict[str, str] | None = None


class SnapshotManage(Body):
    """`{"snapshot": …}` of one that is to be managed. What is missing is reported as Manila reports
    it."""

    share_id: Identifier | None = None
    provider_location: str | None = None
    name: Text | None = None
    display_name: Text | None = None
    description: Text | None = None
    display_description: Text | None = None
    driver_options: dict[str, Any] | None = None
    metadata: dict[str, str] | None = None


class SnapshotUpdate(Body):
    """`{"snapshot": …}` of a change; what is absent stays."""

    display_name: Text | msgspec.UnsetType | None = msgspec.UNSET
    display_description: Text | msgspec.UnsetType | None = msgspec.UNSET


class Revert(Body):
    """Arguments of revert."""

    snapshot_id: Identifier
