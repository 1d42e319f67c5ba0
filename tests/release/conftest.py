"""The Debian package, built once."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import debian_package


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if reason := debian_package.unavailable_reason():
        pytest.skip(reason)
    return debian_package.build(tmp_path_factory.mktemp("package"), compression="none")
