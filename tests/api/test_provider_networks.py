"""Provider networks: what administrators say of a network's wire, and the ranges that all others
get theirs from. Over the whole application, on each database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import Engine

from abaca import config
from abaca.api.app import create_app
from abaca.db import migrations
from abaca.db.session import create_engine
from abaca.db.tables import local_networks
from abaca.domain.local_networks.local_ports import SqlPortStore
from abaca.errors import Unavailable
from abaca.networks.local import LocalNetworks
from tests.api.test_local_networks import Answer, User, count
from tests.databases import Initialise

TYPE, PHYSICAL, SEGMENT = (
    f"provider:{name}" for name in ("network_type", "physical_network", "segmentation_id")
)
RANGES = """
tenant_network_types = vlan, vxlan
flat_networks = physnet1
network_vlan_ranges = physnet1:100:102, physnet2
vni_ranges = 7000:7001
"""


class Cloud:
    """An application with these options of the plug-in, and its callers."""

    def __init__(self, engine: Engine, folder: Path, options: str) -> None:
        self.engine = engine
        file = folder / "abaca.conf"
        file.write_text(f"[local]\n{options}")
        settings = {"state_dir": str(folder), "api.auth_strategy": "noauth"}
        self.app = create_app(config.load([str(file)], settings), engine)
        self.admin, self.alice, self.bob = (
            User(self.app, token)
            for token in ("root:admin:admin", "alice:red:member", "bob:blue:member")
        )

    def wire(self, network: Answer) -> tuple[Any, Any, Any]:
        """What administrators see of a network."""
        shown = self.admin("GET", f"/networks/{network['id']}")["network"]
        return shown[TYPE], shown[PHYSICAL], shown[SEGMENT]


@pytest.fixture
def engine(template_database: Callable[[Initialise], str]) -> Iterator[Engine]:
    made = create_engine(template_database(migrations.upgrade))
    yield made
    made.dispose()


@pytest.fixture
def plain(engine: Engine, tmp_path: Path) -> Cloud:
    return Cloud(engine, tmp_path, "")


@pytest.fixture
def ranged(engine: Engine, tmp_path: Path) -> Cloud:
    return Cloud(engine, tmp_path, RANGES)


def wanted(kind: Any = None, physical: Any = None, segment: Any = None) -> Answer:
    given = {TYPE: kind, PHYSICAL: physical, SEGMENT: segment}
    return {name: value for name, value in given.items() if value is not None}


@pytest.mark.parametrize(
    ("attributes", "wire", "mtu"),
    [
        (wanted("flat", "physnet1"), ("flat", "physnet1", None), 1500),
        (wanted("vlan", "physnet1", 7), ("vlan", "physnet1", 7), 1500),
        (wanted("vlan", "physnet1", "4094"), ("vlan", "physnet1", 4094), 1500),
        (wanted("vxlan", None, 42), ("vxlan", None, 42), 1450),
        (wanted("local"), ("local", None, None), 1500),
        (wanted("vlan", "physnet1", 7) | {"mtu": 9000}, ("vlan", "physnet1", 7), 9000),
        ({TYPE: None, PHYSICAL: None, SEGMENT: None, "mtu": 1300}, None, 1300),
    ],
)
def test_an_administrator_names_the_wire(
    plain: Cloud, attributes: Answer, wire: tuple[Any, ...] | None, mtu: int
) -> None:
    made = plain.admin.network(**attributes)
    assert made["mtu"] == mtu
    shown = (made[TYPE], made[PHYSICAL], made[SEGMENT])
    assert shown == (wire or ("vxlan", None, made[SEGMENT]))
    assert plain.admin("GET", f"/networks/{made['id']}")["network"] == made


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        (wanted(None, "physnet1"), "need provider:network_type"),
        (wanted(None, None, 5), "need provider:network_type"),
        (wanted("gre", None, 5), "'gre' is not supported"),
        (wanted("flat"), "needs provider:physical_network"),
        (wanted("flat", "physnet1", 5), "has no provider:segmentation_id"),
        (wanted("flat", "phys,net"), "64 letters"),
        (wanted("flat", "physnet1\n"), "64 letters"),
        (wanted("vlan", None, 5), "needs provider:physical_network"),
        (wanted("vlan", "physnet1", 0), "between 1 and 4094"),
        (wanted("vlan", "physnet1", 4095), "between 1 and 4094"),
        (wanted("vlan", "physnet1", -1), "between 1 and 4094"),
        (wanted("vlan", "physnet1", 2**80), "between 1 and 4094"),
        (wanted("vlan", "physnet1", "x"), "provider:segmentation_id"),
        (wanted("vlan", "physnet1"), "provider:segmentation_id is needed"),
        (wanted("vxlan", "physnet1", 5), "has no provider:physical_network"),
        (wanted("vxlan", None, 0), "between 1 and 16777215"),
        (wanted("vxlan", None, 2**24), "between 1 and 16777215"),
        (wanted("local", None, 5), "has no provider:segmentation_id"),
        (wanted("local", "physnet1"), "has no provider:physical_network"),
        (wanted("flat", 5), "provider:physical_network"),
    ],
)
def test_attributes_that_do_not_go_together_are_refused(
    plain: Cloud, attributes: Answer, said: str
) -> None:
    assert said in plain.admin.refused("POST", "/networks", {"network": attributes}, 400)
    assert count(plain.engine, local_networks) == 0


def test_physical_networks_that_are_not_configured_are_refused(ranged: Cloud) -> None:
    for attributes in (wanted("flat", "physnet2"), wanted("vlan", "physnet3", 5)):
        said = ranged.admin.refused("POST", "/networks", {"network": attributes}, 400)
        assert "is not configured" in said
    made = ranged.admin.network(**wanted("vlan", "physnet2", 5))
    assert ranged.wire(made) == ("vlan", "physnet2", 5)


@pytest.mark.parametrize(
    "attributes",
    [wanted("flat", "physnet1"), wanted("vlan", "physnet1", 7), wanted("vxlan", None, 42)],
)
def test_a_wire_has_one_network(plain: Cloud, attributes: Answer) -> None:
    made = plain.admin.network(**attributes)
    assert plain.admin.refused("POST", "/networks", {"network": attributes}, 409).startswith(
        "Conflict: Unable to create the network"
    )
    plain.admin.network(**wanted("vlan", "physnet2", 7))
    plain.admin("DELETE", f"/networks/{made['id']}", None, 204)
    plain.admin.network(**attributes)


def test_local_networks_are_as_many_as_one_likes(plain: Cloud) -> None:
    assert len({plain.admin.network(**wanted("local"))["id"] for _ in range(3)}) == 3


def test_what_members_say_of_wires_is_refused(plain: Cloud) -> None:
    for attributes in (
        wanted("flat", "physnet1"),
        wanted("vxlan"),
        wanted(None, "physnet1"),
        wanted(None, None, 5),
        wanted("nonsense"),
    ):
        assert "administrator" in plain.alice.refused(
            "POST", "/networks", {"network": attributes}, 403
        )
        plain.alice.refused("POST", "/networks", {"networks": [{}, attributes]}, 403)
    assert count(plain.engine, local_networks) == 0


def test_members_neither_see_wires_nor_look_for_them(plain: Cloud) -> None:
    made = plain.admin.network(shared=True, **wanted("vlan", "physnet1", 7))
    shown = plain.alice("GET", f"/networks/{made['id']}?fields=id&fields={SEGMENT}")["network"]
    assert shown == {"id": made["id"]}
    assert not [name for name in plain.alice("GET", "/networks")["networks"][0] if ":n" in name]
    for query in (f"{TYPE}=vlan", f"{SEGMENT}=7", f"{PHYSICAL}=physnet1", "segmentation_id=7"):
        plain.alice.refused("GET", f"/networks?{query}", None, 400)


def test_administrators_look_for_wires(plain: Cloud) -> None:
    made = {
        name: plain.admin.network(name=name, **attributes)
        for name, attributes in (
            ("flat", wanted("flat", "physnet1")),
            ("seven", wanted("vlan", "physnet1", 7)),
            ("eight", wanted("vlan", "physnet2", 8)),
        )
    }
    for query, names in (
        (f"{TYPE}=vlan", {"seven", "eight"}),
        (f"{PHYSICAL}=physnet1", {"flat", "seven"}),
        (f"{SEGMENT}=8", {"eight"}),
        (f"{TYPE}=flat&{PHYSICAL}=physnet2", set()),
    ):
        found = plain.admin("GET", f"/networks?{query}")["networks"]
        assert {network["id"] for network in found} == {made[name]["id"] for name in names}, query
    plain.admin.refused("GET", f"/networks?{SEGMENT}=x", None, 400)


def test_a_wire_does_not_change(plain: Cloud) -> None:
    made = plain.admin.network(**wanted("vlan", "physnet1", 7))
    for name, value in ((SEGMENT, 8), (TYPE, "flat"), (PHYSICAL, "physnet2")):
        plain.admin.refused("PUT", f"/networks/{made['id']}", {"network": {name: value}}, 400)
    assert plain.wire(made) == ("vlan", "physnet1", 7)


def test_members_get_ids_of_the_ranges_in_their_order_until_none_is_left(ranged: Cloud) -> None:
    ranged.admin.network(**wanted("vlan", "physnet1", 101))
    made = [ranged.alice.network() for _ in range(4)]
    wires = [ranged.wire(network) for network in made]
    assert set(wires[:2]) == {("vlan", "physnet1", 100), ("vlan", "physnet1", 102)}
    assert set(wires[2:]) == {("vxlan", None, 7000), ("vxlan", None, 7001)}
    assert [network["mtu"] for network in made] == [1500, 1500, 1450, 1450]
    said = ranged.alice.refused("POST", "/networks", {"network": {}}, 503)
    assert "no segmentation id is free" in said and "7000" not in said
    for attributes in (wanted("vlan", "physnet1"), wanted("vxlan"), wanted("vlan")):
        ranged.admin.refused("POST", "/networks", {"network": attributes}, 503)
    ranged.alice("DELETE", f"/networks/{made[1]['id']}", None, 204)
    assert ranged.wire(ranged.bob.network()) == wires[1]


def test_of_several_that_find_no_wire_none_is_made(ranged: Cloud) -> None:
    ranged.alice.refused("POST", "/networks", {"networks": [{}] * 6}, 503)
    assert count(ranged.engine, local_networks) == 0


def test_an_administrator_may_name_an_id_beyond_the_ranges(ranged: Cloud) -> None:
    for attributes in (wanted("vlan", "physnet1", 500), wanted("vxlan", None, 9)):
        assert ranged.admin.network(**attributes)[SEGMENT] == attributes[SEGMENT]


def test_a_large_range_that_is_nearly_full(engine: Engine, tmp_path: Path) -> None:
    """Those that are looked at first are all taken, wherever it begins."""
    cloud = Cloud(engine, tmp_path, "vni_ranges = 1:80")
    for first in range(1, 80, 20):
        several = [wanted("vxlan", None, vni) for vni in range(first, first + 20) if vni != 33]
        cloud.admin("POST", "/networks", {"networks": several}, 201)
    assert cloud.wire(cloud.alice.network()) == ("vxlan", None, 33)


def test_ids_taken_at_once_are_each_given_once(engine: Engine, tmp_path: Path) -> None:
    cloud = Cloud(
        engine, tmp_path, "tenant_network_types = vlan\nnetwork_vlan_ranges = physnet1:1:9"
    )

    def make(_: int) -> int:
        return cloud.alice.client.simulate_request(
            "POST", "/network/v2.0/networks", json={"network": {}}
        ).status_code

    with ThreadPoolExecutor(8) as threads:
        assert sorted(threads.map(make, range(12))) == [201] * 9 + [503] * 3
    found = cloud.admin("GET", f"/networks?{TYPE}=vlan")["networks"]
    assert sorted(network[SEGMENT] for network in found) == list(range(1, 10))


def test_of_those_who_want_one_wire_at_once_one_gets_it(plain: Cloud) -> None:
    body = {"network": wanted("flat", "physnet1")}

    def make(_: int) -> int:
        return plain.admin.client.simulate_request(
            "POST", "/network/v2.0/networks", json=body
        ).status_code

    with ThreadPoolExecutor(8) as threads:
        assert sorted(threads.map(make, range(8))) == [201] + [409] * 7


@pytest.mark.parametrize(
    "attributes", [wanted("flat", "physnet1"), wanted("vlan", "physnet1", 7), wanted("local"), {}]
)
def test_drivers_learn_what_the_wire_is(plain: Cloud, attributes: Answer) -> None:
    made = plain.admin.network(**attributes)
    subnet = plain.admin.subnet(made["id"], "10.0.0.0/24")
    plugin = LocalNetworks({}, SqlPortStore(plain.engine))
    found = plugin.get_subnet("admin", made["id"], subnet["id"])
    assert (found.network_type, found.physical_network, found.segmentation_id, found.mtu) == (
        made[TYPE],
        made[PHYSICAL],
        made[SEGMENT],
        made["mtu"],
    )
    assert found.is_local


def test_options_that_make_no_sense_stop_the_application(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="vni_ranges"):
        Cloud(engine, tmp_path, "vni_ranges = all")
