"""New share servers, and servers on new subnets, get no address that another machine on a flat
network uses. How that is found out is the driver's; here the fake one's."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.tables import (
    local_networks,
    local_ports,
    local_subnets,
    network_allocations,
    share_networks,
    share_servers,
)
from abaca.domain.local_networks import sharing
from abaca.domain.network_changes import share_server_repairs, subnet_deletions
from abaca.operations.address_allocation import to_ask
from abaca.values import NetworkAllocation, NetworkInfo, Subnet
from tests.operations.conftest import Install
from tests.operations.neighbours import make_flat, put_neighbours, set_aside
from tests.operations.scenarios import Ground
from tests.operations.scene import (
    WHY,
    addresses,
    allow,
    available_share,
    failing,
    plan,
    server,
    server_of,
    settled_rules,
    share,
    told,
    world,
)
from tests.stack import MEMBER, Stack, wait_for

pytestmark = pytest.mark.sampled_file(4)

EVERYTHING = ("0.0.0.0/0", "::/0")
SMALL = [str(host) for host in ip_network("10.1.0.0/29").hosts()][1:]  # without the gateway
FREE, *USED = SMALL


def flat_network(stack: Stack, *cidrs: str) -> str:
    """A share network whose subnets are known, and on a flat network."""
    network = stack.share_network(*stack.network(*cidrs))
    known = sa.text("SELECT count(*) FROM share_network_subnets WHERE cidr IS NULL")
    stack.wait(lambda conn: conn.scalar(known) == 0)
    stack.do(make_flat, network)
    return network


def given(stack: Stack) -> list[str]:
    """The addresses that share servers have, as the rows and as the network plug-in say."""
    kept, stored = (
        stack.ask(lambda conn, table=table: sorted(conn.scalars(sa.select(table.c.ip_address))))
        for table in (local_ports, network_allocations)
    )
    assert kept == stored
    return stored


def test_a_new_server_gets_an_address_that_nobody_uses(stack: Stack) -> None:
    """All others of the subnet are used; those that it was given are set aside, and told of."""
    network = flat_network(stack, "10.1.0.0/29", "fd00:1::/64")
    put_neighbours(stack, *USED)
    id_ = available_share(stack, network)
    v4, v6 = stack.paths(id_)
    assert v4.startswith(f"{FREE}:") and v6.startswith("[fd00:1:")
    assert len(given(stack)) == 2 and FREE in given(stack)
    aside = set_aside(stack)
    assert aside <= set(USED)
    assert {address for address in USED if any(address in text for text in told(stack))} == aside
    assert all("already use" in text for text in told(stack))
    assert len(told(stack)) == len(aside)


def test_who_claims_everything_is_asked_a_few_times_only(stack: Stack) -> None:
    """The share is in error and says why; nothing of it is left. Once the machine has gone, the
    next one is made."""
    network = flat_network(stack, "10.1.0.0/24")
    put_neighbours(stack, *EVERYTHING)
    id_ = stack.share(network)
    assert stack.settled_share(id_) == "error"
    assert any("5 times" in text and "allocation pools" in text for text in told(stack))
    assert len(set_aside(stack)) == 5
    assert (given(stack), world(stack)["servers"]) == ([], {})
    put_neighbours(stack)
    available_share(stack, network)
    assert not set(given(stack)) & set_aside(stack)


def test_a_pool_of_which_others_use_everything_is_full(stack: Stack) -> None:
    network = flat_network(stack, "10.1.0.0/30")
    put_neighbours(stack, *EVERYTHING)
    assert stack.settled_share(stack.share(network)) == "error"
    assert any(
        "has 0 free addresses, 1 is needed; set aside" in text and "10.1.0.2" in text
        for text in told(stack)
    )
    assert given(stack) == []


def test_addresses_found_free_are_not_asked_about_again() -> None:
    """Nor is their network, when none of it is left to ask about."""
    infos = [on("flat", "10.1.0.5", "10.1.0.6"), on("vlan", "10.2.0.5"), on("vxlan", "10.3.0.5")]
    assert to_ask(infos, ()) == infos[:2]
    assert to_ask(infos, {"10.1.0.6", "10.2.0.5"}) == [on("flat", "10.1.0.5")]
    assert to_ask(infos, {"10.1.0.5", "10.1.0.6", "10.2.0.5"}) == []


def on(network_type: str, *ip_addresses: str) -> NetworkInfo:
    subnet = Subnet(
        neutron_net_id="net",
        neutron_subnet_id="subnet",
        cidr="10.0.0.0/8",
        ip_version=4,
        network_type=network_type,
        gateway=None,
        mtu=1500,
    )
    given = [
        NetworkAllocation(id=address, ip_address=address, mac_address="02:00:00:00:00:01")
        for address in ip_addresses
    ]
    return NetworkInfo(
        server_id="server",
        share_network_subnet_id="sns",
        subnet=subnet,
        network_allocations=given,
    )


def test_machines_on_a_network_of_another_project_are_told_by_number(stack: Stack) -> None:
    """Their addresses are for whoever owns the network, and for the log."""
    network = flat_network(stack, "10.1.0.0/30")
    stack.do(give_away, "10.1.0.0/30")
    put_neighbours(stack, *EVERYTHING)
    assert stack.settled_share(stack.share(network)) == "error"
    texts = told(stack)
    assert any("already use 1 on a network of another project" in text for text in texts)
    assert any(
        "0 free addresses" in text and text.rstrip(".").endswith("use them: 1") for text in texts
    ), texts
    assert not any(address in text for address in ("10.1.0.2", "10.1.0.1") for text in texts)


def give_away(conn: Connection, cidr: str) -> None:
    """The network of that subnet is another project's, and shared with all."""
    (network_id,) = conn.scalars(
        sa.select(local_subnets.c.network_id).where(local_subnets.c.cidr == cidr)
    )
    conn.execute(
        sa.update(local_networks)
        .where(local_networks.c.id == network_id)
        .values(project_id="other")
    )
    sharing.share(conn, network_id, sharing.ALL_PROJECTS)


