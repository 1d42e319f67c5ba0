"""`abaca uninstall` on real file servers: interrupted after any of its steps it goes on. Nothing of
another installation, or of anybody else, is touched."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner, Result

from abaca import config
from abaca.admin import cli, state_dir, uninstall
from abaca.drivers.linux import inventory
from abaca.drivers.linux.driver import LinuxDriver
from abaca.drivers.linux.inventory import Step, leftovers
from abaca.values import Share
from tests.contracts.drivers import linux_backend
from tests.contracts.drivers.linux_site import BOTH, Site
from tests.service import reachable_folder

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow("two back ends are set up, and one is taken away again and again"),
]


class Killed(Exception):
    """Where a test ends the command."""


class Installation(NamedTuple):
    """A state directory with its configuration, a back end that serves one share, and the folder
    of its shares in a pool that both use."""

    folder: Path
    driver: LinuxDriver
    share: Share
    pool: Path

    @property
    def worker(self) -> Path:
        return self.folder / "state" / "worker"

    @property
    def namespace(self) -> str:
        return self.driver.layout.namespace

    def left(self) -> dict[str, list[str]]:
        there = leftovers(self.namespace, self.worker, self.pool)
        return {kind: found for kind, found in there.items() if found}

    def arguments(self) -> list[str]:
        file = self.folder / "abaca.conf"
        return ["--config-file", str(file), "--state-dir", str(self.folder / "state")]

    def call(self, *options: str, given: str | None = None) -> Result:
        return CliRunner().invoke(cli.main, ["uninstall", *options, *self.arguments()], input=given)


def installed(folder: Path, pool: Path) -> Installation:
    namespace = f"t{uuid.uuid4().hex[:8]}"
    options = {"namespace": namespace, "pool_path": str(pool)}
    folder.mkdir()
    (folder / "abaca.conf").write_text(
        "[DEFAULT]\nenabled_share_backends = linux\n[linux]\nshare_driver = linux\n"
        + "".join(f"{name} = {value}\n" for name, value in options.items())
    )
    conf = config.load([str(folder / "abaca.conf")], {"state_dir": str(folder / "state")})
    state_dir.prepare(conf)
    driver = linux_backend.make_linux_driver(
        folder, **options, state_dir=str(folder / "state" / "worker")
    )
    site = Site(driver)
    share = site.share(site.server(*BOTH))
    site.data(share).joinpath("kept").write_text("text")
    return Installation(folder, driver, share, pool)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Installation, Installation]]:
    if reason := linux_backend.unavailable_reason():
        pytest.skip(reason)
    host = linux_backend.make_linux_driver(tmp_path_factory.mktemp("uninstall"))
    pool = linux_backend.btrfs_pool(host).root
    made: list[Installation] = []
    with reachable_folder() as folder:
        try:
            for name in ("ours", "theirs"):
                made.append(installed(folder / name, pool))
            yield made[0], made[1]
        finally:
            for each in made:
                inventory.remove_installation(each.namespace, each.worker, pool)
            linux_backend.cleanup(host)


def test_interrupted_anywhere_it_goes_on_and_touches_nothing_else(
    two: tuple[Installation, Installation],
) -> None:
    ours, theirs = two
    of_others, before = ours.pool / "of-others", theirs.left()
    of_others.write_text("others'")
    assert ours.left() and before
    conf = config.load([str(ours.folder / "abaca.conf")], {"state_dir": str(ours.folder / "state")})

    assert ours.call("--dry-run").exit_code == 0 and ours.left()["processes"]
    assert theirs.left() == before
    everything = uninstall.steps(conf, with_data=True, with_state=True)
    told: list[str] = []

    def kill(step: Step, there: list[str]) -> None:
        told.append(step.what)
        raise Killed

    while True:
        try:
            uninstall.carry_out(uninstall.steps(conf, with_data=True, with_state=True), kill)
            break
        except Killed:
            assert len(told) <= len(everything), told
    assert len(told) >= 10 and len(set(told)) == len(told), told

    assert ours.left() == {} and not (ours.folder / "state").exists()
    assert not (ours.pool / ours.namespace).exists() and not ours.driver.layout.run.exists()
    assert (ours.folder / "abaca.conf").exists() and of_others.read_text() == "others'"
    assert theirs.left() == before
    assert (theirs.pool / theirs.namespace / theirs.share.id / "kept").read_text() == "text"
    assert "Nothing is left." in ours.call("--data", "--state", "--yes").output


def test_without_data_shares_stay_and_are_served_again(
    two: tuple[Installation, Installation],
) -> None:
    _, theirs = two
    refused = theirs.call("--state", "--yes")
    assert refused.exit_code == 1 and "with --state give --data, too" in refused.output
    assert theirs.call("--yes", "--json").exit_code == 0
    assert set(theirs.left()) <= {"subvolumes", "exports"}
    assert (theirs.folder / "state" / ".pools").read_text() == f"{theirs.pool / theirs.namespace}\n"
    new = LinuxDriver(
        "linux",
        {
            "namespace": theirs.namespace,
            "pool_path": str(theirs.pool),
            "state_dir": str(theirs.worker),
        },
    )
    new.check_for_setup_error()
    kept = theirs.pool / theirs.namespace / theirs.share.id / "kept"
    assert kept.read_text() == "text"
    report = json.loads(theirs.call("--data", "--yes", "--json").output)
    assert report["left"] == [] and not kept.exists()
    assert any("shares and snapshots" in each["what"] for each in report["removed"])
    assert os.path.exists(theirs.folder / "state" / "key")
