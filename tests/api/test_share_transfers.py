"""Share transfers: a share that is on no share server passes to another project."""

from __future__ import annotations

import json
import logging
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from oslo_config import cfg
from sqlalchemy.engine import Engine

from abaca.db.session import begin, read, utcnow
from abaca.db.tables import (
    share_access_rules,
    share_backups,
    share_instance_access_map,
    share_instances,
    share_snapshot_instances,
    share_transfers,
    shares,
)
from abaca.domain.shares import affinity
from abaca.domain.transfers.share_transfers import MOST_WRONG_KEYS
from abaca.reconcile import expired_transfers
from tests.api.conftest import ADMIN, ALICE, BOB, READER, UNKNOWN, Api, BackEnd

PATH = "/share-transfers"
AT = "2.77"
SUMMARY = {"id", "name", "resource_type", "resource_id", "links"}
DETAIL = SUMMARY | {
    "created_at",
    "source_project_id",
    "destination_project_id",
    "accepted",
    "expires_at",
}


class Offered:
    """A share of Alice's project that is on no share network, and what is done with it."""

    def __init__(self, api: Api, back_end: BackEnd, engine: Engine) -> None:
        self.api, self.engine = api, engine
        self.type_id = api.share_type()
        self.share = str(
            api.share(
                api.share_network()["id"], size=3, metadata={"dns_name": "data", "colour": "red"}
            )["id"]
        )
        back_end.settle(self.share, "10.0.0.5:/shares/x")
        self.change(share_instances, share_network_id=None, share_server_id=None)

    def change(self, table: sa.Table, **values: Any) -> None:
        with begin(self.engine) as conn:
            conn.execute(sa.update(table).values(**values))

    def offer(self, **members: Any) -> dict[str, Any]:
        body = {"transfer": {"share_id": self.share, **members}}
        made: dict[str, Any] = self.api("POST", PATH, body, status=202, who=ALICE, version=AT)
        return made["transfer"]  # type: ignore[no-any-return]

    def accept(self, transfer: dict[str, Any], status: int = 202, **how: Any) -> str:
        """The message of a refusal; empty when it is accepted."""
        who, key = how.pop("who", BOB), how.pop("auth_key", transfer["auth_key"])
        path = f"{PATH}/{transfer['id']}/accept"
        body = {"accept": {"auth_key": key, **how}}
        if status == 202:
            assert self.api("POST", path, body, status=202, who=who, version=AT) is None
            return ""
        return self.api.fault("POST", path, body, status, who=who, version=AT)

    def shown(self, who: str = ADMIN) -> dict[str, Any]:
        shown: dict[str, Any] = self.api("GET", f"/shares/{self.share}", who=who)["share"]
        return shown

    def remove_backup(self, backup: str) -> None:
        with begin(self.engine) as conn:
            conn.execute(sa.delete(share_backups).where(share_backups.c.id == backup))

    def rows(self) -> int:
        with read(self.engine) as conn:
            return conn.scalar(sa.select(sa.func.count()).select_from(share_transfers)) or 0


@pytest.fixture
def offered(api: Api, back_end: BackEnd, engine: Engine) -> Offered:
    return Offered(api, back_end, engine)


def used(api: Api, project: str, query: str = "") -> dict[str, int]:
    detail = api("GET", f"/quota-sets/{project}/detail{query}")["quota_set"]
    names = ("shares", "gigabytes", "snapshots", "snapshot_gigabytes")
    return {name: detail[name]["in_use"] for name in names if detail[name]["in_use"]}


def test_the_key_is_told_once_and_stored_nowhere(
    api: Api, offered: Offered, engine: Engine
) -> None:
    """share_transfers.create, share_transfers.show, share_transfers.index,
    share_transfers.detail"""
    made = offered.offer(name="hello")
    assert set(made) == DETAIL | {"auth_key"} and re.fullmatch(r"[0-9a-f]{16}", made["auth_key"])
    assert (made["name"], made["resource_type"], made["resource_id"]) == (
        "hello",
        "share",
        offered.share,
    )
    assert (made["source_project_id"], made["destination_project_id"], made["accepted"]) == (
        "red",
        None,
        False,
    )
    assert offered.shown()["status"] == "awaiting_transfer"
    del_key = {name: value for name, value in made.items() if name != "auth_key"}
    one = f"{PATH}/{made['id']}"
    assert api("GET", one, who=READER, version=AT) == {"transfer": del_key}
    assert api("GET", f"{PATH}/detail", who=ALICE, version=AT) == {"transfers": [del_key]}
    (listed,) = api("GET", PATH, who=ALICE, version=AT)["transfers"]
    assert set(listed) == SUMMARY
    with read(engine) as conn:
        stored = json.dumps(
            [str(value) for value in conn.execute(sa.select(share_transfers)).one()]
        )
    assert made["auth_key"] not in stored
    api.fault("GET", PATH, None, 404, version="2.76")


