"""Local networks and subnets, in the parts of Neutron's API that the `openstack network` and
`openstack subnet` commands need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import UNSET
from sqlalchemy.engine import Connection

from abaca.api import neutron_format
from abaca.api.call import Call
from abaca.api.declaration import Resource, Route, Takes, creator, many, member, one, plain, reader
from abaca.api.faults import NoSuchRoute
from abaca.api.wire import local_networks as wire
from abaca.api.wire.schemas import ANYTHING, ANYTHINGS
from abaca.db.session import begin, read
from abaca.domain.local_networks import ip_availability, local_networks, local_subnets
from abaca.errors import Invalid

_EXTENSIONS = {
    "net-mtu": "Network MTU",
    "provider": "Provider Network",
    "standard-attr-description": "standard-attr-description",
    "standard-attr-timestamp": "Resource timestamps",
    "project-id": "project_id field enabled",
    "rbac-policies": "RBAC Policies",
    "network-ip-availability": "Network IP Availability",
}


def versions(call: Call) -> dict[str, Any]:
    """`/network`: the one version there is."""
    return {"versions": [_version(call)]}


def version(call: Call) -> dict[str, Any]:
    """`/network/v2.0`: the same, for clients whose endpoint names the version."""
    return {"version": _version(call)}


def extensions(_call: Call) -> dict[str, Any]:
    """What there is beyond the core of the format."""
    return {"extensions": [_extension(alias) for alias in _EXTENSIONS]}


def extension(_call: Call, alias: str) -> dict[str, Any]:
    """One of them."""
    if alias not in _EXTENSIONS:
        raise NoSuchRoute()
    return {"extension": _extension(alias)}


def create_network(call: Call) -> dict[str, Any]:
    """One network, or several of them."""
    return neutron_format.created(
        call, "network", wire.LocalNetworkCreate, _new_network, wire.NETWORK, _hold_projects
    )


def list_networks(call: Call) -> dict[str, Any]:
    """The networks that match all filters."""
    more = local_networks.PROVIDER_FILTERS if call.caller.is_admin else ()
    known = (*local_networks.FILTERS, *more)
    return neutron_format.listed(call, "networks", known, local_networks.find, wire.NETWORK)


def show_network(call: Call, network_id: str) -> dict[str, Any]:
    """One network."""
    with read(call.engine) as conn:
        return neutron_format.shown(
            call, "network", wire.NETWORK, local_networks.get(conn, call.caller, network_id)
        )


def update_network(call: Call, network_id: str) -> dict[str, Any]:
    """Name, description, and whether it is shared."""
    changes = neutron_format.given(neutron_format.body(call, "network", wire.LocalNetworkUpdate))
    with begin(call.engine) as conn:
        return neutron_format.shown(
            call,
            "network",
            wire.NETWORK,
            local_networks.update(conn, call.caller, network_id, changes),
        )


def delete_network(call: Call, network_id: str) -> None:
    """A network with its subnets, none of which is in use."""
    with begin(call.engine) as conn:
        local_networks.delete(conn, call.caller, network_id)


def create_subnet(call: Call) -> dict[str, Any]:
    """One subnet, or several of them."""
    return neutron_format.created(
        call, "subnet", wire.LocalSubnetCreate, _new_subnet, wire.SUBNET, _hold_networks
    )


def list_subnets(call: Call) -> dict[str, Any]:
    """The subnets that match all filters."""
    return neutron_format.listed(
        call, "subnets", local_subnets.FILTERS, local_subnets.find, wire.SUBNET
    )


def show_subnet(call: Call, subnet_id: str) -> dict[str, Any]:
    """One subnet."""
    with read(call.engine) as conn:
        return neutron_format.shown(
            call, "subnet", wire.SUBNET, local_subnets.get(conn, call.caller, subnet_id)
        )


def update_subnet(call: Call, subnet_id: str) -> dict[str, Any]:
    """Name, description, and the pools that addresses are given from."""
    changes = neutron_format.given(neutron_format.body(call, "subnet", wire.LocalSubnetUpdate))
    if "allocation_pools" in changes:
        changes["allocation_pools"] = _pools(changes["allocation_pools"])
    with begin(call.engine) as conn:
        return neutron_format.shown(
            call, "subnet", wire.SUBNET, local_subnets.update(conn, call.caller, subnet_id, changes)
        )


def delete_subnet(call: Call, subnet_id: str) -> None:
    """A subnet that is not in use."""
    with begin(call.engine) as conn:
        local_subnets.delete(conn, call.caller, subnet_id)


def list_ip_availabilities(call: Call) -> dict[str, Any]:
    """How many addresses of each network and subnet may be given out, and how many are taken."""
    return neutron_format.listed(
        call,
        "network_ip_availabilities",
        ip_availability.FILTERS,
        ip_availability.find,
        wire.IP_AVAILABILITY,
    )


def show_ip_availability(call: Call, network_id: str) -> dict[str, Any]:
    """The same of one network."""
    with read(call.engine) as conn:
        return neutron_format.shown(
            call,
            "network_ip_availability",
            wire.IP_AVAILABILITY,
            ip_availability.get(conn, call.caller, network_id),
        )


def _version(call: Call) -> dict[str, Any]:
    return {
        "id": "v2.0",
        "status": "CURRENT",
        "links": [{"rel": "self", "href": f"{call.base_url}{wire.BASE}/v2.0/"}],
    }


def _extension(alias: str) -> dict[str, Any]:
    name = _EXTENSIONS[alias]
    return {
        "alias": alias,
        "name": name,
        "description": name,
        "links": [],
        "updated": "2026-11-22T00:00:00-00:00",
    }


def _hold_projects(conn: Connection, call: Call, bodies: list[wire.LocalNetworkCreate]) -> None:
    named = (body.project_id or body.tenant_id for body in bodies)
    own = call.caller.project_id
    local_networks.hold_projects(conn, (str(project) if project else own for project in named))


def _hold_networks(conn: Connection, _call: Call, bodies: list[wire.LocalSubnetCreate]) -> None:
    local_subnets.hold_networks(conn, (body.network_id for body in bodies))


def _new_network(conn: Connection, call: Call, body: wire.LocalNetworkCreate) -> dict[str, Any]:
    if not body.admin_state_up or body.external:
        raise Invalid("Local networks are always up and never external.")
    arguments = neutron_format.given(body)
    project_id = arguments.pop("tenant_id", None)
    del arguments["admin_state_up"], arguments["external"]
    return local_networks.create(
        conn,
        call.caller,
        **{"project_id": project_id, **arguments},
        ranges=call.segment_ranges,
        limits=call.row_limits,
    )


def _new_subnet(conn: Connection, call: Call, body: wire.LocalSubnetCreate) -> dict[str, Any]:
    pools = None if body.allocation_pools is UNSET else _pools(body.allocation_pools)
    project_id = body.project_id or body.tenant_id
    return local_subnets.create(
        conn,
        call.caller,
        network_id=body.network_id,
        cidr=body.cidr,
        ip_version=body.ip_version,
        name=body.name,
        description=body.description,
        gateway_ip=local_subnets.FIRST_HOST if body.gateway_ip is UNSET else body.gateway_ip,
        allocation_pools=pools,
        project_id=None if project_id is UNSET else project_id,
        limits=call.row_limits,
    )


def _pools(given: Sequence[wire.AllocationPool]) -> list[tuple[str, str]]:
    return [(pool.start, pool.end) for pool in given]


_ROOT = f"{wire.BASE}/v2.0"
_NETWORKS = f"{_ROOT}/networks"
_NETWORK = f"{_NETWORKS}/{{network_id}}"
_SUBNETS = f"{_ROOT}/subnets"
_SUBNET = f"{_SUBNETS}/{{subnet_id}}"
_AVAILABILITIES = f"{_ROOT}/network-ip-availabilities"
_ONE_NETWORK = one("network", wire.NETWORK)
_ONE_SUBNET = one("subnet", wire.SUBNET)

RESOURCE = Resource(
    routes=[
        Route("GET", wire.BASE, versions, None, gives=plain("versions", ANYTHINGS)),
        Route("GET", _ROOT, version, None, gives=plain("version", ANYTHING)),
        Route(
            "GET",
            f"{_ROOT}/extensions",
            extensions,
            reader("extension:index"),
            gives=plain("extensions", ANYTHINGS),
        ),
        Route(
            "GET",
            f"{_ROOT}/extensions/{{alias}}",
            extension,
            reader("extension:index"),
            gives=plain("extension", ANYTHING),
        ),
        Route(
            "GET",
            _NETWORKS,
            list_networks,
            reader("local_network:get"),
            gives=many("networks", wire.NETWORK),
            query=(*wire.PARAMETERS, *local_networks.FILTERS, *wire.PROVIDER_PARAMETERS),
        ),
        Route(
            "POST",
            _NETWORKS,
            create_network,
            creator("local_network:create"),
            takes=Takes("network", wire.LocalNetworkCreate),
            gives=_ONE_NETWORK,
            status=201,
        ),
        Route("GET", _NETWORK, show_network, reader("local_network:get"), gives=_ONE_NETWORK),
        Route(
            "PUT",
            _NETWORK,
            update_network,
            member("local_network:update"),
            takes=Takes("network", wire.LocalNetworkUpdate),
            gives=_ONE_NETWORK,
        ),
        Route("DELETE", _NETWORK, delete_network, member("local_network:delete"), status=204),
        Route(
            "GET",
            _SUBNETS,
            list_subnets,
            reader("local_subnet:get"),
            gives=many("subnets", wire.SUBNET),
            query=(*wire.PARAMETERS, *local_subnets.FILTERS),
        ),
        Route(
            "POST",
            _SUBNETS,
            create_subnet,
            member("local_subnet:create"),
            takes=Takes("subnet", wire.LocalSubnetCreate),
            gives=_ONE_SUBNET,
            status=201,
        ),
        Route("GET", _SUBNET, show_subnet, reader("local_subnet:get"), gives=_ONE_SUBNET),
        Route(
            "PUT",
            _SUBNET,
            update_subnet,
            member("local_subnet:update"),
            takes=Takes("subnet", wire.LocalSubnetUpdate),
            gives=_ONE_SUBNET,
        ),
        Route("DELETE", _SUBNET, delete_subnet, member("local_subnet:delete"), status=204),
        Route(
            "GET",
            _AVAILABILITIES,
            list_ip_availabilities,
            reader("local_network:get_ip_availability"),
            gives=many("network_ip_availabilities", wire.IP_AVAILABILITY),
            query=(*wire.LIST_PARAMETERS, *ip_availability.FILTERS),
        ),
        Route(
            "GET",
            f"{_AVAILABILITIES}/{{network_id}}",
            show_ip_availability,
            reader("local_network:get_ip_availability"),
            gives=one("network_ip_availability", wire.IP_AVAILABILITY),
        ),
    ],
)
