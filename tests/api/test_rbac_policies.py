"""Networks shared between projects, as `openstack network rbac` does it. Over the whole
application, on each database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import Engine

from abaca.db import migrations
from abaca.db.session import create_engine
from abaca.db.tables import local_rbac_policies
from abaca.domain.local_networks.local_ports import SqlPortStore
from abaca.errors import Refused
from abaca.networks.local import LocalNetworks
from tests.api.conftest import Api
from tests.api.test_local_networks import Answer, User, count, order
from tests.api.test_provider_networks import Cloud
from tests.databases import Initialise

POLICIES = "/rbac-policies"


@pytest.fixture
def engine(template_database: Callable[[Initialise], str]) -> Iterator[Engine]:
    made = create_engine(template_database(migrations.upgrade))
    yield made
    made.dispose()


@pytest.fixture
def cloud(engine: Engine, tmp_path: Path) -> Cloud:
    return Cloud(engine, tmp_path, "")


def policy(network: Answer, target: str, **more: Any) -> Answer:
    return {
        "rbac_policy": {
            "object_type": "network",
            "object_id": network["id"],
            "action": "access_as_shared",
            "target_tenant": target,
            **more,
        }
    }


def share(user: User, network: Answer, target: str) -> Answer:
    made: Answer = user("POST", POLICIES, policy(network, target), 201)["rbac_policy"]
    return made


def ids(user: User, path: str) -> list[str]:
    (listed,) = user("GET", path).values()
    return [row["id"] for row in listed]


def finds(cloud: Cloud, subnet: Answer, project: str) -> bool:
    """Whether share networks of the project can be on the subnet."""
    plugin = LocalNetworks({}, SqlPortStore(cloud.engine))
    try:
        plugin.get_subnet(project, subnet["network_id"], subnet["id"])
    except Refused:
        return False
    return True


def test_the_life_of_a_policy(cloud: Cloud) -> None:
    network = cloud.alice.network(name="central")
    subnet = cloud.alice.subnet(network["id"], "10.0.0.0/24")
    assert not finds(cloud, subnet, "blue")
    made = share(cloud.alice, network, "blue")
    assert made == {
        "id": made["id"],
        "project_id": "red",
        "tenant_id": "red",
        "object_type": "network",
        "object_id": network["id"],
        "action": "access_as_shared",
        "target_tenant": "blue",
    }
    assert cloud.alice("GET", POLICIES) == {"rbac_policies": [made]}
    assert cloud.alice("GET", f"{POLICIES}/{made['id']}") == {"rbac_policy": made}
    assert finds(cloud, subnet, "blue") and not finds(cloud, subnet, "green")
    cloud.alice("DELETE", f"{POLICIES}/{made['id']}", None, 204)
    assert not finds(cloud, subnet, "blue")
    assert cloud.alice("GET", POLICIES) == {"rbac_policies": []}


def test_whom_it_is_shared_with_sees_it_as_shared_and_changes_nothing(cloud: Cloud) -> None:
    network = cloud.alice.network(name="central")
    subnet = cloud.alice.subnet(network["id"], "10.0.0.0/24")
    assert ids(cloud.bob, "/networks") == []
    made = share(cloud.alice, network, "blue")
    (seen,) = cloud.bob("GET", "/networks?shared=true")["networks"]
    assert (seen["id"], seen["shared"], seen["project_id"]) == (network["id"], True, "red")
    assert ids(cloud.bob, "/networks?shared=false") == []
    assert ids(cloud.bob, "/subnets") == [subnet["id"]]
    assert cloud.alice("GET", f"/networks/{network['id']}")["network"]["shared"] is False
    assert ids(User(cloud.app, "carl:green:member"), "/networks") == []
    for method, path, body in (
        ("PUT", f"/networks/{network['id']}", {"network": {"name": "mine"}}),
        ("DELETE", f"/networks/{network['id']}", None),
        ("DELETE", f"/subnets/{subnet['id']}", None),
        ("POST", POLICIES, policy(network, "green")),
    ):
        cloud.bob.refused(method, path, body, 403)
    assert ids(cloud.bob, POLICIES) == []
    cloud.bob.refused("GET", f"{POLICIES}/{made['id']}", None, 404)
    cloud.bob.refused("DELETE", f"{POLICIES}/{made['id']}", None, 404)
    assert count(cloud.engine, local_rbac_policies) == 1


def test_shared_with_all_is_a_policy_too(cloud: Cloud) -> None:
    network = cloud.admin.network(shared=True)
    (made,) = cloud.admin("GET", f"{POLICIES}?object_id={network['id']}")["rbac_policies"]
    assert made["target_tenant"] == "*"
    cloud.admin("DELETE", f"{POLICIES}/{made['id']}", None, 204)
    assert cloud.admin("GET", f"/networks/{network['id']}")["network"]["shared"] is False
    share(cloud.admin, network, "*")
    assert cloud.admin("GET", f"/networks/{network['id']}")["network"]["shared"] is True
    assert ids(cloud.bob, "/networks") == [network["id"]]
    path = f"/networks/{network['id']}"
    for shared in (True, False, False, True):
        answer = cloud.admin("PUT", path, {"network": {"shared": shared}})
        assert answer["network"]["shared"] is shared
        assert count(cloud.engine, local_rbac_policies) == int(shared)


def test_only_administrators_share_with_all(cloud: Cloud) -> None:
    network = cloud.alice.network()
    said = cloud.alice.refused("POST", POLICIES, policy(network, "*"), 403)
    assert "administrator" in said
    for_all = share(cloud.admin, network, "*")
    cloud.alice.refused("DELETE", f"{POLICIES}/{for_all['id']}", None, 403)
    cloud.alice.refused("PUT", f"/networks/{network['id']}", {"network": {"shared": False}}, 403)
    cloud.admin("DELETE", f"{POLICIES}/{for_all['id']}", None, 204)


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"object_type": "qos_policy"}, 400),
        ({"action": "access_as_external"}, 400),
        ({"target_tenant": ""}, 400),
        ({"target_tenant": None}, 400),
        ({"target_tenant": "x" * 256}, 400),
        ({"target_tenant": "blue\x00"}, 400),
        ({"project_id": "blue"}, 400),
        ({"id": "mine"}, 400),
        ({"object_id": "nosuch"}, 404),
    ],
)
def test_policies_that_make_no_sense(cloud: Cloud, more: Answer, status: int) -> None:
    network = cloud.alice.network()
    cloud.alice.refused("POST", POLICIES, policy(network, "blue", **more), status)
    assert count(cloud.engine, local_rbac_policies) == 0


def test_a_stranger_s_network_is_not_there(cloud: Cloud) -> None:
    network = cloud.alice.network()
    hidden = cloud.bob.refused("POST", POLICIES, policy(network, "blue"), 404)
    absent = cloud.bob.refused("POST", POLICIES, policy({"id": "nosuch"}, "blue"), 404)
    assert hidden == absent.replace("nosuch", network["id"])


def test_a_project_is_named_once(cloud: Cloud) -> None:
    network = cloud.alice.network()
    share(cloud.alice, network, "blue")
    said = cloud.alice.refused("POST", POLICIES, policy(network, "blue"), 409)
    assert said.startswith("Conflict") and "blue" in said

    def again(_: int) -> int:
        return cloud.alice.client.simulate_request(
            "POST", f"/network/v2.0{POLICIES}", json=policy(network, "green")
        ).status_code

    with ThreadPoolExecutor(8) as threads:
        assert sorted(threads.map(again, range(8))) == [201] + [409] * 7


def test_lists_are_filtered(cloud: Cloud) -> None:
    one, two = cloud.alice.network(), cloud.alice.network()
    blue, green = share(cloud.alice, one, "blue"), share(cloud.alice, two, "green")
    for query, found in (
        ("target_tenant=blue", {blue["id"]}),
        (f"object_id={two['id']}", {green["id"]}),
        ("object_type=network&action=access_as_shared", {blue["id"], green["id"]}),
        ("object_type=qos_policy", set()),
        ("tenant_id=blue", set()),
        ("project_id=red", {blue["id"], green["id"]}),
        (f"id={blue['id']}", {blue["id"]}),
    ):
        assert set(ids(cloud.alice, f"{POLICIES}?{query}")) == found, query
        assert set(ids(cloud.admin, f"{POLICIES}?{query}")) == found, query
    cloud.alice.refused("GET", f"{POLICIES}?nosuch=1", None, 400)


def test_what_a_project_uses_is_not_taken_from_it(cloud: Cloud) -> None:
    network = cloud.alice.network()
    subnet = cloud.alice.subnet(network["id"], "10.0.0.0/24")
    blue, green = share(cloud.alice, network, "blue"), share(cloud.alice, network, "green")
    order(cloud.engine, subnet, "blue")
    order(cloud.engine, subnet, "red")
    cloud.alice("DELETE", f"{POLICIES}/{green['id']}", None, 204)
    said = cloud.alice.refused("DELETE", f"{POLICIES}/{blue['id']}", None, 409)
    assert said.startswith("RbacPolicyInUse") and "blue" in said
    cloud.alice.refused("DELETE", f"/subnets/{subnet['id']}", None, 409)
    cloud.alice.refused("DELETE", f"/networks/{network['id']}", None, 409)
    for_all = share(cloud.admin, network, "*")
    cloud.alice("DELETE", f"{POLICIES}/{blue['id']}", None, 204)
    cloud.admin.refused("DELETE", f"{POLICIES}/{for_all['id']}", None, 409)
    cloud.admin.refused("PUT", f"/networks/{network['id']}", {"network": {"shared": False}}, 409)
    share(cloud.alice, network, "blue")
    cloud.admin("DELETE", f"{POLICIES}/{for_all['id']}", None, 204)


def test_who_is_a_user_of_another_network_holds_nothing(cloud: Cloud) -> None:
    one, two = cloud.alice.network(), cloud.alice.network()
    made = share(cloud.alice, one, "blue")
    order(cloud.engine, cloud.alice.subnet(two["id"], "10.0.0.0/24"), "blue")
    cloud.alice("DELETE", f"{POLICIES}/{made['id']}", None, 204)


def test_policies_go_with_their_network(cloud: Cloud) -> None:
    network = cloud.alice.network()
    share(cloud.alice, network, "blue")
    cloud.alice("DELETE", f"/networks/{network['id']}", None, 204)
    assert count(cloud.engine, local_rbac_policies) == 0


def test_projects_are_found_by_name(cloud: Cloud) -> None:
    """The `openstack` command asks for the project that `--target-project` names."""
    found = Api(cloud.app).expect(200, "GET", "/tenants/blue", who="alice:red:member", version=None)
    assert found.json["tenant"]["id"] == found.json["tenant"]["name"] == "blue"