def test_a_share_changes_hands(api: Api, offered: Offered) -> None:
    """share_transfers.accept: with its snapshots and what quotas count, without what names things
    of the project before."""
    offered.change(shares, snapshot_support=True)
    body = {"snapshot": {"share_id": offered.share}}
    snapshot = api("POST", "/snapshots", body, status=202, who=ALICE)["snapshot"]["id"]
    offered.change(share_snapshot_instances, status="available")
    counted = {"shares": 1, "gigabytes": 3, "snapshots": 1, "snapshot_gigabytes": 3}
    assert used(api, "red") == counted and used(api, "blue") == {}
    offered.accept(offered.offer())
    share = offered.shown(BOB)
    assert (share["status"], share["project_id"], share["metadata"]) == (
        "available",
        "blue",
        {"colour": "red"},
    )
    api("GET", f"/snapshots/{snapshot}", who=BOB)
    for path in (f"/shares/{offered.share}", f"/snapshots/{snapshot}"):
        api.fault("GET", path, None, 404, who=ALICE)
    for query in ("", f"?share_type={offered.type_id}"):
        assert used(api, "red", query) == {} and used(api, "blue", query) == counted
    assert used(api, "red", "?user_id=alice") == {}
    assert used(api, "blue", "?user_id=bob") == counted
    assert offered.rows() == 0


@pytest.mark.parametrize(("clear", "left"), [(False, "active"), (True, "queued_to_deny")])
def test_rules_stay_unless_they_are_to_go(
    api: Api, offered: Offered, engine: Engine, clear: bool, left: str
) -> None:
    rule = {"allow_access": {"access_type": "ip", "access_to": "10.1.0.1"}}
    api("POST", f"/shares/{offered.share}/action", rule, who=ALICE)
    offered.change(share_instance_access_map, state="active")
    offered.accept(offered.offer(), clear_access_rules=clear)
    with read(engine) as conn:
        assert conn.scalars(sa.select(share_instance_access_map.c.state)).all() == [left]
        assert len(conn.execute(sa.select(share_access_rules)).all()) == 1


def test_a_wrong_key_tells_nothing_and_twenty_end_it(api: Api, offered: Offered) -> None:
    made = offered.offer()
    absent = {"id": UNKNOWN, "auth_key": made["auth_key"]}
    of_nothing = offered.accept(absent, 400).replace(UNKNOWN, made["id"])
    for _ in range(MOST_WRONG_KEYS - 1):
        assert offered.accept(made, 400, auth_key="wrong") == of_nothing
    assert offered.shown()["status"] == "awaiting_transfer"
    assert offered.accept(made, 400, auth_key="wrong") == of_nothing
    assert (offered.shown()["status"], offered.rows()) == ("available", 0)
    assert offered.accept(made, 400) == of_nothing


def test_many_guesses_at_once_are_all_counted(api: Api, offered: Offered) -> None:
    made = offered.offer()
    path, wrong = f"/v2{PATH}/{made['id']}/accept", {"accept": {"auth_key": "0123456789abcdef"}}

    def guess(_: int) -> int:
        return int(api.send("POST", path, wrong, who=BOB, version=AT).status_code)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(guess, range(MOST_WRONG_KEYS - 1)))
    assert set(answers) == {400} and offered.shown()["status"] == "awaiting_transfer"
    offered.accept(made, 400, auth_key="0123456789abcdef")
    assert offered.rows() == 0


@pytest.mark.parametrize("key", ["", " ", None, 7, ["k"], {"a": "b"}, "é" * 300, "\x00", "0" * 16])
def test_what_is_no_key_is_refused(api: Api, offered: Offered, key: Any) -> None:
    made = offered.offer()
    offered.accept(made, 400, auth_key=key)
    assert offered.shown()["status"] == "awaiting_transfer"
    offered.accept(made)


def test_the_key_is_in_no_log(
    api: Api, offered: Offered, caplog: pytest.LogCaptureFixture, conf: cfg.ConfigOpts
) -> None:
    caplog.set_level(logging.DEBUG)
    made = offered.offer()
    offered.accept(made, 400, auth_key="fedcba9876543210")
    offered.accept(made)
    told = "\n".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    assert f"/share-transfers/{made['id']}/accept" in told
    assert f"share {offered.share} of project red was taken over by project blue" in told
    assert made["auth_key"] not in told and "fedcba9876543210" not in told


def test_hints_stay_behind(api: Api, offered: Offered) -> None:
    """Shares that were placed near it do not name it any more, and the other way round."""
    other = api.share(
        api.share_network()["id"],
        version="2.99",
        scheduler_hints={"same_host": offered.share},
    )["id"]
    assert affinity.SAME in offered.shown()["metadata"]
    offered.accept(offered.offer())
    assert offered.shown()["metadata"] == {"colour": "red"}
    assert affinity.SAME not in api("GET", f"/shares/{other}")["share"]["metadata"]


def test_withdrawn(api: Api, offered: Offered) -> None:
    """share_transfers.delete"""
    made = offered.offer()
    one = f"{PATH}/{made['id']}"
    api.fault("DELETE", one, None, 403, who=READER, version=AT)
    for method in ("GET", "DELETE"):
        api.fault(method, one, None, 404, who=BOB, version=AT)
    api("DELETE", one, who=ALICE, version=AT)
    assert (offered.shown()["status"], offered.rows()) == ("available", 0)
    api.fault("DELETE", one, None, 404, who=ALICE, version=AT)
    offered.accept(made, 400)


