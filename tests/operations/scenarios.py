"""For every workflow a scene in which it is asked for. Walks kill and fail it there at each of its
steps.

A scenario prepares its scene with a running worker and gives back what asks for the work, which
needs none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca import config
from abaca.db.encryption import Cipher
from abaca.db.session import utcnow
from abaca.db.tables import local_addresses_set_aside, share_instances, share_servers
from abaca.db.tables import share_network_subnets as subnets_table
from abaca.domain.network_changes import (
    connected_clients,
    security_service_changes,
    share_server_management,
    share_server_repairs,
    subnet_additions,
    subnet_drains,
    subnet_metadata,
    subnet_removals,
)
from abaca.domain.network_changes.security_service_changes import ChangeRequest
from abaca.domain.network_changes.share_server_management import ServerToManage
from abaca.domain.network_changes.subnet_additions import SubnetRequest
from abaca.domain.services import services
from abaca.domain.share_networks import security_services, share_network_subnets, share_networks
from abaca.domain.share_servers import share_servers as servers
from abaca.domain.shares import (
    access_rules,
    export_choices,
    share_creation,
    share_management,
    share_metadata,
    shares,
)
from abaca.domain.shares.share_management import ShareToManage
from abaca.domain.shares.share_requests import ShareRequest
from abaca.domain.snapshots import snapshot_management, snapshots
from abaca.domain.snapshots.snapshot_management import SnapshotToManage
from abaca.reconcile import subnet_drain_deadlines as deadlines
from abaca.values import Page
from tests.operations import scenarios_backups, scenarios_groups, scenarios_snapshots
from tests.operations.neighbours import first_address, make_flat, put_neighbours
from tests.operations.scene import (
    allow,
    another_instance,
    available_share,
    delete_share,
    instance_of,
    server_of,
    settled_rules,
    world,
)
from tests.stack import ADMIN, MEMBER, Stack, environment, wait_for

Ask = Callable[[], object]
PAGE = Page()
CIDRS = ("10.1.0.0/24", "fd00:1::/64", "10.2.0.0/24")
SPECS = dict.fromkeys(
    (
        "snapshot_support",
        "create_share_from_snapshot_support",
        "revert_to_snapshot_support",
        "mount_snapshot_support",
    ),
    "True",
)
SPECS_OF_CEPH = {
    name: value
    for name, value in SPECS.items()
    if name not in ("revert_to_snapshot_support", "mount_snapshot_support")
}


class Ground:
    """What scenes run on: a network with three subnets, of which share networks have two, and a
    share type `snap` of these `specs`, with a type for groups of such shares. A worker runs."""

    def __init__(self, stack: Stack, specs: Mapping[str, str] = SPECS) -> None:
        self.stack = stack
        *self.pairs, self.another = stack.network(*CIDRS)
        stack.share_type("snap", **specs)
        stack.do(scenarios_groups.group_type_for, "snap")
        self._lone: dict[str, str] = {}
        self._let_go: dict[str, tuple[str, str]] = {}
        self._snapshots_let_go: dict[str, SnapshotToManage] = {}

    def network(self) -> str:
        """A share network on two subnets that are known."""
        made = self.stack.share_network(*self.pairs)
        self.stack.wait(
            lambda conn: all(
                s["cidr"] for s in share_networks.get(conn, MEMBER, made)["share_network_subnets"]
            )
        )
        return made

    def share(self, size: int = 1) -> tuple[str, str]:
        """A share network and a share on it with a rule that holds."""
        network = self.network()
        made = available_share(self.stack, network, size=size, share_type="snap")
        allow(self.stack, made, "10.0.0.0/8")
        assert settled_rules(self.stack, made) == "active"
        return network, made

    def snapshot(self) -> tuple[str, str, str]:
        """The same, and a snapshot of the share, which has been shrunk since."""
        network, share = self.share(size=3)
        made = self.stack.snapshot(share)
        assert self.stack.settled_snapshot(made) == "available"
        self.stack.do(shares.shrink, MEMBER, share, 1)
        assert self.stack.settled_share(share) == "available"
        return network, share, made

    def security_service(self) -> str:
        encrypted = Cipher(config.key_file(self.stack.conf)).encrypt("secret")
        made = self.stack.do(
            security_services.create,
            MEMBER,
            type="ldap",
            server="10.0.0.2",
            user="reader",
            encrypted_password=encrypted,
        )
        return str(made["id"])

    def joined(self) -> tuple[str, ChangeRequest]:
        """A share network whose server has joined a security service, and its exchange for another
        one."""
        network, first, second = self.network(), self.security_service(), self.security_service()
        self.stack.do(security_service_changes.change, MEMBER, network, ChangeRequest(new_id=first))
        available_share(self.stack, network)
        return network, ChangeRequest(new_id=second, current_id=first)

    def checked(self) -> tuple[str, str]:
        """A share network with a share, whose drivers have agreed to another subnet."""
        network, share = self.share()
        self.stack.checked(network, self.another)
        return network, share

    def second_subnet(self, network: str) -> str:
        found = self.stack.ask(share_network_subnets.find, MEMBER, network)
        return str(found[1]["id"])

    def draining(self, at_deadline: str) -> tuple[str, str]:
        """A share network on two subnets, of which the second drains, and that subnet. A share with
        a snapshot that can be mounted is reached on both, and one that was made meanwhile is
        not."""
        network, _, _ = self.snapshot()
        subnet = self.second_subnet(network)
        self.stack.do(
            subnet_drains.start, MEMBER, network, subnet, seconds=3600, at_deadline=at_deadline
        )
        self.stack.wait(
            lambda conn: all(
                subnet_drains.get(conn, MEMBER, network, subnet)["refuses_new_clients"].values()
            )
        )
        available_share(self.stack, network, share_type="snap")
        return network, subnet

    def let_deadline_come(self, subnet: str) -> None:
        """As a worker's pass sees to it."""
        self.overdue(subnet)
        deadlines.meet_due(self.stack.engine)

    def overdue(self, subnet: str) -> None:
        """The deadline of its drain has come."""
        of_subnet = sa.update(subnets_table).where(subnets_table.c.id == subnet)
        self.stack.do(Connection.execute, of_subnet.values(removal_deadline=utcnow()))

    def removal_check(self, network: str, subnet: str) -> dict[str, Any]:
        return self.stack.do(subnet_removals.check, ADMIN, network, subnet, reset_operation=False)

    def lone_server(self) -> str:
        """A server without shares, on one subnet, so that it can be unmanaged."""
        network = self.stack.share_network(self.pairs[0])
        share = available_share(self.stack, network)
        server = server_of(self.stack, share)
        delete_share(self.stack, share)
        self._lone[server] = network
        return server

    def let_go(self) -> str:
        """One that has been unmanaged."""
        server = self.lone_server()
        self.stack.do(share_server_management.unmanage, server)
        self.stack.wait(lambda conn: servers.status_of(conn, server)[0] == "gone")
        return server

    def manage(self, server: str) -> None:
        wanted = ServerToManage(
            host="host1@alpha", share_network_id=self._lone[server], identifier=server
        )
        self.stack.do(share_server_management.manage, ADMIN, wanted)

    def share_let_go(self) -> str:
        """A share that has been unmanaged; its instance's id."""
        _, share = self.share()
        instance_id = self.remember(share)
        self.stack.do(share_management.unmanage, ADMIN, share)
        assert self.stack.settled_share(share) == "gone"
        return instance_id

    def remember(self, share: str) -> str:
        """A share that will be unmanaged; its instance's id."""
        instance = instance_of(self.stack, share)
        self._let_go[instance.id] = (self.stack.paths(share)[0], instance.share_server_id)
        return str(instance.id)

    def manage_share(self, instance_id: str) -> None:
        path, server = self._let_go[instance_id]
        wanted = ShareToManage(
            host="host1@alpha#fake",
            export_path=path,
            share_proto="NFS",
            share_type="snap",
            share_server_id=server,
        )
        self.stack.do(share_management.manage, MEMBER, wanted)

    def remember_snapshot(self, share: str, snapshot: str) -> str:
        """A snapshot that will be unmanaged; its instance's id."""
        found = self.stack.ask(snapshots.get, ADMIN, snapshot)
        location = str(found["provider_location"])
        wanted = SnapshotToManage(share_id=share, provider_location=location)
        self._snapshots_let_go[found["instance_id"]] = wanted
        return str(found["instance_id"])

    def unmanage_snapshot(self, snapshot: str) -> None:
        self.stack.do(snapshot_management.unmanage, ADMIN, snapshot, on_servers=True)

    def manage_snapshot(self, instance_id: str) -> str:
        """One that was let go; its id."""
        wanted = self._snapshots_let_go[instance_id]
        return str(self.stack.do(snapshot_management.manage, ADMIN, wanted)["id"])

    def _take_snapshots_back(self) -> None:
        """Also one that could not be taken over: it is forgotten first."""
        rows = self.stack.ask(snapshots.LISTING.find, ADMIN, {}, PAGE, True)
        known = {row["instance_id"]: row for row in rows}
        for instance in self._snapshots_let_go:
            row = known.pop(instance, None)
            if row is not None and row["status"] == "manage_error":
                self.unmanage_snapshot(row["id"])
                assert self.stack.settled_snapshot(row["id"]) == "gone"
                row = None
            if row is None and instance in world(self.stack)["snapshots"]:
                back = self.manage_snapshot(instance)
                assert self.stack.settled_snapshot(back) == "available"
        self._snapshots_let_go.clear()

    def _take_shares_back(self) -> None:
        """Also one that could not be taken over: it is forgotten first."""
        for instance in self._let_go:
            known = self.stack.ask(share_instances_of, instance)
            if known == ["manage_error"]:
                share = self.stack.ask(share_of_instance, instance)
                self.stack.do(share_management.unmanage, ADMIN, share)
                assert self.stack.settled_share(share) == "gone"
                known = []
            if not known and instance in world(self.stack)["shares"]:
                self.manage_share(instance)
                self.stack.wait(
                    lambda conn, instance=instance: (  # type: ignore[misc]
                        share_instances_of(conn, instance) == ["available"]
                    )
                )
        self._let_go.clear()

    def _take_back(self) -> None:
        """What is on the back end and unknown here is managed, so that it can be deleted; what went
        wrong with that can be deleted as well."""
        for server in self._lone:
            if (
                self.stack.ask(servers.status_of, server)[0] == "gone"
                and server in world(self.stack)["servers"]
            ):
                self.manage(server)
                self.stack.wait(
                    lambda conn, server=server: servers.status_of(conn, server)[0] == "active"  # type: ignore[misc]
                )
            elif self.stack.ask(servers.status_of, server)[0] in ("manage_error", "unmanage_error"):
                self.stack.do(servers.reset_status, server, "error")
        self._lone.clear()

    def wipe(self) -> None:
        """Delete everything that scenes make, as an administrator who is in a hurry."""
        stack = self.stack
        self._take_snapshots_back()
        self._take_shares_back()
        scenarios_backups.wipe_backups(stack)
        scenarios_groups.wipe_group_snapshots(stack)
        for snapshot in [
            row["id"] for row in stack.ask(snapshots.LISTING.find, ADMIN, {}, PAGE, True)
        ]:
            stack.do(snapshots.force_delete, ADMIN, snapshot)
        wait_for(lambda: not stack.ask(snapshots.LISTING.find, ADMIN, {}, PAGE, True))
        for is_soft_deleted in (False, True):
            for share in [
                row["id"]
                for row in stack.ask(
                    shares.find, ADMIN, {"is_soft_deleted": is_soft_deleted}, PAGE, True
                )
            ]:
                stack.do(shares.force_delete, ADMIN, share)
        stack.wait(
            lambda conn: not conn.scalar(sa.select(sa.func.count()).select_from(share_instances))
        )
        scenarios_groups.wipe_groups(stack)
        self._take_back()
        for server in stack.ask(lambda conn: list(conn.scalars(sa.select(share_servers.c.id)))):
            stack.do(servers.delete, server)
        stack.wait(
            lambda conn: not conn.scalar(sa.select(sa.func.count()).select_from(share_servers))
        )
        for network in stack.ask(share_networks.find, ADMIN, {}, PAGE, True):
            for subnet in network["share_network_subnets"][1:]:
                stack.do(share_network_subnets.delete, ADMIN, network["id"], subnet["id"])
            stack.do(share_networks.delete, ADMIN, network["id"])
        for service in stack.ask(security_services.find, ADMIN, {}, PAGE, True):
            stack.do(security_services.delete, ADMIN, service["id"])
        # scenes know which address comes first
        stack.do(lambda conn: conn.execute(sa.delete(local_addresses_set_aside)))


