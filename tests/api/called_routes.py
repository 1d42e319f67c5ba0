"""The routes by the calls that tests make of them, and what no test has seen of them."""

from __future__ import annotations

import re
from collections import defaultdict
from functools import cache
from typing import Any

from abaca.api import microversions
from abaca.api.declaration import VERSIONED, Route
from abaca.api.openapi import ROUTE as OPENAPI
from abaca.api.routing import ROUTES
from abaca.errors import CallerError
from tests.api.calls import Calls

UNAUTHORIZED = 401  # says nothing about the route
# Shares on share servers, which all are here, are managed and let go since 2.49; tests see these
# refuse.
NEVER_SUCCEED = {"/v2/os-share-manage", "/v2/os-share-unmanage/{share_id}/unmanage"}


def note(calls: Calls, method: str, path: str, body: Any, version: str | None, status: int) -> None:
    """A call of a route that there is at that version; any other is none."""
    route = route_of(method, path, body, version)
    if route is not None and status != UNAUTHORIZED:
        calls.note(named(route), status)


def lacking(calls: Calls) -> list[str]:
    """What no test has seen: of each route a success and, where it can refuse anything, a
    refusal."""
    lacks = []
    for route in [*ROUTES, OPENAPI]:
        statuses = calls.statuses(named(route))
        if route.status not in statuses and route.path not in NEVER_SUCCEED:
            lacks.append(f"{named(route)}: no success")
        if route.policy is not None and not any(status >= 400 for status in statuses):
            lacks.append(f"{named(route)}: no refusal")
    return lacks


def named(route: Route) -> str:
    """As a reader finds it where it is declared."""
    versions = (
        f" {route.since}-{'' if route.until is None else route.until}"
        if route.path.startswith(VERSIONED)
        else ""
    )
    return f"{route.method} {route.path}{f' {route.action}' if route.action else ''}{versions}"


def route_of(method: str, path: str, body: Any, version: str | None) -> Route | None:
    """The route that answers this."""
    path = path.partition("?")[0].rstrip("/") or "/"
    routes = next((routes for pattern, routes in by_pattern() if pattern.fullmatch(path)), [])
    try:
        minor = microversions.negotiate(version) if path.startswith(VERSIONED) else 0
    except CallerError:
        return None  # no version that there is
    actions = list(body) if isinstance(body, dict) else []
    return next(
        (
            route
            for route in routes
            if route.method == method
            and route.lives_in(minor)
            and (route.action is None or actions == [route.action])
        ),
        None,
    )


@cache
def by_pattern() -> list[tuple[re.Pattern[str], list[Route]]]:
    """The routes by their URLs; those that are written out come before those with parameters."""
    by_path: dict[str, list[Route]] = defaultdict(list)
    for route in [*ROUTES, OPENAPI]:
        by_path[route.path.rstrip("/") or "/"].append(route)
    paths = sorted(by_path, key=lambda path: path.count("{"))
    return [
        (re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))), by_path[path])
        for path in paths
    ]
