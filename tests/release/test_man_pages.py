"""Manual pages and shell completion, as man and the shells read them; and that the help of each
command has an example."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from abaca.admin.configuration.samples import list_opts
from scripts import man_pages

PAGES = ["man1/abaca.1", "man1/abaca-manage.1", "man5/abaca.conf.5"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("man")
    man_pages.write(made)
    return made


def shown(root: Path, page: str) -> str:
    """As `man` shows it. It must have nothing to warn of."""
    if not shutil.which("man") or not shutil.which("groff"):
        pytest.skip("man and groff are missing (Debian: man-db, groff)")
    done = subprocess.run(
        ["man", "--warnings=all", "--local-file", str(root / "usr/share/man" / page)],
        env=os.environ | {"LC_ALL": "C.UTF-8", "MANWIDTH": "100", "MAN_KEEP_FORMATTING": ""},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return re.sub(r".\x08|\x1b\[[0-9;]*m", "", done.stdout)


def commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")


EVERY = [found for name, group in man_pages.PROGRAMS.items() for found in commands(group, name)]


@pytest.mark.parametrize("name", man_pages.PROGRAMS)
def test_a_page_has_every_command_and_option(root: Path, name: str) -> None:
    text = shown(root, f"man1/{name}.1")
    for path, command in commands(man_pages.PROGRAMS[name], name):
        if isinstance(command, click.Group):
            continue
        section = text.partition(f"\n   {path} ")[2].partition(f"\n   {name} ")[0]
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert parameter.opts[0] in section, (path, parameter.opts)
            elif isinstance(parameter, click.Option):
                assert parameter.opts[0] not in text


def test_the_page_of_the_configuration_has_every_option(root: Path) -> None:
    text = shown(root, "man5/abaca.conf.5")
    for group, options in list_opts():
        section = text.partition(f"\n[{group.name}]\n")[2].partition("\n[")[0]
        assert {option.name for option in options} <= {*re.findall(r"^ +(\w+)\b", section, re.M)}


@pytest.mark.parametrize(("path", "command"), EVERY, ids=[path for path, _ in EVERY])
def test_the_help_of_each_command_has_an_example(path: str, command: click.Command) -> None:
    examples = re.search(r"Examples?:\n(.*)", command.help or "", re.S)
    assert examples, f"{path} has none"
    lines = [line.strip() for line in examples[1].splitlines() if line.strip()]
    assert any(path in line for line in lines), f"{path}: none of its examples runs it"


@pytest.mark.parametrize("name", man_pages.PROGRAMS)
def test_bash_completes(root: Path, name: str) -> None:
    script = root / man_pages.COMPLETIONS["bash"].format(name)
    function = re.search(r"complete .*-F (\w+)", script.read_text())
    assert function
    program = Path(sys.executable).with_name(name)
    asked = (
        f'source "{script}"; COMP_WORDS=("{program}" d); COMP_CWORD=1;'
        f' {function[1]} "{program}"; echo "${{COMPREPLY[@]}}"'
    )
    done = subprocess.run(
        ["bash", "--norc", "-uc", asked], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    wanted = {"abaca": {"doctor", "demo"}, "abaca-manage": {"db"}}[name]
    assert wanted <= {*done.stdout.split()}


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_find_no_fault(root: Path, shell: str) -> None:
    if not shutil.which(shell):
        pytest.skip(f"{shell} is missing")
    for name in man_pages.PROGRAMS:
        script = root / man_pages.COMPLETIONS[shell].format(name)
        done = subprocess.run(
            [shell, "--no-execute", script], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
