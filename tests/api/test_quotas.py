"""Quotas, quota classes and limits: reading and setting them, their enforcement, also by requests
at once, and their release."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from abaca.api.wire.bodies import LARGEST_INTEGER
from abaca.db.session import begin, read
from abaca.db.tables import share_instances
from abaca.domain.capacity import quota_usages
from abaca.domain.shares import share_instances as instances
from tests.api.conftest import ADMIN, ALICE, BOB, NOBODY, READER, UNKNOWN, Api, BackEnd

ANNE = "anne:red:member"
SINCE = {
    0: {"shares", "gigabytes", "snapshots", "snapshot_gigabytes", "share_networks"},
     40: {"share_groups", "share_group_snapshots"},
    53: {"share_replicas", "replica_gigabytes"}, 62: {"per_share_gigabytes"},
     80: {"backups", "backup_gigabytes"}, 90: {"encryption_keys"},
}  # fmt: skip
DEFAULTS = {
    "shares": 50,
    "gigabytes": 1000,
    "snapshots": 50,
    "snapshot_gigabytes": 1000,
    "share_networks": 10,
}


def keys(version: int) -> set[str]:
    return set().union(*(names for since, names in SINCE.items() if since <= version))


@pytest.fixture
def network(api: Api, back_end: BackEnd) -> str:
    api.share_type()
    return str(api.share_network()["id"])


def allow(api: Api, query: str = "", **limits: Any) -> Any:
    return api("PUT", f"/quota-sets/red{query}", {"quota_set": limits})["quota_set"]


def used(api: Api, query: str = "") -> dict[str, int]:
    detail = api("GET", f"/quota-sets/red/detail{query}")["quota_set"]
    return {
        name: detail[name]["in_use"]
        for name in ("shares", "gigabytes", "share_networks")
        if name in detail
    }


def order(network: str, size: int = 1, **members: Any) -> dict[str, Any]:
    return {
        "share": {
            "share_proto": "NFS",
            "size": size,
            "share_type": "gold",
            "share_network_id": network,
            **members,
        }
    }


@pytest.mark.parametrize("version", [0, 6, 7, 24, 25, 39, 40, 53, 62, 70, 79, 80])
def test_keys_by_version(api: Api, version: int) -> None:
    """quotas.show, quotas.detail, quotas.defaults, quotas.update, quotas.delete, quotas.show_class,
    quotas.update_class"""
    at, prefix = f"2.{version}", "/os-" if version <= 6 else "/"
    shown = api("GET", f"{prefix}quota-sets/red", version=at)["quota_set"]
    assert set(shown) == keys(version) | {"id"} and shown["id"] == "red"
    assert shown.items() >= DEFAULTS.items()
    assert api("GET", f"{prefix}quota-sets/red/defaults", version=at)["quota_set"] == shown
    changed = api(
        "PUT",
        f"{prefix}quota-sets/red",
        {"quota_set": {"shares": 3, "tenant_id": "red"}},
        version=at,
    )["quota_set"]
    assert changed == {name: value for name, value in shown.items() if name != "id"} | {"shares": 3}
    of_class = api("GET", f"{prefix}quota-class-sets/default", version=at)["quota_class_set"]
    assert of_class == shown | {"id": "default"}
    wanted = {"quota_class_set": {"class_name": "default", "shares": 4}}
    assert set(
        api("PUT", f"{prefix}quota-class-sets/default", wanted, version=at)["quota_class_set"]
    ) == keys(version)
    api("DELETE", f"{prefix}quota-sets/red", status=202, version=at)
    assert api("GET", f"{prefix}quota-sets/red", version=at)["quota_set"]["shares"] == 4
    if version >= 25:
        detail = api("GET", "/quota-sets/red/detail", version=at)["quota_set"]
        assert detail["shares"] == {"limit": 4, "in_use": 0, "reserved": 0} and set(detail) == set(
            shown
        )


def test_names_of_other_versions(api: Api) -> None:
    for path in ("quota-sets/red", "quota-class-sets/default"):
        api.fault("GET", f"/{path}", None, 404, version="2.6")
        api.fault("GET", f"/os-{path}", None, 404, version="2.7")
    api.fault("GET", "/quota-sets/red/detail", None, 404, version="2.24")


def test_who_may(api: Api) -> None:
    for who in (READER, ALICE):
        api("GET", "/quota-sets/red", who=who)
        api("GET", "/quota-sets/red/detail", who=who)
        api("GET", "/quota-sets/red/defaults", who=who)
    api("GET", "/quota-sets/red/defaults", who=BOB)  # they are the same for all
    for path in ("/quota-sets/red", "/quota-sets/red/detail"):
        api.fault("GET", path, None, 403, who=BOB)
    for path in ("/quota-sets/red", "/quota-sets/red/detail", "/quota-sets/red/defaults"):
        api.fault("GET", path, None, 403, who=NOBODY)
    for method, path in [("PUT", "/quota-sets/red"), ("DELETE", "/quota-sets/red")]:
        api.fault(method, path, {"quota_set": {}}, 403, who=ALICE)
    for method in ("GET", "PUT"):
        api.fault(method, "/quota-class-sets/default", {"quota_class_set": {}}, 403, who=ALICE)


BAD: list[tuple[str, Any]] = [
    ("", {"shares": -2}),
    ("", {"shares": "many"}),
    ("", {"shares": None}),
    ("", {"shares": 2**31}),
    ("", {"no_such": 1}),
    ("?user_id=alice", {"shares": 51}),  # more than the project's
    ("?share_type=gold", {"shares": 51}),
    ("?share_type=gold", {"share_networks": 1}),
    ("?share_type=gold", {"share_groups": 1}),
    ("?share_type=gold&user_id=alice", {"shares": 1}),
]


@pytest.mark.parametrize("query", ["?user_id=alice", "?share_type=gold"])
def test_minus_one_means_no_limit_of_its_own(api: Api, network: str, query: str) -> None:
    api("PUT", "/quota-sets/red", {"quota_set": {"shares": 1}})
    assert (
        api("PUT", f"/quota-sets/red{query}", {"quota_set": {"shares": -1}})["quota_set"]["shares"]
        == -1
    )
    api.share(network)
    another = {"share_proto": "NFS", "share_type": "gold", "size": 1, "share_network_id": network}
    assert "Quota exceeded for shares" in api.fault(
        "POST", "/shares", {"share": another}, 413, who=ALICE
    )


@pytest.mark.parametrize(
    ("force", "status"), [("perhaps", 400), (None, 400), (7, 400), ([], 400), ("on", 200), (1, 200)]
)
def test_force_takes_any_value(api: Api, network: str, force: Any, status: int) -> None:
    api.share(network)
    api("PUT", "/quota-sets/red", {"quota_set": {"shares": 0, "force": force}}, status=status)


@pytest.mark.parametrize(("query", "limits"), BAD)
def test_limits_that_cannot_be(api: Api, query: str, limits: Any) -> None:
    api.share_type()
    api.fault("PUT", f"/quota-sets/red{query}", {"quota_set": limits}, 400)
    assert api("GET", "/quota-sets/red")["quota_set"].items() >= DEFAULTS.items()


def test_bodies_and_queries_that_cannot_be(api: Api) -> None:
    body: Any
    for body in ({}, {"quota_set": None}, []):
        api.fault("PUT", "/quota-sets/red", body, 400)
    for body in ({}, {"quota_class_set": {"shares": -2}}, {"quota_class_set": {"x": 1}}):
        api.fault("PUT", "/quota-class-sets/default", body, 400)
    api.fault(
        "PUT", "/quota-sets/red", {"quota_set": {"per_share_gigabytes": 1}}, 400, version="2.61"
    )
    api.fault("GET", "/quota-sets/red?share_type=gold", None, 404)
    api.fault("GET", "/quota-sets/red?share_type=gold", None, 400, version="2.38")
    api.fault("GET", f"/quota-sets/{'x' * 256}", None, 400)
    api.fault("PUT", f"/quota-class-sets/{'x' * 256}", {"quota_class_set": {"shares": 1}}, 400)


def test_shares_are_counted_and_refused(api: Api, network: str) -> None:
    allow(api, shares=2)
    for _ in range(2):
        api.share(network)
    answer = api.send("POST", "/v2/shares", order(network), who=ALICE)
    assert (
        answer.status_code,
        answer.json["overLimit"]["retryAfter"],
        answer.headers["retry-after"],
    ) == (413, "0", "0")
    assert "shares" in answer.json["overLimit"]["message"]
    assert (
        used(api)
        == used(api, "?user_id=alice")
        == {"shares": 2, "gigabytes": 2, "share_networks": 1}
    )
    assert used(api, "?share_type=gold") == {"shares": 2, "gigabytes": 2}
    assert len(api("GET", "/shares", who=ALICE)["shares"]) == 2


def test_gigabytes(api: Api, network: str) -> None:
    allow(api, gigabytes=10)
    api.share(network, size=8)
    assert "gigabytes" in api.fault("POST", "/shares", order(network, 3), 413, who=ALICE)
    api.share(network, size=2)
    assert used(api)["gigabytes"] == 10


def test_the_size_of_one_share(api: Api, network: str, back_end: BackEnd) -> None:
    allow(api, per_share_gigabytes=4)
    api.fault("POST", "/shares", order(network, 5), 413, who=ALICE)
    made = api.share(network, size=4)["id"]
    back_end.settle(made)
    api.fault("POST", f"/shares/{made}/action", {"extend": {"new_size": 5}}, 403, who=ALICE)


def test_share_networks(api: Api, network: str) -> None:
    allow(api, share_networks=2)
    second = api.share_network()["id"]
    api.fault("POST", "/share-networks", {"share_network": {}}, 413, who=ALICE)
    assert len(api("GET", "/share-networks", who=ALICE)["share_networks"]) == 2
    api("DELETE", f"/share-networks/{second}", status=202, who=ALICE)
    api.share_network()
    assert used(api)["share_networks"] == 2


def test_a_user_and_a_share_type_may_have_less(api: Api, network: str) -> None:
    api.share_type("silver")
    allow(api, "?user_id=alice", shares=1)
    assert allow(api, "?share_type=silver", shares=1)["shares"] == 1
    assert api("GET", "/quota-sets/red?user_id=alice")["quota_set"]["shares"] == 1
    of_type = keys(70) - {"share_networks", "share_groups", "share_group_snapshots"} | {"id"}
    assert set(api("GET", "/quota-sets/red?share_type=silver")["quota_set"]) == of_type
    api.share(network)
    assert "user alice" in api.fault("POST", "/shares", order(network), 413, who=ALICE)
    api.share(network, who=ANNE, share_type="silver")
    assert "share type" in api.fault(
        "POST", "/shares", order(network, share_type="silver"), 413, who=ANNE
    )
    api.share(network, who=ANNE)
    assert (
        used(api)["shares"],
        used(api, "?user_id=anne")["shares"],
        used(api, "?share_type=silver")["shares"],
    ) == (3, 2, 1)
    api("DELETE", "/quota-sets/red?user_id=alice", status=202)
    api.share(network)
    api("DELETE", "/quota-sets/red?share_type=silver", status=202)
    api.share(network, share_type="silver")


def test_below_what_is_in_use_only_by_force(api: Api, network: str) -> None:
    for _ in range(2):
        api.share(network)
    api.fault("PUT", "/quota-sets/red", {"quota_set": {"shares": 1}}, 400)
    assert allow(api, shares=1, force=True)["shares"] == 1
    api.fault("POST", "/shares", order(network), 413, who=ALICE)
    allow(api, shares=-1)
    api.share(network)


@pytest.mark.parametrize("query", ["?user_id=alice", "?share_type=gold"])
def test_beyond_the_projects_only_by_force(api: Api, network: str, query: str) -> None:
    """As Manila does it; the project's limit binds all the same."""
    api("PUT", "/quota-sets/red", {"quota_set": {"shares": 1}})
    api.fault("PUT", f"/quota-sets/red{query}", {"quota_set": {"shares": 11, "force": False}}, 400)
    assert (
        api("PUT", f"/quota-sets/red{query}", {"quota_set": {"shares": 11, "force": True}})[
            "quota_set"
        ]["shares"]
        == 11
    )
    api.share(network)
    assert "Quota exceeded for shares" in api.fault(
        "POST", "/shares", order(network), 413, who=ALICE
    )


