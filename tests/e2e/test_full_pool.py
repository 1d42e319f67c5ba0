"""A pool that its clients have filled, and one that has become read-only: what clients and the API
see, and that all is well when that is over."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from abaca.domain.services import services
from abaca.domain.snapshots import snapshots
from tests.contracts.drivers.linux_backend import probe
from tests.e2e.conftest import Install, Site
from tests.operations.scene import allow, delete_share, settled_rules, told
from tests.stack import MEMBER, wait_for

pytestmark = [
    pytest.mark.sampled_file(8),
    pytest.mark.root,
    pytest.mark.slow("a pool is filled by a client"),
    pytest.mark.timeout(300),
]

V4, V6 = "10.75.0.0/24", "fd00:75::/64"
MIB = 1024**2
TEXT = "0123456789abcdef" * 64  # 1 KiB


def pool_of(site: Site, backend: str) -> Path:
    return Path(site.stack.conf.state_dir, "worker", backend, "pool")


def fill(file: Path) -> None:
    """As a tenant's large file would, until nothing more fits."""
    with open(file, "wb") as filling:
        size, step = 0, 256 * MIB
        while step >= MIB // 4:
            try:
                os.posix_fallocate(filling.fileno(), size, step)
                size += step
            except OSError:
                step //= 2
        os.fsync(filling.fileno())
    assert size > 400 * MIB


def is_up(site: Site, backend: str) -> bool:
    (service,) = site.stack.ask(lambda conn: services.find(conn, {"host": f"host1@{backend}"}))
    return bool(service["state"] == "up")


def test_a_full_pool_refuses_new_data_and_shares_and_nothing_else(install: Install) -> None:
    # a few are made before the figures say no
    site = install(2, {"pool_size_gib": "1", "max_over_subscription_ratio": "100"})
    stack = site.stack
    v4, v6 = stack.network(V4, V6)
    network = stack.share_network(v4, v6)
    greedy, modest = (site.share(network, share_type="b1", size=size) for size in (3, 1))
    elsewhere = site.share(network, share_type="b2")
    client = site.client("client", v4, V4, V6)
    (location, _), (greedy_location, _), (other_location, _) = (
        stack.paths(id_) for id_ in (modest, greedy, elsewhere)
    )
    assert probe(client, "write", location, "kept", TEXT)["ok"]
    pool = pool_of(site, "b1")
    (folder,) = (path for path in pool.glob("*/*") if path.name in greedy_location)
    fill(folder / "large")

    refused = probe(client, "write", location, "more", TEXT, "--times", "20000")
    assert not refused["ok"] and "NOSPC" in refused["error"], refused
    assert probe(client, "read", location, "kept") == {"ok": True, "text": TEXT}
    assert probe(client, "write", other_location, "kept", TEXT)["ok"], "the other back end"
    allow(stack, modest, "10.75.0.7", "ro")
    assert settled_rules(stack, modest) == "active"
    assert is_up(site, "b1")
    # once its figures have been reported
    wait_for(lambda: stack.settled_share(stack.share(network, share_type="b1")) == "error", 30)
    assert "no room for 1 GiB" in told(stack)[0]

    assert probe(client, "remove", greedy_location, "large")["ok"], (
        "space is given back as it was taken"
    )
    wait_for(lambda: probe(client, "write", location, "more", TEXT, "--times", "200")["ok"], 60)
    wait_for(lambda: stack.settled_share(stack.share(network, share_type="b1")) == "available", 60)
    delete_share(stack, greedy)
    assert probe(client, "read", location, "kept")["ok"]


def test_a_pool_that_has_become_read_only_takes_its_back_end_down_and_no_other(
    install: Install,
) -> None:
    site = install(2)
    stack = site.stack
    v4, v6 = stack.network(V4, V6)
    network = stack.share_network(v4, v6)
    id_, other = (site.share(network, share_type=name) for name in ("b1", "b2"))
    client = site.client("client", v4, V4, V6)
    pool = pool_of(site, "b1")
    subprocess.run(["mount", "-o", "remount,ro", str(pool)], check=True)
    wait_for(lambda: not is_up(site, "b1"))
    assert is_up(site, "b2")
    site.assert_served(client, stack.paths(other))
    wait_for(lambda: is_up(site, "b1"), 60)
    site.assert_served(client, stack.paths(id_))


def test_a_snapshot_that_would_cost_another_its_room_ends_in_error(install: Install) -> None:
    """Its project is told its own sizes; neither share notices."""
    site = install(1)
    stack = site.stack
    v4, v6 = stack.network(V4, V6)
    network = stack.share_network(v4, v6)
    stack.share_type("snapshots", snapshot_support="True")
    mine, other = (site.share(network, share_type="snapshots") for _ in range(2))
    client = site.client("client", v4, V4, V6)
    (location, _), (other_location, _) = (stack.paths(id_) for id_ in (mine, other))
    folder = next(path for path in pool_of(site, "b1").glob("*/*") if path.name in location)
    with open(folder / "large", "wb") as file:
        os.posix_fallocate(file.fileno(), 0, 800 * MIB)
        os.fsync(file.fileno())
    snapshot = stack.snapshot(mine)
    assert stack.settled_snapshot(snapshot) == "error"
    (text,) = told(stack)
    assert "it would keep what the share holds, 0.78 GiB, beside the share's size of 1 GiB" in text
    for path in (location, other_location):
        assert probe(client, "write", path, "more", TEXT, "--times", "20")["ok"]
    stack.do(snapshots.delete, MEMBER, snapshot)
    assert stack.settled_snapshot(snapshot) == "gone"