def share_of_instance(conn: Connection, instance_id: str) -> str:
    """The id of its share."""
    table = share_instances
    found = conn.scalar(sa.select(table.c.share_id).where(table.c.id == instance_id))
    return str(found)


def share_instances_of(conn: Connection, instance_id: str) -> list[str]:
    """The status of that instance, if it is there."""
    return list(
        conn.scalars(sa.select(share_instances.c.status).where(share_instances.c.id == instance_id))
    )


def share_create(ground: Ground) -> Ask:
    """With a new server on two subnets."""
    network = ground.network()
    return lambda: ground.stack.share(network, share_type="snap")


def share_create_of_another_address(ground: Ground) -> Ask:
    """Another machine uses the address that the new server is given first."""
    stack, network = ground.stack, ground.network()
    stack.do(make_flat, network)
    request = ShareRequest(share_proto="NFS", size=1, share_type="snap", share_network_id=network)

    def create(conn: Connection) -> None:
        made = share_creation.create(conn, MEMBER, request)
        (server,) = conn.scalars(
            sa.select(share_instances.c.share_server_id).where(
                share_instances.c.share_id == made["id"]
            )
        )
        subnet = share_network_subnets.find(conn, MEMBER, network)[0]["id"]
        put_neighbours(stack, first_address(conn, server, subnet))

    return lambda: stack.do(create)


