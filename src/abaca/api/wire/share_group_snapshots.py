"""Snapshots of share groups over the wire."""

from __future__ import annotations

import msgspec

from abaca.api.wire.bodies import Body, Identifier, Text
from abaca.api.wire.fields import SUMMARY, Field, View, time_field
from abaca.api.wire.schemas import LINKS, NUMBER, TEXT, Schema, object_of

_MEMBERS: Schema = {
    "type": "array",
    "items": object_of(id=TEXT, size=NUMBER, share_id=TEXT),
}

SHARE_GROUP_SNAPSHOT = View(
    "ShareGroupSnapshot",
    Field("id", level=SUMMARY, type=TEXT),
    Field("name", level=SUMMARY),
    Field("links", level=SUMMARY, type=LINKS),
    time_field("created_at"),
    Field("status"),
    Field("description"),
    Field("project_id", type=TEXT),
    Field("share_group_id", type=TEXT),
    Field("members", type=_MEMBERS),
)

SHARE_GROUP_SNAPSHOT_MEMBER = View(
    "ShareGroupSnapshotMember",
    Field("id", type=TEXT),
    time_field("created_at"),
    Field("size", type=NUMBER),
    Field("share_protocol", "share_proto", type=TEXT),
    Field("project_id", type=TEXT),
    Field("share_group_snapshot_id", type=TEXT),
    Field("share_id", type=TEXT),
)


class ShareGroupSnapshotCreate(Body, forbid_unknown_fields=True):
    """`{"share_group_snapshot": …}` of a new group snapshot."""

    share_group_id: Identifier
    name: Text | None = None
    description: Text | None = None


class ShareGroupSnapshotUpdate(Body, forbid_unknown_fields=True):
    """`{"share_group_snapshot": …}` of a change; what is absent stays."""

    name: Text | msgspec.UnsetType | None = msgspec.UNSET
    description: Text | msgspec.UnsetType | None = msgspec.UNSET