def test_its_time_ends(api: Api, offered: Offered, engine: Engine, conf: cfg.ConfigOpts) -> None:
    made = offered.offer()
    expired_transfers.end_due(engine)
    assert offered.shown()["status"] == "awaiting_transfer"
    offered.change(share_transfers, expires_at=utcnow() - timedelta(seconds=1))
    offered.accept(made, 400)
    expired_transfers.end_due(engine)
    assert (offered.shown()["status"], offered.rows()) == ("available", 0)


def test_a_status_written_by_hand_stops_nothing(api: Api, offered: Offered, engine: Engine) -> None:
    made = offered.offer()
    offered.change(share_instances, status="error")
    offered.accept(made, 400)
    offered.change(share_transfers, expires_at=utcnow() - timedelta(seconds=1))
    expired_transfers.end_due(engine)
    assert (offered.shown()["status"], offered.rows()) == ("error", 0)


def test_shares_that_cannot_be_offered(api: Api, offered: Offered, back_end: BackEnd) -> None:
    def refused(share_id: Any = offered.share, who: str = ALICE) -> str:
        body = {"transfer": {"share_id": share_id}}
        return api.fault("POST", PATH, body, 400, who=who, version=AT)

    unknown = "Invalid share: Share specified was not found."
    assert refused(UNKNOWN) == refused(who=BOB) == unknown
    assert refused(None) == "Must supply 'share_id' attribute."
    for status in ("error", "extending", "inactive"):
        offered.change(share_instances, status=status)
        assert status in refused()
    offered.change(share_instances, status="available")
    lock = {"resource_lock": {"resource_type": "share", "resource_id": offered.share}}
    made = api("POST", "/resource-locks", lock, who=ALICE, version="2.81")["resource_lock"]["id"]
    assert made in refused()
    api("DELETE", f"/resource-locks/{made}", status=204, who=ALICE, version="2.81")
    backup = back_end.back_up(offered.share)
    body = {"transfer": {"share_id": offered.share}}
    assert "1 dependent backups" in api.fault("POST", PATH, body, 403, who=ALICE, version=AT)
    offered.remove_backup(backup)
    offered.change(shares, snapshot_support=True)
    body = {"snapshot": {"share_id": offered.share}}
    snapshot = api("POST", "/snapshots", body, status=202, who=ALICE)["snapshot"]["id"]
    assert f"snapshot {snapshot} must be available" in refused()


def test_a_share_on_a_network_stays_with_its_project(api: Api, back_end: BackEnd) -> None:
    api.share_type()
    share = api.share(api.share_network()["id"])["id"]
    back_end.settle(share)
    body = {"transfer": {"share_id": share}}
    told = api.fault("POST", PATH, body, 400, who=ALICE, version=AT)
    assert told == "Invalid share: Shares exported over share networks cannot be transferred."


def test_a_share_in_a_group_stays_with_its_project(api: Api, offered: Offered) -> None:
    group = api.share_group(api.share_network()["id"])["id"]
    made = offered.offer()
    offered.change(shares, share_group_id=group)
    assert f"is in share group {group}" in offered.accept(made, 400)
    api("DELETE", f"{PATH}/{made['id']}", status=200, who=ALICE, version=AT)
    body = {"transfer": {"share_id": offered.share}}
    told = api.fault("POST", PATH, body, 400, who=ALICE, version=AT)
    assert told == f"Invalid share: share {offered.share} is in share group {group}."


def test_who_cannot_accept(api: Api, offered: Offered) -> None:
    made = offered.offer()
    offered.accept(made, 403, who="rita:blue:reader")
    assert "already" in offered.accept(made, 400, who=ALICE)
    api("PUT", "/quota-sets/blue", {"quota_set": {"gigabytes": 2}})
    assert "gigabytes" in offered.accept(made, 413)
    api("DELETE", "/quota-sets/blue", status=202)
    private = {"share_type": {"share_type_access:is_public": False}}
    api("PUT", f"/types/{offered.type_id}", private)
    assert "not accessible to project blue" in offered.accept(made, 400)
    assert used(api, "blue") == {} and offered.shown()["project_id"] == "red"
    access = {"addProjectAccess": {"project": "blue"}}
    api("POST", f"/types/{offered.type_id}/action", access, status=202)
    offered.accept(made)


def test_two_who_accept_at_once(api: Api, offered: Offered) -> None:
    made = offered.offer()
    path, body = f"/v2{PATH}/{made['id']}/accept", {"accept": {"auth_key": made["auth_key"]}}

    def take(who: str) -> int:
        return int(api.send("POST", path, body, who=who, version=AT).status_code)

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(take, [BOB, "carl:green:member"])) == [202, 400]
    owner = offered.shown()["project_id"]
    assert used(api, owner) == {"shares": 1, "gigabytes": 3} and used(api, "red") == {}
