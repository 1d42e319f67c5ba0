"""Soft deletion: a share that is kept for some time, and restored or deleted. Its end by itself:
tests/operations."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from abaca.db.session import begin, utcnow
from abaca.db.tables import shares
from tests.api.conftest import ADMIN, ALICE, BOB, READER, UNKNOWN, Api, BackEnd

WEEK = timedelta(days=7)


@pytest.fixture
def share(api: Api, back_end: BackEnd, engine: Engine) -> str:
    """A share that is available and can do everything; its id."""
    api.share_type()
    made = str(api.share(api.share_network()["id"], name="one", size=2)["id"])
    back_end.settle(made, "10.0.0.5:/shares/x")
    with begin(engine) as conn:
        conn.execute(
            sa.update(shares).values(snapshot_support=True, revert_to_snapshot_support=True)
        )
    return made


def act(
    api: Api, share_id: str, action: str, arguments: Any = None, *, who: str = ALICE, **more: Any
) -> Any:
    return api(
        "POST",
        f"/shares/{share_id}/action",
        {action: arguments},
        who=who,
        **{"status": 202, **more},
    )


def refused(
    api: Api,
    share_id: str,
    action: str,
    arguments: Any = None,
    *,
    status: int = 403,
    who: str = ALICE,
    **more: Any,
) -> str:
    return api.fault(
        "POST", f"/shares/{share_id}/action", {action: arguments}, status, who=who, **more
    )


def listed(api: Api, query: str = "", version: str = "2.69") -> list[str]:
    return [
        share["id"]
        for share in api("GET", f"/shares/detail?{query}", who=ALICE, version=version)["shares"]
    ]


def usage(api: Api) -> tuple[int, int]:
    quotas = api("GET", "/quota-sets/red/detail", who=ALICE)["quota_set"]
    return quotas["shares"]["in_use"], quotas["gigabytes"]["in_use"]


def test_it_is_kept_and_restored(api: Api, share: str) -> None:
    """shares.soft_delete, shares.restore"""
    before = api("GET", f"/shares/{share}", who=ALICE)["share"]
    assert (before["is_soft_deleted"], before["scheduled_to_be_deleted_at"]) == (False, None)
    assert listed(api) == [share]
    act(api, share, "soft_delete", version="2.69")
    kept = api("GET", f"/shares/{share}", who=ALICE)["share"]
    assert kept["is_soft_deleted"] is True
    left = datetime.fromisoformat(kept["scheduled_to_be_deleted_at"]) - utcnow()
    assert WEEK - timedelta(minutes=5) < left <= WEEK
    assert before == kept | {"is_soft_deleted": False, "scheduled_to_be_deleted_at": None}
    assert (
        listed(api, version="2.68")
        == listed(api)
        == listed(api, "is_soft_deleted=false")
        == listed(api, "name=one")
        == []
    )
    assert (
        listed(api, "is_soft_deleted=true")
        == listed(api, "is_soft_deleted=true&name=one&sort_key=size")
        == [share]
    )
    assert listed(api, "is_soft_deleted=true", version="2.68") == []  # not a filter of that version
    assert api("GET", "/shares?with_count=true", who=ALICE)["count"] == 0
    assert api("GET", "/shares?with_count=true&is_soft_deleted=1", who=ALICE)["count"] == 1
    assert usage(api) == (1, 2)
    act(api, share, "restore", version="2.69")
    assert api("GET", f"/shares/{share}", who=ALICE)["share"] == before
    assert (listed(api), listed(api, "is_soft_deleted=true")) == ([share], [])
    assert usage(api) == (1, 2)
    act(api, share, "restore")  # nothing to do


def test_what_lists_keep_encoded_follows(api: Api, share: str) -> None:
    api("GET", f"/shares/detail?is_soft_deleted=0&name={share}", who=ALICE)
    seen = []
    for action in ("soft_delete", "restore", "soft_delete"):
        act(api, share, action)
        query = f"is_soft_deleted={action == 'soft_delete'}"
        seen += [
            row["is_soft_deleted"]
            for row in api("GET", f"/shares/detail?{query}", who=ALICE)["shares"]
        ]
    assert seen == [True, False, True]


def test_the_configuration_says_for_how_long(api: Api, share: str, conf: Any) -> None:
    conf.set_override("soft_deleted_share_retention_time", 60)
    act(api, share, "soft_delete")
    until = datetime.fromisoformat(
        api("GET", f"/shares/{share}")["share"]["scheduled_to_be_deleted_at"]
    )
    assert until - utcnow() <= timedelta(seconds=60)


ALLOW = {"access_type": "ip", "access_to": "10.0.0.9"}


@pytest.mark.parametrize(
    ("action", "arguments", "who"),
    [
        ("soft_delete", None, ALICE),
        ("extend", {"new_size": 3}, ALICE),
        ("extend", {"new_size": 3, "force": True}, ADMIN),
        ("shrink", {"new_size": 1}, ALICE),
        ("allow_access", ALLOW, ALICE),
        ("deny_access", {"access_id": "RULE"}, ALICE),
        ("revert", {"snapshot_id": UNKNOWN}, ALICE),
        ("reset_status", {"status": "error"}, ADMIN),
        ("reset_task_state", {"task_state": None}, ADMIN),
        ("unmanage", None, ADMIN),
    ],
)
def test_nothing_else_is_done_with_it(
    api: Api, share: str, action: str, arguments: Any, who: str
) -> None:
    rule = act(api, share, "allow_access", ALLOW | {"access_to": "10.0.0.1"}, status=200)["access"][
        "id"
    ]
    if arguments and "access_id" in arguments:
        arguments = {"access_id": rule}
    act(api, share, "soft_delete")
    before = api("GET", f"/shares/{share}")
    assert (
        refused(api, share, action, arguments, who=who)
        == f"Share {share} has been soft-deleted; restore it first."
    )
    assert api("GET", f"/shares/{share}") == before


def test_nor_by_other_urls(api: Api, share: str) -> None:
    rule = act(api, share, "allow_access", ALLOW, status=200)["access"]["id"]
    act(api, share, "soft_delete")
    api.fault("PUT", f"/shares/{share}", {"share": {"display_name": "x"}}, 403, who=ALICE)
    api.fault("POST", "/snapshots", {"snapshot": {"share_id": share}}, 403, who=ALICE)
    api.fault(
        "POST", "/snapshots", {"snapshot": {"share_id": share, "force": True}}, 403, who=ALICE
    )
    api.fault(
        "PUT",
        f"/share-access-rules/{rule}",
        {"update_access": {"access_level": "ro"}},
        403,
        who=ALICE,
        version="2.88",
    )
    assert [
        row["id"]
        for row in api("GET", f"/share-access-rules?share_id={share}", who=READER)["access_list"]
    ] == [rule]


def test_its_metadata_may_change(api: Api, share: str) -> None:
    act(api, share, "soft_delete")
    api("POST", f"/shares/{share}/metadata", {"metadata": {"why": "old"}}, who=ALICE)
    assert api("GET", "/shares/detail?is_soft_deleted=true", who=ALICE)["shares"][0][
        "metadata"
    ] == {"why": "old"}


def test_it_keeps_its_server_and_its_network(api: Api, share: str) -> None:
    shown = api("GET", f"/shares/{share}")["share"]
    act(api, share, "soft_delete")
    api.fault("DELETE", f"/share-networks/{shown['share_network_id']}", None, 409, who=ALICE)
    api.fault("DELETE", f"/share-servers/{shown['share_server_id']}", None, 409)


@pytest.mark.parametrize(
    "status",
    ["creating", "deleting", "error_deleting", "extending", "extending_error", "manage_error"],
)
def test_a_status_that_is_against_it(api: Api, back_end: BackEnd, share: str, status: str) -> None:
    back_end.settle(share, status=status)
    assert status in refused(api, share, "soft_delete")
    assert not api("GET", f"/shares/{share}")["share"]["is_soft_deleted"]


@pytest.mark.parametrize("status", ["available", "error", "inactive"])
def test_a_status_that_is_not(api: Api, back_end: BackEnd, share: str, status: str) -> None:
    back_end.settle(share, status=status)
    act(api, share, "soft_delete")
    assert api("GET", f"/shares/{share}")["share"]["status"] == status


def test_snapshots_are_against_it(api: Api, share: str) -> None:
    api("POST", "/snapshots", {"snapshot": {"share_id": share}}, who=ALICE, status=202)
    assert (
        refused(api, share, "soft_delete")
        == "Invalid share: Share still has 1 dependent snapshots."
    )


@pytest.mark.parametrize("action", ["soft_delete", "restore"])
def test_who_may(api: Api, share: str, action: str) -> None:
    refused(api, share, action, who=READER)
    refused(api, share, action, who=BOB, status=404)
    refused(api, UNKNOWN, action, status=404)
    refused(api, share, action, status=404, version="2.68")
    api("PUT", f"/shares/{share}", {"share": {"is_public": True}})
    refused(api, share, action, who=BOB)
    act(api, share, action, who=ADMIN)


@pytest.mark.parametrize("status", ["deleting", "error_deleting"])
def test_too_late_to_be_restored(api: Api, back_end: BackEnd, share: str, status: str) -> None:
    act(api, share, "soft_delete")
    back_end.settle(share, status=status)
    assert status in refused(api, share, "restore")


def test_it_can_be_deleted_at_once(api: Api, share: str) -> None:
    act(api, share, "soft_delete")
    api("DELETE", f"/shares/{share}", who=ALICE, status=202)
    assert api("GET", f"/shares/{share}")["share"]["status"] == "deleting"
    assert listed(api, "is_soft_deleted=true") == [share]
