"""What configuration files and the environment set: by whom, in which section, and as which
text."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from oslo_config import cfg

from abaca.regular_files import NotRegular, require_regular

_VARIABLE = re.compile(r"OS_(.+?)__(.+)", re.DOTALL)


class Given(NamedTuple):
    """An option as it was set. `source`: a file's path, or "environment variable …"; `option`
    empty: a section that sets nothing."""

    source: str
    section: str
    option: str
    value: str
    is_environment: bool = False


class Unreadable(Exception):
    """The file cannot be read, or is no configuration file; the message is a sentence with its
    name."""


def source_of(given: Sequence[Given], section: str, option: str) -> str:
    """Who set an option last, as the beginning of a sentence; empty when nobody did."""
    return next(
        (
            f"{each.source}: "
            for each in reversed(given)
            if (each.section, each.option) == (section, option)
        ),
        "",
    )


def in_files(paths: Sequence[str]) -> tuple[list[Given], list[str]]:
    """What the files set, later ones after earlier ones, and a sentence for each that cannot be
    read."""
    found: list[Given] = []
    complaints = []
    for path in paths:
        try:
            found += _in_file(path)
        except Unreadable as error:
            complaints.append(str(error))
    return found, complaints


def in_environment(environment: Mapping[str, str] = os.environ) -> Iterator[Given]:
    """What oslo.config takes from the environment: OS_<SECTION>__<OPTION>."""
    for name, value in environment.items():
        match = _VARIABLE.fullmatch(name)
        if match:
            section = "DEFAULT" if match[1] == "DEFAULT" else match[1].lower()
            yield Given(
                f"environment variable {name}",
                section,
                match[2].lower(),
                value,
                is_environment=True,
            )


def _in_file(path: str) -> Iterator[Given]:
    sections: dict[str, dict[str, Any]] = {}
    try:
        require_regular(path)
        cfg.ConfigParser(path, sections).parse()
    except cfg.ParseError as error:
        # not what is in it: it may be a password
        raise Unreadable(f"{path}: line {error.lineno}: {_what(error.msg)}.") from error
    except UnicodeDecodeError as error:
        raise Unreadable(f"{path}: this is not text in UTF-8 (byte {error.start}).") from error
    except NotRegular as error:
        raise Unreadable(str(error)) from error
    except OSError as error:
        raise Unreadable(f"{path}: it cannot be read: {error.strerror}.") from error
    for section, options in sections.items():
        name = section if section == "DEFAULT" else section.lower()  # as oslo.config compares them
        if not options:
            yield Given(path, name, "", "")
        for option, values in options.items():
            yield Given(path, name, option, values[-1])


def _what(message: str) -> str:
    """What the parser says, as the rest of a sentence."""
    known = {
        "No ':' or '=' found in assignment": "option = value is expected",
        "Section must be started before assignment": "it must be inside a section, for "
        "example [DEFAULT]",
        "Unexpected continuation line": "it begins with a blank, which continues the value of the "
        "line before, and there is none",
        "Invalid section (must end with ])": "the name of a section ends with ]",
    }
    return known.get(message, message)
