"""Resource locks over the wire. Clients check that there are exactly these members."""

from __future__ import annotations

from typing import Annotated

import msgspec

from abaca.api.wire.bodies import Body, Identifier
from abaca.api.wire.fields import Field, View, time_field
from abaca.api.wire.schemas import LINKS, TEXT

LONGEST_REASON = 1023

Reason = Annotated[str, msgspec.Meta(max_length=LONGEST_REASON)]

RESOURCE_LOCK = View(
    "ResourceLock",
    Field("id", type=TEXT),
    Field("user_id"),
    Field("project_id", type=TEXT),
    Field("lock_context"),
    Field("resource_type"),
    Field("resource_id"),
    Field("resource_action"),
    Field("lock_reason"),
    time_field("created_at"),
    time_field("updated_at"),
    Field("links", type=LINKS),
)


class LockCreate(Body):
    """`{"resource_lock": …}` of a new lock."""

    resource_id: Identifier
    resource_type: Identifier = "share"
    resource_action: Identifier | None = None
    lock_reason: Reason | None = None


class LockUpdate(Body):
    """`{"resource_lock": …}` of a change; what is absent stays."""

    resource_action: Identifier | None = None
    lock_reason: Reason | msgspec.UnsetType | None = msgspec.UNSET
