"""Networks and subnets in Neutron's format, over the whole application, on each database."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from falcon import testing
from sqlalchemy.engine import Engine

from abaca import config
from abaca.api.app import WsgiApp, create_app
from abaca.db import migrations
from abaca.db.session import begin, create_engine, utcnow
from abaca.db.tables import (
    local_addresses_set_aside,
    local_networks,
    local_ports,
    local_subnets,
    share_network_subnets,
    share_networks,
)
from abaca.domain.local_networks import ip_availability
from abaca.domain.local_networks.local_ports import SqlPortStore
from abaca.errors import NoSpace, Refused
from abaca.networks.interface import AllocationRequest
from abaca.networks.local import LocalNetworks, Port, PortKey
from abaca.values import Caller, NetworkAllocation
from tests.api.called_routes import note
from tests.api.calls import CALLS
from tests.api.conftest import Api
from tests.databases import Initialise

Answer = dict[str, Any]


class User:
    """A caller: `user("POST", "/networks", {…}, 201)` checks the status and returns the body."""

    def __init__(self, app: WsgiApp, token: str) -> None:
        self.client = testing.TestClient(app, headers={"X-Auth-Token": token})

    def __call__(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        result = self.client.simulate_request(method, f"/network/v2.0{path}", json=body)
        assert result.status_code == status, result.text
        note(CALLS, method, f"/network/v2.0{path}", body, None, status)
        return result.json if result.content else None

    def network(self, **attributes: Any) -> Answer:
        made: Answer = self("POST", "/networks", {"network": attributes}, 201)["network"]
        return made

    def subnet(self, network_id: str, cidr: str, **attributes: Any) -> Answer:
        body = {
            "network_id": network_id,
            "cidr": cidr,
            "ip_version": 6 if ":" in cidr else 4,
            **attributes,
        }
        made: Answer = self("POST", "/subnets", {"subnet": body}, 201)["subnet"]
        return made

    def refused(self, method: str, path: str, body: Any, status: int) -> str:
        error = self(method, path, body, status)["NeutronError"]
        assert set(error) == {"type", "message", "detail"}
        return f"{error['type']}: {error['message']}"


@pytest.fixture
def engine(template_database: Callable[[Initialise], str]) -> Iterator[Engine]:
    made = create_engine(template_database(migrations.upgrade))
    yield made
    made.dispose()


@pytest.fixture
def app(engine: Engine, tmp_path: Path) -> WsgiApp:
    return create_app(
        config.load([], {"state_dir": str(tmp_path), "api.auth_strategy": "noauth"}), engine
    )


@pytest.fixture
def alice(app: WsgiApp) -> User:
    return User(app, "alice:red:member")


@pytest.fixture
def bob(app: WsgiApp) -> User:
    return User(app, "bob:blue:member")


@pytest.fixture
def admin(app: WsgiApp) -> User:
    return User(app, "root:admin:admin")


def order(engine: Engine, subnet: Answer, project_id: str) -> None:
    """A share network of that project on the subnet."""
    network_id = str(uuid4())
    with begin(engine) as conn:
        conn.execute(
            sa.insert(share_networks).values(
                id=network_id, project_id=project_id, status="active", created_at=utcnow()
            )
        )
        ids = {"neutron_net_id": subnet["network_id"], "neutron_subnet_id": subnet["id"]}
        conn.execute(
            sa.insert(share_network_subnets).values(
                id=str(uuid4()), share_network_id=network_id, created_at=utcnow(), **ids
            )
        )


def give_address(engine: Engine, subnet: Answer, server_id: str = "server") -> LocalNetworks:
    plugin = LocalNetworks({}, SqlPortStore(engine))
    ids = {"neutron_net_id": subnet["network_id"], "neutron_subnet_id": subnet["id"]}
    plugin.allocate(
        [
            AllocationRequest(
                server_id=server_id,
                share_network_subnet_id="sns",
                count=1,
                project_id=subnet["project_id"],
                **ids,
            )
        ]
    )
    return plugin


def given_addresses(engine: Engine) -> set[str]:
    with engine.connect() as conn:
        return set(conn.scalars(sa.select(local_ports.c.ip_address)))


def count(engine: Engine, table: sa.Table) -> int:
    with engine.connect() as conn:
        return conn.scalar(sa.select(sa.func.count()).select_from(table)) or 0


# --- documents


def test_versions_need_no_credentials(app: WsgiApp) -> None:
    open_to_all = Api(app)
    [version] = open_to_all.expect(200, "GET", "/network", who=None, version=None).json["versions"]
    assert (version["id"], version["status"]) == ("v2.0", "CURRENT")
    assert version["links"][0]["href"].endswith("/network/v2.0/")
    assert open_to_all.expect(200, "GET", "/network/", who=None, version=None).json == {
        "versions": [version]
    }
    assert open_to_all.expect(200, "GET", "/network/v2.0", who=None, version=None).json == {
        "version": version
    }


def test_everything_else_does(app: WsgiApp) -> None:
    for path in ("/networks", "/subnets", "/extensions", "/nosuch"):
        answer = testing.TestClient(app).simulate_request("GET", f"/network/v2.0{path}")
        assert answer.status_code == 401
        assert answer.json["NeutronError"]["type"] == "HTTPUnauthorized"
        assert "WWW-Authenticate" in answer.headers


def test_extensions(alice: User) -> None:
    aliases = [item["alias"] for item in alice("GET", "/extensions")["extensions"]]
    assert "net-mtu" in aliases
    assert alice("GET", "/extensions/net-mtu")["extension"]["alias"] == "net-mtu"
    alice("GET", "/extensions/router", None, 404)


# --- the life of networks and subnets


def test_the_life_of_a_network(alice: User) -> None:
    made = alice.network(name="n", description="d")
    assert (made["name"], made["description"], made["project_id"], made["tenant_id"]) == (
        "n",
        "d",
        "red",
        "red",
    )
    assert (
        made["subnets"],
        made["shared"],
        made["mtu"],
        made["status"],
        made["admin_state_up"],
    ) == ([], False, 1450, "ACTIVE", True)
    assert not any(name.startswith("provider:") for name in made)
    subnet = alice.subnet(made["id"], "10.0.0.0/24")
    assert alice("GET", f"/networks/{made['id']}")["network"] == made | {"subnets": [subnet["id"]]}
    changed = alice("PUT", f"/networks/{made['id']}", {"network": {"name": "m"}})["network"]
    assert (changed["name"], changed["description"]) == ("m", "d")
    assert alice("DELETE", f"/networks/{made['id']}", None, 204) is None
    assert alice("GET", "/networks") == {"networks": []}
    assert alice("GET", "/subnets") == {"subnets": []}


def test_the_life_of_a_subnet(alice: User) -> None:
    network = alice.network()
    made = alice.subnet(network["id"], "10.0.0.0/24", name="s")
    assert made["gateway_ip"] == "10.0.0.1"
    assert made["allocation_pools"] == [{"start": "10.0.0.2", "end": "10.0.0.254"}]
    assert (
        made["project_id"],
        made["dns_nameservers"],
        made["host_routes"],
        made["ipv6_ra_mode"],
    ) == ("red", [], [], None)
    changed = alice("PUT", f"/subnets/{made['id']}", {"subnet": {"name": "t", "description": "d"}})[
        "subnet"
    ]
    assert (changed["name"], changed["description"]) == ("t", "d")
    assert alice("GET", f"/subnets/{made['id']}")["subnet"] == changed
    alice("DELETE", f"/subnets/{made['id']}", None, 204)
    assert alice.refused("GET", f"/subnets/{made['id']}", None, 404).startswith("SubnetNotFound")
    assert alice("GET", f"/networks/{network['id']}")["network"]["subnets"] == []


def pool(start: str, end: str) -> Answer:
    return {"start": f"10.0.0.{start}", "end": f"10.0.0.{end}"}


def test_pools_are_changed_while_addresses_are_given(alice: User, engine: Engine) -> None:
    """What is given stays; only what is in the new pools is given next, and counts as used."""
    made = alice.subnet(alice.network()["id"], "10.0.0.0/24", allocation_pools=[pool("10", "11")])
    plugin = give_address(engine, made, "old")
    (old,) = given_addresses(engine)
    path = f"/subnets/{made['id']}"
    pools = [pool("20", "20"), pool("30", "30")]
    changed = alice("PUT", path, {"subnet": {"allocation_pools": pools[::-1]}})["subnet"]
    assert changed["allocation_pools"] == pools and changed["name"] == made["name"]
    subnet = plugin.get_subnet("red", made["network_id"], made["id"])
    assert plugin.free_addresses(subnet) == 2
    for number in range(2):
        give_address(engine, made, f"new-{number}")
    assert given_addresses(engine) == {old, "10.0.0.20", "10.0.0.30"}
    with pytest.raises(NoSpace, match="0 free addresses"):
        give_address(engine, made, "late")
    alice("PUT", path, {"subnet": {"allocation_pools": []}})
    assert plugin.free_addresses(subnet) == 0
    plugin.release("new-0")
    alice("PUT", path, {"subnet": {"allocation_pools": [pool("10", "11"), pool("20", "20")]}})
    give_address(engine, made, "late")
    assert old in given_addresses(engine) and len(given_addresses(engine)) == 3


@pytest.mark.parametrize(
    ("pools", "status", "why"),
    [
        ([pool("1", "9")], 409, "Gateway 10.0.0.1 is inside the allocation pool"),
        ([pool("9", "12"), pool("12", "14")], 409, "Allocation pools overlap"),
        ([pool("9", "2")], 400, "Invalid allocation pool"),
        ([pool("250", "255")], 400, "goes beyond the host addresses"),
        ([{"start": "10.1.0.2", "end": "10.1.0.9"}], 400, "Invalid allocation pool|beyond"),
        ([pool("9", "9")] * 65, 400, "at most 64 allocation pools"),
        (None, 400, "allocation_pools"),
        ([{"start": "10.0.0.9"}], 400, "end"),
    ],
)
def test_pools_that_make_no_sense_change_nothing(
    alice: User, pools: Any, status: int, why: str
) -> None:
    made = alice.subnet(alice.network()["id"], "10.0.0.0/24")
    path, body = f"/subnets/{made['id']}", {"subnet": {"allocation_pools": pools}}
    assert re.search(why, alice.refused("PUT", path, body, status))
    assert alice("GET", path)["subnet"] == made


def test_who_sets_the_pools_frees_what_was_set_aside(alice: User, engine: Engine) -> None:
    made = alice.subnet(alice.network()["id"], "10.0.0.0/24", allocation_pools=[pool("10", "10")])
    other = alice.subnet(alice.network()["id"], "10.0.0.0/24", allocation_pools=[pool("10", "10")])
    for number, subnet in enumerate((made, other)):
        give_address(engine, subnet, f"server-{number}").set_aside(
            f"server-{number}", ["10.0.0.10"]
        )
        with pytest.raises(NoSpace, match="set aside"):
            give_address(engine, subnet)
    alice("PUT", f"/subnets/{made['id']}", {"subnet": {"name": "new"}})
    with pytest.raises(NoSpace, match="set aside"):
        give_address(engine, made)
    pools = {"allocation_pools": made["allocation_pools"]}
    alice("PUT", f"/subnets/{made['id']}", {"subnet": pools})
    give_address(engine, made)
    assert given_addresses(engine) == {"10.0.0.10"}
    assert count(engine, local_addresses_set_aside) == 1, "the other subnet's"
    alice("DELETE", f"/subnets/{other['id']}", None, 204)
    assert count(engine, local_addresses_set_aside) == 0


def test_how_many_addresses_are_taken(alice: User, bob: User, engine: Engine) -> None:
    """What may not be given out is taken: ports and what was set aside, in the pools only."""
    net = alice.network(name="lab")
    made = alice.subnet(net["id"], "10.0.0.0/24", name="v4", allocation_pools=[pool("10", "19")])
    wide = alice.subnet(net["id"], "fd00::/60", gateway_ip=None)
    alice.network(name="empty")
    plugin = give_address(engine, made, "one")
    (first,) = given_addresses(engine)
    give_address(engine, made, "two")
    path = f"/network-ip-availabilities/{net['id']}"
    shown = alice("GET", path)["network_ip_availability"]
    v4, v6 = sorted(shown["subnet_ip_availability"], key=lambda each: int(each["ip_version"]))
    assert v4 == {
        "subnet_id": made["id"],
        "subnet_name": "v4",
        "cidr": "10.0.0.0/24",
        "ip_version": 4,
        "total_ips": 10,
        "used_ips": 2,
    }
    assert (v6["subnet_id"], v6["used_ips"]) == (wide["id"], 0)
    assert v6["total_ips"] > 2**67  # more than 64 bits, which JSON has no limit for
    assert (shown["total_ips"], shown["used_ips"]) == (10 + v6["total_ips"], 2)
    assert {name: shown[name] for name in ("network_name", "project_id", "tenant_id")} == {
        "network_name": "lab",
        "project_id": "red",
        "tenant_id": "red",
    }

    plugin.set_aside("one", [first])
    assert given_addresses(engine) and first not in given_addresses(engine)
    assert alice("GET", path)["network_ip_availability"]["used_ips"] == 2
    alice("PUT", f"/subnets/{made['id']}", {"subnet": {"allocation_pools": [pool("200", "209")]}})
    assert alice("GET", path)["network_ip_availability"]["used_ips"] == 0, "out of the pools"

    def listed(query: str = "", user: User = alice) -> list[tuple[str, int]]:
        found = user("GET", f"/network-ip-availabilities{query}")["network_ip_availabilities"]
        return sorted((each["network_name"], len(each["subnet_ip_availability"])) for each in found)

    assert listed() == [("empty", 0), ("lab", 2)]
    assert listed("?ip_version=6") == [("empty", 0), ("lab", 1)]
    assert listed(f"?network_id={net['id']}&tenant_id=red") == [("lab", 2)]
    assert listed("?network_name=empty") == [("empty", 0)]
    assert len(listed("?limit=1")) == 1
    assert listed(user=bob) == []
    assert "NetworkNotFound" in bob.refused("GET", path, None, 404)


@pytest.mark.slow("22,000 rows are stored")
def test_addresses_are_counted_of_more_subnets_than_a_statement_can_name(
    alice: User, engine: Engine
) -> None:
    """Projects may share that many with somebody who did not ask."""
    number = 22_000  # each named three times: PostgreSQL takes 65,535 parameters
    network = alice.network(name="wide")["id"]
    subnet = {
        "network_id": network,
        "project_id": "red",
        "name": "",
        "cidr": "10.0.0.0/24",
        "ip_version": 4,
        "allocation_pools": [{"start": "10.0.0.1", "end": "10.0.0.9"}],
        "created_at": utcnow(),
    }
    rows = [{**subnet, "id": str(uuid4())} for _ in range(number)]
    caller = Caller(user_id="a", project_id="red", roles=(), is_admin=False)
    with begin(engine) as conn:
        conn.execute(sa.insert(local_subnets), rows)
        (told,) = ip_availability.find(conn, caller, {})
        conn.execute(sa.delete(local_subnets).where(local_subnets.c.network_id == network))
    assert (told["total_ips"], told["used_ips"]) == (9 * number, 0)


@pytest.mark.parametrize(
    ("cidr", "attributes", "gateway", "pools"),
    [
        ("fd00:1::/64", {}, "fd00:1::1", [("fd00:1::2", "fd00:1::ffff:ffff:ffff:ffff")]),
        ("10.0.0.0/24", {"gateway_ip": None}, None, [("10.0.0.1", "10.0.0.254")]),
        (
            "10.0.0.0/24",
            {"gateway_ip": "10.0.0.100"},
            "10.0.0.100",
            [("10.0.0.1", "10.0.0.99"), ("10.0.0.101", "10.0.0.254")],
        ),
        (
            "10.0.0.0/24",
            {"allocation_pools": [{"start": "10.0.0.9", "end": "10.0.0.9"}]},
            "10.0.0.1",
            [("10.0.0.9", "10.0.0.9")],
        ),
        (
            "10.0.0.0/30",
            {"enable_dhcp": True, "ipv6_ra_mode": None, "dns_nameservers": []},
            "10.0.0.1",
            [("10.0.0.2", "10.0.0.2")],
        ),
    ],
)
def test_gateways_and_pools(
    alice: User, cidr: str, attributes: Answer, gateway: str | None, pools: list[tuple[str, str]]
) -> None:
    made = alice.subnet(alice.network()["id"], cidr, **attributes)
    assert made["gateway_ip"] == gateway
    assert [(pool["start"], pool["end"]) for pool in made["allocation_pools"]] == pools


@pytest.mark.parametrize(
    ("attributes", "status"),
    [
        ({"cidr": "10.0.0.0/33"}, 400),
        ({"cidr": "10.0.0.5/24"}, 400),
        ({"cidr": "10.0.0.0/31"}, 400),
        ({"cidr": "0.0.0.0/0"}, 400),
        ({"cidr": "224.0.0.0/24"}, 400),
        ({"cidr": "127.0.0.0/24"}, 400),
        ({"cidr": "fe80::/64", "ip_version": 6}, 400),
        ({"cidr": "126.0.0.0/7"}, 400),
        ({"cidr": "168.0.0.0/6"}, 400),
        ({"cidr": "224.0.0.0/3"}, 400),
        ({"cidr": "0.0.0.0/24"}, 400),
        ({"cidr": "fe80::/9", "ip_version": 6}, 400),
        ({"cidr": "fc00::/6", "ip_version": 6}, 400),
        ({"cidr": "::/64", "ip_version": 6}, 400),
        ({"cidr": "::ffff:10.0.0.0/120", "ip_version": 6}, 400),
        ({"cidr": "x"}, 400),
        ({"cidr": None}, 400),
        ({"cidr": "10.0.0.0/24", "ip_version": 6}, 400),
        ({"ip_version": 5}, 400),
        ({"gateway_ip": "10.1.0.1"}, 400),
        ({"gateway_ip": "10.0.0.255"}, 400),
        ({"gateway_ip": "fd00::1"}, 400),
        ({"gateway_ip": "x"}, 400),
        ({"cidr": "fd00::%1/64", "ip_version": 6}, 400),
        ({"cidr": "fd00::/64", "ip_version": 6, "gateway_ip": "fd00::1%eth0"}, 400),
        (
            {
                "cidr": "fd00::/64",
                "ip_version": 6,
                "allocation_pools": [{"start": "fd00::2%1", "end": "fd00::9"}],
            },
            400,
        ),
        ({"allocation_pools": [{"start": "10.0.0.1", "end": "10.0.0.9"}]}, 409),
        ({"allocation_pools": [{"start": "10.0.0.9", "end": "10.0.0.2"}]}, 400),
        ({"allocation_pools": [{"start": "10.0.0.9"}]}, 400),
        ({"allocation_pools": [{"start": "10.0.0.9", "end": "10.0.0.9"}] * 65}, 400),
        ({"allocation_pools": "all"}, 400),
        ({"dns_nameservers": ["10.0.0.2"]}, 400),
        ({"ipv6_ra_mode": "slaac"}, 400),
        ({"subnetpool_id": "p"}, 400),
        ({"name": "x" * 256}, 400),
        ({"name": 5}, 400),
        ({"vxlan_id": 7}, 400),
        ({"id": "mine"}, 400),
        ({"project_id": "blue"}, 400),
        ({"network_id": "nosuch"}, 404),
    ],
)
def test_subnets_that_make_no_sense(
    alice: User, engine: Engine, attributes: Answer, status: int
) -> None:
    body = {
        "network_id": alice.network()["id"],
        "cidr": "10.0.0.0/24",
        "ip_version": 4,
        **attributes,
    }
    alice.refused("POST", "/subnets", {"subnet": body}, status)
    assert count(engine, local_subnets) == 0


@pytest.mark.parametrize(
    "attributes",
    [
        {"mtu": 68},
        {"mtu": 10**6},
        {"mtu": "x"},
        {"admin_state_up": False},
        {"router:external": True},
        {"name": None},
        {"vxlan_id": 1},
        {"status": "DOWN"},
    ],
)
def test_networks_that_make_no_sense(alice: User, engine: Engine, attributes: Answer) -> None:
    alice.refused("POST", "/networks", {"network": attributes}, 400)
    assert count(engine, local_networks) == 0


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"network": []},
        {"networks": []},
        {"networks": [{}] * 101},
        {"networks": [5]},
        "x",
    ],
)
def test_bodies_that_make_no_sense(alice: User, engine: Engine, body: Any) -> None:
    alice.refused("POST", "/networks", body, 400)
    assert count(engine, local_networks) == 0


def test_several_at_once_are_all_made_or_none(alice: User) -> None:
    made = alice("POST", "/networks", {"networks": [{"name": "a"}, {"name": "b"}]}, 201)["networks"]
    assert [network["name"] for network in made] == ["a", "b"]
    ranges = [
        {"network_id": made[0]["id"], "cidr": cidr, "ip_version": 4}
        for cidr in ("10.0.0.0/24", "10.0.1.0/24")
    ]
    assert len(alice("POST", "/subnets", {"subnets": ranges}, 201)["subnets"]) == 2
    alice.refused(
        "POST", "/subnets", {"subnets": [ranges[0] | {"cidr": "10.0.2.0/24"}, ranges[0]]}, 400
    )
    assert len(alice("GET", "/subnets")["subnets"]) == 2


def test_ranges_overlap_on_different_networks_only(alice: User) -> None:
    one, two = alice.network(), alice.network()
    for network in (one, two):
        alice.subnet(network["id"], "10.0.0.0/24")
        alice.subnet(network["id"], "fd00::/64")
    for cidr, version in (("10.0.0.128/25", 4), ("10.0.0.0/16", 4), ("fd00::/48", 6)):
        body = {"network_id": one["id"], "cidr": cidr, "ip_version": version}
        assert "overlaps" in alice.refused("POST", "/subnets", {"subnet": body}, 400)


# --- lists


def test_lists_are_filtered(alice: User) -> None:
    one, two = alice.network(name="one"), alice.network(name="two")
    v4, v6 = (
        alice.subnet(one["id"], "10.0.0.0/24", name="v4"),
        alice.subnet(one["id"], "fd00::/64", name="v6"),
    )
    for query, found in (
        ("name=one", [one]),
        (f"id={two['id']}", [two]),
        (f"id={one['id']}&id={two['id']}", [one, two]),
        ("name=none", []),
        ("router:external=True", []),
        ("status=ACTIVE&name=two", [two]),
        ("tenant_id=red&shared=false&name=one", [one]),
    ):
        assert {item["id"] for item in alice("GET", f"/networks?{query}")["networks"]} == {
            item["id"] for item in found
        }, query
    for query, wanted in (
        (f"network_id={one['id']}", [v4, v6]),
        ("ip_version=6", [v6]),
        ("name=v4", [v4]),
        ("cidr=fd00::/64", [v6]),
    ):
        assert {item["id"] for item in alice("GET", f"/subnets?{query}")["subnets"]} == {
            item["id"] for item in wanted
        }, query
    for query in (
        "/networks?nosuch=1",
        "/subnets?ip_version=x",
        "/networks?shared=perhaps",
        "/networks?limit=x",
        "/networks?name=%00",
    ):
        alice.refused("GET", query, None, 400)


def test_fields_are_chosen(alice: User) -> None:
    made = alice.network(name="n")
    assert alice("GET", "/networks?fields=id&fields=name") == {
        "networks": [{"id": made["id"], "name": "n"}]
    }
    assert alice("GET", f"/networks/{made['id']}?fields=name") == {"network": {"name": "n"}}


def test_long_lists_come_in_parts(alice: User) -> None:
    ids = sorted(alice.network(name="n")["id"] for _ in range(5))
    path, found = "/networks?limit=2&name=n&fields=id", []
    for _ in range(3):
        answer = alice("GET", path)
        found += [item["id"] for item in answer["networks"]]
        path = next(
            (link["href"].partition("/v2.0")[2] for link in answer.get("networks_links", [])), ""
        )
    assert found == ids
    assert path == ""


# --- who may do what


def test_another_projects_networks_are_not_there(alice: User, bob: User) -> None:
    network = alice.network()
    subnet = alice.subnet(network["id"], "10.0.0.0/24")
    assert bob("GET", "/networks") == {"networks": []}
    assert bob("GET", f"/subnets?id={subnet['id']}") == {"subnets": []}
    for noun, resource in (("network", network), ("subnet", subnet)):
        path = f"/{noun}s/{resource['id']}"
        for method, body in (("GET", None), ("PUT", {noun: {"name": "mine"}}), ("DELETE", None)):
            hidden, absent = (
                bob.refused(method, path, body, 404),
                bob.refused(method, f"/{noun}s/nosuch", body, 404),
            )
            assert hidden == absent.replace("nosuch", resource["id"])
    bob.refused(
        "POST",
        "/subnets",
        {"subnet": {"network_id": network["id"], "cidr": "10.1.0.0/24", "ip_version": 4}},
        404,
    )


def test_shared_networks_are_seen_and_not_changed(admin: User, bob: User) -> None:
    network = admin.network(shared=True)
    subnet = admin.subnet(network["id"], "10.0.0.0/24")
    assert [item["id"] for item in bob("GET", "/networks")["networks"]] == [network["id"]]
    assert bob("GET", f"/subnets/{subnet['id']}")["subnet"] == subnet
    bob.refused("PUT", f"/networks/{network['id']}", {"network": {"name": "mine"}}, 403)
    bob.refused("DELETE", f"/networks/{network['id']}", None, 403)
    bob.refused("DELETE", f"/subnets/{subnet['id']}", None, 403)
    bob.refused(
        "POST",
        "/subnets",
        {"subnet": {"network_id": network["id"], "cidr": "10.1.0.0/24", "ip_version": 4}},
        403,
    )


def test_what_only_administrators_do(alice: User, admin: User) -> None:
    network = alice.network()
    for body in ({"shared": True}, {"project_id": "blue"}, {"tenant_id": "blue"}):
        alice.refused("POST", "/networks", {"network": body}, 403)
    alice.refused("PUT", f"/networks/{network['id']}", {"network": {"shared": True}}, 403)
    assert alice.network(project_id="red")["project_id"] == "red"
    made = admin.network(project_id="red", shared=True)
    assert alice("GET", f"/networks/{made['id']}")["network"]["project_id"] == "red"
    assert admin.subnet(made["id"], "10.0.0.0/24")["project_id"] == "red"
    seen = {item["id"]: item for item in admin("GET", "/networks")["networks"]}
    assert seen[network["id"]]["provider:network_type"] == "vxlan"
    assert 0 < seen[network["id"]]["provider:segmentation_id"] < 2**24
    assert (
        seen[network["id"]]["provider:segmentation_id"]
        != seen[made["id"]]["provider:segmentation_id"]
    )


def test_readers_change_nothing(app: WsgiApp, alice: User) -> None:
    reader, network = User(app, "carol:red:reader"), alice.network()
    assert len(reader("GET", "/networks")["networks"]) == 1
    assert reader.refused("POST", "/networks", {"network": {}}, 403).startswith(
        "PolicyNotAuthorized"
    )
    reader.refused("PUT", f"/networks/{network['id']}", {"network": {"name": "n"}}, 403)
    reader.refused("DELETE", f"/networks/{network['id']}", None, 403)


# --- in use


def test_what_has_addresses_stays(alice: User, engine: Engine) -> None:
    network = alice.network()
    used, unused = (
        alice.subnet(network["id"], "10.0.0.0/24"),
        alice.subnet(network["id"], "fd00::/64"),
    )
    plugin = give_address(engine, used)
    assert alice.refused("DELETE", f"/subnets/{used['id']}", None, 409).startswith("SubnetInUse")
    refusal = alice.refused("DELETE", f"/networks/{network['id']}", None, 409)
    assert refusal.startswith("NetworkInUse") and used["id"] in refusal
    assert len(alice("GET", "/subnets")["subnets"]) == 2
    alice("DELETE", f"/subnets/{unused['id']}", None, 204)
    plugin.release("server")
    alice("DELETE", f"/networks/{network['id']}", None, 204)


def test_what_a_share_network_stands_on_stays(alice: User, engine: Engine) -> None:
    subnet = alice.subnet(alice.network()["id"], "10.0.0.0/24")
    order(engine, subnet, "red")
    alice.refused("DELETE", f"/subnets/{subnet['id']}", None, 409)
    alice.refused("DELETE", f"/networks/{subnet['network_id']}", None, 409)


def test_a_stranger_who_writes_an_id_down_holds_nothing(
    alice: User, admin: User, engine: Engine
) -> None:
    """Share networks take any id unverified; one that its project cannot use must not keep the
    owner from deleting."""
    subnet = alice.subnet(alice.network()["id"], "10.0.0.0/24")
    order(engine, subnet, "blue")
    alice("DELETE", f"/subnets/{subnet['id']}", None, 204)
    shared = admin.subnet(admin.network(shared=True)["id"], "10.0.0.0/24")
    order(engine, shared, "blue")
    admin.refused("DELETE", f"/subnets/{shared['id']}", None, 409)


# --- at once


def test_of_overlapping_ranges_made_at_once_one_wins(alice: User) -> None:
    body = {"network_id": alice.network()["id"], "cidr": "10.0.0.0/24", "ip_version": 4}

    def make(_: int) -> int:
        return alice.client.simulate_request(
            "POST", "/network/v2.0/subnets", json={"subnet": body}
        ).status_code

    with ThreadPoolExecutor(8) as threads:
        assert sorted(threads.map(make, range(8))) == [201] + [400] * 7
    assert len(alice("GET", "/subnets")["subnets"]) == 1


def test_subnets_on_several_networks_made_in_two_orders_at_once(admin: User) -> None:
    """Nobody waits for somebody who waits for them; nor do networks of several projects."""
    one, other = (admin.network()["id"] for _ in range(2))

    def make(number: int) -> list[int]:
        ids = (one, other) if number % 2 else (other, one)
        subnets = [
            {"network_id": id_, "cidr": f"10.{number}.{place}.0/24", "ip_version": 4}
            for place, id_ in enumerate(ids * 8)
        ]
        projects = ("red", "blue") if number % 2 else ("blue", "red")
        networks = [{"project_id": project} for project in projects * 4]
        return [
            admin.client.simulate_request("POST", f"/network/v2.0/{noun}", json=body).status_code
            for noun, body in (
                ("subnets", {"subnets": subnets}),
                ("networks", {"networks": networks}),
            )
        ]

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(make, range(12))) == [[201, 201]] * 12


def test_networks_made_at_once_differ(admin: User) -> None:
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda _: admin.network(), range(24)))
    assert len({network["provider:segmentation_id"] for network in made}) == 24


def test_a_subnet_deleted_while_addresses_are_given(alice: User, engine: Engine) -> None:
    """Either it is deleted and nothing is given, or something is given and it stays: never a port
    without a subnet."""
    network = alice.network()

    def give(subnet: Answer) -> bool:
        try:
            give_address(engine, subnet, server_id=subnet["id"])
        except Refused:
            return False
        return True

    def delete(subnet: Answer) -> bool:
        status = alice.client.simulate_request(
            "DELETE", f"/network/v2.0/subnets/{subnet['id']}"
        ).status_code
        assert status in (204, 409)
        return status == 204

    subnets = [alice.subnet(network["id"], f"10.0.{number}.0/24") for number in range(12)]
    with ThreadPoolExecutor(4) as threads:
        outcomes = [
            (threads.submit(give, subnet), threads.submit(delete, subnet)) for subnet in subnets
        ]
        assert all(given.result() != deleted.result() for given, deleted in outcomes)


@pytest.mark.parametrize("noun", ["subnet", "network"])
def test_deleting_waits_for_addresses_that_are_just_given(
    alice: User, engine: Engine, noun: str
) -> None:
    subnet = alice.subnet(alice.network()["id"], "10.0.0.0/24")
    path = f"/networks/{subnet['network_id']}" if noun == "network" else f"/subnets/{subnet['id']}"
    key = PortKey(server_id="server", share_network_subnet_id="sns", position=0)
    port = Port(
        key=key,
        subnet_id=subnet["id"],
        allocation=NetworkAllocation(
            id="port", ip_address="10.0.0.2", mac_address="02:00:00:00:00:01"
        ),
    )
    with ThreadPoolExecutor(1) as threads:
        with SqlPortStore(engine).lock([subnet["id"]]) as locked:
            deletion = threads.submit(
                alice.client.simulate_request, "DELETE", f"/network/v2.0{path}"
            )
            with pytest.raises(TimeoutError):
                deletion.result(0.5)
            locked.add([port])
        assert deletion.result(30).status_code == 409
