"""The commands of the tutorials, as their pages show them, and what a script of them printed.
No tests here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

TUTORIALS = Path(__file__).parents[2] / "docs" / "tutorials"
BLOCK = re.compile(r"^```(console|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARK = "--- block {} ---"
FIRST_LINES = "set -eu -o pipefail\n"


@dataclass
class Blocks:
    """The commands of a page, and what it says that they print: by the number of their block."""

    commands: list[str]
    printed: dict[int, str]


def blocks_of(*names: str) -> Blocks:
    found = Blocks([], {})
    for name in names:
        for kind, text in BLOCK.findall((TUTORIALS / name).read_text()):
            if kind == "console":
                found.commands.append(text)
            else:
                found.printed[len(found.commands) - 1] = text
    return found


def marked(number: int) -> str:
    """The command that prints where the output of that block begins."""
    return f"echo '{MARK.format(number)}'\n"


def output_of(said: str, number: int) -> str:
    """What the block of that number printed."""
    after = said.partition(MARK.format(number) + "\n")[2]
    return after.partition(MARK.format(number + 1) + "\n")[0]
