"""A release of the past, frozen: workflows whose steps are not those of today, and a kind of work
that has gone since.

`work_as_then` is what a worker process of that release runs; it registers them in that process
alone, and dies at the moment that is asked for.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from threading import Event

import sqlalchemy as sa
from dbos._dbos import _get_or_create_dbos_registry
from sqlalchemy.engine import Connection

from abaca.db.tables import shares
from abaca.domain.driver_views import driver_values
from abaca.domain.rows import messages
from abaca.domain.shares import access_rule_states, share_instances
from abaca.operations import all as operations
from abaca.operations import serving
from abaca.operations.share_create import fail
from abaca.operations.share_resize import fail_extend
from abaca.operations.share_server_setup import make_sure_of_server
from abaca.values import AccessRule
from abaca.worker.process import Worker
from abaca.workflow.steps import effect, later, tx, workflow
from tests.stack import make_conf

GONE = "share_bless"
"""The kind of work that today's release does not know."""


def count_shares(conn: Connection) -> int:
    """A step that is none any more."""
    return conn.scalar(sa.select(sa.func.count()).select_from(shares)) or 0


def share_state(conn: Connection, instance_id: str) -> list[str]:
    """A step that gives something else than its namesake of today."""
    found = driver_values.share_state(conn, instance_id)
    assert found is not None
    return [found.host, found.server_id]


def share_create(instance_id: str) -> None:
    """Counted the shares before each part."""
    tx(count_shares)
    host, server_id = tx(share_state, instance_id)
    make_sure_of_server(server_id, host)
    tx(count_shares)
    die_at("server made")
    share, server = (
        later(driver_values.share, instance_id),
        later(driver_values.share_server, server_id),
    )
    locations = effect(serving.current().driver(host).create_share, share, server)
    tx(share_instances.created, instance_id, locations)
    die_at("ended")


def share_extend(instance_id: str, new_size: str) -> None:
    """Its first step gave something else."""
    host, server_id = tx(share_state, instance_id)
    share, server = (
        later(driver_values.share, instance_id),
        later(driver_values.share_server, server_id),
    )
    effect(serving.current().driver(host).extend_share, share, int(new_size), server)
    tx(count_shares)
    die_at("extended")
    tx(share_instances.resized, instance_id, int(new_size))


def begin_update(conn: Connection, instance_id: str) -> list[AccessRule]:
    """Gave, and so recorded, all rules."""
    access_rule_states.begin_update(conn, instance_id)
    return access_rule_states.granted_to(conn, instance_id)


def access_apply(instance_id: str) -> None:
    """Recorded copies of rows."""
    tx(begin_update, instance_id)
    die_at("rules recorded")


def share_bless(instance_id: str) -> None:
    """Is no more."""
    tx(count_shares)
    die_at("blessed")


def fail_to_bless(conn: Connection, instance_id: str, reason: str) -> None:
    share_instances.fail(conn, instance_id, "error", messages.Action.CREATE, reason)


def die_at(moment: str) -> None:
    if os.environ["DIES_AT"] == moment:
        os.kill(os.getpid(), signal.SIGKILL)


def work_as_then(state_dir: Path, url: str, moment: str) -> None:
    """Run until killed."""
    os.environ["DIES_AT"] = moment
    assert operations.WORKFLOWS
    ended_by: dict[Callable[..., None], Callable[..., None]] = {
        share_create: fail,
        share_extend: fail_extend,
        share_bless: fail_to_bless,
        access_apply: access_rule_states.fail_update,
    }
    for body, ending in ended_by.items():
        _get_or_create_dbos_registry().workflow_info_map.pop(body.__name__, None)
        workflow(on_failure=ending)(body)
    Worker(make_conf(state_dir, url)).start()
    Event().wait()


def dies(state_dir: Path, url: str, moment: str, seconds: float = 60) -> bool:
    """Run a worker of that release until it dies at that moment; whether it did."""
    process = multiprocessing.get_context("forkserver").Process(
        target=work_as_then, args=(state_dir, url, moment), daemon=True
    )
    process.start()
    process.join(seconds)
    process.kill()
    process.join()
    return process.exitcode == -signal.SIGKILL
