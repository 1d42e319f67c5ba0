"""Lists cost the same number of SQL statements whatever the number of rows: each list route with 1
and with 20."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine

from abaca.api.microversions import MAX_VERSION, text
from abaca.api.routing import ROUTES
from abaca.db.session import begin
from abaca.db.tables import share_snapshot_instances, shares
from abaca.domain.rows import messages
from tests.api.conftest import ALICE, Api, BackEnd

pytestmark = pytest.mark.each_database

FEW, MANY = 1, 20
SINGLE = {  # what answers with one thing, however many there are
    "/v3/projects",  # from the file of users
    "/v3/auth/projects",
    "/v2/types/default",
    "/v2/limits",
    "/v2/project-version",
    "/v2/",
    "/v2/extensions",
    "/network/v2.0",
    "/network/v2.0/extensions",
    "/v2/share-replicas",
    "/v2/share-replicas/detail",
    "/metrics",
    "/v2/share-group-types/default",
    # asked of a worker, which there is none of here: test_clients
    "/v2/shares/{share_id}/clients",
    "/v2/share-servers/{share_server_id}/clients",
    # of http_basic, and without rows: test_identity
    "/v3/auth/tokens",
    "/v3/auth/catalog",
}


@contextmanager
def counted() -> Iterator[list[str]]:
    """The SELECTs and the like that are sent meanwhile, by any engine: on PostgreSQL reading has
    one of its own."""
    seen: list[str] = []

    def note(_conn: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if not statement.startswith(("BEGIN", "PRAGMA")):
            seen.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note)


class Site:
    """Resources of every kind, `number` of each that can be many."""

    def __init__(self, api: Api, back_end: BackEnd) -> None:
        self.api = api
        self.back_end = back_end
        self.made = 0
        for limited in ("shares", "share_networks", "snapshots", "snapshot_gigabytes"):
            api("PUT", "/quota-sets/red", {"quota_set": {limited: -1}})
        self.type_id = api.share_type()
        specs = {"driver_handles_share_servers": "True"}
        private = {"name": "private", "extra_specs": specs, "share_type_access:is_public": False}
        self.private = str(api("POST", "/types", {"share_type": private})["share_type"]["id"])
        group_type = {"name": "group", "share_types": ["private"], "is_public": False}
        self.group_type = str(
            api("POST", "/share-group-types", {"share_group_type": group_type})["share_group_type"][
                "id"
            ]
        )
        self.network = api.share_network()["id"]
        self.share = api.share(self.network)["id"]
        self.server = api("GET", f"/shares/{self.share}")["share"]["share_server_id"]
        self.group = api.share_group(self.network)["id"]
        back_end.settle_group(self.group)
        self.group_snapshot = ""  # the newest, which has the most members
        self.paths: list[str] = []
        self.snapshot = ""  # the first one, which has many rules

    def grow(self, number: int) -> None:
        """So many of everything."""
        api = self.api
        for n in range(self.made + 1, number + 1):
            api.share_type(f"type{n}", colour=str(n))
            api(
                "POST",
                f"/types/{self.private}/action",
                {"addProjectAccess": {"project": f"p{n}"}},
                status=202,
            )
            api(
                "POST",
                f"/share-group-types/{self.group_type}/action",
                {"addProjectAccess": {"project": f"p{n}"}},
                status=202,
            )
            group_type = {"name": f"group{n}", "share_types": ["gold", f"type{n}"]}
            api("POST", "/share-group-types", {"share_group_type": group_type})
            api("POST", f"/shares/{self.share}/metadata", {"metadata": {f"k{n}": "v"}})
            network = api.share_network(name=f"n{n}")["id"]
            api.share_group(network)
            member = api.share(self.network, share_group_id=self.group)["id"]
            self.back_end.settle(member, f"10.0.0.5:/shares/m{n}")
            share = api.share(network)["id"]
            self.back_end.arrive(f"host1@b{n}")
            if n > 1:
                api("POST", f"/share-networks/{self.spare()}/subnets", {"share-network-subnet": {}})
            self.paths.append(f"10.0.0.5:/shares/{n}")
            self.back_end.settle(share, *self.paths)
            self.back_end.settle(self.share, *self.paths)
            rule = {"allow_access": {"access_type": "ip", "access_to": f"10.1.0.{n}"}}
            api("POST", f"/shares/{self.share}/action", rule)
            lock = {"resource_type": "share", "resource_id": self.share}
            api("POST", "/resource-locks", {"resource_lock": lock}, who=ALICE, version="2.81")
            api("POST", "/security-services", {"security_service": {"type": "ldap"}}, who=ALICE)
            with begin(self.back_end.engine) as conn:
                supported = {"snapshot_support": True, "mount_snapshot_support": True}
                conn.execute(sa.update(shares).values(supported))
            self.group_snapshot = api.share_group_snapshot(self.group)["id"]
            made = api("POST", "/snapshots", {"snapshot": {"share_id": self.share}}, status=202)
            self.snapshot = self.snapshot or made["snapshot"]["id"]
            with begin(self.back_end.engine) as conn:
                conn.execute(sa.update(share_snapshot_instances).values(status="available"))
            api("POST", f"/snapshots/{self.snapshot}/action", rule, status=202)
            self.back_end.back_up(self.share)
            self.back_end.offer(share)
            made = api.send(
                "POST", "/network/v2.0/networks", {"network": {"name": f"n{n}"}}, who=ALICE
            ).json["network"]["id"]
            subnet = {"network_id": made, "cidr": f"10.2.{n}.0/24", "ip_version": 4}
            api.send("POST", "/network/v2.0/subnets", {"subnet": subnet}, who=ALICE)
            policy = {
                "object_type": "network",
                "object_id": made,
                "action": "access_as_shared",
                "target_tenant": f"p{n}",
            }
            api.send("POST", "/network/v2.0/rbac-policies", {"rbac_policy": policy}, who=ALICE)
            with begin(self.back_end.engine) as conn:
                messages.create(
                    conn,
                    project_id="red",
                    resource_type="SHARE",
                    resource_id=share,
                    action=messages.Action.CREATE,
                    text="no",
                )
        self.made = number

    def spare(self) -> str:
        """A share network without shares, whose subnets can be many."""
        if not hasattr(self, "_spare"):
            self._spare = str(self.api.share_network(name="spare")["id"])
        return self._spare

    def snapshot_instance(self) -> str:
        found = self.api("GET", f"/snapshot-instances?snapshot_id={self.snapshot}")
        return str(found["snapshot_instances"][0]["id"])

    def path(self, template: str) -> str:
        """A route's path with the ids of what has many."""
        instance = self.api("GET", f"/shares/{self.share}/instances")["share_instances"][0]["id"]
        of_type = self.private if "access" in template else self.type_id
        ids = {
            "type_id": of_type, "share_network_id": self.spare(), "share_id": self.share,
             "instance_id": instance, "share_server_id": self.server,
            "snapshot_id": self.snapshot, "snapshot_instance_id": self.snapshot_instance(),
            "share_group_type_id": self.group_type,
            "share_group_snapshot_id": self.group_snapshot,
        }  # fmt: skip
        return template.format(**ids)


