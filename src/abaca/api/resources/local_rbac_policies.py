"""RBAC policies of local networks, in the parts of Neutron's API that `openstack network rbac`
needs: with whom a network is shared."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET

from abaca.api import neutron_format
from abaca.api.call import Call
from abaca.api.declaration import Resource, Route, Takes, many, member, one, reader
from abaca.api.wire import local_networks as wire
from abaca.db.session import begin, read
from abaca.domain.local_networks import rbac_policies


def create(call: Call) -> dict[str, Any]:
    """Share a network with a project; administrators also with all, `*`."""
    body = neutron_format.body(call, "rbac_policy", wire.LocalRbacPolicyCreate)
    project_id = body.project_id or body.tenant_id
    with begin(call.engine) as conn:
        policy = rbac_policies.create(
            conn,
            call.caller,
            network_id=body.object_id,
            target_project=body.target_tenant,
            project_id=None if project_id is UNSET else project_id,
            limits=call.row_limits,
        )
    return neutron_format.shown(call, "rbac_policy", wire.RBAC_POLICY, policy)


def index(call: Call) -> dict[str, Any]:
    """The policies that match all filters."""
    return neutron_format.listed(
        call, "rbac_policies", rbac_policies.FILTERS, rbac_policies.find, wire.RBAC_POLICY
    )


def show(call: Call, policy_id: str) -> dict[str, Any]:
    """One policy."""
    with read(call.engine) as conn:
        policy = rbac_policies.get(conn, call.caller, policy_id)
    return neutron_format.shown(call, "rbac_policy", wire.RBAC_POLICY, policy)


def delete(call: Call, policy_id: str) -> None:
    """Share a network no longer, unless share networks of that project are on it."""
    with begin(call.engine) as conn:
        rbac_policies.delete(conn, call.caller, policy_id)


_POLICIES = f"{wire.BASE}/v2.0/rbac-policies"
_POLICY = f"{_POLICIES}/{{policy_id}}"
_ONE = one("rbac_policy", wire.RBAC_POLICY)

RESOURCE = Resource(
    routes=[
        Route(
            "GET",
            _POLICIES,
            index,
            reader("local_rbac_policy:get"),
            gives=many("rbac_policies", wire.RBAC_POLICY),
            query=(*wire.PARAMETERS, *rbac_policies.FILTERS),
        ),
        Route(
            "POST",
            _POLICIES,
            create,
            member("local_rbac_policy:create"),
            takes=Takes("rbac_policy", wire.LocalRbacPolicyCreate),
            gives=_ONE,
            status=201,
        ),
        Route("GET", _POLICY, show, reader("local_rbac_policy:get"), gives=_ONE),
        Route("DELETE", _POLICY, delete, member("local_rbac_policy:delete"), status=204),
    ],
)