def test_extension_and_what_comes_of_it(
    api: Api, network: str, back_end: BackEnd, engine: Engine
) -> None:
    allow(api, gigabytes=5)
    made = api.share(network)["id"]
    instance = api("GET", f"/shares/{made}/instances")["share_instances"][0]["id"]

    def extend(size: int, status: int = 202) -> None:
        back_end.settle(made)
        api(
            "POST",
            f"/shares/{made}/action",
            {"extend": {"new_size": size}},
            status=status,
            who=ALICE,
        )

    def end(how: Callable[..., None], size: int) -> None:
        with begin(engine) as conn:
            how(conn, instance, size)

    extend(6, 403)
    assert used(api)["gigabytes"] == 1
    extend(5)
    assert used(api)["gigabytes"] == 5
    for _ in range(2):  # steps may run twice
        end(instances.not_extended, 5)
        assert used(api)["gigabytes"] == 1
    extend(4)
    end(instances.resized, 4)
    assert used(api)["gigabytes"] == 4
    back_end.settle(made)
    api("POST", f"/shares/{made}/action", {"shrink": {"new_size": 2}}, status=202, who=ALICE)
    assert used(api)["gigabytes"] == 4
    end(instances.resized, 2)
    assert used(api)["gigabytes"] == 2
    extend(5)
    with begin(engine) as conn:  # deleted by force while it grows
        instances.remove(conn, instance)
        instances.not_extended(conn, instance, 5)
        instances.remove(conn, instance)
    for query in ("", "?user_id=alice"):
        assert used(api, query) == {"shares": 0, "gigabytes": 0, "share_networks": 1}
    pools = api("GET", "/scheduler-stats/pools/detail")["pools"]
    assert pools[0]["capabilities"]["allocated_capacity_gb"] == 0