LISTS = sorted(
    {
        route.path
        for route in ROUTES
        if route.method == "GET"
        and route.policy is not None
        and route.path not in SINGLE
        and not route.path.endswith("}")
        and not any(name in route.path for name in ("{project_id}", "{subnet_id}", "/metadata"))
    }
)  # fmt: skip


@pytest.fixture
def site(api: Api, back_end: BackEnd) -> Site:
    return Site(api, back_end)


@pytest.mark.slow("twenty of everything are made")
def test_every_list_takes_the_same_statements_for_many_rows_as_for_few(
    api: Api, site: Site
) -> None:
    statements: dict[int, dict[str, int]] = {}
    rows: dict[int, dict[str, int]] = {}
    for number in (FEW, MANY):
        site.grow(number)
        statements[number], rows[number] = {}, {}
        for route in LISTS:
            version = next(r.until for r in ROUTES if r.path == route and r.method == "GET")
            path = site.path(route) + (
                f"?share_id={site.share}" if route.endswith("share-access-rules") else ""
            )
            with counted() as seen:
                answer = api.send("GET", path, who=None,
                 version=text(MAX_VERSION if version is None else version),
                                  headers={"X-Auth-Token": "alice:red:admin"})  # fmt: skip
            assert answer.status_code == 200, (path, answer.text)
            statements[number][route] = len(seen)
            rows[number][route] = len(next(iter(answer.json.values())))
    assert statements[FEW] == statements[MANY]
    assert min(statements[MANY].values()) >= 1 and max(statements[MANY].values()) <= 6
    few_rows = {
        route: (rows[FEW][route], rows[MANY][route])
        for route in LISTS
        if rows[MANY][route] <= rows[FEW][route]
    }
    one_only = {
        "/v2/shares/{share_id}/instances", "/v2/availability-zones", "/v2/os-availability-zone",
         "/v2/types/{type_id}/extra_specs",
         "/v2/share-group-types/{share_group_type_id}/group-specs",
        "/v2/share-servers/{share_server_id}/details",
         "/v2/snapshots/{snapshot_id}/export-locations",
         "/v2/snapshot-instances/{snapshot_instance_id}/export-locations",
    }  # fmt: skip
    assert set(few_rows) <= one_only


def test_a_share_that_is_kept_takes_one(api: Api, back_end: BackEnd) -> None:
    api.share_type()
    share = api.share(api.share_network()["id"])["id"]
    first = api("GET", f"/shares/{share}")
    with counted() as seen:
        assert api("GET", f"/shares/{share}") == first
    assert len(seen) == 1
