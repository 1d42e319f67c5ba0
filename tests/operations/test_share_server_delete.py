"""share_server_delete, asked by an administrator, by the deletion of subnets and networks, and by
the pass that looks for unused servers."""

from __future__ import annotations

from datetime import datetime
from functools import partial

import pytest

from abaca.db import tables
from abaca.domain.share_networks import share_network_subnets, share_networks
from abaca.domain.share_servers import share_servers
from abaca.errors import Conflict, Forbidden, Missing
from abaca.reconcile.unused_share_servers import delete_unused
from tests.operations.scene import (
    FAILURES,
    RETRIED,
    addresses,
    all_servers,
    available_share,
    delete_server,
    delete_share,
    failing,
    network,
    plan,
    server,
    server_of,
    slate,
    struck,
    told,
    world,
)
from tests.stack import MEMBER, Stack, wait_for

HOSTS = {"host1@alpha"}


def empty_server(stack: Stack, share_network_id: str) -> str:
    id_ = available_share(stack, share_network_id)
    server_id = server_of(stack, id_)
    delete_share(stack, id_)
    return server_id


def gone(stack: Stack, server_id: str) -> None:
    stack.wait(lambda conn: share_servers.status_of(conn, server_id)[0] == "gone")


def test_it_goes_with_everything(stack: Stack) -> None:
    share_network = stack.share_network(*stack.network("10.1.0.0/24", "fd00:1::/64"))
    before = slate(stack)
    server_id = empty_server(stack, share_network)
    delete_server(stack, server_id)
    assert slate(stack) == before
    with pytest.raises(Missing):
        stack.do(share_servers.delete, server_id)


def test_one_in_use_stays(stack: Stack) -> None:
    id_ = available_share(stack, stack.share_network(*stack.network("10.1.0.0/24")))
    with pytest.raises(Conflict, match="in use"):
        stack.do(share_servers.delete, server_of(stack, id_))
    delete_unused(stack.engine, HOSTS, 0)
    assert server(stack, server_of(stack, id_))["status"] == "active"


def is_in_error(stack: Stack, server_id: str) -> bool:
    return bool(stack.ask(share_servers.status_of, server_id)[0] == "error")


def test_each_failure_leaves_it_in_error_and_it_can_be_deleted_again(stack: Stack) -> None:
    share_network = stack.share_network(*stack.network("10.1.0.0/24"))
    before = slate(stack)
    for when in ("before", "after"):
        for error in (*FAILURES, "bug"):
            server_id = empty_server(stack, share_network)
            plan(stack, failing("teardown_server", error, when=when))
            stack.do(share_servers.delete, server_id)
            wait_for(partial(is_in_error, stack, server_id))
            assert addresses(stack) == 1, "what may still answer keeps its address"
            plan(stack)
            delete_server(stack, server_id)
            assert slate(stack) == before, error


def test_what_passes_is_tried_again(stack: Stack) -> None:
    share_network = stack.share_network(*stack.network("10.1.0.0/24"))
    for error in RETRIED:
        server_id = empty_server(stack, share_network)
        plan(stack, failing("teardown_server", error, times=1))
        delete_server(stack, server_id)
        assert struck(stack) == 1


def test_both_subnets_of_an_empty_server_are_deleted_back_to_back(stack: Stack) -> None:
    before = slate(stack)
    pairs = stack.network("10.1.0.0/24", "fd00:1::/64")
    share_network = stack.share_network(*pairs)
    server_id = empty_server(stack, share_network)
    plan(stack, failing("teardown_server", "hang"))
    for subnet in network(stack, share_network)["share_network_subnets"]:
        stack.do(share_network_subnets.delete, MEMBER, share_network, subnet["id"])
    with pytest.raises(Forbidden):
        stack.do(share_servers.delete, server_id)
    assert network(stack, share_network)["share_network_subnets"] == []
    stack.do(share_networks.delete, MEMBER, share_network)
    with pytest.raises(Missing):
        network(stack, share_network)
    plan(stack)
    gone(stack, server_id)
    after = slate(stack)
    for table in ("local_networks", "local_subnets"):
        after["rows"].pop(table)
    assert after == before


def test_a_subnet_with_shares_or_a_kept_server_stays_and_a_network_of_two_subnets_does(
    stack: Stack,
) -> None:
    share_network = stack.share_network(*stack.network("10.1.0.0/24", "fd00:1::/64"))
    first, second = network(stack, share_network)["share_network_subnets"]
    with pytest.raises(Conflict, match="2 subnets"):
        stack.do(share_networks.delete, MEMBER, share_network)
    id_ = available_share(stack, share_network)
    with pytest.raises(Conflict, match="shares"):
        stack.do(share_network_subnets.delete, MEMBER, share_network, first["id"])
    with pytest.raises(Conflict, match="shares"):
        stack.do(share_networks.delete, MEMBER, share_network)
    server_id = server_of(stack, id_)
    delete_share(stack, id_)
    table = tables.share_servers
    stack.do(lambda conn: conn.execute(table.update().values(is_auto_deletable=False)))
    for delete in ((share_network_subnets.delete, second["id"]), (share_networks.delete,)):
        with pytest.raises(Conflict):
            stack.do(delete[0], MEMBER, share_network, *delete[1:])
    assert server(stack, server_id)["status"] == "active"


def test_a_server_that_could_not_be_deleted_with_its_network_is_deleted_by_the_administrator(
    stack: Stack,
) -> None:
    before = slate(stack)["rows"]
    share_network = stack.share_network(*stack.network("10.1.0.0/24"))
    server_id = empty_server(stack, share_network)
    plan(stack, failing("teardown_server", "Refused"))
    stack.do(share_networks.delete, MEMBER, share_network)
    stack.wait(lambda conn: share_servers.status_of(conn, server_id)[0] == "error")
    plan(stack)
    delete_server(stack, server_id)
    assert slate(stack)["rows"] == before | {"local_networks": 1, "local_subnets": 1}


def test_unused_servers_go_after_a_while(stack: Stack) -> None:
    share_network = stack.share_network(*stack.network("10.1.0.0/24"))
    server_id = empty_server(stack, share_network)
    delete_unused(stack.engine, HOSTS, 600)
    delete_unused(stack.engine, {"host1@other"}, 0)
    assert server(stack, server_id)["status"] == "active"
    delete_unused(stack.engine, HOSTS, 0)
    gone(stack, server_id)
    assert (world(stack)["servers"], all_servers(stack), told(stack)) == ({}, [], [])


def test_the_time_begins_anew_when_the_last_share_goes(stack: Stack) -> None:
    share_network = stack.share_network(*stack.network("10.1.0.0/24"))
    id_ = available_share(stack, share_network)
    table = tables.share_servers
    long_ago = datetime(2020, 1, 1)
    stack.do(
        lambda conn: conn.execute(table.update().values(created_at=long_ago, updated_at=long_ago))
    )
    server_id = server_of(stack, id_)
    delete_share(stack, id_)
    delete_unused(stack.engine, HOSTS, 600)
    assert server(stack, server_id)["status"] == "active"
