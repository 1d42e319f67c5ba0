"""A worker that is away for long: what can wait for it is put in and done when it returns; what
cannot is answered with what the caller can do."""

from __future__ import annotations

import pytest

from abaca.domain.services import services
from abaca.domain.shares import shares
from abaca.errors import Conflict, ServiceDown
from tests.operations.conftest import Install
from tests.operations.scene import (
    allow,
    available_share,
    enforced,
    network,
    settled_rules,
    share,
    told,
    world,
)
from tests.stack import MEMBER


def test_work_waits_for_its_worker_and_the_rest_is_told(install: Install) -> None:
    stack = install(service_down_time=2)
    first, second = stack.network("10.1.0.0/24", "10.2.0.0/24")
    with stack.working():
        share_network = stack.share_network(first)
        grown, doomed = (available_share(stack, share_network) for _ in range(2))
    stack.wait(lambda conn: services.find(conn, {})[0]["state"] == "down")

    stack.do(shares.extend, MEMBER, grown, 3)
    stack.do(shares.delete, MEMBER, doomed)
    assert (share(stack, grown)["status"], share(stack, doomed)["status"]) == (
        "extending",
        "deleting",
    )
    lost = stack.share(share_network)
    assert share(stack, lost)["status"] == "error"
    assert "all back ends are down or disabled" in told(stack)[0], (
        "and a later request may be placed"
    )
    with pytest.raises(ServiceDown, match="host1@alpha is down; try again when it is up"):
        stack.add_subnet(share_network, second)
    with pytest.raises(Conflict, match="is down"):
        stack.do(services.ensure_shares, "host1@alpha")
    assert network(stack, share_network)["status"] == "active"

    with stack.working():
        assert (stack.settled_share(grown), stack.settled_share(doomed)) == ("available", "gone")
        assert share(stack, grown)["size"] == 3
        allow(stack, grown, "10.0.0.0/8")
        assert settled_rules(stack, grown) == "active" and enforced(stack, grown) == {"10.0.0.0/8"}
        assert len(world(stack)["shares"]) == 1
        stack.do(shares.delete, MEMBER, lost)
        assert stack.settled_share(lost) == "gone"
        stack.add_subnet(share_network, second)
        assert stack.settled_network(share_network) == "active"
        available_share(stack, share_network)
