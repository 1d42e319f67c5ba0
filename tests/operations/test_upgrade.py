"""Upgrades: an installation of the time before several subnets, with live servers, which are served
and can grow once allowed to; and work in flight, begun by a frozen release of other steps
(`older_release`), which ends well although today's code would never have begun it so.
"""

from __future__ import annotations

import signal
from pathlib import Path
from uuid import uuid4

import pytest

from abaca import config
from abaca.db import migrations
from abaca.domain.share_servers import share_servers
from abaca.domain.shares import access_rules, shares
from abaca.errors import Conflict
from abaca.workflow import dbos_database, inspection, queue
from abaca.workflow.queue import Work
from abaca.workflow.retention import UNKNOWN
from abaca.workflow.steps import OUTGROWN
from tests.operations.conftest import Install
from tests.operations.older_release import GONE, dies
from tests.operations.scene import (
    all_servers,
    allow,
    available_share,
    enforced,
    instance_of,
    rules,
    settled_rules,
    share,
    slate,
    told,
)
from tests.operations.test_manage import manage
from tests.stack import MEMBER, Stack, WorkerProcess, wait_for

pytestmark = [pytest.mark.each_database, pytest.mark.sampled_file(4)]

HOUSEKEEPING = {"unused_share_server_cleanup_interval": 1}


def test_servers_of_the_baseline_live_on_and_learn_to_grow(install: Install) -> None:
    stack = install()
    url = config.database_url(stack.conf)
    with stack.working():
        share_network = stack.share_network(*stack.network("10.1.0.0/24"))
        share = available_share(stack, share_network)
        paths = stack.paths(share)
    stack.engine.dispose()
    migrations.downgrade(url, "0001")
    migrations.upgrade(url)
    server = all_servers(stack)[0]
    assert (server.status, server.network_allocation_update_support) == ("active", False)
    assert len(stack.ask(share_servers.get, server.id)["share_network_subnet_ids"]) == 1
    second = stack.network("10.2.0.0/24")[0]
    with stack.working():
        assert stack.ask(shares.get, MEMBER, share)["status"] == "available"
        with pytest.raises(Conflict, match="network_allocation_update_support"):
            stack.add_subnet(share_network, second)
        capability = (
            "--capabilities",
            "network_allocation_update_support",
            "--value",
            "true",
            "--check-driver",
        )
        answer = manage(
            stack,
            "share_server",
            "update_share_server_capabilities",
            "--share_servers",
            server.id,
            *capability,
        )
        assert answer.exit_code == 0, answer.output
        stack.add_subnet(share_network, second)
        assert stack.settled_network(share_network) == "active"
        assert stack.paths(share)[:1] == paths and len(stack.paths(share)) == 2


def older_release_dies(stack: Stack, moment: str) -> None:
    stack.engine.dispose()
    assert dies(Path(stack.conf.state_dir), config.database_url(stack.conf), moment), (
        f"the older release did not die: {moment}"
    )


@pytest.mark.timeout(180)
def test_work_that_an_older_release_began_with_other_steps_ends_well(install: Install) -> None:
    stack = install(service_down_time=600, **HOUSEKEEPING)
    with stack.working():
        network = stack.share_network(*stack.network("10.1.0.0/24"))
    for number, moment in enumerate(("server made", "ended"), 1):
        id_ = stack.share(network)
        older_release_dies(stack, moment)
        with stack.working():
            stack.wait(lambda conn, id_=id_: shares.get(conn, MEMBER, id_)["status"] == "available")  # type: ignore[misc]
            wait_for(lambda: not inspection.find(stack.engine))
        assert (told(stack), slate(stack)["quotas"][0][-1]) == (
            [OUTGROWN] * number,
            {"shares": number, "gigabytes": number},
        ), moment
    older_release_extends(stack, id_)


@pytest.mark.timeout(120)
def test_work_that_recorded_copies_of_rows_ends_well(install: Install) -> None:
    stack = install(service_down_time=600, **HOUSEKEEPING)
    with stack.working():
        share = available_share(stack, stack.share_network(*stack.network("10.1.0.0/24")))
        allow(stack, share, "10.9.9.8")
        assert settled_rules(stack, share) == "active"
    allow(stack, share, "10.9.9.9")
    older_release_dies(stack, "rules recorded")
    with stack.working():
        stack.wait(lambda conn: shares.get(conn, MEMBER, share)["access_rules_status"] == "active")
        wait_for(lambda: not inspection.find(stack.engine))
    assert rules(stack, share) == {"10.9.9.8": "active", "10.9.9.9": "active"}
    assert enforced(stack, share) == {"10.9.9.8", "10.9.9.9"}


