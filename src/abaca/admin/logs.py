"""Logging of every process, set up once: a line has time, process, level, where it comes from and the message. It goes to standard error.

Nothing here hides secrets: nobody logs them. Database URLs are logged by `shown_url` only.
"""

from __future__ import annotations

import logging
import sys
import time

import sqlalchemy as sa

LINE = "%(asctime)s.%(msecs)03dZ {process}[%(process)d] %(levelname)s %(name)s: %(message)s"
# They say a lot about themselves on INFO; what they have to warn about is passed on.
TALKATIVE = ("alembic", "dbos", "pyroute2", "sqlalchemy", "stevedore")


class _OneLine(logging.Formatter):
    """What a message holds cannot begin a line of its own, whoever wrote it; tracebacks stay as they are."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = "\\n".join(record.message.splitlines())
        return super().formatMessage(record)


def set_up(process: str, level: str) -> None:
    """Log lines of this process carry its name (`serve`, `api`, `worker`); `level` as in the option `log_level`."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = _OneLine(LINE.format(process=process), "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)


def shown_url(url: str) -> str:
    """A database URL without its password."""
    return sa.make_url(url).render_as_string(hide_password=True)
