"""The tests of the suite about addresses that other machines use. They are part of
`DriverConformance`."""

from __future__ import annotations

from contextlib import AbstractContextManager

import pytest

from abaca.drivers.conformance.stage import Stage, addresses, twice
from abaca.drivers.interface import ShareDriver
from abaca.values import NetworkInfo


class DuplicateConformance:
    """What a driver must do that asks whether other machines use the addresses of a new server."""

    def neighbour(self, driver: ShareDriver, entry: NetworkInfo) -> AbstractContextManager[None]:
        """Override: within the block, another machine on that network uses the addresses of
        `entry`."""
        pytest.skip("no other machine can be put on a network (hook neighbour)")

    def test_addresses_that_no_other_machine_uses_are_free(self, stage: Stage) -> None:
        """Before a server is there; and when it is, because a crash lost what the driver
        answered."""
        server = stage.described(*((0, version) for version in stage.families[:1]))
        assert twice(lambda: stage.driver.addresses_in_use(server.network_info)) == []
        stage.driver.setup_server(server.id, server.network_info)
        share = stage.share(server)
        assert twice(lambda: stage.driver.addresses_in_use(server.network_info)) == []
        assert stage.driver.create_share(share, server) == share.export_locations

    def test_addresses_of_other_machines_are_named_and_no_others(self, stage: Stage) -> None:
        server = stage.described(*((0, version) for version in stage.families))
        taken = server.network_info[-1]
        with self.neighbour(stage.driver, taken):
            found = twice(lambda: stage.driver.addresses_in_use(server.network_info))
        assert found == [each.ip_address for each in taken.network_allocations]
        assert set(found) <= set(addresses(server))
        assert stage.driver.addresses_in_use(server.network_info) == []
