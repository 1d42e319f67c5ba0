"""The `openstack` command in a process that stays: a line of JSON with its arguments in, one with
status and output back.

A program, run by `command.Shell`: what each start of the command costs is paid once.
"""

from __future__ import annotations

import io
import json
import logging
import sys
from contextlib import redirect_stderr, redirect_stdout

from openstackclient.shell import OpenStackShell


def run(arguments: list[str]) -> dict[str, object]:
    """As `openstack <arguments>`."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            status: object = OpenStackShell().run(arguments)
        except SystemExit as exit_:
            status = exit_.code
    logging.getLogger().handlers.clear()  # each shell adds its own
    return {"status": status, "out": out.getvalue(), "err": err.getvalue()}


def main() -> None:
    answers = sys.stdout
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
