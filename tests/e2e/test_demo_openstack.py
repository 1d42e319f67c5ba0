"""The demonstration beside a real Keystone and Neutron, as tests: clients on Neutron's flat
networks, real NFS, the unmodified `openstack` command. The third tutorial has its reader look
around before everything is deleted; so its commands are run there.

One play, in order: a step that fails makes the next ones fail.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from abaca.admin import demo_steps
from abaca.admin.demo_steps import Play
from tests.clients.preloaded import preloaded_openstack
from tests.e2e.played import played
from tests.e2e.tutorial_pages import FIRST_LINES, TUTORIALS, blocks_of, marked, output_of
from tests.openstack.demo import (
    OpenstackScene,
    delete,
    make,
    neighbours,
    remove_subnet_in_use,
    start,
)
from tests.service import PATIENCE

pytestmark = [
    pytest.mark.sampled_file(8),
    pytest.mark.play,
    pytest.mark.root,
    pytest.mark.slow("the demonstration beside a real Keystone and Neutron"),
    pytest.mark.timeout(600),
]

PAGE = "keystone-and-neutron.md"
STARTS, OPENS_A_TERMINAL, ASKS = "make demo-openstack KEEP=1", "export PATH=", "--check-only"
MESSAGES = "openstack share message list"


@pytest.fixture(scope="module")
def play(
    keystone_template: Path, neutron_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Play]:
    with (
        neighbours(
            tmp_path_factory.mktemp("neighbours"), keystone_template, lambda: neutron_template
        ) as keystone,
        played(lambda: OpenstackScene(print, keystone)) as play,
    ):
        yield play


def test_abaca_starts_beside_keystone_and_neutron(play: Play) -> None:
    start(play)


def test_a_share_stands_on_an_ipv4_and_an_ipv6_subnet_of_neutrons(play: Play) -> None:
    make(play)


def test_clients_on_the_flat_network_use_the_share_within_its_rules(play: Play) -> None:
    demo_steps.use_within_rules(play)


def test_neutrons_subnets_are_added_while_a_client_works(play: Play) -> None:
    demo_steps.add_subnet_in_use(play)


def test_a_subnet_of_neutrons_is_removed_while_a_client_on_another_one_works(play: Play) -> None:
    remove_subnet_in_use(play)


def as_script(commands: list[str]) -> str:
    """One script of all blocks. Where a reader asks again, it waits for the message of the one
    check: the answer is kept for ten seconds only, which a busy machine may miss."""
    parts = [FIRST_LINES]
    for number, text in enumerate(commands):
        parts.append(marked(number))
        if not text.startswith(STARTS):
            parts.append(text)
        if ASKS in text:
            # asking again could have another check begin, and its message come after the clean-up
            parts.append("TRIES=0\n")
            parts.append(f"until {MESSAGES} | grep overlap; do\n")
            parts.append("[ $((++TRIES)) -lt 100 ]\nsleep 0.2\ndone\n")
    return "".join(parts)


def test_the_commands_of_the_third_tutorial_do_what_its_page_says(play: Play) -> None:
    commands = blocks_of(PAGE).commands
    plain = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
    programs = preloaded_openstack().parent, Path(sys.executable).parent
    path = {"PATH": ":".join([*map(str, programs), plain["PATH"]])}
    done = subprocess.run(
        ["bash", "-c", as_script(commands)],
        env=plain | path | play.scene.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300 * PATIENCE,
        check=False,
    )
    said = done.stdout
    assert done.returncode == 0, said

    def block(beginning: str) -> str:
        (number,) = (at for at, text in enumerate(commands) if text.startswith(beginning))
        return output_of(said, number)

    assert "shared-file-system" in block(OPENS_A_TERMINAL)
    paths = block("openstack share list").count(":/")
    ports = block("openstack port list").count("ip_address=")
    assert paths == ports == 3, said
    assert "compatible" in block("openstack network create red")
    configuration = block("cat ")
    (table,) = re.findall(r"^\| setting.*?\n\n", (TUTORIALS / PAGE).read_text(), re.M | re.S)
    shown = [
        part for text in re.findall(r"`([^`]+)`", table) for part in re.split(r"(?<=\]) ", text)
    ]
    assert len(shown) == 8 and [part for part in shown if part not in configuration] == []
    assert "overlap" in block(MESSAGES), said


def test_everything_is_deleted_and_neutron_has_no_port_left(play: Play) -> None:
    delete(play)
