"""Share network subnets and their metadata. Additions to networks in use need drivers:
`tests/operations` has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from oslo_config import cfg
from sqlalchemy.engine import Engine

from abaca import config
from abaca.api.app import create_app
from abaca.api.pending import waiting_slots
from abaca.db.session import begin
from abaca.db.tables import share_servers
from tests.api.conftest import ADMIN, ALICE, BOB, READER, UNKNOWN, ZONE, Api, BackEnd, new_id
from tests.api.test_share_networks import SUBNET
from tests.api.test_statements import counted

KEYS = SUBNET | {"share_network_id", "share_network_name"}
BODY = "share-network-subnet"


@pytest.fixture
def network(api: Api, back_end: BackEnd) -> str:
    """A share network with a default subnet; there is an availability zone."""
    return str(api.share_network()["id"])


def add(
    api: Api, network: str, status: int = 200, version: str = "2.78", **members: Any
) -> dict[str, Any]:
    answer = api(
        "POST",
        f"/share-networks/{network}/subnets",
        {BODY: members},
        who=ALICE,
        version=version,
        status=status,
    )
    subnet: dict[str, Any] = answer.get("share_network_subnet", answer)
    return subnet


@pytest.mark.parametrize(
    ("version", "keys"),
    [("2.51", KEYS), ("2.70", KEYS), ("2.77", KEYS), ("2.78", KEYS | {"metadata"})],
)
def test_fields_by_version(api: Api, network: str, version: str, keys: set[str]) -> None:
    """share_network_subnets.create, share_network_subnets.show, share_network_subnets.index"""
    ids: dict[str, Any] = {"neutron_net_id": new_id(), "neutron_subnet_id": new_id()}
    made = add(
        api,
        network,
        version=version,
        availability_zone=ZONE,
        share_network_id=UNKNOWN,
        metadata={"k": "v"},
        **ids,
    )
    assert set(made) == keys
    assert made == made | ids | {
        "availability_zone": ZONE,
        "share_network_id": network,
        "share_network_name": "net",
        "cidr": None,
        "updated_at": None,
    }
    assert made.get("metadata", {"k": "v"}) == {"k": "v"}
    path = f"/share-networks/{network}/subnets"
    assert api("GET", f"{path}/{made['id']}", who=READER, version=version) == {
        "share_network_subnet": made
    }
    listed = api("GET", path, who=READER, version=version)["share_network_subnets"]
    assert len(listed) == 2 and listed[1] == made and set(listed[0]) == keys


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (None, 400),
        ({}, 400),
        ({"share_network_subnet": {}}, 400),
        ({BODY: []}, 400),
        ({BODY: {"neutron_net_id": "n"}}, 400),
        ({BODY: {"neutron_subnet_id": "s"}}, 400),
        ({BODY: {"neutron_net_id": 5, "neutron_subnet_id": 6}}, 400),
        ({BODY: {"availability_zone": "nozone"}}, 400),
        ({BODY: {"metadata": {"": "v"}}}, 400),
    ],
)
def test_bad_subnets(api: Api, network: str, body: Any, status: int) -> None:
    path = f"/share-networks/{network}/subnets"
    told = api.fault("POST", path, body, status, who=ALICE, version="2.78")
    if not body or BODY not in body:
        assert told == "Share Network Subnet is missing from the request body."
    assert len(api("GET", path, who=ALICE)["share_network_subnets"]) == 1


def test_second_subnet_of_a_zone(api: Api, network: str) -> None:
    api.fault(
        "POST", f"/share-networks/{network}/subnets", {BODY: {}}, 409, who=ALICE, version="2.69"
    )
    ids: dict[str, Any] = {
        "neutron_net_id": "tempest-net-id-1",
        "neutron_subnet_id": "tempest-subnet-id-1",
    }
    for _ in range(2):
        add(api, network, version="2.70", **ids)
    assert (
        len(api("GET", f"/share-networks/{network}/subnets", who=ALICE)["share_network_subnets"])
        == 3
    )
    api.fault("DELETE", f"/share-networks/{network}", None, 409, who=ALICE)


def test_delete(api: Api, network: str) -> None:
    """share_network_subnets.delete"""
    path = f"/share-networks/{network}/subnets/{add(api, network)['id']}"
    assert api("DELETE", path, who=ALICE, status=202) is None
    for method in ("GET", "DELETE"):
        assert (
            api.fault(method, path, None, 404, who=ALICE)
            == f"Share network subnet {path.rpartition('/')[2]} could not be found."
        )


def test_a_subnet_in_use_stays(api: Api, network: str) -> None:
    api.share_type()
    api.share(network)
    (subnet,) = api("GET", f"/share-networks/{network}/subnets")["share_network_subnets"]
    assert "has one or more shares" in api.fault(
        "DELETE", f"/share-networks/{network}/subnets/{subnet['id']}", None, 409, who=ALICE
    )


def test_a_subnet_is_looked_up_by_its_network_and_project(api: Api, network: str) -> None:
    subnet = add(api, network)["id"]
    other = api.share_network()["id"]
    for path, who in [
        (f"{other}/subnets/{subnet}", ALICE),
        (f"{network}/subnets/{subnet}", BOB),
        (f"{UNKNOWN}/subnets/{subnet}", ADMIN),
    ]:
        for method, tail, body in [
            ("GET", "", None),
            ("DELETE", "", None),
            ("GET", "/metadata", None),
            ("PUT", "/metadata", {"metadata": {"a": "b"}}),
        ]:
            api.fault(method, f"/share-networks/{path}{tail}", body, 404, who=who, version="2.78")
    api.fault("GET", f"/share-networks/{network}/subnets", None, 404, who=BOB)
    api.fault("POST", f"/share-networks/{network}/subnets", {BODY: {}}, 404, who=BOB)
    assert api("GET", f"/share-networks/{network}/subnets/{subnet}", who=ALICE)


def test_check_of_a_network_without_servers(api: Api, network: str) -> None:
    """share_network_subnets.create_check: "share_network_subnet_create_check"."""
    path = f"/share-networks/{network}/action"
    check = "share_network_subnet_create_check"
    for arguments in (
        {},
        None,
        {"neutron_net_id": None, "neutron_subnet_id": None, "reset": True},
        {"neutron_net_id": "n", "neutron_subnet_id": "s"},
    ):
        told: dict[str, Any] = {
            "compatible": True,
            "addresses_needed": 0,
            "addresses_free": None,
            "reasons": [],
        }
        assert api("POST", path, {check: arguments}, status=202) == {
            **told,
            "hosts_check_result": {},
        }
        assert api("POST", path, {check: arguments}, status=202, who=ALICE) == told
    wrong: Any
    for wrong in (
        {"neutron_net_id": "n"},
        {"availability_zone": "nozone"},
        {"reset_operation": "perhaps"},
        [],
    ):
        api.fault("POST", path, {check: wrong}, 400, who=ALICE)
    assert (
        api.fault("POST", f"/share-networks/{UNKNOWN}/action", {check: {}}, 404)
        == f"Share network {UNKNOWN} could not be found."
    )
    assert (
        api.fault("POST", path, {check: {}}, 404, version="2.69")
        == "The resource could not be found."
    )
    assert len(api("GET", f"/share-networks/{network}/subnets")["share_network_subnets"]) == 1


def test_metadata(api: Api, network: str) -> None:
    """metadata.index, metadata.merge, metadata.replace, metadata.show, metadata.set_one,
    metadata.delete"""
    path = (
        f"/share-networks/{network}/subnets/{add(api, network, metadata={'a': 'b'})['id']}/metadata"
    )

    def call(method: str, tail: str = "", body: Any = None) -> Any:
        return api(method, path + tail, body, who=ALICE, version="2.78")

    assert call("GET") == {"metadata": {"a": "b"}}
    assert call("POST", "", {"metadata": {"c": "d"}}) == {"metadata": {"a": "b", "c": "d"}}
    assert call("PUT", "", {"metadata": {"e": "f"}}) == {"metadata": {"e": "f"}}
    assert call("PUT", "/e", {"meta": {"e": "g"}}) == {"meta": {"e": "g"}}
    assert call("POST", "/h", {"meta": {"h": "i"}}) == {"meta": {"h": "i"}}
    assert call("GET", "/h") == {"meta": {"h": "i"}}
    assert call("DELETE", "/h") is None
    assert call("GET") == {"metadata": {"e": "g"}}
    for method in ("GET", "DELETE"):
        api.fault(method, f"{path}/h", None, 404, who=ALICE, version="2.78")
    for tail, wrong in [
        ("", {}),
        ("", {"metadata": {"": "x"}}),
        ("", {"metadata": {"k": "v" * 1024}}),
        ("/e", {"meta": {"x": "y"}}),
        ("/e", {}),
    ]:
        api.fault("PUT", path + tail, wrong, 400, who=ALICE, version="2.78")
    for method, body in [("POST", {"metadata": {"a": "b"}}), ("PUT", {"metadata": {}})]:
        api.fault(method, path, body, 403, who=READER, version="2.78")
    assert call("GET") == {"metadata": {"e": "g"}}


def test_segmentation_is_for_administrators(api: Api, network: str, back_end: BackEnd) -> None:
    back_end.resolve(network)
    path = f"/share-networks/{network}"
    for who, seen in [(ADMIN, ("vxlan", 7)), (ALICE, (None, None))]:
        for version in ("2.50", "2.51"):
            shown = api("GET", path, who=who, version=version)["share_network"]
            subnet = shown if version == "2.50" else shown["share_network_subnets"][0]
            assert (subnet["network_type"], subnet["segmentation_id"]) == seen
            assert (subnet["cidr"], subnet["ip_version"], subnet["gateway"], subnet["mtu"]) == (
                "10.0.0.0/24",
                4,
                "10.0.0.1",
                1450,
            )


def test_additions_that_wait_for_drivers_starve_nobody(
    api: Api, back_end: BackEnd, network: str, conf: cfg.ConfigOpts
) -> None:
    """The drivers never answer: two requests wait for them, a third one is told at once to
    repeat."""
    api.share_type()
    back_end.settle(api.share(network)["id"])
    with begin(back_end.engine) as conn:
        conn.execute(sa.update(share_servers).values(network_allocation_update_support=True))
    path, subnets = f"/share-networks/{network}/subnets", iter(range(100))

    def statements_of_one() -> int:
        body = {BODY: {"neutron_net_id": "net", "neutron_subnet_id": f"subnet-{next(subnets)}"}}
        with counted() as statements:
            assert "check pending" in api.fault("POST", path, body, 409, who=ALICE)
        return len(statements)

    places = waiting_slots(conf.api.threads)
    with places:
        with places:
            assert not places.acquire(blocking=False)
            at_once = statements_of_one()
        assert statements_of_one() > at_once, "it has looked for answers meanwhile"
    assert statements_of_one() > at_once
    assert len(api("GET", path, who=ALICE)["share_network_subnets"]) == 1


# --- subnets that leave ---------------------------------------------------------------------------


def test_a_removal_is_checked_and_asked_for(api: Api, network: str) -> None:
    """share_network_subnets.delete_check: "share_network_subnet_delete_check";
    share_network_subnets.force_delete: "force_delete"."""
    subnet = add(api, network)["id"]
    path = f"/share-networks/{network}/subnets/{subnet}/action"
    check = "share_network_subnet_delete_check"
    cut = {"export_locations": [], "access_rules": [], "clients": [], "all_clients": True}
    wrong: Any
    body: Any
    for arguments in ({}, None, {"reset_operation": True}, {"reset_operation": False, "x": 1}):
        answer = api("POST", path, {check: arguments}, status=202)
        assert answer == {"compatible": True, "hosts_check_result": {}, **cut}
    for wrong in ({"reset_operation": "perhaps"}, []):
        api.fault("POST", path, {check: wrong}, 400)
    for body in ({check: {}}, {"force_delete": None}):
        api.fault("POST", path, body, 403, who=ALICE)
        api.fault("POST", path, body, 404, version="2.69")
        for missing in (
            f"/share-networks/{UNKNOWN}/subnets/{subnet}/action",
            f"/share-networks/{network}/subnets/{UNKNOWN}/action",
        ):
            assert "could not be found" in api.fault("POST", missing, body, 404)
    api("POST", path, {"force_delete": None}, status=202, version="2.70")
    (last,) = api("GET", f"/share-networks/{network}/subnets")["share_network_subnets"]
    path = f"/share-networks/{network}/subnets/{last['id']}/action"
    for body in ({check: {}}, {"force_delete": None}):
        assert "is the last one" in api.fault("POST", path, body, 409)


def test_whom_the_policy_lets_check_a_removal_is_not_told_of_hosts(
    engine: Engine, tmp_path: Path, network: str, api: Api
) -> None:
    subnet = add(api, network)["id"]
    rule = "share_network_subnet:delete_check"
    (tmp_path / "policy.yaml").write_text(f'"{rule}": ""\n')
    settings = {"state_dir": str(tmp_path), "api.auth_strategy": "noauth"}
    open_to_members = Api(create_app(config.load([], settings), engine))
    body: Any = {"share_network_subnet_delete_check": {}}
    path = f"/share-networks/{network}/subnets/{subnet}/action"
    answer = open_to_members("POST", path, body, who=ALICE, status=202)
    cut = {"export_locations": [], "access_rules": [], "clients": [], "all_clients": True}
    assert answer == {"compatible": True, **cut}