def test_an_extension_by_force_asks_the_quota_but_not_the_pool(
    api: Api, network: str, back_end: BackEnd
) -> None:
    made = api.share(network)["id"]
    back_end.settle(made)
    path = f"/shares/{made}/action"
    api("POST", path, {"extend": {"new_size": 500}}, status=202)
    api("POST", path, {"extend": {"new_size": 500, "force": True}}, status=202, version="2.63")
    assert used(api)["gigabytes"] == 1, "without room nothing is claimed"
    api.fault("POST", path, {"extend": {"new_size": 500, "force": True}}, 403, who=ALICE)
    api.fault("POST", path, {"extend": {"new_size": 5000, "force": True}}, 403)
    api("POST", path, {"extend": {"new_size": 500, "force": True}}, status=202)
    assert used(api)["gigabytes"] == 500


def test_a_share_that_stands_nowhere(api: Api, network: str) -> None:
    made = api.share(network, size=500)
    assert made["status"] == "error"
    assert used(api)["gigabytes"] == 500
    api("DELETE", f"/shares/{made['id']}", status=202, who=ALICE)
    assert used(api) == {"shares": 0, "gigabytes": 0, "share_networks": 1}


def test_what_is_refused_is_not_counted(api: Api, network: str) -> None:
    api.fault("POST", "/shares", order(UNKNOWN), 404, who=ALICE)
    api.fault("POST", "/share-networks", {"share_network": {"neutron_net_id": "n"}}, 400, who=ALICE)
    assert used(api) == {"shares": 0, "gigabytes": 0, "share_networks": 1}


