"""Projects by name, where there is no Keystone: the `openstack` command looks up what `--project`
and `--target-project` name before it sends a request. Projects are only names here."""

from __future__ import annotations

from typing import Any

from abaca.api.call import Call
from abaca.api.declaration import Resource, Route, plain, reader
from abaca.api.faults import NoSuchRoute
from abaca.api.wire.schemas import ANYTHING


def show(call: Call, project_id: str) -> dict[str, Any]:
    """The project of that name, whose id is the name, whoever uses it or not. With Keystone there
    is nothing here: its catalogue says where projects are."""
    if call.conf.api.auth_strategy == "keystone":
        raise NoSuchRoute()
    return {"tenant": {"id": project_id, "name": project_id, "enabled": True, "description": ""}}


RESOURCE = Resource(
    routes=[
        Route(
            "GET",
            "/tenants/{project_id}",
            show,
            reader("project:get"),
            gives=plain("tenant", ANYTHING),
        ),
    ],
)
