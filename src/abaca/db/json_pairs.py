"""Looking for a pair of texts in a JSON object, with any key: both databases, one expression."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class HasPair(FunctionElement[bool]):
    """`HasPair(column, key, text)`: whether the object in a JSON column has `text` as the value of
    `key`."""

    type = sa.Boolean()
    inherit_cache = True
    name = "has_pair"


@compiles(HasPair)
def _with_arrow(element: HasPair, compiler: SQLCompiler, **more: Any) -> str:
    column, key, text = (compiler.process(clause, **more) for clause in element.clauses)
    return f"({column} ->> {key} = {text})"


@compiles(HasPair, "sqlite")
def _by_enumeration(element: HasPair, compiler: SQLCompiler, **more: Any) -> str:
    """SQLite's paths compare keys as they are written in the JSON text, escapes and all; its
    json_each reads them."""
    column, key, text = (compiler.process(clause, **more) for clause in element.clauses)
    return (
        f"EXISTS (SELECT 1 FROM json_each({column}) AS pair WHERE pair.key = {key} AND "
        f"pair.value = {text})"
    )
