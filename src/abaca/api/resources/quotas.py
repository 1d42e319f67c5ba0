"""/quota-sets, /quota-class-sets (os- in front of both up to 2.6) and /limits."""

from __future__ import annotations

from typing import Any

from oslo_utils import strutils
from sqlalchemy.engine import Connection

from abaca.api.call import Call
from abaca.api.declaration import Resource, Route, Takes, admin, plain, reader
from abaca.api.faults import PolicyForbids
from abaca.api.microversions import MAX_VERSION
from abaca.api.wire.quotas import OF_PROJECTS_ONLY, absolute, read_limits, resources
from abaca.api.wire.schemas import NO_ITEMS, NUMBER, TEXT, Schema, object_of
from abaca.db.session import begin, read
from abaca.domain.capacity import quota_usages, quotas
from abaca.domain.capacity.quotas import Scope
from abaca.domain.share_types import share_types
from abaca.errors import Invalid

_SHARE_TYPE_SINCE = 39
_MISSING = (
    "The server could not comply with the request since it is either malformed or "
    "otherwise incorrect."
)


def show(call: Call, project_id: str) -> dict[str, Any]:
    """GET /quota-sets/{project}[?user_id, ?share_type]"""
    _require_own(call, project_id)
    with read(call.engine) as conn:
        scope = _scope(call, conn, project_id)
        return {
            "quota_set": {"id": project_id}
            | _shown(call, scope, quotas.limits(conn, scope, call.quota_defaults))
        }


def detail(call: Call, project_id: str) -> dict[str, Any]:
    """GET /quota-sets/{project}/detail, since 2.25"""
    _require_own(call, project_id)
    with read(call.engine) as conn:
        scope = _scope(call, conn, project_id)
        limits, used = (
            quotas.limits(conn, scope, call.quota_defaults),
            quota_usages.in_use(conn, scope),
        )
    details = {
        name: {"limit": limit, "in_use": used.get(name, 0), "reserved": 0}
        for name, limit in _shown(call, scope, limits).items()
    }
    return {"quota_set": {"id": project_id} | details}


def defaults(call: Call, project_id: str) -> dict[str, Any]:
    """GET /quota-sets/{project}/defaults: the same for every project."""
    with read(call.engine) as conn:
        limits = quotas.class_limits(conn, quotas.DEFAULT_CLASS, call.quota_defaults)
    return {"quota_set": {"id": project_id} | _shown(call, Scope(project_id=project_id), limits)}


def update(call: Call, project_id: str) -> dict[str, Any]:
    """PUT /quota-sets/{project}[?user_id, ?share_type]"""
    body = call.body("quota_set", dict[str, Any], missing=Invalid(_MISSING))
    forced = strutils.bool_from_string(body.get("force"))  # what is no boolean says no, as ever
    with begin(call.engine) as conn:
        scope = _scope(call, conn, project_id)
        misplaced = [name for name in OF_PROJECTS_ONLY if scope.share_type_id and name in body]
        if misplaced:
            raise Invalid(
                f"'{misplaced[0]}' quota cannot be set for share type; it can be set only for "
                "project or user."
            )
        wanted = read_limits(body, resources(call.version))
        used = None if forced else quota_usages.in_use(conn, scope, held=True)
        quotas.set_limits(conn, scope, wanted, call.quota_defaults, used)
        return {"quota_set": _shown(call, scope, quotas.limits(conn, scope, call.quota_defaults))}


def delete(call: Call, project_id: str) -> None:
    """DELETE /quota-sets/{project}[?user_id, ?share_type]: back to the defaults."""
    with begin(call.engine) as conn:
        quotas.forget_limits(conn, _scope(call, conn, project_id))


def show_class(call: Call, class_name: str) -> dict[str, Any]:
    """GET /quota-class-sets/{name}"""
    with read(call.engine) as conn:
        limits = quotas.class_limits(conn, class_name, call.quota_defaults)
    return {
        "quota_class_set": {"id": class_name}
        | {name: limits[name] for name in resources(call.version)}
    }


def update_class(call: Call, class_name: str) -> dict[str, Any]:
    """PUT /quota-class-sets/{name}; the class "default" holds for every project without limits of
    its own."""
    wanted = read_limits(
        call.body("quota_class_set", dict[str, Any], missing=Invalid(_MISSING)),
        resources(call.version),
    )
    with begin(call.engine) as conn:
        quotas.set_class_limits(conn, _name(class_name), wanted)
        limits = quotas.class_limits(conn, class_name, call.quota_defaults)
    return {"quota_class_set": {name: limits[name] for name in resources(call.version)}}


