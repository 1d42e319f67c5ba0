"""Backups of shares over the wire: asking for one, reading, renaming, restoring, deleting."""

from __future__ import annotations

from typing import Any
from zlib import crc32

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from abaca.db.session import begin, read
from abaca.db.tables import pools, share_backups, share_instances, shares
from abaca.domain.backups import share_backups as backups
from abaca.domain.shares.shares import ANYBODY
from abaca.errors import Invalid
from abaca.workflow import queue
from tests.api.conftest import ADMIN, ALICE, BOB, READER, UNKNOWN, Api, BackEnd

V = "2.91"
SUMMARY = {"id", "name", "share_id", "status"}
DETAIL = SUMMARY | {
    "description",
    "size",
    "created_at",
    "updated_at",
    "availability_zone",
    "progress",
    "restore_progress",
    "backup_type",
}


@pytest.fixture
def network(api: Api, back_end: BackEnd) -> str:
    with begin(back_end.engine) as conn:
        stats = conn.execute(sa.select(pools.c.stats)).scalar_one()
        stats["capabilities"] |= {"backup_support": True}
        conn.execute(sa.update(pools).values(stats=stats))
    api.share_type()
    return str(api.share_network()["id"])


@pytest.fixture
def share(api: Api, back_end: BackEnd, network: str) -> str:
    return new_share(api, back_end, network)


def new_share(api: Api, back_end: BackEnd, network: str, **members: Any) -> str:
    made = api.share(network, **{"size": 2, **members})["id"]
    back_end.settle(made, "10.0.0.5:/shares/x")
    return str(made)


def ask(api: Api, share_id: str, status: int = 202, **members: Any) -> Any:
    body = {"share_backup": {"share_id": share_id, **members}}
    return api("POST", "/share-backups", body, who=ALICE, version=V, status=status)


def refused(api: Api, share_id: Any, status: int, who: str = ALICE, **members: Any) -> str:
    body = {"share_backup": {"share_id": share_id, **members}}
    return api.fault("POST", "/share-backups", body, status, who=who, version=V)


def status_of(engine: Engine, share_id: str) -> str:
    query = sa.select(share_instances.c.status).where(share_instances.c.share_id == share_id)
    with read(engine) as conn:
        return str(conn.scalar(query))


def test_a_backup_is_asked_for(api: Api, share: str, engine: Engine) -> None:
    options = {"dummy": "True", "backup_type": "nightly"}
    made = ask(api, share, name="b", description="d", backup_options=options)["share_backup"]
    assert made.keys() == DETAIL
    assert (made["name"], made["description"], made["status"], made["size"]) == (
        "b",
        "d",
        "creating",
        2,
    )
    assert (made["progress"], made["restore_progress"], made["backup_type"]) == (
        "0",
        "0",
        "nightly",
    )
    assert (made["availability_zone"], status_of(engine, share)) == ("nova", "backup_creating")
    path = f"/share-backups/{made['id']}"
    shown = api("GET", path, version=V)["share_backup"]
    assert shown.keys() == DETAIL | {"host", "topic"}
    assert (shown["host"], shown["topic"]) == ("host1@alpha", None)
    assert "backup_type" not in api("GET", path, who=READER, version="2.84")["share_backup"]


def test_what_is_no_backup_is_refused(
    api: Api, back_end: BackEnd, network: str, share: str, engine: Engine
) -> None:
    api.fault("POST", "/share-backups", {}, 422, who=ALICE, version=V)
    assert "share_id" in refused(api, None, 400)
    assert refused(api, UNKNOWN, 400) == f"No share exists with ID {UNKNOWN}."
    assert "No share exists" in refused(api, share, 400, who=BOB)
    refused(api, share, 400, backup_options={"backup_type": 7 * ["x"]})
    refused(api, share, 400, name=256 * "x")
    refused(api, share, 403, who=READER)
    with begin(engine) as conn:
        conn.execute(sa.update(share_instances).values(status="extending"))
    assert "must be available" in refused(api, share, 400)
    with begin(engine) as conn:
        conn.execute(sa.update(share_instances).values(status="available"))
        conn.execute(sa.update(shares).values(snapshot_support=True))
    snapshot = {"snapshot": {"share_id": share}}
    api("POST", "/snapshots", snapshot, status=202, who=ALICE)
    assert "while it has snapshots" in refused(api, share, 400)
    other = new_share(api, back_end, network)
    back_end.back_up(other, backup_type="nightly")
    assert "backup_type: 'nightly'" in refused(api, other, 400)
    with begin(engine) as conn:
        conn.execute(sa.update(pools).values(stats={"capabilities": {}}))
    assert "keeps no backups" in refused(api, new_share_id(engine, other), 400)


