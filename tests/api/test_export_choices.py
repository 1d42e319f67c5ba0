"""The metadata `export_subnets` of shares and the extra spec of share types that goes with it: what
is refused at once, and what is started."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from oslo_config import cfg
from sqlalchemy.engine import Engine

from abaca.api.app import create_app
from abaca.db.session import begin, read
from abaca.db.tables import pools, share_instances, share_network_subnets, shares
from abaca.workflow.queue import unfinished
from tests.api.conftest import ADMIN, ALICE, BOB, READER, Api, BackEnd
from tests.api.test_statements import counted

CIDRS = {4: "10.0.0.0/24", 6: "fd00::/64"}


@pytest.fixture
def network(api: Api, back_end: BackEnd) -> str:
    """A share network with an IPv4 and an IPv6 subnet, which were looked up."""
    with begin(back_end.engine) as conn:
        stats: dict[str, Any] = conn.scalars(sa.select(pools.c.stats)).one()
        stats["capabilities"]["export_subnets_support"] = True
        conn.execute(sa.update(pools).values(stats=stats))
    api.share_type()
    network = str(api.share_network()["id"])
    api("POST", f"/share-networks/{network}/subnets", {"share-network-subnet": {}})
    table = share_network_subnets
    with begin(back_end.engine) as conn:
        ids = conn.scalars(sa.select(table.c.id).order_by(table.c.created_at)).all()
        for id_, (version, cidr) in zip(ids, CIDRS.items(), strict=True):
            known = {"cidr": cidr, "ip_version": version}
            conn.execute(sa.update(table).where(table.c.id == id_).values(**known))
    return network


def subnets(api: Api, network: str) -> list[dict[str, Any]]:
    return list(api("GET", f"/share-networks/{network}")["share_network"]["share_network_subnets"])


def choice(engine: Engine, share_id: str) -> Any:
    with read(engine) as conn:
        return conn.scalar(sa.select(shares.c.export_choice).where(shares.c.id == share_id))


def started(engine: Engine, share_id: str) -> list[str]:
    """Work that applies the share's rules, and has not ended."""
    with read(engine) as conn:
        instance = conn.scalar(
            sa.select(share_instances.c.id).where(share_instances.c.share_id == share_id)
        )
    return [id_ for id_ in unfinished(engine) if id_.startswith(f"access_apply:{instance}:")]


BAD = {
    "10.9.0.0/24": "'10.9.0.0/24' is neither the id nor the CIDR",
    "fd00::/65": "'fd00::/65' is neither",
    "10.0.0.0/24,ipv4": "must be given alone",
    "ipv4,ipv6": "must be given alone",
    "IPv4": "'IPv4' is neither",
    ",": "there is nothing between",
    " ": "it is empty",
    "fe80::1%eth0": "is neither",
    "00000000-0000-0000-0000-000000000000": "is neither",
    "10.0.0.1/24": "is neither",
    "\u0661\u0660.0.0.0/24": "is neither",
}


@pytest.mark.parametrize("names", BAD)
def test_what_cannot_be_is_refused_with_its_reason(
    api: Api, back_end: BackEnd, network: str, names: str, engine: Engine
) -> None:
    body: dict[str, Any] = {
        "share_proto": "NFS",
        "size": 1,
        "share_type": "gold",
        "share_network_id": network,
        "metadata": {"export_subnets": names},
    }
    reason = api.fault("POST", "/shares", {"share": body}, 400, who=ALICE)
    assert reason.startswith("Invalid export_subnets: ") and BAD[names] in reason
    share = api.share(network)["id"]
    back_end.settle(share)
    pairs = {"export_subnets": names}
    for method, path, change in (
        ("POST", "", {"metadata": pairs}),
        ("PUT", "", {"metadata": pairs}),
        ("PUT", "/export_subnets", {"meta": pairs}),
    ):
        path = f"/shares/{share}/metadata{path}"
        assert BAD[names] in api.fault(method, path, change, 400, who=ALICE)
    assert api("GET", f"/shares/{share}")["share"]["metadata"] == {}
    assert choice(engine, share) is None


def test_it_is_set_changed_and_taken_away_as_any_metadata(
    api: Api, back_end: BackEnd, network: str, engine: Engine
) -> None:
    first, second = (subnet["id"] for subnet in subnets(api, network))
    made = api.share(network, metadata={"export_subnets": second, "a": "b"})
    assert made["metadata"] == {"export_subnets": second, "a": "b"}
    assert choice(engine, made["id"]) == {"share_network_subnet_ids": [second], "ip_version": None}
    back_end.settle(made["id"])
    path = f"/shares/{made['id']}/metadata"
    for method, body, expected in (
        ("POST", {"metadata": {"export_subnets": f"{first}, fd00::/64"}}, [first, second]),
        ("PUT", {"metadata": {"export_subnets": "10.0.0.0/24"}}, [first]),
    ):
        api(method, path, body, who=ALICE)
        assert choice(engine, made["id"])["share_network_subnet_ids"] == expected
        assert api("GET", f"/shares/{made['id']}")["share"]["access_rules_status"] == "syncing"
        assert started(engine, made["id"])
    api("POST", path, {"metadata": {"export_subnets": "ipv6"}}, who=ALICE)
    assert choice(engine, made["id"]) == {"share_network_subnet_ids": None, "ip_version": 6}
    api("DELETE", f"{path}/export_subnets", who=ALICE)
    assert choice(engine, made["id"]) is None


