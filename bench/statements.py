"""How many SQL statements things take: API and worker in this process, every statement counted, DBOS's own included.

Commits and roll-backs are not statements here. A worker that only looks for work is counted first, and taken off.
"""

from __future__ import annotations

import io
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from wsgiref.util import setup_testing_defaults

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from abaca.api.app import create_app
from abaca.worker.process import Worker
from bench import conditions, rows
from bench.abaca_service import Installation
from bench.programs import until
from bench.service import HEADERS, PROJECT, SHARE_TYPE

_PEAK = 20  # shares created to find the average of


class Count(NamedTuple):
    """Statements of the API's thread, and of all others less what an idle worker does in that time."""

    api: float
    worker: float


class Counter2(NamedTuple):
    """Statements so far, by whether the API's thread sent them."""

    api: list[str]
    worker: list[str]


@contextmanager
def counting() -> Iterator[Counter2]:
    """Note every statement of every engine of this process."""
    counted = Counter2([], [])
    mine = threading.get_ident()

    def note(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        (counted.api if threading.get_ident() == mine else counted.worker).append(statement)

    sa.event.listen(Engine, "before_cursor_execute", note)
    try:
        yield counted
    finally:
        sa.event.remove(Engine, "before_cursor_execute", note)


class InProcess:
    """The API without a socket, to be asked from one thread, with a worker beside it."""

    def __init__(self, installation: Installation) -> None:
        self._app = create_app(installation.conf())
        self._worker = Worker(installation.conf())
        self._worker.start()

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """The decoded answer. Raises RuntimeError for a status from 400 on."""
        content = b"" if body is None else msgspec.json.encode(body)
        path, _, query = path.partition("?")
        environ: dict[str, Any] = {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query, "CONTENT_TYPE": "application/json"}
        environ |= {"CONTENT_LENGTH": str(len(content)), "wsgi.input": io.BytesIO(content)}
        environ |= {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in HEADERS.items()}
        setup_testing_defaults(environ)
        statuses: list[str] = []
        answer = b"".join(self._app(environ, lambda status, *_: statuses.append(status)))  # type: ignore[arg-type]
        if int(statuses[0][:3]) >= 400:
            raise RuntimeError(f"{method} {path}: {statuses[0]} {answer!r}")
        return msgspec.json.decode(answer) if answer else None

    def stop(self) -> None:
        self._worker.stop()
