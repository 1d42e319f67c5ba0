"""User messages over the wire. Clients check that there are exactly these members."""

from __future__ import annotations

from abaca.api.wire.fields import Field, View, time_field
from abaca.api.wire.schemas import LINKS, TEXT

MESSAGE = View(
    "Message",
    Field("id", type=TEXT),
    Field("project_id", type=TEXT),
    Field("action_id"),
    Field("detail_id"),
    Field("message_level"),
    time_field("created_at"),
    time_field("expires_at"),
    Field("request_id"),
    Field("resource_type"),
    Field("resource_id"),
    Field("user_message"),
    Field("links", type=LINKS),
)
