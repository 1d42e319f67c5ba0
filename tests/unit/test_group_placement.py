"""The choice of a pool for a share group: it fits each share type, and the group type's specs."""

from __future__ import annotations

from abaca.scheduler.group_placement import place_group
from abaca.values import PlacementRequest
from tests.unit.test_scheduler import ask, pool


def of_type(on_several: bool = False, **specs: str) -> PlacementRequest:
    return ask(size=0, share_proto=None, extra_specs=specs, zones={"nova": on_several})


FAST = pool("a#fast", capabilities={"fast": True})
BOTH = pool("b#both", total=50, capabilities={"fast": True, "thin": True})
STEADY = pool("c#steady", total=10, capabilities={"sg_consistent_snapshot_support": "host"})


def test_the_pool_fits_shares_of_all_types() -> None:
    requests = [of_type(fast="True"), of_type(thin="True")]
    assert place_group(requests[:1], {}, [FAST, BOTH]).host == FAST.host
    assert place_group(requests, {}, [FAST, BOTH]).host == BOTH.host
    nowhere = place_group(requests, {}, [FAST, STEADY])
    assert nowhere.host is None
    assert nowhere.public_text().count("lack a capability") == 2
    assert "fast=True" in nowhere.explain()
    assert "thin=True" in nowhere.explain()


def test_a_group_type_demands_consistent_snapshots_and_nothing_else() -> None:
    pools = [FAST, STEADY]
    assert place_group([of_type()], {}, pools).host == FAST.host
    assert place_group([of_type()], {"colour": "blue"}, pools).host == FAST.host
    wanted = {"consistent_snapshot_support": "host"}
    assert place_group([of_type()], wanted, pools).host == STEADY.host
    nowhere = place_group([of_type()], {"consistent_snapshot_support": "pool"}, pools)
    assert nowhere.host is None
    assert [each.filter for each in nowhere.rejections] == ["consistent snapshots"]
    assert "consistent_snapshot_support=pool" in nowhere.public_text()


def test_a_network_with_several_subnets_counts() -> None:
    several = of_type(on_several=True)
    assert place_group([several], {}, [FAST]).host is None
    able = pool("d#able", capabilities={"share_server_multiple_subnet_support": True})
    assert place_group([several], {}, [FAST, able]).host == able.host
