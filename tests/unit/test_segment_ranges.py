"""The options of the `local` network plug-in: what they mean, and what is refused by name."""

from __future__ import annotations

import pytest

from abaca.errors import Unavailable
from abaca.networks.segment_ranges import SegmentRanges, ids


def test_without_options_members_get_vxlan_and_administrators_any_wire() -> None:
    ranges = SegmentRanges.of({})
    assert ranges.tenant_types == ("vxlan",)
    assert ranges.flat == {"*"}
    assert ranges.vlan == {"*": ()}
    assert ranges.vni == (range(1, 2**24),)
    assert [ranges.mtu_of(each) for each in ("flat", "vlan", "local", "vxlan")] == [
        1500,
        1500,
        1500,
        1450,
    ]


def test_ranges_are_read_as_neutron_reads_them() -> None:
    ranges = SegmentRanges.of(
        {
            "tenant_network_types": "vlan, vxlan",
            "flat_networks": "physnet1,physnet2",
            "network_vlan_ranges": "physnet1:100:199, physnet2 ,physnet1:300:300",
            "vni_ranges": "1000:1999,5000:5000",
            "global_physnet_mtu": "9000",
        }
    )
    assert ranges.tenant_types == ("vlan", "vxlan")
    assert ranges.flat == {"physnet1", "physnet2"}
    assert ranges.vlan == {"physnet1": (range(100, 200), range(300, 301)), "physnet2": ()}
    assert ranges.vni == (range(1000, 2000), range(5000, 5001))
    assert ranges.mtu_of("vxlan") == 8950


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tenant_network_types", "flat"),
        ("tenant_network_types", "gre"),
        ("tenant_network_types", "vlan"),
        ("flat_networks", "phys net"),
        ("flat_networks", "x" * 65),
        ("network_vlan_ranges", "physnet1:0:5"),
        ("network_vlan_ranges", "physnet1:5:4095"),
        ("network_vlan_ranges", "physnet1:9:5"),
        ("network_vlan_ranges", "physnet1:5"),
        ("network_vlan_ranges", "physnet1:a:b"),
        ("network_vlan_ranges", "physnet1:-1:5"),
        ("network_vlan_ranges", ":1:5"),
        ("network_vlan_ranges", "*:1:5"),
        ("vni_ranges", "0:5"),
        ("vni_ranges", "5:16777216"),
        ("vni_ranges", "all"),
        ("vni_ranges", ""),
        ("global_physnet_mtu", "68"),
        ("global_physnet_mtu", "65536"),
        ("global_physnet_mtu", "1500 "),
    ],
)
def test_options_that_make_no_sense_are_named(name: str, value: str) -> None:
    with pytest.raises(Unavailable, match=name):
        SegmentRanges.of({name: value})


@pytest.mark.parametrize(
    "ranges", [(range(5, 6),), (range(1, 4), range(10, 12)), (range(1, 2), range(2, 3))]
)
def test_ids_are_each_given_once(ranges: tuple[range, ...]) -> None:
    everything = sorted(each for one in ranges for each in one)
    begins = set()
    for _ in range(200):
        found = list(ids(ranges))
        assert sorted(found) == everything
        begins.add(found[0])
    assert begins <= set(everything) and (len(begins) > 1 or len(everything) == 1)


def test_there_are_no_ids_in_no_ranges() -> None:
    assert list(ids(())) == []
