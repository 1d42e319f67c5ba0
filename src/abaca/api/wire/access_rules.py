"""Access rules over the wire."""

from __future__ import annotations

from typing import Any

from abaca.api.wire.bodies import Body, Identifier
from abaca.api.wire.fields import SHOW, Field, View, time_field
from abaca.api.wire.resource_locks import Reason
from abaca.api.wire.schemas import MAP, TEXT
from abaca.errors import Invalid

_BEFORE_28 = {
    "queued_to_apply": "new",
    "applying": "new",
    "queued_to_deny": "deleting",
    "denying": "deleting",
}


def _state_before_28(state: str) -> str:
    return _BEFORE_28.get(state, state)


ACCESS_RULE = View(
    "AccessRule",
    Field("id", type=TEXT),
    Field("share_id", level=SHOW),
    Field("access_type"),
    Field("access_to"),
    Field("access_level"),
    Field("state", convert=_state_before_28, until=27),
    Field("state", since=28),
    Field("access_key", since=21),
    time_field("created_at", since=33),
    time_field("updated_at", since=33),
    Field("metadata", since=45, type=MAP),
)


class AccessAllow(Body):
    """Arguments of allow_access."""

    access_type: Identifier
    access_to: Identifier
    access_level: Identifier | None = None
    metadata: dict[str, str] | None = None
    lock_visibility: Any = None
    lock_deletion: Any = None
    lock_reason: Reason | None = None


class AccessUpdate(Body):
    """`{"update_access": …}`."""

    access_level: Identifier


class AccessDeny(Body):
    """Arguments of deny_access."""

    access_id: Identifier
    unrestrict: Any = None


def require_known(access_type: str, access_to: str, version: int) -> None:
    """Raises Invalid for a kind of target that the version does not know."""
    if access_type == "cephx" and version < 13:
        raise Invalid("Invalid access rule: access type cephx needs version 2.13.")
    if access_type == "ip" and ":" in access_to and version < 38:
        raise Invalid(f"Invalid access rule: {access_to}: IPv6 addresses need version 2.38.")
