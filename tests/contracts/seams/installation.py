"""An installation that is nothing but names and folders, so that the seams of the Linux driver are
tried alone."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from abaca.drivers.linux import mounts
from abaca.drivers.linux.back_end import DEFAULTS
from abaca.drivers.linux.inventory import leftovers, remove_installation
from abaca.drivers.linux.layout import Layout
from abaca.drivers.linux.pools import file_systems
from abaca.drivers.linux.pools.interface import FileSystems
from tests.contracts.drivers import linux_backend

POOL_GIB = "12"


def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Layout]:
    """For a fixture: names and folders, taken away in the end with everything that was made by
    them. Skips, saying what is missing."""
    if reason := linux_backend.unavailable_reason():
        pytest.skip(reason)
    made = Layout(f"t{uuid.uuid4().hex[:8]}", tmp_path_factory.mktemp("seam") / "state", "linux")
    made.prepare()
    yield made
    remove_installation(made.namespace, made.state_dir)
    left = {
        kind: found for kind, found in leftovers(made.namespace, made.state_dir).items() if found
    }
    assert not left, f"left on this machine: {left}"


def pools(layout: Layout, **options: str) -> FileSystems:
    """The pools of an installation as a new worker would have them; not yet prepared."""
    chosen = {**DEFAULTS, "pool_size_gib": POOL_GIB, "pool_sparse": "true", **options}

    def end_users(server_id: str) -> None:
        mounts.unmount(layout.server(server_id).mounts)

    return file_systems.chosen(chosen, layout, 1, end_users, guard=lambda: None)
