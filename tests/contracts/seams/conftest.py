"""An installation for each module that asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from abaca.drivers.linux.layout import Layout
from tests.contracts.seams.installation import installation


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Layout]:
    yield from installation(tmp_path_factory)
