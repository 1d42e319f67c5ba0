"""Rows for every table of a database, made from what the database says of its columns: for tests
of what has to work with whatever a table holds."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db import contents
from abaca.workflow.queue import SCHEMA

NUMBER = 2
NOW = datetime(2026, 1, 2, 3, 4, 5, 678)
_ONE_OF = {"resource_locks": ("share_id", "access_rule_id")}
"""Of these columns of a table, which may be null, a row has one."""


def fill(conn: Connection, schema: str = SCHEMA, first: int = 0) -> list[sa.Table]:
    """Put `NUMBER` rows, numbered from `first` on, which is even, into every table of Abaca and of
    its work engine; returns the tables."""
    found = contents.tables(conn, schema)
    for table in found:
        rows = [_row(table, first + number) for number in range(NUMBER)]
        later = _later(table)
        conn.execute(sa.insert(table), [{**row, **dict.fromkeys(later)} for row in rows])
        for row in rows if later else ():
            # the first row refers to the second one
            key = sa.and_(*(column == row[column.name] for column in table.primary_key))
            conn.execute(sa.update(table).where(key).values({name: row[name] for name in later}))
    return found


def _later(table: sa.Table) -> list[str]:
    """Columns that refer to rows of the same table."""
    return [c.name for c in table.c for key in c.foreign_keys if key.column.table is table]


def _row(table: sa.Table, number: int) -> dict[str, Any]:
    one_of = _ONE_OF.get(table.name, ())
    left_out = {name for place, name in enumerate(one_of) if place != number % NUMBER}
    return {
        column.name: None if column.name in left_out else _value(column, number)
        for column in table.c
    }


def _value(column: sa.Column[Any], number: int) -> Any:
    for key in column.foreign_keys:
        return _value(key.column, number ^ 1 if key.column.table is column.table else number)
    type_ = column.type
    if isinstance(type_, sa.Boolean):
        return bool(number % 2)
    if isinstance(type_, sa.DateTime):
        return NOW + timedelta(days=number)
    if isinstance(type_, sa.JSON):
        return {"ä": [number, None, "\N{GRINNING FACE}"]} if number % 2 else []
    if isinstance(type_, sa.BigInteger):
        return 2**40 + number
    if isinstance(type_, sa.Integer):
        return number + 1
    if isinstance(type_, sa.Float):
        return 0.1 + number
    if isinstance(type_, sa.Numeric):
        return number
    if column.name == "attributes":
        return f'{{"a":{number}}}'
    return f"{number}-ä\n{column.name}"[: getattr(type_, "length", None)]