def new_share_id(engine: Engine, share_id: str) -> str:
    """The same share, without its backups."""
    with begin(engine) as conn:
        conn.execute(sa.delete(share_backups))
    return share_id


def test_quotas_of_backups_are_kept(api: Api, back_end: BackEnd, network: str, share: str) -> None:
    limits = {"backups": 1, "backup_gigabytes": 3}
    api("PUT", "/quota-sets/red", {"quota_set": limits}, version=V)
    ask(api, share)
    assert "backups" in refused(api, new_share(api, back_end, network), 413)
    api("PUT", "/quota-sets/red", {"quota_set": {"backups": 9}}, version=V)
    assert "backup_gigabytes" in refused(api, new_share(api, back_end, network), 413)
    absolute = api("GET", "/limits", who=ALICE, version=V)["limits"]["absolute"]
    assert (absolute["totalShareBackupsUsed"], absolute["totalBackupGigabytesUsed"]) == (1, 2)


def test_backups_are_listed_by_what_they_are(
    api: Api, back_end: BackEnd, network: str, share: str
) -> None:
    other = new_share(api, back_end, network)
    first = back_end.back_up(share, display_name="one", backup_type="t")
    second = back_end.back_up(other, display_name="two", status="error", topic="manila-share")

    def listed(query: str = "", who: str = ALICE) -> set[str]:
        answer = api("GET", f"/share-backups{query}", who=who, version=V)
        assert all(row.keys() == SUMMARY for row in answer["share_backups"])
        return {row["id"] for row in answer["share_backups"]}

    assert listed() == {first, second}
    assert listed(f"?share_id={share}") == {first}
    assert listed("?status=error") == listed("?name=two") == listed("?name~=w") == {second}
    assert listed("?backup_type=t") == {first}
    assert listed("?topic=manila-share") == {first, second}  # which only administrators may ask
    assert listed("?topic=manila-share&all_tenants=1", ADMIN) == {second}
    assert listed(who=BOB) == listed("?all_tenants=1", BOB) == set()
    for hidden in ("host", "topic"):  # an order would tell which are on one back end
        api.fault("GET", f"/share-backups?sort_key={hidden}", None, 400, who=ALICE, version=V)
    page = api("GET", "/share-backups/detail?limit=1", who=ALICE, version=V)
    assert len(page["share_backups"]) == 1
    assert page["share_backup_links"][0]["rel"] == "next"


def test_a_backup_is_renamed(api: Api, back_end: BackEnd, share: str) -> None:
    backup = back_end.back_up(share, display_name="b", display_description="d")
    path = f"/share-backups/{backup}"
    body = {"share_backup": {"name": "c", "status": "error"}}
    shown = api("PUT", path, body, who=ALICE, version=V)["share_backup"]
    assert (shown["name"], shown["description"], shown["status"]) == ("c", "d", "available")
    api.fault("PUT", path, {}, 422, who=ALICE, version=V)
    api.fault("PUT", f"/share-backups/{UNKNOWN}", body, 404, who=ALICE, version=V)
    api.fault("PUT", path, body, 404, who=BOB, version=V)


def test_a_backup_is_deleted(api: Api, back_end: BackEnd, share: str) -> None:
    path = f"/share-backups/{back_end.back_up(share)}"
    api.fault("DELETE", path, None, 404, who=BOB, version=V)
    assert api("DELETE", path, who=ALICE, version=V, status=202) is None
    assert api("GET", path, who=ALICE, version=V)["share_backup"]["status"] == "deleting"
    assert "it is deleting" in api.fault("DELETE", path, None, 400, who=ALICE, version=V)
    api.fault("DELETE", f"/share-backups/{UNKNOWN}", None, 404, who=ALICE, version=V)


