"""Revision 0006: checks are asked again under their new name; the way down takes security services
away."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from abaca.db import migrations
from abaca.db.session import begin, create_engine, read

NOW = datetime(2026, 1, 1)


def test_up_and_down_with_rows(database_url: str) -> None:
    engine = create_engine(database_url)

    def insert(table: str, **values: Any) -> None:
        with begin(engine) as conn:
            conn.execute(
                sa.insert(sa.Table(table, sa.MetaData(), autoload_with=conn)).values(
                    created_at=NOW, **values
                )
            )

    def tables() -> set[str]:
        return set(sa.inspect(engine).get_table_names())

    check = {
        "request": {},
        "request_digest": "d",
        "share_server_ids": [],
        "hosts": {},
        "reasons": {},
        "expires_at": NOW,
    }
    migrations.upgrade(engine, "0005")
    insert("share_networks", id="net", project_id="p", status="active", is_deleting=False)
    insert("share_network_subnet_checks", id="check", share_network_id="net", **check)
    migrations.upgrade(engine, "0006")
    assert "share_network_subnet_checks" not in tables()
    insert("share_network_checks", id="check", share_network_id="net", **check)
    insert("security_services", id="ldap", project_id="p", type="ldap", encrypted_password="token")
    insert(
        "share_network_security_service_association",
        share_network_id="net",
        security_service_id="ldap",
    )
    migrations.downgrade(engine, "0005")
    assert (
        not {
            "security_services",
            "share_network_security_service_association",
            "share_network_checks",
        }
        & tables()
    )
    with read(engine) as conn:
        assert conn.execute(sa.text("SELECT id FROM share_networks")).all() == [("net",)]
        assert conn.execute(sa.text("SELECT id FROM share_network_subnet_checks")).all() == []
    migrations.upgrade(engine)
    engine.dispose()
