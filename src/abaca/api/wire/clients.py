"""Connected clients over the wire: an extension, which Manila does not have."""

from __future__ import annotations

from abaca.api.wire.fields import Field, View, time_field
from abaca.api.wire.schemas import FLAG, FLAG_OR_NULL, NUMBER, NUMBER_OR_NULL, TEXT

CLIENT = View(
    "Client",
    Field("address"),
    Field("is_address_masked", type=FLAG),
    Field("server_address", type=TEXT),
    Field("share_network_subnet_id"),
    Field("is_routed", type=FLAG_OR_NULL),
    Field("protocol", type=TEXT),
    Field("protocol_version"),
    Field("connections", type=NUMBER),
    time_field("last_active_at"),
    Field("open_files", type=NUMBER_OR_NULL),
    Field("locks", type=NUMBER_OR_NULL),
)
