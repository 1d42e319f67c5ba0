"""Shares and their actions."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from abaca.db.session import begin, read
from abaca.db.tables import pools, share_instances, share_servers, shares
from abaca.domain.services import availability_zones
from tests.api.conftest import ADMIN, ALICE, BOB, POOL, READER, UNKNOWN, ZONE, Api, BackEnd

ALWAYS = {
    "id", "size", "availability_zone", "created_at", "status", "name", "description", "project_id",
     "snapshot_id", "share_network_id",
    "share_proto", "metadata", "share_type", "volume_type", "links", "is_public",
}  # fmt: skip
FOR_ADMINISTRATORS = {"share_server_id", "host"}
GROWTH = [
    (2, {"snapshot_support"}),
    (5, {"task_state"}),
    (6, {"share_type_name"}),
    (10, {"access_rules_status"}),
    (11, {"replication_type", "has_replicas"}),
    (16, {"user_id"}),
    (24, {"create_share_from_snapshot_support"}),
    (27, {"revert_to_snapshot_support"}),
    (31, {"share_group_id", "source_share_group_snapshot_member_id"}),
    (32, {"mount_snapshot_support"}),
    (54, {"progress"}),
    (69, {"is_soft_deleted", "scheduled_to_be_deleted_at"}),
    (80, {"source_backup_id"}),
]


@pytest.fixture
def network(api: Api, back_end: BackEnd) -> str:
    """A share network, with a type and a back end that fit."""
    api.share_type()
    return str(api.share_network()["id"])


@pytest.fixture
def share(api: Api, back_end: BackEnd, network: str) -> dict[str, Any]:
    """A share that is available."""
    made = api.share(network, name="one", size=2, metadata={"k": "v"})
    back_end.settle(made["id"], "10.0.0.5:/shares/x", "[fd00::5]:/shares/x")
    shown: dict[str, Any] = api("GET", f"/shares/{made['id']}")["share"]
    return shown


@pytest.mark.parametrize(
    "minor", [0, 1, 2, 5, 6, 8, 9, 10, 11, 16, 24, 27, 31, 32, 53, 54, 68, 69, 70, 79, 80, 89]
)
def test_fields_by_version(api: Api, share: dict[str, Any], minor: int) -> None:
    """shares.create, shares.show, shares.detail, shares.index"""
    keys = ALWAYS.union(*(more for since, more in GROWTH if since <= minor)) | (
        {"export_location", "export_locations"} if minor <= 8 else set()
    )
    version = f"2.{minor}"
    shown = api("GET", f"/shares/{share['id']}", who=READER, version=version)["share"]
    assert set(shown) == keys
    assert api("GET", "/shares/detail", who=READER, version=version) == {"shares": [shown]}
    assert (
        set(api("GET", f"/shares/{share['id']}", version=version)["share"])
        == keys | FOR_ADMINISTRATORS
    )
    listed = api("GET", "/shares", who=READER, version=version)
    assert listed == {"shares": [{name: shown[name] for name in ("id", "name", "links")}]}
    made = api.share(share["share_network_id"], version=version)
    assert set(made) == keys
    assert made["status"] == "creating"


def test_values(api: Api, share: dict[str, Any], network: str) -> None:
    seen = share | {
        "id": "",
        "created_at": "",
        "links": [],
        "updated_at": "",
        "share_type": "",
        "share_server_id": "",
    }
    assert seen == seen | {
        "name": "one", "size": 2, "status": "available", "progress": "100%",
         "availability_zone": ZONE, "project_id": "red", "user_id": "alice",
        "share_network_id": network, "share_proto": "NFS", "metadata": {"k": "v"},
         "is_public": False, "share_type_name": "gold",
        "volume_type": "gold", "host": POOL, "snapshot_id": None, "access_rules_status": "active",
         "has_replicas": False,
    }  # fmt: skip
    old = api("GET", f"/shares/{share['id']}", version="2.5")["share"]
    assert (old["share_type"], old["volume_type"]) == ("gold", "gold")
    assert share["share_type"] == api("GET", "/types/default")["share_type"]["id"]
    assert old["export_location"] == "10.0.0.5:/shares/x"
    assert old["export_locations"] == ["10.0.0.5:/shares/x", "[fd00::5]:/shares/x"]


@pytest.mark.parametrize(
    ("column", "value", "version", "shown"),
    [
        ("status", "creating_from_snapshot", "2.53", "creating"),
        ("status", "creating_from_snapshot", "2.54", "creating_from_snapshot"),
        ("access_rules_status", "syncing", "2.27", "out_of_sync"),
        ("access_rules_status", "syncing", "2.28", "syncing"),
        ("access_rules_status", "error", "2.27", "error"),
    ],
)
def test_meanings_that_changed(
    api: Api,
    back_end: BackEnd,
    share: dict[str, Any],
    column: str,
    value: str,
    version: str,
    shown: str,
) -> None:
    back_end.settle(share["id"], **{"status": "available", column: value})
    assert api("GET", f"/shares/{share['id']}", version=version)["share"][column] == shown


SIZE = "Invalid input received: Share size '{}' must be an integer and greater than 0."
NETWORK = "Share network must be set when the driver_handles_share_servers is true."


@pytest.mark.parametrize(
    ("members", "status", "message"),
    [
        ({"size": 0}, 400, SIZE.format(0)),
        ({"size": -1}, 400, SIZE.format(-1)),
        ({"size": "x"}, 400, SIZE.format("x")),
        ({"size": ""}, 400, SIZE.format("")),
        ({"size": 1.5}, 400, SIZE.format(1.5)),
        ({"size": True}, 400, SIZE.format(True)),
        ({"size": None}, 400, SIZE.format(None)),
        ({"size": []}, 400, SIZE.format([])),
        ({"size": 2**31}, 400, SIZE.format(2**31)),
        ({"size": 10**40}, 400, SIZE.format(10**40)),
        ({"size": "9" * 400}, 400, None),
        ({"share_proto": "FTP"}, 400, None),
        ({"share_proto": None}, 400, None),
        ({"share_proto": 5}, 400, None),
        ({"name": 5}, 400, None),
        ({"name": "x" * 256}, 400, None),
        ({"description": "x" * 256}, 400, None),
        ({"metadata": "x"}, 400, None),
        ({"metadata": {"k": 5}}, 400, None),
        ({"metadata": {"": "v"}}, 400, "Metadata property key is blank."),
        ({"metadata": {"k": ""}}, 400, "Metadata property value is blank."),
        (
            {"metadata": {"k" * 256: "v"}},
            400,
            "Metadata property key is greater than 255 characters.",
        ),
        (
            {"metadata": {"k": "v" * 1024}},
            400,
            "Metadata property value is greater than 1023 characters.",
        ),
        (
            {"is_public": "maybe"},
            400,
            "Unrecognized value 'maybe', acceptable values are: '0', '1', 'f', 'false', 'n', "
            "'no', 'off', 'on', 't', 'true', 'y', 'yes'",
        ),
        (
            {"is_public": True},
            403,
            "Policy doesn't allow share:create_public_share to be performed.",
        ),
        ({"share_network_id": None}, 400, NETWORK),
        ({"share_network_id": ""}, 400, NETWORK),
        ({"share_network_id": UNKNOWN}, 404, f"Share network {UNKNOWN} could not be found."),
        ({"share_network_id": 5}, 400, None),
        ({"share_type": UNKNOWN}, 404, None),
        ({"volume_type": "gold"}, 400, "Cannot specify both share_type and volume_type."),
        ({"availability_zone": "nozone"}, 404, "Availability zone nozone could not be found."),
        (
            {"snapshot_id": UNKNOWN},
            404,
            f"ShareSnapshotNotFound: Snapshot {UNKNOWN} could not be found.",
        ),
        ({"share_group_id": UNKNOWN}, 404, None),
        ({"scheduler_hints": {"same_host": UNKNOWN}}, 404, None),
    ],
)
def test_bad_shares_leave_no_trace(
    api: Api,
    engine: Engine,
    network: str,
    members: dict[str, Any],
    status: int,
    message: str | None,
) -> None:
    body = {
        "share_proto": "NFS",
        "size": 1,
        "share_type": "gold",
        "share_network_id": network,
        **members,
    }
    told = api.fault("POST", "/shares", {"share": body}, status, who=ALICE)
    assert message in (None, told)
    with read(engine) as conn:
        for table in (shares, share_instances, share_servers):
            assert conn.scalar(sa.select(sa.func.count()).select_from(table)) == 0
        assert conn.scalar(sa.select(pools.c.allocated_capacity_gb)) == 0


@pytest.mark.parametrize("missing", ["size", "share_proto"])
def test_members_that_are_needed(api: Api, network: str, missing: str) -> None:
    body = {
        name: value
        for name, value in {"share_proto": "NFS", "size": 1, "share_network_id": network}.items()
        if name != missing
    }
    assert missing in api.fault("POST", "/shares", {"share": body}, 400, who=ALICE)


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"size": "3"}, {"size": 3}),
        ({"size": 3.0}, {"size": 3}),
        ({"display_name": "a", "display_description": "b"}, {"name": "a", "description": "b"}),
        ({"share_type": None, "volume_type": "gold"}, {"share_type_name": "gold"}),
        ({"share_type": None}, {"share_type_name": "gold"}),
        ({"share_proto": "nfs"}, {"share_proto": "NFS"}),
        (
            {
                "is_public": "no",
                "snapshot_id": None,
                "scheduler_hints": {},
                "unknown": 5,
                "project_id": "blue",
            },
            {"is_public": False, "project_id": "red"},
        ),
        ({"availability_zone": ZONE}, {"availability_zone": ZONE}),
        ({"name": "grün ☃ 🐘"}, {"name": "grün ☃ 🐘"}),
    ],
)
def test_tolerance(
    api: Api, network: str, members: dict[str, Any], expected: dict[str, Any]
) -> None:
    made = api.share(network, **members)
    assert {name: made[name] for name in expected} == expected


def test_members_of_later_versions_are_ignored(api: Api, network: str) -> None:
    made = api.share(
        network,
        version="2.0",
        availability_zone="nozone",
        share_group_id=UNKNOWN,
        scheduler_hints={"same_host": "x"},
    )
    assert made["status"] == "creating"


def test_no_valid_host(api: Api, network: str) -> None:
    made = api.share(network, size=500)
    assert made["status"] == "error"
    (message,) = api("GET", f"/messages?resource_id={made['id']}", who=ALICE)["messages"]
    assert (message["action_id"], message["detail_id"], message["resource_type"]) == (
        "001",
        "009",
        "SHARE",
    )


@pytest.mark.parametrize(
    ("type_", "share", "detail_id"),
    [
        ({}, {"size": 500}, "009"),
        ({"availability_zones": "elsewhere"}, {}, "007"),
        ({"tier": "gold"}, {}, "008"),
        ({}, {"share_proto": "CIFS"}, "008"),
    ],
)
def test_the_detail_id_says_which_filter_left_no_host(
    api: Api, back_end: BackEnd, type_: dict[str, str], share: dict[str, Any], detail_id: str
) -> None:
    """CSI decides by it whether another try makes sense. Neither pools nor hidden extra specs are
    named."""
    with begin(back_end.engine) as conn:
        availability_zones.ensure(conn, "elsewhere")
    api.share_type(**type_)
    made = api.share(api.share_network()["id"], **share)
    (message,) = api("GET", f"/messages?resource_id={made['id']}", who=ALICE)["messages"]
    assert message["detail_id"] == detail_id
    assert (
        "pool1" not in message["user_message"]
        and "tier" not in message["user_message"]
        and "100" not in message["user_message"]
    )


def test_update(api: Api, share: dict[str, Any]) -> None:
    """shares.update"""
    path = f"/shares/{share['id']}"
    changed = api(
        "PUT",
        path,
        {
            "share": {
                "display_name": "new",
                "display_description": "d",
                "size": 9,
                "status": "error",
            }
        },
        who=ALICE,
    )["share"]
    assert (changed["name"], changed["description"], changed["size"], changed["status"]) == (
        "new",
        "d",
        2,
        "available",
    )
    assert api("PUT", path, {"share": {"display_name": None}}, who=ALICE)["share"]["name"] is None
    assert api("PUT", path, {"share": {"is_public": "true"}})["share"]["is_public"] is True
    assert (
        api("PUT", path, {"share": {"is_public": False}}, who=ALICE)["share"]["is_public"] is False
    )
    assert "set_public_share" in api.fault(
        "PUT", path, {"share": {"is_public": True}}, 403, who=ALICE
    )
    for body, status in [
        ({}, 422),
        ({"share": {"is_public": None}}, 400),
        ({"share": {"is_public": "x"}}, 400),
        ({"share": {"display_name": 1}}, 400),
    ]:
        api.fault("PUT", path, body, status, who=ALICE)


def test_delete(api: Api, share: dict[str, Any], network: str) -> None:
    """shares.delete"""
    path = f"/shares/{share['id']}"
    assert api("DELETE", path, who=ALICE, status=202) is None
    assert api("GET", path)["share"]["status"] == "deleting"
    api.fault("DELETE", path, None, 403, who=ALICE)
    creating = api.share(network)["id"]
    api.fault("DELETE", f"/shares/{creating}", None, 403, who=ALICE)
    placeless = api.share(network, size=500)["id"]
    api("DELETE", f"/shares/{placeless}", who=ALICE, status=202)
    assert (
        api.fault("GET", f"/shares/{placeless}", None, 404)
        == f"Share {placeless} could not be found."
    )


@pytest.mark.parametrize(("prefix", "version"), [("os-", "2.6"), ("", "2.7"), ("", "2.70")])
def test_resize(
    api: Api, back_end: BackEnd, share: dict[str, Any], prefix: str, version: str
) -> None:
    """shares.extend, shares.shrink: "os-extend", "extend", "os-shrink", "shrink"."""
    path = f"/shares/{share['id']}/action"
    arguments: Any
    for arguments in (
        {},
        None,
        {"new_size": None},
        {"new_size": "x"},
        {"new_size": ""},
        {"new_size": 2.5},
        {"new_size": True},
        {"new_size": 10**12},
        [],
        "5",
    ):
        for action in ("extend", "shrink"):
            api.fault("POST", path, {prefix + action: arguments}, 400, who=ALICE, version=version)
    for size in (2, 1, 0, -1):
        told = api.fault(
            "POST", path, {f"{prefix}extend": {"new_size": size}}, 400, who=ALICE, version=version
        )
        assert (
            told
            == "Invalid input received: New size for extend must be greater than current size. "
            f"(current: 2, extended: {size})."
        )
    for size in (2, 5, 0, -1):
        told = api.fault(
            "POST", path, {f"{prefix}shrink": {"new_size": size}}, 400, who=ALICE, version=version
        )
        assert told.startswith(
            "Invalid input received: New size for shrink must be less than current size and "
            "greater than 0"
        )
    assert (
        api(
            "POST",
            path,
            {f"{prefix}extend": {"new_size": "4"}},
            who=ALICE,
            version=version,
            status=202,
        )
        is None
    )
    assert api("GET", f"/shares/{share['id']}")["share"]["status"] == "extending"
    api.fault("POST", path, {f"{prefix}shrink": {"new_size": 1}}, 400, who=ALICE, version=version)
    back_end.settle(share["id"])
    assert (
        api(
            "POST",
            path,
            {f"{prefix}shrink": {"new_size": 1}},
            who=ALICE,
            version=version,
            status=202,
        )
        is None
    )
    assert api("GET", f"/shares/{share['id']}")["share"]["status"] == "shrinking"


def test_forced_extension(api: Api, share: dict[str, Any]) -> None:
    path = f"/shares/{share['id']}/action"
    extend = {"extend": {"new_size": 3, "force": "true"}}
    assert "share:force_extend" in api.fault("POST", path, extend, 403, who=ALICE)
    api("POST", path, extend, who=ALICE, version="2.63", status=202)


@pytest.mark.parametrize(("prefix", "version"), [("os-", "2.6"), ("", "2.7"), ("", "2.70")])
def test_actions_of_administrators(
    api: Api, share: dict[str, Any], prefix: str, version: str
) -> None:
    """shares.reset_status, shares.force_delete: "os-reset_status", "reset_status",
    "os-force_delete", "force_delete"."""
    path = f"/shares/{share['id']}/action"
    assert (
        api(
            "POST",
            path,
            {f"{prefix}reset_status": {"status": "error"}},
            version=version,
            status=202,
        )
        is None
    )
    assert api("GET", f"/shares/{share['id']}")["share"]["status"] == "error"
    for arguments in ({}, None, {"status": "zzz"}, {"status": 5}):
        api.fault("POST", path, {f"{prefix}reset_status": arguments}, 400, version=version)
    for action in ("reset_status", "force_delete"):
        api.fault(
            "POST", path, {prefix + action: {"status": "error"}}, 403, who=ALICE, version=version
        )
        api.fault(
            "POST",
            f"/shares/{UNKNOWN}/action",
            {prefix + action: {"status": "error"}},
            404,
            version=version,
        )
    assert api("POST", path, {f"{prefix}force_delete": None}, version=version, status=202) is None
    assert api("GET", f"/shares/{share['id']}")["share"]["status"] == "deleting"


def test_other_projects_learn_nothing(api: Api, share: dict[str, Any]) -> None:
    calls: list[tuple[str, str, Any]] = [
        ("GET", "", None),
        ("PUT", "", {"share": {"display_name": "x"}}),
        ("DELETE", "", None),
        ("GET", "/export_locations", None),
        *[
            ("POST", "/action", body)
            for body in (
                {"extend": {"new_size": 9}},
                {"shrink": {"new_size": 1}},
                {"allow_access": {"access_type": "ip", "access_to": "10.0.0.1"}},
                {"deny_access": {"access_id": UNKNOWN}},
            )
        ],
    ]
    for method, tail, body in calls:
        theirs = api.fault(method, f"/shares/{share['id']}{tail}", body, 404, who=BOB)
        assert theirs == api.fault(method, f"/shares/{UNKNOWN}{tail}", body, 404, who=BOB).replace(
            UNKNOWN, share["id"]
        )
    assert api("GET", "/shares", who=BOB)["shares"] == []
    assert api("GET", f"/shares/{share['id']}")["share"] == share


def test_public_shares_are_seen_by_all_and_changed_by_their_owners(
    api: Api, share: dict[str, Any]
) -> None:
    path = f"/shares/{share['id']}"
    api("PUT", path, {"share": {"is_public": True}})
    assert api("GET", path, who=BOB)["share"]["id"] == share["id"]
    assert [one["id"] for one in api("GET", "/shares?is_public=true", who=BOB)["shares"]] == [
        share["id"]
    ]
    for method, tail, body in [
        ("PUT", "", {"share": {"display_name": "x"}}),
        ("DELETE", "", None),
        ("POST", "/action", {"extend": {"new_size": 9}}),
    ]:
        assert (
            api.fault(method, f"{path}{tail}", body, 403, who=BOB)
            == f"Share {share['id']} belongs to another project."
        )


@pytest.mark.parametrize(
    ("query", "who", "found"),
    [
        ("", ALICE, {"one", "two"}),
        ("", ADMIN, set()),
        ("all_tenants=1", ADMIN, {"one", "two", "three"}),
        ("all_tenants=1&project_id=blue", ADMIN, {"three"}),
        ("name=one", ALICE, {"one"}),
        ("display_name=one", ALICE, {"one"}),
        ("name~=w", ALICE, {"two"}),
        ("description~=sec", ALICE, {"two"}),
        ("name=%25", ALICE, set()),
        ("name~=%25", ALICE, set()),
        ("status=creating", ALICE, {"two"}),
        ("share_network_id={network}", ALICE, {"one", "two"}),
        (f"share_network_id={UNKNOWN}", ALICE, set()),
        ("share_type_id={type}", ALICE, {"one", "two"}),
        ("metadata=%7B%27k%27:%27v%27%7D", ALICE, {"one"}),
        ("metadata=%7B%27k%27:%27x%27%7D", ALICE, set()),
        ("export_location_path=10.0.0.5:/shares/x", ALICE, {"one"}),
        (f"host={POOL}&all_tenants=1", ADMIN, {"one", "two", "three"}),
        ("all_tenants=1", ALICE, {"one", "two"}),
        ("sort_key=name&sort_dir=asc&limit=1", ALICE, {"one"}),
        ("sort_key=name&sort_dir=desc&limit=1", ALICE, {"two"}),
        ("unknown=1", ALICE, {"one", "two"}),
    ],
)
def test_filters(api: Api, share: dict[str, Any], query: str, who: str, found: set[str]) -> None:
    api.share(share["share_network_id"], name="two", description="the second")
    api.share(api.share_network(BOB)["id"], BOB, name="three")
    query = query.format(network=share["share_network_id"], type=share["share_type"])
    for path in ("/shares", "/shares/detail"):
        assert {one["name"] for one in api("GET", f"{path}?{query}", who=who)["shares"]} == found


def test_filters_that_are_for_administrators(api: Api) -> None:
    for query, rule in [
        ("host=x", "list_by_host"),
        ("share_server_id=x", "list_by_share_server_id"),
    ]:
        assert f"share:{rule}" in api.fault("GET", f"/shares?{query}", None, 403, who=ALICE)


def test_export_locations(api: Api, share: dict[str, Any]) -> None:
    """export_locations.index, export_locations.show"""
    path = f"/shares/{share['id']}/export_locations"
    tenant = {"id", "path"}
    for version, keys in [
        ("2.9", tenant),
        ("2.13", tenant),
        ("2.14", tenant | {"preferred"}),
        ("2.70", tenant | {"preferred"}),
    ]:
        listed = api("GET", path, who=READER, version=version)["export_locations"]
        assert [one["path"] for one in listed] == ["10.0.0.5:/shares/x", "[fd00::5]:/shares/x"]
        assert all(set(one) == keys for one in listed)
        assert all(
            set(one) == keys | {"share_instance_id", "is_admin_only"}
            for one in api("GET", path, version=version)["export_locations"]
        )
        shown = api("GET", f"{path}/{listed[0]['id']}", who=READER, version=version)[
            "export_location"
        ]
        assert set(shown) == keys | {"created_at", "updated_at"}
    assert [one["preferred"] for one in listed] == [True, False]
    assert (
        api.fault("GET", f"{path}/{UNKNOWN}", None, 404)
        == f"Export location '{UNKNOWN}' not found."
    )
    other = api.share(share["share_network_id"])["id"]
    api.fault("GET", f"/shares/{other}/export_locations/{listed[0]['id']}", None, 404)


def test_default_share_type_that_is_not_there(api: Api, engine: Engine, network: str) -> None:
    with begin(engine) as conn:
        conn.execute(sa.text("UPDATE share_types SET name = 'other'"))
    api.fault(
        "POST",
        "/shares",
        {"share": {"share_proto": "NFS", "size": 1, "share_network_id": network}},
        404,
        who=ALICE,
    )


@pytest.mark.parametrize(
    "key", ["plain", "é", 'a"b', "a'b", "a\\b", "\x01", "\n", "😀", "$", "a.b", "a[0]", "%"]
)
def test_metadata_is_found_by_any_key(api: Api, network: str, key: str) -> None:
    made = api.share(network, metadata={key: f"v{key}"})
    api.share(network, metadata={"other": f"v{key}", key: "other"})
    found = api("GET", f"/shares?metadata={quote(repr({key: f'v{key}'}))}", who=ALICE)["shares"]
    assert [share["id"] for share in found] == [made["id"]]


SIZED = {
    "provisioning:min_share_size": "2",
    "provisioning:max_share_size": "4",
    "provisioning:max_share_extend_size": "6",
}


def test_a_type_bounds_sizes_whatever_changes_them(api: Api, back_end: BackEnd) -> None:
    api.share_type(**SIZED)
    network = api.share_network()["id"]
    for wrong in (1, 5):
        body = {
            "share": {
                "share_proto": "NFS",
                "share_type": "gold",
                "size": wrong,
                "share_network_id": network,
            }
        }
        assert f"Share size {wrong}" in api.fault("POST", "/shares", body, 400, who=ALICE)
    made = api.share(network, size=3)
    back_end.settle(made["id"])
    path = f"/shares/{made['id']}/action"
    assert "4 GiB" in api.fault("POST", path, {"extend": {"new_size": 5}}, 400, who=ALICE)
    assert "2 GiB" in api.fault("POST", path, {"shrink": {"new_size": 1}}, 400, who=ALICE)
    assert "6 GiB" in api.fault("POST", path, {"extend": {"new_size": 7}}, 400)
    api("POST", path, {"extend": {"new_size": 6}}, status=202)


def test_below_2_48_the_zones_of_a_type_do_not_matter(api: Api, back_end: BackEnd) -> None:
    with begin(back_end.engine) as conn:
        availability_zones.ensure(conn, "elsewhere")
    api.share_type(availability_zones="elsewhere")
    network = api.share_network()["id"]
    assert api.share(network, version="2.47", availability_zone=ZONE)["status"] == "creating"
    body = {
        "share": {
            "share_proto": "NFS",
            "share_type": "gold",
            "size": 1,
            "share_network_id": network,
            "availability_zone": ZONE,
        }
    }
    assert "only in elsewhere" in api.fault("POST", "/shares", body, 400, who=ALICE, version="2.48")


def test_the_zones_of_a_type_matter_without_share_servers_too(api: Api, back_end: BackEnd) -> None:
    with begin(back_end.engine) as conn:
        availability_zones.ensure(conn, "elsewhere")
    specs = {"driver_handles_share_servers": "False", "availability_zones": "elsewhere"}
    plain = api("POST", "/types", {"share_type": {"name": "plain", "extra_specs": specs}})
    grouping = {"name": "groups", "share_types": [plain["share_type"]["id"]]}
    group_type = api("POST", "/share-group-types", {"share_group_type": grouping})
    share = {"share_proto": "NFS", "share_type": "plain", "size": 1, "availability_zone": ZONE}
    group = {
        "share_group_type_id": group_type["share_group_type"]["id"],
        "share_types": [plain["share_type"]["id"]],
        "availability_zone": ZONE,
    }
    told = api.fault("POST", "/shares", {"share": share}, 400, who=ALICE)
    assert told.endswith("only in elsewhere.")
    told = api.fault("POST", "/share-groups", {"share_group": group}, 400, who=ALICE)
    assert told.endswith("only in elsewhere.")


def test_a_type_without_share_servers_takes_no_share_network(api: Api, back_end: BackEnd) -> None:
    api(
        "POST",
        "/types",
        {"share_type": {"name": "plain", "extra_specs": {"driver_handles_share_servers": False}}},
    )
    wanted = {"share_proto": "NFS", "share_type": "plain", "size": 1}
    with_network = {"share": {**wanted, "share_network_id": api.share_network()["id"]}}
    assert "driver_handles_share_servers=False" in api.fault(
        "POST", "/shares", with_network, 400, who=ALICE
    )
    assert api("GET", "/shares", who=ALICE)["shares"] == []
    made = api("POST", "/shares", {"share": wanted}, who=ALICE)["share"]
    assert made["share_network_id"] is None
    assert api("GET", f"/shares/{made['id']}", who=ALICE)["share"]["status"] == "error"
