"""Share networks and their subnets over the wire.

Up to 2.50 a share network shows the network of its default subnet as its own; since 2.51 it lists
its subnets. What a tenant need not know of the operator's network (its type and segmentation id) is
null for others than administrators.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from abaca.api.wire.bodies import Body, Identifier, Text
from abaca.api.wire.fields import DETAIL, SHOW, SUMMARY, Constant, Field, Row, View, time_field
from abaca.api.wire.schemas import FLAG, MAP, NUMBER_OR_NULL, TEXT

SUBNET = View(
    "ShareNetworkSubnet",
    Field("id", type=TEXT),
    Field("availability_zone"),
    Field("share_network_id", level=SHOW),
    Field("share_network_name", level=SHOW),
    time_field("created_at"),
    time_field("updated_at"),
    Field("neutron_net_id"),
    Field("neutron_subnet_id"),
    Field("network_type", admin=True),
    Field("network_type", Constant(None), admin=False),
    Field("segmentation_id", admin=True, type=NUMBER_OR_NULL),
    Field("segmentation_id", Constant(None), admin=False, type=NUMBER_OR_NULL),
    Field("ip_version", type=NUMBER_OR_NULL),
    Field("cidr"),
    Field("mtu", type=NUMBER_OR_NULL),
    Field("gateway"),
    Field("metadata", since=78, type=MAP),
)

_LAST_FLAT = 50


def _default_subnets(name: str) -> Callable[[Row], Any]:
    """Takes `name` from the first subnet without a zone; None when there is no such subnet."""

    def take(network: Row) -> Any:
        return next(
            (
                subnet[name]
                for subnet in network["share_network_subnets"]
                if subnet["availability_zone"] is None
            ),
            None,
        )

    return take


def _nested(version: int, is_admin: bool) -> Callable[[list[Row]], list[dict[str, Any]]]:
    """The subnets as `version` shows them."""

    def render(subnets: list[Row]) -> list[dict[str, Any]]:
        return SUBNET.render_all(subnets, version, level=DETAIL, is_admin=is_admin)

    return render


SHARE_NETWORK = View(
    "ShareNetwork",
    Field("id", level=SUMMARY, type=TEXT),
    Field("name", level=SUMMARY),
    Field("project_id", type=TEXT),
    Field("description"),
    time_field("created_at"),
    time_field("updated_at"),
    Field("nova_net_id", Constant(None), until=25),
    Field("neutron_net_id", _default_subnets("neutron_net_id"), until=_LAST_FLAT),
    Field("neutron_subnet_id", _default_subnets("neutron_subnet_id"), until=_LAST_FLAT),
    Field("network_type", _default_subnets("network_type"), until=_LAST_FLAT, admin=True),
    Field("network_type", Constant(None), until=_LAST_FLAT, admin=False),
    Field(
        "segmentation_id",
        _default_subnets("segmentation_id"),
        until=_LAST_FLAT,
        admin=True,
        type=NUMBER_OR_NULL,
    ),
    Field("segmentation_id", Constant(None), until=_LAST_FLAT, admin=False, type=NUMBER_OR_NULL),
    Field("cidr", _default_subnets("cidr"), until=_LAST_FLAT),
    Field("ip_version", _default_subnets("ip_version"), until=_LAST_FLAT, type=NUMBER_OR_NULL),
    Field("gateway", _default_subnets("gateway"), since=18, until=_LAST_FLAT),
    Field("mtu", _default_subnets("mtu"), since=20, until=_LAST_FLAT, type=NUMBER_OR_NULL),
    Field(
        "share_network_subnets",
        convert=_nested(51, True),
        since=51,
        until=77,
        admin=True,
        type=SUBNET,
    ),
    Field(
        "share_network_subnets",
        convert=_nested(51, False),
        since=51,
        until=77,
        admin=False,
        type=SUBNET,
    ),
    Field("share_network_subnets", convert=_nested(78, True), since=78, admin=True, type=SUBNET),
    Field("share_network_subnets", convert=_nested(78, False), since=78, admin=False, type=SUBNET),
    Field("status", since=63),
    Field("security_service_update_support", since=63, type=FLAG),
    Field("network_allocation_update_support", since=70, type=FLAG),
)


class ShareNetworkCreate(Body):
    """`{"share_network": …}` of a new share network."""

    name: Text | None = None
    description: Text | None = None
    neutron_net_id: Identifier | None = None
    neutron_subnet_id: Identifier | None = None
    nova_net_id: Any = None
    availability_zone: Identifier | None = None


class ShareNetworkUpdate(Body):
    """`{"share_network": …}` of a change; what is absent stays."""

    name: Text | msgspec.UnsetType | None = msgspec.UNSET
    description: Text | msgspec.UnsetType | None = msgspec.UNSET
    neutron_net_id: Identifier | msgspec.UnsetType | None = msgspec.UNSET
    neutron_subnet_id: Identifier | msgspec.UnsetType | None = msgspec.UNSET
    nova_net_id: Any = None


class ResetTaskState(Body):
    """Arguments of the action reset_task_state of shares and share servers."""

    task_state: Identifier | None


class ResetStatus(Body):
    """Arguments of the action reset_status of every resource."""

    status: Identifier
