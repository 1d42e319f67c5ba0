"""The workflows of a change of security services, killed before, inside and after their steps: they always end as if nothing had happened."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from abaca.domain import access_rules, security_service_changes
from abaca.domain.security_service_changes import ChangeRequest
from tests.databases import SqliteDatabases
from tests.operations.scene import available_share
from tests.operations.test_security_services import PASSWORD, service
from tests.stack import MEMBER, Stack, initialise, make_conf
from tests.walk import Walk, places

BACKENDS = {"alpha": {}}
OVERRIDES = {"service_down_time": 600}


class Ground:
    """A share with a rule whose server has joined `first`; `second` may take its place."""

    def __init__(self, databases: SqliteDatabases, state_dir: Path) -> None:
        state_dir.mkdir()
        self._databases, self._state_dir, self._url = databases, state_dir, databases.create_from(initialise)
        self.stack = stack = Stack(make_conf(state_dir, self._url, BACKENDS, **OVERRIDES))
        stack.share_type()
        first, self.second = service(stack), service(stack)
        self.wanted = ChangeRequest(new_id=self.second, current_id=first)
        self.share_network = stack.share_network(*stack.network("10.1.0.0/24"))
        stack.do(security_service_changes.change, MEMBER, self.share_network, ChangeRequest(new_id=first))
        with stack.working():
            share = available_share(stack, self.share_network)
            stack.do(access_rules.allow, MEMBER, share, access_type="ip", access_to="10.0.0.0/8", access_level="rw")
            stack.wait(lambda conn: access_rules.find(conn, MEMBER, share)[0]["state"] == "active")

    def asked(self, *, reset: bool) -> bool | None:
        answer = self.stack.do(security_service_changes.check, MEMBER, self.share_network, self.wanted, reset_operation=reset)
        return bool(answer["compatible"]) if answer["compatible"] is not None else None

    def walk(self, workflow: str) -> dict[str, Any]:
        """The end that every disturbed run has, too."""
        self.stack.close()
        walk = Walk(self._databases, self._url, self._state_dir, BACKENDS, workflow, dict(OVERRIDES))
        steps, expected = walk.undisturbed()
        assert any("update_share_server_security_service" in step for step in steps)
        for number, moment in places(steps):
            assert walk.killed_at(number, moment) == expected, f"killed {moment} step {steps[number - 1]}"
        return expected


@pytest.fixture
def ground(sqlite_databases: SqliteDatabases, tmp_path: Path) -> Iterator[Ground]:
    yield Ground(sqlite_databases, tmp_path / "state")


@pytest.mark.timeout(400)
def test_walk_share_server_update_security_service(ground: Ground) -> None:
    with ground.stack.working():
        ground.stack.wait(lambda _: ground.asked(reset=False))
    outcome = ground.stack.do(security_service_changes.change, MEMBER, ground.share_network, ground.wanted)
    assert isinstance(outcome, dict) and outcome["status"] == "network_change"
    end = ground.walk("share_server_update_security_service")
    assert '"status":"active"' in end["share_networks"][0]
    assert '"status":"active"' in end["share_servers"][0]
    (server,) = end["world of alpha"]["servers"].values()
    assert [(each["id"], each["password"]) for each in server["security_services"]] == [(ground.second, PASSWORD)]


@pytest.mark.timeout(400)
def test_walk_share_network_security_service_check(ground: Ground) -> None:
    assert ground.asked(reset=True) is None
    end = ground.walk("share_network_security_service_check")
    assert '"hosts":{"host1@alpha":true}' in end["share_network_checks"][0]
    assert end["messages"] == []
