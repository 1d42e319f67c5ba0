"""Security services over the wire."""

from __future__ import annotations

import msgspec

from abaca.api.wire.bodies import Body, Identifier, Text
from abaca.api.wire.fields import DETAIL, SUMMARY, Constant, Field, View, time_field
from abaca.api.wire.schemas import TEXT, TEXTS

SECURITY_SERVICE = View(
    "SecurityService",
    Field("id", level=SUMMARY, type=TEXT),
    Field("name", level=SUMMARY),
    Field("type", level=SUMMARY),
    Field("status", Constant("new"), level=SUMMARY),
    Field("project_id", type=TEXT),
    Field("description"),
    time_field("created_at"),
    time_field("updated_at"),
    Field("dns_ip"),
    Field("server"),
    Field("domain"),
    Field("user"),
    Field("password"),
    Field("ou", since=44),
    Field("default_ad_site", since=76),
)

# Only the detailed list names the networks that use it; one by itself does not.
IN_DETAIL = View(
    "SecurityService", *SECURITY_SERVICE.fields, Field("share_networks", level=DETAIL, type=TEXTS)
)


class SecurityServiceCreate(Body):
    """`{"security_service": …}` of a new one."""

    type: str = ""
    name: Text | None = None
    description: Text | None = None
    dns_ip: Text | None = None
    server: Text | None = None
    domain: Text | None = None
    user: Text | None = None
    password: Text | None = None
    ou: Text | None = None
    default_ad_site: Text | None = None


class SecurityServiceUpdate(Body):
    """`{"security_service": …}` of a change; what is absent stays."""

    type: str | msgspec.UnsetType = msgspec.UNSET
    name: Text | msgspec.UnsetType | None = msgspec.UNSET
    description: Text | msgspec.UnsetType | None = msgspec.UNSET
    dns_ip: Text | msgspec.UnsetType | None = msgspec.UNSET
    server: Text | msgspec.UnsetType | None = msgspec.UNSET
    domain: Text | msgspec.UnsetType | None = msgspec.UNSET
    user: Text | msgspec.UnsetType | None = msgspec.UNSET
    password: Text | msgspec.UnsetType | None = msgspec.UNSET
    ou: Text | msgspec.UnsetType | None = msgspec.UNSET
    default_ad_site: Text | msgspec.UnsetType | None = msgspec.UNSET


class Attach(Body):
    """Arguments of add_security_service, remove_security_service and add_security_service_check."""

    security_service_id: Identifier
    reset_operation: bool | None = None


class Exchange(Body):
    """Arguments of update_security_service and update_security_service_check."""

    current_service_id: Identifier
    new_service_id: Identifier
    reset_operation: bool | None = None
