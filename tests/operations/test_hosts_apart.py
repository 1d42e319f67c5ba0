"""Shares whose hint keeps them on different hosts, on a back end that several hosts serve."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from abaca.db.tables import share_servers
from abaca.domain.server_moves import rebalancing
from abaca.domain.server_moves import share_server_moves as moves
from abaca.domain.services import hosts
from tests.databases import Initialise
from tests.operations import shared_hosts
from tests.operations.scene import available_share, server_of
from tests.operations.shared_hosts import Hosts
from tests.operations.test_share_server_moves import settled, stands
from tests.stack import initialise

pytestmark = [
    pytest.mark.each_database,
    pytest.mark.timeout(300),
    pytest.mark.sampled_file(8),
]


@pytest.fixture
def played(template_database: Callable[[Initialise], str], tmp_path: Path) -> Iterator[Hosts]:
    with shared_hosts.played(
        tmp_path / "state", template_database(initialise), "host1", "host2"
    ) as made:
        yield made


class Site:
    """Shares on networks of their own."""

    def __init__(self, played: Hosts) -> None:
        self.played, self.stack = played, played.stack
        self.networks = 0

    def network(self) -> str:
        self.networks += 1
        return self.stack.share_network(*self.stack.network(f"10.{self.networks}.0.0/24"))

    def share(self, *apart_from: str) -> str:
        return available_share(self.stack, self.network(), different_host=apart_from)

    def stands(self, share: str) -> str:
        return stands(self.played, server_of(self.stack, share))

    def settled(self, share: str) -> str:
        return settled(self.played, server_of(self.stack, share))


def test_a_new_server_stands_apart_where_fewer_servers_would_call_it(played: Hosts) -> None:
    site = Site(played)
    first, other = site.share(), site.share()
    assert (site.stands(first), site.stands(other)) == ("host1", "host2")
    assert site.stands(site.share(first)) == "host2"
    assert site.stands(site.share()) == "host1", "where it would have gone"


def test_what_cannot_stand_apart_is_not_made(played: Hosts) -> None:
    """On the network of the other, which has a server; and where no other host takes shares."""
    site = Site(played)
    network = site.network()
    first = available_share(site.stack, network)
    beside = site.stack.share(network, different_host=(first,))
    assert site.stack.settled_share(beside) == "error"
    site.stack.do(hosts.set_state, "host2", "draining")
    nowhere = site.stack.share(site.network(), different_host=(first,))
    assert site.stack.settled_share(nowhere) == "error"
    site.stack.do(hosts.set_state, "host2", "up")
    assert site.stands(site.share(first)) == "host2"


def test_moves_keep_them_apart_as_long_as_there_is_another_host(played: Hosts) -> None:
    site = Site(played)
    first = site.share()
    apart = site.share(first)
    assert (site.stands(first), site.stands(apart)) == ("host1", "host2")
    played.start("host3")
    more = [site.share() for _ in range(2)]
    assert site.stands(more[0]) == "host3"
    site.stack.do(hosts.set_state, "host1", "draining")
    site.stack.do(hosts.set_state, "host2", "draining")
    more += [site.share() for _ in range(2)]
    for host in ("host1", "host2"):
        site.stack.do(hosts.set_state, host, "up")
    assert [site.stands(each) for each in more[2:]] == ["host3"] * 2
    site.stack.do(moves.drain, "host2")
    assert site.settled(apart) == "host3", "host1 has fewer servers"
    played.kill("host3")
    told = site.stack.do(moves.evacuate, "host3")
    assert told.going[server_of(site.stack, apart)] == "host1", "there is no other"


def test_a_server_that_takes_no_shares_counts_for_nothing(played: Hosts) -> None:
    """A network's server that is in error is on the host of the other share; a new one is not."""
    site = Site(played)
    first, other = site.share(), site.share()
    network = site.network()
    beside = available_share(site.stack, network)
    assert site.stands(beside) == site.stands(first) == "host1"
    broken = sa.update(share_servers).where(share_servers.c.id == server_of(site.stack, beside))
    site.stack.do(lambda conn: conn.execute(broken.values(status="error")))
    apart = available_share(site.stack, network, different_host=(first,))
    assert site.stands(apart) == site.stands(other) == "host2"


def test_a_drain_brings_none_together_that_it_sends_away(played: Hosts) -> None:
    site = Site(played)
    first = site.share()
    apart = site.share(first)
    site.stack.do(moves.drain, "host2")
    assert [site.settled(each) for each in (first, apart)] == ["host1"] * 2, "there is no other"
    played.start("host3")
    site.stack.do(hosts.set_state, "host1", "draining")
    assert [site.stands(site.share()) for _ in range(2)] == ["host3"] * 2
    site.stack.do(hosts.set_state, "host2", "up")
    told = site.stack.do(moves.drain, "host1")
    servers = [server_of(site.stack, each) for each in (first, apart)]
    assert {told.going[each] for each in servers} == {"host2", "host3"}, "host2 has fewer servers"


def test_rebalancing_moves_one_of_two_at_most(played: Hosts) -> None:
    """Each alone could go to the third host."""
    site = Site(played)
    first = site.share()
    apart = site.share(first)
    share_networks = [site.network() for _ in range(6)]
    for each in share_networks * 2:
        available_share(site.stack, each)
    played.start("host3")
    planned = site.stack.ask(rebalancing.plan, 9)
    both = {server_of(site.stack, each) for each in (first, apart)}
    assert set(dict(planned.going.values()).values()) == {"host3"} and len(planned.going) == 2
    assert len(both & planned.going.keys()) == 1, "they have the fewest shares"


def test_rebalancing_brings_none_together(played: Hosts) -> None:
    site = Site(played)
    first = site.share()
    apart = site.share(first)
    site.stack.do(hosts.set_state, "host1", "draining")
    share_networks = [site.network() for _ in range(2)]
    more = [available_share(site.stack, each) for each in share_networks * 2]
    site.stack.do(hosts.set_state, "host1", "up")
    assert {site.stands(each) for each in (apart, *more)} == {"host2"}
    planned = site.stack.ask(rebalancing.plan, 9)
    assert len(planned.going) == 1
    assert server_of(site.stack, apart) not in planned.going, "it has the fewest shares"
