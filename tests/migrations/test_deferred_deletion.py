"""Revision 0052: what is there is not being deleted, and what is does not come back unasked."""

from __future__ import annotations

from datetime import datetime

import pytest
import sqlalchemy as sa

from abaca.db import migrations
from abaca.db.session import begin, create_engine
from abaca.errors import Conflict
from tests.migrations.test_soft_deleted_shares import one_share, shares

NOW = datetime(2026, 1, 1)


def test_there_and_back(database_url: str) -> None:
    engine = create_engine(database_url)
    one_share(engine, "0040")
    before = shares(engine)
    migrations.upgrade(engine, "0052")
    assert shares(engine) == [row | {"deletion_deferred_at": None} for row in before]
    with begin(engine) as conn:
        conn.execute(sa.text("UPDATE shares SET deletion_deferred_at = :now"), {"now": NOW})
    with pytest.raises(Conflict, match="deletion of 1 rows of shares is deferred"):
        migrations.downgrade(engine, "0040")
    assert shares(engine)[0]["deletion_deferred_at"] is not None
    migrations.downgrade(engine, "0040", allow_data_loss=True)
    assert shares(engine) == before
    engine.dispose()
