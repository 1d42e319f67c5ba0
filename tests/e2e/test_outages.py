"""What clients and the API see when what stands under the service fails by itself: an NFS server dies or hangs."""

from __future__ import annotations

import os
import signal

import pytest

from tests.contracts.drivers.linux_backend import probe
from tests.e2e.conftest import Install
from tests.stack import wait_for

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(300)]

V4, V6 = "10.73.0.0/24", "fd00:73::/64"
QUICK = {"answer_seconds": "2"}
NOTICED_SECONDS = 90  # quiet machines need 2 s, or 15 s for one that hangs


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["dies", "hangs"])
def test_an_nfs_server_that_fails_by_itself_is_started_again_and_no_other_is(install: Install, number: signal.Signals) -> None:
    site = install(1, QUICK, **{"worker.watch_interval": 0.5})
    stack = site.stack
    v4, v6 = stack.network(V4, V6)
    ids = [site.share(stack.share_network(v4, v6)) for _ in range(2)]
    client = site.client("client", v4, V4, V6)
    (hit, other), location = map(site.file_server, ids), stack.paths(ids[0])[0]
    os.kill(hit, number)
    wait_for(lambda: site.file_server(ids[0]) not in (0, hit), NOTICED_SECONDS)
    wait_for(lambda: probe(client, "mount", location)["ok"], NOTICED_SECONDS)
    site.assert_served(client, stack.paths(ids[0]))
    assert site.file_server(ids[1]) == other