@pytest.mark.parametrize("what", ["shares", "share_networks"])
def test_requests_at_once_do_not_exceed_it(api: Api, network: str, what: str) -> None:
    limits: dict[str, Any] = {what: 4}
    allow(api, **limits)
    networks = [network, api.share_network()["id"]]

    def ask(number: int) -> int:
        if what == "shares":
            return int(
                api.send(
                    "POST",
                    "/v2/shares",
                    order(networks[number % 2]),
                    who=(ALICE, ANNE)[number % 3 % 2],
                ).status_code
            )
        return int(
            api.send("POST", "/v2/share-networks", {"share_network": {}}, who=ALICE).status_code
        )

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(ask, range(16)))
    assert sorted(set(statuses)) == [200, 413]
    assert statuses.count(200) == (4 if what == "shares" else 2)
    assert used(api)[what] == 4


def test_requests_and_deletions_at_once_count_right(api: Api, network: str, engine: Engine) -> None:
    """The worker's removal of shares and the requests for new ones: no deadlock, and an exact
    count."""
    doomed = [api.share(network)["id"] for _ in range(8)]
    with read(engine) as conn:
        ids = (
            conn.execute(
                sa.select(share_instances.c.id).where(share_instances.c.share_id.in_(doomed))
            )
            .scalars()
            .all()
        )

    def remove(instance_id: str) -> None:
        with begin(engine) as conn:
            instances.remove(conn, instance_id)

    with ThreadPoolExecutor(8) as pool:
        removals: list[Future[Any]] = [pool.submit(remove, id_) for id_ in ids]
        requests = [
            pool.submit(api.share, network, (ALICE, ANNE)[number % 2]) for number in range(8)
        ]
        for future in [*removals, *requests]:
            future.result()
    assert used(api) == {"shares": 8, "gigabytes": 8, "share_networks": 1}
    assert used(api, "?user_id=alice")["shares"] == used(api, "?user_id=anne")["shares"] == 4


