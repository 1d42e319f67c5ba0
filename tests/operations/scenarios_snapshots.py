"""Scenes of what snapshots have of their own. See `scenarios`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from abaca.domain.snapshots import snapshot_access
from tests.stack import MEMBER

if TYPE_CHECKING:
    from tests.operations.scenarios import Ask, Ground


def snapshot_access_apply(ground: Ground) -> Ask:
    """One rule more and one less, of a snapshot that has its share's rules, too."""
    stack = ground.stack
    _, _, snapshot = ground.snapshot()

    def allow(access_to: str) -> str:
        rule = stack.do(
            snapshot_access.allow, MEMBER, snapshot, access_type="ip", access_to=access_to
        )
        return str(rule["id"])

    old = allow("10.2.0.0/16")
    stack.wait(
        lambda conn: (
            {rule["state"] for rule in snapshot_access.find(conn, MEMBER, snapshot)} == {"active"}
        )
    )

    def ask() -> None:
        stack.do(snapshot_access.deny, MEMBER, snapshot, old)
        allow("10.3.0.0/16")

    return ask


def snapshot_manage(ground: Ground) -> Ask:
    _, share, snapshot = ground.snapshot()
    instance = ground.remember_snapshot(share, snapshot)
    ground.unmanage_snapshot(snapshot)
    assert ground.stack.settled_snapshot(snapshot) == "gone"
    return lambda: ground.manage_snapshot(instance)


def snapshot_unmanage(ground: Ground) -> Ask:
    _, share, snapshot = ground.snapshot()
    ground.remember_snapshot(share, snapshot)
    return lambda: ground.unmanage_snapshot(snapshot)


SCENES = (snapshot_access_apply, snapshot_manage, snapshot_unmanage)
