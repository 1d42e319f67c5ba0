"""Security services are not there yet, but clients that show a share network ask for its own."""

from __future__ import annotations

import pytest

from tests.api.conftest import READER, Api


@pytest.mark.parametrize("path", ["/security-services", "/security-services/detail"])
def test_there_are_none(api: Api, path: str) -> None:
    """security_services.index"""
    assert api("GET", f"{path}?share_network_id=any", who=READER) == {"security_services": []}