def test_a_network_that_only_share_servers_are_on_is_not_asked(stack: Stack) -> None:
    put_neighbours(stack, *EVERYTHING)
    available_share(stack, stack.share_network(*stack.network("10.1.0.0/24")))
    assert (told(stack), set_aside(stack)) == ([], set())


def test_a_server_in_use_gets_a_free_address_on_a_new_subnet(install: Install) -> None:
    """Its addresses on the old ones are not asked about."""
    stack = install()
    first, second = stack.network("10.2.0.0/24", "10.1.0.0/29")
    with stack.working():
        network = stack.share_network(first)
        id_ = available_share(stack, network)
        stack.checked(network, second)
    stack.add_subnet(network, second)
    stack.do(make_flat, network)
    (old,) = stack.paths(id_)
    put_neighbours(stack, *USED, "10.2.0.0/24")
    with stack.working():
        assert stack.settled_network(network) == "active"
    assert stack.paths(id_)[0] == old and stack.paths(id_)[1].startswith(f"{FREE}:")
    assert set_aside(stack) <= set(USED)


def test_an_addition_that_finds_no_free_address_is_undone(install: Install) -> None:
    """Who claims every address of another network takes nothing from a server in use; the project
    can try again by itself."""
    stack = install()
    first, second = stack.network("10.2.0.0/24", "10.1.0.0/24")
    with stack.working():
        network = stack.share_network(first)
        id_ = available_share(stack, network)
        allow(stack, id_, "10.2.0.0/24")
        assert settled_rules(stack, id_) == "active"
        stack.checked(network, second)
    before = stack.paths(id_), given(stack), served(stack)
    subnet = stack.add_subnet(network, second)["id"]
    stack.do(make_flat, network)
    put_neighbours(stack, *EVERYTHING)
    with stack.working():
        assert stack.settled_network(network) == "active"
        kept = server(stack, server_of(stack, id_))
        assert (kept["status"], kept["status_reason"]) == ("active", None)
        assert settled_rules(stack, id_) == "active"
        assert (stack.paths(id_), given(stack), served(stack)) == before
        why = [text for text in told(stack) if "serves its other subnets" in text]
        assert len(why) == 1 and "5 times" in why[0]
        put_neighbours(stack)
        assert stack.do(subnet_deletions.delete, MEMBER, network, subnet) is None
        stack.checked(network, second)
        stack.add_subnet(network, second)
        assert stack.settled_network(network) == "active"
        assert len(stack.paths(id_)) == 2


