"""What the tests of the campaign's checks begin with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.databases import SqliteDatabases
from tests.stack import Stack


@pytest.fixture
def stack(settled: tuple[Stack, SqliteDatabases, str]) -> Iterator[Stack]:
    """A copy of what the module's `settled` made, to be spoilt."""
    original, databases, url = settled
    copy = databases.copy(url)
    original.conf.set_override("connection", copy, group="database")
    made = Stack(original.conf)
    yield made
    made.close()
    databases.drop(copy)
