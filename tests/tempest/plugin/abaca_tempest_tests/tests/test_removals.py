"""A subnet is taken from a share network in use, by upstream's wire: what the check says, what is
refused and what is left (F1)."""

from __future__ import annotations

from tempest.lib import decorators, exceptions
from testtools import testcase

from abaca_tempest_tests.stage import CIDRS, NEGATIVE, POSITIVE, Stage, until

CHECK = "share_network_subnet_delete_check"


class RemovalsTest(Stage):
    def setUp(self):
        super().setUp()
        self.type_id = self.type_with(several=True, update=True)

    @testcase.attr(*POSITIVE)
    @decorators.idempotent_id("2f0d5b5e-2b0e-4a43-8b5b-8a1b6f0b9d01")
    def test_a_subnet_leaves_a_share_network_in_use(self):
        network_id, share_id, subnet_id = self._in_use()
        before = self.shares_v2_client.list_share_export_locations(share_id)["export_locations"]
        answer = until(
            lambda: (
                (found := self.act(network_id, subnet_id, CHECK, {"reset_operation": False}))[
                    "compatible"
                ]
                is not None
                and found
            ),
            "the check's answer",
        )
        self.assertIs(True, answer["compatible"])
        self.assertEqual(
            [before[1]["path"]], [location["path"] for location in answer["export_locations"]]
        )
        self.assertEqual([CIDRS["v6"]], [rule["access_to"] for rule in answer["access_rules"]])
        self.act(network_id, subnet_id, "force_delete")
        network = self.settled(network_id)
        self.assertEqual(("active", 1), (network["status"], len(network["share_network_subnets"])))
        after = self.shares_v2_client.list_share_export_locations(share_id)["export_locations"]
        self.assertEqual(before[:1], after)
        self.assertEqual("active", self.server_of(share_id)["status"])

    @testcase.attr(*NEGATIVE)
    @decorators.idempotent_id("2f0d5b5e-2b0e-4a43-8b5b-8a1b6f0b9d02")
    def test_the_last_subnet_members_and_what_is_not_there_are_refused(self):
        network_id, _, subnet_id = self._in_use()
        for action in ("force_delete", CHECK):
            self.assertRaises(
                exceptions.Forbidden,
                self.act,
                network_id,
                subnet_id,
                action,
                client=self.shares_v2_client,
            )
            self.assertRaises(exceptions.NotFound, self.act, network_id, network_id, action)
            self.assertRaises(
                exceptions.NotFound, self.act, network_id, subnet_id, action, version="2.69"
            )
        lone = self.network_on("v4")
        (only,) = self.network(lone)["share_network_subnets"]
        refused = self.assertRaises(exceptions.Conflict, self.act, lone, only["id"], "force_delete")
        self.assertIn("is the last one", str(refused))

    def _in_use(self):
        """A share network on two subnets with a share, and a rule for clients on the second one:
        the ids of network, share and that subnet."""
        network_id = self.network_on("v4", "v6")
        share_id = self.share_on(network_id, self.type_id)
        self.rule(share_id, CIDRS["v6"])
        subnets = self.network(network_id)["share_network_subnets"]
        (subnet_id,) = [each["id"] for each in subnets if each["ip_version"] == 6]
        return network_id, share_id, subnet_id
