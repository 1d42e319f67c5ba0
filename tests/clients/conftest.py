"""One running service with the fake back end, for tests that need no more of it than an account of their own things."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.service import Installation, installation


@pytest.fixture(scope="session")
def shared_service() -> Iterator[Installation]:
    """Tests leave it as they found it: without shares, networks and types of theirs."""
    with installation() as made:
        made.start()
        yield made