def test_a_backup_is_restored(
    api: Api, back_end: BackEnd, network: str, share: str, engine: Engine
) -> None:
    backup, other = back_end.back_up(share), new_share(api, back_end, network)
    small = new_share(api, back_end, network, size=1)
    path = f"/share-backups/{backup}/action"

    def restore(target: Any, status: int, version: str = V, who: str = ALICE) -> Any:
        return api("POST", path, {"restore": target}, who=who, version=version, status=status)

    for wrong in (small, UNKNOWN, 7, {"share": other}):
        restore(wrong, 400)
    restore(None, 404, who=BOB)
    assert status_of(engine, other) == "available"
    assert restore(other, 202) == {"restore": {"backup_id": backup, "share_id": other}}
    assert (status_of(engine, other), status_of(engine, share)) == (
        "backup_restoring",
        "available",
    )
    restore(None, 400)
    with begin(engine) as conn:
        conn.execute(sa.update(share_backups).values(status="available"))
    # before 2.91 there is no other share than its own
    assert restore(other, 202, "2.90") == {"restore": {"backup_id": backup, "share_id": share}}


def test_no_backup_leaves_its_project(
    api: Api, back_end: BackEnd, share: str, engine: Engine
) -> None:
    """Not even by an administrator's hand."""
    backup = back_end.back_up(share)
    theirs = api.share(api.share_network(who=BOB)["id"], who=BOB, size=2)["id"]
    back_end.settle(theirs, "10.0.0.5:/shares/y")
    with begin(engine) as conn, pytest.raises(Invalid, match="within its project"):
        backups.restore(conn, ANYBODY, backup, theirs)
    for path in ("/share-backups", "/share-backups/detail?all_tenants=1"):
        assert api("GET", path, who=BOB, version=V)["share_backups"] == []


def test_nothing_is_restored_into_a_share_that_was_never_made(
    api: Api, back_end: BackEnd, network: str, share: str
) -> None:
    backup = back_end.back_up(share)
    nowhere = api.share(network, size=900)["id"]
    reset = {"reset_status": {"status": "backup_restoring_error"}}
    api("POST", f"/shares/{nowhere}/action", reset, who=ADMIN, version=V, status=202)
    into = {"restore": nowhere}
    path = f"/share-backups/{backup}/action"
    assert "never created" in api.fault("POST", path, into, 400, who=ALICE, version=V)


def test_nobodys_backups_wait_for_all_that_another_project_has_asked_for(
    api: Api, back_end: BackEnd, network: str, engine: Engine
) -> None:
    """Though they are copied one after the other."""
    other = next(name for name in map(str, range(99)) if _lane(name) == _lane("red"))
    theirs = f"gina:{other}:member"
    asked = [ask(api, new_share(api, back_end, network))["share_backup"]["id"] for _ in range(3)]
    made = api.share(api.share_network(who=theirs)["id"], who=theirs, size=2)["id"]
    back_end.settle(made, "10.0.0.5:/shares/y")
    body = {"share_backup": {"share_id": made}}
    asked.append(
        api("POST", "/share-backups", body, who=theirs, version=V, status=202)["share_backup"]["id"]
    )
    with read(engine) as conn:
        work = queue.status_table(conn)
        is_new = work.c.name == "share_backup_create"
        rows = conn.execute(sa.select(work).where(is_new)).all()
    turns = {row.workflow_uuid.split(":")[1]: row.priority for row in rows}
    assert len({row.queue_partition_key for row in rows}) == 1
    first, second, third, theirs_first = (turns[each] for each in asked)
    assert theirs_first <= first < second < third


def _lane(project: str) -> int:
    return crc32(project.encode()) % 2


def test_an_administrator_sets_a_status(api: Api, back_end: BackEnd, share: str) -> None:
    backup = back_end.back_up(share)
    path = f"/share-backups/{backup}/action"
    api("POST", path, {"reset_status": {"status": "error"}}, version=V, status=202)
    assert api("GET", f"/share-backups/{backup}", version=V)["share_backup"]["status"] == "error"
    api.fault("POST", path, {"reset_status": {"status": "no such"}}, 400, version=V)
    api.fault("POST", path, {"reset_status": {"status": "error"}}, 403, who=ALICE, version=V)


def test_a_share_with_backups_is_not_deleted(api: Api, back_end: BackEnd, share: str) -> None:
    back_end.back_up(share)
    message = api.fault("DELETE", f"/shares/{share}", None, 403, who=ALICE)
    assert "1 dependent backups" in message


def test_backups_are_experimental(api: Api, back_end: BackEnd, share: str) -> None:
    path = f"/share-backups/{back_end.back_up(share)}"
    for version in ("2.80", V):
        api("GET", path, who=ALICE, version=version)
        api.fault("GET", path, None, 404, who=ALICE, version=version, experimental=False)
    api.fault("GET", path, None, 404, who=ALICE, version="2.79")
