"""The OpenAPI document, made from the routes, the field tables and the request structs; served at /openapi.json to everyone.

It describes the newest microversion. What each handler takes and gives: `described`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from types import NoneType
from typing import Any, get_type_hints

import msgspec

from abaca.api import microversions
from abaca.api.call import Call
from abaca.api.described import GIVES, KINDS, KINDS_OF, LINKS, NESTED, QUERIES, TAKES, TEXT_OR_NULL, Answer, Schema
from abaca.api.endpoint import VERSIONED, Route
from abaca.api.routing import ROUTES
from abaca.api.wire.fields import SHOW, Field, View, timestamp

PATH = "/openapi.json"
_REFERENCE = "#/components/schemas/{name}"
_TIME: Schema = {"type": ["string", "null"], "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$"}
_FAULT: Schema = {
    "description": "An error: one member, named by the fault, with its code and a message.",
    "content": {"application/json": {"schema": {"type": "object", "minProperties": 1, "maxProperties": 1}}},
}


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """All routes that live in the newest version."""
    newest = [route for route in routes if route.lives_in(microversions.MAX_VERSION)]
    paths: dict[str, dict[str, list[Route]]] = {}
    for route in newest:
        paths.setdefault(route.path, {}).setdefault(route.method.lower(), []).append(route)
    structs = {struct for _, struct in TAKES.values() if isinstance(struct, type) and issubclass(struct, msgspec.Struct)}
    schemas = msgspec.json.schema_components(sorted(structs, key=lambda struct: struct.__name__), ref_template=_REFERENCE)[1]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Abaca",
            "version": microversions.text(microversions.MAX_VERSION),
            "description": "The OpenStack Shared File Systems API, version 2. A project id may stand behind /v2 in every path.",
        },
        "paths": {path: {method: _operation(method, of_method) for method, of_method in methods.items()} for path, methods in paths.items()},
        "components": {"schemas": schemas},
    }


_DOCUMENT: list[msgspec.Raw] = []


def show(_call: Call) -> msgspec.Raw:
    """GET /openapi.json, encoded once: everybody may ask for it, and it is large."""
    if not _DOCUMENT:
        _DOCUMENT.append(msgspec.Raw(msgspec.json.encode(document([*ROUTES, ROUTE]))))
    return _DOCUMENT[0]


ROUTE = Route("GET", PATH, show, None)


def _operation(method: str, routes: list[Route]) -> dict[str, Any]:
    """One method of one path; several routes there are actions, told apart by the body."""
    first = routes[0]
    operation: dict[str, Any] = {
        "operationId": f"{method}{first.path}",
        "summary": ", ".join(route.action or route.name for route in routes),
        "parameters": _parameters(first),
        "responses": {str(route.status): _response(route, routes) for route in routes} | {"default": _FAULT},
        "x-openstack": [{"action": route.action, "min-ver": microversions.text(route.since), "policy": route.policy} for route in routes],
    }
    bodies = [_body(route) for route in routes if route.name in TAKES]
    if bodies:
        schema = bodies[0] if len(bodies) == 1 else {"oneOf": bodies}
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return operation


def _parameters(route: Route) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}} for name in re.findall(r"{(\w+)}", route.path)
    ]
    parameters += [{"name": name, "in": "query", "schema": {"type": "string"}} for name in QUERIES.get(route.name, ())]
    if route.path.startswith(VERSIONED):
        newest = {"type": "string", "enum": [microversions.text(microversions.MAX_VERSION)]}
        parameters.append({"name": microversions.HEADER, "in": "header", "required": True, "schema": newest})
    return parameters


def _response(route: Route, routes: list[Route]) -> dict[str, Any]:
    """The success of all routes with that status. Actions without an answer stand beside actions with one: then any of them is right."""
    same = [other for other in routes if other.status == route.status]
    schemas = [_answer(GIVES[other.name], _version(other)) for other in same if other.name in GIVES]
    if not schemas or any(is_silent(other) for other in same):
        return {"description": "Done, or begun."}
    return {"description": "Done.", "content": {"application/json": {"schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}}}}


def is_silent(route: Route) -> bool:
    """Whether its answer has no body."""
    return get_type_hints(route.handler).get("return") is NoneType


def _version(route: Route) -> int:
    return microversions.MAX_VERSION if route.path.startswith(VERSIONED) else 0


def _body(route: Route) -> Schema:
    member, struct = TAKES[route.name]
    content: Schema = {"type": ["object", "null"]} if struct is None else _struct(struct)
    name = route.action or member
    return {"type": "object", "properties": {name: content}, "required": [name], "additionalProperties": False} if name else content


def _struct(struct: Any) -> Schema:
    return msgspec.json.schema_components([struct], ref_template=_REFERENCE)[0][0]


def _answer(answer: Answer, version: int) -> Schema:
    content = answer.schema if answer.schema is not None else _shown(answer.view, version, answer.level) if answer.view else {}
    if not answer.member:
        return content
    content = {"type": "array", "items": content} if answer.is_list else content
    members = dict.fromkeys(filter(None, (answer.member, answer.also)), content)
    more = {f"{answer.member}_links": LINKS, "count": {"type": "integer"}} if answer.is_list else {}
    return {"type": "object", "properties": members | more, "required": list(members), "additionalProperties": False}


def _shown(view: View, version: int, level: int) -> Schema:
    """A resource in a view: what administrators see; what only they see may be absent."""
    fields = [field for field in view.fields if field.lives_in(version, level, True)]
    everybodys = [field.name for field in view.fields if field.lives_in(version, level, True) and field.lives_in(version, level, False)]
    members = {field.name: _member(view, field, version) for field in fields}
    return {"type": "object", "properties": members, "required": everybodys, "additionalProperties": False}


def _member(view: View, field: Field, version: int) -> Schema:
    if field.convert is timestamp:
        return _TIME
    if field.name in NESTED:
        return {"type": "array", "items": _shown(NESTED[field.name], version, min(SHOW, field.level))}
    return KINDS_OF.get(view, {}).get(field.name) or KINDS.get(field.name, TEXT_OR_NULL)
