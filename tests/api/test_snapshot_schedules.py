"""The snapshot schedule of shares, by their metadata and by their type: what is refused, and what
is stored."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from abaca.db.session import read
from abaca.db.tables import snapshot_schedules
from tests.api.conftest import ADMIN, ALICE, Api, BackEnd

SNAPSHOTS = {"driver_handles_share_servers": "True", "snapshot_support": "True"}


@pytest.fixture
def network(api: Api, back_end: BackEnd) -> str:
    """With the type `gold`, whose shares can have snapshots, and `bare`, whose cannot."""
    share_type(api, "gold", **SNAPSHOTS)
    share_type(api, "bare", driver_handles_share_servers="True")
    return str(api.share_network()["id"])


def share_type(api: Api, name: str, **specs: str) -> None:
    api("POST", "/types", {"share_type": {"name": name, "extra_specs": specs}}, who=ADMIN)


def schedule(engine: Engine, share_id: str) -> list[tuple[Any, ...]]:
    table = snapshot_schedules
    query = sa.select(table.c.frequency, table.c.kept, table.c.minute)
    with read(engine) as conn:
        rows = conn.execute(query.where(table.c.share_id == share_id).order_by(table.c.frequency))
        return [tuple(row) for row in rows]


def test_a_share_has_the_schedule_of_its_metadata(api: Api, network: str, engine: Engine) -> None:
    said = {"snapshot_schedule": "hourly:24, daily:7@03:30", "a": "b"}
    share = api.share(network, metadata=said)
    assert share["metadata"] == said
    assert schedule(engine, share["id"]) == [("daily", 7, 210), ("hourly", 24, None)]
    path = f"/shares/{share['id']}/metadata"
    api("POST", path, {"metadata": {"c": "d"}}, who=ALICE)
    assert schedule(engine, share["id"]) == [("daily", 7, 210), ("hourly", 24, None)]
    api("POST", path, {"metadata": {"snapshot_schedule": "weekly:4"}}, who=ALICE)
    assert schedule(engine, share["id"]) == [("weekly", 4, None)]
    api("PUT", path, {"metadata": {"a": "b"}}, who=ALICE)
    assert schedule(engine, share["id"]) == []


def test_without_one_it_has_that_of_its_type(api: Api, network: str, engine: Engine) -> None:
    share_type(api, "kept", **SNAPSHOTS, **{"abaca:snapshot_schedule": "daily:7"})
    by_type = api.share(network, share_type="kept")["id"]
    own = api.share(network, share_type="kept", metadata={"snapshot_schedule": "monthly:1"})["id"]
    none = api.share(network, share_type="kept", metadata={"snapshot_schedule": "none"})["id"]
    assert schedule(engine, by_type) == [("daily", 7, None)]
    assert schedule(engine, own) == [("monthly", 1, None)]
    assert schedule(engine, none) == []
    api("DELETE", f"/shares/{none}/metadata/snapshot_schedule", who=ALICE)
    assert schedule(engine, none) == [("daily", 7, None)]
    shown = api("GET", "/types", who=ALICE)["share_types"]
    specs = next(each["extra_specs"] for each in shown if each["name"] == "kept")
    assert specs["abaca:snapshot_schedule"] == "daily:7"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("yearly:1", "'yearly:1' is not FREQUENCY:KEPT"),
        ("daily:0", "'daily:0' is not"),
        ("daily:1,daily:2", "it names daily twice"),
        ("x" * 1023, "is not FREQUENCY:KEPT"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_reason(
    api: Api, network: str, engine: Engine, text: str, reason: str
) -> None:
    pairs = {"snapshot_schedule": text}
    body: dict[str, Any] = {
        "share_proto": "NFS",
        "size": 1,
        "share_type": "gold",
        "share_network_id": network,
        "metadata": pairs,
    }
    assert reason in api.fault("POST", "/shares", {"share": body}, 400, who=ALICE)
    share = api.share(network, metadata={"snapshot_schedule": "daily:1"})["id"]
    for method, path, change in (
        ("POST", "", {"metadata": pairs}),
        ("PUT", "", {"metadata": pairs}),
        ("PUT", "/snapshot_schedule", {"meta": pairs}),
    ):
        path = f"/shares/{share}/metadata{path}"
        said = api.fault(method, path, change, 400, who=ALICE)
        assert said.startswith("Invalid snapshot_schedule: ") and reason in said
    assert schedule(engine, share) == [("daily", 1, None)]
    assert api("GET", f"/shares/{share}")["share"]["metadata"] == {"snapshot_schedule": "daily:1"}


def test_a_type_needs_snapshots_for_it(api: Api, network: str) -> None:
    specs = {"driver_handles_share_servers": "True", "abaca:snapshot_schedule": "daily:7"}
    new = {"share_type": {"name": "x", "extra_specs": specs}}
    said = api.fault("POST", "/types", new, 400, who=ADMIN)
    assert "the type needs snapshot_support=True" in said
    types = {each["name"]: each["id"] for each in api("GET", "/types")["share_types"]}
    for type_name, text, reason in (
        ("bare", "daily:7", "the type needs snapshot_support=True"),
        ("gold", "daily", "'daily' is not FREQUENCY:KEPT"),
    ):
        change = {"extra_specs": {"abaca:snapshot_schedule": text}}
        path = f"/types/{types[type_name]}/extra_specs"
        assert reason in api.fault("POST", path, change, 400, who=ADMIN)
    body: dict[str, Any] = {
        "share_proto": "NFS",
        "size": 1,
        "share_type": "bare",
        "share_network_id": network,
        "metadata": {"snapshot_schedule": "daily:1"},
    }
    said = api.fault("POST", "/shares", {"share": body}, 400, who=ALICE)
    assert "the share type does not support snapshots" in said
    assert api.share(network, share_type="bare", metadata={"snapshot_schedule": "none"})
