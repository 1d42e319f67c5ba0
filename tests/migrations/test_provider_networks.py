"""Revision 0024: networks keep their VXLAN ids, also on the way back, where other types get free
ones; share network subnets know whether theirs is a local network."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.exc import IntegrityError

from abaca.db import migrations
from abaca.db.session import begin, create_engine, read

BEFORE, AFTER = "0022", "0024"
NOW = datetime(2026, 1, 1)
ROWS = (
    "INSERT INTO local_networks (id, project_id, name, description, shared, mtu, vxlan_id, "
    "created_at) VALUES ('one', 'p', 'n', '', :no, 1450, 1, :now), ('two', 'p', 'n', '', :no, "
    "1450, 16777215, :now)",
    "INSERT INTO share_networks (id, project_id, status, is_deleting, created_at) VALUES ('net', "
    "'p', 'active', :no, :now)",
    "INSERT INTO share_network_subnets (id, share_network_id, neutron_net_id, is_deleting, "
    "created_at, metadata) VALUES ('ours', 'net', 'one', :no, :now, '{}'), ('neutron', 'net', "
    "'other', :no, :now, '{}'), ('none', 'net', NULL, :no, :now, '{}')",
)
MORE = (
    "INSERT INTO local_networks (id, project_id, name, description, shared, mtu, network_type, "
    "physical_network, segmentation_id, created_at) VALUES ('flat', 'p', 'n', '', :no, 1500, "
    "'flat', 'physnet1', NULL, :now), ('vlan', 'p', 'n', '', :no, 1500, 'vlan', 'physnet1', 2, "
    ":now), ('here', 'p', 'n', '', :no, 1500, 'local', NULL, NULL, :now)"
)


def rows(engine: Engine, name: str) -> dict[str, dict[str, Any]]:
    with read(engine) as conn:
        table = sa.Table(name, sa.MetaData(), autoload_with=conn)
        return {row["id"]: dict(row) for row in conn.execute(sa.select(table)).mappings()}


def execute(engine: Engine, *statements: str) -> None:
    with begin(engine) as conn:
        for statement in statements:
            conn.execute(sa.text(statement), {"no": False, "now": NOW})


def test_networks_keep_their_ids(database_url: str) -> None:
    engine = create_engine(database_url)
    migrations.upgrade(engine, BEFORE)
    execute(engine, *ROWS)
    migrations.upgrade(engine, AFTER)
    assert {
        key: (row["network_type"], row["physical_network"], row["segmentation_id"])
        for key, row in rows(engine, "local_networks").items()
    } == {"one": ("vxlan", None, 1), "two": ("vxlan", None, 16777215)}
    assert {
        key: bool(row["is_local"]) for key, row in rows(engine, "share_network_subnets").items()
    } == {
        "ours": True,
        "neutron": False,
        "none": False,
    }
    execute(engine, MORE)
    migrations.downgrade(engine, BEFORE)
    back = {key: row["vxlan_id"] for key, row in rows(engine, "local_networks").items()}
    assert (back["one"], back["two"]) == (1, 16777215)
    assert len({*back.values()} - {None}) == 5
    migrations.upgrade(engine, AFTER)
    assert {row["network_type"] for row in rows(engine, "local_networks").values()} == {"vxlan"}
    engine.dispose()


@pytest.mark.parametrize(
    ("same", "other"),
    [
        ("'vxlan', NULL, 1", "'vlan', 'physnet1', 1"),
        ("'flat', 'physnet1', NULL", "'flat', 'physnet2', NULL"),
        ("'vlan', 'physnet1', 2", "'vlan', 'physnet2', 2"),
    ],
)
def test_a_wire_has_one_network(database_url: str, same: str, other: str) -> None:
    engine = create_engine(database_url)
    migrations.upgrade(engine, BEFORE)
    execute(engine, *ROWS)
    migrations.upgrade(engine, AFTER)
    execute(engine, MORE)

    def put(network_id: str, wire: str) -> None:
        execute(
            engine,
            "INSERT INTO local_networks (id, project_id, name, description, shared, mtu, "
            "created_at, network_type, physical_network, segmentation_id) VALUES "
            f"('{network_id}', 'p', 'n', '', :no, 1500, :now, {wire})",
        )

    put("another", other)
    with pytest.raises(IntegrityError):
        put("same", same)
    engine.dispose()
