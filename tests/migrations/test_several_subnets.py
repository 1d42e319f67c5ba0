"""Revision 0002 with rows: nothing is lost on the way up, and on the way down only what was allowed
to be."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.exc import IntegrityError

from abaca.db import migrations
from abaca.db.session import begin, create_engine, read
from abaca.errors import Conflict

T0, T1 = datetime(2026, 1, 1), datetime(2026, 1, 2)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    made = create_engine(database_url)
    yield made
    made.dispose()


def insert(engine: Engine, table: str, *rows: dict[str, Any]) -> None:
    """Rows as given; what must be true or false and is not named, is false."""
    reflected = sa.Table(table, sa.MetaData(), autoload_with=engine)
    flags = {
        column.name: False
        for column in reflected.columns
        if isinstance(column.type, sa.Boolean) and not column.nullable
    }
    with begin(engine) as conn:
        conn.execute(sa.insert(reflected), [flags | row for row in rows])


def select(engine: Engine, columns: str, table: str) -> list[tuple[Any, ...]]:
    with read(engine) as conn:
        return [
            tuple(row)
            for row in conn.execute(sa.text(f"SELECT {columns} FROM {table} ORDER BY 1, 2"))
        ]


def fill_surroundings(engine: Engine) -> None:
    insert(
        engine,
        "share_networks",
        {"id": "net", "project_id": "p", "status": "active", "created_at": T0},
    )
    insert(
        engine,
        "share_network_subnets",
        *({"id": key, "share_network_id": "net", "created_at": T0} for key in ("sub-a", "sub-b")),
    )


def server(key: str, **columns: Any) -> dict[str, Any]:
    made = {
        "id": key,
        "share_network_id": "net",
        "project_id": "p",
        "host": "h@b",
        "status": "active",
        "created_at": T0,
    }
    return made | {"is_auto_deletable": True} | columns


def allocation(key: str, server_id: str, address: str, **columns: Any) -> dict[str, Any]:
    made = {
        "id": key,
        "share_server_id": server_id,
        "neutron_subnet_id": "n",
        "ip_address": address,
        "mac_address": "m",
    }
    return made | {"created_at": T0, "position": 0} | columns


def fill_single_subnet_rows(engine: Engine) -> None:
    """Two servers with an address each, details and a share instance: rows that refer to rebuilt
    tables, with and without cascades."""
    fill_surroundings(engine)
    insert(
        engine,
        "share_servers",
        server("s1", share_network_subnet_id="sub-a"),
        server("s2", share_network_subnet_id="sub-b"),
    )
    insert(
        engine,
        "network_allocations",
        allocation("a1", "s1", "10.0.0.2"),
        allocation("a2", "s2", "10.0.0.3"),
    )
    insert(
        engine,
        "share_server_backend_details",
        {"share_server_id": "s1", "key": "name", "value": "v"},
    )
    insert(engine, "share_types", {"id": "t", "name": "t", "is_public": True, "created_at": T0})
    insert(
        engine,
        "shares",
        {
            "id": "sh",
            "project_id": "p",
            "size": 1,
            "share_proto": "NFS",
            "metadata": {},
            "created_at": T0,
        },
    )
    instance = {
        "id": "i",
        "share_id": "sh",
        "share_type_id": "t",
        "share_network_id": "net",
        "share_server_id": "s1",
    }
    insert(
        engine,
        "share_instances",
        instance | {"status": "available", "access_rules_status": "active", "created_at": T0},
    )


def fill_two_subnets(engine: Engine) -> None:
    """s1 is on sub-b (first) and sub-a, s2 on sub-b."""
    fill_surroundings(engine)
    insert(
        engine,
        "share_servers",
        *(server(key, network_allocation_update_support=True) for key in ("s1", "s2")),
    )
    mappings = [("s1", "sub-b", T0), ("s1", "sub-a", T1), ("s2", "sub-b", T0)]
    keys = ("share_server_id", "share_network_subnet_id", "created_at")
    insert(
        engine,
        "share_server_share_network_subnet_mappings",
        *({"is_served": True} | dict(zip(keys, row, strict=True)) for row in mappings),
    )
    insert(
        engine,
        "network_allocations",
        allocation("a1", "s1", "10.0.0.2", share_network_subnet_id="sub-b"),
        allocation("a2", "s1", "10.0.1.2", share_network_subnet_id="sub-a"),
        allocation("a3", "s2", "10.0.0.3", share_network_subnet_id="sub-b"),
    )


def test_up_keeps_every_row_and_fills_the_new_ones(engine: Engine) -> None:
    migrations.upgrade(engine, "0001")
    fill_single_subnet_rows(engine)
    migrations.upgrade(engine, "0002")
    mappings = select(
        engine,
        "share_server_id, share_network_subnet_id",
        "share_server_share_network_subnet_mappings WHERE is_served = true",
    )
    assert mappings == [("s1", "sub-a"), ("s2", "sub-b")]
    assert select(engine, "id, share_network_subnet_id", "network_allocations") == [
        ("a1", "sub-a"),
        ("a2", "sub-b"),
    ]
    assert [
        (key, bool(support))
        for key, support in select(engine, "id, network_allocation_update_support", "share_servers")
    ] == [
        ("s1", False),
        ("s2", False),
    ]
    assert select(engine, '"key", value', "share_server_backend_details") == [("name", "v")]
    assert select(engine, "id, share_server_id", "share_instances") == [("i", "s1")]


def test_down_restores_the_single_subnet(engine: Engine) -> None:
    migrations.upgrade(engine, "0001")
    fill_single_subnet_rows(engine)
    before = select(engine, "id, share_network_subnet_id", "share_servers")
    migrations.upgrade(engine)
    migrations.downgrade(engine, "0001")
    assert (
        select(engine, "id, share_network_subnet_id", "share_servers")
        == before
        == [("s1", "sub-a"), ("s2", "sub-b")]
    )
    assert select(engine, "id, ip_address", "network_allocations") == [
        ("a1", "10.0.0.2"),
        ("a2", "10.0.0.3"),
    ]
    assert select(engine, '"key", value', "share_server_backend_details") == [("name", "v")]
    assert select(engine, "id, share_server_id", "share_instances") == [("i", "s1")]


def test_down_refuses_to_lose_a_subnet(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    migrations.upgrade(engine, "0002")
    fill_two_subnets(engine)
    with caplog.at_level(logging.WARNING), pytest.raises(Conflict, match="s1"):
        migrations.downgrade(engine, "0001")
    warnings = [
        record.getMessage()
        for record in caplog.records
        if "more than one subnet" in record.getMessage()
    ]
    assert len(warnings) == 1
    assert "s1" in warnings[0] and "sub-a" in warnings[0] and "10.0.1.2" in warnings[0]
    assert migrations.current(engine) == "0002"
    assert (
        len(
            select(
                engine,
                "share_server_id, share_network_subnet_id",
                "share_server_share_network_subnet_mappings",
            )
        )
        == 3
    )


def test_down_loses_what_is_allowed_and_goes_up_again(engine: Engine) -> None:
    migrations.upgrade(engine, "0002")
    fill_two_subnets(engine)
    migrations.downgrade(engine, "0001", allow_data_loss=True)
    assert select(engine, "id, share_network_subnet_id", "share_servers") == [
        ("s1", "sub-b"),
        ("s2", "sub-b"),
    ]
    assert select(engine, "id, ip_address", "network_allocations") == [
        ("a1", "10.0.0.2"),
        ("a3", "10.0.0.3"),
    ]
    migrations.upgrade(engine)
    assert select(engine, "id, share_network_subnet_id", "network_allocations") == [
        ("a1", "sub-b"),
        ("a3", "sub-b"),
    ]


def test_up_refuses_addresses_without_a_subnet(engine: Engine) -> None:
    migrations.upgrade(engine, "0001")
    fill_surroundings(engine)
    insert(engine, "share_servers", server("s1"))
    insert(engine, "network_allocations", allocation("a1", "s1", "10.0.0.2"))
    with pytest.raises(Conflict, match=r"10\.0\.0\.2"):
        migrations.upgrade(engine)
    assert migrations.current(engine) == "0001"
    assert select(engine, "id, ip_address", "network_allocations") == [("a1", "10.0.0.2")]


def test_a_pair_is_mapped_once_and_an_address_given_once(engine: Engine) -> None:
    """Through whatever share network subnet the address is given."""
    migrations.upgrade(engine, "0002")
    fill_surroundings(engine)
    insert(engine, "share_servers", server("s1"), server("s2"))
    pair = {
        "share_server_id": "s1",
        "share_network_subnet_id": "sub-a",
        "is_served": True,
        "created_at": T0,
    }
    insert(
        engine,
        "share_server_share_network_subnet_mappings",
        pair,
        pair | {"share_server_id": "s2"},
        pair | {"share_network_subnet_id": "sub-b"},
    )
    insert(
        engine,
        "network_allocations",
        allocation("a1", "s1", "10.0.0.2", share_network_subnet_id="sub-a"),
    )
    again = allocation("a2", "s2", "10.0.0.2", share_network_subnet_id="sub-b")
    for table, row in (
        ("share_server_share_network_subnet_mappings", pair | {"created_at": T1}),
        ("network_allocations", again),
    ):
        with pytest.raises(IntegrityError):
            insert(engine, table, row)
    insert(engine, "network_allocations", again | {"neutron_subnet_id": "another"})
