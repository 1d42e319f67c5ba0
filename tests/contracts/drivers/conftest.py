"""A Linux back end of one's own for each module that asks for it, and a site on it for each test; on its own networks, or on others'."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from abaca.drivers.linux.driver import LinuxDriver
from abaca.drivers.linux.inventory import leftovers
from abaca.drivers.linux.wires import tunnel_filter
from tests.contracts.drivers import linux_backend
from tests.contracts.drivers.linux_site import Site
from tests.contracts.drivers.wired_town import OPTIONS, Town


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


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    if reason := linux_backend.unavailable_reason():
        pytest.skip(reason)
    driver = linux_backend.make_linux_driver(tmp_path_factory.mktemp("wired"))
    made = Town(driver)
    made.driver = linux_backend.successor(driver, **OPTIONS)
    try:
        made.host.do(made.driver.check_for_setup_error)
        yield made
    finally:
        made.remove()
        linux_backend.cleanup(driver)


@pytest.fixture
def wired_site(town: Town) -> Iterator[Site]:
    site = Site(town.driver)
    for machine in (town.near, town.apart, town.far):
        machine.forget_neighbours()
    yield site
    town.host.do(site.clear)
    layout = town.driver.layout
    assert leftovers(layout.namespace, layout.state_dir)["links"] == []
    assert town.host.ports("ext") == ["tap"]
    assert town.host.do(lambda: tunnel_filter.tables(layout.namespace)) == []
