"""manila-tempest-plugin's tests of roles about messages, which make shares of a type without share
servers: run here with share networks."""

from __future__ import annotations

from manila_tempest_tests.common import waiters
from manila_tempest_tests.tests.rbac import test_user_messages as upstream
from tempest.lib.common.utils import data_utils


class OnShareNetworks:
    """Mixed into a class of tests: its shares find no back end for what their type asks for, not
    for want of a share network."""

    @classmethod
    def resource_setup(cls):
        client = cls.share_admin_client
        specs = {"driver_handles_share_servers": True, "key": "value"}
        cls.share_type = client.create_share_type(
            name=data_utils.rand_name("by-role"), extra_specs=specs
        )["share_type"]
        cls.addClassResourceCleanup(client.delete_share_type, cls.share_type["id"])

    def create_user_message(self, client, cleanup=True):
        network = client.create_share_network(name=data_utils.rand_name("by-role"))["share_network"]
        self.addCleanup(client.delete_share_network, network["id"])
        share = client.create_share(
            share_type_id=self.share_type["id"], share_network_id=network["id"]
        )["share"]
        self.addCleanup(client.wait_for_resource_deletion, share_id=share["id"])
        self.addCleanup(client.delete_share, share["id"])
        waiters.wait_for_resource_status(client, share["id"], "error")
        message = waiters.wait_for_message(client, share["id"])
        if cleanup:
            self.addCleanup(client.delete_message, message["id"])
        return message


class AdminTest(OnShareNetworks, upstream.ProjectAdminTests):
    pass


class MemberTest(OnShareNetworks, upstream.ProjectMemberTests):
    pass


class ReaderTest(OnShareNetworks, upstream.ProjectReaderTests):
    pass
