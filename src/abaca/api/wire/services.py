"""Services, pools and availability zones over the wire."""

from __future__ import annotations

from abaca.api.wire.bodies import Body, Identifier, Text
from abaca.api.wire.fields import DETAIL, SUMMARY, Field, View, time_field
from abaca.api.wire.schemas import ANYTHING, FLAG, NUMBER, TEXT

SERVICE = View(
    "Service",
    Field("id", type=NUMBER),
    Field("binary"),
    Field("host"),
    Field("zone"),
    Field("status"),
    Field("state"),
    time_field("updated_at"),
    Field("disabled_reason", since=83),
    Field("ensuring", since=86, type=FLAG),
)

POOL = View(
    "Pool",
    Field("name", level=SUMMARY),
    Field("host", level=SUMMARY),
    Field("backend", level=SUMMARY),
    Field("pool", level=SUMMARY),
    Field("capabilities", level=DETAIL, type=ANYTHING),
)

AVAILABILITY_ZONE = View(
    "AvailabilityZone",
    Field("id", type=TEXT),
    Field("name"),
    time_field("created_at"),
    time_field("updated_at"),
)


class ServiceChoice(Body):
    """The body of enable and disable: which service."""

    host: Identifier
    binary: Identifier
    disabled_reason: Text | None = None  # since 2.83


class ServiceEnsure(Body):
    """The body of ensure-shares: which back end, by itself or as `{"ensure_shares": {"host":
    …}}`."""

    host: Identifier
