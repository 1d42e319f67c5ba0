"""Projects by name, where there is no Keystone: the `openstack` command looks up what `--project`
and `--target-project` name before it sends a request, at `/v3/projects` when it has logged in at
`/v3`, else at `/tenants`. Projects are only names here."""

from __future__ import annotations

from typing import Any

from abaca.api.call import Call
from abaca.api.declaration import Resource, Route, plain, reader
from abaca.api.faults import NoSuchRoute
from abaca.api.wire import identity
from abaca.api.wire.schemas import ANYTHING


def show(call: Call, project_id: str) -> dict[str, Any]:
    """The project of that name, whose id is the name, whoever uses it or not. With Keystone there
    is nothing here: its catalogue says where projects are."""
    return {"tenant": _shown(call, project_id)}


def show_v3(call: Call, project_id: str) -> dict[str, Any]:
    """The same for clients that have logged in at /v3."""
    return {"project": _shown(call, project_id) | {"domain_id": identity.DOMAIN["id"]}}


def _shown(call: Call, name: str) -> dict[str, Any]:
    if call.conf.api.auth_strategy == "keystone":
        raise NoSuchRoute()
    return {"id": name, "name": name, "enabled": True, "description": ""}


RESOURCE = Resource(
    routes=[
        Route(
            "GET",
            "/tenants/{project_id}",
            show,
            reader("project:get"),
            gives=plain("tenant", ANYTHING),
        ),
        Route(
            "GET",
            "/v3/projects/{project_id}",
            show_v3,
            reader("project:get"),
            gives=plain("project", ANYTHING),
        ),
    ],
)
