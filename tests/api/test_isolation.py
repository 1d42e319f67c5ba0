"""Two projects: every route, asked by a stranger about every id of the other project, does nothing
and tells nothing.

What a stranger is answered about a thing that is there is what they are answered about one that is
not: same status, same words. New routes are covered by themselves; a new handler with a body needs
a row in BODIES.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
import sqlalchemy as sa
from oslo_config import cfg
from sqlalchemy.engine import Engine

from abaca.api.declaration import Route
from abaca.api.microversions import MAX_VERSION, text
from abaca.api.routing import ROUTES
from abaca.config import key_file
from abaca.db.session import begin, read
from abaca.db.tables import metadata, share_transfers, shares
from abaca.domain.rows import messages
from abaca.workflow.queue import unfinished
from tests.api.conftest import ADMIN, ALICE, BOB, UNKNOWN, Api, BackEnd
from tests.stack import write_key

SECRET = "alices-own-words"
Known = dict[str, str]

OF_ABACA = {"alias", "class_name"}  # parameters that name nobody's things
# ids of networks are looked up for the project later: test_share_network_subnet_resolve
UNVERIFIED = "share_networks.create"
OTHERS = {"key": "color", "project_id": "red"}  # parameters that are no ids
# whoever is told its key may ask; without it, it is as if there were no such transfer (400)
BY_KEY = "share_transfers.accept"
# tell nothing of the project in their URL
SAME_FOR_ALL = ("quotas.defaults", "projects.show", "projects.show_v3")


@pytest.fixture
def theirs(api: Api, back_end: BackEnd, conf: cfg.ConfigOpts, engine: Engine) -> Known:
    """The ids of what Alice's project has, one of every kind, by the parameters of routes."""
    write_key(key_file(conf))
    api.share_type()
    private = {
        "name": "private",
        "extra_specs": {"driver_handles_share_servers": "True"},
        "share_type_access:is_public": False,
    }
    type_id = api("POST", "/types", {"share_type": private})["share_type"]["id"]
    api("POST", f"/types/{type_id}/action", {"addProjectAccess": {"project": "red"}}, status=202)
    group_type = {"name": "private", "share_types": [type_id], "is_public": False}
    group_type_id = api("POST", "/share-group-types", {"share_group_type": group_type})[
        "share_group_type"
    ]["id"]
    api(
        "POST",
        f"/share-group-types/{group_type_id}/action",
        {"addProjectAccess": {"project": "red"}},
        status=202,
    )
    local = {kind: api.send("POST", f"/network/v2.0/{kind}s", {kind: body}, who=ALICE,
     version=None).json[kind]["id"]
             for kind, body in [("network", {"name": SECRET})]}  # fmt: skip
    subnet = {
        "network_id": local["network"],
        "cidr": "10.9.0.0/24",
        "ip_version": 4,
        "name": SECRET,
    }
    local["subnet"] = api.send(
        "POST", "/network/v2.0/subnets", {"subnet": subnet}, who=ALICE, version=None
    ).json["subnet"]["id"]
    policy = {
        "object_type": "network",
        "object_id": local["network"],
        "action": "access_as_shared",
        "target_tenant": "green",
    }
    local["policy"] = api.send(
        "POST", "/network/v2.0/rbac-policies", {"rbac_policy": policy}, who=ALICE, version=None
    ).json["rbac_policy"]["id"]
    service = {"type": "ldap", "password": SECRET, "name": SECRET}
    service_id = api("POST", "/security-services", {"security_service": service}, who=ALICE)[
        "security_service"
    ]["id"]
    network = api.share_network(description=SECRET)
    share = api.share(network["id"], name=SECRET, metadata={"color": SECRET})["id"]
    back_end.settle(share, "10.0.0.5:/shares/x")
    with begin(engine) as conn:
        conn.execute(
            sa.update(shares).values(snapshot_support=True, revert_to_snapshot_support=True)
        )
        messages.create(
            conn,
            project_id="red",
            resource_type="SHARE",
            resource_id=share,
            action=messages.Action.CREATE,
            text=SECRET,
        )
    offered = api.share(network["id"], name=SECRET)["id"]
    back_end.settle(offered)
    group = api.share_group(network["id"], name=SECRET)["id"]
    back_end.settle_group(group)
    rule = {"access_type": "ip", "access_to": "10.0.0.1", "metadata": {"color": SECRET}}
    lock = {"resource_type": "share", "resource_id": share, "lock_reason": SECRET}
    return {
        "type_id": type_id,
        "share_group_type_id": group_type_id,
        "share_group_id": group,
        "share_group_snapshot_id": api.share_group_snapshot(group, description=SECRET)["id"],
        "local_network_id": local["network"],
        "local_subnet_id": local["subnet"],
        "policy_id": local["policy"],
        "security_service_id": service_id,
        "share_network_id": network["id"],
        "subnet_id": network["share_network_subnets"][0]["id"],
        "share_id": share,
        "instance_id": api("GET", f"/shares/{share}/instances")["share_instances"][0]["id"],
        "share_server_id": api("GET", f"/shares/{share}")["share"]["share_server_id"],
        "access_id": api("POST", f"/shares/{share}/action", {"allow_access": rule}, who=ALICE)[
            "access"
        ]["id"],
        "export_location_id": api("GET", f"/shares/{share}/export_locations")["export_locations"][
            0
        ]["id"],
        "snapshot_id": api(
            "POST",
            "/snapshots",
            {"snapshot": {"share_id": share, "name": SECRET}},
            who=ALICE,
            status=202,
        )["snapshot"]["id"],
        "snapshot_instance_id": api("GET", "/snapshot-instances")["snapshot_instances"][0]["id"],
        "backup_id": back_end.back_up(share, display_name=SECRET),
        "operation_id": "share_create:x",
        "transfer_id": back_end.offer(offered, display_name=SECRET),
        "message_id": api("GET", "/messages", who=ALICE)["messages"][0]["id"],
        "lock_id": api(
            "POST", "/resource-locks", {"resource_lock": lock}, who=ALICE, version="2.81"
        )["resource_lock"]["id"],
    }


