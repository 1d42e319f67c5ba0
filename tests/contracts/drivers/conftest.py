"""A Linux back end of one's own for each module that asks for it, and a site on it for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from abaca.drivers.linux.driver import LinuxDriver
from tests.contracts.drivers import linux_backend
from tests.contracts.drivers.linux_site import Site


@pytest.fixture(scope="module")
def linux_driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LinuxDriver]:
    """Skips where the back end cannot be had, saying what is missing."""
    if reason := linux_backend.unavailable_reason():
        pytest.skip(reason)
    driver = linux_backend.make_linux_driver(tmp_path_factory.mktemp("linux"))
    yield driver
    linux_backend.cleanup(driver)


@pytest.fixture
def site(linux_driver: LinuxDriver) -> Iterator[Site]:
    site = Site(linux_driver)
    yield site
    site.clear()


@pytest.fixture
def lonely_driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LinuxDriver]:
    """A back end that the test may ruin."""
    if reason := linux_backend.unavailable_reason():
        pytest.skip(reason)
    driver = linux_backend.make_linux_driver(tmp_path_factory.mktemp("linux"))
    yield driver
    linux_backend.cleanup(driver)
