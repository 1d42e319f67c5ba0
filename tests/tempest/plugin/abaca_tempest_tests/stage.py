"""What the tests run on: subnets of both families that the project makes itself, share types by
capability, and faults of the back end."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from threading import Event

from manila_tempest_tests.common import waiters
from manila_tempest_tests.tests.api import base
from tempest import config
from tempest.lib import exceptions
from tempest.lib.common.utils import data_utils

CONF = config.CONF
POSITIVE = (base.TAG_POSITIVE, base.TAG_BACKEND)
NEGATIVE = (base.TAG_NEGATIVE, base.TAG_API_WITH_BACKEND)
CIDRS = {"v4": "10.7.0.0/24", "v6": "fd00:7::/64", "more": "10.8.0.0/24"}

_pause = Event()


def until(question, what):
    """Ask until the answer is true, for a bounded time; the answer."""
    deadline = time.monotonic() + CONF.share.build_timeout
    while not (answer := question()):
        if time.monotonic() > deadline:
            raise exceptions.TimeoutException(f"waited for {what}")
        _pause.wait(0.2)
    return answer


class Stage(base.BaseSharesMixedTest):
    """`subnets`: name → what a share network subnet is asked for with."""

    @classmethod
    def resource_setup(cls):
        super().resource_setup()
        # By tempest's own clients for Neutron, which find Abaca in the catalogue.
        networks = cls.os_primary.network.NetworksClient()
        cls._subnets = cls.os_primary.network.SubnetsClient()
        cls.subnets = {}
        for name, cidr in CIDRS.items():
            network = networks.create_network(name=data_utils.rand_name(name))["network"]
            cls.addClassResourceCleanup(networks.delete_network, network["id"])
            made = cls._subnets.create_subnet(
                network_id=network["id"], cidr=cidr, ip_version=6 if ":" in cidr else 4
            )["subnet"]
            cls.addClassResourceCleanup(cls._delete_subnet, made["id"])
            cls.subnets[name] = {"neutron_net_id": network["id"], "neutron_subnet_id": made["id"]}

    @classmethod
    def _delete_subnet(cls, subnet_id):
        """Addresses on it come back when the share servers are gone, a moment after their share
        network."""

        def is_gone():
            try:
                cls._subnets.delete_subnet(subnet_id)
            except exceptions.Conflict:
                return False
            return True

        until(is_gone, f"subnet {subnet_id} to have no addresses in use")

    # --- what there is to work with ---------------------------------------------------------------

    def type_with(self, *, several, update):
        """A share type for back ends with exactly these capabilities."""
        specs = {
            "driver_handles_share_servers": True,
            "share_server_multiple_subnet_support": several,
            "network_allocation_update_support": update,
        }
        return self.create_share_type(extra_specs=specs, cleanup_in_class=False)["id"]

    def network_on(self, *names):
        """A share network with these subnets; its id."""
        network_id = self.create_share_network(cleanup_in_class=False, **self.subnets[names[0]])[
            "id"
        ]
        self.addCleanup(self._remove_all_subnets_but_one, network_id)
        for name in names[1:]:
            self.shares_v2_client.create_subnet(network_id, **self.subnets[name])
        return network_id

    def _remove_all_subnets_but_one(self, network_id):
        """A share network is only deleted when it has at most one; before that, its shares have to
        go."""
        self.clear_resources(
            [resource for resource in self.method_resources if resource["type"] == "share"]
        )
        for subnet in self.network(network_id)["share_network_subnets"][1:]:
            self.shares_v2_client.delete_subnet(network_id, subnet["id"])

    def share_on(self, network_id, type_id, **more):
        """An available share; its id."""
        return self.create_share(
            share_type_id=type_id, share_network_id=network_id, cleanup_in_class=False, **more
        )["id"]

    def add(self, network_id, name):
        """Add a subnet, asking again while the back ends are asked."""

        def added():
            try:
                return self.shares_v2_client.create_subnet(network_id, **self.subnets[name])
            except exceptions.Conflict as refused:
                if "pending" not in str(refused):
                    raise
                return None

        until(added, "the check to end")

    def act(self, network_id, subnet_id, action, arguments=None, client=None, version="2.70"):
        """What an action on a subnet answers; by an administrator unless `client` says
        otherwise."""
        client = client or self.admin_shares_v2_client
        path = f"share-networks/{network_id}/subnets/{subnet_id}/action"
        response, body = client.post(path, json.dumps({action: arguments}), version=version)
        client.expected_success(202, response.status)
        return json.loads(body) if body else None

    def network(self, network_id):
        return self.shares_v2_client.get_share_network(network_id)["share_network"]

    def settled(self, network_id):
        """The network once it does not change any more."""
        return until(
            lambda: (network := self.network(network_id))["status"] != "network_change" and network,
            f"share network {network_id}",
        )

    def server_of(self, share_id):
        server_id = self.admin_shares_v2_client.get_share(share_id)["share"]["share_server_id"]
        return self.admin_shares_v2_client.show_share_server(server_id)["share_server"]

    def paths(self, share_id):
        return [
            location["path"]
            for location in self.shares_v2_client.list_share_export_locations(share_id)[
                "export_locations"
            ]
        ]

    def rules(self, share_id):
        return self.shares_v2_client.list_access_rules(share_id)["access_list"]

    def rule(self, share_id, access_to):
        """An active access rule."""
        made = self.shares_v2_client.create_access_rule(share_id, "ip", access_to, "rw")["access"]
        waiters.wait_for_resource_status(
            self.shares_v2_client,
            share_id,
            "active",
            resource_name="access_rule",
            rule_id=made["id"],
        )

    def messages_of(self, resource_id):
        found = self.shares_v2_client.list_messages(params={"resource_id": resource_id})["messages"]
        return [message["user_message"] for message in found]


class FaultyStage(Stage):
    """With a say in what the back end does. One class only: the plan is one file, and the tests of
    a class follow one another."""

    def setUp(self):
        super().setUp()
        self.addCleanup(self.plan)

    def plan(self, *faults):
        """Replace the fault plan."""
        path = Path(CONF.abaca.fault_plan)
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(faults))
        os.replace(fresh, path)
