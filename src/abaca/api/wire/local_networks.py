"""Networks and subnets in Neutron's format: request structs, views, filters, error bodies. Strict
as Neutron is: unknown attributes are refused.

What Neutron has and local networks do not, is taken where it says nothing (no DNS servers, no
routes) and refused otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from abaca.api.wire import bodies
from abaca.api.wire.bodies import Identifier, Text
from abaca.api.wire.fields import Constant, Field, View
from abaca.api.wire.schemas import (
    FLAG,
    NUMBER,
    NUMBER_OR_NULL,
    TEXT,
    TEXT_OR_NULL,
    TEXTS,
    Schema,
    object_of,
)
from abaca.errors import Invalid

BASE = "/network"
"""The path below which answers have this format, errors too."""

Nothing = Annotated[list[str], msgspec.Meta(max_length=0)]


class _Attributes(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Base of the request structs."""


class LocalNetworkCreate(_Attributes):
    """`{"network": {…}}` in a POST."""

    name: Text = ""
    description: Text = ""
    project_id: Identifier | UnsetType = UNSET
    tenant_id: Identifier | UnsetType = UNSET
    shared: bool = False
    mtu: int | UnsetType = UNSET
    admin_state_up: bool = True
    external: bool = msgspec.field(default=False, name="router:external")
    network_type: Text | UnsetType | None = msgspec.field(
        default=UNSET, name="provider:network_type"
    )
    physical_network: Text | UnsetType | None = msgspec.field(
        default=UNSET, name="provider:physical_network"
    )
    segmentation_id: int | UnsetType | None = msgspec.field(
        default=UNSET, name="provider:segmentation_id"
    )


class LocalNetworkUpdate(_Attributes):
    """`{"network": {…}}` in a PUT."""

    name: Text | UnsetType = UNSET
    description: Text | UnsetType = UNSET
    shared: bool | UnsetType = UNSET


class LocalRbacPolicyCreate(_Attributes):
    """`{"rbac_policy": {…}}` in a POST."""

    object_type: Literal["network"]
    object_id: Identifier
    action: Literal["access_as_shared"]
    target_tenant: Identifier
    project_id: Identifier | UnsetType = UNSET
    tenant_id: Identifier | UnsetType = UNSET


class AllocationPool(_Attributes):
    """Addresses from `start` to `end`."""

    start: Text
    end: Text


class LocalSubnetCreate(_Attributes):
    """`{"subnet": {…}}` in a POST. `gateway_ip` null: none; absent: the first host address.
    `enable_dhcp` is taken and means nothing."""

    network_id: Identifier
    cidr: Text
    ip_version: Literal[4, 6]
    name: Text = ""
    description: Text = ""
    project_id: Identifier | UnsetType = UNSET
    tenant_id: Identifier | UnsetType = UNSET
    gateway_ip: Text | UnsetType | None = UNSET
    allocation_pools: list[AllocationPool] | UnsetType = UNSET
    enable_dhcp: bool = False
    dns_nameservers: Nothing = []
    host_routes: Nothing = []
    service_types: Nothing = []
    ipv6_address_mode: None = None
    ipv6_ra_mode: None = None
    segment_id: None = None
    subnetpool_id: None = None


class LocalSubnetUpdate(_Attributes):
    """`{"subnet": {…}}` in a PUT."""

    name: Text | UnsetType = UNSET
    description: Text | UnsetType = UNSET
    allocation_pools: list[AllocationPool] | UnsetType = UNSET


def _moment(value: datetime) -> str:
    return value.strftime("%Y-%m-%dT%H:%M:%SZ")


_RANGES: Schema = {"type": "array", "items": object_of(start=TEXT, end=TEXT)}

_STAMPS = (
    Field("created_at", convert=_moment),
    Field("updated_at", lambda row: row["updated_at"] or row["created_at"], convert=_moment),
    Field("revision_number", Constant(0), type=NUMBER),
    Field("tags", Constant([]), type=TEXTS),
)

NETWORK = View(
    "LocalNetwork",
    Field("id", type=TEXT),
    Field("name"),
    Field("description"),
    Field("project_id", type=TEXT),
    Field("tenant_id", "project_id"),
    Field("subnets", type=TEXTS),
    Field("shared", type=FLAG),
    Field("mtu", type=NUMBER_OR_NULL),
    Field("status", Constant("ACTIVE")),
    Field("admin_state_up", Constant(True), type=FLAG),
    Field("router:external", Constant(False), type=FLAG),
    Field("port_security_enabled", Constant(False), type=FLAG),
    Field("availability_zone_hints", Constant([]), type=TEXTS),
    Field("availability_zones", Constant([]), type=TEXTS),
    Field("ipv4_address_scope", Constant(None)),
    Field("ipv6_address_scope", Constant(None)),
    Field("provider:network_type", "network_type", admin=True),
    Field("provider:physical_network", "physical_network", admin=True),
    Field("provider:segmentation_id", "segmentation_id", admin=True, type=NUMBER_OR_NULL),
    *_STAMPS,
)

