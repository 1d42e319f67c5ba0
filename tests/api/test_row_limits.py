"""Limits on rows that no quota counts: one more is answered with 413 and a sentence, also when many
ask at once; what goes makes room."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
from oslo_config import cfg
from sqlalchemy.engine import Engine

from abaca.api.app import create_app
from abaca.db.session import begin, read
from abaca.db.tables import share_access_rules, share_instance_access_map, share_servers
from abaca.workflow import queue
from tests.api.conftest import ADMIN, ALICE, BOB, Api, BackEnd

MOST = 3
KINDS = (
    "local_networks",
    "subnets_per_local_network",
    "rbac_policies_per_local_network",
    "subnets_per_share_network",
    "security_services",
    "resource_locks",
    "access_rules_per_share",
)
Ask = Callable[[int], tuple[str, dict[str, Any]]]


@pytest.fixture
def limited(conf: cfg.ConfigOpts, engine: Engine, back_end: BackEnd) -> Api:
    for kind in KINDS:
        conf.set_override(kind, MOST, group="limits")
    api = Api(create_app(conf, engine))
    api.share_type()
    return api


def asking(api: Api, back_end: BackEnd, kind: str) -> Ask:
    """number → path and body of a request of Alice's that makes one more of the kind."""
    if kind == "local_networks":
        return lambda number: ("/network/v2.0/networks", {"network": {"name": str(number)}})
    if kind == "subnets_per_local_network":
        network = api.send("POST", "/network/v2.0/networks", {"network": {}}, who=ALICE).json[
            "network"
        ]["id"]
        return lambda number: (
            "/network/v2.0/subnets",
            {"subnet": {"network_id": network, "cidr": f"10.{number}.0.0/24", "ip_version": 4}},
        )
    if kind == "rbac_policies_per_local_network":
        network = api.send("POST", "/network/v2.0/networks", {"network": {}}, who=ALICE).json[
            "network"
        ]["id"]
        policy = {"object_type": "network", "object_id": network, "action": "access_as_shared"}
        return lambda number: (
            "/network/v2.0/rbac-policies",
            {"rbac_policy": policy | {"target_tenant": str(number)}},
        )
    if kind == "security_services":
        return lambda number: (
            "/v2/security-services",
            {"security_service": {"type": "ldap", "name": str(number)}},
        )
    network = api.share_network()["id"]
    if kind == "subnets_per_share_network":
        zone = {"availability_zone": "nova"}

        def body(number: int) -> dict[str, Any]:
            ids = {"neutron_net_id": f"net-{number}", "neutron_subnet_id": f"sub-{number}"}
            return {"share-network-subnet": ids | zone}

        return lambda number: (f"/v2/share-networks/{network}/subnets", body(number))
    share = api.share(network)["id"]
    back_end.settle(share, "10.0.0.5:/x")
    if kind == "resource_locks":
        return lambda _: (
            "/v2/resource-locks",
            {"resource_lock": {"resource_id": share, "resource_type": "share"}},
        )
    return lambda number: (
        f"/v2/shares/{share}/action",
        {"allow_access": {"access_type": "ip", "access_to": f"10.0.0.{number}"}},
    )


def send(api: Api, request: tuple[str, dict[str, Any]], who: str = ALICE) -> Any:
    return api.send("POST", request[0], request[1], who=who, version="2.82")


@pytest.mark.parametrize("kind", KINDS)
def test_one_more_is_refused(limited: Api, back_end: BackEnd, kind: str) -> None:
    ask = asking(limited, back_end, kind)
    answers = [send(limited, ask(number)) for number in range(1, 2 * MOST)]
    statuses = [answer.status_code for answer in answers]
    made = statuses.index(413)
    assert all(status < 300 for status in statuses[:made]), answers[0].text
    assert set(statuses[made:]) == {413}
    assert made in (MOST, MOST - 1), "a share network has one subnet from the beginning"
    assert f"Quota exceeded for {kind} of " in answers[-1].text
    assert f"1 asked for, {MOST} of {MOST} in use already" in answers[-1].text


@pytest.mark.parametrize("kind", KINDS)
def test_requests_at_once_do_not_exceed_it(limited: Api, back_end: BackEnd, kind: str) -> None:
    ask = asking(limited, back_end, kind)
    with ThreadPoolExecutor(8) as pool:
        statuses = [
            answer.status_code
            for answer in pool.map(lambda number: send(limited, ask(number)), range(1, 17))
        ]
    assert sum(status < 300 for status in statuses) == MOST - (kind == "subnets_per_share_network")
    assert {status for status in statuses if status >= 300} == {413}


