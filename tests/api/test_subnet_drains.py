"""The removal of a subnet of share servers in use, as projects ask for it: deadlines, what is
shown, and the metadata that does the same. Drivers: `tests/operations/test_subnet_drains.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from oslo_config import cfg
from sqlalchemy.engine import Engine

from abaca.api.app import create_app
from abaca.api.pending import waiting_slots
from abaca.db.session import begin
from abaca.db.tables import share_server_share_network_subnet_mappings as mappings
from abaca.db.tables import share_servers
from abaca.workflow import queue
from tests.api.conftest import ADMIN, ALICE, BOB, READER, UNKNOWN, Api, BackEnd

KEY = "abaca:drain"
DAY, MONTH = 86_400, 30 * 86_400
MEMBERS = {
    "share_network_id", "share_network_subnet_id", "started_at", "deadline", "ends_at",
    "at_deadline", "obstacle", "clients", "refuses_new_clients",
}  # fmt: skip


class Place:
    """A share network with two default subnets, of which the tests let the first drain."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.network = str(api.share_network()["id"])
        (first,) = api("GET", f"/share-networks/{self.network}")["share_network"][
            "share_network_subnets"
        ]
        self.subnet = str(first["id"])
        ids = {"neutron_net_id": UNKNOWN, "neutron_subnet_id": UNKNOWN}
        self.other = str(
            api("POST", self.subnets, {"share-network-subnet": ids}, who=ALICE)[
                "share_network_subnet"
            ]["id"]
        )

    @property
    def subnets(self) -> str:
        return f"/share-networks/{self.network}/subnets"

    @property
    def url(self) -> str:
        return f"{self.subnets}/{self.subnet}"

    def put(self, body: Any = None, **more: Any) -> Any:
        return self.api("PUT", f"{self.url}/removal", body, **{"who": ALICE, **more})

    def removal(self, **more: Any) -> Any:
        return self.api("GET", f"{self.url}/removal", **{"who": ALICE, **more})

    def end(self, **more: Any) -> None:
        self.api("DELETE", f"{self.url}/removal", **{"who": ALICE, "status": 204, **more})

    def metadata(self, method: str, path: str = "", body: Any = None, **more: Any) -> Any:
        how = {"who": ALICE, "version": "2.78", **more}
        return self.api(method, f"{self.url}/metadata{path}", body, **how)


@pytest.fixture
def place(api: Api, back_end: BackEnd) -> Place:
    api.share_type()
    return Place(api)


def test_a_drain_is_started_shown_and_cancelled(place: Place) -> None:
    """subnet_drains.update, subnet_drains.show, subnet_drains.delete"""
    made = place.put()["removal"]
    assert set(made) == MEMBERS
    assert (made["deadline"], made["at_deadline"]) == (DAY, "cancel")
    assert made["share_network_subnet_id"] == place.subnet
    assert place.removal(who=READER)["removal"] == made
    assert set(place.removal(who=ADMIN)["removal"]) == MEMBERS | {"servers"}
    again = place.put({"deadline": 60, "at_deadline": "force"})["removal"]
    assert (again["deadline"], again["at_deadline"]) == (60, "force")
    assert again["ends_at"] < made["ends_at"]
    place.end()
    place.removal(status=404)
    place.end(status=404)


@pytest.mark.parametrize("by_property", [False, True])
def test_a_drain_is_cancelled_however_much_work_waits(
    place: Place, back_end: BackEnd, conf: cfg.ConfigOpts, by_property: bool
) -> None:
    back_end.settle(place.api.share(place.network)["id"])
    place.put()
    conf.set_override("waiting_work", 0, group="limits")
    place.api = Api(create_app(conf, back_end.engine))
    if by_property:
        place.metadata("DELETE", f"/{KEY}")
    else:
        place.end()
    place.removal(status=404)
    assert "waiting_work" in place.put(status=413)["overLimit"]["message"]


def test_a_drained_subnet_is_taken_away_however_much_work_waits(
    place: Place, back_end: BackEnd, conf: cfg.ConfigOpts
) -> None:
    """What asks the back ends first is taken, but not again and again."""
    back_end.settle(place.api.share(place.network)["id"])
    place.put()
    with begin(back_end.engine) as conn:
        conn.execute(sa.update(share_servers).values(share_server_subnet_removal_support=True))
        conn.execute(sa.update(mappings).values(refuses_new_clients=True))
    conf.set_override("waiting_work", 0, group="limits")
    place.api = Api(create_app(conf, back_end.engine))
    before = set(queue.unfinished(back_end.engine))
    places = waiting_slots(conf.api.threads)
    with places, places:  # so that nobody waits for an answer
        for _ in range(3):
            told = place.api.fault("DELETE", place.url, None, 409, who=ALICE)
            assert "still being asked" in told
            force = {"force_delete": None}
            told = place.api.fault("POST", f"{place.url}/action", force, 409, who=ADMIN)
            assert "still being asked" in told
            place.put({"deadline": 60})
    asked = set(queue.unfinished(back_end.engine)) - before
    names = sorted(work.partition(":")[0] for work in asked)
    assert names == ["share_network_subnet_removal_check", "share_server_clients"]


@pytest.mark.parametrize("deadline", [1, "60", 60.0, MONTH])
def test_deadlines(place: Place, deadline: object) -> None:
    assert place.put({"deadline": deadline})["removal"]["deadline"] == int(float(str(deadline)))


