"""The lists of share groups, which Horizon asks for: they are there, and empty."""

from __future__ import annotations

import pytest

from tests.api.conftest import ALICE, NOBODY, Api


@pytest.mark.parametrize(
    ("path", "member"),
    [
        ("/share-groups", "share_groups"),
        ("/share-groups/detail", "share_groups"),
        ("/share-group-snapshots", "share_group_snapshots"),
        ("/share-group-snapshots/detail", "share_group_snapshots"),
    ],
)
def test_lists_are_empty(api: Api, path: str, member: str) -> None:
    assert api("GET", path, who=ALICE, version="2.31") == {member: []}
    assert api("GET", f"{path}?all_tenants=1") == {member: []}
    api.fault("GET", path, None, 403, who=NOBODY)
    api.fault("GET", path, None, 404, version="2.30")
