"""What drivers are told when the networks of a share server are to change."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from abaca.drivers.fake import FakeDriver
from abaca.operations import serving
from abaca.values import NetworkInfoUpdate, ServerUpdate, Share, Snapshot
from tests.operations.scene import (
    allow,
    available_share,
    instance_of,
    network,
    server,
    server_of,
    settled_rules,
)
from tests.operations.test_security_services import change, service
from tests.stack import MEMBER, Stack

Told = tuple[NetworkInfoUpdate, dict[str, str], Sequence[Share], Sequence[Snapshot]]


class Listening(FakeDriver):
    """A fake back end that remembers what it was told."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(
            "alpha", {"state_file": str(Path(stack.conf.state_dir, "worker", "alpha.json"))}
        )
        self.told: dict[str, Told] = {}

    def check_update_share_server_network_allocations(
        self,
        network_info: NetworkInfoUpdate,
        server_details: dict[str, str],
        shares: Sequence[Share],
        snapshots: Sequence[Snapshot],
    ) -> bool:
        self.told["check"] = network_info, server_details, shares, snapshots
        return super().check_update_share_server_network_allocations(
            network_info, server_details, shares, snapshots
        )

    def update_share_server_network_allocations(
        self,
        network_info: NetworkInfoUpdate,
        server_details: dict[str, str],
        shares: Sequence[Share],
        snapshots: Sequence[Snapshot],
    ) -> ServerUpdate:
        self.told["update"] = network_info, server_details, shares, snapshots
        return super().update_share_server_network_allocations(
            network_info, server_details, shares, snapshots
        )


def told(stack: Stack) -> dict[str, Told]:
    """What the driver was told when a third subnet was added below a share with a snapshot; the
    method's first word → its arguments."""
    driver = Listening(stack)
    serving.start(dataclasses.replace(serving.current(), drivers={"host1@alpha": driver}))
    specs = {"snapshot_support": "True", "nfs:squash": "root_squash", "vendor:key": "value"}
    stack.share_type("snap", **specs)
    share_network = stack.share_network(*stack.network("10.1.0.0/24", "fd00:1::/64"))
    change(stack, share_network, service(stack))
    share = available_share(stack, share_network, share_type="snap", name="lent to §us")
    assert stack.settled_snapshot(stack.snapshot(share)) == "available"
    details = server(stack, server_of(stack, share))["backend_details"]
    stack.add_subnet(share_network, stack.network("10.2.0.0/24")[0])
    assert stack.settled_network(share_network) == "active"
    subnets = [subnet["id"] for subnet in network(stack, share_network)["share_network_subnets"]]
    for name, (update, server_details, shares, snapshots) in driver.told.items():
        assert [entry.share_network_subnet_id for entry in update.current] == subnets[:2]
        assert [len(entry.network_allocations) for entry in update.current] == [1, 1]
        assert (len(update.added), update.removed) == (1, []), name
        assert update.added[0].subnet.cidr == "10.2.0.0/24"
        assert {entry.server_id for entry in (*update.current, *update.added)} == {
            server_of(stack, share)
        }
        assert [each.type for each in update.security_services] == ["ldap"]
        assert server_details == details
        assert [(each.id, each.share_id) for each in shares] == [
            (instance_of(stack, share).id, share)
        ]
        assert [each.share.share_id for each in snapshots] == [share]
        for each in (*shares, snapshots[0].share):
            assert each.extra_specs == {"driver_handles_share_servers": "True", **specs}
            assert (each.project_id, each.name) == (MEMBER.project_id, "lent to §us")
    assert driver.told["update"][0].added[0].share_network_subnet_id == subnets[2]
    return driver.told


def test_what_a_check_is_told(stack: Stack) -> None:
    assert told(stack)["check"][0].added[0].network_allocations == []


def test_what_an_update_is_told(stack: Stack) -> None:
    (allocation,) = told(stack)["update"][0].added[0].network_allocations
    assert allocation.ip_address.startswith("10.2.0.") and allocation.mac_address and allocation.id


class Bare(Listening):
    """A driver whose author wrote no annotations."""

    def setup_server(self, server_id, network_info):  # type: ignore[no-untyped-def]
        return super().setup_server(server_id, network_info)

    def create_share(self, share, server):  # type: ignore[no-untyped-def]
        return super().create_share(share, server)

    def create_snapshot(self, snapshot, server):  # type: ignore[no-untyped-def]
        return super().create_snapshot(snapshot, server)

    def update_access(self, share, access_rules, server):  # type: ignore[no-untyped-def]
        return super().update_access(share, access_rules, server)


def test_answers_of_a_driver_without_annotations_are_what_the_interface_says(stack: Stack) -> None:
    serving.start(dataclasses.replace(serving.current(), drivers={"host1@alpha": Bare(stack)}))
    stack.share_type("snap", snapshot_support="True")
    share = available_share(
        stack, stack.share_network(*stack.network("10.1.0.0/24")), share_type="snap"
    )
    assert stack.paths(share)
    assert stack.settled_snapshot(stack.snapshot(share)) == "available"
    allow(stack, share, "10.0.0.0/8")
    assert settled_rules(stack, share) == "active"
