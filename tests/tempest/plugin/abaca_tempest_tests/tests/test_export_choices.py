"""A share is exported on chosen subnets of its share network: what is reached where, what a change
does, and what an added or a removed subnet does not do (F5)."""

from __future__ import annotations

from tempest.lib import decorators, exceptions
from testtools import testcase

from abaca_tempest_tests.stage import CIDRS, NEGATIVE, POSITIVE, Stage, until

KEY = "export_subnets"
V4, V6 = ("10.7.0.", "[fd00:7:")


class ExportChoicesTest(Stage):
    def setUp(self):
        super().setUp()
        self.type_id = self.type_with(several=True, update=True)
        self.network_id = self.network_on("v4", "v6")
        # a CIDR is a name of a subnet once that has been looked up
        until(
            lambda: all(
                subnet["cidr"] for subnet in self.network(self.network_id)["share_network_subnets"]
            ),
            "the ranges of the subnets",
        )

    @testcase.attr(*POSITIVE)
    @decorators.idempotent_id("2f0d5b5e-2b0e-4a43-8b5b-8a1b6f0b9e01")
    def test_a_share_is_exported_where_its_metadata_say_and_a_change_moves_it(self):
        share_id = self._exported_on(CIDRS["v6"])
        self._assert_exported_on(share_id, V6)
        self.rule(share_id, CIDRS["v6"])
        self._choose(share_id, "ipv4")
        self._assert_exported_on(share_id, V4)
        # the rule for the other subnet grants nothing any more
        until(lambda: [rule["state"] for rule in self.rules(share_id)] == ["error"], "the rule")
        self.shares_v2_client.delete_metadata(share_id, KEY)
        self._assert_exported_on(share_id, V4, V6)
        until(lambda: [rule["state"] for rule in self.rules(share_id)] == ["active"], "the rule")

    @testcase.attr(*NEGATIVE)
    @decorators.idempotent_id("2f0d5b5e-2b0e-4a43-8b5b-8a1b6f0b9e02")
    def test_an_added_subnet_widens_nothing_and_the_last_chosen_one_stays(self):
        share_id = self._exported_on(CIDRS["v6"])
        for wrong in ("10.99.0.0/24", ",", "ipv5"):
            self.assertRaises(exceptions.BadRequest, self._choose, share_id, wrong)
        self.add(self.network_id, "more")
        self.assertEqual("active", self.settled(self.network_id)["status"])
        self._assert_exported_on(share_id, V6)
        subnets = self.network(self.network_id)["share_network_subnets"]
        (last,) = [each["id"] for each in subnets if each["ip_version"] == 6]
        refused = self.assertRaises(
            exceptions.Conflict, self.act, self.network_id, last, "force_delete"
        )
        self.assertIn(share_id, str(refused))

    def _exported_on(self, choice):
        return self.share_on(self.network_id, self.type_id, metadata={KEY: choice})

    def _choose(self, share_id, choice):
        self.shares_v2_client.set_metadata(share_id, {KEY: choice})

    def _assert_exported_on(self, share_id, *starts):
        """One path for each of these, in their order, at once or soon."""
        until(
            lambda: (
                len(paths := self.paths(share_id)) == len(starts)
                and all(map(str.startswith, paths, starts))
            ),
            f"exports on {starts}",
        )
