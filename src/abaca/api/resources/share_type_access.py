"""/types/{id}/share_type_access (or os-share-type-access, at any version): the projects that may
use a share type that is not public."""

from __future__ import annotations

from typing import Any

from abaca.api.call import Call
from abaca.api.declaration import Resource, Route, action, admin, plain
from abaca.api.wire.schemas import TEXT, object_of
from abaca.api.wire.share_types import ProjectAccess
from abaca.db.session import begin, read
from abaca.domain.share_types.share_types import KIND


def index(call: Call, type_id: str) -> dict[str, Any]:
    """GET /types/{id}/share_type_access"""
    with read(call.engine) as conn:
        return {"share_type_access": KIND.projects_of(conn, type_id)}


def add(call: Call, type_id: str) -> None:
    """Action addProjectAccess."""
    project_id = call.arguments(ProjectAccess).project
    with begin(call.engine) as conn:
        KIND.open(conn, type_id, project_id)


def remove(call: Call, type_id: str) -> None:
    """Action removeProjectAccess."""
    project_id = call.arguments(ProjectAccess).project
    with begin(call.engine) as conn:
        KIND.close(conn, type_id, project_id)


_TYPE = "/v2/types/{type_id}"
_ALL = plain(
    "share_type_access",
    {"type": "array", "items": object_of(share_type_id=TEXT, project_id=TEXT)},
)

RESOURCE = Resource(
    routes=[
        Route(
            "GET",
            f"{_TYPE}/os-share-type-access",
            index,
            admin("share_type:list_project_access"),
            gives=_ALL,
        ),
        Route(
            "GET",
            f"{_TYPE}/share_type_access",
            index,
            admin("share_type:list_project_access"),
            gives=_ALL,
        ),
        action(
            f"{_TYPE}/action",
            "addProjectAccess",
            add,
            admin("share_type:add_project_access"),
            ProjectAccess,
        ),
        action(
            f"{_TYPE}/action",
            "removeProjectAccess",
            remove,
            admin("share_type:remove_project_access"),
            ProjectAccess,
        ),
    ],
)
