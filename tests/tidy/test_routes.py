"""Every route of the API has a rule of the policy, and every rule one default. That each is called:
`tests/api/test_every_route.py`."""

from __future__ import annotations

import pytest

from abaca.api.declaration import Resource, admin, member
from abaca.api.routing import ROUTES, rules_of

# The version documents and the health check.
OPEN_TO_EVERYONE = {"/", "/v2", "/healthcheck", "/network", "/network/v2.0", "/v3"}


def test_every_route_has_a_policy() -> None:
    closed = [route for route in ROUTES if (route.path.rstrip("/") or "/") not in OPEN_TO_EVERYONE]
    assert [route.name for route in closed if route.rule is None] == []


def test_a_rule_has_one_default() -> None:
    with pytest.raises(ValueError, match="share:burn is declared as"):
        rules_of([Resource([], [admin("share:burn")]), Resource([], [member("share:burn")])])
