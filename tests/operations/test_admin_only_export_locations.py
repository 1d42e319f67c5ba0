"""Export locations that are for administrators only, from the driver to those who are shown
them."""

from __future__ import annotations

from abaca.domain.shares import share_export_locations, shares
from abaca.domain.snapshots import snapshot_export_locations
from abaca.values import Caller, Page
from tests.operations.conftest import Install
from tests.operations.scene import available_share
from tests.stack import ADMIN, MEMBER, Stack


def preferences(stack: Stack, share: str, caller: Caller) -> dict[str, bool]:
    """Which locations a caller is shown, and which of them are preferred; for what precedes the
    colon."""
    found = stack.ask(share_export_locations.find, caller, share)
    return {
        location["path"].rpartition(":/")[0].split(".")[0]: location["preferred"]
        for location in found
    }


def test_tenants_see_neither_them_nor_any_effect_of_them(install: Install) -> None:
    stack = install({"alpha": {"admin_only_export_locations": "true"}})
    stack.share_type("snap", snapshot_support="True", mount_snapshot_support="True")
    with stack.working():
        share_network = stack.share_network(*stack.network("10.1.0.0/24"))
        share = available_share(stack, share_network, share_type="snap")
        assert preferences(stack, share, MEMBER) == {"10": True}
        assert preferences(stack, share, ADMIN) == {"fake-admin": True, "10": True}
        # as versions below 2.9 show it
        shown = stack.ask(shares.get, MEMBER, share, with_export_locations=True)["export_locations"]
        assert [path.partition(":")[0].split(".")[0] for path in shown] == ["10"]
        hidden = {"export_location_path": stack.paths(share)[0]}
        assert [
            len(stack.ask(shares.find, caller, hidden, Page(), caller is ADMIN))
            for caller in (MEMBER, ADMIN)
        ] == [0, 1]
        snapshot = stack.snapshot(share)
        assert stack.settled_snapshot(snapshot) == "available"
        for caller, number in ((MEMBER, 1), (ADMIN, 2)):
            assert len(stack.ask(snapshot_export_locations.find, caller, snapshot)) == number
        stack.add_subnet(share_network, stack.network("10.2.0.0/24")[0])
        assert stack.settled_network(share_network) == "active"
        assert [
            location["preferred"]
            for location in stack.ask(share_export_locations.find, MEMBER, share)
        ] == [True, False]
        assert len(stack.ask(share_export_locations.find, ADMIN, share)) == 3
