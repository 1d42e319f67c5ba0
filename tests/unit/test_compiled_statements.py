"""Engines of one kind share what they compiled; those of another kind have their own."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from tests import compiled_statements

SUM = sa.select(sa.literal(20) + sa.literal(22), sa.literal("of two engines"))


def outcome(conn: Connection) -> tuple[Any, str]:
    """What a statement gives, and whether it had been compiled before."""
    result: Any = conn.execute(SUM)
    return result.scalar(), result.context.cache_hit.name


def test_a_statement_is_compiled_once_for_all_engines() -> None:
    compiled_statements.share()
    outcomes = []
    for _ in range(2):
        engine = sa.create_engine("sqlite://")
        with engine.connect() as conn:
            outcomes.append(outcome(conn))
        engine.dispose()
    assert outcomes == [(42, "CACHE_MISS"), (42, "CACHE_HIT")]


def test_another_kind_of_database_compiles_its_own() -> None:
    cache = compiled_statements.ByKind(10)
    cache[sqlite.dialect(), "a statement"] = "for SQLite"
    assert cache.get((sqlite.dialect(), "a statement")) == "for SQLite"
    another: Any = postgresql.dialect
    assert cache.get((another(), "a statement")) is None
