"""The backup schedule of shares, by their metadata and by their type: what is refused, and what is
stored."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from abaca.db.session import read
from abaca.db.tables import backup_schedules, snapshot_schedules
from tests.api.conftest import ADMIN, ALICE, Api, BackEnd

SERVERS = {"driver_handles_share_servers": "True"}


@pytest.fixture
def network(api: Api, back_end: BackEnd) -> str:
    """With the type `gold`, whose shares can have snapshots, and `bare`, whose cannot."""
    share_type(api, "gold", snapshot_support="True")
    share_type(api, "bare")
    return str(api.share_network()["id"])


def share_type(api: Api, name: str, status: int = 200, **specs: str) -> Any:
    new = {"share_type": {"name": name, "extra_specs": SERVERS | specs}}
    return api("POST", "/types", new, who=ADMIN, status=status)


def schedule(
    engine: Engine, share_id: str, table: sa.Table = backup_schedules
) -> list[tuple[Any, ...]]:
    query = sa.select(table.c.frequency, table.c.kept, table.c.minute)
    with read(engine) as conn:
        rows = conn.execute(query.where(table.c.share_id == share_id).order_by(table.c.frequency))
        return [tuple(row) for row in rows]


def test_a_share_has_the_schedule_of_its_metadata(api: Api, network: str, engine: Engine) -> None:
    """Also one that can have no snapshots."""
    said = {"backup_schedule": "weekly:4, daily:7@03:30"}
    share = api.share(network, share_type="bare", metadata=said)
    assert share["metadata"] == said
    assert schedule(engine, share["id"]) == [("daily", 7, 210), ("weekly", 4, None)]
    path = f"/shares/{share['id']}/metadata"
    api("POST", path, {"metadata": {"a": "b"}}, who=ALICE)
    assert schedule(engine, share["id"]) == [("daily", 7, 210), ("weekly", 4, None)]
    api("PUT", path, {"metadata": {"a": "b"}}, who=ALICE)
    assert schedule(engine, share["id"]) == []


def test_without_one_it_has_that_of_its_type(api: Api, network: str, engine: Engine) -> None:
    by_type: dict[str, Any] = {"abaca:backup_schedule": "daily:7"}
    share_type(api, "kept", **by_type)
    typed = api.share(network, share_type="kept")["id"]
    none = api.share(network, share_type="kept", metadata={"backup_schedule": "none"})["id"]
    assert schedule(engine, typed) == [("daily", 7, None)]
    assert schedule(engine, none) == []
    api("DELETE", f"/shares/{none}/metadata/backup_schedule", who=ALICE)
    assert schedule(engine, none) == [("daily", 7, None)]
    shown = api("GET", "/types", who=ALICE)["share_types"]
    specs = next(each["extra_specs"] for each in shown if each["name"] == "kept")
    assert specs["abaca:backup_schedule"] == "daily:7"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("yearly:1", "'yearly:1' is not FREQUENCY:KEPT"),
        ("daily:1001", "at most 1000 daily"),
        ("daily:1,daily:2", "it names daily twice"),
        ("x" * 1023, "is not FREQUENCY:KEPT"),
        ("daily:1; hourly:1", "is not FREQUENCY:KEPT"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_reason(
    api: Api, network: str, engine: Engine, text: str, reason: str
) -> None:
    share = api.share(network, metadata={"backup_schedule": "daily:1"})["id"]
    pairs = {"backup_schedule": text}
    for method, path, change in (
        ("POST", "", {"metadata": pairs}),
        ("PUT", "", {"metadata": pairs}),
        ("PUT", "/backup_schedule", {"meta": pairs}),
    ):
        said = api.fault(method, f"/shares/{share}/metadata{path}", change, 400, who=ALICE)
        assert said.startswith("Invalid backup_schedule: ") and reason in said
    assert schedule(engine, share) == [("daily", 1, None)]
    new = {"share_type": {"name": "x", "extra_specs": SERVERS | {"abaca:backup_schedule": text}}}
    if len(text) < 256:
        assert reason in api.fault("POST", "/types", new, 400, who=ADMIN)


def test_snapshots_and_backups_exclude_each_other(api: Api, network: str, engine: Engine) -> None:
    """A share with snapshots is not backed up: one of the schedules would only write messages."""
    both = {"backup_schedule": "daily:1", "snapshot_schedule": "daily:1"}
    body: dict[str, Any] = {
        "share_proto": "NFS",
        "size": 1,
        "share_type": "gold",
        "share_network_id": network,
        "metadata": both,
    }
    assert "not both" in api.fault("POST", "/shares", {"share": body}, 400, who=ALICE)
    specs = {"snapshot_support": "True"} | {f"abaca:{key}": text for key, text in both.items()}
    new = {"share_type": {"name": "x", "extra_specs": SERVERS | specs}}
    assert "exclude each other" in api.fault("POST", "/types", new, 400, who=ADMIN)
    share = api.share(network, metadata={"backup_schedule": "daily:1"})["id"]
    path = f"/shares/{share}/metadata"
    change = {"metadata": {"snapshot_schedule": "daily:1"}}
    assert "not both" in api.fault("POST", path, change, 400, who=ALICE)
    api("PUT", path, change, who=ALICE)
    assert schedule(engine, share) == []
    assert schedule(engine, share, snapshot_schedules) == [("daily", 1, None)]
