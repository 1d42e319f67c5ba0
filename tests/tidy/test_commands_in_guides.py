"""The commands of ours that the guides show for when something is wrong exist, with the options
that they are given."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from abaca.admin import cli, manage

GUIDES = Path(__file__).parents[2] / "docs" / "how-to"
GROUPS = {"abaca": cli.main, "abaca-manage": manage.main}
_LINE = re.compile(r"^(abaca(?:-manage)? .*)$", re.MULTILINE)


def require_parsed(words: list[str]) -> None:
    """Raises click.UsageError when there is no such command, or it has no such option."""
    command: click.Command = GROUPS[words[0]]
    rest = words[1:]
    while isinstance(command, click.Group):
        assert rest and rest[0] in command.commands, f"there is no command {words}"
        command, rest = command.commands[rest[0]], rest[1:]
    context = click.Context(command, info_name=words[0])
    command.make_parser(context).parse_args(rest)


@pytest.mark.parametrize("page", ["something-is-wrong.md", "back-up.md", "several-hosts.md"])
def test_every_command_of_the_page_exists(page: str) -> None:
    found = _LINE.findall((GUIDES / page).read_text())
    assert len(found) >= 4
    for line in found:
        require_parsed(shlex.split(line.partition(" | ")[0], comments=True))


def test_a_command_that_is_none_is_found() -> None:
    for line in ("abaca operations list", "abaca status --xml"):
        with pytest.raises((AssertionError, click.UsageError)):
            require_parsed(line.split())
