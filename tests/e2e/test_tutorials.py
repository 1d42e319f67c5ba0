"""The first two tutorials, command by command as their pages say, against a service of their own.
The third one is played in `test_demo_openstack`.

What a reader does with eyes and hands is in `SCRIPT`: waits until a status is there, and has a
second terminal. Nothing else is added, and nothing left out but what installs Abaca.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from abaca.drivers.linux import namespaces
from abaca.drivers.linux.clients import detach_client
from tests.e2e.tutorial_pages import FIRST_LINES, Reader, a_reader, blocks_of, marked, output_of

pytestmark = [
    pytest.mark.sampled_file(8),
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


@pytest.fixture
def reader() -> Iterator[Reader]:
    with a_reader("laptop", "phone") as somebody:
        try:
            yield somebody
        finally:
            for name in somebody.clients.values():
                detach_client(name, somebody.namespace)


def test_the_commands_of_the_tutorials_do_what_their_pages_say(reader: Reader) -> None:
    blocks = blocks_of("first-share.md", "subnet-in-use.md")
    with reader.serving() as log:
        said = reader.follows(as_script(blocks.commands), log)
        for number, text in blocks.printed.items():
            assert reader.own(text).strip() in output_of(said, number), said
        assert {name for name in reader.clients.values() if namespaces.exists(name)} == set()


def test_the_script_leaves_out_nothing_but_the_installation() -> None:
    """A block whose form is not known would be left out, or run in the wrong way."""
    commands = blocks_of("first-share.md", "subnet-in-use.md").commands
    for beginning in (INSTALLS, SERVES, KEEPS_BUSY, ADDS, CLEANS_UP):
        assert len([text for text in commands if text.startswith(beginning)]) == 1, beginning
    script = as_script(commands)
    left_out = [text for text in commands if text not in script]
    assert [text.split("\n")[0] for text in left_out] == ["apt install git make", "abaca serve"]