def test_a_deleted_type_is_forgotten(api: Api, network: str) -> None:
    silver = api.share_type("silver")
    allow(api, "?share_type=silver", shares=0)
    api.fault("POST", "/shares", order(network, share_type="silver"), 413, who=ALICE)
    api("DELETE", f"/types/{silver}", status=202)
    api.share_type("silver")
    api.share(network, share_type="silver")


ABSOLUTE = {
    0: {"maxTotalShares", "maxTotalShareGigabytes", "maxTotalShareSnapshots",
     "maxTotalSnapshotGigabytes", "maxTotalShareNetworks", "totalSharesUsed",
        "totalShareGigabytesUsed", "totalShareSnapshotsUsed", "totalSnapshotGigabytesUsed",
         "totalShareNetworksUsed"},
    53: {"maxTotalShareReplicas", "maxTotalReplicaGigabytes", "totalShareReplicasUsed",
     "totalReplicaGigabytesUsed"},
    58: {"maxTotalShareGroups", "maxTotalShareGroupSnapshots", "totalShareGroupsUsed",
     "totalShareGroupSnapshotsUsed"},
    80: {"maxTotalShareBackups", "maxTotalBackupGigabytes", "totalShareBackupsUsed",
     "totalBackupGigabytesUsed"},
}  # fmt: skip


@pytest.mark.parametrize("version", [0, 52, 53, 57, 58, 70, 79, 80])
def test_limits(api: Api, network: str, version: int) -> None:
    """quotas.limits"""
    allow(api, "?user_id=alice", shares=7)
    api.share(network, size=3)
    answer = api("GET", "/limits", who=ALICE, version=f"2.{version}")["limits"]
    assert answer["rate"] == []
    assert set(answer["absolute"]) == set().union(
        *(names for since, names in ABSOLUTE.items() if since <= version)
    )
    shown = answer["absolute"]
    assert (
        shown["maxTotalShares"],
        shown["totalSharesUsed"],
        shown["totalShareGigabytesUsed"],
        shown["totalShareNetworksUsed"],
    ) == (7, 1, 3, 1)
    assert api("GET", "/limits", who=ADMIN)["limits"]["absolute"]["totalSharesUsed"] == 0
    api.fault("GET", "/limits", None, 403, who=NOBODY)


def test_the_class_default_holds_for_every_project(api: Api, network: str) -> None:
    api("PUT", "/quota-class-sets/default", {"quota_class_set": {"shares": 0}})
    api("PUT", "/quota-class-sets/other", {"quota_class_set": {"shares": 9}})
    api.fault("POST", "/shares", order(network), 413, who=ALICE)
    assert api("GET", "/quota-sets/red/defaults")["quota_set"]["shares"] == 0
    assert api("GET", "/quota-class-sets/other")["quota_class_set"]["shares"] == 9
    allow(api, shares=1)
    api.share(network)


def test_limits_set_at_once_are_one(api: Api) -> None:
    with ThreadPoolExecutor(6) as pool:
        for shown in pool.map(lambda limit: allow(api, shares=limit, force=True), range(1, 7)):
            assert shown["shares"] in range(1, 7)
    assert api("GET", "/quota-sets/red")["quota_set"]["shares"] in range(1, 7)


def test_a_limit_waits_for_what_is_being_claimed(api: Api, network: str, engine: Engine) -> None:
    with ThreadPoolExecutor(1) as pool:
        with begin(engine) as conn:
            quota_usages.claim(conn, "red", "alice", defaults=None, shares=3)
            answer = pool.submit(
                api.send, "PUT", "/v2/quota-sets/red", {"quota_set": {"shares": 2}}
            )
            wait([answer], 0.3)
        assert answer.result().status_code == 400, "three are in use"


def test_force_goes_beyond_what_four_bytes_count(api: Api, network: str, back_end: BackEnd) -> None:
    allow(api, gigabytes=-1)
    for share in (api.share(network)["id"], api.share(network)["id"]):
        back_end.settle(share)
        api(
            "POST",
            f"/shares/{share}/action",
            {"extend": {"new_size": LARGEST_INTEGER, "force": True}},
            status=202,
        )
    assert used(api)["gigabytes"] == 2 * LARGEST_INTEGER
