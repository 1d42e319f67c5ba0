"""Export locations over the wire."""

from __future__ import annotations

from abaca.api.wire.fields import SHOW, Field, View, time_field
from abaca.api.wire.schemas import FLAG, MAP, TEXT

EXPORT_LOCATION = View(
    "ExportLocation",
    Field("id", type=TEXT),
    Field("path"),
    Field("preferred", since=14, type=FLAG),
    Field("metadata", since=87, type=MAP),
    Field("share_instance_id", admin=True),
    Field("is_admin_only", admin=True, type=FLAG),
    time_field("created_at", level=SHOW),
    time_field("updated_at", level=SHOW),
)
