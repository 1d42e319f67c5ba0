"""Logging of every process, set up once: a line has time, process, level, where it comes from, the
request and the resources that it is about (see `log_context`) and the message. It goes to standard
error.

Nothing here hides secrets: nobody logs them. Database URLs are logged by `shown_url` only.
"""

from __future__ import annotations

import logging
import sys
import time
import traceback
import warnings
from types import TracebackType
from typing import Any

import sqlalchemy as sa

from abaca import log_context

LINE = (
    "%(asctime)s.%(msecs)03dZ {process}[%(process)d] %(levelname)s %(name)s: %(context)s%(message)s"
)
# They say a lot about themselves on INFO; what they have to warn about is passed on.
CHATTY_LOGGERS = ("alembic", "dbos", "pyroute2", "sqlalchemy", "stevedore")


_formatted_warning = warnings.formatwarning


class _EscapingFormatter(logging.Formatter):
    """No text begins a line of its own or steers a terminal, whoever wrote it. The lines of a
    traceback are indented."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = escaped(record.message)
        record.context = escaped(log_context.prefix())
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:
        return "\n".join(f"  {line}" for line in _lines(super().formatException(ei)))


def escaped(text: str) -> str:
    """Characters that are not to be seen (control, format, separators but space, lone surrogates)
    as Python writes them."""
    return (
        text
        if text.isprintable()
        else "".join(each if each.isprintable() else _escape(each) for each in text)
    )


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _lines(text: str) -> list[str]:
    return [escaped(line) for line in text.split("\n")]


def guard_terminal() -> None:
    """A warning, or an error that ends the program with a traceback, steers no terminal either:
    names of tables, say, may be anybody's."""
    sys.excepthook = _tell_traceback
    warnings.formatwarning = _warning


def _tell_traceback(
    kind: type[BaseException], error: BaseException, where: TracebackType | None
) -> None:
    text = "".join(traceback.format_exception(kind, error, where))
    sys.stderr.write("\n".join(_lines(text)))


def _warning(*args: Any, **named: Any) -> str:
    return "\n".join(_lines(_formatted_warning(*args, **named)))


def set_up(process: str, level: str) -> None:
    """Log lines of this process carry its name (`serve`, `api`, `worker`); `level` as in the option
    `log_level`."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = _EscapingFormatter(LINE.format(process=process), "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in CHATTY_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)


def shown_url(url: str) -> str:
    """A database URL without its password."""
    return sa.make_url(url).render_as_string(hide_password=True)
