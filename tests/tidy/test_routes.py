"""Every route of the API has a policy that exists, and a test that calls it."""

from __future__ import annotations

import importlib
import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

TESTS = Path(__file__).parents[1]
# What answers without credentials: the version documents and the health check.
OPEN_TO_EVERYONE = {"/", "/v2", "/healthcheck", "/network", "/network/v2.0"}
BASE_PATHS = ("/v2/", "/network/v2.0/")
# How far before the path the method of a call may stand: `client.get(f"…/shares/…")`, `("GET", "/shares")`.
METHOD_DISTANCE = 120


def module(name: str) -> ModuleType:
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not there yet")
    return importlib.import_module(name)


def routes() -> list[Any]:
    return list(module("abaca.api.routing").ROUTES)


def texts_of_tests() -> str:
    paths = [path for folder in ("api", "e2e", "clients") for path in sorted((TESTS / folder).rglob("*.py"))]
    return "\n".join(path.read_text() for path in paths)


def call_pattern(method: str, path: str) -> re.Pattern[str]:
    """The route's method, then its path below the base path, each placeholder filled by anything: a value or an expression in braces."""
    for base in BASE_PATHS:
        path = path.removeprefix(base)
    parts = [r"(?:\{[^{}]*\}|[\w.-]+)" if part.startswith("{") else re.escape(part) for part in path.strip("/").split("/")]
    return re.compile(rf"\b{method}\b.{{0,{METHOD_DISTANCE}}}?/{'/'.join(parts)}/?(?=[\"'?\s])", re.IGNORECASE | re.DOTALL)


def is_called(route: Any, texts: str) -> bool:
    action = getattr(route, "action", None)
    if action is not None:
        return re.search(rf"[\"']{action}[\"']", texts) is not None
    return route.name in texts or call_pattern(route.method, route.path).search(texts) is not None


def test_every_route_has_a_policy() -> None:
    rules = module("abaca.api.policy").RULES
    closed = [route for route in routes() if (route.path.rstrip("/") or "/") not in OPEN_TO_EVERYONE]
    assert [(route.name, route.policy) for route in closed if route.policy not in rules] == []


def test_every_route_has_a_test() -> None:
    texts = texts_of_tests()
    assert [(route.method, route.path, route.name) for route in routes() if not is_called(route, texts)] == []


@pytest.mark.parametrize(
    ("text", "called"),
    [
        ("client.delete(f'/v2/shares/{share_id}')", True),
        ("call('DELETE', '/v2/shares/no-such-id')", True),
        ("client.get(f'/v2/shares/{share_id}')", False),
        ("client.delete(f'/v2/shares/{share_id}/metadata')", False),
    ],
)
def test_a_call_is_recognised(text: str, called: bool) -> None:
    assert bool(call_pattern("DELETE", "/v2/shares/{share_id}").search(text)) is called
