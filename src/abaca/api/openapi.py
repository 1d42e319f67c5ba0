"""The OpenAPI document, made from what resources declare; served at /openapi.json to everyone.

It describes the newest microversion there; tests hold answers at all of them against it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from types import NoneType
from typing import Any, get_type_hints

import msgspec

from abaca.api import microversions
from abaca.api.call import Call
from abaca.api.declaration import VERSIONED, Gives, Route, Takes, plain
from abaca.api.routing import ROUTES
from abaca.api.wire.fields import DETAIL, SHOW, SUMMARY, Field, View
from abaca.api.wire.schemas import ANYTHING, FAULT, LINKS, TEXT, Schema

PATH = "/openapi.json"
_REFERENCE = "#/components/schemas/{name}"
_FAULT: Schema = {
    "description": "An error: one member, named by the fault, with its code and a message.",
    "content": {"application/json": {"schema": {"$ref": _REFERENCE.format(name="Fault")}}},
}
_LEVELS = {SUMMARY: "Summary", DETAIL: "Detail", SHOW: ""}
# How callers prove who they are, by `[api] auth_strategy`.
_TOKEN = {"token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"}}
_SECURITY: dict[str, dict[str, Schema]] = {
    "http_basic": {"basic": {"type": "http", "scheme": "basic"}, **_TOKEN},
    "keystone": _TOKEN,
    "noauth": _TOKEN,
}


def document(
    routes: Iterable[Route], auth_strategy: str, version: int = microversions.MAX_VERSION
) -> dict[str, Any]:
    """All routes that live in a version, called by those who `auth_strategy` lets in."""
    alive = [route for route in routes if route.lives_in(version)]
    paths: dict[str, dict[str, list[Route]]] = {}
    for route in alive:
        paths.setdefault(route.path, {}).setdefault(route.method.lower(), []).append(route)
    security = _SECURITY[auth_strategy]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Abaca",
            "version": microversions.text(version),
            "description": "The OpenStack Shared File Systems API, version 2."
            " A project id may follow /v2 in every path.",
        },
        "tags": [{"name": tag} for tag in dict.fromkeys(map(_tag, alive))],
        "security": [{name: []} for name in security],
        "paths": {
            path: {
                method: _operation(method, of_method, version)
                for method, of_method in methods.items()
            }
            for path, methods in paths.items()
        },
        "components": {
            "securitySchemes": security,
            "schemas": {
                **_bodies(alive),
                **_views(alive, version),
                "Fault": FAULT,
                "Version": {"type": "string", "enum": [microversions.text(version)]},
            },
        },
    }


@cache
def _encoded(auth_strategy: str) -> dict[str, msgspec.Raw]:
    """The document's members, encoded once: everybody may ask for it, and it is large."""
    return {
        name: msgspec.Raw(msgspec.json.encode(member))
        for name, member in document([*ROUTES, ROUTE], auth_strategy).items()
    }


def show(call: Call) -> dict[str, Any]:
    """GET /openapi.json. The server is the one that was asked."""
    return {**_encoded(call.conf.api.auth_strategy), "servers": [{"url": call.base_url}]}


ROUTE = Route("GET", PATH, show, None, gives=plain("", ANYTHING))


def _bodies(routes: Iterable[Route]) -> dict[str, Schema]:
    """The request structs by their names, with those that they hold."""
    contents = [route.takes.content for route in routes if route.takes]
    structs = {
        content
        for content in contents
        if isinstance(content, type) and issubclass(content, msgspec.Struct)
    }
    ordered = sorted(structs, key=lambda struct: struct.__name__)
    return msgspec.json.schema_components(ordered, ref_template=_REFERENCE)[1]


def _views(routes: Iterable[Route], version: int) -> dict[str, Schema]:
    """The resources as answers show them, by their names. Who lists some may choose their members
    (`fields`): then any may be absent."""
    given = [(route.gives, "fields" in route.query) for route in routes if route.gives]
    chosen_from = {answer.view for answer, chooses in given if chooses}
    shown = {
        _view_name(answer.view, answer.level): (answer.view, answer.level)
        for answer, _ in given
        if answer.view
    }
    return {
        name: _shown(view, level, version) | ({"required": []} if view in chosen_from else {})
        for name, (view, level) in sorted(shown.items())
    }


def _view_name(view: View, level: int) -> str:
    return view.name + _LEVELS[level]


def _tag(route: Route) -> str:
    return route.name.partition(".")[0].replace("_", " ").capitalize()


