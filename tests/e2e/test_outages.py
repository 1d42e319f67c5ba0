"""What clients and the API see when what is under the service fails by itself: an NFS server
dies or hangs."""

from __future__ import annotations

import os
import signal

import pytest

from abaca.drivers.linux.file_services.nfs.nfs4 import Nfs4Error
from tests.contracts.drivers.linux_backend import probe
from tests.e2e.conftest import Install
from tests.nfs4.client import Client, Client40, Client41, patiently
from tests.stack import wait_for

pytestmark = [
    pytest.mark.sampled_file(8),
    pytest.mark.root,
    pytest.mark.slow("clients wait out a grace period"),
    pytest.mark.timeout(300),
]

V4, V6 = "10.73.0.0/24", "fd00:73::/64"
NEVER, OFTEN = 3600.0, 0.5  # seconds between two looks whether servers serve
NOTICED_SECONDS = 90  # quiet machines need less than 1 s, or 10 s for one that hangs


@pytest.mark.parametrize(
    ("number", "looks"), [(signal.SIGKILL, NEVER), (signal.SIGSTOP, OFTEN)], ids=["dies", "hangs"]
)
def test_an_nfs_server_that_fails_by_itself_is_started_again_and_no_other_is(
    install: Install, number: signal.Signals, looks: float
) -> None:
    site = install(1, {"answer_seconds": "2"}, **{"worker.watch_interval": looks})
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


def test_clients_keep_their_opens_and_locks_when_their_nfs_server_is_killed(
    install: Install,
) -> None:
    """Of every minor version, side by side. They do what Linux does: connect at once, then after 3
    s, and reclaim."""
    site = install(1, **{"worker.watch_interval": NEVER})
    pair = site.stack.network(V4)[0]
    share = site.share(site.stack.share_network(pair))
    address, path = site.stack.paths(share)[0].split(":", 1)
    netns = site.client("client", pair, V4)
    clients: list[Client] = [kind(netns, address) for kind in (Client40, Client41, Client41)]
    for number, client in enumerate(clients):
        client.establish()
        client.lock(
            patiently(
                lambda client=client, number=number: client.open(  # type: ignore[misc]
                    client.handle_of(path), f"file {number}", create=True
                )
            )
        )
    hit = site.file_server(share)
    os.kill(hit, signal.SIGKILL)
    wait_for(lambda: site.file_server(share) not in (0, hit), NOTICED_SECONDS)
    for client in clients:
        client.persistently(lambda client=client: client.write(client.files[0], 0, b"written on"))  # type: ignore[misc]
    stranger, first = clients[1], clients[0]
    contested = patiently(
        lambda: stranger.open(stranger.handle_of(path), "file 0"),
        meanwhile=lambda: [client.renew() for client in clients],
    )
    assert stranger.read(contested) == b"written on"
    with pytest.raises(Nfs4Error, match="DENIED"):
        stranger.lock(contested)
    first.unlock(first.files[0], first.files[0].locks[0])
    stranger.lock(contested)
    for client in clients:
        client.leave()
