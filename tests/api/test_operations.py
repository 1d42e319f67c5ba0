"""Operations over the API: what waits and what is parked, and resuming it, for administrators."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from abaca.db.session import begin, read
from abaca.db.tables import share_instances, share_servers
from abaca.db.tables import share_server_share_network_subnet_mappings as mappings
from abaca.workflow import queue
from tests.api.conftest import ALICE, Api, BackEnd

pytestmark = pytest.mark.each_database
NO_TEXT = sa.text("CAST(X'ff22' AS TEXT)")
REASON = "KeyError: 'what nobody meant'"
ERROR = '{"error": {"name": "KeyError", "message": "%s", "details": {}, "is_public": false}}'


class Stuck:
    """A share that is to be made, and the work that makes it. Other tests' work is listed beside
    it."""

    def __init__(self, api: Api, engine: Engine) -> None:
        self._api, self._engine = api, engine
        self.share = str(api.share(api.share_network()["id"])["id"])
        (instance,) = api("GET", f"/shares/{self.share}/instances")["share_instances"]
        self.instance = str(instance["id"])
        (work,) = self.listed()
        self.id = str(work["id"])

    def listed(self, query: str = "") -> Any:
        """What is listed of it."""
        listed = self._api("GET", f"/operations{query}")["operations"]
        return [one for one in listed if one["about"] == self.instance]

    def refused(self, status: int = 409) -> str:
        """How its resumption is refused."""
        return self._api.fault("POST", f"/operations/{self.id}/action", {"resume": None}, status)

    def park(self, status: str = "error", error: str = ERROR % REASON) -> None:
        """It has failed on its own."""
        self.set(status="ERROR", error=error)
        with begin(self._engine) as conn:
            of_it = share_instances.c.id == self.instance
            conn.execute(sa.update(share_instances).where(of_it).values(status=status))

    def set(self, **columns: str | int | sa.TextClause) -> None:
        """Its record, as whoever can write it might."""
        with begin(self._engine) as conn:
            table = queue.input_table(conn) if "inputs" in columns else queue.status_table(conn)
            of_it = table.c.workflow_uuid == self.id
            conn.execute(sa.update(table).where(of_it).values(**columns))


@pytest.fixture
def stuck(api: Api, back_end: BackEnd, engine: Engine) -> Stuck:
    api.share_type()
    return Stuck(api, engine)


def test_what_waits_is_listed_and_not_resumed(stuck: Stuck) -> None:
    (work,) = stuck.listed()
    assert (work["name"], work["state"]) == ("share_create", "waiting")
    assert (work["project_id"], work["reason"]) == ("red", None)
    assert work["request_id"].startswith("req-")
    assert stuck.listed("?state=parked,running") == []
    assert "is waiting" in stuck.refused()


def test_the_newest_step_that_is_recorded_is_told(engine: Engine, stuck: Stuck) -> None:
    assert stuck.listed()[0]["last_step"] is None
    with begin(engine) as conn:
        for number, name in enumerate(("first", "second", "third")):
            row = {"workflow_uuid": stuck.id, "function_id": number, "function_name": name}
            conn.execute(sa.insert(queue.steps_table(conn)).values(row))
    (work,) = stuck.listed()
    assert (work["last_step"], work["state"]) == ("third", "waiting")


def test_a_state_that_there_is_not_is_refused(api: Api) -> None:
    told = api.fault("GET", "/operations?state=parked,lost", None, 400)
    assert told == "lost is no state of operations; they are given up, parked, running, waiting."


def test_what_is_parked_is_resumed_once(api: Api, engine: Engine, stuck: Stuck) -> None:
    stuck.park()
    (work,) = stuck.listed("?state=parked")
    assert (work["id"], work["reason"]) == (stuck.id, REASON)
    api("POST", f"/operations/{stuck.id}/action", {"resume": None}, status=202)
    assert stuck.listed("?state=parked") == []
    assert api("GET", f"/shares/{stuck.share}")["share"]["status"] == "creating"
    (again,) = stuck.listed()
    assert again["id"] != stuck.id and again["name"] == "share_create"
    with read(engine) as conn:
        inputs = queue.input_table(conn)
        kept = conn.scalars(sa.select(inputs.c.workflow_uuid)).all()
    assert stuck.id not in kept and again["id"] in kept
    stuck.refused(404)


def test_what_was_changed_since_is_left_alone(stuck: Stuck) -> None:
    stuck.park(status="available")
    stuck.refused()
    assert [one["id"] for one in stuck.listed("?state=parked")] == [stuck.id]


@pytest.mark.parametrize(
    "inputs",
    ["", "[]", '{"args": [{}]}', '{"args": 7}', '{"args": []}', "gASVCwAAAAAAAAA=", "[" * 9000],
)
def test_arguments_that_are_none_are_not_used(stuck: Stuck, inputs: str) -> None:
    stuck.park()
    stuck.set(inputs=inputs)
    assert "cannot be read" in stuck.refused()


@pytest.mark.parametrize("error", ["", "nonsense", "[1]", '{"error": 1}', "{}", "[" * 9000])
def test_a_reason_that_is_none_hides_nothing(stuck: Stuck, error: str) -> None:
    stuck.park(error=error)
    assert [one["id"] for one in stuck.listed()] == [stuck.id]


@pytest.mark.parametrize("created_at", [2**63 - 1, -(2**63), 253402300799999, -62135596800000])
def test_a_time_that_is_none_hides_nothing(stuck: Stuck, created_at: int) -> None:
    stuck.set(created_at=created_at, authenticated_roles="[" * 9000)
    assert [one["id"] for one in stuck.listed()] == [stuck.id]


@pytest.mark.parametrize(
    "column", ["name", "authenticated_user", "authenticated_roles", "queue_name", "error"]
)
def test_text_that_is_none_hides_nothing(stuck: Stuck, engine: Engine, column: str) -> None:
    if engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL keeps no text that is not UTF-8")
    stuck.park()
    stuck.set(**{column: NO_TEXT})
    (shown,) = stuck.listed()
    assert shown["id"] == stuck.id
    stuck.set(inputs=NO_TEXT)
    stuck.refused()
    assert [one["id"] for one in stuck.listed()] == [stuck.id]


def test_a_kind_that_is_requested_again_is_not_resumed(stuck: Stuck) -> None:
    stuck.park()
    stuck.set(name="share_network_subnet_check")
    assert "repeat the request" in stuck.refused()


def test_members_see_and_do_nothing_here(api: Api) -> None:
    api.fault("GET", "/operations", None, 403, who=ALICE)
    api.fault("POST", "/operations/x/action", {"resume": None}, 403, who=ALICE)


def test_a_change_of_a_server_that_has_not_failed_is_neither_retried_nor_taken_back(
    api: Api, stuck: Stuck
) -> None:
    server = api("GET", f"/shares/{stuck.share}")["share"]["share_server_id"]
    for how in ("retry_network_update", "abandon_network_update"):
        api.fault("POST", f"/share-servers/{server}/action", {how: None}, 409)


@pytest.mark.parametrize("how", ["retry_network_update", "abandon_network_update"])
def test_a_change_of_a_server_that_has_failed_is_retried_or_taken_back(
    api: Api, engine: Engine, stuck: Stuck, how: str
) -> None:
    """What comes of it: tests/operations/test_share_server_repairs.py."""
    share = api("GET", f"/shares/{stuck.share}")["share"]
    with begin(engine) as conn:
        conn.execute(sa.update(share_servers).values(status="error", identifier="it is there"))
        conn.execute(sa.update(mappings).values(is_served=False))
    path = f"/share-servers/{share['share_server_id']}/action"
    api("POST", path, {how: None}, status=202)
    network = api("GET", f"/share-networks/{share['share_network_id']}")["share_network"]
    assert network["status"] == "network_change"
