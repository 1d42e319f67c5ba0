"""Export locations over the wire."""

from __future__ import annotations

from abaca.api.wire.fields import SHOW, Field, View, time_field

EXPORT_LOCATION = View(
    Field("id"),
    Field("path"),
    Field("preferred", since=14),
    Field("metadata", since=87),
    Field("share_instance_id", admin=True),
    Field("is_admin_only", admin=True),
    time_field("created_at", level=SHOW),
    time_field("updated_at", level=SHOW),
)
