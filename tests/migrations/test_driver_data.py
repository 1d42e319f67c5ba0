"""Revision 0018: a table for what drivers keep, which is not taken away while it holds
something."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from abaca.db import migrations
from abaca.db.session import begin, create_engine
from abaca.errors import Conflict


def test_what_drivers_keep_is_not_lost_unasked(database_url: str) -> None:
    engine = create_engine(database_url)
    migrations.upgrade(engine, "0017")
    migrations.upgrade(engine, "0018")
    migrations.downgrade(engine, "0017")
    migrations.upgrade(engine, "0018")
    with begin(engine) as conn:
        kept = sa.Table("driver_data", sa.MetaData(), autoload_with=conn)
        conn.execute(sa.insert(kept).values(service_host="h@b", subject="s", key="k", value="v"))
    with pytest.raises(Conflict, match="Drivers keep 1 values"):
        migrations.downgrade(engine, "0017")
    migrations.downgrade(engine, "0017", allow_data_loss=True)
    assert not sa.inspect(engine).has_table("driver_data")
    engine.dispose()