def share_create_from_a_snapshot(ground: Ground) -> Ask:
    network, _, snapshot = ground.snapshot()
    return lambda: ground.stack.share(network, size=3, share_type="snap", snapshot_id=snapshot)


def share_delete(ground: Ground) -> Ask:
    _, share = ground.share()
    return lambda: ground.stack.do(shares.delete, MEMBER, share)


def share_delete_of_another_kind(ground: Ground) -> Ask:
    """Deferred."""
    _, share = ground.share()
    return lambda: ground.stack.do(shares.delete, MEMBER, share, is_deferred=True)


def share_delete_of_two_instances(ground: Ground) -> Ask:
    _, share = ground.share()
    another_instance(ground.stack, share)
    return lambda: ground.stack.do(shares.delete, MEMBER, share)


def share_manage(ground: Ground) -> Ask:
    instance = ground.share_let_go()
    return lambda: ground.manage_share(instance)


def share_unmanage(ground: Ground) -> Ask:
    _, share = ground.share()
    ground.remember(share)
    return lambda: ground.stack.do(share_management.unmanage, ADMIN, share)


def share_extend(ground: Ground) -> Ask:
    _, share = ground.share()
    return lambda: ground.stack.do(shares.extend, MEMBER, share, 5)


def share_shrink(ground: Ground) -> Ask:
    _, share = ground.share(size=3)
    return lambda: ground.stack.do(shares.shrink, MEMBER, share, 1)


