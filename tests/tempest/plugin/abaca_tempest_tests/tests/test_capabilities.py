"""What back ends that lack a capability refuse: rows B2, B4 and C1 of the specification."""

from __future__ import annotations

from tempest.lib import decorators, exceptions
from testtools import testcase

from abaca_tempest_tests.stage import NEGATIVE, POSITIVE, Stage, until


class CapabilitiesTest(Stage):
    @testcase.attr(*NEGATIVE)
    @decorators.idempotent_id("1f0d5b5e-2b0e-4a43-8b5b-8a1b6f0b9c01")
    def test_no_back_end_for_several_subnets_is_told_with_the_capability(self):
        network_id = self.network_on("v4", "more")
        share = self.shares_v2_client.create_share(
            share_type_id=self.type_with(several=False, update=False), share_network_id=network_id
        )["share"]
        self.method_resources.insert(
            0, {"type": "share", "id": share["id"], "client": self.shares_v2_client}
        )
        until(
            lambda: self.shares_v2_client.get_share(share["id"])["share"]["status"] == "error",
            "the share to be in error",
        )
        (told,) = until(lambda: self.messages_of(share["id"]), "a message")
        self.assertIn("share_server_multiple_subnet_support", told)

    @testcase.attr(*NEGATIVE)
    @decorators.idempotent_id("1f0d5b5e-2b0e-4a43-8b5b-8a1b6f0b9c02")
    def test_a_network_whose_back_end_cannot_change_servers_is_immutable_once_one_stands(self):
        # as long as none stands, subnets are added freely
        network_id = self.network_on("v4", "more")
        share_id = self.share_on(network_id, self.type_with(several=True, update=False))
        self.assertEqual(2, len(self.paths(share_id)))
        self.assertIs(False, self.network(network_id)["network_allocation_update_support"])
        self._assert_refused(network_id, share_id, "v6")

    @testcase.attr(*NEGATIVE)
    @decorators.idempotent_id("1f0d5b5e-2b0e-4a43-8b5b-8a1b6f0b9c03")
    def test_a_second_subnet_on_a_back_end_without_either_capability_is_a_conflict(self):
        network_id = self.network_on("v4")
        share_id = self.share_on(network_id, self.type_with(several=False, update=False))
        self._assert_refused(network_id, share_id, "more")

    @testcase.attr(*POSITIVE)
    @decorators.idempotent_id("1f0d5b5e-2b0e-4a43-8b5b-8a1b6f0b9c04")
    def test_the_first_subnet_of_another_zone_is_accepted_all_the_same(self):
        network_id = self.network_on("v4")
        self.share_on(network_id, self.type_with(several=False, update=False))
        zone = self.get_availability_zones()[0]
        self.create_share_network_subnet(
            share_network_id=network_id, availability_zone=zone, **self.subnets["more"]
        )
        self.assertEqual(2, len(self.network(network_id)["share_network_subnets"]))

    def _assert_refused(self, network_id, share_id, name):
        """409, 400 for the check alone, and nothing has changed."""
        subnets, paths = self.network(network_id)["share_network_subnets"], self.paths(share_id)
        refused = self.assertRaises(
            exceptions.Conflict,
            self.shares_v2_client.create_subnet,
            network_id,
            **self.subnets[name],
        )
        self.assertIn("network_allocation_update_support", str(refused))
        self.assertRaises(
            exceptions.BadRequest,
            self.shares_v2_client.subnet_create_check,
            network_id,
            **self.subnets[name],
        )
        self.assertEqual(
            ("active", subnets),
            (self.network(network_id)["status"], self.network(network_id)["share_network_subnets"]),
        )
        self.assertEqual(
            ("active", paths), (self.server_of(share_id)["status"], self.paths(share_id))
        )