def test_other_projects_have_their_own(limited: Api, back_end: BackEnd) -> None:
    for kind in ("local_networks", "security_services"):
        ask = asking(limited, back_end, kind)
        for who in (ALICE, BOB, ADMIN):
            assert [
                send(limited, ask(number), who).status_code // 100 for number in range(1, MOST + 2)
            ] == [2] * MOST + [4], who


def test_what_goes_makes_room(limited: Api, back_end: BackEnd) -> None:
    ask = asking(limited, back_end, "security_services")
    made = [send(limited, ask(number)).json["security_service"]["id"] for number in range(MOST)]
    assert send(limited, ask(9)).status_code == 413
    limited("DELETE", f"/security-services/{made[0]}", who=ALICE, status=202)
    assert send(limited, ask(9)).status_code == 200


def test_a_rule_that_comes_with_locks_counts_them(
    limited: Api, back_end: BackEnd, engine: Engine
) -> None:
    path, body = asking(limited, back_end, "access_rules_per_share")(1)
    body["allow_access"] |= {"lock_visibility": True, "lock_deletion": True}
    assert send(limited, (path, body)).status_code == 200
    body["allow_access"]["access_to"] = "10.0.0.2"
    refused = send(limited, (path, body))
    assert refused.status_code == 413
    assert f"3 asked for, {MOST} of {MOST} in use already" in refused.text
    with engine.connect() as conn:
        assert len(conn.execute(share_access_rules.select()).all()) == 1, "the rule neither"


# Work that is asked for again and again about the same rows


def limited_to(more: int, conf: cfg.ConfigOpts, engine: Engine) -> tuple[Api, int]:
    """An API that takes so many more pieces of Alice's work, and its limit: what other tests have
    put in is still there."""
    with read(engine) as conn:
        limit = queue.in_flight(conn, ALICE.split(":")[1], 10_000) + more
    conf.set_override("waiting_work", limit, group="limits")
    api = Api(create_app(conf, engine))
    api.share_type()
    return api, limit


def _allow(number: int) -> dict[str, Any]:
    return {"allow_access": {"access_type": "ip", "access_to": f"10.0.0.{number}"}}


def test_work_that_waits_is_limited_and_what_takes_away_is_not(
    conf: cfg.ConfigOpts, engine: Engine, back_end: BackEnd
) -> None:
    """Nobody does any work here, so whatever is asked for waits."""
    api, limit = limited_to(6, conf, engine)
    alices, bobs = (
        api.share(api.share_network(who=who)["id"], who=who)["id"] for who in (ALICE, BOB)
    )
    for share in (alices, bobs):
        back_end.settle(share, "10.0.0.5:/x")
    statuses = [
        send(api, (f"/v2/shares/{alices}/action", _allow(number))).status_code
        for number in range(1, 12)
    ]
    refused = send(api, (f"/v2/shares/{alices}/action", _allow(99)))
    assert 200 in statuses and refused.status_code == 413
    assert (
        f"{limit} of {limit} operations are waiting or running. Try again when some of them have "
        "ended." in refused.text
    )
    first, *_, last = (
        rule["id"]
        for rule in reversed(
            api("GET", f"/share-access-rules?share_id={alices}", who=ALICE)["access_list"]
        )
    )
    with begin(engine) as conn:
        conn.execute(sa.update(share_instance_access_map).values(state="active"))
    level = {"update_access": {"access_level": "ro"}}
    path = f"/share-access-rules/{last}"
    assert api("PUT", path, level, who=ALICE, version="2.88")
    with begin(engine) as conn:
        conn.execute(sa.update(share_instance_access_map).values(state="active"))
    level["update_access"]["access_level"] = "rw"
    assert "waiting_work" in api.fault("PUT", path, level, 413, who=ALICE, version="2.88")
    api(
        "POST",
        f"/shares/{alices}/action",
        {"deny_access": {"access_id": first}},
        who=ALICE,
        status=202,
    )
    assert send(api, (f"/v2/shares/{bobs}/action", _allow(1)), who=BOB).status_code == 200
    api("DELETE", f"/shares/{alices}", who=ALICE, status=202)


def test_checks_that_wait_are_limited(
    conf: cfg.ConfigOpts, engine: Engine, back_end: BackEnd
) -> None:
    api, _ = limited_to(5, conf, engine)
    network = api.share_network()["id"]
    back_end.settle(api.share(network)["id"], "10.0.0.5:/x")
    with begin(engine) as conn:
        conn.execute(sa.update(share_servers).values(network_allocation_update_support=True))
    check = {
        "share_network_subnet_create_check": {
            "neutron_net_id": "n",
            "neutron_subnet_id": "s",
            "reset_operation": True,
        }
    }
    answers = [send(api, (f"/v2/share-networks/{network}/action", check)) for _ in range(8)]
    assert answers[0].status_code == 202, answers[0].text
    assert answers[-1].status_code == 413 and "waiting_work" in answers[-1].text