NO_DEADLINES: list[Any] = [0, -1, MONTH + 1, 10**30, 1.5, True, "", "soon", "1e9", [], {}]
NO_ENDS: list[Any] = ["", "FORCE", "delete", 1, [], {}]
SENSELESS: list[Any] = [
    *({"deadline": deadline} for deadline in NO_DEADLINES),
    *({"at_deadline": end} for end in NO_ENDS),
    [],
    "cancel",
]


@pytest.mark.parametrize("body", SENSELESS, ids=str)
def test_what_makes_no_sense(place: Place, body: object) -> None:
    place.api.fault("PUT", f"{place.url}/removal", body, 400, who=ALICE)
    place.removal(status=404)


@pytest.mark.parametrize("raw", [b'{"deadline": Infinity}', b'{"deadline": 1e999}', b'{"a'])
def test_numbers_that_json_does_not_know(place: Place, raw: bytes) -> None:
    place.put(raw=raw, status=400)


def test_who_may(place: Place) -> None:
    place.put(who=READER, status=403)
    place.put(who=BOB, status=404)
    place.put(version="2.50", status=404)
    place.put()
    place.end(who=READER, status=403)
    place.removal(who=BOB, status=404)
    place.end(who=BOB, status=404)
    place.end(who=ADMIN)
    unknown = f"{place.subnets}/{UNKNOWN}/removal"
    for method in ("GET", "PUT", "DELETE"):
        place.api(method, unknown, who=ALICE, status=404)


def test_the_metadata_does_the_same(place: Place) -> None:
    assert place.metadata("POST", "", {"metadata": {KEY: "true", "a": "b"}}) == {
        "metadata": {KEY: "true", "a": "b"}
    }
    assert place.removal()["removal"]["at_deadline"] == "cancel"
    assert place.api("GET", place.url, version="2.78")["share_network_subnet"]["metadata"] == {
        KEY: "true",
        "a": "b",
    }
    place.put({"deadline": 60})
    place.metadata("POST", "", {"metadata": {KEY: "true"}})
    assert place.removal()["removal"]["deadline"] == 60, "what drains drains on"
    place.metadata("DELETE", f"/{KEY}", status=200)
    place.removal(status=404)
    assert place.metadata("GET") == {"metadata": {"a": "b"}}
    place.metadata("PUT", f"/{KEY}", {"meta": {KEY: "true"}})
    place.end()
    assert place.metadata("GET") == {"metadata": {"a": "b"}}
    place.put()
    assert place.metadata("GET", f"/{KEY}") == {"meta": {KEY: "true"}}
    assert place.metadata("PUT", "", {"metadata": {"c": "d"}}) == {"metadata": {"c": "d"}}
    place.removal(status=404)


@pytest.mark.parametrize("value", ["false", "True", "yes", "0", " true", "true\n"])
def test_odd_values_of_the_metadata(place: Place, value: str) -> None:
    place.metadata("POST", "", {"metadata": {KEY: value}}, status=400)
    place.metadata("PUT", f"/{KEY}", {"meta": {KEY: value}}, status=400)
    place.removal(status=404)
    place.put()
    place.metadata("POST", "", {"metadata": {KEY: value}}, status=400)
    place.removal()


def test_metadata_of_others(place: Place) -> None:
    place.metadata("POST", "", {"metadata": {KEY: "true"}}, who=READER, status=403)
    place.metadata("POST", "", {"metadata": {KEY: "true"}}, who=BOB, status=404)
    body = {"neutron_net_id": UNKNOWN, "neutron_subnet_id": UNKNOWN, "metadata": {KEY: "true"}}
    message = place.api.fault(
        "POST", place.subnets, {"share-network-subnet": body}, 400, who=ALICE, version="2.78"
    )
    assert "new subnet cannot drain" in message


def test_the_metadata_is_no_way_around_the_policy(
    conf: cfg.ConfigOpts, engine: Engine, tmp_path: Path, back_end: BackEnd
) -> None:
    (tmp_path / "policy.yaml").write_text(
        '"share_network_subnet:update_removal": "rule:admin"\n', encoding="utf-8"
    )
    place = Place(Api(create_app(conf, engine)))
    place.put(status=403)
    place.metadata("POST", "", {"metadata": {KEY: "true"}}, status=403)
    place.put(who=ADMIN)
    place.metadata("DELETE", f"/{KEY}", status=403)
    place.metadata("PUT", "", {"metadata": {}}, status=403)
    place.metadata("POST", "", {"metadata": {"a": "b"}})
    place.removal()


def test_creations_and_additions_meanwhile(place: Place, back_end: BackEnd) -> None:
    place.put()
    assert place.api.share(place.network)["status"] == "creating"
    body: dict[str, Any] = {"share-network-subnet": {}}
    message = place.api.fault("POST", place.subnets, body, 409, who=ALICE)
    assert f"{place.subnet} of share network {place.network} drains" in message
    place.api("PUT", f"{place.subnets}/{place.other}/removal", who=ALICE)
    share = {"share_proto": "NFS", "size": 1, "share_type": "gold"}
    message = place.api.fault(
        "POST", "/shares", {"share": share | {"share_network_id": place.network}}, 400, who=ALICE
    )
    assert place.subnet in message
    assert place.other in message
    assert "drain" in message
