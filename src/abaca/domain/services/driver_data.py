"""What drivers store in the database: the rows behind `abaca.drivers.data.DriverData`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import OperationalError

from abaca.db.session import begin, is_outage, read, upsert
from abaca.db.tables import driver_data as table
from abaca.drivers import data
from abaca.errors import DatabaseAway


class SqlDriverData:
    """The `DriverData` of one back end (host@backend), with at most `most_values`."""

    def __init__(
        self, engine: Engine, service_host: str, most_values: int = data.MOST_VALUES
    ) -> None:
        self._engine = engine
        self._service_host = service_host
        self._most_values = most_values

    def get(self, subject: str) -> dict[str, str]:
        """As the protocol says. Values beyond the limits were not stored by this class, and are not
        read."""
        fits = sa.func.length(table.c.value) <= data.MOST_VALUE
        query = (
            sa.select(table.c.key, table.c.value)
            .where(self._is(subject), fits)
            .order_by(table.c.key)
            .limit(data.MOST_KEYS)
        )
        with _sorting_errors(), read(self._engine) as conn:
            return dict(conn.execute(query).all())

    def update(self, subject: str, values: Mapping[str, str | None]) -> None:
        """As the protocol says, in one transaction."""
        data.require_fit(subject, values)
        gone = [key for key, value in values.items() if value is None]
        kept = {key: value for key, value in values.items() if value is not None}
        with _sorting_errors(), begin(self._engine) as conn:
            if gone:
                conn.execute(sa.delete(table).where(self._is(subject), table.c.key.in_(gone)))
            if kept:
                self._keep(conn, subject, kept)

    def remove(self, subject: str) -> None:
        """As the protocol says."""
        with _sorting_errors(), begin(self._engine) as conn:
            conn.execute(sa.delete(table).where(self._is(subject)))

    def _keep(self, conn: Connection, subject: str, values: Mapping[str, str]) -> None:
        rows = [
            {
                "service_host": self._service_host,
                "subject": subject,
                "key": key,
                "value": values[key],
            }
            for key in sorted(values)
        ]
        insert = upsert(conn, table).values(rows)
        conn.execute(
            insert.on_conflict_do_update(
                index_elements=list(table.primary_key), set_={"value": insert.excluded.value}
            )
        )
        here = (
            sa.select(table.c.subject)
            .where(table.c.service_host == self._service_host)
            .limit(self._most_values + 1)
            .subquery()
        )
        keys = conn.scalar(sa.select(sa.func.count()).where(self._is(subject))) or 0
        of_all = conn.scalar(sa.select(sa.func.count()).select_from(here)) or 0
        data.require_room(subject, keys, of_all, self._most_values)

    def _is(self, subject: str) -> sa.ColumnElement[bool]:
        return (table.c.service_host == self._service_host) & (table.c.subject == subject)


@contextmanager
def _sorting_errors() -> Iterator[None]:
    """Storing the same twice stores it once, so an unknown outcome of a commit does not matter."""
    try:
        yield
    except OperationalError as error:
        if is_outage(error):
            raise DatabaseAway(f"the database does not answer: {error.orig}") from error
        raise
