"""/project-version: whether anything of the project has changed, for one statement. An extension,
which Manila does not have."""

from __future__ import annotations

from typing import Any

from abaca.api.call import Call, WithHeaders
from abaca.api.declaration import Resource, Route, admin, one, reader
from abaca.api.wire.project_versions import PROJECT_VERSION
from abaca.db import versions
from abaca.db.session import read

_ALL_BY = "all_tenants"


def show(call: Call) -> WithHeaders:
    """GET /project-version; 304 for who has that version (If-None-Match)."""
    sees_all = call.wants_all_projects("project_version:get_all", _ALL_BY)
    with read(call.engine) as conn:
        version = (
            versions.of_all(conn) if sees_all else versions.of_project(conn, call.caller.project_id)
        )
    etag = f'"{"all" if sees_all else "own"}-{version}"'
    # tags of projects may be equal: no cache between here and a client answers one with another's
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if call.header("If-None-Match") == etag:
        return WithHeaders(None, headers, status=304)
    row: dict[str, Any] = {"project_id": call.caller.project_id, "version": version}
    return WithHeaders(call.one("project_version", PROJECT_VERSION, row), headers)


RESOURCE = Resource(
    routes=[
        Route(
            "GET",
            "/v2/project-version",
            show,
            reader("project_version:get"),
            gives=one("project_version", PROJECT_VERSION),
            query=(_ALL_BY,),
            is_extension=True,
        ),
    ],
    rules=[
        admin(
            "project_version:get_all",
            "See by one version whether anything of any project has changed.",
        )
    ],
)
