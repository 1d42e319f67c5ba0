"""Metadata of shares and of access rules. That of share network subnets:
`test_share_network_subnets`."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import sqlalchemy as sa
from oslo_config import cfg
from sqlalchemy.engine import Engine

from abaca.db.session import begin
from abaca.db.tables import shares
from abaca.workflow import inspection
from abaca.workflow.queue import unfinished
from tests.api.conftest import ADMIN, ALICE, BOB, READER, UNKNOWN, Api, BackEnd

CLOSED = "__affinity_same_host"


@pytest.fixture
def share(api: Api, back_end: BackEnd) -> str:
    api.share_type()
    made = api.share(api.share_network()["id"], metadata={"a": "b"})
    back_end.settle(made["id"])
    return str(made["id"])


def test_of_a_share(api: Api, share: str) -> None:
    """metadata.index, metadata.merge, metadata.replace, metadata.show, metadata.set_one,
    metadata.delete"""
    assert api("GET", f"/shares/{share}/metadata", who=READER, version="2.0") == {
        "metadata": {"a": "b"}
    }
    assert api("POST", f"/shares/{share}/metadata", {"metadata": {"c": "d"}}, who=ALICE) == {
        "metadata": {"a": "b", "c": "d"}
    }
    assert api("PUT", f"/shares/{share}/metadata", {"metadata": {"e": "f"}}, who=ALICE) == {
        "metadata": {"e": "f"}
    }
    assert api("PUT", f"/shares/{share}/metadata/e", {"meta": {"e": "g"}}, who=ALICE) == {
        "meta": {"e": "g"}
    }
    assert api("POST", f"/shares/{share}/metadata/h", {"meta": {"h": "i"}}, who=ALICE) == {
        "meta": {"h": "i"}
    }
    assert api("GET", f"/shares/{share}/metadata/h", who=READER) == {"meta": {"h": "i"}}
    assert api("DELETE", f"/shares/{share}/metadata/h", who=ALICE) is None
    shown = api("GET", f"/shares/{share}", who=ALICE)["share"]
    assert (
        shown["metadata"],
        api("GET", "/shares/detail", who=ALICE)["shares"][0]["metadata"],
    ) == ({"e": "g"}, {"e": "g"})


BAD: list[tuple[str, Any]] = [
    ("", {}),
    ("", {"metadata": None}),
    ("", {"metadata": {"": "x"}}),
    ("", {"metadata": {"k": ""}}),
    ("", {"metadata": {"k" * 256: "x"}}),
    ("", {"metadata": {"k": "v" * 1024}}),
    ("", {"metadata": {"k": ["v"]}}),
    ("", {"metadata": {str(number): "v" for number in range(257)}}),
    ("/e", {"meta": {"x": "y"}}),
    ("/e", {"meta": {"e": "y", "x": "y"}}),
    ("/e", {"metadata": {"e": "y"}}),
]


def test_all_of_it_together_has_a_limit_and_what_is_larger_may_become_less(
    api: Api, share: str, engine: Engine
) -> None:
    """By requests of 100 kB each it grew to 256 keys of a thousand characters, and a page of a
    thousand such shares to 330 MB."""

    def pairs(*numbers: int) -> dict[str, str]:
        return {f"key-{number}": "v" * 1000 for number in numbers}

    api("POST", f"/shares/{share}/metadata", {"metadata": pairs(*range(60))}, who=ALICE)
    told = api.fault(
        "POST", f"/shares/{share}/metadata", {"metadata": pairs(*range(60, 70))}, 400, who=ALICE
    )
    assert "more than the 65536 that one resource may have" in told
    older = pairs(*range(200))
    with begin(engine) as conn:
        conn.execute(sa.update(shares).where(shares.c.id == share).values(metadata=older))
    api("DELETE", f"/shares/{share}/metadata/key-0", who=ALICE)
    api("POST", f"/shares/{share}/metadata", {"metadata": {"key-1": "less"}}, who=ALICE)
    api.fault(
        "POST", f"/shares/{share}/metadata", {"metadata": {"key-1": "more" * 100}}, 400, who=ALICE
    )
    assert len(api("GET", f"/shares/{share}/metadata")["metadata"]) == 199


@pytest.mark.parametrize(("tail", "body"), BAD)
def test_what_cannot_be(api: Api, share: str, tail: str, body: Any) -> None:
    for method in ("POST", "PUT"):
        api.fault(method, f"/shares/{share}/metadata{tail}", body, 400, who=ALICE)
    assert api("GET", f"/shares/{share}/metadata") == {"metadata": {"a": "b"}}


def test_who_may(api: Api, share: str) -> None:
    for who, status in [(READER, 403), (BOB, 404)]:
        for method, tail, body in [("POST", "", {"metadata": {"x": "y"}}),
         ("PUT", "", {"metadata": {}}), ("PUT", "/a", {"meta": {"a": "c"}}),
                                   ("DELETE", "/a", None)]:  # fmt: skip
            api.fault(method, f"/shares/{share}/metadata{tail}", body, status, who=who)
    for method in ("GET", "DELETE"):
        api.fault(method, f"/shares/{share}/metadata/no", None, 404, who=ALICE)
        api.fault(method, f"/shares/{UNKNOWN}/metadata/a", None, 404, who=ALICE)
    assert api("GET", f"/shares/{share}/metadata") == {"metadata": {"a": "b"}}


def test_keys_for_administrators(api: Api, share: str) -> None:
    path = f"/shares/{share}/metadata"
    for method, tail, body in [("POST", "", {"metadata": {CLOSED: "x"}}),
     ("PUT", "", {"metadata": {CLOSED: "x"}}),
                               ("PUT", f"/{CLOSED}", {"meta": {CLOSED: "x"}})]:  # fmt: skip
        api.fault(method, path + tail, body, 403, who=ALICE)
    assert api("POST", path, {"metadata": {CLOSED: "x"}}, who=ADMIN)["metadata"] == {
        "a": "b",
        CLOSED: "x",
    }
    api.fault("DELETE", f"{path}/{CLOSED}", None, 403, who=ALICE)
    api.fault("PUT", f"{path}/{CLOSED}", {"meta": {CLOSED: "y"}}, 403, who=ALICE)
    # it stays
    assert api("PUT", path, {"metadata": {"c": "d"}}, who=ALICE)["metadata"] == {
        "c": "d",
        CLOSED: "x",
    }
    assert api("PUT", path, {"metadata": {"c": "d"}}, who=ADMIN)["metadata"] == {"c": "d"}
    network = api.share_network()["id"]
    assert api.send("POST", "/v2/shares",
     {"share": {"share_proto": "NFS", "size": 1, "share_type": "gold", "share_network_id": network,
                                                     "metadata": {CLOSED: "x"}}},
                                                      who=ALICE).status_code == 403  # fmt: skip


def test_there_is_an_end_to_it(api: Api, share: str) -> None:
    def some(first: int) -> dict[str, Any]:
        return {"metadata": {str(number): "v" for number in range(first, first + 200)}}

    api("POST", f"/shares/{share}/metadata", some(0), who=ALICE)
    api.fault("POST", f"/shares/{share}/metadata", some(200), 400, who=ALICE)


def test_changes_at_once_are_all_kept(api: Api, share: str) -> None:
    changes = [
        threading.Thread(
            target=api, args=("POST", f"/shares/{share}/metadata", {"metadata": {str(n): "v"}})
        )
        for n in range(8)
    ]
    for change in changes:
        change.start()
    for change in changes:
        change.join()
    assert api("GET", f"/shares/{share}/metadata")["metadata"].keys() == {
        "a",
        *(str(n) for n in range(8)),
    }


def test_of_an_access_rule(api: Api, share: str) -> None:
    allow = {"allow_access": {"access_type": "ip", "access_to": "10.0.0.1", "metadata": {"a": "b"}}}
    rule = api("POST", f"/shares/{share}/action", allow, who=ALICE)["access"]["id"]
    path = f"/share-access-rules/{rule}/metadata"
    assert api(
        "PUT", f"/share-access-rules/{rule}/metadata", {"metadata": {"c": "d"}}, who=ALICE
    ) == {"metadata": {"a": "b", "c": "d"}}
    assert api("DELETE", f"/share-access-rules/{rule}/metadata/a", who=ALICE) is None
    shown = api("GET", f"/share-access-rules/{rule}", who=ALICE)["access"]
    assert shown["metadata"] == {"c": "d"} and shown["updated_at"] is not None
    api.fault("DELETE", f"{path}/a", None, 404, who=ALICE)
    api.fault("PUT", path, {"metadata": {"c": "d"}}, 404, who=ALICE, version="2.44")
    for who, status in [(READER, 403), (BOB, 404)]:
        api.fault("PUT", path, {"metadata": {"x": "y"}}, status, who=who)
        api.fault("DELETE", f"{path}/c", None, status, who=who)
    for wrong in ({}, {"metadata": {"": "x"}}, {"metadata": {"x": "v" * 1024}}):
        api.fault("PUT", path, wrong, 400, who=ALICE)


def test_rules_are_found_by_what_they_hold(api: Api, share: str) -> None:
    def allow(address: str, level: str, **metadata: str) -> None:
        arguments = {
            "access_type": "ip",
            "access_to": address,
            "access_level": level,
            "metadata": metadata,
        }
        api("POST", f"/shares/{share}/action", {"allow_access": arguments}, who=ALICE)

    def found(query: str) -> list[str]:
        rules = api("GET", f"/share-access-rules?share_id={share}{query}", who=ALICE)["access_list"]
        return [rule["access_to"] for rule in rules]

    allow("10.0.0.1", "rw", team="a")
    allow("10.0.0.2", "ro", team="b")
    assert found("&sort_key=access_to&sort_dir=asc") == ["10.0.0.1", "10.0.0.2"]
    assert (
        found("&access_level=ro")
        == found("&access_to=10.0.0.2")
        == found("&metadata={'team': 'b'}")
        == ["10.0.0.2"]
    )
    assert found("&access_type=user") == found("&access_key=k") == []
    assert found("&sort_key=access_to&sort_dir=asc&limit=1&offset=1") == ["10.0.0.2"]
    for wrong in ("&metadata=x", "&sort_key=share_id", "&limit=-1"):
        api.fault("GET", f"/share-access-rules?share_id={share}{wrong}", None, 400, who=ALICE)


def test_of_an_export_location_since_2_87(api: Api, back_end: BackEnd, share: str) -> None:
    """Its own metadata, kept when the back end tells the same path again; `preferred` is for
    administrators."""
    back_end.settle(share, "10.0.0.5:/shares/x")
    (location,) = api("GET", f"/shares/{share}/export_locations", who=ALICE, version="2.87")[
        "export_locations"
    ]
    assert location["metadata"] == {}
    path = f"/shares/{share}/export_locations/{location['id']}"
    assert "metadata" not in api("GET", path, who=ALICE, version="2.86")["export_location"]

    def ask(method: str, tail: str, body: Any = None, who: str = ALICE) -> Any:
        return api(method, path + tail, body, who=who, version="2.87")

    assert ask("POST", "/metadata", {"metadata": {"a": "b", "c": "d"}}) == {
        "metadata": {"a": "b", "c": "d"}
    }
    assert ask("PUT", "/metadata/a", {"meta": {"a": "x"}}) == {"meta": {"a": "x"}}
    assert ask("GET", "/metadata/a", who=READER) == {"meta": {"a": "x"}}
    assert ask("POST", "/metadata/c", {"meta": {"c": "y"}}) == {"meta": {"c": "y"}}
    assert ask("DELETE", "/metadata/c") is None
    back_end.settle(share, "10.0.0.5:/shares/x", "[fd00::5]:/shares/x")
    assert ask("GET", "/metadata", who=READER) == {"metadata": {"a": "x"}}
    assert ask("GET", "")["export_location"]["metadata"] == {"a": "x"}
    assert ask("PUT", "/metadata", {"metadata": {"preferred": "true"}}, who=ADMIN) == {
        "metadata": {"preferred": "true"}
    }
    assert ask("PUT", "/metadata", {"metadata": {"e": "f"}}) == {
        "metadata": {"preferred": "true", "e": "f"}
    }
    api.fault(
        "PUT",
        f"{path}/metadata/preferred",
        {"meta": {"preferred": "no"}},
        403,
        who=ALICE,
        version="2.87",
    )
    api.fault("POST", f"{path}/metadata", {"metadata": {"x": "y"}}, 403, who=READER, version="2.87")
    api.fault("GET", f"{path}/metadata", None, 404, who=BOB, version="2.87")
    api.fault("GET", f"{path}/metadata", None, 404, who=ALICE, version="2.86")
    api.fault(
        "GET",
        f"/shares/{share}/export_locations/{UNKNOWN}/metadata",
        None,
        404,
        who=ALICE,
        version="2.87",
    )
    api("PUT", f"/shares/{share}", {"share": {"is_public": True}})
    api.fault("POST", f"{path}/metadata", {"metadata": {"x": "y"}}, 403, who=BOB, version="2.87")


def test_of_a_subnet_is_handed_to_drivers_since_2_89(
    api: Api, conf: cfg.ConfigOpts, engine: Engine, back_end: BackEnd, share: str
) -> None:
    """Of the keys that the administrator names, those that are set; for each server on the
    subnet."""
    conf.set_override("driver_updatable_subnet_metadata", ["vlan", "mtu"])
    network = api("GET", f"/shares/{share}")["share"]["share_network_id"]
    subnet = api("GET", f"/share-networks/{network}/subnets")["share_network_subnets"][0]["id"]
    path = f"/share-networks/{network}/subnets/{subnet}/metadata"
    before = set(unfinished(engine))

    def handed_over(method: str, tail: str, body: Any, version: str = "2.89") -> list[list[str]]:
        """The keys of each piece of work that a request began."""
        known = set(unfinished(engine))
        api(method, path + tail, body, who=ALICE, version=version)
        begun = [inspection.get(engine, one) for one in unfinished(engine) if one not in known]
        assert all(
            work.name == "share_server_update_subnet_metadata" and (work.args or [])[1] == subnet
            for work in begun
        )
        return [(work.args or [])[2:] for work in begun]

    everything = {"metadata": {"vlan": "7", "mtu": "9000", "note": "mine"}}
    assert handed_over("POST", "", everything, "2.88") == []
    assert handed_over("POST", "", everything) == [["mtu", "vlan"]]
    assert handed_over("PUT", "/vlan", {"meta": {"vlan": "8"}}) == [["vlan"]]
    assert handed_over("PUT", "/note", {"meta": {"note": "yours"}}) == []
    assert api("GET", "/messages", who=ALICE)["messages"] == []
    assert handed_over("DELETE", "/vlan", None) == []
    assert (
        "vlan of the subnet has been deleted, but"
        in api("GET", "/messages", who=ALICE)["messages"][0]["user_message"]
    )
    assert handed_over("PUT", "", {"metadata": {"mtu": "1500"}}) == [["mtu"]]
    assert len(api("GET", "/messages", who=ALICE)["messages"]) == 1
    assert before < set(unfinished(engine))
