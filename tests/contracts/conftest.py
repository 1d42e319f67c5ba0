"""What tests of drivers and of seams share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import ceph_cluster
from tests.ceph_cluster import Ceph


@pytest.fixture(scope="session")
def ceph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ceph]:
    """A real one. Skips where it cannot be had, saying what is missing."""
    if reason := ceph_cluster.unavailable_reason():
        pytest.skip(reason)
    with ceph_cluster.running(tmp_path_factory.mktemp("ceph")) as made:
        yield made
