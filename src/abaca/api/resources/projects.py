"""Projects by name, where there is no Keystone: the `openstack` command looks up what `--project`
and `--target-project` name before it sends a request, at `/v3/projects` when it has logged in at
`/v3`, else at `/tenants`. Projects are only names here."""

from __future__ import annotations

from typing import Any

from abaca import config
from abaca.api import users_file
from abaca.api.call import Call
from abaca.api.declaration import Resource, Route, plain, reader
from abaca.api.faults import NoSuchRoute
from abaca.api.wire import identity
from abaca.api.wire.schemas import ANYTHING, ANYTHINGS
from abaca.db.private_files import read_private


def show(call: Call, project_id: str) -> dict[str, Any]:
    """The project of that name, whose id is the name, whoever uses it or not. With Keystone there
    is nothing here: its catalogue says where projects are."""
    return {"tenant": _shown(call, project_id)}


def show_v3(call: Call, project_id: str) -> dict[str, Any]:
    """The same for clients that have logged in at /v3."""
    return {"project": _shown(call, project_id) | {"domain_id": identity.DOMAIN["id"]}}


def index_v3(call: Call) -> dict[str, Any]:
    """For clients that look a project up in the list: the one that `name` says; without it, those
    of all users for an administrator, and else the caller's own."""
    name = call.query.get("name")
    if name is not None:
        names = {name}
    elif call.caller.is_admin and call.conf.api.auth_strategy == "http_basic":
        users = users_file.parse(read_private(config.users_file(call.conf)))
        names = {user.project_id for user in users.values()}
    else:
        names = {call.caller.project_id}
    return _listed(call, sorted(names))


def own_v3(call: Call) -> dict[str, Any]:
    """GET /v3/auth/projects: to which the caller can be scoped."""
    return _listed(call, [call.caller.project_id])


def _listed(call: Call, names: list[str]) -> dict[str, Any]:
    return {
        "projects": [show_v3(call, name)["project"] for name in names],
        "links": {"self": call.url, "previous": None, "next": None},
    }


def _shown(call: Call, name: str) -> dict[str, Any]:
    if call.conf.api.auth_strategy == "keystone":
        raise NoSuchRoute()
    return {"id": name, "name": name, "enabled": True, "description": ""}


_PROJECTS = plain("projects", ANYTHINGS)._replace(more={"links": ANYTHING})

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
        Route(
            "GET",
            "/v3/projects",
            index_v3,
            reader("project:get"),
            gives=_PROJECTS,
            query=("name",),
        ),
        Route("GET", "/v3/auth/projects", own_v3, reader("project:get"), gives=_PROJECTS),
    ],
)