def test_the_other_projects_things_are_as_if_they_were_not(
    api: Api, theirs: Known, engine: Engine
) -> None:
    before = everything(engine)
    asked = 0
    for route, version in every_route():
        names = [name for name in parameters(route) if name not in OF_ABACA]
        bodies = body_of(route, theirs)
        if not names and (not ids_in(bodies, theirs) or route.name == UNVERIFIED):
            continue
        there = api.send(route.method, filled(route, theirs), bodies, who=BOB, version=version)
        absent = dict.fromkeys(theirs, UNKNOWN)
        not_there = api.send(
            route.method, filled(route, absent), body_of(route, absent), who=BOB, version=version
        )
        told = f"{route.name} {route.action or ''} at {version}: {there.status_code} {there.text}"
        assert (
            there.status_code in (403, 404)
            or ((not names or route.name == BY_KEY) and there.status_code == 400)
            or route.name in SAME_FOR_ALL
        ), told
        assert SECRET not in there.text, told
        assert like(there.text, theirs) == like(not_there.text, absent), (
            f"{told}, but of what is not there: {not_there.text}"
        )
        asked += 1
    assert asked > 100
    with begin(engine) as conn:  # the one thing that a stranger can change
        counted = sa.update(share_transfers).where(share_transfers.c.wrong_keys == 1)
        assert conn.execute(counted.values(wrong_keys=0)).rowcount == 1
    assert everything(engine) == before


def test_lists_and_filters_show_nothing_of_the_other_project(api: Api, theirs: Known) -> None:
    """Also not to those who ask for all projects without being administrators."""
    ids = {value for name, value in theirs.items() if name != "type_id"}
    asked = 0
    for route, version in every_route():
        if route.method != "GET" or parameters(route):
            continue
        if route.name == "projects.index_v3":  # any name is a project's: test_identity
            continue
        filters = [
            f"{name}={theirs.get(name, SECRET)}"
            for name in route.query
            if name.endswith("_id") or "name" in name
        ]
        for query in ("", "all_tenants=1", "all_projects=1", "project_id=red", *filters):
            answer = api.send("GET", f"{route.path}?{query}", who=BOB, version=version)
            told = f"{route.name}?{query} at {version}: {answer.text}"
            assert SECRET not in answer.text, told
            assert not [
                one for one in ids if one in answer.text.replace(query.partition("=")[2] or " ", "")
            ], told
            asked += 1
    assert asked > 100


def test_an_url_with_the_other_projects_id_is_refused(api: Api, theirs: Known) -> None:
    for path in ("shares", f"shares/{theirs['share_id']}", "share-networks", "snapshots/detail"):
        assert api.send("GET", f"/v2/red/{path}", who=BOB).status_code == 400


def test_a_share_that_is_public_is_read_and_no_more(
    api: Api, theirs: Known, engine: Engine
) -> None:
    """Strangers see it; they change nothing of it, and do not see who may mount it."""
    share = f"/shares/{theirs['share_id']}"
    api("PUT", share, {"share": {"is_public": True}}, who=ADMIN)
    before = everything(engine)
    assert api("GET", share, who=BOB)["share"]["id"] == theirs["share_id"]
    for route, version in every_route():
        if "share_id" not in parameters(route) or route.method == "GET":
            continue
        answer = api.send(
            route.method, filled(route, theirs), body_of(route, theirs), who=BOB, version=version
        )
        assert answer.status_code in (403, 404), (
            f"{route.name} {route.action or ''} at {version}: {answer.status_code} {answer.text}"
        )
    answer = api.send("GET", f"/v2/share-access-rules?share_id={theirs['share_id']}", who=BOB)
    assert answer.status_code == 403, answer.text
    assert everything(engine) == before


