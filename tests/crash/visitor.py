"""Tries many export locations out from within one network namespace, as `python -m
tests.crash.visitor`: one process instead of one a call.

Standard input: a JSON list of `[location, text, whether the file has to hold it already]`; standard
output: a list with what came of each: `served`, or an error's text.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable

from abaca.admin.nfs_probe import Mount, NfsError

ALL_SECONDS = 240
FILE = "kept"
EXPIRED = "NFS4ERR_EXPIRED"


def visit(location: str, text: str, is_kept: bool) -> str:
    """Read the file, if it must be there; write it, and read it back."""
    if is_kept and (found := _again(lambda: _read(location))) != text:
        return f"holds '{found}' instead of '{text}'"
    # the next write ends what one of these has left undone: a file without its text
    return _again(lambda: _write(location, text))


def _again(visit: Callable[[], str]) -> str:
    """What it returns, or an error's text."""
    for last in (False, False, True):
        try:
            return visit()
        except NfsError as error:
            # Storage that was killed stood still for longer than a lease, which this client, unlike
            # Linux, does not renew meanwhile.
            if last or EXPIRED not in str(error):
                return str(error)
    raise AssertionError


def _read(location: str) -> str:
    with Mount(location) as share:
        return share.read(FILE).decode()


def _write(location: str, text: str) -> str:
    with Mount(location) as share:
        share.write(FILE, text.encode())
        read = share.read(FILE).decode()
        return "served" if read == text else f"read '{read}' instead of '{text}'"


if __name__ == "__main__":
    signal.alarm(ALL_SECONDS)
    print(json.dumps([visit(*each) for each in json.load(sys.stdin)]))
