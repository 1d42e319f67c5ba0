"""Share servers over the wire. All their calls are for administrators."""

from __future__ import annotations

from typing import Any

from abaca.api.wire.bodies import Body, Identifier
from abaca.api.wire.fields import SHOW, Constant, Field, Row, View, time_field
from abaca.api.wire.schemas import FLAG, MAP, TEXT, TEXTS


def _first_subnet(server: Row) -> str | None:
    ids: list[str] = server["share_network_subnet_ids"]
    return ids[0] if ids else None


SHARE_SERVER = View(
    "ShareServer",
    Field("id", type=TEXT),
    Field("project_id", type=TEXT),
    time_field("updated_at"),
    Field("status"),
    Field("host"),
    Field("share_network_name"),
    Field("share_network_id"),
    time_field("created_at", level=SHOW),
    Field("backend_details", level=SHOW, type=MAP),
    Field("is_auto_deletable", since=49, type=FLAG),
    Field("identifier", since=49),
    Field("share_network_subnet_id", _first_subnet, since=51, until=69),
    Field("task_state", since=57),
    Field("source_share_server_id", since=57),
    Field("security_service_update_support", since=63, type=FLAG),
    Field("encryption_key_ref", Constant(None), since=90),
    Field("share_network_subnet_ids", since=70, type=TEXTS),
    Field("network_allocation_update_support", since=70, type=FLAG),
    # not Manila's
    Field("share_server_subnet_removal_support", since=70, type=FLAG),
    Field("status_reason", since=70, level=SHOW),
    Field("dns_name", lambda server: server.get("dns_name"), since=70, level=SHOW),
)


class ServerManage(Body):
    """`{"share_server": …}` of one that is to be managed. What is missing is reported as Manila
    reports it."""

    host: Identifier | None = None
    share_network_id: Identifier | None = None
    identifier: Identifier | None = None
    share_network_subnet_id: Identifier | None = None
    driver_options: dict[str, Any] | None = None


class Unmanage(Body):
    """Arguments of the action unmanage of a share server."""

    force: Any = None
