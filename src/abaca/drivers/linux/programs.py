"""Running the few programs that have no library, bounded in time, and sorting what the system says
as back end errors."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from abaca.errors import NoSpace, OutcomeUnknown, Unavailable

_LONGEST = 500  # characters
_LONGEST_OUTPUT = 64 * 1024
_BOUNDED = ("prlimit", f"--as={512 * 1024 * 1024}", f"--fsize={_LONGEST_OUTPUT}", "--core=0")
# Administrators' programs are there although a service's search path may lack their folders.
SEARCH_PATH = os.pathsep.join(
    [
        os.environ.get("PATH", os.defpath),
        "/usr/local/sbin",
        "/usr/sbin",
        "/sbin",
        "/usr/bin",
        "/bin",
    ]
)


def is_installed(program: str) -> bool:
    return shutil.which(program, path=SEARCH_PATH) is not None


@contextmanager
def os_errors_sorted(doing: str) -> Iterator[None]:
    """In this block the system's errors (of files and folders, mostly) become NoSpace or
    OutcomeUnknown. `doing`: for the message."""
    try:
        yield
    except OSError as error:
        kind = NoSpace if error.errno in (errno.ENOSPC, errno.EDQUOT) else OutcomeUnknown
        raise kind(f"{doing}: {error}") from error


def run(
    *argv: str,
    timeout: float = 60,
    extra_environment: dict[str, str] | None = None,
    given: str = "",
) -> str:
    """Run a program to its end and return what it printed.

    `timeout` in seconds. `given`: what it reads from its standard input. Raises Unavailable (the
    program is not there), NoSpace (it says that no space is left) and OutcomeUnknown (it failed or
    took too long: what it was to make may be there or not).
    """
    done = _finished(argv, timeout, extra_environment, given)
    if done.returncode == 0:
        return done.stdout
    said = _said(done)
    if "No space left" in said:
        raise NoSpace(f"{argv[0]}: {said}")
    raise OutcomeUnknown(f"{' '.join(argv[:3])} failed ({done.returncode}): {said}")


def complaint(
    *argv: str, timeout: float, extra_environment: dict[str, str] | None = None
) -> str | None:
    """Run a program that asks somebody who may be hostile, and changes nothing: None when it
    succeeds, else what it said, or that it took longer than `timeout` seconds. Its memory is
    bounded, and so is what it says. Raises Unavailable when it is not there."""
    with os.fdopen(os.memfd_create("abaca-said"), "r+b") as said:
        try:
            done = subprocess.run(
                (*_BOUNDED, *argv), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                 stderr=said, timeout=timeout,
                env=_environment(extra_environment), check=False,
            )  # fmt: skip
        except FileNotFoundError as error:
            raise Unavailable(f"program {_BOUNDED[0]} is not installed") from error
        except subprocess.TimeoutExpired:
            return f"there was no answer within {timeout:g} seconds"
        said.seek(0)
        complained = _one_line(said.read(_LONGEST_OUTPUT).decode(errors="replace"))[:_LONGEST]
    return None if done.returncode == 0 else complained or f"it ended with {done.returncode}"


def remove_tree(folder: Path, seconds: float = 60) -> None:
    """Remove a folder with all that is in it, within so many seconds; nothing there is success. No
    link is followed, nothing mounted there is touched.

    As deep as it may be: what a program that was taken over has made there is too deep for
    `shutil.rmtree`. Raises OutcomeUnknown.
    """
    run("rm", "--recursive", "--force", "--one-file-system", str(folder), timeout=seconds)


def _finished(
    argv: Sequence[str], timeout: float, extra_environment: dict[str, str] | None, given: str = ""
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            argv,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            env=_environment(extra_environment),
            input=given,
            check=False,
        )
    except FileNotFoundError as error:
        raise Unavailable(f"program {argv[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise OutcomeUnknown(f"{argv[0]} did not end within {timeout:g} s") from error


def _environment(extra: dict[str, str] | None) -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C", "PATH": SEARCH_PATH, **(extra or {})}


def _said(done: subprocess.CompletedProcess[str]) -> str:
    return _one_line(done.stderr or done.stdout)[-_LONGEST:]


def _one_line(text: str) -> str:
    """Fit for logs and messages."""
    return "".join(character if character.isprintable() else " " for character in text.strip())
