"""User messages go when their time is over, and no sooner."""

from __future__ import annotations

from datetime import timedelta

from abaca.db.session import begin, utcnow
from abaca.db.tables import messages as table
from abaca.domain.rows import messages
from abaca.reconcile import expired_messages
from tests.operations.conftest import Install
from tests.operations.scene import told
from tests.stack import MEMBER


def test_only_the_expired_go(install: Install) -> None:
    stack = install()
    for text in ("old", "new"):
        subject = {
            "project_id": MEMBER.project_id,
            "resource_type": "SHARE",
            "resource_id": "share",
        }
        stack.do(messages.create, **subject, action=messages.Action.CREATE, text=text)
    with begin(stack.engine) as conn:
        conn.execute(
            table.update()
            .where(table.c.user_message == "old")
            .values(expires_at=utcnow() - timedelta(seconds=1))
        )
    expired_messages.forget_expired(stack.engine)
    assert told(stack) == ["new"]


def test_the_oldest_of_a_project_that_has_too_many_go(install: Install) -> None:
    stack = install()
    for project, texts in ((MEMBER.project_id, "abcde"), ("another", "xy")):
        for text in texts:
            subject = {"project_id": project, "resource_type": "SHARE", "resource_id": "share"}
            stack.do(messages.create, **subject, action=messages.Action.CREATE, text=text)
    expired_messages.forget_expired(stack.engine)
    assert stack.rows()["messages"] == 7, "no limit"
    for _ in range(2):
        expired_messages.forget_expired(stack.engine, 3)
        assert told(stack) == ["e", "d", "c"]
        assert stack.rows()["messages"] == 5