def share_revert(ground: Ground) -> Ask:
    _, share, snapshot = ground.snapshot()
    return lambda: ground.stack.do(snapshots.revert, MEMBER, share, snapshot)


def access_apply(ground: Ground) -> Ask:
    """One rule more and one less, on a share with a snapshot that can be mounted."""
    stack = ground.stack
    _, share, _ = ground.snapshot()
    (old,) = stack.ask(access_rules.find, MEMBER, share)

    def ask() -> None:
        stack.do(access_rules.deny, MEMBER, share, old["id"])
        allow(stack, share, "10.3.0.0/16", "ro")

    return ask


def access_apply_of_two_instances(ground: Ground) -> Ask:
    """One rule more and one less."""
    stack = ground.stack
    _, share = ground.share()
    another_instance(stack, share)
    allow(stack, share, "10.2.0.0/16")
    assert settled_rules(stack, share) == "active"
    old = stack.ask(access_rules.find, MEMBER, share, {"access_to": "10.2.0.0/16"})[0]

    def ask() -> None:
        stack.do(access_rules.deny, MEMBER, share, old["id"])
        allow(stack, share, "10.3.0.0/16", "ro")

    return ask


def access_apply_of_another_choice(ground: Ground) -> Ask:
    """A share with a snapshot that can be mounted is exported on IPv4 subnets only."""
    _, share, _ = ground.snapshot()
    pairs = {export_choices.KEY: "ipv4"}
    return lambda: ground.stack.do(share_metadata.change, MEMBER, share, lambda _old: pairs)


def snapshot_create(ground: Ground) -> Ask:
    _, share = ground.share()
    return lambda: ground.stack.snapshot(share)


