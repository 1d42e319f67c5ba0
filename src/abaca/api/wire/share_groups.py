"""Share groups over the wire."""

from __future__ import annotations

import msgspec

from abaca.api.wire.bodies import Body, Identifier, Text
from abaca.api.wire.fields import SUMMARY, Field, View, time_field
from abaca.api.wire.schemas import LINKS, TEXT, TEXTS

SHARE_GROUP = View(
    "ShareGroup",
    Field("id", level=SUMMARY, type=TEXT),
    Field("name", level=SUMMARY),
    Field("links", level=SUMMARY, type=LINKS),
    time_field("created_at"),
    Field("status"),
    Field("description"),
    Field("project_id", type=TEXT),
    Field("host"),
    Field("share_group_type_id"),
    Field("source_share_group_snapshot_id"),
    Field("share_network_id"),
    Field("share_types", type=TEXTS),
    Field("availability_zone", since=34),
    Field("consistent_snapshot_support", since=34),
    Field("share_server_id", admin=True),
)


class ShareGroupCreate(Body, forbid_unknown_fields=True):
    """`{"share_group": …}` of a new share group. Types are given by their ids."""

    name: Text | None = None
    description: Text | None = None
    share_group_type_id: Identifier | None = None
    share_types: list[Identifier] | None = None
    share_network_id: Identifier | None = None
    availability_zone: Identifier | None = None
    source_share_group_snapshot_id: Identifier | None = None


class ShareGroupUpdate(Body, forbid_unknown_fields=True):
    """`{"share_group": …}` of a change; what is absent stays."""

    name: Text | msgspec.UnsetType | None = msgspec.UNSET
    description: Text | msgspec.UnsetType | None = msgspec.UNSET
