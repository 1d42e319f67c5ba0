"""Work that killed its worker again and again is ended: its share is in error, its owner is told, and it is not run again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

from abaca.db.session import begin
from abaca.domain import messages, shares
from abaca.reconcile import finished_work
from abaca.values import Page
from abaca.workflow import queue, retention
from tests.databases import Initialise
from tests.stack import MEMBER, Stack, initialise, make_conf, wait_for


def test_its_nouns_end_in_error(template_database: Callable[[Initialise], str], tmp_path: Path) -> None:
    stack = Stack(make_conf(tmp_path, template_database(initialise), service_down_time=600))
    stack.share_type()
    with stack.working():
        share_network = stack.share_network(*stack.network("10.1.0.0/24"))
    share = stack.share(share_network)
    prefix = "" if stack.engine.dialect.name == "sqlite" else "dbos."
    with begin(stack.engine) as conn:
        conn.execute(sa.text(f"UPDATE {prefix}workflow_status SET status = 'MAX_RECOVERY_ATTEMPTS_EXCEEDED' WHERE name = 'share_create'"))
    with stack.working() as worker:
        assert stack.ask(shares.get, MEMBER, share)["status"] == "creating"
        finished_work.tidy_up(worker.engine, "host1")
        assert stack.settled_share(share) == "error"
        wait_for(lambda: not queue.unfinished(stack.engine))
        told = stack.ask(messages.find, MEMBER, {"resource_id": share}, Page())
        assert [message["user_message"] for message in told] == [retention.GAVE_UP]
        stack.do(shares.delete, MEMBER, share)
        assert stack.settled_share(share) == "gone"
    stack.close()
