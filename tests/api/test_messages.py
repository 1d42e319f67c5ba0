"""User messages."""

from __future__ import annotations

import re

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from abaca import log_context
from abaca.db.session import begin
from abaca.db.tables import messages as messages_table
from abaca.domain.rows import messages
from tests.api.conftest import ADMIN, ALICE, BOB, READER, UNKNOWN, Api

KEYS = {
    "id", "project_id", "action_id", "detail_id", "message_level", "created_at", "expires_at",
     "request_id", "links", "resource_type",
    "resource_id", "user_message",
}  # fmt: skip


@pytest.fixture
def told(engine: Engine) -> list[str]:
    """Ids of two messages to the project red, the older one first."""
    for number in (1, 2):
        with log_context.working_for(f"req-{number}"), begin(engine) as conn:
            messages.create(
                conn,
                project_id="red",
                resource_type="SHARE",
                resource_id=f"{number}" * 8,
                action=messages.Action.CREATE,
                text=f"no room {number}",
            )
    with begin(engine) as conn:
        return list(
            conn.scalars(sa.select(messages_table.c.id).order_by(messages_table.c.created_at))
        )


@pytest.mark.parametrize("version", ["2.37", "2.70"])
def test_list_and_show(api: Api, told: list[str], version: str) -> None:
    """messages.index, messages.show"""
    listed = api("GET", "/messages", who=READER, version=version)["messages"]
    assert [message["id"] for message in listed] == told[::-1]
    message = api("GET", f"/messages/{told[0]}", who=ALICE, version=version)["message"]
    assert message == listed[1]
    assert set(message) == KEYS
    assert (
        message["user_message"],
        message["action_id"],
        message["message_level"],
        message["project_id"],
    ) == ("no room 1", "002", "ERROR", "red")
    assert [link["rel"] for link in message["links"]] == ["self", "bookmark"]
    for name in ("created_at", "expires_at"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}", message[name])


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("resource_id=11111111", [0]),
        ("resource_type=SHARE", [1, 0]),
        ("resource_type=SHARE_NETWORK", []),
        ("request_id=req-2", [1]),
        ("action_id=002", [1, 0]),
        ("message_level=ERROR", [1, 0]),
        ("sort_key=resource_id&sort_dir=asc", [0, 1]),
        ("limit=1", [1]),
        ("created_since=2020-01-01", [1, 0]),
        ("created_before=2020-01-01", []),
        ("created_since=2020-01-01T00:00:00Z", [1, 0]),
    ],
)
def test_filters(api: Api, told: list[str], query: str, found: list[int]) -> None:
    listed = api("GET", f"/messages?{query}", who=ALICE)["messages"]
    assert [message["id"] for message in listed] == [told[number] for number in found]


def test_times_came_with_2_52(api: Api, told: list[str]) -> None:
    assert (
        len(
            api("GET", "/messages?created_before=2020-01-01", who=ALICE, version="2.51")["messages"]
        )
        == 2
    )
    assert (
        api("GET", "/messages?created_before=2020-01-01", who=ALICE, version="2.52")["messages"]
        == []
    )
    assert "created_since" in api.fault("GET", "/messages?created_since=yesterday", None, 400)


def test_other_projects_learn_nothing(api: Api, told: list[str]) -> None:
    assert api("GET", "/messages", who=BOB)["messages"] == []
    unknown = api.fault("GET", f"/messages/{UNKNOWN}", None, 404, who=BOB)
    assert unknown == f"Message {UNKNOWN} could not be found."
    for method in ("GET", "DELETE"):
        assert api.fault(method, f"/messages/{told[0]}", None, 404, who=BOB) == unknown.replace(
            UNKNOWN, told[0]
        )
    assert len(api("GET", "/messages", who=ALICE)["messages"]) == 2


def test_administrators_read_those_of_all_projects(api: Api, told: list[str]) -> None:
    for query in ("", "?all_tenants=1"):
        assert {
            message["id"] for message in api("GET", f"/messages{query}", who=ADMIN)["messages"]
        } == set(told)


def test_readers_delete_none(api: Api, told: list[str]) -> None:
    api.fault("DELETE", f"/messages/{told[0]}", None, 403, who=READER)


def test_delete(api: Api, told: list[str]) -> None:
    """messages.delete"""
    assert api("DELETE", f"/messages/{told[0]}", who=ALICE, status=204) is None
    api.fault("DELETE", f"/messages/{told[0]}", None, 404, who=ALICE)
    assert api("DELETE", f"/messages/{told[1]}", who=ADMIN, status=204) is None
    assert api("GET", "/messages", who=ALICE)["messages"] == []