def limits(call: Call) -> dict[str, Any]:
    """GET /limits: what the caller's project may have and has."""
    caller = call.caller
    with read(call.engine) as conn:
        allowed = quotas.limits(
            conn, Scope(project_id=caller.project_id, user_id=caller.user_id), call.quota_defaults
        )
        used = quota_usages.in_use(conn, Scope(project_id=caller.project_id))
    return {"limits": {"rate": [], "absolute": absolute(allowed, used, call.version)}}


def _require_own(call: Call, project_id: str) -> None:
    if not call.caller.is_admin and project_id != call.caller.project_id:
        raise PolicyForbids("quota_set:show")


def _scope(call: Call, conn: Connection, project_id: str) -> Scope:
    user_id, share_type = call.query.get("user_id") or None, call.query.get("share_type") or None
    if share_type and call.version < _SHARE_TYPE_SINCE:
        raise Invalid(
            f"'share_type' key is not supported by this version; it is since 2.{_SHARE_TYPE_SINCE}."
        )
    if user_id and share_type:
        raise Invalid("'user_id' and 'share_type' values are mutually exclusive: give one of them.")
    type_id = share_types.lookup(conn, call.caller, share_type)["id"] if share_type else None
    return Scope(
        project_id=_name(project_id),
        user_id=_name(user_id) if user_id else None,
        share_type_id=type_id,
    )


def _name(text: str) -> str:
    if len(text) > 255:
        raise Invalid(
            "Names and ids of projects, users and quota classes have at most 255 characters."
        )
    return text


def _shown(call: Call, scope: Scope, limits: dict[str, int]) -> dict[str, int]:
    return {
        name: limits[name]
        for name in resources(call.version, of_share_type=scope.share_type_id is not None)
    }


def _limits(value: Schema) -> Schema:
    """A quota set in an answer: each resource's limit as `value`, and whose they are."""
    members = {**dict.fromkeys(resources(MAX_VERSION), value), "id": TEXT}
    return {"type": "object", "properties": members, "additionalProperties": False}


_QUERY = ("user_id", "share_type")
_SET = plain("quota_set", _limits(NUMBER))
_CLASS_SET = plain("quota_class_set", _limits(NUMBER))
_DETAILS = plain("quota_set", _limits(object_of(limit=NUMBER, in_use=NUMBER, reserved=NUMBER)))
_LIMITS = object_of(rate=NO_ITEMS, absolute={"type": "object", "additionalProperties": NUMBER})


def _routes(prefix: str, since: int = 0, until: int | None = None) -> list[Route]:
    """Those that were called otherwise up to 2.6."""
    one, of_class = (
        f"/v2/{prefix}quota-sets/{{project_id}}",
        f"/v2/{prefix}quota-class-sets/{{class_name}}",
    )
    routes = [
        Route("GET", one, show, reader("quota_set:show"), gives=_SET, query=_QUERY),
        Route(
            "PUT",
            one,
            update,
            admin("quota_set:update"),
            takes=Takes("quota_set", dict[str, int | bool | str]),
            gives=_SET,
            query=_QUERY,
        ),
        Route("DELETE", one, delete, admin("quota_set:delete"), query=_QUERY, status=202),
        Route("GET", f"{one}/defaults", defaults, reader("quota_set:show"), gives=_SET),
        Route("GET", of_class, show_class, admin("quota_class_set:show"), gives=_CLASS_SET),
        Route(
            "PUT",
            of_class,
            update_class,
            admin("quota_class_set:update"),
            takes=Takes("quota_class_set", dict[str, int]),
            gives=_CLASS_SET,
        ),
    ]
    return [route._replace(since=since, until=until) for route in routes]


RESOURCE = Resource(
    routes=[
        Route("GET", "/v2/limits", limits, reader("limits:index"), gives=plain("limits", _LIMITS)),
        *_routes("os-", until=6),
        *_routes("", since=7),
        Route(
            "GET",
            "/v2/quota-sets/{project_id}/detail",
            detail,
            reader("quota_set:show"),
            gives=_DETAILS,
            query=_QUERY,
            since=25,
        ),
    ],
)