SUBNET = View(
    "LocalSubnet",
    Field("id", type=TEXT),
    Field("name"),
    Field("description"),
    Field("project_id", type=TEXT),
    Field("tenant_id", "project_id"),
    Field("network_id"),
    Field("cidr"),
    Field("ip_version", type=NUMBER_OR_NULL),
    Field("gateway_ip"),
    Field("allocation_pools", type=_RANGES),
    Field("enable_dhcp", Constant(False), type=FLAG),
    Field("dns_nameservers", Constant([]), type=TEXTS),
    Field("host_routes", Constant([]), type=TEXTS),
    Field("service_types", Constant([]), type=TEXTS),
    Field("ipv6_address_mode", Constant(None)),
    Field("ipv6_ra_mode", Constant(None)),
    Field("segment_id", Constant(None)),
    Field("subnetpool_id", Constant(None)),
    *_STAMPS,
)

IP_AVAILABILITY = View(
    "LocalNetworkIpAvailability",
    Field("network_id", type=TEXT),
    Field("network_name"),
    Field("project_id", type=TEXT),
    Field("tenant_id", "project_id"),
    Field("total_ips", type=NUMBER),
    Field("used_ips", type=NUMBER),
    Field(
        "subnet_ip_availability",
        type={
            "type": "array",
            "items": object_of(
                subnet_id=TEXT,
                subnet_name=TEXT_OR_NULL,
                cidr=TEXT,
                ip_version=NUMBER,
                total_ips=NUMBER,
                used_ips=NUMBER,
            ),
        },
    ),
)

RBAC_POLICY = View(
    "LocalRbacPolicy",
    Field("id", type=TEXT),
    Field("project_id", type=TEXT),
    Field("tenant_id", "project_id"),
    Field("object_type"),
    Field("object_id"),
    Field("action"),
    Field("target_tenant"),
)

_NUMBERS = ("ip_version", "mtu", "segmentation_id")
_COLUMNS = {
    "tenant_id": "project_id",
    "provider:network_type": "network_type",
    "provider:physical_network": "physical_network",
    "provider:segmentation_id": "segmentation_id",
}
"""The domain's name of attributes that have another one in the format."""

_CONSTANTS: dict[str, Any] = {
    "status": "ACTIVE",
    "admin_state_up": True,
    "router:external": False,
    "enable_dhcp": False,
}
PROVIDER_PARAMETERS = (
    "provider:network_type",
    "provider:physical_network",
    "provider:segmentation_id",
)
"""What administrators filter lists of networks by, too."""
LIST_PARAMETERS = ("fields", "limit", "marker", "tenant_id")
PARAMETERS = (*LIST_PARAMETERS, *_CONSTANTS)
"""What lists take beside the domain's filters. What is the same everywhere is in or out as a
whole."""
_NO_FILTERS = ("fields", "limit", "marker", "page_reverse", "sort_key", "sort_dir")


def filters(
    query: Mapping[str, Sequence[str]], known: Sequence[str]
) -> dict[str, list[Any]] | None:
    """The domain's filters, of the names in `known`. None: nothing can match, for what is the same
    everywhere is asked for otherwise.

    Raises Invalid for attributes that cannot be filtered by, and for values that are not of the
    attribute's type.
    """
    wanted: dict[str, list[Any]] = {}
    for name, texts in query.items():
        column = _COLUMNS.get(name, name)
        if column in known:
            wanted[column] = [_read(column, text) for text in texts]
        elif name in _CONSTANTS:
            if str(_CONSTANTS[name]).lower() not in [text.lower() for text in texts]:
                return None
        elif name not in _NO_FILTERS:
            raise Invalid(f"['{name}'] is invalid attribute for filtering")
    return wanted


def _read(name: str, text: str) -> Any:
    if name in _NUMBERS:
        return bodies.integer(text, f"Invalid input for {name}: '{text}'.")
    return bodies.boolean(text) if name == "shared" else text


_NOUNS = {"subnets": "Subnet", "rbac-policies": "RbacPolicy"}


def fault(method: str, path: str, status: int, message: str) -> dict[str, Any]:
    """The body of an error."""
    collection = path.removeprefix(f"{BASE}/v2.0/").partition("/")[0]
    noun = _NOUNS.get(collection, "Network")
    names = {
        400: "InvalidInput",
        403: "PolicyNotAuthorized",
        404: f"{noun}NotFound",
        409: f"{noun}InUse" if method == "DELETE" else "Conflict",
    }
    name = names.get(status) or f"HTTP{HTTPStatus(status).phrase.replace(' ', '')}"
    return {"NeutronError": {"type": name, "message": message, "detail": ""}}
