"""Share instances, and their export locations."""

from __future__ import annotations

import pytest
from sqlalchemy.engine import Engine

from abaca.db.session import begin
from abaca.domain.shares import export_locations
from abaca.values import ExportLocation
from tests.api.conftest import ADMIN, ALICE, BACKEND, POOL, READER, UNKNOWN, ZONE, Api, BackEnd

ALWAYS = {
    "id",
    "share_id",
    "availability_zone",
    "created_at",
    "host",
    "status",
    "share_network_id",
    "share_server_id",
}
SINCE = {
    10: {"access_rules_status"}, 11: {"replica_state"}, 22: {"share_type_id"},
     30: {"cast_rules_to_readonly"}, 54: {"progress"}, 71: {"updated_at"},
}  # fmt: skip
PATH = "10.0.0.5:/shares/x"


def test_there_are_no_replicas(api: Api, share: str) -> None:
    """share_replicas.index: clients look for them before they delete a share."""
    for path in (
        "/share-replicas",
        "/share-replicas/detail",
        f"/share-replicas/detail?share_id={share}",
    ):
        assert api("GET", path, who=ALICE, version="2.11") == {"share_replicas": []}
        api.fault("GET", path, None, 404, who=ALICE, version="2.10")


def test_there_are_no_share_groups(api: Api) -> None:
    """share_groups.index, share_group_types.index, share_group_snapshots.index: Horizon asks for
    them before it makes a share."""
    for path in (
        "groups",
        "groups/detail",
        "group-types",
        "group-snapshots",
        "group-snapshots/detail",
    ):
        member = "share_" + path.partition("/")[0].replace("-", "_")
        assert api("GET", f"/share-{path}", who=READER, version="2.31") == {member: []}
        api.fault("GET", f"/share-{path}", None, 404, who=READER, version="2.30")


@pytest.fixture
def share(api: Api, back_end: BackEnd) -> str:
    api.share_type()
    made = api.share(api.share_network()["id"])
    back_end.settle(made["id"], PATH)
    return str(made["id"])


@pytest.fixture
def instance(api: Api, share: str) -> str:
    return str(api("GET", f"/shares/{share}/instances")["share_instances"][0]["id"])


@pytest.mark.parametrize("version", [3, 8, 9, 10, 11, 22, 30, 54, 70, 71])
def test_fields_by_version(api: Api, share: str, instance: str, version: int) -> None:
    """share_instances.index, share_instances.show"""
    at = f"2.{version}"
    shown = api("GET", f"/share_instances/{instance}", version=at)["share_instance"]
    old = {"export_location", "export_locations"} if version <= 8 else set()
    assert set(shown) == ALWAYS.union(
        old, *(fields for since, fields in SINCE.items() if since <= version)
    )
    assert api("GET", "/share_instances", version=at)["share_instances"] == [shown]
    assert api("GET", f"/shares/{share}/instances", version=at)["share_instances"] == [shown]


def test_values(api: Api, share: str, instance: str) -> None:
    shown = api("GET", f"/share_instances/{instance}", version="2.71")["share_instance"]
    assert (shown["share_id"], shown["status"], shown["host"], shown["availability_zone"]) == (
        share,
        "available",
        POOL,
        ZONE,
    )
    assert (
        shown["access_rules_status"],
        shown["replica_state"],
        shown["cast_rules_to_readonly"],
    ) == ("active", None, False)
    assert shown["progress"] == "100%"
    assert api("GET", f"/share_instances/{instance}", version="2.8")["share_instance"][
        "export_locations"
    ] == [PATH]


def test_filters(api: Api, share: str, instance: str) -> None:
    whole = api("GET", f"/shares/{share}", version="2.70")["share"]
    location = api("GET", f"/share_instances/{instance}/export_locations")["export_locations"][0][
        "id"
    ]
    for name, right in {
        "share_id": share, "host": POOL, "status": "available",
         "share_network_id": whole["share_network_id"],
        "share_server_id": whole["share_server_id"], "share_type_id": whole["share_type"],
         "project_id": "red", "export_location_path": PATH,
        "export_location_id": location,
    }.items():  # fmt: skip
        right = right.replace("#", "%23")
        assert len(api("GET", f"/share_instances?{name}={right}")["share_instances"]) == 1, name
        assert api("GET", f"/share_instances?{name}=other")["share_instances"] == [], name
    assert api("GET", "/share_instances?limit=1&offset=1")["share_instances"] == []
    assert BACKEND in whole["host"]


