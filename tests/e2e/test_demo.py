"""The demonstration's steps as tests: real processes, the real `openstack` command, real NFS over
IPv4 and IPv6 from clients' namespaces. Between them a share that is exported on chosen subnets.
The command is preloaded; `test_ipv6_only` starts it as a user does.

One play, in order: a step that fails makes the next ones fail.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from abaca.admin import demo, demo_steps
from abaca.admin.demo_scene import Scene, StepFailed
from abaca.admin.demo_steps import Play
from tests.e2e.played import played

pytestmark = [
    pytest.mark.play,
    pytest.mark.root,
    pytest.mark.slow("the demonstration as a user sees it, commands included"),
    pytest.mark.timeout(600),
]

BLUE_V6 = demo_steps.SUBNETS["blue", 6][0]


@pytest.fixture(scope="module")
def play() -> Iterator[Play]:
    with played(lambda: Scene(print)) as play:
        yield play


def test_abaca_starts_with_its_embedded_default(play: Play) -> None:
    demo_steps.start(play)
    assert play.empty["namespaces"] == [play.scene.namespace]


def test_a_share_stands_on_an_ipv4_and_an_ipv6_subnet(play: Play) -> None:
    demo_steps.make(play)


def test_clients_use_the_share_within_its_rules_and_its_size(play: Play) -> None:
    demo_steps.use(play)


class Bound:
    """The share `bound`, which is exported on chosen subnets, and its mountable snapshot."""

    def __init__(self, play: Play) -> None:
        self._play = play
        self.share = str(play.scene.openstack_json("share", "show", "bound")["id"])

    def paths(self, what: str = "share") -> list[str]:
        """Of the share, or of its `share snapshot`, as a user is shown them."""
        listed = self._play.scene.openstack_json(
            *what.split(), "export", "location", "list", "bound"
        )
        return [each["Path"] for each in listed]

    def at(self, of_docs: str) -> str:
        """What a client would ask for where the share `docs` is reached by that path: an address
        of the share server, and what is behind it."""
        own = self._play.scene.get(f"/v2/shares/{self.share}/export_locations")["export_locations"]
        return f"{of_docs.split(':/')[0]}:/{own[0]['path'].split(':/')[1]}"

    def is_refused(self, client: str, path: str) -> bool:
        return not self._play.scene.nfs(self._play.clients[client], "mount", path)["ok"]


def test_a_share_is_exported_on_a_chosen_subnet_only(play: Play) -> None:
    scene = play.scene
    offers = ("--snapshot-support", "true", "--mount-snapshot-support", "true")
    scene.openstack("share", "type", "create", "bound", "true", *offers)
    choice = ("--property", f"export_subnets={BLUE_V6}")
    what = ("--name", "bound", "--share-type", "bound", "--share-network", "blue", *choice)
    scene.openstack("share", "create", *what, "NFS", "1")
    bound = Bound(play)
    scene.until_status("shares", bound.share, "available")
    scene.openstack("share", "access", "create", "bound", "ip", "::/0")
    rules = f"/v2/share-access-rules?share_id={bound.share}"
    scene.until(
        lambda: [rule["state"] for rule in scene.get(rules)["access_list"]] == ["active"],
        60,
        "the rule to be active",
    )
    (path,) = bound.paths()
    assert path.split(":/")[0] == play.location(6).split(":/")[0]
    written = scene.nfs(play.clients["blue-client"], "write", path, demo_steps.FILE, "bound")
    assert written["ok"], written
    assert bound.is_refused("blue-client", bound.at(play.location(4)))


def test_subnets_are_added_while_a_client_works(play: Play) -> None:
    demo_steps.add_subnet_in_use(play)


def test_an_added_subnet_does_not_widen_a_choice_and_a_change_moves_exports(play: Play) -> None:
    scene, bound = play.scene, Bound(play)
    blue, green = bound.at(play.location(6)), bound.at(play.location(6, 1))
    assert bound.paths() == [blue]
    assert bound.is_refused("green-client", green)
    snapshot = scene.openstack_json("share", "snapshot", "create", "--name", "bound", "bound")["id"]
    scene.until_status("snapshots", snapshot, "available")
    (of_snapshot,) = bound.paths("share snapshot")
    assert of_snapshot.startswith(blue.split("/")[0])
    green_v6 = play.added_subnets[-1]
    scene.openstack("share", "set", "bound", "--property", f"export_subnets={green_v6}")
    scene.until(
        lambda: bound.paths() == [green], 60, "the share to be exported on the other subnet"
    )
    moved = of_snapshot.replace(blue.split("/")[0], green.split("/")[0])
    scene.until(lambda: bound.paths("share snapshot") == [moved], 60, "its snapshot to follow")
    for path in (green, moved):
        answer = scene.nfs(play.clients["green-client"], "read", path, demo_steps.FILE)
        assert answer.get("text") == "bound", answer
    assert bound.is_refused("blue-client", blue)
    with pytest.raises(StepFailed, match=f"(?s)409.*{bound.share}|{bound.share}.*409"):
        scene.openstack("share", "network", "subnet", "removal", "force", "blue", green_v6)
    scene.openstack("share", "snapshot", "delete", "bound")
    scene.until(lambda: not scene.get("/v2/snapshots")["snapshots"], 60, "the snapshot to go")
    scene.openstack("share", "delete", "bound")
    scene.until(lambda: len(scene.get("/v2/shares")["shares"]) == 1, 60, "the share to go")
    scene.openstack("share", "type", "delete", "bound")


def test_a_subnet_is_removed_while_a_client_on_another_one_works(play: Play) -> None:
    demo_steps.remove_subnet_in_use(play)


def test_everything_is_deleted_and_nothing_is_left(play: Play) -> None:
    demo_steps.delete(play)


def test_without_root_the_demonstration_says_what_is_missing() -> None:
    command = [sys.executable, "-m", "abaca.admin.cli", "demo"]
    user = "nobody" if os.geteuid() == 0 else None
    done = subprocess.run(
        command, user=user, cwd="/", capture_output=True, text=True, timeout=60, check=False
    )
    if "Permission denied" in done.stderr or "No module named" in done.stderr:
        pytest.skip("nobody cannot read this clone or its Python")
    assert done.returncode == demo.CANNOT
    assert "- root: the worker must run as root" in done.stderr