def snapshot_delete(ground: Ground) -> Ask:
    _, _, snapshot = ground.snapshot()
    return lambda: ground.stack.do(snapshots.delete, MEMBER, snapshot)


def snapshot_delete_of_another_kind(ground: Ground) -> Ask:
    """Deferred."""
    _, _, snapshot = ground.snapshot()
    return lambda: ground.stack.do(snapshots.delete, MEMBER, snapshot, is_deferred=True)


def share_server_delete(ground: Ground) -> Ask:
    _, share = ground.share()
    server = server_of(ground.stack, share)
    delete_share(ground.stack, share)
    return lambda: ground.stack.do(servers.delete, server)


def share_server_manage(ground: Ground) -> Ask:
    server = ground.let_go()
    return lambda: ground.manage(server)


def share_server_unmanage(ground: Ground) -> Ask:
    server = ground.lone_server()
    return lambda: ground.stack.do(share_server_management.unmanage, server)


def share_server_add_subnet(ground: Ground) -> Ask:
    network, _ = ground.checked()
    return lambda: ground.stack.add_subnet(network, ground.another)


def share_server_add_subnet_of_another_address(ground: Ground) -> Ask:
    """Another machine uses the address that the server is given first on the new subnet."""
    stack = ground.stack
    network, share = ground.checked()
    server = server_of(stack, share)
    wanted = SubnetRequest(neutron_net_id=ground.another[0], neutron_subnet_id=ground.another[1])

    def add(conn: Connection) -> None:
        added = subnet_additions.add(conn, MEMBER, network, wanted, multiple_allowed=True)
        assert isinstance(added, dict), "the drivers have been asked"
        make_flat(conn, network)
        put_neighbours(stack, first_address(conn, server, added["id"]))

    return lambda: stack.do(add)


def share_server_add_subnet_of_another_that_claims_everything(ground: Ground) -> Ask:
    """Another machine uses whatever address the server is given on the new subnet: it gets none."""
    stack = ground.stack
    network, _ = ground.checked()
    wanted = SubnetRequest(neutron_net_id=ground.another[0], neutron_subnet_id=ground.another[1])

    def add(conn: Connection) -> None:
        added = subnet_additions.add(conn, MEMBER, network, wanted, multiple_allowed=True)
        assert isinstance(added, dict), "the drivers have been asked"
        make_flat(conn, network)
        put_neighbours(stack, "0.0.0.0/0", "::/0")

    return lambda: stack.do(add)


def share_server_abandon_subnet(ground: Ground) -> Ask:
    """The server could not be given the subnet."""
    stack = ground.stack
    network, share = ground.checked()
    with environment(
        ABACA_FAIL_AT="share_server_add_subnet/update_share_server_network_allocations/before/Refused"
    ):
        stack.add_subnet(network, ground.another)
        assert stack.settled_network(network) == "active"
    server = server_of(stack, share)
    return lambda: stack.do(share_server_repairs.abandon_network_update, server)


def share_server_remove_subnet(ground: Ground) -> Ask:
    """From a server with a share and a snapshot that can be mounted."""
    network, _, _ = ground.snapshot()
    subnet = ground.second_subnet(network)
    wait_for(lambda: ground.removal_check(network, subnet)["compatible"] is not None)
    return lambda: ground.stack.remove_subnet(network, subnet)


def share_server_remove_subnet_from_a_drain(ground: Ground) -> Ask:
    """At its deadline."""
    network, subnet = ground.draining(subnet_drains.FORCE)
    wait_for(lambda: ground.removal_check(network, subnet)["compatible"] is not None)
    return lambda: ground.let_deadline_come(subnet)


def share_server_add_subnet_from_a_removal(ground: Ground) -> Ask:
    """The server could not give the subnet up, after its back end had let go, and gets it again."""
    stack = ground.stack
    network, share = ground.share()
    with environment(
        ABACA_FAIL_AT="share_server_remove_subnet/LocalNetworks.release/before/Refused"
    ):
        stack.remove_subnet(network, ground.second_subnet(network))
        assert stack.settled_network(network) == "active"
    server = server_of(stack, share)
    return lambda: stack.do(share_server_repairs.abandon_network_update, server)


def share_network_subnet_removal_check(ground: Ground) -> Ask:
    network, _ = ground.share()
    subnet = ground.second_subnet(network)
    return lambda: ground.removal_check(network, subnet)