def every_route() -> list[tuple[Route, str]]:
    """Each route with the highest version that it lives in."""
    return [
        (route, text(MAX_VERSION if route.until is None else route.until))
        for route in ROUTES
        if route.policy is not None
    ]


def parameters(route: Route) -> list[str]:
    return re.findall(r"\{(\w+)\}", route.path)


def filled(route: Route, ids: Known) -> str:
    """The route's path with these ids; ids of local networks are called like those of others."""
    local = (
        {"network_id": "local_network_id", "subnet_id": "local_subnet_id"}
        if route.path.startswith("/network/")
        else {}
    )
    values = {
        name: ids[local.get(name, name)] if local.get(name, name) in ids else OTHERS.get(name, "x")
        for name in parameters(route)
    }
    return route.path.format(**values)


def body_of(route: Route, ids: Known) -> Any:
    """A body that is valid, with the other project's ids wherever ids are taken."""
    if route.takes is None:
        return {route.action: {}} if route.action else None
    member, content = route.takes.member, BODIES[route.name](ids)
    if route.action is not None:
        return {route.action: content}
    return {member: content} if member else content


def _constant(content: Any) -> Any:
    return lambda _: content


_META = {"color": "blue"}
_SERVICE = {"host": "h@b", "binary": "manila-share"}
BODIES: dict[str, Any] = {
    "share_types.create": _constant(
        {"name": "t", "extra_specs": {"driver_handles_share_servers": "True"}}
    ),
    "share_types.update": _constant({"name": "t"}),
    "share_type_access.add": _constant({"project": "blue"}),
    "share_type_access.remove": _constant({"project": "red"}),
    "share_group_types.create": lambda ids: {"name": "t", "share_types": [ids["type_id"]]},
    "share_group_type_access.add": _constant({"project": "blue"}),
    "share_group_type_access.remove": _constant({"project": "red"}),
    "group_specs.create": _constant(_META),
    "group_specs.update": _constant(_META),
    "extra_specs.create": _constant(_META),
    "extra_specs.update": _constant(_META),
    "share_groups.create": lambda ids: {
        "share_network_id": ids["share_network_id"],
        "share_types": [ids["type_id"]],
        "share_group_type_id": ids["share_group_type_id"],
    },
    "share_group_snapshots.create": lambda ids: {"share_group_id": ids["share_group_id"]},
    "share_group_snapshots.update": _constant({"name": "x"}),
    "share_group_snapshots.reset_status": _constant({"status": "error"}),
    "share_group_snapshots.force_delete": _constant(None),
    "share_groups.update": _constant({"name": "x"}),
    "share_groups.reset_status": _constant({"status": "error"}),
    "share_groups.force_delete": _constant(None),
    "share_networks.create": lambda ids: {
        "neutron_net_id": ids["local_network_id"],
        "neutron_subnet_id": ids["local_subnet_id"],
    },
    "share_networks.update": _constant({"name": "x"}),
    "share_networks.reset_status": _constant({"status": "error"}),
    "security_services.create": _constant({"type": "ldap"}),
    "security_services.update": _constant({"name": "x"}),
    "share_network_security_services.add": lambda ids: {
        "security_service_id": ids["security_service_id"]
    },
    "share_network_security_services.remove": lambda ids: {
        "security_service_id": ids["security_service_id"]
    },
    "share_network_security_services.add_check": lambda ids: {
        "security_service_id": ids["security_service_id"]
    },
    "share_network_security_services.update": lambda ids: {
        "current_service_id": ids["security_service_id"],
        "new_service_id": UNKNOWN,
    },
    "share_network_security_services.update_check": lambda ids: {
        "current_service_id": ids["security_service_id"],
        "new_service_id": UNKNOWN,
    },
    "share_network_subnets.create": _constant({"availability_zone": "nova"}),
    "share_network_subnets.create_check": _constant({"availability_zone": "nova"}),
    "share_network_subnets.delete_check": _constant({"reset_operation": False}),
    "share_network_subnets.force_delete": _constant(None),
    "subnet_drains.update": _constant({"deadline": 60}),
    "share_servers.reset_status": _constant({"status": "error"}),
    "share_servers.reset_task_state": _constant({"task_state": None}),
    "shares.reset_task_state": _constant({"task_state": None}),
    "shares.manage": lambda ids: {
        "service_host": "host1@alpha#pool1",
        "export_path": "10.0.0.5:/shares/x",
        "protocol": "NFS",
        "share_type": "gold",
        "share_server_id": ids["share_server_id"],
    },
    "shares.unmanage": _constant(None),
    "share_servers.manage": lambda ids: {
        "host": "host1@alpha",
        "share_network_id": ids["share_network_id"],
        "identifier": UNKNOWN,
    },
    "operations.resume": _constant(None),
    "share_servers.abandon_network_update": _constant(None),
    "share_servers.retry_network_update": _constant(None),
    "share_servers.unmanage": _constant({}),
    "shares.create": lambda ids: {
        "share_proto": "NFS",
        "size": 1,
        "share_type": "gold",
        "share_network_id": ids["share_network_id"],
    },
    "shares.update": _constant({"display_name": "x"}),
    "shares.extend": _constant({"new_size": 2}),
    "shares.shrink": _constant({"new_size": 1}),
    "shares.force_delete": _constant(None),
    "shares.soft_delete": _constant(None),
    "shares.restore": _constant(None),
    "shares.reset_status": _constant({"status": "error"}),
    "snapshots.create": lambda ids: {"share_id": ids["share_id"]},
    "snapshots.update": _constant({"display_name": "x"}),
    "snapshots.reset_status": _constant({"status": "error"}),
    "snapshots.force_delete": _constant(None),
    "snapshots.revert": lambda ids: {"snapshot_id": ids["snapshot_id"]},
    "snapshot_management.manage": lambda ids: {
        "share_id": ids["share_id"],
        "provider_location": "/there/x",
    },
    "snapshot_management.unmanage": _constant(None),
    "snapshot_access.allow": _constant({"access_type": "ip", "access_to": "10.0.0.9"}),
    "snapshot_access.deny": lambda ids: {"access_id": ids["access_id"]},
    "snapshot_instances.reset_status": _constant({"status": "error"}),
    "share_backups.create": lambda ids: {"share_id": ids["share_id"]},
    "share_backups.update": _constant({"name": "x"}),
    "share_backups.restore": _constant(None),
    "share_backups.reset_status": _constant({"status": "error"}),
    "share_transfers.create": lambda ids: {"share_id": ids["share_id"]},
    "share_transfers.accept": _constant({"auth_key": "0123456789abcdef"}),
    "metadata.merge": _constant(_META),
    "metadata.replace": _constant(_META),
    "metadata.set_one": _constant(_META),
    "share_instances.reset_status": _constant({"status": "error"}),
    "share_instances.force_delete": _constant(None),
    "access_rules.allow": _constant({"access_type": "ip", "access_to": "10.0.0.9"}),
    "access_rules.list_of_share": _constant(None),
    "access_rules.deny": lambda ids: {"access_id": ids["access_id"]},
    "access_rules.update": _constant({"access_level": "ro"}),
    "resource_locks.create": lambda ids: {"resource_type": "share", "resource_id": ids["share_id"]},
    "resource_locks.update": _constant({"lock_reason": "x"}),
    "services.ensure_shares": _constant({"host": "h@b"}),
    "services.enable": _constant(_SERVICE),
    "services.disable": _constant(_SERVICE),
    "quotas.update": _constant({"shares": 1}),
    "identity.log_in": _constant(
        {
            "identity": {
                "methods": ["password"],
                "password": {"user": {"name": "bob", "password": "x"}},
            }
        }
    ),
    "quotas.update_class": _constant({"shares": 1}),
    "local_networks.create_network": _constant({"name": "x"}),
    "local_networks.update_network": _constant({"name": "x"}),
    "local_networks.create_subnet": lambda ids: {
        "network_id": ids["local_network_id"],
        "cidr": "10.8.0.0/24",
        "ip_version": 4,
    },
    "local_networks.update_subnet": _constant({"name": "x"}),
    "local_rbac_policies.create": lambda ids: {
        "object_type": "network",
        "object_id": ids["local_network_id"],
        "action": "access_as_shared",
        "target_tenant": "blue",
    },
}


def ids_in(body: Any, ids: Known) -> bool:
    return any(one in str(body) for one in ids.values())


def like(answer: str, ids: Known) -> str:
    """The answer with each id that was asked for told the same."""
    for one in {*ids.values(), UNKNOWN}:
        answer = answer.replace(one, "ID")
    return answer


def everything(engine: Engine) -> dict[str, Any]:
    """Every row but of versions, which rise with statements that find nothing, too; and all work
    that is not done."""
    with read(engine) as conn:
        rows = {
            table.name: sorted(map(repr, conn.execute(sa.select(table)).all()))
            for table in metadata.sorted_tables
            if table.name != "project_versions"
        }
    return rows | {"work": sorted(unfinished(engine))}


def test_bodies_are_known_for_every_handler_that_takes_one() -> None:
    assert set(BODIES) >= {
        route.name for route in ROUTES if route.takes and route.policy is not None
    }
