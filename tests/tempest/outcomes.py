"""Turns a subunit stream on standard input into JSON on standard output: `[{"id": …, "status": …,
"seconds": …, "detail": …}, …]`.

A program for the virtual environment that tempest is in; nothing else here imports it.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import subunit
import testtools


def main() -> None:
    outcomes = []

    def store(test: dict[str, Any]) -> None:
        started, ended = test["timestamps"]
        detail = "\n".join(
            content.as_text()
            for name, content in test["details"].items()
            if name.startswith(("reason", "traceback"))
        )
        seconds = (ended - started).total_seconds() if started and ended else 0.0
        outcomes.append(
            {
                "id": test["id"],
                "status": test["status"],
                "seconds": seconds,
                "detail": detail.strip(),
            }
        )

    result = testtools.StreamToDict(store)
    result.startTestRun()
    subunit.ByteStreamToStreamResult(sys.stdin.buffer).run(result)
    result.stopTestRun()
    json.dump(outcomes, sys.stdout)


if __name__ == "__main__":
    main()
