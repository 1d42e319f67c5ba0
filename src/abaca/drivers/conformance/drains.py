"""The tests of the suite about subnets that drain. They are part of `DriverConformance`, and are
skipped for a driver that cannot refuse new clients."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

import msgspec
import pytest

from abaca.drivers.conformance.stage import (
    Stage,
    address_of,
    addresses,
    assert_well_formed,
    forgotten,
    need,
    shown,
    twice,
)
from abaca.errors import BackendError, Refused
from abaca.values import ExportLocation, ServerUpdate, Share, ShareServer, Snapshot


class DrainConformance:
    """What a driver that can drain subnets must do. That new clients are really refused is for its
    own tests."""

    def test_what_is_made_while_a_subnet_drains_has_no_location_there(self, stage: Stage) -> None:
        server = on_two_subnets(stage)
        old = stage.share(server)
        drained = draining(server, 1)
        update(stage, drained, [old])
        new = stage.share(drained)
        assert told(new.export_locations) == addresses_on(server, 0)
        assert twice(lambda: stage.driver.create_share(new, drained)) == new.export_locations

        kept = update(stage, drained, [old, new])
        assert locations(old, kept) == old.export_locations, "what clients use stays"
        assert locations(new, kept) == new.export_locations

        ended = update(stage, server, [old, new])
        assert locations(old, ended) == old.export_locations
        assert_well_formed(locations(new, ended), server)

    def test_a_mountable_snapshot_follows(self, stage: Stage) -> None:
        need(stage.driver.capabilities.mount_snapshot_support, "mount_snapshot_support")
        server = on_two_subnets(stage)
        share = stage.share(server)
        drained = draining(server, 0)
        update(stage, drained, [share])
        snapshot = stage.snapshot(share, drained, is_mountable=True)
        assert told(snapshot.export_locations) == addresses_on(server, 1)
        ended = update(stage, server, [share], [snapshot])
        found = ended.snapshot_updates[snapshot.id].export_locations
        assert found is not None
        assert_well_formed(found, server)

    def test_a_drain_may_be_repeated_and_cover_all_subnets(self, stage: Stage) -> None:
        server = on_two_subnets(stage)
        share = stage.share(server)
        drained = draining(server, 0, 1)
        first = update(stage, drained, [share])
        assert update(stage, forgotten(drained), [share]) == first
        assert locations(share, first) == share.export_locations
        none = stage.share(drained)
        assert told(none.export_locations) == []

    def test_a_server_is_ensured_as_it_drains(self, stage: Stage) -> None:
        server = on_two_subnets(stage)
        share = stage.share(server)
        drained = draining(server, 1)
        stage.driver.ensure_server(drained, [share])
        assert locations(share, update(stage, drained, [share])) == share.export_locations
        stage.driver.ensure_server(server, [share])
        assert_well_formed(stage.share(server).export_locations, server)

    def test_a_server_that_is_not_there_does_not_drain(self, stage: Stage) -> None:
        need_drains(stage)
        server = draining(stage.described(), 0)
        with pytest.raises(BackendError):
            stage.driver.update_share_server_drains(server, [], [])


def on_two_subnets(stage: Stage) -> ShareServer:
    need(
        stage.driver.capabilities.share_server_multiple_subnet_support,
        "share_server_multiple_subnet_support",
    )
    need_drains(stage)
    return stage.server((0, stage.families[0]), (1, stage.families[-1]))


def need_drains(stage: Stage) -> None:
    """Skip for a driver that says of any server that it cannot."""
    server = stage.server()
    try:
        stage.driver.update_share_server_drains(server, [], [])
    except Refused:
        pytest.skip("the driver cannot refuse new clients on one subnet")


def draining(server: ShareServer, *numbers: int) -> ShareServer:
    """The server with those of its subnets draining, and no others."""
    entries = [
        msgspec.structs.replace(entry, is_draining=number in numbers)
        for number, entry in enumerate(server.network_info)
    ]
    return msgspec.structs.replace(server, network_info=entries)


def addresses_on(server: ShareServer, number: int) -> list[str]:
    only = msgspec.structs.replace(server, network_info=[server.network_info[number]])
    return [str(ipaddress.ip_address(address)) for address in addresses(only)]


def update(
    stage: Stage, server: ShareServer, shares: Sequence[Share], snapshots: Sequence[Snapshot] = ()
) -> ServerUpdate:
    return twice(lambda: stage.driver.update_share_server_drains(server, shares, snapshots))


def locations(share: Share, answer: ServerUpdate) -> list[ExportLocation]:
    """Those of the share from then on."""
    update = answer.share_updates.get(share.id)
    if update is None or update.export_locations is None:
        return share.export_locations
    return update.export_locations


def told(found: Sequence[ExportLocation]) -> list[str]:
    return [address_of(location) for location in shown(found)]
