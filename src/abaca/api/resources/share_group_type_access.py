"""/share-group-types/{id}/access: the projects that may use a share group type that is not
public."""

from __future__ import annotations

from typing import Any

from abaca.api.call import Call
from abaca.api.declaration import Resource, Route, action, admin, plain
from abaca.api.wire.schemas import TEXT, object_of
from abaca.api.wire.share_types import ProjectAccess
from abaca.db.session import begin, read
from abaca.domain.share_group_types.share_group_types import KIND


def index(call: Call, share_group_type_id: str) -> dict[str, Any]:
    """GET /share-group-types/{id}/access"""
    with read(call.engine) as conn:
        return {"share_group_type_access": KIND.projects_of(conn, share_group_type_id)}


def add(call: Call, share_group_type_id: str) -> None:
    """Action addProjectAccess."""
    project_id = call.arguments(ProjectAccess).project
    with begin(call.engine) as conn:
        KIND.open(conn, share_group_type_id, project_id)


def remove(call: Call, share_group_type_id: str) -> None:
    """Action removeProjectAccess."""
    project_id = call.arguments(ProjectAccess).project
    with begin(call.engine) as conn:
        KIND.close(conn, share_group_type_id, project_id)


_TYPE = "/v2/share-group-types/{share_group_type_id}"
_ALL = plain(
    "share_group_type_access",
    {"type": "array", "items": object_of(share_group_type_id=TEXT, project_id=TEXT)},
)

RESOURCE = Resource(
    routes=[
        Route(
            "GET",
            f"{_TYPE}/access",
            index,
            admin("share_group_type:list_project_access"),
            gives=_ALL,
            since=31,
            experimental_until=54,
        ),
        action(
            f"{_TYPE}/action",
            "addProjectAccess",
            add,
            admin("share_group_type:add_project_access"),
            ProjectAccess,
            since=31,
            experimental_until=54,
        ),
        action(
            f"{_TYPE}/action",
            "removeProjectAccess",
            remove,
            admin("share_group_type:remove_project_access"),
            ProjectAccess,
            since=31,
            experimental_until=54,
        ),
    ],
)
