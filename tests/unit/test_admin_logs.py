"""A line of the log is one event, whatever its message holds."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from abaca.admin import logs


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\x85", "\u2028"])
def test_a_message_forges_no_line(capsys: pytest.CaptureFixture[str], end: str) -> None:
    logs.set_up("worker", "INFO")
    logging.getLogger("test").warning(
        "rule %s", f"10.0.0.1{end}2026-11-26T00:00:00.000Z worker[1] INFO all is well"
    )
    (line,) = capsys.readouterr().err.splitlines()
    assert f"rule 10.0.0.1{end.encode('unicode_escape').decode()}2026-11-26T" in line


@pytest.mark.parametrize(
    "steering", ["\x1b]0;title\x07", "\x9b31m", "\x08", "\u202e", "\ud800", "\x00"]
)
def test_a_message_or_an_error_steers_no_terminal(
    capsys: pytest.CaptureFixture[str], steering: str
) -> None:
    logs.set_up("worker", "INFO")
    try:
        raise ValueError(
            f"no share {steering}\n2026-11-26T00:00:00.000Z worker[1] INFO all is well"
        )
    except ValueError:
        logging.getLogger("test").exception("share %s failed", steering)
    written = capsys.readouterr().err
    assert all(line.isprintable() for line in written.split("\n"))
    assert [line for line in written.splitlines() if line.startswith("20")] == written.splitlines()[
        :1
    ]


def test_tracebacks_stay_readable(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("worker", "INFO")
    try:
        raise ValueError("wrong")
    except ValueError:
        logging.getLogger("test").exception("failed")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].endswith("failed") and lines[-1] == "  ValueError: wrong" and len(lines) > 2
