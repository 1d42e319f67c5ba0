"""Shares with two instances, and shares on a back end without share servers: nothing goes by there
being one instance and one server."""

from __future__ import annotations

import dataclasses
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from abaca.db.session import utcnow
from abaca.db.tables import share_instances
from abaca.domain.shares import access_rules, shares
from abaca.drivers.fake import FakeDriver
from abaca.drivers.fake.faults import Fault
from abaca.errors import Forbidden
from abaca.operations import serving
from tests.operations.scene import (
    allow,
    another_instance,
    available_share,
    failing,
    instance_of,
    plan,
    rules,
    settled_rules,
    share,
    slate,
    struck,
    told,
    world,
)
from tests.stack import ADMIN, MEMBER, Stack, wait_for


@pytest.fixture
def id_(stack: Stack) -> str:
    return available_share(stack, stack.share_network(*stack.network("10.1.0.0/24")))


@pytest.fixture
def other(stack: Stack, id_: str) -> str:
    """The second instance of the share."""
    return another_instance(stack, id_)


def enforced_on(stack: Stack, instance_id: str) -> set[str]:
    return {rule["access_to"] for rule in world(stack)["shares"][instance_id]["access_rules"]}


def column(stack: Stack, instance_id: str, name: str) -> Any:
    return stack.ask(
        lambda conn: conn.scalar(
            sa.select(share_instances.c[name]).where(share_instances.c.id == instance_id)
        )
    )


def test_a_rule_holds_on_each_instance_and_goes_with_the_last(
    stack: Stack, id_: str, other: str
) -> None:
    active = instance_of(stack, id_).id
    allow(stack, id_, "10.9.0.0/16")
    assert settled_rules(stack, id_) == "active"
    assert enforced_on(stack, active) == enforced_on(stack, other) == {"10.9.0.0/16"}
    plan(stack, Fault(method="update_access", match=other, error="hang"))
    (rule,) = stack.ask(access_rules.find, MEMBER, id_)
    stack.do(access_rules.deny, MEMBER, id_, rule["id"])
    wait_for(lambda: column(stack, active, "access_rules_status") == "active" and struck(stack))
    assert (enforced_on(stack, active), enforced_on(stack, other)) == (set(), {"10.9.0.0/16"})
    assert rules(stack, id_) == {"10.9.0.0/16": "denying"}
    assert share(stack, id_)["access_rules_status"] == "syncing"
    plan(stack)
    assert settled_rules(stack, id_) == "active"
    assert (rules(stack, id_), enforced_on(stack, other)) == ({}, set())


def test_the_worst_state_of_an_instance_is_that_of_rule_and_share(
    stack: Stack, id_: str, other: str
) -> None:
    active = instance_of(stack, id_).id
    before = stack.ask(shares.get_version, MEMBER, id_)
    plan(stack, failing("update_access", "Refused", match=other))
    allow(stack, id_, "10.9.0.0/16")
    wait_for(lambda: column(stack, other, "access_rules_status") == "error")
    wait_for(lambda: column(stack, active, "access_rules_status") == "active")
    assert rules(stack, id_) == {"10.9.0.0/16": "error"}
    assert share(stack, id_)["access_rules_status"] == "error"
    assert enforced_on(stack, active) == {"10.9.0.0/16"}
    broken = stack.ask(shares.get_version, MEMBER, id_)
    plan(stack)
    allow(stack, id_, "10.8.0.0/16")
    assert settled_rules(stack, id_) == "active"
    assert rules(stack, id_) == {"10.9.0.0/16": "active", "10.8.0.0/16": "active"}
    assert len({before, broken, stack.ask(shares.get_version, MEMBER, id_)}) == 3, (
        "what is kept of the share is made anew"
    )


def test_a_change_of_another_instance_alone_is_another_version_of_the_share(
    stack: Stack, id_: str, other: str
) -> None:
    plan(stack, Fault(method="update_access", match=other, error="hang"))
    allow(stack, id_, "10.9.0.0/16")
    active = instance_of(stack, id_).id
    wait_for(lambda: column(stack, active, "access_rules_status") == "active" and struck(stack))
    syncing = stack.ask(shares.get_version, MEMBER, id_)
    assert share(stack, id_)["access_rules_status"] == "syncing"
    plan(stack)
    assert settled_rules(stack, id_) == "active"
    assert stack.ask(shares.get_version, MEMBER, id_) != syncing


