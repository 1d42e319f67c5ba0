"""Share servers are spread over the hosts of a shared back end: new ones, and anew by moves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from abaca.admin import manage
from abaca.db.tables import share_servers
from abaca.domain.server_moves import rebalancing
from abaca.domain.services import hosts
from tests.databases import Initialise
from tests.operations.scene import available_share, server_of
from tests.operations.shared_hosts import Hosts
from tests.operations.test_share_server_moves import row, settled, share_on, stands
from tests.stack import initialise

pytestmark = [
    pytest.mark.each_database,
    pytest.mark.timeout(300),
    pytest.mark.sampled_file(8),
]


@pytest.fixture
def played(template_database: Callable[[Initialise], str], tmp_path: Path) -> Iterator[Hosts]:
    """host1, with four share servers, the last of which has a second share; then host2."""
    made = Hosts(tmp_path / "state", template_database(initialise))
    try:
        made.start("host1")
        share_networks = [
            made.stack.share_network(*made.stack.network(f"10.{number}.0.0/24"))
            for number in range(4)
        ]
        for share_network in [*share_networks, share_networks[-1]]:
            available_share(made.stack, share_network)
        made.start("host2")
        yield made
    finally:
        made.close()


def spread(played: Hosts) -> Counter[str]:
    ids = played.stack.ask(lambda conn: conn.scalars(sa.select(share_servers.c.id)).all())
    return Counter(settled(played, each) for each in ids)


def command(played: Hosts, *more: str) -> str:
    config_file = played.state_dir / "manage.conf"
    config_file.write_text(f"[database]\nconnection = {played.url}\n")
    where = ["--config-file", str(config_file), "--state-dir", str(played.state_dir)]
    done = CliRunner().invoke(manage.main, ["host", "rebalance", *more, *where])
    assert done.exit_code == 0, done.output
    return done.output


def test_servers_go_from_full_hosts_to_empty_ones_a_few_at_once(played: Hosts) -> None:
    stack = played.stack
    planned = stack.ask(rebalancing.plan, 4)
    assert list(planned.going.values()) == [("host1", "host2")] * 2 and planned.waiting == 0
    shown = command(played, "--dry-run", "--at-once", "1")
    assert next(iter(planned.going)) in shown and "1 more wait" in shown
    assert spread(played) == {"host1": 4}, "it was only said"
    assert "1 more wait" in command(played, "--at-once", "1")
    assert spread(played) == {"host1": 3, "host2": 1}
    assert "host2" in command(played)
    assert spread(played) == {"host1": 2, "host2": 2}
    assert command(played).strip() == "Nothing moves."
    assert all(stands(played, each) == "host2" for each in planned.going), "fewest shares first"


def test_servers_that_move_already_count(played: Hosts) -> None:
    stack = played.stack
    (first, _) = stack.ask(rebalancing.plan, 4).going
    moving = sa.update(share_servers).where(share_servers.c.id == first)
    stack.do(lambda conn: conn.execute(moving.values(is_moving=True)))
    planned = stack.do(rebalancing.rebalance, 1)
    assert not planned.going and planned.waiting >= 1
    stack.do(lambda conn: conn.execute(moving.values(is_moving=False, move_reason="it hangs")))
    assert first not in stack.ask(rebalancing.plan, 4).going


def test_hosts_that_take_no_shares_neither_give_nor_get(played: Hosts) -> None:
    stack = played.stack
    for name in ("host1", "host2"):
        stack.do(hosts.set_state, name, "draining")
        planned = stack.do(rebalancing.rebalance, 4)
        assert not planned.going and not planned.waiting
        stack.do(hosts.set_state, name, "up")
    played.kill("host2")
    stack.do(hosts.set_state, "host2", "fenced")
    assert not stack.ask(rebalancing.plan, 4).going


def test_a_new_server_goes_where_fewer_shares_are(played: Hosts) -> None:
    """Of hosts with as many servers."""
    stack = played.stack
    ids = stack.ask(lambda conn: conn.scalars(sa.select(share_servers.c.id)).all())
    stack.do(rebalancing.rebalance, 4)
    assert spread(played) == {"host1": 2, "host2": 2}
    assert {row(stack, each).generation for each in ids} == {0, 1}
    share = share_on(stack, "10.9.0.0/24")
    assert stands(played, server_of(stack, share)) == "host2"
