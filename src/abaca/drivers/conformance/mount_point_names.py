"""The tests of the suite about shares with a name of their own in their export paths. They are part
of `DriverConformance`, for back ends with and without share servers."""

from __future__ import annotations

import msgspec
import pytest

from abaca.drivers.conformance.stage import Stage, need, shown, twice
from abaca.errors import BackendError
from abaca.values import Share, ShareServer

NAMES = ("red_data", "a", "-", "_-_", "A" * 255)
NO_NAMES = (
    *("../shares", "..", ".", "a/b", "a b", 'a"; }', "a\n", "\N{LATIN SMALL LETTER E WITH ACUTE}"),
    *("a" * 256, "5f0f6a5e-6bb1-4be5-a5b5-5ec0bd1d2a4e", "5F0F6A5E6BB14BE5A5B55EC0BD1D2A4E"),
)


class MountPointNameConformance:
    """What a driver with `mount_point_name_support` must do."""

    @pytest.mark.parametrize("name", NAMES, ids=lambda name: name[:8])
    def test_a_share_is_reached_by_its_name(self, stage: Stage, name: str) -> None:
        server = _ground(stage)
        share = _named(stage.new_share(server), name)
        locations = twice(lambda: stage.driver.create_share(share, server))
        assert {each.path.rpartition("/")[2] for each in shown(locations)} == {name}
        assert stage.driver.export_locations(share, server) == locations
        assert stage.driver.update_access(share, [], server) == {}
        twice(lambda: stage.driver.delete_share(share, server))

    def test_shares_with_and_without_names_are_beside_each_other(self, stage: Stage) -> None:
        server = _ground(stage)
        shares = [_named(stage.new_share(server), name) for name in ("one", "One", None)]
        paths = [
            each.path
            for share in shares
            for each in shown(stage.driver.create_share(share, server))
        ]
        assert len(set(paths)) == len(paths)

    @pytest.mark.parametrize("name", NO_NAMES, ids=ascii)
    def test_what_is_no_name_becomes_no_path(self, stage: Stage, name: str) -> None:
        """The API refuses these; what wrote to the database past it is refused here."""
        server = _ground(stage)
        with pytest.raises(BackendError):
            stage.driver.create_share(_named(stage.new_share(server), name), server)


def _ground(stage: Stage) -> ShareServer | None:
    capabilities = stage.driver.capabilities
    need(capabilities.mount_point_name_support, "mount_point_name_support")
    return stage.server_on_all_families() if capabilities.driver_handles_share_servers else None


def _named(share: Share, name: str | None) -> Share:
    return msgspec.structs.replace(share, mount_point_name=name)
