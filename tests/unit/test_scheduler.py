"""Placement: which filter removes which pool and with which words; properties over random requests
and pools."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest

from abaca.scheduler.filters import FILTERS
from abaca.scheduler.filters.capacity import room_gb
from abaca.scheduler.placement import MAX_EXPLANATION, place
from abaca.scheduler.specs import satisfies
from abaca.values import Host, PlacementRequest, Pool, PoolStats
from tests.properties import given, settings, st

MULTIPLE = "share_server_multiple_subnet_support"
UPDATE = "network_allocation_update_support"


def pool(
    name: str = "alpha#p1",
    *,
    zone: str = "nova",
    total: float = 100,
    free: float | None = None,
    allocated: int = 0,
    **more: Any,
) -> Pool:
    """A healthy NFS pool of a back end that makes share servers; `capabilities` are added to
    that."""
    backend, _, pool_name = name.partition("#")
    capabilities = {"driver_handles_share_servers": True, "storage_protocol": "NFS"} | more.pop(
        "capabilities", {}
    )
    flags = {
        flag: more.pop(flag) for flag in ("is_up", "is_enabled", "share_servers") if flag in more
    }
    stats = PoolStats(
        pool_name=pool_name,
        total_capacity_gb=total,
        free_capacity_gb=total if free is None else free,
        capabilities=capabilities,
        **more,
    )
    host = Host(host="h1", backend=backend, pool=pool_name)
    return Pool(
        host=host, availability_zone=zone, stats=stats, allocated_capacity_gb=allocated, **flags
    )


def ask(size: int = 1, **more: Any) -> PlacementRequest:
    return PlacementRequest(
        size=size,
        share_proto=more.pop("share_proto", "NFS"),
        extra_specs=more.pop("extra_specs", {}),
        **more,
    )


# --- one filter at a time -------------------------------------------------------------------------

REJECTED = [
    ("service", ask(), pool(is_up=False), "is down"),
    ("service", ask(), pool(is_enabled=False), "is disabled"),
    ("availability zone", ask(availability_zone="z1"), pool(zone="z2"), "is in zone z2, not in z1"),
    (
        "availability zone",
        ask(zones={"z1": False}),
        pool(zone="z2"),
        "is in zone z2, in which the share network has no subnet",
    ),
    (
        "availability zone",
        ask(zones={}),
        pool(zone="z2"),
        "is in zone z2, in which the share network has no subnet",
    ),
    (
        "availability zone",
        ask(extra_specs={"availability_zones": "a, b"}),
        pool(zone="z2"),
        "is in zone z2, which the share type does not allow",
    ),
    (
        "share server handling",
        ask(extra_specs={"driver_handles_share_servers": "False"}),
        pool(),
        "lacks driver_handles_share_servers=False",
    ),
    (
        "multiple subnets",
        ask(zones={"nova": True}),
        pool(),
        f"lacks {MULTIPLE}=True, and the share network has several subnets in zone nova",
    ),
    ("storage protocol", ask(share_proto="CIFS"), pool(), "does not serve CIFS"),
    (
        "storage protocol",
        ask(),
        pool(capabilities={"storage_protocol": None}),
        "does not serve NFS",
    ),
    ("capabilities", ask(extra_specs={MULTIPLE: "<is> True"}), pool(), f"lacks {MULTIPLE}=True"),
    (
        "capabilities",
        ask(extra_specs={f"capabilities:{UPDATE}": "True", "tier": "gold"}),
        pool(),
        f"lacks {UPDATE}=True, tier=gold",
    ),
    (
        "capabilities",
        ask(extra_specs={"share_backend_name": "beta"}),
        pool(),
        "lacks share_backend_name=beta",
    ),
    ("capacity", ask(size=101), pool(), "has room for 100 of 101 GiB"),
    ("capacity", ask(size=10), pool(free=9), "has room for 9 of 10 GiB"),
    ("capacity", ask(size=10), pool(allocated=91), "has room for 9 of 10 GiB"),
    ("capacity", ask(size=10), pool(reserved_percentage=91), "has room for 9 of 10 GiB"),
    ("capacity", ask(size=10), pool(allocated=200), "has room for 0 of 10 GiB"),
    (
        "capacity",
        ask(size=10),
        pool(max_over_subscription_ratio=5, allocated=95),
        "has room for 5 of 10 GiB",
    ),
    (
        "capacity",
        ask(size=10),
        pool(thin_provisioning=True, max_over_subscription_ratio=2, allocated=195),
        "has room for 5 of 10 GiB",
    ),
    (
        "capacity",
        ask(size=10),
        pool(thin_provisioning=True, max_over_subscription_ratio=2, free=2),
        "has room for 4 of 10 GiB",
    ),
    (
        "capacity",
        ask(size=10),
        pool(thin_provisioning=True, max_over_subscription_ratio=0.1, allocated=95),
        "has room for 5 of 10 GiB",
    ),
    (
        "scheduler hints",
        ask(only_pools=["h1@beta#p1"]),
        pool(),
        "is not where the scheduler hints ask for",
    ),
    (
        "scheduler hints",
        ask(only_pools=[]),
        pool(),
        "is not where the scheduler hints ask for",
    ),
    (
        "scheduler hints",
        ask(not_pools=["h1@beta#p1", "h1@alpha#p1"]),
        pool(),
        "has a share that the scheduler hints ask to stay away from",
    ),
]


@pytest.mark.parametrize(("filter_name", "request_", "one", "reason"), REJECTED)
def test_a_filter_says_why(
    filter_name: str, request_: PlacementRequest, one: Pool, reason: str
) -> None:
    placement = place(request_, [one])
    assert placement.host is None
    assert placement.availability_zone is None
    assert [(each.filter, each.pools) for each in placement.rejections] == [
        (filter_name, [(one.host, reason)])
    ]
    assert placement.explain() == f"No valid host was found: {filter_name}: alpha#p1 {reason}."


ACCEPTED = [
    (ask(), pool()),
    (ask(availability_zone="nova"), pool()),
    (ask(zones={"nova": False}), pool()),
    (ask(zones={"nova": False, "other": True}), pool()),
    (ask(zones={"nova": True}), pool(capabilities={MULTIPLE: True})),
    (ask(extra_specs={"availability_zones": "a,nova"}), pool()),
    (ask(extra_specs={"driver_handles_share_servers": "true"}), pool()),
    (ask(share_proto=None), pool(capabilities={"storage_protocol": "CIFS"})),
    (ask(share_proto="cifs"), pool(capabilities={"storage_protocol": "NFS_CIFS"})),
    (ask(share_proto="CIFS"), pool(capabilities={"storage_protocol": ["NFS", "CIFS"]})),
    (ask(extra_specs={"netapp:tier": "gold", "provisioning:max_share_size": "1"}), pool()),
    (ask(extra_specs={"share_backend_name": "alpha", "pool_name": "p1"}), pool()),
    (ask(extra_specs={MULTIPLE: "<is> False", UPDATE: "False"}), pool()),
    (ask(extra_specs={"free_capacity_gb": ">= 50", "thin_provisioning": "<is> False"}), pool()),
    (
        ask(extra_specs={"capabilities:qos:tier": "gold"}),
        pool(capabilities={"qos": {"tier": "gold"}}),
    ),
    (ask(size=100), pool()),
    (ask(size=105), pool(thin_provisioning=True, max_over_subscription_ratio=2, allocated=95)),
]


@pytest.mark.parametrize(("request_", "one"), ACCEPTED)
def test_a_fitting_pool_is_taken(request_: PlacementRequest, one: Pool) -> None:
    placement = place(request_, [one])
    assert (placement.host, placement.availability_zone, placement.rejections) == (
        one.host,
        one.availability_zone,
        [],
    )
    assert placement.explain() == "Placed on alpha#p1."


# --- extra spec operators -------------------------------------------------------------------------

BOOLEANS = [
    (value, spec, value is wanted)
    for value in (True, False)
    for wanted, spellings in (
        (True, ("<is> True", "<is> true", "<is>true", "True", "true")),
        (False, ("<is> False", "False", "false")),
    )
    for spec in spellings
]


@pytest.mark.parametrize(
    ("value", "spec", "expected"),
    [
        *BOOLEANS,
        ("True", "<is> True", True),
        (None, "<is> True", False),
        (None, "<is> False", True),
        (None, "False", True),
        (None, "gold", False),
        (None, ">= 0", False),
        ("gold", "gold", True),
        ("gold plate", "gold", False),
        ("gold", "gold plate", False),
        ("gold", "s== gold", True),
        ("gold", "s!= gold", False),
        ("gold", "<in> ol", True),
        ("gold", "<or> silver <or> gold", True),
        ("gold", "<or> silver <or> tin", False),
        (["gold", "tin"], "gold", True),
        ([], "gold", False),
        (5, "5", True),
        (5, "= 4", True),
        (5, "== 5.0", True),
        (5, "!= 5", False),
        (5, ">= 6", False),
        (5, "> 4", True),
        (5, "<= 5", True),
        (5, "< 5", False),
        (1, "True", False),
        ("gold", ">= 5", False),
        ("gold", "<or>", False),
        ("gold", "<is> gold", False),
        ("gold", "", False),
    ],
)
def test_operators(value: object, spec: str, expected: bool) -> None:
    assert satisfies(value, spec) is expected


# --- the four combinations of the two capabilities ------------------------------------------------


@pytest.mark.parametrize(("multiple", "update"), list(itertools.product((True, False), repeat=2)))
def test_only_multiple_subnet_support_counts_for_networks_with_several_subnets(
    multiple: bool, update: bool
) -> None:
    one = pool(capabilities={MULTIPLE: multiple, UPDATE: update})
    assert place(ask(zones={"nova": False}), [one]).host == one.host
    several = place(ask(zones={"nova": True}), [one])
    assert several.host == (one.host if multiple else None)
    assert multiple or MULTIPLE in several.explain()
    for name, reports in ((MULTIPLE, multiple), (UPDATE, update)):
        for spec, wanted in (("<is> True", True), ("True", True), ("<is> False", False)):
            assert (place(ask(extra_specs={name: spec}), [one]).host is not None) is (
                reports is wanted
            )


def test_zones_are_judged_one_by_one() -> None:
    plain, able = (
        pool("alpha#p", zone="z1", total=900),
        pool("beta#p", zone="z2", capabilities={MULTIPLE: True}),
    )
    assert place(ask(zones={"z1": False, "z2": True}), [plain, able]).availability_zone == "z1"
    assert place(ask(zones={"z1": True, "z2": True}), [plain, able]).availability_zone == "z2"
    assert (
        place(ask(zones={"z1": True, "z2": True}, availability_zone="z1"), [plain, able]).host
        is None
    )


# --- choice and explanation -----------------------------------------------------------------------


def test_what_snapshots_keep_cannot_be_promised() -> None:
    crowded = pool(total=100, free=95, allocated=50, snapshot_capacity_gb=45)
    assert place(ask(5), [crowded]).host is not None
    assert "has room for 5 of 6 GiB" in place(ask(6), [crowded]).explain()


def test_most_room_wins_and_names_break_ties() -> None:
    small, large, full = (
        pool("a#p", total=10),
        pool("c#p", total=50),
        pool("d#p", total=900, allocated=890),
    )
    twin = pool("b#p", total=50)
    for order in itertools.permutations([small, large, twin, full]):
        assert place(ask(), list(order)).host == twin.host


def test_of_pools_with_the_same_room_the_one_with_the_fewest_servers_wins() -> None:
    busy, idle = pool("a#p", share_servers=9), pool("b#p", share_servers=8)
    roomy = pool("c#p", total=1000, share_servers=90)
    for order in itertools.permutations([busy, idle]):
        assert place(ask(), list(order)).host == idle.host
        assert place(ask(), [*order, roomy]).host == roomy.host


def test_no_pools_at_all() -> None:
    placement = place(ask(), [])
    assert placement.host is None
    assert placement.explain() == "No valid host was found: no back end has reported a pool yet."


def test_the_explanation_names_filters_in_order_and_no_worker_host() -> None:
    pools = [
        pool("alpha#p1"),
        pool("beta#p2", is_up=False),
        pool("gamma#p3", capabilities={MULTIPLE: True}, total=1),
    ]
    text = place(ask(size=5, zones={"nova": True}), pools).explain()
    assert text == (
        "No valid host was found: service: beta#p2 is down; "
        f"multiple subnets: alpha#p1 lacks {MULTIPLE}=True, and the share network has several "
        "subnets in zone nova; "
        "capacity: gamma#p3 has room for 1 of 5 GiB."
    )


def test_callers_are_told_the_reasons_in_order_but_no_pool_and_no_figure_of_one() -> None:
    assert place(ask(), []).public_text() == "No valid host was found: no back end is there yet."
    full = place(ask(size=5), [pool("alpha#p1", total=1)])
    assert full.public_text() == "No valid host was found: all back ends have no room for 5 GiB."
    pools = [
        pool("alpha#p1"),
        pool("beta#p2", is_up=False),
        pool("gamma#p3", capabilities={MULTIPLE: True}, total=1),
    ]
    assert place(ask(size=5, zones={"nova": True}), pools).public_text() == (
        "No valid host was found: some back ends are down or disabled; some back ends "
        f"lack {MULTIPLE}=True, which a share network with several subnets in one availability "
        "zone needs; "
        "the others have no room for 5 GiB."
    )


def test_callers_are_told_of_no_hidden_extra_spec() -> None:
    assert "netapp" not in place(ask(extra_specs={"netapp_tier": "gold"}), [pool()]).public_text()


def test_the_explanation_is_bounded_and_groups_equal_reasons() -> None:
    down = [pool(f"down{number:03}#p", is_up=False) for number in range(200)]
    assert place(ask(), down).explain() == (
        "No valid host was found: service: down000#p, down001#p, down002#p, down003#p, down004#p "
        "and 195 more is down."
    )
    various = [pool(f"various{number:03}#p", total=number) for number in range(200)]
    assert len(place(ask(size=500), various).explain()) == MAX_EXPLANATION


# --- properties -----------------------------------------------------------------------------------

names = st.tuples(st.sampled_from("abcd"), st.sampled_from("pqr")).map("#".join)
gib = st.integers(0, 300)
pools_of_all_kinds = st.lists(
    st.builds(
        lambda name, zone, total, free, allocated, reserved, ratio, thin, multiple, update,
         up: pool(
            name,
            zone=zone,
            total=total,
            free=min(free, total),
            allocated=allocated,
            reserved_percentage=reserved,
            max_over_subscription_ratio=ratio,
            thin_provisioning=thin,
            is_up=up,
            capabilities={MULTIPLE: multiple, UPDATE: update},
        ),
        names, st.sampled_from(["z1", "z2"]), gib, gib, gib, st.integers(0, 100), st.floats(0, 20),
         st.booleans(), st.booleans(), st.booleans(),
        st.sampled_from([True, True, True, False]),
    ),
    max_size=8,
    unique_by=lambda each: str(each.host),
)  # fmt: skip
requests = st.builds(
    ask,
    size=st.integers(1, 300),
    zones=st.none() | st.dictionaries(st.sampled_from(["z1", "z2"]), st.booleans()),
    availability_zone=st.none() | st.sampled_from(["z1", "z2"]),
    extra_specs=st.dictionaries(
        st.sampled_from([MULTIPLE, UPDATE]), st.sampled_from(["<is> True", "True", "False"])
    ),
)


@given(requests, pools_of_all_kinds, st.randoms(use_true_random=False))
def test_the_order_of_pools_does_not_matter(
    request_: PlacementRequest, pools: list[Pool], random: Any
) -> None:
    shuffled = list(pools)
    random.shuffle(shuffled)
    assert place(request_, shuffled) == place(request_, pools)


@given(requests, pools_of_all_kinds)
def test_a_placement_is_sound_and_every_pool_is_accounted_for(
    request_: PlacementRequest, pools: list[Pool]
) -> None:
    placement = place(request_, pools)
    by_host = {each.host: each for each in pools}
    rejected = [host for rejection in placement.rejections for host, _ in rejection.pools]
    assert len(rejected) == len(set(rejected))
    assert len(placement.explain()) <= MAX_EXPLANATION
    if placement.host is None:
        assert set(rejected) == set(by_host)
        return
    chosen = by_host[placement.host]
    assert placement.host not in rejected
    assert placement.availability_zone == chosen.availability_zone
    stats = chosen.stats
    ratio = max(stats.max_over_subscription_ratio, 1) if stats.thin_provisioning else 1
    assert chosen.is_up
    assert chosen.allocated_capacity_gb + request_.size <= stats.total_capacity_gb * ratio + 1e-6
    assert request_.size <= stats.free_capacity_gb * ratio + 1e-6
    if request_.zones is not None:
        assert chosen.availability_zone in request_.zones
        assert stats.capabilities[MULTIPLE] or not request_.zones[chosen.availability_zone]
    assert request_.availability_zone in (None, chosen.availability_zone)
    assert room_gb(chosen) == max(room_gb(each) for each in pools if each.host not in rejected)


@given(requests, pools_of_all_kinds, st.integers(1, 299))
def test_asking_for_less_never_fits_worse(
    request_: PlacementRequest, pools: list[Pool], less: int
) -> None:
    smaller = msgspec.structs.replace(request_, size=max(1, request_.size - less))
    assert place(request_, pools).host is None or place(smaller, pools).host is not None


@given(requests, pools_of_all_kinds, st.data())
def test_more_pools_or_more_room_never_fit_worse(
    request_: PlacementRequest, pools: list[Pool], data: st.DataObject
) -> None:
    if not pools:
        return
    some = data.draw(st.lists(st.sampled_from(pools), unique_by=lambda each: str(each.host)))
    assert place(request_, some).host is None or place(request_, pools).host is not None
    emptied = [
        msgspec.structs.replace(each, allocated_capacity_gb=each.allocated_capacity_gb // 2)
        for each in pools
    ]
    assert place(request_, pools).host is None or place(request_, emptied).host is not None


@given(st.integers(1, 60), st.lists(st.integers(1, 60), min_size=1, max_size=5))
@settings(max_examples=50)
def test_promising_as_placed_never_exceeds_a_pool(size: int, totals: list[int]) -> None:
    """As `domain` does: each placement claims its size before the next one asks."""
    promised = {f"b{number}#p": 0 for number in range(len(totals))}
    for _ in range(400):
        pools = [
            pool(name, total=total, allocated=promised[name])
            for (name, total) in zip(promised, totals, strict=True)
        ]
        host = place(ask(size=size), pools).host
        if host is None:
            break
        promised[f"{host.backend}#{host.pool}"] += size
    assert all(
        total - size < promised[name] <= total for name, total in zip(promised, totals, strict=True)
    )


def test_every_filter_is_tested_above() -> None:
    assert {name for name, *_ in REJECTED} == {each.name for each in FILTERS}
