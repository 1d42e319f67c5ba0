"""Tries many export locations out from within one network namespace, as `python -m tests.crash.visitor`: one process instead of one a call.

Standard input: a JSON list of `[location, file name, text]`; standard output: a list with what came of each: `served`, or an error's text.
"""

from __future__ import annotations

import json
import signal
import sys

from abaca.admin.nfs_probe import Mount, NfsError

ALL_SECONDS = 240


def visit(location: str, name: str, text: str) -> str:
    """Write, read back and remove."""
    try:
        with Mount(location) as share:
            share.write(name, text.encode())
            read = share.read(name).decode()
            share.remove(name)
            return "served" if read == text else f"read '{read}' instead of '{text}'"
    except NfsError as error:
        return str(error)


if __name__ == "__main__":
    signal.alarm(ALL_SECONDS)
    print(json.dumps([visit(*each) for each in json.load(sys.stdin)]))
