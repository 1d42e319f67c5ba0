"""What the Linux back end believes of what NFS clients say of themselves: their ids, and the ports
they send from."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from abaca.admin.nfs_probe import Mount, NfsError
from abaca.drivers.linux import namespaces
from abaca.values import Share, Snapshot
from tests.contracts.drivers import linux_backend
from tests.contracts.drivers.linux_backend import probe
from tests.contracts.drivers.linux_site import BOTH, CLIENT, Site, path, rule

pytestmark = [pytest.mark.root, pytest.mark.sampled_file(4)]

USER = 1001
NOBODY = 65534
WITHOUT_LOW_PORTS = ("setpriv", "--inh-caps=-net_bind_service", "--bounding-set=-net_bind_service")


def write_as(uid: int, netns: str, location: str, name: str) -> None:
    def write(_: object) -> None:
        with Mount(location, uid) as share:
            share.write(name, b"text")

    namespaces.inside(netns, write)


def may_read(uid: int, netns: str, location: str, name: str) -> bool:
    def read(_: object) -> bool:
        try:
            with Mount(location, uid) as share:
                return share.read(name) == b"text"
        except NfsError as error:
            assert "ACCES" in str(error), error
            return False

    return namespaces.inside(netns, read)


def owner(site: Site, share: Share, name: str) -> tuple[int, int]:
    found = (site.driver.pool.path(share.id) / name).stat()
    return found.st_uid, found.st_gid


@pytest.mark.parametrize(
    ("specs", "roots", "users"),
    [
        ({}, (0, 0), (USER, USER)),
        ({"nfs:squash": "no_root_squash"}, (0, 0), (USER, USER)),
        ({"nfs:squash": "root_squash"}, (NOBODY, NOBODY), (USER, USER)),
        (
            {"nfs:squash": "root_squash", "nfs:anonymous_uid": "4242", "nfs:anonymous_gid": "4343"},
            (4242, 4343),
            (USER, USER),
        ),
        ({"nfs:squash": "all_squash"}, (NOBODY, NOBODY), (NOBODY, NOBODY)),
        (
            {
                "nfs:squash": "all_squash",
                "nfs:anonymous_uid": "0",
                "nfs:anonymous_gid": "4294967294",
            },
            (0, 4294967294),
            (0, 4294967294),
        ),
    ],
)
def test_whose_ids_are_replaced(
    site: Site, specs: dict[str, str], roots: tuple[int, int], users: tuple[int, int]
) -> None:
    share = site.share(site.server(*BOTH), extra_specs=specs)
    netns = site.client("client", "net", *CLIENT)
    for family, location in enumerate(share.export_locations):
        for uid, expected in ((0, roots), (USER, users)):
            name = f"{family} {uid}"
            write_as(uid, netns, location.path, name)
            assert owner(site, share, name) == expected, location


def test_a_snapshot_believes_what_its_share_does(site: Site) -> None:
    server = site.server(*BOTH)
    for squash, is_allowed in (("no_root_squash", True), ("root_squash", False)):
        share = site.share(server, extra_specs={"nfs:squash": squash})
        secret = site.driver.pool.path(share.id) / "secret"
        secret.write_text("text")
        secret.chmod(0o600)
        os.chown(secret, USER, USER)
        snapshot: Snapshot = site.snapshot(share, server, is_mountable=True)
        netns = site.client("client", "net", *CLIENT)
        for location in (*share.export_locations, *snapshot.export_locations):
            assert may_read(0, netns, location.path, "secret") == is_allowed, location
            assert may_read(USER, netns, location.path, "secret"), location


@pytest.mark.parametrize("specs", [{}, {"nfs:privileged_ports": "true"}])
def test_who_sends_from_an_unprivileged_port_sees_nothing(
    site: Site, specs: dict[str, str]
) -> None:
    server = site.server(*BOTH)
    share = site.share(server, extra_specs=specs)
    snapshot = site.snapshot(share, server, is_mountable=True)
    netns = site.client("client", "net", *CLIENT)
    for location in (*share.export_locations, *snapshot.export_locations):
        assert probe(netns, "mount", location.path)["ok"], location
        told = probe(netns, "mount", location.path, through=WITHOUT_LOW_PORTS)
        assert "NOENT" in told["error"], (location, told)


def test_unprivileged_ports_are_a_share_types_decision(site: Site) -> None:
    share = site.share(site.server(*BOTH), extra_specs={"nfs:privileged_ports": "false"})
    netns = site.client("client", "net", *CLIENT)
    for location in share.export_locations:
        assert probe(netns, "mount", location.path, through=WITHOUT_LOW_PORTS)["ok"], location


def test_other_specs_take_effect_when_the_server_is_ensured(site: Site) -> None:
    server = site.server(*BOTH)
    share = site.share(server)
    netns = site.client("client", "net", *CLIENT)
    changed = msgspec.structs.replace(share, extra_specs={"nfs:squash": "all_squash"})
    linux_backend.successor(site.driver).ensure_server(server, [changed])
    write_as(USER, netns, path(share), "name")
    assert owner(site, share, "name") == (NOBODY, NOBODY)


@pytest.mark.parametrize(
    "spec", ["nfs:squash=none; Access_Type = RW", "nfs:anonymous_uid=-1", "nfs:sqash=all_squash"]
)
def test_specs_that_mean_nothing_open_no_share(site: Site, spec: str) -> None:
    """Written past the API; the other shares of the server go on."""
    key, _, value = spec.partition("=")
    server = site.server(*BOTH)
    share, other = site.share(server), site.share(server)
    spoiled = msgspec.structs.replace(share, extra_specs={key: value})
    netns = site.client("client", "net", *CLIENT)
    rules = [rule("10.0.0.20"), rule("fd00::20")]
    refused = site.driver.update_access(spoiled, rules, server)
    assert set(refused) == {given.id for given in rules}
    assert all(key in reason for reason in refused.values())
    site.driver.ensure_server(server, [spoiled, other])
    for location in share.export_locations:
        assert "NOENT" in probe(netns, "mount", location.path)["error"]
    assert probe(netns, "write", path(other), "name", "text")["ok"]
    assert not Path(site.driver.pool.path(share.id), "name").exists()
