"""Statements are compiled once in a process of the tests, not once for each database.

SQLAlchemy keeps what it compiled with the engine, as long as that lives: in a service for weeks, in
a test for a moment. A third of what a test of the API or of operations spends would be on compiling
what the test before it had compiled. `share()` has all engines of this process use one cache, in
which a statement is known by the kind of its database.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.util import LRUCache

MOST = 5000  # statements of all tests; an engine of its own keeps 500


class ByKind(LRUCache[Any, Any]):
    """SQLAlchemy's keys begin with the dialect, of which each engine has its own."""

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get((type(key[0]), *key[1:]), default)

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__((type(key[0]), *key[1:]), value)


_compiled = ByKind(MOST)


def share() -> None:
    """From now on, for every engine of this process. May be repeated."""
    if not event.contains(Engine, "engine_connect", _use):
        event.listen(Engine, "engine_connect", _use)


def _use(connection: Connection) -> None:
    connection.execution_options(compiled_cache=_compiled)
