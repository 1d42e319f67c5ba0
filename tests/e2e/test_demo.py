"""The demonstration's steps as tests: real processes, the real `openstack` command, real NFS over
IPv4 and IPv6 from clients' namespaces.

One play, in order: a step that fails makes the next ones fail.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from abaca.admin import demo, demo_steps
from abaca.admin.demo_scene import Scene
from abaca.admin.demo_steps import Play

pytestmark = [
    pytest.mark.play,
    pytest.mark.root,
    pytest.mark.slow("the demonstration as a user sees it, commands included"),
    pytest.mark.timeout(600),
]


@pytest.fixture(scope="module")
def play() -> Iterator[Play]:
    """The scene, taken away afterwards; then nothing of it may be on this machine."""
    lacking = demo.lacks()
    if lacking:
        pytest.skip("; ".join(lacking))
    scene = Scene(print)
    try:
        yield Play(scene, print)
    finally:
        print(scene.log_tail())
        scene.remove()
    assert not any(scene.leftovers().values())


def test_abaca_starts_with_its_embedded_default(play: Play) -> None:
    demo_steps.start(play)
    assert play.empty["namespaces"] == [play.scene.namespace]


def test_a_share_stands_on_an_ipv4_and_an_ipv6_subnet(play: Play) -> None:
    demo_steps.make(play)


def test_clients_use_the_share_within_its_rules_and_its_size(play: Play) -> None:
    demo_steps.use(play)


def test_subnets_are_added_while_a_client_works(play: Play) -> None:
    demo_steps.add_subnet_in_use(play)


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