def test_an_addition_that_cannot_be_undone_either_is_an_error(install: Install) -> None:
    """The administrator's way out stays."""
    stack = install()
    first, second = stack.network("10.2.0.0/24", "10.1.0.0/24")
    with stack.working():
        network = stack.share_network(first)
        id_ = available_share(stack, network)
        stack.checked(network, second)
    stack.add_subnet(network, second)
    stack.do(make_flat, network)
    put_neighbours(stack, *EVERYTHING)
    with stack.working():
        plan(stack, failing("ensure_server", "Refused"))
        assert stack.settled_network(network) == "active"
        server_id = server_of(stack, id_)
        failed = server(stack, server_id)
        assert failed["status"] == "error" and WHY in failed["status_reason"]
        plan(stack)
        put_neighbours(stack)
        stack.do(share_server_repairs.retry_network_update, server_id)
        assert stack.settled_network(network) == "active"
        assert server(stack, server_id)["status"] == "active" and len(stack.paths(id_)) == 2


def test_addresses_that_a_driver_may_know_are_not_taken_back(install: Install) -> None:
    """It failed when it had them, and by now another machine claims everything."""
    stack = install()
    first, second = stack.network("10.2.0.0/24", "10.1.0.0/24")
    with stack.working():
        network = stack.share_network(first)
        id_ = available_share(stack, network)
        stack.checked(network, second)
        plan(stack, failing("update_share_server_network_allocations", "Refused", when="after"))
        stack.add_subnet(network, second)
        assert stack.settled_network(network) == "active"
        server_id = server_of(stack, id_)
        assert server(stack, server_id)["status"] == "error"
        stack.do(make_flat, network)
        put_neighbours(stack, *EVERYTHING)
        plan(stack)
        stack.do(share_server_repairs.retry_network_update, server_id)
        assert stack.settled_network(network) == "active"
        failed = server(stack, server_id)
        assert failed["status"] == "error" and "5 times" in failed["status_reason"]
        stack.do(share_server_repairs.abandon_network_update, server_id)
        assert stack.settled_network(network) == "active"
        assert server(stack, server_id)["status"] == "active" and len(stack.paths(id_)) == 1


def served(stack: Stack) -> list[str]:
    """The addresses that share servers have on the back end."""
    return [
        allocation["ip_address"]
        for each in world(stack)["servers"].values()
        for info in each["network_info"]
        for allocation in info["network_allocations"]
    ]


def test_addresses_in_use_stay_when_the_worker_starts_again(install: Install) -> None:
    """What a share server has is never looked for: somebody who claims it then changes nothing."""
    stack = install()
    with stack.working():
        network = flat_network(stack, "10.1.0.0/24")
        id_ = available_share(stack, network)
    before = stack.paths(id_)
    put_neighbours(stack, *EVERYTHING)
    with stack.working():
        wait_for(lambda: world(stack)["servers"])
        another = available_share(stack, network)
    assert stack.paths(id_) == before and share(stack, id_)["status"] == "available"
    assert [path.partition(":")[0] for path in stack.paths(another)] == [
        path.partition(":")[0] for path in before
    ]
    assert (told(stack), set_aside(stack), addresses(stack)) == ([], set(), 1)


def test_the_addresses_of_a_managed_server_are_not_looked_for(stack: Stack) -> None:
    """The server itself answers there, and serves its clients."""
    ground = Ground(stack)
    let_go = ground.let_go()
    (network,) = stack.ask(lambda conn: list(conn.scalars(sa.select(share_networks.c.id))))
    stack.do(make_flat, network)
    put_neighbours(stack, *EVERYTHING)
    before = world(stack)["servers"][let_go]
    ground.manage(let_go)
    (managed,) = stack.wait(
        lambda conn: list(
            conn.scalars(sa.select(share_servers.c.id).where(share_servers.c.status == "active"))
        )
    )
    after = world(stack)["servers"][managed]
    assert [entry["network_allocations"] for entry in after["network_info"]] == [
        entry["network_allocations"] for entry in before["network_info"]
    ]
    assert (told(stack), set_aside(stack)) == ([], set())


@pytest.mark.parametrize("error", ["Refused", "Unavailable"])
def test_a_driver_that_cannot_look_is_told_like_one_that_cannot_make_a_server(
    stack: Stack, error: str
) -> None:
    network = flat_network(stack, "10.1.0.0/24")
    plan(stack, failing("addresses_in_use", error))
    assert stack.settled_share(stack.share(network)) == "error"
    assert any(WHY in text for text in told(stack))
    assert (given(stack), world(stack)["servers"]) == ([], {})
