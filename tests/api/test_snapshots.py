"""Snapshots, their actions and export locations, reverting, and shares asked for from snapshots."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from abaca.db.session import begin, read
from abaca.db.tables import (
    pools,
    share_instances,
    share_servers,
    share_snapshot_instances,
    share_snapshots,
)
from abaca.domain.snapshots import share_snapshot_instances as instances
from abaca.values import ExportLocation, SnapshotUpdate
from tests.api.conftest import ADMIN, ALICE, BOB, READER, UNKNOWN, Api, BackEnd

ALWAYS = {
    "id",
    "share_id",
    "share_size",
    "created_at",
    "status",
    "name",
    "description",
    "size",
    "share_proto",
    "links",
}
SUPPORTS = (
    "snapshot_support",
    "create_share_from_snapshot_support",
    "revert_to_snapshot_support",
    "mount_snapshot_support",
)
LOCATION = {"id", "path", "links"}
PATHS = ("10.0.0.5:/snapshots/x", "[fd00::5]:/snapshots/x")


@pytest.fixture
def network(api: Api, back_end: BackEnd) -> str:
    """A share network, with a type and a back end that have everything of snapshots."""
    with begin(back_end.engine) as conn:
        stats = conn.execute(sa.select(pools.c.stats)).scalar_one()
        stats["capabilities"] |= dict.fromkeys(SUPPORTS, True)
        conn.execute(sa.update(pools).values(stats=stats))
    api.share_type("gold", **dict.fromkeys(SUPPORTS, "True"))
    return str(api.share_network()["id"])


@pytest.fixture
def share(api: Api, back_end: BackEnd, network: str) -> dict[str, Any]:
    made = api.share(network, name="one", size=2)
    back_end.settle(made["id"], "10.0.0.5:/shares/x")
    shown: dict[str, Any] = api("GET", f"/shares/{made['id']}")["share"]
    return shown


def take(
    api: Api, share_id: str, who: str = ALICE, version: str = "2.78", **members: Any
) -> dict[str, Any]:
    body = {"snapshot": {"share_id": share_id, **members}}
    made: dict[str, Any] = api("POST", "/snapshots", body, status=202, who=who, version=version)[
        "snapshot"
    ]
    return made


def settle(back_end: BackEnd, snapshot_id: str, *paths: str) -> None:
    """What a worker would have set."""
    table = share_snapshot_instances
    with begin(back_end.engine) as conn:
        instance_id = conn.execute(
            sa.select(table.c.id).where(table.c.snapshot_id == snapshot_id)
        ).scalar_one()
        locations = [
            ExportLocation(path=path, is_admin_only=path.startswith("admin")) for path in paths
        ]
        instances.created(
            conn,
            instance_id,
            SnapshotUpdate(provider_location="pool/x", export_locations=locations),
        )


def set_status(engine: Engine, table: sa.Table, **values: str) -> None:
    with begin(engine) as conn:
        conn.execute(sa.update(table).values(**values))


@pytest.fixture
def snapshot(api: Api, back_end: BackEnd, share: dict[str, Any]) -> str:
    """A snapshot that is available and mounted under two paths."""
    id_ = str(take(api, share["id"], name="s", description="d", metadata={"k": "v"})["id"])
    settle(back_end, id_, *PATHS)
    return id_


@pytest.mark.parametrize("minor", [0, 11, 12, 16, 17, 32, 72, 73, 78])
def test_fields_by_version(api: Api, share: dict[str, Any], snapshot: str, minor: int) -> None:
    """snapshots.show, snapshots.detail, snapshots.index, snapshots.create, snapshots.update"""
    version = f"2.{minor}"
    keys = (
        ALWAYS
        | ({"user_id", "project_id"} if minor >= 17 else set())
        | ({"metadata"} if minor >= 73 else set())
    )
    shown = api("GET", f"/snapshots/{snapshot}", who=READER, version=version)["snapshot"]
    assert set(shown) == keys
    assert api("GET", "/snapshots/detail", who=READER, version=version) == {"snapshots": [shown]}
    assert api("GET", "/snapshots", who=READER, version=version) == {
        "snapshots": [{name: shown[name] for name in ("id", "name", "links")}]
    }
    for_administrators = keys | ({"provider_location"} if minor >= 12 else set())
    assert (
        set(api("GET", f"/snapshots/{snapshot}", version=version)["snapshot"]) == for_administrators
    )
    assert set(take(api, share["id"], version=version)) == keys
    assert (
        set(
            api(
                "PUT",
                f"/snapshots/{snapshot}",
                {"snapshot": {"display_name": "t"}},
                who=ALICE,
                version=version,
            )["snapshot"]
        )
        == keys
    )


def test_values(api: Api, share: dict[str, Any], snapshot: str) -> None:
    shown = api("GET", f"/snapshots/{snapshot}", version="2.78")["snapshot"]
    assert shown == shown | {
        "share_id": share["id"], "share_size": 2, "size": 2, "status": "available", "name": "s",
         "description": "d", "share_proto": "NFS",
        "provider_location": "pool/x", "user_id": "alice", "project_id": "red",
         "metadata": {"k": "v"},
    }  # fmt: skip
    hrefs = [link["href"] for link in shown["links"]]
    assert [href.partition("/v2/")[2] or href.rpartition("/snapshots/")[2] for href in hrefs] == [
        f"snapshots/{snapshot}", snapshot,
    ]  # fmt: skip
    old = take(
        api,
        share["id"],
        version="2.0",
        display_name="old",
        display_description="way",
        metadata={"ignored": "here"},
    )
    assert (old["name"], old["description"], old["status"]) == ("old", "way", "creating")
    assert api("GET", f"/snapshots/{old['id']}", version="2.73")["snapshot"]["metadata"] == {}


def test_texts_change_and_may_be_taken_away(api: Api, snapshot: str) -> None:
    def change(**members: Any) -> tuple[Any, Any]:
        shown = api("PUT", f"/snapshots/{snapshot}", {"snapshot": members}, who=ALICE)["snapshot"]
        return shown["name"], shown["description"]

    assert change(display_name="new") == ("new", "d")
    assert change(display_description=None, status="error") == ("new", None)
    api.fault("PUT", f"/snapshots/{snapshot}", {}, 422, who=ALICE)
    api.fault(
        "PUT", f"/snapshots/{snapshot}", {"snapshot": {"display_name": "x" * 256}}, 400, who=ALICE
    )


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({}, 422, "Unable to process"),
        ({"snapshot": []}, 422, "Unable to process"),
        ({"snapshot": {}}, 400, "share_id"),
        ({"snapshot": {"share_id": UNKNOWN}}, 404, f"Share {UNKNOWN} could not be found."),
        ({"snapshot": {"share_id": "{share}", "name": "x" * 256}}, 400, "name"),
        ({"snapshot": {"share_id": "{share}", "metadata": {"": "v"}}}, 400, "key is blank"),
        ({"snapshot": {"share_id": "{share}", "force": "perhaps"}}, 400, "perhaps"),
    ],
)
def test_what_cannot_be_taken(
    api: Api, share: dict[str, Any], body: dict[str, Any], status: int, message: str
) -> None:
    if isinstance(body.get("snapshot"), dict) and body["snapshot"].get("share_id") == "{share}":
        body = {"snapshot": body["snapshot"] | {"share_id": share["id"]}}
    assert message in api.fault("POST", "/snapshots", body, status, who=ALICE, version="2.78")


def test_the_state_of_the_share_decides(api: Api, engine: Engine, share: dict[str, Any]) -> None:
    body = {"snapshot": {"share_id": share["id"]}}
    for status in ("creating", "extending", "shrinking_error", "reverting", "error", "deleting"):
        set_status(engine, share_instances, status=status)
        assert f"it is {status}" in api.fault("POST", "/snapshots", body, 400, who=ALICE)
    set_status(engine, share_instances, status="shrinking_error")
    take(api, share["id"], force=True)
    set_status(engine, share_instances, status="error")
    api.fault(
        "POST", "/snapshots", {"snapshot": {"share_id": share["id"], "force": True}}, 400, who=ALICE
    )


def test_a_share_without_the_capability(api: Api, back_end: BackEnd, network: str) -> None:
    api.share_type("plain")
    made = api.share(network, share_type="plain")
    back_end.settle(made["id"])
    assert "does not have that capability" in api.fault(
        "POST", "/snapshots", {"snapshot": {"share_id": made["id"]}}, 422, who=ALICE
    )
    api.share_type("only", snapshot_support="True")
    made = api.share(network, share_type="only")
    back_end.settle(made["id"])
    id_ = take(api, made["id"])["id"]
    settle(back_end, id_)
    revert = {"revert": {"snapshot_id": id_}}
    assert "does not have that capability" in api.fault(
        "POST", f"/shares/{made['id']}/action", revert, 400, who=ALICE
    )
    body = {"share": {"share_proto": "NFS", "size": 1, "snapshot_id": id_}}
    assert "does not have that capability" in api.fault("POST", "/shares", body, 400, who=ALICE)


def test_lists_filter_sort_and_page(
    api: Api, back_end: BackEnd, share: dict[str, Any], network: str
) -> None:
    names = ["a", "b", "ab"]
    ids = {
        name: take(api, share["id"], name=name, description=f"text {name}", metadata={"m": name})[
            "id"
        ]
        for name in names
    }
    other = api.share(network, size=1)
    back_end.settle(other["id"])
    ids["c"] = take(api, other["id"], name="c")["id"]
    settle(back_end, ids["c"])

    def listed(query: str, version: str = "2.78", who: str = ALICE) -> list[str]:
        return [
            each["name"]
            for each in api("GET", f"/snapshots/detail?{query}", who=who, version=version)[
                "snapshots"
            ]
        ]

    assert listed("") == ["c", "ab", "b", "a"]
    assert listed("sort_key=name&sort_dir=asc") == ["a", "ab", "b", "c"]
    assert listed("name=b") == listed("display_name=b") == ["b"]
    assert (
        listed(f"share_id={other['id']}") == listed("size=1") == listed("status=available") == ["c"]
    )
    assert listed("name~=b") == ["ab", "b"]
    assert listed("description~=text") == ["ab", "b", "a"]
    assert listed("name~=b", version="2.35") == ["c", "ab", "b", "a"]
    assert listed("metadata={'m': 'b'}") == ["b"]
    assert listed("metadata={'m': 'b'}", version="2.72") == ["c", "ab", "b", "a"]
    assert listed("", who=BOB) == listed("all_tenants=1", who=BOB) == []
    assert listed("all_tenants=1", who=ADMIN) == ["c", "ab", "b", "a"]
    assert listed("", who=ADMIN) == []
    page = api("GET", "/snapshots?limit=3&offset=0", who=ALICE)
    assert [each["name"] for each in page["snapshots"]] == ["c", "ab", "b"]
    assert set(page) == {"snapshots", "share_snapshots_links"}
    assert "offset=3" in page["share_snapshots_links"][0]["href"]
    assert set(api("GET", "/snapshots?limit=3&offset=3", who=ALICE)) == {"snapshots"}
    for path in (
        "/snapshots?limit=1&with_count=true",
        "/snapshots/detail?name~=b&limit=1&with_count=true",
    ):
        counted = api("GET", path, who=ALICE, version="2.79")
        assert (len(counted["snapshots"]), counted["count"]) == (1, 2 if "name~" in path else 4)
        assert "count" not in api("GET", path, who=ALICE, version="2.78")
    assert "count" not in api("GET", "/snapshots?with_count=false", who=ALICE, version="2.79")
    api.fault("GET", "/snapshots?sort_key=nothing", None, 400, who=ALICE)
    api.fault("GET", "/snapshots?size=big", None, 400, who=ALICE)


def test_another_projects_snapshots_are_not_there(
    api: Api, share: dict[str, Any], snapshot: str
) -> None:
    path = f"/snapshots/{snapshot}"
    for method, where, body in (
        ("GET", path, None),
        ("PUT", path, {"snapshot": {"display_name": "mine"}}),
        ("DELETE", path, None),
        ("GET", f"{path}/export-locations", None),
        ("GET", f"{path}/metadata", None),
        ("POST", f"{path}/metadata", {"metadata": {"a": "b"}}),
    ):
        assert f"Snapshot {snapshot} could not be found" in api.fault(
            method, where, body, 404, who=BOB, version="2.78"
        )
        api.fault(method, where.replace(snapshot, UNKNOWN), body, 404, version="2.78")
    api.fault("POST", "/snapshots", {"snapshot": {"share_id": share["id"]}}, 404, who=BOB)
    api.fault("POST", "/snapshots", {"snapshot": {"share_id": share["id"]}}, 403, who=READER)
    api.fault("DELETE", path, None, 403, who=READER)
    api("GET", path)


def test_deleting(api: Api, engine: Engine, share: dict[str, Any], snapshot: str) -> None:
    refusal = api.fault("DELETE", f"/shares/{share['id']}", None, 403, who=ALICE)
    assert refusal == "Invalid share: Share still has 1 dependent snapshots."
    api.fault("POST", f"/shares/{share['id']}/action", {"force_delete": None}, 403)
    for status in ("creating", "restoring", "deleting"):
        set_status(engine, share_snapshot_instances, status=status)
        assert "status must be one of" in api.fault(
            "DELETE", f"/snapshots/{snapshot}", None, 400, who=ALICE
        )
    for status in ("available", "error", "error_deleting"):
        set_status(engine, share_snapshot_instances, status=status)
        api("DELETE", f"/snapshots/{snapshot}", status=202, who=ALICE)
        assert api("GET", f"/snapshots/{snapshot}")["snapshot"]["status"] == "deleting"


@pytest.mark.parametrize(("version", "prefix"), [("2.6", "os-"), ("2.7", "")])
def test_actions_of_administrators(
    api: Api, engine: Engine, snapshot: str, version: str, prefix: str
) -> None:
    """snapshots.reset_status, snapshots.force_delete"""
    path = f"/snapshots/{snapshot}/action"
    api("POST", path, {f"{prefix}reset_status": {"status": "error"}}, status=202, version=version)
    assert api("GET", f"/snapshots/{snapshot}")["snapshot"]["status"] == "error"
    assert "Valid states" in api.fault(
        "POST", path, {f"{prefix}reset_status": {"status": "fine"}}, 400, version=version
    )
    other = "" if prefix else "os-"
    for name in ("reset_status", "force_delete"):
        api.fault(
            "POST", path, {f"{prefix}{name}": {"status": "error"}}, 403, version=version, who=ALICE
        )
        api.fault("POST", path, {f"{other}{name}": {"status": "error"}}, 404, version=version)
    api.fault(
        "POST", path, {f"{prefix}reset_status": {"status": "restoring"}}, 400, version=version
    )
    for status in ("restoring", "server_migrating"):
        set_status(engine, share_snapshot_instances, status=status)
        api("POST", path, {f"{prefix}force_delete": None}, status=202, version=version)
        assert api("GET", f"/snapshots/{snapshot}")["snapshot"]["status"] == "deleting"


def test_export_locations(api: Api, back_end: BackEnd, snapshot: str) -> None:
    """snapshot_export_locations.index, snapshot_export_locations.show"""
    path = f"/snapshots/{snapshot}/export-locations"
    listed = api("GET", path, who=READER, version="2.32")["share_snapshot_export_locations"]
    assert [set(each) for each in listed] == [LOCATION, LOCATION]
    assert [each["path"] for each in listed] == list(PATHS)
    one = api("GET", f"{path}/{listed[0]['id']}", who=READER, version="2.32")[
        "share_snapshot_export_location"
    ]
    assert set(one) == LOCATION | {"created_at", "updated_at"}
    admin = api("GET", path, version="2.32")["share_snapshot_export_locations"][0]
    assert set(admin) == LOCATION | {"share_snapshot_instance_id", "is_admin_only"}
    api.fault("GET", path, None, 404, version="2.31")
    api.fault("GET", f"{path}/{UNKNOWN}", None, 404)
    settle(back_end, snapshot, *PATHS, "admin:/x")
    assert [
        each["path"] for each in api("GET", path, who=READER)["share_snapshot_export_locations"]
    ] == list(PATHS)
    assert [each["path"] for each in api("GET", path)["share_snapshot_export_locations"]] == [
        *PATHS,
        "admin:/x",
    ]


def test_metadata(api: Api, snapshot: str) -> None:
    """metadata.merge, metadata.set_one …, of snapshots since 2.73"""
    path = f"/snapshots/{snapshot}/metadata"
    new: dict[str, Any] = {"who": ALICE, "version": "2.73"}
    assert api("POST", path, {"metadata": {"a": "1"}}, **new) == {"metadata": {"k": "v", "a": "1"}}
    assert api("PUT", f"{path}/a", {"meta": {"a": "2"}}, **new) == {"meta": {"a": "2"}}
    api("DELETE", f"{path}/k", **new)
    assert api("GET", f"/snapshots/{snapshot}", version="2.73")["snapshot"]["metadata"] == {
        "a": "2"
    }
    assert (
        api("PUT", path, {"metadata": {"z": "9"}}, **new)
        == api("GET", path, **new)
        == {"metadata": {"z": "9"}}
    )
    assert api("POST", f"{path}/z", {"meta": {"z": "8"}}, **new) == {"meta": {"z": "8"}}
    assert api("GET", f"{path}/z", **new) == {"meta": {"z": "8"}}
    api.fault("GET", path, None, 404, who=ALICE, version="2.72")


# --- reverting ------------------------------------------------------------------------------------


def test_reverting(
    api: Api, engine: Engine, back_end: BackEnd, share: dict[str, Any], snapshot: str
) -> None:
    path, body = f"/shares/{share['id']}/action", {"revert": {"snapshot_id": snapshot}}
    api.fault("POST", path, body, 404, who=ALICE, version="2.26")
    api.fault("POST", path, {"revert": {}}, 400, who=ALICE, version="2.27")
    api.fault("POST", path, body, 404, who=BOB)
    api.fault("POST", path, body, 403, who=READER)
    assert "could not be found" in api.fault(
        "POST", path, {"revert": {"snapshot_id": UNKNOWN}}, 400, who=ALICE
    )
    for table, values, message in (
        (share_instances, {"status": "extending"}, "must be in 'available' state to be reverted"),
        (
            share_snapshot_instances,
            {"status": "error"},
            "must be in 'available' state to be restored",
        ),
        (share_instances, {"access_rules_status": "error"}, "access rules that are not active"),
    ):
        set_status(engine, table, **values)
        assert message in api.fault("POST", path, body, 409, who=ALICE)
        set_status(
            engine,
            table,
            **{name: "active" if name == "access_rules_status" else "available" for name in values},
        )
    later = take(api, share["id"])["id"]
    assert f"the latest snapshot is {later}" in api.fault("POST", path, body, 409, who=ALICE)
    with begin(engine) as conn:
        conn.execute(sa.delete(share_snapshots).where(share_snapshots.c.id == later))
    api("POST", path, body, status=202, who=ALICE, version="2.27")
    assert api("GET", f"/shares/{share['id']}")["share"]["status"] == "reverting"
    assert api("GET", f"/snapshots/{snapshot}")["snapshot"]["status"] == "restoring"


def test_a_revert_that_grows_a_share_claims_the_room(
    api: Api, engine: Engine, share: dict[str, Any], snapshot: str
) -> None:
    with begin(engine) as conn:
        conn.execute(sa.update(share_snapshots).values(size=99))
    path, body = f"/shares/{share['id']}/action", {"revert": {"snapshot_id": snapshot}}
    limits = {"quota_set": {"gigabytes": 50}}
    api("PUT", "/quota-sets/red", limits)
    assert "gigabytes" in api.fault("POST", path, body, 403, who=ALICE)
    api("DELETE", "/quota-sets/red", status=202)
    api("POST", path, body, status=202, who=ALICE)
    with read(engine) as conn:
        assert conn.scalar(sa.select(pools.c.allocated_capacity_gb)) == 99


# --- shares from snapshots ------------------------------------------------------------------------


def test_a_share_from_a_snapshot_takes_over_what_is_left_open(
    api: Api, engine: Engine, share: dict[str, Any], snapshot: str
) -> None:
    body = {"share": {"share_proto": "NFS", "size": 3, "snapshot_id": snapshot}}
    made = api("POST", "/shares", body, who=ALICE)["share"]
    shown = api("GET", f"/shares/{made['id']}")["share"]
    same = (
        "share_type",
        "share_network_id",
        "share_server_id",
        "host",
        "availability_zone",
        "share_proto",
    )
    assert {name: shown[name] for name in same} == {name: share[name] for name in same}
    assert (shown["snapshot_id"], shown["size"], shown["status"]) == (snapshot, 3, "creating")
    assert [
        each["id"]
        for each in api("GET", f"/shares/detail?snapshot_id={snapshot}", who=ALICE)["shares"]
    ] == [made["id"]]
    assert "is still being created from it" in api.fault(
        "DELETE", f"/snapshots/{snapshot}", None, 400, who=ALICE
    )


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"size": 1}, "equal or greater than snapshot size 2"),
        ({"share_proto": "CIFS"}, "protocol must be the snapshot's"),
        ({"share_type": "other"}, "must match that of the snapshot"),
        ({"share_network_id": "{other}"}, "Share network ID should be the same"),
        ({"availability_zone": "elsewhere"}, "elsewhere"),
    ],
)
def test_what_such_a_share_cannot_be(
    api: Api, snapshot: str, members: dict[str, Any], message: str
) -> None:
    api.share_type("other", **dict.fromkeys(SUPPORTS, "True"))
    if "share_network_id" in members:
        members = {"share_network_id": api.share_network()["id"]}
    body = {"share": {"share_proto": "NFS", "size": 2, "snapshot_id": snapshot, **members}}
    status = 404 if "availability_zone" in members else 400
    assert message in api.fault("POST", "/shares", body, status, who=ALICE)


def test_states_that_are_against_such_a_share(
    api: Api, engine: Engine, share: dict[str, Any], snapshot: str
) -> None:
    body = {"share": {"share_proto": "NFS", "size": 2, "snapshot_id": snapshot}}
    api.fault("POST", "/shares", body, 404, who=BOB)
    for table, status, message in (
        (share_snapshot_instances, "error", "must be available, it is error"),
        (
            share_servers,
            "error",
            f"Share server {share['share_server_id']} of the snapshot's share is error",
        ),
    ):
        set_status(engine, table, status=status)
        assert message in api.fault("POST", "/shares", body, 400, who=ALICE)
        set_status(engine, table, status="active" if table is share_servers else "available")
    api("POST", "/shares", body, who=ALICE)


def test_quotas(api: Api, share: dict[str, Any]) -> None:
    api("PUT", "/quota-sets/red", {"quota_set": {"snapshots": 2, "snapshot_gigabytes": 5}})
    take(api, share["id"])
    take(api, share["id"])
    assert "Quota exceeded for snapshots" in api.fault(
        "POST", "/snapshots", {"snapshot": {"share_id": share["id"]}}, 413, who=ALICE
    )
    absolute = api("GET", "/limits", who=ALICE)["limits"]["absolute"]
    assert (absolute["totalShareSnapshotsUsed"], absolute["totalSnapshotGigabytesUsed"]) == (2, 4)
    api("PUT", "/quota-sets/red", {"quota_set": {"snapshots": 9}})
    assert "snapshot_gigabytes" in api.fault(
        "POST", "/snapshots", {"snapshot": {"share_id": share["id"]}}, 413, who=ALICE
    )
