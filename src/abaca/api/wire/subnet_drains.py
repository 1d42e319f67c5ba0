"""Bodies about share network subnets that drain."""

from __future__ import annotations

from typing import Any, Literal

from abaca.api.wire.bodies import Body, integer
from abaca.api.wire.fields import Field, View, time_field
from abaca.api.wire.schemas import FLAG, NUMBER_OR_NULL, TEXT, object_of
from abaca.domain.network_changes.subnet_drains import LONGEST_SECONDS
from abaca.errors import Invalid

_SERVER = object_of(id=TEXT, clients=NUMBER_OR_NULL, refuses_new_clients=FLAG)

REMOVAL = View(
    "ShareNetworkSubnetRemoval",
    Field("share_network_id", type=TEXT),
    Field("share_network_subnet_id", type=TEXT),
    time_field("started_at"),
    Field("deadline", type=NUMBER_OR_NULL),
    time_field("ends_at"),
    Field("at_deadline", type=TEXT),
    Field("obstacle"),
    Field("clients", type=NUMBER_OR_NULL),
    Field("refuses_new_clients", type=FLAG),
    Field("servers", admin=True, type={"type": "array", "items": _SERVER}),
)


class RemovalSet(Body):
    """Starts a drain: seconds to the deadline, and what happens then."""

    deadline: Any = None
    at_deadline: Literal["cancel", "force"] | None = None

    def seconds(self) -> int | None:
        """The deadline in seconds; None if it is not given. Raises Invalid if it is not a number in
        range."""
        if self.deadline is None:
            return None
        complaint = f"The deadline must be a whole number of seconds from 1 to {LONGEST_SECONDS}."
        seconds = integer(self.deadline, complaint)
        if not 1 <= seconds <= LONGEST_SECONDS:
            raise Invalid(complaint)
        return seconds
