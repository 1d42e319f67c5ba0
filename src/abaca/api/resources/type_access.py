"""The projects that may use a share type or a share group type that is not public."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from abaca.api.call import Call
from abaca.api.declaration import Resource, Route, action, admin, plain
from abaca.api.row_routes import only
from abaca.api.wire.schemas import TEXT, object_of
from abaca.api.wire.share_types import ProjectAccess
from abaca.db.session import begin, read
from abaca.domain.rows.offered_types import KindOfType
from abaca.domain.share_group_types import share_group_types
from abaca.domain.share_types import share_types


@dataclass(frozen=True)
class _Access:
    """Handlers and routes of one kind of types. `noun`: the prefix of its rules, and of the member
    that holds the list."""

    kind: KindOfType
    noun: str
    type_url: str
    list_urls: tuple[str, ...]
    since: int = 0
    experimental_until: int | None = None

    def resource(self) -> Resource:
        """The list, and the actions of a type."""
        shown = plain(
            f"{self.noun}_access",
            {"type": "array", "items": object_of(**{f"{self.noun}_id": TEXT, "project_id": TEXT})},
        )
        may_list = admin(f"{self.noun}:list_project_access")
        may_add = admin(f"{self.noun}:add_project_access")
        may_remove = admin(f"{self.noun}:remove_project_access")
        actions = f"{self.type_url}/action"
        routes = [
            *[
                Route("GET", f"{self.type_url}/{url}", self.index, may_list, gives=shown)
                for url in self.list_urls
            ],
            action(actions, "addProjectAccess", self.add, may_add, ProjectAccess),
            action(actions, "removeProjectAccess", self.remove, may_remove, ProjectAccess),
        ]
        return Resource(
            [
                route._replace(
                    since=self.since,
                    experimental_until=self.experimental_until,
                    module=f"{self.noun}_access",
                )
                for route in routes
            ]
        )

    def index(self, call: Call, **ids: str) -> dict[str, Any]:
        """GET …/access"""
        with read(call.engine) as conn:
            return {f"{self.noun}_access": self.kind.projects_of(conn, only(ids))}

    def add(self, call: Call, **ids: str) -> None:
        """Action addProjectAccess."""
        project_id = call.arguments(ProjectAccess).project
        with begin(call.engine) as conn:
            self.kind.open(conn, only(ids), project_id)

    def remove(self, call: Call, **ids: str) -> None:
        """Action removeProjectAccess."""
        project_id = call.arguments(ProjectAccess).project
        with begin(call.engine) as conn:
            self.kind.close(conn, only(ids), project_id)


SHARE_TYPES = _Access(
    share_types.KIND,
    "share_type",
    "/v2/types/{type_id}",
    ("os-share-type-access", "share_type_access"),
).resource()
SHARE_GROUP_TYPES = _Access(
    share_group_types.KIND,
    "share_group_type",
    "/v2/share-group-types/{share_group_type_id}",
    ("access",),
    since=31,
    experimental_until=54,
).resource()