@pytest.mark.timeout(120)
def test_rules_that_an_older_schema_was_applying_come_to_hold(install: Install) -> None:
    """Killed in the middle, with a rule being applied, one being denied and one queued; the
    database goes back to before 0017 and up again."""
    stack = install(service_down_time=600, **HOUSEKEEPING)
    with stack.working():
        share = available_share(stack, stack.share_network(*stack.network("10.1.0.0/24")))
        denied = allow(stack, share, "10.9.9.7")
        assert settled_rules(stack, share) == "active"
    stack.do(access_rules.deny, MEMBER, share, denied)
    allow(stack, share, "10.9.9.8")
    url, state_dir = config.database_url(stack.conf), Path(stack.conf.state_dir)
    killed = WorkerProcess(
        state_dir,
        url,
        {"alpha": {}},
        {"ABACA_CRASH_AT": "access_apply/1/after"},
        service_down_time=600,
    )
    wait_for(lambda: killed.exit_code is not None, 60)
    assert killed.exit_code == -signal.SIGKILL
    allow(stack, share, "10.9.9.9", "ro")
    expected = {"10.9.9.7": "denying", "10.9.9.8": "applying", "10.9.9.9": "queued_to_apply"}
    assert rules(stack, share) == expected
    stack.engine.dispose()
    migrations.downgrade(url, "0016")
    migrations.upgrade(url)
    assert rules(stack, share) == expected
    with stack.working():
        stack.wait(lambda conn: shares.get(conn, MEMBER, share)["access_rules_status"] == "active")
        wait_for(lambda: not queue.unfinished(stack.engine))
    assert rules(stack, share) == {"10.9.9.8": "active", "10.9.9.9": "active"}
    assert enforced(stack, share) == {"10.9.9.8", "10.9.9.9"}
    assert told(stack) == []


def older_release_extends(stack: Stack, id_: str) -> None:
    """With what it claims: claimed once in the end."""
    stack.do(shares.extend, MEMBER, id_, 3)
    older_release_dies(stack, "extended")
    with stack.working():
        stack.wait(lambda conn: shares.get(conn, MEMBER, id_)["status"] == "available")
        wait_for(lambda: not inspection.find(stack.engine))
    assert (share(stack, id_)["size"], set(slate(stack)["claimed"].values())) == (3, {1 + 3})
    assert told(stack)[0] == OUTGROWN


@pytest.mark.timeout(120)
def test_work_of_a_kind_that_is_gone_is_ended_and_keeps_nobody_waiting(install: Install) -> None:
    stack = install(service_down_time=600, **HOUSEKEEPING)
    with stack.working():
        pass
    id_ = stack.share(stack.share_network(*stack.network("10.1.0.0/24")))
    instance = instance_of(stack, id_)
    (making,) = [
        operation.id
        for operation in inspection.find(stack.engine)
        if operation.name == "share_create"
    ]
    # the share is creating, and what makes it is the older release's blessing
    dbos_database.client(stack.engine).delete_workflow(making)
    work_id = f"{GONE}:{instance.id}:{uuid4()}"
    key = f"server:{instance.share_server_id}:0"
    stack.do(
        queue.enqueue,
        Work(
            name=GONE,
            worker_host="host1",
            project_id="project",
            id=work_id,
            key=key,
            args=(instance.id,),
        ),
    )
    older_release_dies(stack, "blessed")
    with stack.working():
        assert stack.settled_share(id_) == "error"
        assert [(server.status, server.status_reason) for server in all_servers(stack)] == [
            ("error", UNKNOWN)
        ]
        wait_for(lambda: not queue.unfinished(stack.engine))
        (ended,) = inspection.find(stack.engine)
        assert (ended.id, ended.state) == (work_id, "given up")
        with pytest.raises(Conflict, match="repeat the request"):
            inspection.resume(stack.engine, work_id)
        stack.do(shares.delete, MEMBER, id_)
        assert stack.settled_share(id_) == "gone"
