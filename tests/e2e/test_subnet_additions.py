"""Subnets added to share networks in use, on the real path: denied, failing below the driver, again
and again, and on five servers at once.

Real namespaces, bridges and NFS servers, a real worker, and clients that write and read by NFS all
the while.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import pytest

from abaca.domain.network_changes import share_server_repairs
from abaca.errors import Conflict, Invalid
from tests.contracts.drivers.linux_backend import Loop, probe
from tests.e2e.conftest import Install, assert_undisturbed
from tests.operations.scene import (
    addresses,
    all_servers,
    network,
    rules,
    server,
    server_of,
    settled_rules,
    share,
    told,
)

pytestmark = [
    pytest.mark.sampled_file(8),
    pytest.mark.root,
    pytest.mark.slow("clients work while whole installations change"),
    pytest.mark.timeout(300),
]

V4, V6 = "10.71.0.0/24", "fd00:71::/64"
LATER4, LATER6 = "10.72.0.0/24", "fd00:72::/64"


def test_a_range_that_overlaps_is_denied_and_the_same_subnet_twice_means_two_addresses(
    install: Install,
) -> None:
    site = install(1)
    stack = site.stack
    v4, v6 = stack.network(V4, V6)
    (overlapping,) = stack.network("10.71.0.128/25")
    share_network = stack.share_network(v4, v6)
    id_ = site.share(share_network)
    client = site.client("client", v4, V4, V6)
    links = site.own_links()
    with Loop(client, stack.paths(id_)[0], "loop") as loop:
        with pytest.raises(Conflict, match=r"10\.71\.0\.128/25.* overlaps subnet 10\.71\.0\.0/24"):
            stack.add_subnet(share_network, overlapping)
        assert "overlaps" in told(stack)[0]
        assert (
            network(stack, share_network)["status"],
            len(stack.paths(id_)),
            site.own_links(),
        ) == ("active", 2, links)
        assert {row.status for row in all_servers(stack)} == {"active"}
        for pair in (v4, v6):
            stack.add_subnet(share_network, pair)
            assert stack.settled_network(share_network) == "active"
    assert_undisturbed(loop)
    assert len(set(stack.paths(id_))) == 4
    site.assert_served(client, stack.paths(id_))


REPAIRS: list[Callable[..., None]] = [
    share_server_repairs.retry_network_update,
    share_server_repairs.abandon_network_update,
]


@pytest.mark.parametrize("repair", REPAIRS, ids=lambda repair: repair.__name__)
def test_a_failure_below_the_driver_leaves_the_old_subnets_served_and_has_two_ways_out(
    install: Install, repair: Callable[..., None]
) -> None:
    site = install(1)
    stack = site.stack
    v4, v6 = stack.network(V4, V6)
    (later,) = stack.network(LATER4)
    share_network = stack.share_network(v4, v6)
    id_ = site.share(share_network)
    server_id, old = server_of(stack, id_), stack.paths(id_)
    client = site.client("client", v4, V4, V6)
    with Loop(client, old[0], "four") as four, Loop(client, old[1], "six") as six:
        with site.occupied(later):
            links = site.own_links()
            stack.add_subnet(share_network, later)
            assert stack.settled_network(share_network) == "active"
            assert site.own_links() == links, "nothing half made is left"
        assert (server(stack, server_id)["status"], share(stack, id_)["status"]) == (
            "error",
            "available",
        )
        assert set(rules(stack, id_).values()) == {"error"}
        assert (
            len(network(stack, share_network)["share_network_subnets"]),
            addresses(stack),
            stack.paths(id_),
        ) == (3, 3, old)
        assert "could not be given addresses on the new subnet" in told(stack)[0]
        with pytest.raises(Invalid, match=server_id):
            stack.share(share_network)
        site.assert_served(client, old)
        stack.do(repair, server_id)
        assert stack.settled_network(share_network) == "active"
        assert server(stack, server_id)["status"] == "active"
        assert settled_rules(stack, id_) == "active"
    assert_undisturbed(four, six)
    site.assert_served(client, old)
    if repair is share_server_repairs.abandon_network_update:
        assert (stack.paths(id_), addresses(stack)) == (old, 2)
    else:
        assert stack.paths(id_)[:2] == old
        site.assert_served(site.client("later", later, LATER4), stack.paths(id_)[2:])


def test_a_new_server_that_cannot_be_plugged_into_one_of_its_networks_fails_whole(
    install: Install,
) -> None:
    site = install(1)
    stack = site.stack
    (v4,), (later,) = stack.network(V4), stack.network(LATER4)
    share_network = stack.share_network(v4, later)
    with site.occupied(later):
        links = site.own_links()
        id_ = stack.share(share_network)
        assert stack.settled_share(id_) == "error"
        assert (addresses(stack), site.own_links()) == (0, links)
        assert [row.status for row in all_servers(stack)] == ["error"]
        assert len(told(stack)) == 1
    again = site.share(share_network)
    for name, pair, cidr, path in zip(
        ("one", "two"), (v4, later), (V4, LATER4), stack.paths(again), strict=True
    ):
        site.assert_served(site.client(name, pair, cidr), [path])


def test_three_subnets_are_added_one_after_another_while_clients_work(install: Install) -> None:
    site = install(1)
    stack = site.stack
    v4, v6 = stack.network(V4, V6)
    later4, later6 = stack.network(LATER4, LATER6)
    share_network = stack.share_network(v4)
    id_ = site.share(share_network)
    client = site.client("client", v4, V4, V6)
    with ExitStack() as working:
        loops = [working.enter_context(Loop(client, stack.paths(id_)[0], "first"))]
        for number, pair in enumerate((v6, later4, later6), 2):
            before = stack.paths(id_)
            stack.add_subnet(share_network, pair)
            assert stack.settled_network(share_network) == "active"
            assert stack.paths(id_)[:-1] == before and len(stack.paths(id_)) == number
            if pair == v6:
                loops.append(working.enter_context(Loop(client, stack.paths(id_)[1], "second")))
        later = site.client("later", later4, LATER4, LATER6)
        site.assert_served(later, stack.paths(id_)[2:])
        assert not probe(later, "mount", stack.paths(id_)[0])["ok"], "the networks stay apart"
    assert_undisturbed(*loops)


def test_five_servers_of_one_network_are_updated_at_once_while_each_has_a_writer(
    install: Install,
) -> None:
    site = install(5)
    stack = site.stack
    v4, v6 = stack.network(V4, V6)
    later4, later6 = stack.network(LATER4, LATER6)
    share_network = stack.share_network(v4, v6)
    ids = [site.share(share_network, share_type=f"b{number}") for number in range(1, 6)]
    assert len({server_of(stack, id_) for id_ in ids}) == 5
    old = {id_: stack.paths(id_) for id_ in ids}
    client = site.client("client", v4, V4, V6)
    with ExitStack() as working:
        loops = [
            working.enter_context(Loop(client, old[id_][number % 2], "loop"))
            for number, id_ in enumerate(ids)
        ]
        for pair in (later4, later6):
            stack.add_subnet(share_network, pair)
            assert {row.status for row in all_servers(stack)} & {"network_change"}
            assert stack.settled_network(share_network) == "active"
    assert_undisturbed(*loops)
    assert [row.status for row in all_servers(stack)] == ["active"] * 5
    later = site.client("later", later4, LATER4, LATER6)
    for id_ in ids:
        assert stack.paths(id_)[:2] == old[id_] and len(stack.paths(id_)) == 4
        site.assert_served(later, stack.paths(id_)[2:])
