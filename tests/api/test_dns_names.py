"""Names in DNS: who may ask for which, and where they are shown."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
from oslo_config import cfg
from sqlalchemy.engine import Engine

from abaca.db.session import read
from abaca.db.tables import share_instances, shares
from tests.api.conftest import ADMIN, ALICE, BOB, Api, BackEnd

DOMAIN = "nfs.example.org"
PATH = "10.0.0.5:/shares/one"


@pytest.fixture
def conf(conf: cfg.ConfigOpts) -> cfg.ConfigOpts:
    """Names are published; a project may have three."""
    conf.set_override("domain", DOMAIN, group="dns")
    conf.set_override("dns_names", 3, group="limits")
    return conf


@pytest.fixture
def network(api: Api, back_end: BackEnd) -> str:
    api.share_type()
    return str(api.share_network()["id"])


def named(api: Api, network: str, label: str, who: str = ALICE, **more: Any) -> Any:
    return api.share(network, metadata={"dns_name": label}, who=who, **more)


def server_of(engine: Engine, share_id: str) -> str:
    query = sa.select(share_instances.c.share_server_id).where(
        share_instances.c.share_id == share_id
    )
    with read(engine) as conn:
        return str(conn.scalar(query))


BAD = [
    "", "a.b", "UP", "-a", "a-", "a_b", "x" * 64, "*", "@", "xn--bcher-kva", "a\nb A 10.6.6.6",
    "$ORIGIN", "a;b", 'a"', "a b", "ü", "a.", ".", "\\097",
]  # fmt: skip


@pytest.mark.parametrize("label", BAD)
def test_what_is_no_label_is_refused_and_nothing_is_stored(
    api: Api, network: str, back_end: BackEnd, engine: Engine, label: str
) -> None:
    body = {
        "share_proto": "NFS",
        "size": 1,
        "share_network_id": network,
        "metadata": {"dns_name": label},
    }
    assert api.fault("POST", "/shares", {"share": body}, 400, who=ALICE)
    with read(engine) as conn:
        assert conn.scalar(sa.select(sa.func.count()).select_from(shares)) == 0
    share = named(api, network, "good")["id"]
    back_end.settle(share)
    pair = {"dns_name": label}
    for call in (
        ("POST", f"/shares/{share}/metadata", {"metadata": pair}),
        ("PUT", f"/shares/{share}/metadata", {"metadata": pair}),
        ("PUT", f"/shares/{share}/metadata/dns_name", {"meta": pair}),
    ):
        api.fault(*call, 400, who=ALICE)
    assert api("GET", f"/shares/{share}/metadata", who=ALICE) == {"metadata": {"dns_name": "good"}}


@pytest.mark.parametrize("label", ["a", "0", "a-b", "x" * 63, "wpad", "server-1"])
def test_a_label_is_taken(api: Api, network: str, label: str) -> None:
    assert named(api, network, label)["metadata"] == {"dns_name": label}


def test_a_name_is_one_shares_of_a_project_until_it_is_given_up(
    api: Api, network: str, back_end: BackEnd
) -> None:
    first = named(api, network, "docs")["id"]
    body = {
        "share_proto": "NFS",
        "size": 1,
        "share_network_id": network,
        "metadata": {"dns_name": "docs"},
    }
    told = api.fault("POST", "/shares", {"share": body}, 409, who=ALICE)
    assert told == f"The dns_name 'docs' is that of share {first} already."
    second = named(api, network, "other")["id"]
    back_end.settle(second)
    path, pair = f"/shares/{second}/metadata", {"metadata": {"dns_name": "docs"}}
    api.fault("POST", path, pair, 409, who=ALICE)
    # administrators take none, either: two shares under one name are no use to anybody
    api.fault("POST", path, pair, 409, who=ADMIN)
    back_end.settle(first)
    api("DELETE", f"/shares/{first}/metadata/dns_name", who=ALICE)
    assert api("POST", path, pair, who=ALICE) == {"metadata": {"dns_name": "docs"}}
    assert api("POST", path, pair, who=ALICE) == {"metadata": {"dns_name": "docs"}}  # its own


def test_of_many_at_once_one_has_the_name(api: Api, network: str) -> None:
    body = {
        "share_proto": "NFS",
        "size": 1,
        "share_network_id": network,
        "metadata": {"dns_name": "docs"},
    }

    def ask(_: int) -> int:
        return api.send("POST", "/v2/shares", {"share": body}, who=ALICE).status_code

    with ThreadPoolExecutor(8) as threads:
        statuses = sorted(threads.map(ask, range(8)))
    assert statuses == [200] + [409] * 7


def test_another_project_has_names_of_its_own(api: Api, network: str, back_end: BackEnd) -> None:
    other = api.share_network(who=BOB)["id"]
    shown = {}
    for who, where in ((ALICE, network), (BOB, other)):
        share = named(api, where, "docs", who=who)["id"]
        back_end.settle(share, PATH)
        shown[who] = api("GET", f"/shares/{share}/export_locations", who=who, version="2.89")[
            "export_locations"
        ][0]["metadata"]
    assert shown == {
        ALICE: {"abaca:dns_name": f"docs.red.{DOMAIN}"},
        BOB: {"abaca:dns_name": f"docs.blue.{DOMAIN}"},
    }


def test_a_project_has_so_many_names(api: Api, network: str, back_end: BackEnd) -> None:
    made = [named(api, network, f"name-{number}")["id"] for number in range(3)]
    more = api.share(network)["id"]
    for share in (*made, more):
        back_end.settle(share)
    path, pair = f"/shares/{more}/metadata", {"metadata": {"dns_name": "fourth"}}
    told = api.fault("POST", path, pair, 413, who=ALICE)
    assert told == (
        "Quota exceeded for dns_names of project red: 1 asked for, 3 of 3 in use already."
    )
    # another name for one that has one
    api("POST", f"/shares/{made[0]}/metadata", {"metadata": {"dns_name": "anew"}}, who=ALICE)
    other = api.share_network(who=BOB)["id"]
    named(api, other, "docs", who=BOB)
    api("DELETE", f"/shares/{made[1]}/metadata/dns_name", who=ALICE)
    api("POST", path, pair, who=ALICE)


def test_without_a_name_of_its_own_a_share_has_its_servers(
    api: Api, network: str, back_end: BackEnd, engine: Engine
) -> None:
    share = api.share(network)["id"]
    back_end.settle(share, PATH, "[fd00::5]:/shares/one")
    name = f"server-{server_of(engine, share)}.{DOMAIN}"
    base = f"/shares/{share}/export_locations"
    found = api("GET", base, who=ALICE, version="2.89")["export_locations"]
    assert [each["metadata"] for each in found] == [{"abaca:dns_name": name}] * 2
    one = f"{base}/{found[0]['id']}"
    shown = api("GET", one, who=ALICE, version="2.89")["export_location"]
    assert (shown["metadata"], shown["path"]) == ({"abaca:dns_name": name}, PATH)
    instance = api("GET", f"/shares/{share}/instances")["share_instances"][0]["id"]
    of_instance = api("GET", f"/share_instances/{instance}/export_locations", version="2.89")
    assert of_instance["export_locations"][0]["metadata"] == {"abaca:dns_name": name}
    server = api("GET", f"/share-servers/{server_of(engine, share)}")["share_server"]
    assert server["dns_name"] == name


def test_what_is_shown_cannot_be_set(
    api: Api, network: str, back_end: BackEnd, engine: Engine
) -> None:
    """Clients would be led to somebody else's server."""
    share = api.share(network)["id"]
    back_end.settle(share, PATH)
    base = f"/shares/{share}/export_locations"
    location = api("GET", base, who=ALICE, version="2.89")["export_locations"][0]["id"]
    pair = {"abaca:dns_name": "evil.example.net"}
    for method in ("POST", "PUT"):
        told = api.fault(
            method,
            f"{base}/{location}/metadata",
            {"metadata": pair},
            400,
            who=ALICE,
            version="2.89",
        )
        assert "is only shown" in told
    api("POST", f"{base}/{location}/metadata", {"metadata": {"a": "b"}}, who=ALICE, version="2.89")
    assert api("GET", base, who=ALICE, version="2.89")["export_locations"][0]["metadata"] == {
        "a": "b",
        "abaca:dns_name": f"server-{server_of(engine, share)}.{DOMAIN}",
    }


class TestWithoutNames:
    """Nothing is published: metadata is anybody's business, as in Manila."""

    @pytest.fixture
    def conf(self, conf: cfg.ConfigOpts) -> cfg.ConfigOpts:
        conf.clear_override("domain", group="dns")
        return conf

    def test_nothing_is_judged_and_nothing_shown(
        self, api: Api, network: str, back_end: BackEnd, engine: Engine
    ) -> None:
        share = named(api, network, "a.b c")["id"]
        named(api, network, "a.b c")
        back_end.settle(share, PATH)
        found = api("GET", f"/shares/{share}/export_locations", who=ALICE, version="2.89")
        assert found["export_locations"][0]["metadata"] == {}
        server = api("GET", f"/share-servers/{server_of(engine, share)}")["share_server"]
        assert server["dns_name"] is None
