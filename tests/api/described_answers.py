"""Every answer that a test of this folder gets is one that the OpenAPI document of its microversion
describes."""

from __future__ import annotations

from functools import cache
from typing import Any

from falcon.testing import Result
from jsonschema_rs import Draft202012Validator

from abaca.api import openapi
from abaca.api.declaration import VERSIONED, Route
from abaca.api.microversions import negotiate
from abaca.api.routing import ROUTES
from tests.api import called_routes

_validators: dict[tuple[str, int], Draft202012Validator] = {}


def hold(method: str, path: str, body: Any, version: str | None, answer: Result) -> None:
    """Raises AssertionError for an answer that is otherwise than described: by its route or, of an
    error, as a fault."""
    route = called_routes.route_of(method, path, body, version)
    if (
        route is None
        or not answer.content
        or not answer.headers.get("content-type", "").startswith("application/json")
    ):
        return
    if answer.status_code not in (route.status, *range(400, 600)):
        raise AssertionError(
            f"{method} {path}: {answer.status_code} is neither {route.status} nor an error"
        )
    validator = _validator(route, version) if answer.status_code == route.status else _faults()
    wrong = [
        f"{'/'.join(map(str, error.instance_path))}: {error.message}"
        for error in validator.iter_errors(answer.json)
    ]
    assert wrong == [], f"{method} {path} at {version} is not answered as /openapi.json says"


def _validator(route: Route, version: str | None) -> Draft202012Validator:
    minor = negotiate(version) if route.path.startswith(VERSIONED) else 0
    key = (called_routes.named(route), minor)
    if key not in _validators:
        assert route.gives is not None, f"{key[0]} answers with a body that it does not declare"
        _validators[key] = Draft202012Validator(
            {**openapi.answer(route.gives), "components": _components(minor)}
        )
    return _validators[key]


@cache
def _faults() -> Draft202012Validator:
    return Draft202012Validator(_components(0)["schemas"]["Fault"])


@cache
def _components(minor: int) -> dict[str, Any]:
    """Of the document of that version. What has no versions is in each."""
    components: dict[str, Any] = openapi.document([*ROUTES, openapi.ROUTE], "noauth", minor)[
        "components"
    ]
    return components
