"""Backups of shares over the wire."""

from __future__ import annotations

from typing import Any

import msgspec

from abaca.api.wire.bodies import Body, Identifier, Text
from abaca.api.wire.fields import SUMMARY, Field, View, time_field
from abaca.api.wire.schemas import NUMBER, TEXT

SHARE_BACKUP = View(
    "ShareBackup",
    Field("id", level=SUMMARY, type=TEXT),
    Field("name", level=SUMMARY),
    Field("share_id", level=SUMMARY, type=TEXT),
    Field("status", level=SUMMARY, type=TEXT),
    Field("description"),
    Field("size", type=NUMBER),
    time_field("created_at"),
    time_field("updated_at"),
    Field("availability_zone"),
    Field("progress", convert=str, type=TEXT),
    Field("restore_progress", convert=str, type=TEXT),
    Field("backup_type", since=85),
    Field("host", admin=True),
    Field("topic", admin=True),
)


class BackupCreate(Body):
    """`{"share_backup": …}` of a new backup."""

    share_id: Identifier | None = None
    name: Text | None = None
    description: Text | None = None
    backup_options: dict[str, Any] | None = None


class BackupUpdate(Body):
    """`{"share_backup": …}` of a change; what is absent stays."""

    display_name: Text | msgspec.UnsetType | None = msgspec.field(
        default=msgspec.UNSET, name="name"
    )
    display_description: Text | msgspec.UnsetType | None = msgspec.field(
        default=msgspec.UNSET, name="description"
    )
