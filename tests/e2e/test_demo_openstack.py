"""The demonstration beside a real Keystone and Neutron, as tests: clients on Neutron's flat
networks, real NFS, the unmodified `openstack` command.

One play, in order: a step that fails makes the next ones fail.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from abaca.admin import demo, demo_steps
from abaca.admin.demo_steps import Play
from tests.openstack.demo import OpenstackScene, delete, make, neighbours, start

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def play(
    keystone_template: Path, neutron_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Play]:
    """The scene, taken away afterwards; then nothing of it may be on this machine."""
    if lacking := demo.lacks():
        pytest.skip("; ".join(lacking))
    with neighbours(
        tmp_path_factory.mktemp("neighbours"), keystone_template, lambda: neutron_template
    ) as keystone:
        scene = OpenstackScene(print, keystone)
        try:
            yield Play(scene, print)
        finally:
            print(scene.log_tail())
            scene.remove()
        assert not any(scene.leftovers().values())


def test_abaca_starts_beside_keystone_and_neutron(play: Play) -> None:
    start(play)


def test_a_share_stands_on_an_ipv4_and_an_ipv6_subnet_of_neutrons(play: Play) -> None:
    make(play)


def test_clients_on_the_flat_network_use_the_share_within_its_rules(play: Play) -> None:
    demo_steps.use_within_rules(play)


def test_neutrons_subnets_are_added_while_a_client_works(play: Play) -> None:
    demo_steps.add_subnet_in_use(play)


def test_everything_is_deleted_and_neutron_has_no_port_left(play: Play) -> None:
    delete(play)
