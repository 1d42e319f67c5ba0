"""An installation of the time before several subnets, with live servers, is upgraded: they are served, and can grow once allowed to."""

from __future__ import annotations

import pytest

from abaca import config
from abaca.db import migrations
from abaca.domain import share_servers, shares
from abaca.errors import Conflict
from tests.operations.conftest import Install
from tests.operations.scene import all_servers, available_share
from tests.operations.test_manage import manage
from tests.stack import MEMBER


def test_servers_of_the_baseline_live_on_and_learn_to_grow(install: Install) -> None:
    stack = install()
    url = config.database_url(stack.conf)
    with stack.working():
        share_network = stack.share_network(*stack.network("10.1.0.0/24"))
        share = available_share(stack, share_network)
        paths = stack.paths(share)
    stack.engine.dispose()
    migrations.downgrade(url, "0001")
    migrations.upgrade(url)
    server = all_servers(stack)[0]
    assert (server.status, server.network_allocation_update_support) == ("active", False)
    assert len(stack.ask(share_servers.get, server.id)["share_network_subnet_ids"]) == 1
    second = stack.network("10.2.0.0/24")[0]
    with stack.working():
        assert stack.ask(shares.get, MEMBER, share)["status"] == "available"
        with pytest.raises(Conflict, match="network_allocation_update_support"):
            stack.add_subnet(share_network, second)
        capability = ("--capabilities", "network_allocation_update_support", "--value", "true", "--check-driver")
        answer = manage(stack, "share_server", "update_share_server_capabilities", "--share_servers", server.id, *capability)
        assert answer.exit_code == 0, answer.output
        stack.add_subnet(share_network, second)
        assert stack.settled_network(share_network) == "active"
        assert stack.paths(share)[:1] == paths and len(stack.paths(share)) == 2
