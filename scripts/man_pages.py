"""Manual pages and shell completion of the package, made from what the commands and options say of
themselves: abaca(1), abaca-manage(1), abaca.conf(5); for bash, zsh and fish click's completion."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import click
from click.shell_completion import get_completion_class
from oslo_config import cfg

from abaca.admin import cli, manage
from abaca.admin.configuration.samples import list_opts

PROGRAMS: dict[str, click.Group] = {"abaca": cli.main, "abaca-manage": manage.main}
COMPLETIONS = {
    "bash": "usr/share/bash-completion/completions/{}",
    "zsh": "usr/share/zsh/vendor-completions/_{}",
    "fish": "usr/share/fish/vendor_completions.d/{}.fish",
}
_NO_WRAP = "\b"


def write(root: Path) -> list[Path]:
    """Put them below `root`, where Debian's packages have them."""
    texts = {f"usr/share/man/man1/{name}.1": of_program(name) for name in PROGRAMS}
    texts["usr/share/man/man5/abaca.conf.5"] = of_configuration()
    for shell, place in COMPLETIONS.items():
        for name in PROGRAMS:
            texts[place.format(name)] = completion(shell, name)
    for place, text in texts.items():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_text(text)
    return [root / place for place in texts]


def completion(shell: str, name: str) -> str:
    """The script that a shell reads to complete the program's command lines."""
    kind = get_completion_class(shell)
    assert kind is not None
    variable = f"_{name.replace('-', '_').upper()}_COMPLETE"
    return kind(PROGRAMS[name], {}, name, variable).source() + "\n"


def of_program(name: str) -> str:
    """One page with all its commands."""
    program = PROGRAMS[name]
    summary, *more = _paragraphs(program)
    lines = [*_head(name, 1), ".SH NAME", f"{_roff(name)} \\- {_roff(_short(summary))}"]
    lines += [".SH SYNOPSIS", f".B {_roff(name)}", "COMMAND [OPTION]... [ARGUMENT]..."]
    lines += [".SH DESCRIPTION", *_body([summary, *more]), ".SH COMMANDS"]
    for path, command in _commands(program, name):
        with click.Context(command, info_name=path) as context:
            usage = " ".join(command.collect_usage_pieces(context))
            lines += [f".SS {_roff(path)} {_roff(usage)}", *_body(_paragraphs(command))]
            for parameter in command.params:
                record = parameter.get_help_record(context)
                if record is not None and record[1]:
                    lines += [".TP", f".B {_roff(record[0])}", _roff(record[1])]
    lines += [
        ".SH FILES",
        *(".TP", r".I /etc/abaca/abaca.conf", "Configuration."),
        *(".TP", r".I /var/lib/abaca", "The state directory, if none is configured."),
        ".SH ENVIRONMENT",
        *_body(["OS_SECTION__OPTION sets [section] option, over what files say: OS_API__PORT."]),
        ".SH SEE ALSO",
        ", ".join(f".BR {page}" if not number else page for number, page in enumerate(_see(name))),
    ]
    return "\n".join(lines) + "\n"


def of_configuration() -> str:
    """All options by section."""
    lines = [*_head("abaca.conf", 5), ".SH NAME", r"abaca.conf \- configuration of Abaca"]
    lines += [
        ".SH DESCRIPTION",
        *_body(
            [
                "An INI file. /etc/abaca/abaca.conf is read, then /etc/abaca/abaca.conf.d/*.conf "
                "in the order of their names; --config-file and --config-dir name others. `abaca "
                "config check` says what is wrong. Without any file all defaults hold.",
            ]
        ),
    ]
    for group, options in list_opts():
        lines += [f".SH [{_roff(group.name)}]", *_body([group.help] if group.help else [])]
        for option in options:
            lines += [".TP", f".B {_roff(option.name)}", *_option(option)]
    lines += [".SH SEE ALSO", ".BR abaca (1)"]
    return "\n".join(lines) + "\n"


def _option(option: cfg.Opt) -> Iterator[str]:
    yield _roff(" ".join((option.help or "").split()))
    choices = getattr(option.type, "choices", None)
    if choices:
        said = "; ".join(f"{name}{f': {what}' if what else ''}" for name, what in choices.items())
        yield _roff(f"One of {said}.")
    default = option.sample_default if option.sample_default is not None else option.default
    if default not in (None, []):
        yield f"Default: {_roff(str(default))}."


def _see(name: str) -> list[str]:
    others = [other for other in PROGRAMS if other != name]
    return [f"{_roff(other)} (1)" for other in others] + [r"\fBabaca.conf\fR(5)"]


def _head(name: str, section: int) -> Iterator[str]:
    yield f'.TH "{_roff(name.upper())}" "{section}" "" "Abaca {version("abaca")}" "Abaca"'
    yield ".ad l"
    yield ".nh"


def _commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    """Those that can be run, with the words that run them."""
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from _commands(command, f"{path} {name}")
        elif not command.hidden:
            yield f"{path} {name}", command


def _paragraphs(command: click.Command) -> list[str]:
    """Of its help; one that is not to be wrapped begins with a line of its own."""
    lines = inspect.cleandoc(command.help or "").expandtabs().splitlines()
    parts = "\n".join(lines).split("\n\n")
    return [part.strip("\n") for part in parts if part.strip()]


def _short(paragraph: str) -> str:
    return " ".join(paragraph.split()).partition(": ")[2].rstrip(".") or paragraph


def _body(paragraphs: list[str]) -> Iterator[str]:
    for number, text in enumerate(paragraphs):
        if number:
            yield ".PP"
        if text.startswith(_NO_WRAP):
            yield ".nf"
            yield from (_roff(line) for line in text.splitlines()[1:])
            yield ".fi"
        else:
            yield _roff(" ".join(text.split()))


def _roff(text: str) -> str:
    """A line of text, none of which steers the formatter."""
    text = text.replace("\\", r"\e").replace("-", r"\-").replace("`", r"\(ga").replace("~", r"\(ti")
    text = text.replace("^", r"\(ha").replace("'", r"\(aq").replace('"', r"\(dq")
    return rf"\&{text}" if text.startswith((".", r"\(aq")) else text


if __name__ == "__main__":
    for path in write(Path(sys.argv[1])):
        print(path)
