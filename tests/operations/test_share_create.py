"""share_create: a share and, where it is the first, its share server."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import pytest

from abaca.domain.shares import shares
from abaca.drivers.fake.faults import Fault
from abaca.errors import BACKEND_ERRORS, BackendError
from abaca.networks.fake import FakeNetworks
from abaca.networks.interface import AllocationRequest
from abaca.operations import serving
from abaca.values import NetworkAllocation, Page
from tests.operations.scene import (
    FAILURES,
    RETRIED,
    WHY,
    addresses,
    all_servers,
    available_share,
    delete_server,
    delete_share,
    failing,
    instance_of,
    plan,
    reason,
    server_of,
    share,
    slate,
    struck,
    told,
    world,
)
from tests.stack import MEMBER, Stack, wait_for


def test_a_share_on_two_subnets_has_a_path_for_each_address(stack: Stack) -> None:
    before = slate(stack)
    share_network = stack.share_network(*stack.network("10.1.0.0/24", "fd00:1::/64"))
    id_ = available_share(stack, share_network, size=2)
    assert share(stack, id_)["progress"] == "100%"
    paths = stack.paths(id_)
    assert len(paths) == 2
    assert paths[0].startswith("10.1.0.") and paths[1].startswith("[fd00:1::")
    assert world(stack)["shares"][instance_of(stack, id_).id]["export_locations"] == paths
    (server,) = all_servers(stack)
    assert (server.status, server.network_allocation_update_support) == ("active", True)
    assert slate(stack)["claimed"] == {host: gb + 2 for host, gb in before["claimed"].items()}
    assert told(stack) == []


def test_a_list_without_a_limit_holds_all(stack: Stack) -> None:
    share_network = stack.share_network(*stack.network("10.1.0.0/24"))
    ids = {available_share(stack, share_network) for _ in range(2)}
    assert {row["id"] for row in stack.ask(shares.find, MEMBER, {}, Page())} == ids
    assert len(stack.ask(shares.find, MEMBER, {}, Page(limit=1))) == 1


def test_each_failure_of_the_driver_leaves_a_clean_slate(stack: Stack) -> None:
    share_network = stack.share_network(*stack.network("10.1.0.0/24", "fd00:1::/64"))
    before = slate(stack)
    for method in ("setup_server", "create_share"):
        for when in ("before", "after"):
            for error in (*FAILURES, "bug"):
                plan(stack, failing(method, error, when=when))
                id_ = stack.share(share_network)
                assert stack.settled_share(id_) == "error", (method, when, error)
                assert reason(error) in told(stack)[0], (method, when, error)
                server = server_of(stack, id_)
                (row,) = all_servers(stack)
                assert row.status == ("error" if method == "setup_server" else "active")
                if method == "setup_server" and error != "bug":
                    assert addresses(stack) == 0 and world(stack)["servers"] == {}, (
                        "a failed server keeps nothing"
                    )
                    assert "local_ports" not in stack.rows(), "the network has its addresses back"
                plan(stack)
                delete_share(stack, id_)
                delete_server(stack, server)
                assert slate(stack) == before, (method, when, error)
    assert len(told(stack)) == 20


def test_what_passes_is_tried_again(stack: Stack) -> None:
    share_network = stack.share_network(*stack.network("10.1.0.0/24"))
    for error in RETRIED:
        plan(
            stack,
            failing("setup_server", error, times=1),
            failing("create_share", error, times=1, when="after"),
        )
        id_ = available_share(stack, share_network)
        assert struck(stack) == 2
        server = server_of(stack, id_)
        delete_share(stack, id_)
        delete_server(stack, server)
    assert told(stack) == []


def test_a_clean_up_that_fails_hides_no_reason_and_nothing_is_lost(stack: Stack) -> None:
    share_network = stack.share_network(*stack.network("10.1.0.0/24"))
    before = slate(stack)
    broken = Fault(error="Unavailable", message="and the clean-up fails, too")
    for method, cleanup in (("setup_server", "teardown_server"), ("create_share", "delete_share")):
        plan(
            stack,
            failing(method, "Refused", when="after"),
            Fault(method=cleanup, error=broken.error, message=broken.message),
        )
        id_ = stack.share(share_network)
        assert stack.settled_share(id_) == "error"
        assert told(stack)[0] == WHY
        assert addresses(stack) == 1, "what may still answer keeps its address"
        plan(stack)
        server = server_of(stack, id_)
        delete_share(stack, id_)
        delete_server(stack, server)
        assert slate(stack) == before


def test_a_full_subnet_is_told_with_numbers(stack: Stack) -> None:
    (roomy, small) = stack.network("10.1.0.0/24", "10.2.0.0/30")
    first = stack.share_network(small)
    available_share(stack, first)
    before = slate(stack)
    second = stack.share_network(roomy, small)
    id_ = stack.share(second)
    assert stack.settled_share(id_) == "error"
    assert (
        "10.2.0.0/30" in told(stack)[0]
        and "0 free addresses" in told(stack)[0]
        and "1 is needed" in told(stack)[0]
    )
    assert addresses(stack) == 1, "none on the subnet that had room, either"
    delete_server_of(stack, id_)
    after = slate(stack)
    assert after["rows"].pop("share_networks") == before["rows"].pop("share_networks") + 1
    assert (
        after["rows"].pop("share_network_subnets")
        == before["rows"].pop("share_network_subnets") + 2
    )
    assert after == before


def delete_server_of(stack: Stack, share_id: str) -> None:
    server = server_of(stack, share_id)
    delete_share(stack, share_id)
    delete_server(stack, server)


def test_neutron_ids_that_stand_for_nothing(stack: Stack) -> None:
    share_network = stack.share_network(("no such network", "no such subnet"))
    wait_for(lambda: told(stack))
    before = slate(stack)
    id_ = stack.share(share_network)
    assert stack.settled_share(id_) == "error"
    assert "no such subnet" in told(stack)[0]
    delete_server_of(stack, id_)
    assert slate(stack) == before


class Networks(FakeNetworks):
    """Networks in memory whose calls fail, again and again, as `broken` says: method → (error,
    whether it is done nevertheless)."""

    def __init__(self) -> None:
        super().__init__()
        self.broken: dict[str, tuple[BackendError, bool]] = {}

    def allocate(self, requests: Sequence[AllocationRequest]) -> list[list[NetworkAllocation]]:
        self._break("allocate", lambda: super(Networks, self).allocate(requests))
        return super().allocate(requests)

    def release(
        self, server_id: str, share_network_subnet_ids: Sequence[str] | None = None
    ) -> None:
        self._break("release", lambda: super(Networks, self).release(server_id))
        super().release(server_id, share_network_subnet_ids)

    def _break(self, method: str, effect: Callable[[], object]) -> None:
        if method in self.broken:
            error, is_done = self.broken[method]
            if is_done:
                effect()
            raise error


@pytest.fixture
def networks(stack: Stack) -> Networks:
    """The networks that the worker of this process uses from now on."""
    networks = Networks()
    serving.start(dataclasses.replace(serving.current(), networks=networks))
    return networks


def test_each_failure_of_the_network_plug_in(stack: Stack, networks: Networks) -> None:
    subnet = networks.add_subnet("10.9.0.0/24")
    share_network = stack.share_network((subnet.neutron_net_id, subnet.neutron_subnet_id))
    before = slate(stack)
    for is_done in (False, True):
        for kind in FAILURES:
            networks.broken["allocate"] = BACKEND_ERRORS[kind](WHY, is_public=True), is_done
            id_ = stack.share(share_network)
            assert stack.settled_share(id_) == "error", kind
            assert told(stack)[0] == WHY
            assert networks.free_addresses(subnet) == 253, "every address is given back"
            networks.broken.clear()
            delete_server_of(stack, id_)
            assert slate(stack) == before, kind
    networks.fail("allocate", BACKEND_ERRORS["OutcomeUnknown"](WHY), after=True)
    available_share(stack, share_network)
    assert networks.free_addresses(subnet) == 252


def test_addresses_that_cannot_be_given_back_are_given_back_later(
    stack: Stack, networks: Networks
) -> None:
    subnet = networks.add_subnet("10.9.0.0/24")
    share_network = stack.share_network((subnet.neutron_net_id, subnet.neutron_subnet_id))
    plan(stack, failing("setup_server", "Refused"))
    networks.broken["release"] = BACKEND_ERRORS["Refused"]("not given back"), False
    id_ = stack.share(share_network)
    assert stack.settled_share(id_) == "error"
    assert (told(stack)[0], addresses(stack)) == (WHY, 1)
    networks.broken.clear()
    delete_server_of(stack, id_)
    assert networks.free_addresses(subnet) == 253


def test_shares_at_once_make_one_server(stack: Stack) -> None:
    share_network = stack.share_network(*stack.network("10.1.0.0/24", "fd00:1::/64"))
    plan(stack, Fault(method="setup_server", error="hang"))
    ids = [stack.share(share_network) for _ in range(4)]
    wait_for(lambda: struck(stack))
    assert {share(stack, id_)["status"] for id_ in ids} == {"creating"}
    plan(stack)
    assert [stack.settled_share(id_) for id_ in ids] == ["available"] * 4
    assert len(all_servers(stack)) == 1
    assert addresses(stack) == 2


def test_shares_that_wait_for_a_server_that_fails_fail_with_its_reason(stack: Stack) -> None:
    share_network = stack.share_network(*stack.network("10.1.0.0/24"))
    plan(stack, Fault(method="setup_server", error="hang"))
    first = stack.share(share_network)
    wait_for(lambda: struck(stack))
    second = stack.share(share_network)
    plan(stack, failing("setup_server", "Refused", when="after"))
    assert [stack.settled_share(id_) for id_ in (first, second)] == ["error", "error"]
    assert all(WHY in text for text in told(stack)) and len(told(stack)) == 2
    plan(stack)
    third = available_share(stack, share_network)
    assert server_of(stack, third) != server_of(stack, first), "a new server, not the failed one"


def test_one_that_hangs_does_not_stop_the_others(stack: Stack) -> None:
    first, second = (
        stack.share_network(*stack.network(cidr)) for cidr in ("10.1.0.0/24", "10.2.0.0/24")
    )
    standing = available_share(stack, second)
    plan(stack, Fault(method="setup_server", error="hang"))
    hanging = stack.share(first)
    wait_for(lambda: struck(stack))
    others = [available_share(stack, second) for _ in range(3)]
    delete_share(stack, standing)
    assert share(stack, hanging)["status"] == "creating"
    plan(stack)
    assert stack.settled_share(hanging) == "available"
    assert len({server_of(stack, id_) for id_ in others}) == 1


@pytest.mark.parametrize("size", [600])
def test_room_that_two_want_is_given_once(stack: Stack, size: int) -> None:
    share_network = stack.share_network(*stack.network("10.1.0.0/24"))
    first, second = (stack.share(share_network, size=size) for _ in range(2))
    assert [stack.settled_share(first), stack.settled_share(second)] == ["available", "error"]
    assert "no room" in told(stack)[0]
    delete_share(stack, second)
    delete_share(stack, first)
    assert set(slate(stack)["claimed"].values()) == {0}
