"""What a driver that says nothing of its capabilities can do."""

from __future__ import annotations

from abaca.drivers.capabilities import Capabilities


def test_absent_means_no() -> None:
    silent = Capabilities().as_pool_capabilities()
    assert silent["driver_handles_share_servers"] is True
    supports = {
        name: value
        for name, value in silent.items()
        if name.endswith("_support") and not name.startswith(("ipv", "sg_"))
    }
    assert {"share_server_multiple_subnet_support", "network_allocation_update_support"} <= set(
        supports
    )
    assert set(supports.values()) == {False}
    assert silent["sg_consistent_snapshot_support"] is None


def test_the_two_are_independent() -> None:
    for several in (True, False):
        for update in (True, False):
            told = Capabilities(
                share_server_multiple_subnet_support=several,
                network_allocation_update_support=update,
            ).as_pool_capabilities()
            assert (
                told["share_server_multiple_subnet_support"],
                told["network_allocation_update_support"],
            ) == (several, update)
