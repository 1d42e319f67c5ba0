"""Share group types over the wire."""

from __future__ import annotations

from typing import Any

import msgspec

from abaca.api.wire import bodies
from abaca.api.wire.bodies import Body, RequiredText
from abaca.api.wire.fields import Field, View
from abaca.api.wire.schemas import FLAG, MAP, TEXT, TEXTS

SHARE_GROUP_TYPE = View(
    "ShareGroupType",
    Field("id", type=TEXT),
    Field("name", type=TEXT),
    Field("is_public", type=FLAG),
    Field("group_specs", type=MAP),
    Field("share_types", type=TEXTS),
    Field("is_default", since=46, type=FLAG),
)


class ShareGroupTypeCreate(Body):
    """`{"share_group_type": …}` of a new type. `share_types`: ids or names."""

    name: str | None = None
    share_types: list[RequiredText] | None = None
    group_specs: dict[str, Any] | None = None
    is_public: Any = msgspec.UNSET

    @property
    def wanted_is_public(self) -> bool:
        """Public unless said otherwise. Raises Invalid for what is not a boolean."""
        return self.is_public is msgspec.UNSET or bodies.boolean(self.is_public)
