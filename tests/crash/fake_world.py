"""What a fake back end must hold once nothing goes on: what the rows say, and nothing else."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from abaca.db.session import read
from abaca.db.tables import (
    network_allocations,
    share_access_rules,
    share_backups,
    share_instance_access_map,
    share_instances,
    share_servers,
    share_snapshot_instances,
    shares,
)
from abaca.drivers.fake import FakeDriver
from abaca.drivers.fake.servers import OWN


def violations(
    engine: Engine, state_file: Path, host: str, unmanaged: Collection[str] = ()
) -> list[str]:
    """`state_file`: the world's, of the back end `host` (host@backend). `unmanaged`: ids of share
    instances that it may have without a row."""
    is_here = share_instances.c.host.startswith(f"{host}#")
    world = FakeDriver("look", {"state_file": str(state_file)}).world()
    world["servers"].pop(OWN, None)  # of a back end without share servers
    with read(engine) as conn:
        of_host = share_servers.c.host == host
        servers = {
            row.id: row.status for row in conn.execute(sa.select(share_servers).where(of_host))
        }
        addresses = conn.execute(
            sa.select(network_allocations.c.share_server_id, network_allocations.c.ip_address)
        ).all()
        stored = {
            row.id: row
            for row in conn.execute(
                sa.select(shares.c.size, share_instances).join(share_instances).where(is_here)
            )
        }
        snapshots = {
            row.id: row.status
            for row in conn.execute(
                sa.select(share_snapshot_instances).join(share_instances).where(is_here)
            )
        }
        backups = {
            row.id: row.status
            for row in conn.execute(sa.select(share_backups).where(share_backups.c.host == host))
        }
        rules = conn.execute(
            sa.select(
                share_instance_access_map.c.share_instance_id.label("id"),
                share_access_rules.c.access_to,
            )
            .join(
                share_access_rules, share_access_rules.c.id == share_instance_access_map.c.access_id
            )
            .where(share_instance_access_map.c.state == "active")
        ).all()
    found = _compared(
        "share server",
        world["servers"],
        {id_: status == "active" for id_, status in servers.items()},
    )
    found += _compared(
        "share",
        world["shares"],
        dict.fromkeys(unmanaged, False)
        | {id_: row.status == "available" for id_, row in stored.items()},
    )
    found += _compared(
        "snapshot",
        world["snapshots"],
        {id_: status == "available" for id_, status in snapshots.items()},
    )
    found += _compared(
        "backup",
        world["backups"],
        {id_: status == "available" for id_, status in backups.items()},
    )
    found += [
        f"{what} {id_} goes on on the back end, and nothing works on it"
        for what in ("fixed", "fetched")
        for id_ in world[what]
    ]
    for id_, server in world["servers"].items():
        there = sorted(
            allocation["ip_address"]
            for entry in server["network_info"]
            for allocation in entry["network_allocations"]
        )
        wanted = sorted(address for server_id, address in addresses if server_id == id_)
        if servers.get(id_) == "active" and there != wanted:
            found.append(f"share server {id_} is on {there} instead of {wanted}")
    for id_, share in world["shares"].items():
        if id_ not in stored or stored[id_].status != "available":
            continue
        if share["size"] != stored[id_].size:
            found.append(
                f"share {id_} has {share['size']} GiB on the back end and {stored[id_].size} in "
                "the database"
            )
        enforced, wanted = (
            sorted(rule["access_to"] for rule in share["access_rules"]),
            sorted(to for owner, to in rules if owner == id_),
        )
        if stored[id_].access_rules_status == "active" and enforced != wanted:
            found.append(f"share {id_} is open to {enforced} instead of {wanted}")
    return found


def _compared(what: str, there: dict[str, Any], known: dict[str, bool]) -> list[str]:
    """`known`: id → whether it must be there."""
    found = [
        f"{what} {id_} is on the back end, and nothing knows of it"
        for id_ in there.keys() - known.keys()
    ]
    return found + [
        f"{what} {id_} is not on the back end"
        for id_, must_be in known.items()
        if must_be and id_ not in there
    ]
