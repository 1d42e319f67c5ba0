"""Local networks and subnets, in the parts of Neutron's API that the `openstack network` and
`openstack subnet` commands need."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

from msgspec import UNSET, Struct, structs
from sqlalchemy.engine import Connection

from abaca.api.call import Call
from abaca.api.declaration import Resource, Route, Takes, creator, many, member, one, plain, reader
from abaca.api.faults import NoSuchRoute
from abaca.api.wire import bodies
from abaca.api.wire import local_networks as wire
from abaca.api.wire.fields import View
from abaca.api.wire.schemas import ANYTHING, ANYTHINGS
from abaca.db.session import begin, read
from abaca.domain.local_networks import local_networks, local_subnets
from abaca.errors import Invalid

MOST_AT_ONCE = 100  # networks or subnets that one request may make

_EXTENSIONS = {
    "net-mtu": "Network MTU",
    "provider": "Provider Network",
    "standard-attr-description": "standard-attr-description",
    "standard-attr-timestamp": "Resource timestamps",
    "project-id": "project_id field enabled",
}

_S = TypeVar("_S", bound=Struct)
Rows = list[dict[str, Any]]


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
    return _create(call, "network", wire.LocalNetworkCreate, _new_network, wire.NETWORK)


def list_networks(call: Call) -> dict[str, Any]:
    """The networks that match all filters."""
    more = local_networks.PROVIDER_FILTERS if call.caller.is_admin else ()
    known = (*local_networks.FILTERS, *more)
    return _list(call, "networks", known, local_networks.find, wire.NETWORK)


def show_network(call: Call, network_id: str) -> dict[str, Any]:
    """One network."""
    with read(call.engine) as conn:
        return _shown(
            call, "network", wire.NETWORK, local_networks.get(conn, call.caller, network_id)
        )


def update_network(call: Call, network_id: str) -> dict[str, Any]:
    """Name, description, and whether it is shared."""
    changes = _set(_body(call, "network", wire.LocalNetworkUpdate))
    with begin(call.engine) as conn:
        return _shown(
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
    return _create(call, "subnet", wire.LocalSubnetCreate, _new_subnet, wire.SUBNET)


def list_subnets(call: Call) -> dict[str, Any]:
    """The subnets that match all filters."""
    return _list(call, "subnets", local_subnets.FILTERS, local_subnets.find, wire.SUBNET)


def show_subnet(call: Call, subnet_id: str) -> dict[str, Any]:
    """One subnet."""
    with read(call.engine) as conn:
        return _shown(call, "subnet", wire.SUBNET, local_subnets.get(conn, call.caller, subnet_id))


def update_subnet(call: Call, subnet_id: str) -> dict[str, Any]:
    """Name, description, and the pools that addresses are given from."""
    changes = _set(_body(call, "subnet", wire.LocalSubnetUpdate))
    if "allocation_pools" in changes:
        changes["allocation_pools"] = _pools(changes["allocation_pools"])
    with begin(call.engine) as conn:
        return _shown(
            call, "subnet", wire.SUBNET, local_subnets.update(conn, call.caller, subnet_id, changes)
        )


def delete_subnet(call: Call, subnet_id: str) -> None:
    """A subnet that is not in use."""
    with begin(call.engine) as conn:
        local_subnets.delete(conn, call.caller, subnet_id)


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


def _body(call: Call, member: str, struct: type[_S]) -> _S:
    return call.body(member, struct, Invalid(f"Unable to find '{member}' in request body"))


def _set(body: Struct) -> dict[str, Any]:
    """The members that the body has."""
    return {name: value for name, value in structs.asdict(body).items() if value is not UNSET}


def _create(
    call: Call, member: str, struct: type[_S], new: Callable[..., dict[str, Any]], view: View
) -> dict[str, Any]:
    """What `{member: …}` or `{members: […]}` asks for: all of it or, when one is refused,
    nothing."""
    many = f"{member}s"
    wanted = call.json.get(many) if isinstance(call.json, dict) else None
    if wanted is None:
        body = _body(call, member, struct)
        with begin(call.engine) as conn:
            return _shown(call, member, view, new(conn, call, body))
    listed = bodies.shape(wanted, list[struct])  # type: ignore[valid-type]
    if not 0 < len(listed) <= MOST_AT_ONCE:
        raise Invalid(f"A request makes 1 to {MOST_AT_ONCE} {many}, not {len(listed)}.")
    with begin(call.engine) as conn:
        made = [new(conn, call, body) for body in listed]
    return {many: view.render_all(made, 0, is_admin=call.caller.is_admin)}


def _new_network(conn: Connection, call: Call, body: wire.LocalNetworkCreate) -> dict[str, Any]:
    if not body.admin_state_up or body.external:
        raise Invalid("Local networks are always up and never external.")
    arguments = _set(body)
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


def _list(
    call: Call, members: str, known: Sequence[str], find: Callable[..., Rows], view: View
) -> dict[str, Any]:
    wanted = wire.filters(call.query_values, known)
    page = call.page()
    rows: Rows = []
    if wanted is not None:
        with read(call.engine) as conn:
            rows = find(
                conn, call.caller, wanted, limit=page.limit, marker=call.query.get("marker")
            )
    rendered = view.render_all(rows, 0, is_admin=call.caller.is_admin)
    answer: dict[str, Any] = {members: [_selected(call, row) for row in rendered]}
    if rows and len(rows) == page.limit:
        following = {**call.query_values, "limit": page.limit, "marker": rows[-1]["id"]}
        answer[f"{members}_links"] = [
            {"rel": "next", "href": f"{call.url}?{urlencode(following, doseq=True)}"}
        ]
    return answer


def _shown(call: Call, member: str, view: View, row: Mapping[str, Any]) -> dict[str, Any]:
    return {member: _selected(call, view.render(row, 0, is_admin=call.caller.is_admin))}


def _selected(call: Call, rendered: dict[str, Any]) -> dict[str, Any]:
    """The members that `?fields=` names; all of them when it is not there."""
    names = call.query_values.get("fields")
    return {name: value for name, value in rendered.items() if name in names} if names else rendered


_ROOT = f"{wire.BASE}/v2.0"
_NETWORKS = f"{_ROOT}/networks"
_NETWORK = f"{_NETWORKS}/{{network_id}}"
_SUBNETS = f"{_ROOT}/subnets"
_SUBNET = f"{_SUBNETS}/{{subnet_id}}"
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
    ],
)
