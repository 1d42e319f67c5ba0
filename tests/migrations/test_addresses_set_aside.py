"""Revision 0025: a table for addresses that other machines use. What is lost on the way back is
found again when such an address is given next."""

from __future__ import annotations

import sqlalchemy as sa

from abaca.db import migrations
from abaca.db.session import begin, create_engine, read, utcnow

TABLE = "local_addresses_set_aside"


def test_it_comes_and_goes_with_rows_and_goes_with_its_subnet(database_url: str) -> None:
    engine = create_engine(database_url)
    migrations.upgrade(engine, "0022")
    now = utcnow()
    owned = {"project_id": "p", "name": "", "description": "", "created_at": now}
    with begin(engine) as conn:
        for name, row in {
            "local_networks": {"id": "n", "mtu": 1500, "vxlan_id": 7, "shared": False, **owned},
            "local_subnets": {
                "id": "s",
                "network_id": "n",
                "cidr": "10.0.0.0/24",
                "ip_version": 4,
                "allocation_pools": "[]",
                **owned,
            },
        }.items():
            table = sa.Table(name, sa.MetaData(), autoload_with=conn)
            conn.execute(sa.insert(table).values(row))
    for _ in range(2):
        migrations.upgrade(engine, "0025")
        with begin(engine) as conn:
            table = sa.Table(TABLE, sa.MetaData(), autoload_with=conn)
            row = {"subnet_id": "s", "ip_address": "10.0.0.5", "expires_at": now}
            conn.execute(sa.insert(table).values(row))
        migrations.downgrade(engine, "0025-1")
        assert not sa.inspect(engine).has_table(TABLE)
    migrations.upgrade(engine, "0025")
    with begin(engine) as conn:
        conn.execute(sa.insert(table).values(row))
        conn.execute(sa.text("DELETE FROM local_subnets"))
    with read(engine) as conn:
        assert conn.execute(sa.select(table)).all() == []
    engine.dispose()
