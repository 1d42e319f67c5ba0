"""Every route of the API has a policy that exists. That each is called: `tests/api/test_every_route.py`."""

from __future__ import annotations

from abaca.api.policy import RULES
from abaca.api.routing import ROUTES

# The version documents and the health check.
OPEN_TO_EVERYONE = {"/", "/v2", "/healthcheck", "/network", "/network/v2.0"}


def test_every_route_has_a_policy() -> None:
    closed = [route for route in ROUTES if (route.path.rstrip("/") or "/") not in OPEN_TO_EVERYONE]
    assert [(route.name, route.policy) for route in closed if route.policy not in RULES] == []
