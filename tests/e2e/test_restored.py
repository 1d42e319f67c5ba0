"""The whole of an installation is lost but for its pool and a backup: restored on a bare state
directory, the same shares are served to a client."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from abaca.drivers.linux import inventory
from tests.clients.test_hanging_driver import Client
from tests.contracts.drivers.linux_backend import probe, unavailable_reason
from tests.e2e.test_reboot import Machine, make_shares
from tests.service import installation, wait_until

pytestmark = [
    pytest.mark.sampled_file(8),
    pytest.mark.root,
    pytest.mark.slow("an installation is started twice, on real file servers"),
    pytest.mark.timeout(400),
]

POOL_BYTES = 8 * 2**30  # sparse


def run(*command: str | Path) -> str:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout + done.stderr


@pytest.fixture
def machine() -> Iterator[Machine]:
    """With a pool of the administrator's own, outside of the state directory."""
    if reason := unavailable_reason():
        pytest.skip(reason)
    with installation() as made:
        image, pool = made.folder / "image", made.folder / "pool"
        pool.mkdir()
        with image.open("wb") as file:
            file.truncate(POOL_BYTES)
        run("mkfs.btrfs", "-q", image)
        run("mount", "-o", "loop", image, pool)
        made.configure(
            "[DEFAULT]\nenabled_share_backends = linux\n"
            f"[linux]\nshare_driver = linux\npool_path = {pool}\n"
        )
        machine = Machine(made)
        with ExitStack() as undo:  # each, whatever happens to the others
            undo.callback(run, "umount", pool)
            undo.callback(
                inventory.remove_installation, machine.namespace, machine.worker_dir, pool
            )
            undo.callback(lambda: made.has_ended() or made.stop())
            yield machine


def locations(client: Client, share: str) -> list[str]:
    found = client("GET", f"/v2/shares/{share}/export_locations")[1]["export_locations"]
    return sorted(each["path"] for each in found)


def test_the_same_shares_are_served_again(machine: Machine) -> None:
    made = machine.made
    made.start()
    client = Client(made)
    network, shares = make_shares(client)
    paths = {share: locations(client, share) for share in shares}
    netns = machine.client(network)
    for share in shares:
        wait_until(
            lambda: probe(netns, "write", paths[share][0], "kept", share)["ok"],  # noqa: B023
            "the share to be written",
        )
    archive = made.folder / "backup.tar"
    run(*made.command("backup", str(archive)))
    machine.reboot()
    shutil.rmtree(made.state_dir)

    assert "It fits" in run(*made.command("restore", "--check", str(archive)))
    run(*made.command("restore", str(archive)))
    made.start()
    client = Client(made)  # with the password of before
    netns = machine.client(network)
    for share in shares:
        assert client("GET", f"/v2/shares/{share}")[1]["share"]["status"] == "available"
        assert locations(client, share) == paths[share]
        for path in paths[share]:
            answer = probe(netns, "read", path, "kept")
            assert answer == {"ok": True, "text": share}, answer
        assert probe(netns, "write", paths[share][0], "new", "more")["ok"]