def _operation(method: str, routes: list[Route], version: int) -> dict[str, Any]:
    """One method of one path; several routes there are actions, distinguished by the body."""
    first = routes[0]
    operation: dict[str, Any] = {
        "operationId": operation_id(first),
        "tags": list(dict.fromkeys(map(_tag, routes))),
        "summary": ", ".join(route.action or route.name for route in routes),
        "parameters": _parameters(first, version),
        "responses": {str(route.status): _response(route, routes) for route in routes}
        | {"default": _FAULT},
        "x-openstack": [
            {
                "action": route.action,
                "min-ver": microversions.text(route.since),
                "is-experimental": route.is_experimental_in(version),
                "policy": route.policy,
                "is-extension": route.is_extension,
            }
            for route in routes
        ],
    }
    if first.policy is None:
        operation["security"] = []
    bodies = [_body(route, route.takes) for route in routes if route.takes]
    if bodies:
        schema = bodies[0] if len(bodies) == 1 else {"oneOf": bodies}
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema}},
        }
    return operation


def operation_id(route: Route) -> str:
    """Method and URL as one word: it is part of generated clients' names, so it must not change
    while the URL does not."""
    words = re.findall(r"\w+", route.path.removeprefix(VERSIONED) or route.path) or ["versions"]
    return "_".join([route.method.lower(), *words])


def _parameters(route: Route, version: int) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in re.findall(r"{(\w+)}", route.path)
    ]
    parameters += _query(route.query)
    if route.path.startswith(VERSIONED):
        # clients need not give it
        schema = {
            "allOf": [{"$ref": _REFERENCE.format(name="Version")}],
            "default": microversions.text(version),
        }
        parameters.append(
            {"name": microversions.HEADER, "in": "header", "required": True, "schema": schema}
        )
    if route.is_experimental_in(version):
        parameters.append(
            {
                "name": microversions.EXPERIMENTAL_HEADER,
                "in": "header",
                "required": True,
                "schema": {"type": "string", "enum": ["True"], "default": "True"},
            }
        )
    return parameters


def _query(names: Sequence[str]) -> list[dict[str, Any]]:
    """Query parameters. Those that end with `~` (text that is contained) are the members of one
    object, which is sent member by member: generated clients could not tell `name~` from `name`."""
    patterns = {name: TEXT for name in names if name.endswith("~")}
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "query", "schema": TEXT} for name in names if name not in patterns
    ]
    if patterns:
        schema = {"type": "object", "properties": patterns, "additionalProperties": False}
        parameters.append(
            {"name": "patterns", "in": "query", "style": "form", "explode": True, "schema": schema}
        )
    return parameters


def _response(route: Route, routes: list[Route]) -> dict[str, Any]:
    """The success of all routes with that status. Actions without an answer are beside actions
    with one: then any of them is right."""
    same = [other for other in routes if other.status == route.status]
    schemas = [answer(other.gives) for other in same if other.gives]
    if not schemas or any(is_silent(other) for other in same):
        return {"description": "Done, or begun."}
    return {
        "description": "Done.",
        "content": {
            "application/json": {"schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}}
        },
    }


def is_silent(route: Route) -> bool:
    """Whether its answer has no body."""
    return get_type_hints(route.handler).get("return") is NoneType


def _body(route: Route, takes: Takes) -> Schema:
    content: Schema = (
        {"type": ["object", "null"]} if takes.content is None else _struct(takes.content)
    )
    name = route.action or takes.member
    if not name:
        return content
    schema = {
        "type": "object",
        "properties": {name: content},
        "required": [name],
        "additionalProperties": False,
    }
    return schema | {"title": route.action} if route.action else schema


def _struct(struct: Any) -> Schema:
    return msgspec.json.schema_components([struct], ref_template=_REFERENCE)[0][0]


def answer(gives: Gives) -> Schema:
    """The schema of what a route gives; views are among the document's components."""
    content = gives.schema or {}
    if gives.view:
        content = {"$ref": _REFERENCE.format(name=_view_name(gives.view, gives.level))}
    if not gives.member:
        return content
    content = {"type": "array", "items": content} if gives.is_list else content
    members = dict.fromkeys(filter(None, (gives.member, gives.also)), content)
    more = (
        {gives.links or f"{gives.member}_links": LINKS, "count": {"type": "integer"}}
        if gives.is_list
        else {}
    )
    return {
        "type": "object",
        "properties": members | more | dict(gives.more),
        "required": [*members, *gives.more],
        "additionalProperties": False,
    }


def _shown(view: View, level: int, version: int) -> Schema:
    """A resource in a view: what administrators see; what only they see may be absent."""
    fields = [field for field in view.fields if field.lives_in(version, level, True)]
    everybodys = [field.name for field in fields if field.lives_in(version, level, False)]
    members = {field.name: _member(field, version) for field in fields}
    return {
        "type": "object",
        "properties": members,
        "required": everybodys,
        "additionalProperties": False,
    }


def _member(field: Field, version: int) -> Schema:
    if isinstance(field.type, View):
        return {"type": "array", "items": _shown(field.type, DETAIL, version)}
    return field.type
