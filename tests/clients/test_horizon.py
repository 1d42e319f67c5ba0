"""Horizon's share panels: what manila-ui asks python-manilaclient for when each is opened, and when
a form of it is sent.

It makes its client anew for each call, at one version, with the token and the URL that the
dashboard has. Facts: manila_ui/api/manila.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from tests.clients.gophercloud import Gophercloud
from tests.openstack.keystone import ADMIN, Keystone
from tests.service import Installation, wait_until

manilaclient = pytest.importorskip(
    "manilaclient.client", reason="python-manilaclient is missing (pip install 'abaca[client]')"
)

manilaclient_exceptions = pytest.importorskip("manilaclient.exceptions")

pytestmark = [
    pytest.mark.sampled_file(8),
    pytest.mark.slow("a real Keystone, and the service behind it"),
    pytest.mark.timeout(300),
    pytest.mark.parametrize("cloud", ["keystone"], indirect=True, scope="session"),
]

VERSION, USER_AGENT = "2.87", "manila_ui_plugin_for_horizon"


# Whatever manila-ui 16 calls of the client, but for methods of what an answer holds.
CALLS = """
availability_zones.list limits.get messages.delete messages.get messages.list pools.list
quota_classes.update quotas.defaults quotas.get quotas.update resource_locks.delete
resource_locks.get resource_locks.list resource_locks.update security_services.create
security_services.delete security_services.get security_services.list security_services.update
share_access_rules.access_list share_access_rules.get share_access_rules.set_metadata
share_access_rules.unset_metadata share_export_locations.delete_metadata share_export_locations.get
share_export_locations.list share_export_locations.set_metadata share_group_snapshots.create
share_group_snapshots.delete share_group_snapshots.get share_group_snapshots.list
share_group_snapshots.reset_state share_group_snapshots.update
share_group_type_access.add_project_access share_group_type_access.list
share_group_type_access.remove_project_access share_group_types.create share_group_types.delete
share_group_types.get share_group_types.list share_groups.create share_groups.delete
share_groups.get share_groups.list share_groups.reset_state share_groups.update
share_instance_export_locations.list share_instances.get share_instances.list
share_network_subnets.create share_network_subnets.delete_metadata share_network_subnets.get
share_network_subnets.set_metadata share_networks.add_security_service share_networks.create
share_networks.delete share_networks.get share_networks.list share_networks.remove_security_service
share_networks.update share_replicas.create share_replicas.delete share_replicas.get
share_replicas.list share_replicas.promote share_replicas.reset_replica_state
share_replicas.reset_state share_replicas.resync share_servers.delete share_servers.get
share_servers.list share_snapshot_export_locations.list share_snapshots.access_list
share_snapshots.allow share_snapshots.create share_snapshots.delete share_snapshots.delete_metadata
share_snapshots.deny share_snapshots.get share_snapshots.list share_snapshots.set_metadata
share_snapshots.update share_type_access.add_project_access share_type_access.list
share_type_access.remove_project_access share_types.create share_types.delete share_types.get
share_types.list shares.allow shares.create shares.delete shares.delete_metadata shares.deny
shares.extend shares.get shares.list shares.manage shares.migration_cancel
shares.migration_complete shares.migration_get_progress shares.migration_start
shares.revert_to_snapshot shares.set_metadata shares.shrink shares.unmanage shares.update
"""
NOT_OFFERED = "share_replicas.", "shares.migration_"
"""Forms about replicas and migration, which Abaca does not have; lists are empty."""


class Recorded:
    """A manager of the client; notes which of its methods are taken."""

    def __init__(self, name: str, manager: Any, called: set[str]) -> None:
        self._name, self._manager, self._called = name, manager, called

    def __getattr__(self, method: str) -> Any:
        self._called.add(f"{self._name}.{method}")
        return getattr(self._manager, method)


class Dashboard:
    """Who is logged in; `dashboard.shares` and so on is the client of one call."""

    def __init__(
        self, url: str, username: str, project_id: str, token: str, called: set[str]
    ) -> None:
        self._url = f"{url}/v2"
        self._who = {"username": username, "project_id": project_id, "input_auth_token": token}
        self._called = called

    def __getattr__(self, name: str) -> Any:
        client = manilaclient.Client(
            VERSION, service_catalog_url=self._url, user_agent=USER_AGENT, **self._who
        )
        client.client.auth_token, client.client.management_url = (
            self._who["input_auth_token"],
            self._url,
        )
        return Recorded(name, getattr(client, name), self._called)


@pytest.fixture(scope="module")
def called() -> set[str]:
    """What the dashboards have called."""
    return set()


@pytest.fixture(scope="module")
def tenant(
    administrator: Gophercloud,
    service_with_keystone: Installation,
    keystone: Keystone,
    called: set[str],
) -> Dashboard:
    name = f"horizon-{uuid4().hex[:8]}"
    project = keystone.project(name)
    keystone.user(name, "member", project_id=project)
    return Dashboard(
        service_with_keystone.url, name, project, keystone.token(name, project_id=project), called
    )


@pytest.fixture(scope="module")
def admin(
    administrator: Gophercloud,
    service_with_keystone: Installation,
    keystone: Keystone,
    called: set[str],
) -> Dashboard:
    project = (
        keystone.client(ADMIN, project_name=ADMIN)
        .get("/projects", params={"name": ADMIN})
        .json()["projects"][0]["id"]
    )
    return Dashboard(
        service_with_keystone.url,
        ADMIN,
        project,
        keystone.token(ADMIN, project_name=ADMIN),
        called,
    )


def until(dashboard: Dashboard, share: Any, status: str) -> Any:
    wait_until(
        lambda: dashboard.shares.get(share).status == status, f"the share to be {status}", 60
    )
    return dashboard.shares.get(share)


@pytest.fixture(scope="module")
def share(tenant: Dashboard) -> Iterator[Any]:
    """As the form "Create Share" makes one."""
    network = tenant.share_networks.create(name="panel")
    made = tenant.shares.create(
        "NFS", 1, name="panel", description="", share_network=network.id, snapshot_id=None,
         metadata={"colour": "blue"}, share_type="snapshots",
        is_public=False, availability_zone=None, share_group_id=None,
    )  # fmt: skip
    yield until(tenant, made, "available")
    tenant.shares.delete(made, share_group_id=None)
    wait_until(
        lambda: made.id not in [found.id for found in tenant.shares.list(search_opts={})],
        "the share to go",
        60,
    )


def absolute(dashboard: Dashboard) -> dict[str, int]:
    return {limit.name: limit.value for limit in dashboard.limits.get().absolute}


def test_the_lists_of_a_project_that_has_nothing(tenant: Dashboard) -> None:
    assert (
        tenant.shares.list(search_opts={})
        == tenant.share_networks.list(detailed=True, search_opts={})
        == []
    )
    assert (
        tenant.share_snapshots.list(detailed=True, search_opts=None, sort_key=None, sort_dir=None)
        == []
    )
    assert tenant.security_services.list(detailed=True, search_opts={}) == []
    assert (
        tenant.messages.list(search_opts=None, sort_key=None, sort_dir=None)
        == tenant.resource_locks.list()
        == []
    )
    assert absolute(tenant)["totalSharesUsed"] == 0


def test_the_panels_of_share_groups_and_replicas_are_empty(
    tenant: Dashboard, admin: Dashboard
) -> None:
    for who in (tenant, admin):
        for groups in (who.share_groups, who.share_group_snapshots):
            assert groups.list(detailed=True, search_opts=None, sort_key=None, sort_dir=None) == []
            assert (
                groups.list(
                    detailed=True, search_opts={"all_tenants": True}, sort_key=None, sort_dir=None
                )
                == []
            )
        assert who.share_group_types.list(show_all=True) == []
        assert who.share_replicas.list(None) == []


def test_the_form_for_a_share_can_be_filled(tenant: Dashboard) -> None:
    """Each list that it offers a choice of; of the share types their extra specs, which say who
    needs a share network."""
    assert tenant.share_networks.list(detailed=False, search_opts=None) == []
    handles = {
        found.name: found.get_keys()["driver_handles_share_servers"]
        for found in tenant.share_types.list()
    }
    assert handles["default"] == handles["snapshots"] == "True"
    assert [zone.name for zone in tenant.availability_zones.list()] == ["nova"]
    assert (
        tenant.share_groups.list(detailed=True, search_opts=None, sort_key=None, sort_dir=None)
        == []
    )


def test_a_share_and_its_page(tenant: Dashboard, share: Any) -> None:
    assert [found.id for found in tenant.shares.list(search_opts={})] == [share.id]
    assert tenant.share_access_rules.access_list(share.id) == []
    (location,) = tenant.share_export_locations.list(share.id)
    assert tenant.share_export_locations.get(share.id, location.id).path == location.path
    tenant.share_export_locations.set_metadata(share.id, {"seen": "yes"}, subresource=location.id)
    tenant.share_export_locations.delete_metadata(share.id, ["seen"], subresource=location.id)
    tenant.shares.update(share, display_name="renamed", display_description="", is_public=False)
    tenant.shares.set_metadata(share, {"shape": "round"})
    tenant.shares.delete_metadata(share, ["colour"])
    found = tenant.shares.get(share.id)
    assert (found.name, found.metadata, found.share_type_name) == (
        "renamed",
        {"shape": "round"},
        "snapshots",
    )
    assert absolute(tenant)["totalShareGigabytesUsed"] == 1


def test_a_group_and_a_share_in_it(tenant: Dashboard, admin: Dashboard, share: Any) -> None:
    """As the forms of the project's panel and of the administrator's make them."""
    (share_type,) = [one.id for one in tenant.share_types.list() if one.name == "snapshots"]
    group_type = admin.share_group_types.create("panel", share_types=[share_type], is_public=True)
    network = share.share_network_id
    made = tenant.share_groups.create(
        name="panel", description="", share_group_type=group_type.id, share_types=[share_type],
         share_network=network, source_share_group_snapshot=None, availability_zone=None,
    )  # fmt: skip
    wait_until(lambda: tenant.share_groups.get(made).status == "available", "the group", 60)
    tenant.share_groups.update(made, name="panel", description="told")
    (found,) = tenant.share_groups.list(
        detailed=True, search_opts=None, sort_key=None, sort_dir=None
    )
    assert (found.id, found.description, found.share_types) == (made.id, "told", [share_type])
    member = tenant.shares.create(
        "NFS", 1, name="member", share_network=network, share_type="snapshots",
         share_group_id=made.id,
    )  # fmt: skip
    until(tenant, member, "available")
    assert absolute(tenant)["totalShareGroupsUsed"] == 1
    taken = tenant.share_group_snapshots.create(made, name="panel", description="")
    wait_until(
        lambda: tenant.share_group_snapshots.get(taken).status == "available", "its snapshot", 60
    )
    tenant.share_group_snapshots.update(taken, name="panel", description="told")
    (listed,) = tenant.share_group_snapshots.list(
        detailed=True, search_opts=None, sort_key=None, sort_dir=None
    )
    assert (listed.description, [one["share_id"] for one in listed.members]) == (
        "told",
        [member.id],
    )
    admin.share_group_snapshots.reset_state(taken, "error")
    tenant.share_group_snapshots.delete(taken)
    wait_until(
        lambda: (
            tenant.share_group_snapshots.list(
                detailed=False, search_opts=None, sort_key=None, sort_dir=None
            )
            == []
        ),
        "the snapshot to go",
        60,
    )
    tenant.shares.delete(member, share_group_id=made.id)
    wait_until(
        lambda: member.id not in [one.id for one in tenant.shares.list(search_opts={})],
        "the share to go",
        60,
    )
    admin.share_groups.reset_state(made, "error")
    tenant.share_groups.delete(made)
    admin.share_group_types.delete(group_type)


def test_a_share_is_resized(tenant: Dashboard, share: Any) -> None:
    def has_size(size: int) -> bool:
        return bool(tenant.shares.get(share.id).size == size)

    for resize, size in ((tenant.shares.extend, 2), (tenant.shares.shrink, 1)):
        resize(share.id, size)
        wait_until(partial(has_size, size), "the new size", 60)
        until(tenant, share.id, "available")


def test_access_to_a_share(tenant: Dashboard, share: Any) -> None:
    tenant.shares.allow(share.id, "ip", "10.34.0.0/24", "rw", {"who": "us"})
    (rule,) = tenant.share_access_rules.access_list(share.id)
    tenant.share_access_rules.set_metadata(rule.id, {"why": "tests"})
    tenant.share_access_rules.unset_metadata(rule.id, ["who"])
    assert tenant.share_access_rules.get(rule.id).metadata == {"why": "tests"}
    tenant.shares.deny(share.id, rule.id)
    wait_until(lambda: tenant.share_access_rules.access_list(share.id) == [], "the rule to go", 60)


def test_locks_of_access_rules(tenant: Dashboard, share: Any) -> None:
    """Which the client makes with a rule; the panel of locks changes and removes them."""
    tenant.shares.allow(share.id, "ip", "10.34.1.0/24", "ro", None, lock_deletion=True)
    (rule,) = tenant.share_access_rules.access_list(share.id)
    (lock,) = tenant.resource_locks.list(search_opts={"resource_id": rule.id})
    tenant.resource_locks.update(lock.id, lock_reason="for the panel")
    assert tenant.resource_locks.get(lock.id).lock_reason == "for the panel"
    with pytest.raises(manilaclient_exceptions.ClientException, match="lock"):
        tenant.shares.deny(share.id, rule.id)
    tenant.resource_locks.delete(lock.id)
    tenant.shares.deny(share.id, rule.id)
    wait_until(lambda: tenant.share_access_rules.access_list(share.id) == [], "the rule to go", 60)


def test_access_to_a_snapshot(tenant: Dashboard, admin: Dashboard, share: Any) -> None:
    """Of a share whose type has mountable snapshots; then the share is let go with its server, and
    the server deleted, as an administrator can."""
    kind = admin.share_types.create(
        name="mounted",
        spec_driver_handles_share_servers=True,
        spec_snapshot_support=True,
        extra_specs={"mount_snapshot_support": True},
    )
    network = tenant.share_networks.create(name="mounted")
    mounted = tenant.shares.create(
        "NFS", 1, name="mounted", share_network=network.id, share_type="mounted"
    )
    until(tenant, mounted, "available")
    snapshot = tenant.share_snapshots.create(mounted.id, force=False, name="mounted")
    wait_until(
        lambda: tenant.share_snapshots.get(snapshot.id).status == "available", "the snapshot", 60
    )
    assert len(tenant.share_snapshot_export_locations.list(snapshot=snapshot)) == 1
    tenant.share_snapshots.allow(snapshot.id, "ip", "10.34.0.7")
    (rule,) = tenant.share_snapshots.access_list(snapshot.id)
    assert (rule.access_type, rule.access_to) == ("ip", "10.34.0.7")
    tenant.share_snapshots.deny(snapshot.id, rule.id)
    wait_until(lambda: tenant.share_snapshots.access_list(snapshot.id) == [], "the rule", 60)
    tenant.share_snapshots.delete(snapshot.id)
    wait_until(
        lambda: tenant.share_snapshots.list(search_opts={"share_id": mounted.id}) == [],
        "the snapshot to go",
        60,
    )
    (server,) = admin.share_servers.list(search_opts={"share_network_id": network.id})
    (instance,) = [one for one in admin.share_instances.list() if one.share_id == mounted.id]
    assert admin.share_instances.get(instance.id).share_server_id == server.id
    assert len(admin.share_instance_export_locations.list(instance.id)) == 1
    tenant.shares.delete(mounted)
    wait_until(lambda: len(tenant.shares.list()) == 1, "the share to go", 60)
    admin.share_servers.delete(server.id)
    wait_until(
        lambda: admin.share_servers.list(search_opts={"share_network_id": network.id}) == [],
        "the server to go",
        60,
    )
    tenant.share_networks.delete(network.id)
    admin.share_types.delete(kind.id)


def test_a_share_is_let_go_and_managed(admin: Dashboard) -> None:
    """By the form, which names no share server: on a back end without those."""
    kind = admin.share_types.create(name="plain", spec_driver_handles_share_servers=False)
    made = until(admin, admin.shares.create("NFS", 1, name="free", share_type="plain"), "available")
    host = made.host
    (location,) = admin.share_export_locations.list(made.id)
    admin.shares.unmanage(made)
    wait_until(
        lambda: made.id not in [one.id for one in admin.shares.list()], "the share to be let go", 60
    )
    managed = admin.shares.manage(
        service_host=host,
        protocol="NFS",
        export_path=location.path,
        driver_options={},
        share_type=kind.id,
        name="managed",
        description="",
        is_public=False,
    )
    assert until(admin, managed, "available").size == 1
    admin.shares.delete(managed)
    wait_until(
        lambda: managed.id not in [one.id for one in admin.shares.list()], "the share to go", 60
    )
    admin.share_types.delete(kind.id)


def test_snapshots_of_a_share(tenant: Dashboard, share: Any) -> None:
    """And the share is reverted to one; a second one is made from it by the same form."""
    snapshot = tenant.share_snapshots.create(
        share.id, force=False, name="panel", description="", metadata={"kept": "yes"}
    )
    wait_until(
        lambda: tenant.share_snapshots.get(snapshot.id).status == "available", "the snapshot", 60
    )
    assert [
        found.id
        for found in tenant.share_snapshots.list(detailed=True, search_opts={"share_id": share.id})
    ] == [snapshot.id]
    tenant.share_snapshots.update(snapshot.id, display_name="renamed", display_description="")
    tenant.share_snapshots.set_metadata(snapshot.id, {"more": "yes"})
    tenant.share_snapshots.delete_metadata(snapshot.id, ["kept"])
    tenant.shares.revert_to_snapshot(share.id, snapshot.id)
    until(tenant, share.id, "available")
    copy = tenant.shares.create(
        "NFS",
        1,
        name="copy",
        share_network=share.share_network_id,
        snapshot_id=snapshot.id,
        share_type="snapshots",
    )
    until(tenant, copy, "available")
    tenant.shares.delete(copy)
    wait_until(lambda: len(tenant.shares.list()) == 1, "the copy to go", 60)
    tenant.share_snapshots.delete(snapshot.id)
    wait_until(lambda: tenant.share_snapshots.list() == [], "the snapshot to go", 60)


def test_share_networks_and_security_services(tenant: Dashboard) -> None:
    service = tenant.security_services.create("ldap", dns_ip="192.0.2.1", ou=None, server=None,
     domain="example.org", user="u", password="p",
                                              name="panel", description="")  # fmt: skip
    tenant.security_services.update(service.id, name="renamed", description="")
    assert tenant.security_services.get(service.id).name == "renamed"
    network = tenant.share_networks.create(
        name="second",
        description="",
        neutron_net_id=None,
        neutron_subnet_id=None,
        availability_zone=None,
    )
    (first,) = tenant.share_networks.get(network.id).share_network_subnets
    tenant.share_network_subnets.set_metadata(network.id, {"floor": "1"}, subresource=first["id"])
    tenant.share_network_subnets.delete_metadata(network.id, ["floor"], subresource=first["id"])
    assert tenant.share_network_subnets.get(network.id, first["id"]).metadata == {}
    more = tenant.share_network_subnets.create(
        share_network_id=network.id,
        neutron_net_id=None,
        neutron_subnet_id=None,
        availability_zone="nova",
        metadata={"floor": "2"},
    )
    assert len(tenant.share_networks.get(network.id).share_network_subnets) == 2
    tenant.share_networks.add_security_service(network.id, service.id)
    assert [
        found.id
        for found in tenant.security_services.list(search_opts={"share_network_id": network.id})
    ] == [service.id]
    tenant.share_networks.remove_security_service(network.id, service.id)
    tenant.share_networks.update(network.id, name="third", description="")
    tenant.share_network_subnets.delete(network.id, more.id)
    tenant.share_networks.delete(network.id)
    tenant.security_services.delete(service.id)


def test_what_failed_is_told(tenant: Dashboard, share: Any) -> None:
    failed = tenant.shares.create(
        "CIFS", 1, name="none", share_network=share.share_network_id, share_type="default"
    )
    until(tenant, failed, "error")
    (message,) = tenant.messages.list(search_opts=None, sort_key=None, sort_dir=None)
    assert tenant.messages.get(message.id).resource_id == failed.id
    tenant.messages.delete(message.id)
    tenant.shares.delete(failed)
    wait_until(lambda: len(tenant.shares.list()) == 1, "the share to go", 60)


def test_the_panels_of_administrators(admin: Dashboard, share: Any) -> None:
    assert share.id in [found.id for found in admin.shares.list(search_opts={"all_tenants": True})]
    admin.share_snapshots.list(detailed=True, search_opts={"all_tenants": True})
    admin.share_networks.list(detailed=True, search_opts={"all_tenants": True})
    admin.security_services.list(detailed=True, search_opts={"all_tenants": True})
    admin.messages.list(search_opts={"all_tenants": True}, sort_key=None, sort_dir=None)
    assert share.id in [found.share_id for found in admin.share_instances.list()]
    servers = admin.share_servers.list(search_opts={})
    assert all(admin.share_servers.get(server.id).id == server.id for server in servers) and servers
    assert [pool.name for pool in admin.pools.list(detailed=True)]
    admin.quotas.get(share.project_id)
    admin.quotas.defaults(share.project_id)
    admin.quotas.update(share.project_id, shares=40, gigabytes=900)
    before = admin.quotas.defaults(share.project_id).share_networks
    admin.quota_classes.update("default", share_networks=before)


def test_share_types_of_administrators(admin: Dashboard) -> None:
    made = admin.share_types.create(
        name="panel", description="one", spec_driver_handles_share_servers=True, is_public=False
    )
    admin.share_types.get(made.id).update(name="renamed", description="two", is_public=False)
    admin.share_types.get(made.id).set_keys({"floor": "1"})
    admin.share_types.get(made.id).unset_keys(["floor"])
    admin.share_type_access.add_project_access(made.id, "some-project")
    allowed = admin.share_type_access.list(admin.share_types.get(made.id))
    assert [found.project_id for found in allowed] == ["some-project"]
    admin.share_type_access.remove_project_access(made.id, "some-project")
    admin.share_types.delete(made.id)


def test_share_group_types_of_administrators(admin: Dashboard, share: Any) -> None:
    (kind,) = [one.id for one in admin.share_types.list() if one.name == "snapshots"]
    made = admin.share_group_types.create(
        name="closed", share_types=[kind], is_public=False, group_specs={"floor": "1"}
    )
    assert made.id in [one.id for one in admin.share_group_types.list(show_all=True)]
    admin.share_group_types.get(made.id).set_keys({"roof": "2"})
    admin.share_group_types.get(made.id).unset_keys(["floor"])
    assert admin.share_group_types.get(made.id).get_keys() == {"roof": "2"}
    admin.share_group_type_access.add_project_access(made.id, "some-project")
    allowed = admin.share_group_type_access.list(admin.share_group_types.get(made.id))
    assert [one.project_id for one in allowed] == ["some-project"]
    admin.share_group_type_access.remove_project_access(made.id, "some-project")
    admin.share_group_types.delete(made.id)


def test_what_the_panels_call_is_called_here(share: Any, called: set[str]) -> None:
    not_offered = {name for name in CALLS.split() if name.startswith(NOT_OFFERED)}
    assert set(CALLS.split()) - called == not_offered - {"share_replicas.list"}