def test_what_is_not_there(api: Api, share: str, instance: str) -> None:
    api.fault("GET", f"/share_instances/{UNKNOWN}", None, 404)
    api.fault("GET", f"/share_instances/{UNKNOWN}/export_locations", None, 404)
    api.fault("GET", f"/share_instances/{instance}/export_locations/{UNKNOWN}", None, 404)
    api.fault("GET", f"/shares/{UNKNOWN}/instances", None, 404)
    api.fault("GET", "/share_instances", None, 404, version="2.2")
    for path in (
        "/share_instances",
        f"/share_instances/{instance}",
        f"/shares/{share}/instances",
        f"/share_instances/{instance}/export_locations",
    ):
        api.fault("GET", path, None, 403, who=ALICE)


def test_export_locations(api: Api, share: str, instance: str) -> None:
    (location,) = api("GET", f"/share_instances/{instance}/export_locations")["export_locations"]
    assert location == api("GET", f"/shares/{share}/export_locations")["export_locations"][0]
    assert (location["path"], location["share_instance_id"], location["is_admin_only"]) == (
        PATH,
        instance,
        False,
    )
    shown = api("GET", f"/share_instances/{instance}/export_locations/{location['id']}")[
        "export_location"
    ]
    assert set(shown) - set(location) == {"created_at", "updated_at"}


@pytest.mark.parametrize(
    ("version", "prefix"), [("2.3", "os-"), ("2.6", "os-"), ("2.7", ""), ("2.70", "")]
)
def test_actions(api: Api, share: str, instance: str, version: str, prefix: str) -> None:
    """Actions reset_status, os-reset_status, force_delete, os-force_delete"""
    path = f"/share_instances/{instance}/action"
    api("POST", path, {f"{prefix}reset_status": {"status": "error"}}, status=202, version=version)
    assert api("GET", f"/shares/{share}")["share"]["status"] == "error"
    for wrong in ({"status": "no-such"}, {}, None):
        api.fault("POST", path, {f"{prefix}reset_status": wrong}, 400, version=version)
    api.fault(
        "POST",
        path,
        {f"{prefix}reset_status": {"status": "error"}},
        403,
        version=version,
        who=ALICE,
    )
    api.fault(
        "POST",
        f"/share_instances/{UNKNOWN}/action",
        {f"{prefix}reset_status": {"status": "error"}},
        404,
        version=version,
        who=ADMIN,
    )
    api("POST", path, {f"{prefix}force_delete": None}, status=202, version=version)
    assert api("GET", f"/shares/{share}")["share"]["status"] == "deleting"


def test_one_location_of_each_ip_version_is_preferred_whatever_the_paths_look_like(
    share: str, instance: str, engine: Engine
) -> None:
    """The one that has been there longest. Those for administrators only count apart."""

    def preferred(*locations: ExportLocation) -> list[str]:
        with begin(engine) as conn:
            export_locations.replace(conn, instance, locations)
            return [
                row.path
                for row in export_locations.by_instance(conn, [instance])[instance]
                if row.preferred
            ]

    four, six = r"\\10.0.0.5\x", r"\\fd00--5.ipv6-literal.net\x"
    there = [
        ExportLocation(path=path, ip_version=version, preferred=True)
        for path, version in ((four, 4), (six, 6))
    ]
    assert preferred(*there) == [four, six]
    more = [
        ExportLocation(path=f"{path}2", ip_version=version, preferred=True)
        for path, version in ((four, 4), (six, 6))
    ]
    inner = ExportLocation(path="inside:/x", is_admin_only=True, preferred=True)
    assert preferred(*more, *there, inner) == [four, six, "inside:/x"]
