"""Share servers are let go and taken over again: on the back end, and with their addresses, they
stay what they were."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.tables import local_ports
from abaca.domain.network_changes import share_server_management
from abaca.domain.network_changes.share_server_management import ServerToManage
from abaca.domain.share_servers import share_servers
from abaca.drivers.fake import FakeDriver
from abaca.errors import Conflict, Invalid
from abaca.reconcile import unused_share_servers
from abaca.values import NetworkAllocation, NetworkInfo, Subnet
from tests.operations.scene import (
    WHY,
    all_servers,
    available_share,
    delete_server,
    delete_share,
    failing,
    plan,
    server,
    server_of,
    slate,
    world,
)
from tests.operations.test_resume import resume
from tests.stack import ADMIN, Stack

Pair = tuple[str, str]


@pytest.fixture
def pair(stack: Stack) -> Pair:
    (made,) = stack.network("10.1.0.0/24")
    return made


@pytest.fixture
def unused(stack: Stack, pair: Pair) -> str:
    """A share server without shares."""
    share = available_share(stack, stack.share_network(pair))
    made = server_of(stack, share)
    delete_share(stack, share)
    return made


def settled(stack: Stack, share_server_id: str) -> str:
    """The status of a server once nothing goes on with it; `gone` when it is not there."""

    def status(conn: Connection) -> str | None:
        found, _ = share_servers.status_of(conn, share_server_id)
        return None if found.endswith("_starting") else found

    return stack.wait(status) or ""


def manage(stack: Stack, pair: Pair, identifier: str) -> str:
    """On a share network of its own; its id."""
    wanted = ServerToManage(
        host="host1@alpha", share_network_id=stack.share_network(pair), identifier=identifier
    )
    return str(stack.do(share_server_management.manage, ADMIN, wanted)["id"])


def unmanage(stack: Stack, share_server_id: str, *, forced: bool = False) -> str:
    """How it ends."""
    stack.do(share_server_management.unmanage, share_server_id, forced=forced)
    return settled(stack, share_server_id)


def addresses(stack: Stack) -> set[str]:
    """Those of the local networks that are given."""
    return set(stack.ask(lambda conn: conn.scalars(sa.select(local_ports.c.ip_address)).all()))


def test_a_server_is_let_go_and_managed_through_another_share_network(
    stack: Stack, pair: Pair, unused: str
) -> None:
    stood = world(stack)["servers"][unused]
    assert unmanage(stack, unused) == "gone"
    assert world(stack)["servers"][unused] == stood
    (address,) = addresses(stack)
    other = available_share(stack, stack.share_network(pair))
    assert addresses(stack) > {address}, "nobody else is given its address"
    delete_share(stack, other)
    delete_server(stack, all_servers(stack)[0].id)
    assert manage(stack, pair, unused) == unused
    assert settled(stack, unused) == "active"
    shown = server(stack, unused)
    assert (
        shown["identifier"],
        shown["is_auto_deletable"],
        shown["backend_details"]["addresses"],
    ) == (unused, False, address)
    unused_share_servers.delete_unused(stack.engine, {"host1@alpha"}, 0)
    assert settled(stack, unused) == "active"
    share = available_share(stack, shown["share_network_id"])
    assert (server_of(stack, share), stack.paths(share)[0].partition(":")[0]) == (unused, address)
    delete_share(stack, share)
    delete_server(stack, unused)
    assert addresses(stack) == set() and world(stack)["servers"] == {}


def test_what_is_not_there_is_in_error_with_the_reason_and_can_be_let_go(
    stack: Stack, pair: Pair
) -> None:
    before = slate(stack)["rows"]
    missing = manage(stack, pair, "nothing")
    assert settled(stack, missing) == "manage_error"
    assert "no share server nothing" in server(stack, missing)["status_reason"]
    assert unmanage(stack, missing) == "gone"
    left = {
        table: number
        for table, number in slate(stack)["rows"].items()
        if number != before.get(table)
    }
    assert left.keys() == {"share_networks", "share_network_subnets"}


def foreign(stack: Stack, pair: Pair, address: str) -> None:
    """A server `svm-7` on the back end that Abaca has not made."""
    subnet = Subnet(
        neutron_net_id=pair[0], neutron_subnet_id=pair[1], cidr="10.1.0.0/24", ip_version=4
    )
    allocation = NetworkAllocation(id="p", ip_address=address, mac_address="fa:16:3e:00:00:01")
    entry = NetworkInfo(
        server_id="svm-7",
        share_network_subnet_id="elsewhere",
        subnet=subnet,
        network_allocations=[allocation],
    )
    FakeDriver(
        "alpha", {"state_file": str(Path(stack.conf.state_dir, "worker", "alpha.json"))}
    ).setup_server("svm-7", [entry])


def test_a_server_from_elsewhere_gets_an_id_and_keeps_its_address(stack: Stack, pair: Pair) -> None:
    foreign(stack, pair, "10.1.0.77")
    managed = manage(stack, pair, "svm-7")
    assert settled(stack, managed) == "active", server(stack, managed)["status_reason"]
    assert addresses(stack) == {"10.1.0.77"}
    standing = world(stack)["servers"]
    assert standing.keys() == {managed}
    assert len(standing[managed]["network_info"]) == 1
    share = available_share(stack, server(stack, managed)["share_network_id"])
    assert stack.paths(share)[0].startswith("10.1.0.77:")


def test_an_address_that_is_anothers_is_not_taken_over(
    stack: Stack, pair: Pair, unused: str
) -> None:
    (taken,) = addresses(stack)
    foreign(stack, pair, taken)
    managed = manage(stack, pair, "svm-7")
    assert settled(stack, managed) == "manage_error"
    assert f"{taken} is already in use" in server(stack, managed)["status_reason"]
    assert addresses(stack) == {taken}


def test_what_the_driver_does_not_let_go_goes_by_force(stack: Stack, unused: str) -> None:
    plan(stack, failing("unmanage_server", "Refused"))
    assert unmanage(stack, unused) == "unmanage_error"
    assert server(stack, unused)["status_reason"] == WHY
    assert unmanage(stack, unused, forced=True) == "gone"


def test_both_are_resumed(stack: Stack, pair: Pair, unused: str) -> None:
    plan(stack, failing("unmanage_server", "bug"))
    assert unmanage(stack, unused) == "unmanage_error"
    resume(stack)
    assert settled(stack, unused) == "gone"
    plan(stack, failing("manage_server", "bug"))
    manage(stack, pair, unused)
    assert settled(stack, unused) == "manage_error"
    resume(stack)
    assert settled(stack, unused) == "active"
    with pytest.raises(Conflict, match="active, no longer manage_error"):
        stack.do(share_server_management.resume_managing, unused, "{}")


def test_nobody_manages_what_is_known(stack: Stack, pair: Pair, unused: str) -> None:
    with pytest.raises(Invalid, match=unused):
        manage(stack, pair, unused)
    assert len(all_servers(stack)) == 1
