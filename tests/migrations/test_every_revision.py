"""An upgrade from the first revision to the newest, with rows in every table at every revision on
the way."""

from __future__ import annotations

from collections import Counter

import pytest
import sqlalchemy as sa

from abaca.db import contents, migrations
from abaca.db.session import begin, create_engine
from abaca.workflow.queue import SCHEMA
from tests import generated_rows


@pytest.mark.slow("every revision of the schema is made, one after the other")
@pytest.mark.timeout(300)
def test_rows_of_every_revision_reach_the_newest(database_url: str) -> None:
    engine = create_engine(database_url, pool_size=1)
    put: Counter[str] = Counter()
    for number, revision in enumerate(reversed(migrations.revisions())):
        migrations.upgrade(engine, revision)
        with begin(engine) as conn:
            filled = generated_rows.fill(conn, first=generated_rows.NUMBER * number)
        put.update({str(table.name): generated_rows.NUMBER for table in filled})
    assert migrations.current(engine) == migrations.head()
    with contents.snapshot(engine) as conn:
        tables = contents.tables(conn, SCHEMA)
        found = {
            str(table.name): conn.scalar(sa.select(sa.func.count()).select_from(table)) or 0
            for table in tables
        }
        # all of it can be read as what its columns say
        assert len(list(contents.lines(conn, SCHEMA, {}))) == sum(found.values()) + len(tables)
    lost = {name: (put[name], number) for name, number in found.items() if number < put[name]}
    assert lost == {}
    assert put["shares"] == generated_rows.NUMBER * len(migrations.revisions())
    engine.dispose()
