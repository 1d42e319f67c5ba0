"""Files of one line for each user or application token: read whole, and replaced whole under a
lock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from oslo_config import cfg

from abaca.admin import state_dir
from abaca.errors import Conflict
from abaca.regular_files import NotRegular, require_regular

_T = TypeVar("_T")


def read(path: Path, parse: Callable[[str], dict[str, _T]]) -> dict[str, _T]:
    """What the file says, by name; nothing when there is none. Raises Conflict when `parse` refuses
    a line of it, or when it is no regular file."""
    try:
        require_regular(path)
        return parse(path.read_text())
    except FileNotFoundError:
        return {}
    except NotRegular as error:
        raise Conflict(str(error)) from error
    except ValueError as error:
        raise Conflict(f"{path}: {error}") from error


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Change the file meanwhile. Raises Conflict while another command does."""
    with state_dir.alone(
        path.with_name(f".{path.name}.lock"),
        f"Another command is changing {path} right now; try again.",
    ):
        yield


def write(conf: cfg.ConfigOpts, path: Path, head: str, lines: Iterable[str]) -> None:
    """Replace the file. The API may read it, and nobody else may."""
    text = head + "".join(f"{line}\n" for line in lines)
    state_dir.replace(path, text, 0o640, state_dir.api_group(conf))
