"""Drivers that keep each share on a share server refuse every call about a share or a snapshot that
names none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from abaca.drivers.fake import FakeDriver
from abaca.drivers.interface import ShareDriver
from abaca.drivers.linux.driver import LinuxDriver
from abaca.errors import Refused
from abaca.values import Share, Snapshot

SHARE = Share(id="instance", share_id="share", size=1, share_proto="NFS", pool="pool")
SNAPSHOT = Snapshot(
    id="snapshot-instance", snapshot_id="snapshot", share=SHARE, size=1, is_mountable=True
)

CALLS: dict[str, Callable[[ShareDriver], object]] = {
    "create_share": lambda driver: driver.create_share(SHARE, None),
    "delete_share": lambda driver: driver.delete_share(SHARE, None),
    "extend_share": lambda driver: driver.extend_share(SHARE, 2, None),
    "shrink_share": lambda driver: driver.shrink_share(SHARE, 1, None),
    "update_access": lambda driver: driver.update_access(SHARE, [], None),
    "create_snapshot": lambda driver: driver.create_snapshot(SNAPSHOT, None),
    "delete_snapshot": lambda driver: driver.delete_snapshot(SNAPSHOT, None),
    "create_share_from_snapshot": lambda driver: driver.create_share_from_snapshot(
        SHARE, SNAPSHOT, None
    ),
    "revert_to_snapshot": lambda driver: driver.revert_to_snapshot(SNAPSHOT, SHARE, None),
    "update_snapshot_access": lambda driver: driver.update_snapshot_access(SNAPSHOT, [], None),
}


@pytest.fixture(params=["fake", "linux"])
def driver(request: pytest.FixtureRequest, tmp_path: Path) -> ShareDriver:
    if request.param == "fake":
        return FakeDriver("one", {})
    return LinuxDriver("one", {"state_dir": str(tmp_path), "namespace": "nobody-makes-this"})


@pytest.mark.parametrize("method", CALLS)
def test_a_call_without_a_server_is_refused(driver: ShareDriver, method: str) -> None:
    with pytest.raises(Refused, match="driver_handles_share_servers=True"):
        CALLS[method](driver)
