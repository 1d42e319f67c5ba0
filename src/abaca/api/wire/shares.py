"""Shares and share instances over the wire."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from abaca.api.wire.bodies import Body, Identifier, Text
from abaca.api.wire.fields import SUMMARY, Constant, Field, Row, View, time_field
from abaca.api.wire.schemas import FLAG, LINKS, MAP, NUMBER, TEXT, TEXTS
from abaca.errors import Invalid

_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
MOST_HINTED = 27  # ids that a value of metadata has room for


def _first_location(share: Row) -> str | None:
    paths: list[str] = share["export_locations"]
    return paths[0] if paths else None


def _status_before_54(status: str) -> str:
    return "creating" if status == "creating_from_snapshot" else status


def _rules_status_before_28(status: str) -> str:
    return "out_of_sync" if status == "syncing" else status


def _is_soft_deleted(share: Row) -> bool:
    return share["scheduled_to_be_deleted_at"] is not None


def _snapshots_inherit_rules(share: Row) -> bool:
    return bool(share.get("snapshot_inherit_share_access_support"))


def _blank_for_none(host: str | None) -> str:
    return host or ""


SHARE = View(
    "Share",
    Field("id", level=SUMMARY, type=TEXT),
    Field("name", "display_name", level=SUMMARY),
    Field("links", level=SUMMARY, type=LINKS),
    Field("size", type=NUMBER),
    Field("availability_zone"),
    time_field("created_at"),
    Field("status", convert=_status_before_54, until=53),
    Field("status", since=54),
    Field("description", "display_description"),
    Field("project_id", type=TEXT),
    Field("snapshot_id"),
    Field("share_network_id"),
    Field("share_proto"),
    Field("metadata", type=MAP),
    Field("share_type", "share_type_name", until=5),
    Field("share_type", since=6),
    Field("share_type_name", since=6),
    Field("volume_type", "share_type_name"),
    Field("is_public", type=FLAG),
    Field("export_location", _first_location, until=8),
    Field("export_locations", until=8, type=TEXTS),
    Field("snapshot_support", since=2, type=FLAG),
    Field("task_state", since=5),
    Field("access_rules_status", convert=_rules_status_before_28, since=10, until=27),
    Field("access_rules_status", since=28),
    Field("replication_type", since=11),
    Field("has_replicas", Constant(False), since=11, type=FLAG),
    Field("user_id", since=16),
    Field("create_share_from_snapshot_support", since=24, type=FLAG),
    Field("revert_to_snapshot_support", since=27, type=FLAG),
    Field("share_group_id", since=31),
    Field("source_share_group_snapshot_member_id", since=31),
    Field("mount_snapshot_support", since=32, type=FLAG),
    Field("progress", since=54),
    Field("is_soft_deleted", _is_soft_deleted, since=69, type=FLAG),
    time_field("scheduled_to_be_deleted_at", since=69),
    Field("source_backup_id", Constant(None), since=80),
    Field("encryption_key_ref", Constant(None), since=90),
    Field("snapshot_inherit_share_access_support", _snapshots_inherit_rules, since=99, type=FLAG),
    Field("share_server_id", admin=True),
    Field("host", convert=_blank_for_none, admin=True),
)


SHARE_INSTANCE = View(
    "ShareInstance",
    Field("id", type=TEXT),
    Field("share_id"),
    Field("availability_zone"),
    time_field("created_at"),
    Field("host", convert=_blank_for_none),
    Field("status", convert=_status_before_54, until=53),
    Field("status", since=54),
    Field("share_network_id"),
    Field("share_server_id"),
    Field("export_location", _first_location, until=8),
    Field("export_locations", until=8, type=TEXTS),
    Field("access_rules_status", convert=_rules_status_before_28, since=10, until=27),
    Field("access_rules_status", since=28),
    Field("replica_state", Constant(None), since=11),
    Field("share_type_id", since=22),
    Field("cast_rules_to_readonly", Constant(False), since=30, type=FLAG),
    Field("progress", since=54),
    time_field("updated_at", since=71),
)


class ShareCreate(Body):
    """`{"share": …}` of a new share."""

    share_proto: Identifier
    size: Any
    name: Text | None = None
    display_name: Text | None = None
    description: Text | None = None
    display_description: Text | None = None
    share_type: Identifier | None = None
    volume_type: Identifier | None = None
    snapshot_id: Identifier | None = None
    share_network_id: Identifier | None = None
    availability_zone: Identifier | None = None
    is_public: Any = None
    metadata: dict[str, str] | None = None
    share_group_id: Identifier | None = None
    scheduler_hints: dict[str, Any] | None = None
    mount_point_name: Identifier | None = None
    encryption_key_ref: Identifier | None = None


class ShareManage(Body):
    """`{"share": …}` of one that is to be managed. What is missing is reported as Manila reports
    it; a path may be an export location."""

    service_host: Identifier | None = None
    export_path: str | dict[str, Any] | None = None
    protocol: Identifier | None = None
    share_type: Identifier | None = None
    share_server_id: Identifier | None = None
    name: Text | None = None
    display_name: Text | None = None
    description: Text | None = None
    display_description: Text | None = None
    is_public: Any = None
    driver_options: dict[str, Any] | None = None
    mount_point_name: Identifier | None = None


class ShareUpdate(Body):
    """`{"share": …}` of a change; what is absent stays."""

    display_name: Text | msgspec.UnsetType | None = msgspec.UNSET
    display_description: Text | msgspec.UnsetType | None = msgspec.UNSET
    is_public: Any = msgspec.UNSET


class NewSize(Body):
    """Arguments of extend and shrink."""

    new_size: Any
    force: Any = None


def same_or_none(first: str | None, second: str | None) -> str | None:
    """The one of two spellings of a member that is given; empty text counts as not given."""
    return first or second or None


def share_ids(hint: str, value: Any) -> tuple[str, ...]:
    """The ids in a scheduler hint: text with commas between. Raises Invalid for anything else and
    for more than a share has room for."""
    if not isinstance(value, str):
        raise Invalid(f"The hint {hint} must be text: ids of shares, with commas between.")
    ids = dict.fromkeys(part.strip().lower() for part in value.split(",") if part.strip())
    for each in ids:
        if not _UUID.fullmatch(each):
            raise Invalid(f"The hint {hint} must hold ids of shares; '{each[:64]}' is not one.")
    if len(ids) > MOST_HINTED:
        raise Invalid(f"The hint {hint} names {len(ids)} shares; {MOST_HINTED} are possible.")
    return tuple(ids)
