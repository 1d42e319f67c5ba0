"""Share transfers over the wire."""

from __future__ import annotations

from typing import Any

from abaca.api.wire.bodies import Body, Identifier, RequiredText, Text
from abaca.api.wire.fields import SUMMARY, Constant, Field, View, time_field
from abaca.api.wire.schemas import FLAG, LINKS, TEXT

_FIELDS = (
    Field("id", level=SUMMARY, type=TEXT),
    Field("name", level=SUMMARY),
    Field("resource_type", level=SUMMARY, type=TEXT),
    Field("resource_id", level=SUMMARY, type=TEXT),
    Field("links", level=SUMMARY, type=LINKS),
    time_field("created_at"),
    Field("source_project_id", type=TEXT),
    # a transfer that was accepted is gone
    Field("destination_project_id", Constant(None)),
    Field("accepted", Constant(False), type=FLAG),
    time_field("expires_at"),
)
SHARE_TRANSFER = View("ShareTransfer", *_FIELDS)
OFFERED_SHARE_TRANSFER = View("OfferedShareTransfer", *_FIELDS, Field("auth_key", type=TEXT))
"""As its creation shows it: the key is told once."""


class TransferCreate(Body):
    """`{"transfer": …}` of a new transfer."""

    share_id: Identifier | None = None
    name: Text | None = None


class TransferAccept(Body):
    """`{"accept": …}`."""

    auth_key: RequiredText
    clear_access_rules: Any = False
