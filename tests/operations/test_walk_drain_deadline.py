"""The deadline of a drain, met by a worker by itself that is killed before, inside and after every
step of what follows: it always ends as if nothing had happened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.tables import share_network_subnets, share_networks
from abaca.domain.network_changes.subnet_drains import CANCEL, FORCE
from abaca.domain.rows.draining import DRAINS
from tests.databases import Databases, Initialise
from tests.operations.scenarios import Ground
from tests.stack import Stack, initialise, make_conf
from tests.walk import Walk, places

BACKENDS: dict[str, dict[str, str]] = {"alpha": {}}
OVERRIDES: dict[str, object] = {
    "service_down_time": 600,
    "unused_share_server_cleanup_interval": 1,  # so often passes look for deadlines, too
}


def nothing_drains(conn: Connection) -> bool:
    """Nor is anything being removed any more."""
    drains = sa.select(share_network_subnets.c.id).where(DRAINS)
    changing = sa.select(share_networks.c.id).where(share_networks.c.status != "active")
    return conn.execute(drains.union(changing)).first() is None


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("at_deadline", "workflow", "subnets"),
    [
        (FORCE, "share_network_subnet_removal_check", 1),
        (FORCE, "share_server_remove_subnet", 1),
        (CANCEL, "share_server_update_drains", 2),
    ],
)
def test_killed_anywhere_it_ends_the_same(
    at_deadline: str,
    workflow: str,
    subnets: int,
    databases: Databases,
    template_database: Callable[[Initialise], str],
    tmp_path: Path,
) -> None:
    url, state_dir = template_database(initialise), tmp_path / "state"
    state_dir.mkdir()
    stack = Stack(make_conf(state_dir, url, BACKENDS, **OVERRIDES))
    with stack.working():
        ground = Ground(stack)
        _, subnet = ground.draining(at_deadline)
    ground.overdue(subnet)
    stack.close()
    walk = Walk(databases, url, state_dir, BACKENDS, workflow, OVERRIDES, is_over=nothing_drains)
    steps, expected = walk.undisturbed()
    assert len(steps) >= 2
    assert len(expected["share_network_subnets"]) == subnets
    assert len(expected["messages"]) == 1
    for number, moment in places(steps):
        walk.kill(steps, number, moment, expected)
