"""The first two tutorials, command by command as their pages say, against a service of their own.
The third one is played in `test_demo_openstack`.

What a reader does with eyes and hands is in `SCRIPT`: waits until a status is there, and has a
second terminal. Nothing else is added, and nothing left out but what installs Abaca.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from abaca import config
from abaca.admin import demo
from abaca.admin.ports import free_port
from abaca.drivers.linux import inventory, namespaces
from abaca.drivers.linux.clients import detach_client
from abaca.worker.backends import network_namespace
from tests.e2e.tutorial_pages import FIRST_LINES, blocks_of, marked, output_of
from tests.service import PATIENCE, reachable_folder, wait_until

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow("all commands of the tutorials"),
    pytest.mark.timeout(600),
]

INSTALLS, SERVES, KEEPS_BUSY = "apt install", "abaca serve", "while ip netns exec"
ADDS, CLEANS_UP = "GREEN=$(", "openstack share delete"
COPIES = '$(grep -c copied "$BUSY_LOG" || true)'
MORE_COPIES = f"""SEEN={COPIES}
until [ {COPIES} -gt $SEEN ]; do kill -0 $BUSY; sleep 0.1; done
"""


def as_script(commands: list[str]) -> str:
    """One script of all blocks. The first failing command ends it."""
    parts = [FIRST_LINES]
    for number, text in enumerate(commands):
        parts.append(marked(number))
        if text.startswith(KEEPS_BUSY):
            parts.append(f'( {text} ) > "$BUSY_LOG" 2>&1 &\nBUSY=$!\n')
            parts.append(f"until [ {COPIES} -gt 0 ]; do kill -0 $BUSY; sleep 0.1; done\n")
        elif text.startswith(ADDS):
            parts.append(f"TRIES=0\nuntil {text}do [ $((++TRIES)) -lt 100 ]; sleep 0.2; done\n")
            parts.append('STATUS="openstack share network show blue -f value -c status"\n')
            parts.append("until [ $($STATUS) = active ]; do sleep 0.2; done\n" + MORE_COPIES)
        elif text.startswith(CLEANS_UP):
            parts.append(f"{MORE_COPIES}kill $BUSY\nwait $BUSY || true\n{text}")
        elif not text.startswith((INSTALLS, SERVES)):
            parts.append(text)
    return "".join(parts)


class Reader:
    """Somebody with a machine: a folder for what the page keeps below /var/lib and /tmp, names that
    nobody else has, and a service.
    """

    def __init__(self, folder: Path) -> None:
        self.state_dir, self.log, self.folder = folder / "state", folder / "log", folder
        self.conf = config.load([os.devnull], {"state_dir": str(self.state_dir)})
        self.namespace = network_namespace(self.conf)
        self.clients = {name: f"t{self.namespace[5:]}-{name}" for name in ("laptop", "phone")}
        plain = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
        self.environment = plain | {
            "PATH": f"{Path(sys.executable).parent}:{plain['PATH']}",
            "OS_DEFAULT__STATE_DIR": str(self.state_dir),
            "OS_API__PORT": str(free_port()),
            "BUSY_LOG": str(folder / "busy"),
        }

    def own(self, text: str) -> str:
        """A page's text with what is this reader's in it."""
        text = text.replace("/tmp/", f"{self.folder}/")
        text = text.replace("/var/lib/abaca", str(self.state_dir))
        for name, own in self.clients.items():
            text = re.sub(rf"\b{name}\b", own, text)
        return text

    def bash(self, script: str, **more: object) -> subprocess.Popen[str]:
        command = ["bash", "-c", script]
        return subprocess.Popen(command, env=self.environment, text=True, **more)  # type: ignore[call-overload, no-any-return]


@pytest.fixture
def reader() -> Iterator[Reader]:
    if lacking := demo.lacks():
        pytest.skip("; ".join(lacking))
    with reachable_folder() as folder:
        somebody = Reader(folder)
        try:
            yield somebody
        finally:
            for name in somebody.clients.values():
                detach_client(name, somebody.namespace)
            inventory.remove_installation(somebody.namespace, somebody.state_dir / "worker")


def test_the_commands_of_the_tutorials_do_what_their_pages_say(reader: Reader) -> None:
    blocks = blocks_of("first-share.md", "subnet-in-use.md")
    (serve,) = [text for text in blocks.commands if text.startswith(SERVES)]
    with reader.log.open("w") as log:
        service = reader.bash(f"exec {serve}", stdout=log, stderr=log)
    try:
        wait_until(
            lambda: " is up" in reader.log.read_text() or service.poll() is not None,
            reader.log.read_text,
        )
        assert service.poll() is None and "@linux" in reader.log.read_text(), reader.log.read_text()
        script = reader.bash(
            reader.own(as_script(blocks.commands)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        try:
            said, _ = script.communicate(timeout=400 * PATIENCE)
        finally:
            script.kill()
        assert script.returncode == 0, f"{said}\n{reader.log.read_text()}"
        for number, text in blocks.printed.items():
            assert reader.own(text).strip() in output_of(said, number), said
        assert {name for name in reader.clients.values() if namespaces.exists(name)} == set()
    finally:
        service.terminate()
        service.wait(60 * PATIENCE)


def test_the_script_leaves_out_nothing_but_the_installation() -> None:
    """A block whose form is not known would be left out, or run in the wrong way."""
    commands = blocks_of("first-share.md", "subnet-in-use.md").commands
    for beginning in (INSTALLS, SERVES, KEEPS_BUSY, ADDS, CLEANS_UP):
        assert len([text for text in commands if text.startswith(beginning)]) == 1, beginning
    script = as_script(commands)
    left_out = [text for text in commands if text not in script]
    assert [text.split("\n")[0] for text in left_out] == ["apt install git make", "abaca serve"]
