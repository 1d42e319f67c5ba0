"""A subnet is added to a share network in use: both families, a denial, a failure, and what has to
wait meanwhile (A1 to A3, C4, C9, C10)."""

from __future__ import annotations

from ipaddress import ip_network

from manila_tempest_tests.common import waiters
from tempest.lib import decorators, exceptions
from testtools import testcase

from abaca_tempest_tests.stage import CIDRS, NEGATIVE, POSITIVE, FaultyStage

CHECK = "check_update_share_server_network_allocations"
UPDATE = "update_share_server_network_allocations"
REASON = "there is no port left on the switch"


class AdditionsTest(FaultyStage):
    def setUp(self):
        super().setUp()
        self.type_id = self.type_with(several=True, update=True)

    @testcase.attr(*POSITIVE)
    @decorators.idempotent_id("2f0d5b5e-2b0e-4a43-8b5b-8a1b6f0b9c01")
    def test_a_share_is_served_over_both_families_at_once(self):
        network_id = self.network_on("v4", "v6")
        share_id = self.share_on(network_id, self.type_id)
        self._assert_an_address_on_each(share_id, "v4", "v6")
        for name in ("v4", "v6"):
            self.rule(share_id, CIDRS[name])
        self.assertEqual(
            {CIDRS["v4"], CIDRS["v6"]}, {rule["access_to"] for rule in self.rules(share_id)}
        )

    @testcase.attr(*POSITIVE)
    @decorators.idempotent_id("2f0d5b5e-2b0e-4a43-8b5b-8a1b6f0b9c02")
    def test_the_other_family_is_added_in_use(self):
        network_id = self.network_on("v4")
        share_id = self.share_on(network_id, self.type_id)
        before = self.shares_v2_client.list_share_export_locations(share_id)["export_locations"]
        self.add(network_id, "v6")
        self.assertEqual("active", self.settled(network_id)["status"])
        after = self.shares_v2_client.list_share_export_locations(share_id)["export_locations"]
        self.assertEqual(before, after[:1])
        self._assert_an_address_on_each(share_id, "v4", "v6")
        self.assertEqual(2, len(self.server_of(share_id)["share_network_subnet_ids"]))

    @testcase.attr(*NEGATIVE)
    @decorators.idempotent_id("2f0d5b5e-2b0e-4a43-8b5b-8a1b6f0b9c03")
    def test_one_denial_fails_the_whole_with_the_reason_and_leaves_all_as_it_was(self):
        network_id = self.network_on("v4")
        share_id = self.share_on(network_id, self.type_id)
        self.plan({"method": CHECK, "match": share_id, "error": "Refused", "message": REASON})
        refused = self.assertRaises(exceptions.Conflict, self.add, network_id, "v6")
        self.assertIn(REASON, str(refused))
        self.assertIs(
            False,
            self.shares_v2_client.subnet_create_check(network_id, **self.subnets["v6"])[
                "compatible"
            ],
        )
        self.assertTrue(any(REASON in told for told in self.messages_of(network_id)))
        network = self.network(network_id)
        self.assertEqual(("active", 1), (network["status"], len(network["share_network_subnets"])))
        share = self.shares_v2_client.get_share(share_id)["share"]
        self.assertEqual(
            ("active", "available"), (self.server_of(share_id)["status"], share["status"])
        )
        self._assert_an_address_on_each(share_id, "v4")

    @testcase.attr(*NEGATIVE)
    @decorators.idempotent_id("2f0d5b5e-2b0e-4a43-8b5b-8a1b6f0b9c04")
    def test_a_failing_server_is_in_error_and_its_shares_stay_served_where_they_were(self):
        network_id = self.network_on("v4")
        share_id = self.share_on(network_id, self.type_id)
        self.rule(share_id, CIDRS["v4"])
        self.plan({"method": UPDATE, "match": share_id, "error": "Refused", "message": REASON})
        self.add(network_id, "v6")
        network = self.settled(network_id)
        self.assertEqual(("active", 2), (network["status"], len(network["share_network_subnets"])))
        self.assertEqual("error", self.server_of(share_id)["status"])
        self.assertEqual(["error"], [rule["state"] for rule in self.rules(share_id)])
        self.assertTrue(any(REASON in told for told in self.messages_of(network_id)))
        self.assertEqual("available", self.shares_v2_client.get_share(share_id)["share"]["status"])
        self._assert_an_address_on_each(share_id, "v4")
        # Never a second server beside the one in error.
        self.assertRaises(exceptions.BadRequest, self._ask_for_a_share, network_id)
        self.shares_v2_client.delete_share(share_id)
        self.shares_v2_client.wait_for_resource_deletion(share_id=share_id)

    @testcase.attr(*NEGATIVE)
    @decorators.idempotent_id("2f0d5b5e-2b0e-4a43-8b5b-8a1b6f0b9c05")
    def test_what_has_to_wait_while_a_network_changes(self):
        network_id = self.network_on("v4")
        share_id = self.share_on(network_id, self.type_id)
        subnet_id = self.network(network_id)["share_network_subnets"][0]["id"]
        server_id = self.server_of(share_id)["id"]
        security_service_id = self.create_security_service("ldap", server="10.7.0.200")["id"]
        self.plan({"method": UPDATE, "match": share_id, "error": "hang"})
        self.add(network_id, "v6")
        self.assertEqual("network_change", self.network(network_id)["status"])
        self.assertEqual("network_change", self.server_of(share_id)["status"])
        client = self.shares_v2_client
        for refusal, call, *arguments in (
            (exceptions.Conflict, client.delete_subnet, network_id, subnet_id),
            (
                exceptions.Conflict,
                client.add_sec_service_to_share_network,
                network_id,
                security_service_id,
            ),
            (exceptions.Conflict, client.delete_share_network, network_id),
            (exceptions.BadRequest, self._ask_for_a_share, network_id),
            (exceptions.BadRequest, client.create_access_rule, share_id, "ip", CIDRS["v4"]),
            (exceptions.Forbidden, self.admin_shares_v2_client.delete_share_server, server_id),
        ):
            self.assertRaises(refusal, call, *arguments)
        self.assertRaises(
            exceptions.Conflict, client.create_subnet, network_id, **self.subnets["more"]
        )
        self.assertRaises(
            exceptions.Conflict, client.update_share_network, network_id, name="another"
        )
        client.extend_share(share_id, 2)  # accepted, and done afterwards
        self.plan()
        self.assertEqual("active", self.settled(network_id)["status"])
        waiters.wait_for_resource_status(client, share_id, "available")
        self.assertEqual(2, client.get_share(share_id)["share"]["size"])
        self._assert_an_address_on_each(share_id, "v4", "v6")

    def _ask_for_a_share(self, network_id):
        self.shares_v2_client.create_share(share_type_id=self.type_id, share_network_id=network_id)

    def _assert_an_address_on_each(self, share_id, *names):
        """One export location for each of these subnets, in their order."""
        addresses = [path.partition(":/")[0].strip("[]") for path in self.paths(share_id)]
        self.assertEqual(
            [CIDRS[name] for name in names], [_subnet_of(address) for address in addresses]
        )


def _subnet_of(address):
    return str(ip_network(f"{address}/{64 if ':' in address else 24}", strict=False))
