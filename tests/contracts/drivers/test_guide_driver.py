"""The driver of the guide passes the suite; and so does it without annotations, as many write
theirs."""

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
            driver = made("one", {"total_gib": "100"})
            assert ("return" in driver.create_share.__annotations__) == self.ANNOTATED
            yield driver


class TestWithoutAnnotations(TestGuideDriver):
    ANNOTATED = False