def test_a_share_is_deleted_with_all_of_its_instances(stack: Stack, id_: str, other: str) -> None:
    allow(stack, id_, "10.9.0.0/16")
    assert settled_rules(stack, id_) == "active"
    counted = {"shares": 1, "gigabytes": 1}
    assert (set(slate(stack)["claimed"].values()), slate(stack)["quotas"][0][-1]) == ({2}, counted)
    plan(stack, Fault(method="delete_share", match=other, error="hang"))
    stack.do(shares.delete, MEMBER, id_)
    wait_for(lambda: list(world(stack)["shares"]) == [other] and struck(stack))
    stack.wait(
        lambda conn: conn.scalar(sa.select(sa.func.count()).select_from(share_instances)) == 1
    )
    assert share(stack, id_)["status"] == "deleting", "known by the instance that is left"
    assert (
        instance_of(stack, id_).id,
        set(slate(stack)["claimed"].values()),
        slate(stack)["quotas"][0][-1],
    ) == (other, {1}, counted)
    plan(stack)
    assert stack.settled_share(id_) == "gone"
    left = slate(stack)
    assert (left["worlds"]["alpha"]["shares"], set(left["claimed"].values()), left["quotas"]) == (
        [],
        {0},
        [],
    )
    assert (
        not {"shares", "share_instances", "share_access_rules", "share_instance_access_map"}
        & left["rows"].keys()
    )
    assert told(stack) == []


def test_an_instance_is_deleted_alone(stack: Stack, id_: str, other: str) -> None:
    active = instance_of(stack, id_).id
    plan(stack, failing("update_access", "Refused", match=active))
    allow(stack, id_, "10.9.0.0/16")
    wait_for(lambda: column(stack, active, "access_rules_status") == "error")
    with pytest.raises(Forbidden, match=f"{active} is the active one"):
        stack.do(shares.force_delete_instance, active)
    stack.do(shares.force_delete_instance, other)
    wait_for(lambda: list(world(stack)["shares"]) == [active])
    stack.wait(
        lambda conn: conn.scalar(sa.select(sa.func.count()).select_from(share_instances)) == 1
    )
    assert (share(stack, id_)["status"], rules(stack, id_)) == (
        "available",
        {"10.9.0.0/16": "error"},
    )
    assert set(slate(stack)["claimed"].values()) == {1}
    stack.do(shares.force_delete_instance, active)
    assert stack.settled_share(id_) == "gone"


def test_a_rule_that_is_denied_where_there_is_an_instance_left_is_gone(
    stack: Stack, id_: str, other: str
) -> None:
    allow(stack, id_, "10.9.0.0/16")
    assert settled_rules(stack, id_) == "active"
    active = instance_of(stack, id_).id
    plan(stack, failing("update_access", "Refused", match=other))
    (rule,) = stack.ask(access_rules.find, MEMBER, id_)
    stack.do(access_rules.deny, MEMBER, id_, rule["id"])
    wait_for(lambda: column(stack, other, "access_rules_status") == "error")
    wait_for(lambda: column(stack, active, "access_rules_status") == "active")
    assert rules(stack, id_) == {"10.9.0.0/16": "error"}
    stack.do(shares.force_delete_instance, other)
    wait_for(lambda: rules(stack, id_) == {})
    assert share(stack, id_)["access_rules_status"] == "active"


def test_a_share_on_a_back_end_without_share_servers_lives_and_goes(stack: Stack, id_: str) -> None:
    """The service places none there yet; the work is done as it will be."""
    bare = FakeDriver("alpha", {"driver_handles_share_servers": "false"})
    serving.start(dataclasses.replace(serving.current(), drivers={"host1@alpha": bare}))
    row = instance_of(stack, id_)._asdict()
    made = str(uuid4())

    def ask(conn: sa.Connection) -> None:
        new = row | {"id": made, "active": None, "status": "creating", "created_at": utcnow()}
        conn.execute(
            sa.insert(share_instances).values(
                new | {"share_server_id": None, "share_network_id": None}
            )
        )
        shares.start_on(conn, "share_create", made, row["host"], None, MEMBER.project_id)

    stack.do(ask)
    stack.wait(lambda _: column(stack, made, "status") == "available")
    assert bare.world()["shares"][made]["export_locations"] == [f"192.0.2.1:/shares/{made}"]
    allow(stack, id_, "10.9.0.0/16")
    wait_for(
        lambda: (
            [rule["access_to"] for rule in bare.world()["shares"][made]["access_rules"]]
            == ["10.9.0.0/16"]
        )
    )
    stack.wait(lambda _: column(stack, made, "access_rules_status") == "active")
    stack.do(shares.force_delete_instance, made)
    wait_for(lambda: column(stack, made, "id") is None)
    assert made not in bare.world()["shares"]
    assert share(stack, id_)["status"] == "available"
    assert stack.ask(shares.get, ADMIN, id_)["host"] == row["host"]