def test_other_metadata_start_nothing_whatever_the_share_is(
    api: Api, back_end: BackEnd, network: str, engine: Engine
) -> None:
    share = api.share(network, metadata={"export_subnets": "ipv4"})["id"]  # still creating
    path = f"/shares/{share}/metadata"
    api("POST", path, {"metadata": {"a": "b"}}, who=ALICE)
    api("PUT", path, {"metadata": {"export_subnets": "ipv4"}}, who=ALICE)
    message = api.fault("DELETE", f"{path}/export_subnets", None, 400, who=ALICE)
    assert "must be available" in message
    back_end.settle(share)
    assert not started(engine, share)


def test_only_who_may_change_the_metadata(api: Api, back_end: BackEnd, network: str) -> None:
    share = api.share(network)["id"]
    back_end.settle(share)
    body = {"metadata": {"export_subnets": "ipv4"}}
    api.fault("POST", f"/shares/{share}/metadata", body, 403, who=READER)
    api.fault("POST", f"/shares/{share}/metadata", body, 404, who=BOB)
    api("POST", f"/shares/{share}/metadata", body, who=ADMIN)


def test_changes_that_wait_are_limited(
    api: Api, back_end: BackEnd, network: str, conf: cfg.ConfigOpts
) -> None:
    share = api.share(network)["id"]
    back_end.settle(share)
    conf.set_override("waiting_work", 0, group="limits")
    api = Api(create_app(conf, back_end.engine))
    path, body = f"/shares/{share}/metadata", {"metadata": {"export_subnets": "ipv4"}}
    assert "waiting_work" in api.fault("POST", path, body, 413, who=ALICE)
    api("POST", path, {"metadata": {"a": "b"}}, who=ALICE)


def test_a_choice_is_taken_back_however_much_work_waits(
    api: Api, back_end: BackEnd, network: str, conf: cfg.ConfigOpts
) -> None:
    share = api.share(network, metadata={"export_subnets": "ipv4"})["id"]
    back_end.settle(share)
    conf.set_override("waiting_work", 0, group="limits")
    api = Api(create_app(conf, back_end.engine))
    path = f"/shares/{share}/metadata"
    api.fault("POST", path, {"metadata": {"export_subnets": "ipv6"}}, 413, who=ALICE)
    api("DELETE", f"{path}/export_subnets", who=ALICE)
    assert choice(back_end.engine, share) is None
    assert len(started(back_end.engine, share)) == 1


def test_a_change_takes_as_many_statements_however_many_subnets_there_are(
    api: Api, back_end: BackEnd, network: str
) -> None:
    share = api.share(network)["id"]
    back_end.settle(share)

    def change(names: str) -> int:
        with counted() as seen:
            api(
                "POST",
                f"/shares/{share}/metadata",
                {"metadata": {"export_subnets": names}},
                who=ALICE,
            )
        return len(seen)

    ids = [subnet["id"] for subnet in subnets(api, network)]
    change("ipv6")  # from now on no status moves: the work of a change waits
    assert change(ids[0]) == change(",".join(ids)) == change("ipv4")


def test_types_name_a_family_that_tenants_see(api: Api, network: str) -> None:
    for value in ("ipv5", "IPv4", "10.0.0.0/24", "ipv4,ipv6"):
        specs = {"driver_handles_share_servers": "True", "abaca:export_subnets": value}
        wrong = {"share_type": {"name": "bad", "extra_specs": specs}}
        assert "must be one of ipv4, ipv6" in api.fault("POST", "/types", wrong, 400)
    specs = {"driver_handles_share_servers": "True", "abaca:export_subnet": "ipv4"}
    wrong = {"share_type": {"name": "bad", "extra_specs": specs}}
    assert "no such extra spec" in api.fault("POST", "/types", wrong, 400)
    specs = {"driver_handles_share_servers": "False", "abaca:export_subnets": "ipv4"}
    wrong = {"share_type": {"name": "bad", "extra_specs": specs}}
    assert "driver_handles_share_servers=False" in api.fault("POST", "/types", wrong, 400)
    made = api.share_type("v6", **{"abaca:export_subnets": "ipv6"})
    off = {"extra_specs": {"driver_handles_share_servers": "False"}}
    assert "chooses subnets" in api.fault("POST", f"/types/{made}/extra_specs", off, 400)
    seen = api("GET", f"/types/{made}", who=ALICE)["share_type"]["extra_specs"]
    assert seen["abaca:export_subnets"] == "ipv6"
    share = api.share(network, share_type="v6")
    assert share["metadata"] == {}
    body: dict[str, Any] = {
        "share_proto": "NFS",
        "size": 1,
        "share_type": "v6",
        "share_network_id": network,
        "metadata": {"export_subnets": "ipv4"},
    }
    message = api.fault("POST", "/shares", {"share": body}, 400, who=ALICE)
    assert "the share type exports on ipv6 subnets only" in message


def test_a_back_end_that_cannot_gets_no_such_share(api: Api, back_end: BackEnd) -> None:
    api.share_type()
    network = api.share_network()["id"]
    back_end.resolve(network)
    share = api.share(network)["id"]
    back_end.settle(share)
    body = {"metadata": {"export_subnets": "ipv4"}}
    message = api.fault("POST", f"/shares/{share}/metadata", body, 409, who=ALICE)
    assert "lacks export_subnets_support" in message
    refused = api.share(network, metadata={"export_subnets": "ipv4"})["id"]
    assert api("GET", f"/shares/{refused}")["share"]["status"] == "error"
