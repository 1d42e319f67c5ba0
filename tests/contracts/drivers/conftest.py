"""A Linux back end of one's own for each module that asks for it, and a site on it for each test;
on its own networks, or on others'."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from abaca.drivers.linux.driver import LinuxDriver
from abaca.drivers.linux.inventory import leftovers
from abaca.drivers.linux.wires import tunnel_filter
from tests.contracts.drivers import linux_backend
from tests.contracts.drivers.linux_site import Site
from tests.contracts.drivers.wired_town import OPTIONS, Town
from tests.sample import IS_ALL

WITH_IMAGES = "TestLinuxWithImages"
TRIED_WITH_IMAGES = {
    "test_pools_report_capacities_and_capabilities",
    "test_teardown_again_and_without_details",
    "test_servers_are_made_side_by_side",
    "test_a_server_that_was_never_made_is_ensured",
    "test_a_lost_server_is_ensured",
    "test_a_share_on_an_unknown_server_fails",
    "test_a_share_without_room_is_no_space",
    "test_a_share_is_deleted_again_and_without_its_server",
    "test_a_share_is_extended_and_shrunk_again",
    "test_shrinking_below_what_a_share_holds_is_refused",
    "test_a_snapshot_is_taken_and_deleted_again",
    "test_a_snapshot_is_deleted_without_its_server",
    "test_a_share_from_a_snapshot_holds_what_the_snapshot_holds",
    "test_a_share_from_a_snapshot_without_room_is_no_space",
    "test_reverting_restores_the_size_and_the_rules",
    "test_a_lost_server_is_ensured_with_its_mountable_snapshots",
    "test_forged_handles_open_nothing_foreign",
    "test_it_tells_what_its_shares_hold",
    "test_a_share_gets_back_what_it_held_when_the_backup_began",
}
"""Of the conformance suite: what makes, fills, loses and removes file systems. All of it with
ABACA_SAMPLE=all."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if IS_ALL:
        return
    left_out = [
        item
        for item in items
        if f"::{WITH_IMAGES}::" in item.nodeid
        and item.name.partition("[")[0] not in TRIED_WITH_IMAGES
    ]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


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
    yield site
    town.host.do(site.clear)
    layout = town.driver.layout
    assert leftovers(layout.namespace, layout.state_dir)["links"] == []
    assert town.host.ports("ext") == ["tap"]
    assert town.host.do(lambda: tunnel_filter.tables(layout.namespace)) == []
