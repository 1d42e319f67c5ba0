"""The driver of the guide passes the suite; and so does it without annotations, as many write theirs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from abaca.drivers.conformance import DriverConformance
from abaca.drivers.interface import ShareDriver
from tests.contracts.drivers.guide_driver import installed, source


class TestGuideDriver(DriverConformance):
    ANNOTATED: ClassVar[bool] = True

    @pytest.fixture
    def driver(self, tmp_path: Path) -> Iterator[ShareDriver]:
        with installed(tmp_path, source(annotated=self.ANNOTATED)) as made:
            assert ("return" in made.create_share.__annotations__) == self.ANNOTATED
            yield made("one", {"total_gib": "100"})


class TestWithoutAnnotations(TestGuideDriver):
    ANNOTATED = False