def share_network_subnet_check(ground: Ground) -> Ask:
    network, _ = ground.share()
    wanted = SubnetRequest(neutron_net_id=ground.another[0], neutron_subnet_id=ground.another[1])
    return lambda: ground.stack.do(
        subnet_additions.check, MEMBER, network, wanted, reset_operation=False
    )


def share_server_clients(ground: Ground) -> Ask:
    _, share = ground.share()
    return lambda: ground.stack.do(connected_clients.of_share, MEMBER, share, sees_all=False)


def share_network_subnet_resolve(ground: Ground) -> Ask:
    return lambda: ground.stack.share_network(ground.another)


def share_network_security_service_check(ground: Ground) -> Ask:
    network, wanted = ground.joined()
    return lambda: ground.stack.do(
        security_service_changes.check, MEMBER, network, wanted, reset_operation=False
    )


def share_server_update_security_service(ground: Ground) -> Ask:
    stack = ground.stack
    network, wanted = ground.joined()
    wait_for(
        lambda: (
            stack.do(
                security_service_changes.check, MEMBER, network, wanted, reset_operation=False
            )["compatible"]
            is not None
        )
    )
    return lambda: stack.do(security_service_changes.change, MEMBER, network, wanted)


def share_server_update_drains(ground: Ground) -> Ask:
    """A subnet begins to drain."""
    network, _, _ = ground.snapshot()
    subnet = ground.second_subnet(network)
    return lambda: ground.stack.do(subnet_drains.start, MEMBER, network, subnet)


def share_server_update_drains_from_a_drain(ground: Ground) -> Ask:
    """A drain is cancelled, and a share that was made meanwhile gets a path more."""
    network, subnet = ground.draining(subnet_drains.CANCEL)
    return lambda: ground.stack.do(subnet_drains.cancel, MEMBER, network, subnet)


def share_server_update_drains_from_a_deadline(ground: Ground) -> Ask:
    """The same at its deadline."""
    _, subnet = ground.draining(subnet_drains.CANCEL)
    return lambda: ground.let_deadline_come(subnet)


def share_server_update_subnet_metadata(ground: Ground) -> Ask:
    stack = ground.stack
    network, _ = ground.share()
    subnet = stack.ask(share_network_subnets.find, MEMBER, network)[0]["id"]

    def ask() -> None:
        stack.do(
            share_network_subnets.change_metadata,
            MEMBER,
            network,
            subnet,
            lambda _old: {"vlan": "7"},
        )
        stack.do(subnet_metadata.hand_over, subnet, {"vlan"}, ())

    return ask


def service_ensure_shares(ground: Ground) -> Ask:
    ground.share()
    return lambda: ground.stack.do(services.ensure_shares, "host1@alpha")


SCENARIOS: dict[str, Callable[[Ground], Ask]] = {
    scenario.__name__: scenario
    for scenario in (
        *scenarios_backups.SCENES,
        access_apply,
        access_apply_of_another_choice,
        access_apply_of_two_instances,
        service_ensure_shares,
        share_create,
        share_create_of_another_address,
        share_create_from_a_snapshot,
        share_delete,
        share_delete_of_another_kind,
        share_delete_of_two_instances,
        share_extend,
        share_manage,
        share_unmanage,
        share_network_security_service_check,
        share_network_subnet_check,
        share_network_subnet_removal_check,
        share_network_subnet_resolve,
        share_revert,
        share_server_abandon_subnet,
        share_server_add_subnet,
        share_server_add_subnet_of_another_address,
        share_server_add_subnet_of_another_that_claims_everything,
        share_server_clients,
        share_server_add_subnet_from_a_removal,
        share_server_delete,
        share_server_manage,
        share_server_remove_subnet,
        share_server_remove_subnet_from_a_drain,
        share_server_unmanage,
        share_server_update_drains,
        share_server_update_drains_from_a_deadline,
        share_server_update_drains_from_a_drain,
        share_server_update_security_service,
        share_server_update_subnet_metadata,
        share_shrink,
        snapshot_create,
        snapshot_delete,
        snapshot_delete_of_another_kind,
        *scenarios_snapshots.SCENES,
        *scenarios_groups.SCENES,
    )
}
"""Named after their workflow; a second scene of one has its name and more."""


def workflow_of(scenario: str) -> str:
    """The workflow that a scenario asks for."""
    return re.split("_from_|_of_two_|_of_another_", scenario)[0]
