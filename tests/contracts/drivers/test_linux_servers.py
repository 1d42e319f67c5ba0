"""Share servers of the Linux back end over time: healthy, damaged in every way we could think of,
killed, rebooted, half there."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from abaca.drivers.linux import mounts, namespaces, processes, routing
from abaca.drivers.linux.driver import LinuxDriver
from abaca.drivers.linux.file_services.nfs.exports import ExportBus, export_ids
from abaca.drivers.linux.inventory import leftovers
from abaca.drivers.linux.wires import plugging
from abaca.errors import BackendError, Refused, Unavailable
from abaca.values import Share, ShareServer
from tests.contracts.drivers import linux_backend
from tests.contracts.drivers.linux_backend import Loop, btrfs_pool, client_namespace, probe
from tests.contracts.drivers.linux_site import (
    BOTH,
    CLIENT,
    Site,
    assert_served,
    grow,
    path,
    routes_of,
)

pytestmark = [pytest.mark.root, pytest.mark.sampled(4)]


def test_ensuring_a_healthy_server_disturbs_nobody(site: Site) -> None:
    server = site.server(*BOTH)
    share = site.share(server)
    before = (
        processes.find("ganesha.nfsd", str(site.layout(server).ganesha_pid)),
        routes_of(site.layout(server).namespace),
    )
    with Loop(site.client("client", "net", *CLIENT), path(share), "loop") as loop:
        for _ in range(5):
            linux_backend.successor(site.driver).ensure_server(server, [share])
    assert loop.answer["error_count"] == 0, loop.answer
    assert (
        processes.find("ganesha.nfsd", str(site.layout(server).ganesha_pid)),
        routes_of(site.layout(server).namespace),
    ) == before


SET_UP_AND_DIE = """
import os, signal, sys, msgspec
from abaca.drivers.linux.driver import LinuxDriver
from abaca.values import NetworkInfo
driver = LinuxDriver(sys.argv[1], msgspec.json.decode(sys.argv[2], type=dict[str, str]))
driver.setup_server(sys.argv[3], msgspec.json.decode(sys.argv[4], type=list[NetworkInfo]))
os.killpg(0, signal.SIGKILL)
"""


def test_the_death_of_the_worker_interrupts_nobody(site: Site) -> None:
    server = site.server(*BOTH)
    site.driver.teardown_server(server.id, {})
    layout = site.driver.layout
    options = {"state_dir": str(layout.state_dir), "namespace": layout.namespace}
    arguments = [
        linux_backend.BACKEND_NAME,
        msgspec.json.encode(options).decode(),
        server.id,
        msgspec.json.encode(server.network_info).decode(),
    ]
    done = subprocess.run(
        [sys.executable, "-c", SET_UP_AND_DIE, *arguments], start_new_session=True, check=False
    )
    assert done.returncode == -signal.SIGKILL
    pids = processes.find("ganesha.nfsd", str(site.layout(server).ganesha_pid))
    assert pids
    share = site.share(server)
    assert_served(site.client("client", "net", *CLIENT), share)
    linux_backend.successor(site.driver).ensure_server(server, [share])
    assert processes.find("ganesha.nfsd", str(site.layout(server).ganesha_pid)) == pids


def _kill_ganesha(site: Site, server: ShareServer, share: Share) -> None:
    os.kill(int(site.layout(server).ganesha_pid.read_text()), signal.SIGKILL)


def _kill_bus(site: Site, server: ShareServer, share: Share) -> None:
    os.kill(int(site.layout(server).bus_pid.read_text()), signal.SIGKILL)


def _stop_ganesha_from_answering(site: Site, server: ShareServer, share: Share) -> None:
    os.kill(int(site.layout(server).bus_pid.read_text()), signal.SIGKILL)
    site.layout(server).bus_socket.unlink()


def _recycle_process_number(site: Site, server: ShareServer, share: Share) -> None:
    _kill_ganesha(site, server, share)
    site.layout(server).ganesha_pid.write_text(str(os.getpid()))


def _lose_a_port(site: Site, server: ShareServer, share: Share) -> None:
    namespaces.inside(
        site.layout(server).namespace,
        lambda links: links.link(
            "del", index=links.link_lookup(ifname=site.port_names(server)[0])[0]
        ),
    )


def _lose_all_bridges(site: Site, server: ShareServer, share: Share) -> None:
    name = plugging.bridge_name(site.network_id("net"))
    namespaces.inside(
        site.driver.layout.namespace,
        lambda links: links.link("del", index=links.link_lookup(ifname=name)[0]),
    )


def _take_links_down(site: Site, server: ShareServer, share: Share) -> None:
    """With the link go its routes."""
    namespaces.inside(
        site.layout(server).namespace,
        lambda links: [
            links.link("set", index=link["index"], state="down") for link in links.get_links()
        ],
    )


def _lose_addresses(site: Site, server: ShareServer, share: Share) -> None:
    routing.remove_addresses(
        site.layout(server).namespace, routing.addresses_of(site.layout(server).namespace)
    )


def _lose_rules(site: Site, server: ShareServer, share: Share) -> None:
    namespaces.inside(
        site.layout(server).namespace,
        lambda links: [
            links.flush_rules(family=family, priority=routing.RULE_PRIORITY) for family in (2, 10)
        ],
    )


def _unmount(site: Site, server: ShareServer, share: Share) -> None:
    mounts.unmount(site.layout(server).mount_point(share.id))


def _mount_something_else(site: Site, server: ShareServer, share: Share) -> None:
    subprocess.run(
        ["mount", "-t", "tmpfs", "tmpfs", str(site.layout(server).mount_point(share.id))],
        check=True,
    )


def _lose_export_file(site: Site, server: ShareServer, share: Share) -> None:
    site.layout(server).export_file(share.id).unlink()


def _withdraw_export(site: Site, server: ShareServer, share: Share) -> None:
    ExportBus(site.layout(server).bus_socket).remove(export_ids(site.layout(server))[share.id])


def _lose_namespace_name(site: Site, server: ShareServer, share: Share) -> None:
    """Its processes live on in the namespace that no one can enter by name."""
    namespaces.remove(site.layout(server).namespace)


def _lose_run_folder(site: Site, server: ShareServer, share: Share) -> None:
    subprocess.run(["find", str(site.layout(server).run), "-mindepth", "1", "-delete"], check=True)


def _unmount_run_folder(site: Site, server: ShareServer, share: Share) -> None:
    mounts.unmount(site.layout(server).run)


def _unmount_recovery(site: Site, server: ShareServer, share: Share) -> None:
    mounts.unmount(site.layout(server).recovery)


DAMAGES: list[Callable[[Site, ShareServer, Share], None]] = [
    _kill_ganesha,
    _kill_bus,
    _stop_ganesha_from_answering,
    _recycle_process_number,
    _lose_a_port,
    _lose_all_bridges,
    _take_links_down,
    _lose_addresses,
    _lose_rules,
    _unmount,
    _mount_something_else,
    _lose_export_file,
    _withdraw_export,
    _lose_namespace_name,
    _lose_run_folder,
    _unmount_run_folder,
    _unmount_recovery,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__.strip("_"))
def test_ensuring_repairs(site: Site, damage: Callable[[Site, ShareServer, Share], None]) -> None:
    server = site.server(*BOTH)
    share = site.share(server)
    # not by NFS: a client on record makes a new Ganesha wait for it
    (site.driver.pool.path(share.id) / "kept").write_text("before")
    damage(site, server, share)
    linux_backend.successor(site.driver).ensure_server(server, [share])
    netns = site.client("client", "net", *CLIENT)
    assert probe(netns, "read", path(share), "kept") == {"ok": True, "text": "before"}
    assert_served(netns, share)
    assert len(mounts.mounts_below(site.layout(server).mount_point(share.id))) == 1


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__.strip("_"))
def test_teardown_of_what_is_half_there(
    site: Site, damage: Callable[[Site, ShareServer, Share], None]
) -> None:
    server = site.server(*BOTH)
    share = site.share(server)
    damage(site, server, share)
    for _ in range(2):
        linux_backend.successor(site.driver).teardown_server(server.id, {})
    site.driver.delete_share(share, server)
    found = leftovers(site.driver.layout.namespace, site.driver.layout.state_dir)
    assert (found["links"], found["processes"], found["exports"], found["subvolumes"]) == (
        [],
        [],
        [],
        [],
    )
    assert found["namespaces"] == [site.driver.layout.namespace]


def test_ensuring_takes_away_what_is_not_described(site: Site) -> None:
    """An update that was interrupted and undone, a share that is deleted: neither is served any
    longer, data that was not deleted stays."""
    server = site.server(*BOTH)
    kept, gone = site.share(server), site.share(server)
    grow(site, server, [kept], "two", "10.20.0.5/24")
    site.driver.ensure_server(server, [kept])
    netns = site.client("client", "net", *CLIENT)
    assert_served(netns, kept)
    assert not probe(netns, "mount", path(gone))["ok"]
    assert site.driver.pool.has(gone.id)
    assert len(site.port_names(server)) == 2


def test_ensuring_tells_of_lost_data_after_repairing_the_rest(site: Site) -> None:
    server = site.server(*BOTH)
    kept, lost = site.share(server), site.share(server)
    site.driver.delete_share(lost, server)
    _kill_ganesha(site, server, kept)
    with pytest.raises(Refused, match=lost.id):
        site.driver.ensure_server(server, [kept, lost])
    assert_served(site.client("client", "net", *CLIENT), kept)


def test_a_reboot_loses_nothing(lonely_driver: LinuxDriver) -> None:
    site, layout = Site(lonely_driver), lonely_driver.layout
    server = site.server(*BOTH)
    shares = [site.share(server), site.share(server)]
    netns = site.client("client", "net", *CLIENT)
    for share in shares:
        assert probe(netns, "write", path(share), "kept", share.id)["ok"]
    site.driver = linux_backend.lose_everything(lonely_driver)
    found = leftovers(layout.namespace, layout.state_dir)
    assert not any(found[kind] for kind in ("namespaces", "mounts", "loop_devices", "processes"))
    site.driver.check_for_setup_error()
    site.driver.ensure_server(server, shares)
    netns = site.client("client", "net", *CLIENT)
    for share in shares:
        assert probe(netns, "read", path(share), "kept") == {"ok": True, "text": share.id}
        assert_served(netns, share)


def test_nothing_is_deleted_or_made_in_a_pool_that_is_not_mounted(
    lonely_driver: LinuxDriver,
) -> None:
    site, driver = Site(lonely_driver), lonely_driver
    server = site.server(*BOTH)
    share = site.share(server)
    driver.teardown_server(server.id, {})
    mounts.unmount(btrfs_pool(driver).root)
    calls = (
        lambda: driver.delete_share(share, server),
        lambda: driver.create_share(share, server),
        lambda: driver.ensure_server(server, [share]),
    )
    for call in (*calls, driver.get_pools):
        with pytest.raises(Unavailable, match="not mounted"):
            call()
    driver.check_for_setup_error()
    driver.ensure_server(server, [share])
    assert_served(site.client("client", "net", *CLIENT), share)


def test_ganesha_has_nothing_to_complain_about_in_its_configuration(site: Site) -> None:
    server = site.server(*BOTH)
    site.share(server)
    _kill_ganesha(site, server, site.share(server))
    site.driver.ensure_server(server, [])
    complaints = [
        line
        for line in site.layout(server).log.read_text().splitlines()
        if "config_errs_to_log" in line or "Errors found" in line
    ]
    assert complaints == []


def test_a_ganesha_that_does_not_start_is_told_with_its_log(site: Site) -> None:
    server = site.server(*BOTH)
    site.ganesha(server).stop()
    taken = namespaces.inside(
        site.layout(server).namespace,
        lambda _: socket.create_server(("::", 2049), family=socket.AF_INET6),
    )
    with taken, pytest.raises(Unavailable, match="bind"):
        site.driver.ensure_server(server, [])
    site.driver.ensure_server(server, [])
    assert site.driver.unserved([server.id]) == []


def test_what_fails_with_one_share_keeps_no_other_from_being_served(site: Site) -> None:
    server = site.server(*BOTH)
    shares = [site.share(server) for _ in range(3)]
    broken = sorted(shares, key=lambda share: share.id)[0]
    site.driver.teardown_server(server.id, {})
    site.driver.setup_server(server.id, server.network_info)
    site.layout(server).prepare()
    site.layout(server).mount_point(broken.id).write_text("a file where a folder should be")
    with pytest.raises(BackendError):
        site.driver.ensure_server(server, sorted(shares, key=lambda share: share.id))
    netns = site.client("client", "net", *CLIENT)
    for share in shares:
        assert probe(netns, "mount", path(share))["ok"] == (share is not broken)
    site.layout(server).mount_point(broken.id).unlink()
    site.driver.ensure_server(server, shares)
    assert_served(netns, broken)


def test_a_share_that_is_not_mounted_is_never_exported(site: Site) -> None:
    """Its clients would write into the folder below, onto the host's disk."""
    server = site.server(*BOTH)
    share, other = site.share(server), site.share(server)
    _unmount(site, server, share)
    _kill_ganesha(site, server, share)
    site.driver.update_access(other, other.access_rules, server)
    netns = site.client("client", "net", *CLIENT)
    assert not probe(netns, "write", path(share), "name", "text")["ok"]
    assert_served(netns, other)
    site.driver.ensure_server(server, [share, other])
    assert_served(netns, share)


def test_nothing_is_written_below_a_folder_of_another_user(tmp_path: Path) -> None:
    if reason := linux_backend.unavailable_reason():
        pytest.skip(reason)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    os.chown(foreign, 65534, 65534)
    driver = LinuxDriver(
        "linux",
        {
            "state_dir": str(foreign / "state"),
            "namespace": client_namespace(LinuxDriver("x", {}), "none"),
        },
    )
    with pytest.raises(Unavailable, match="foreign"):
        driver.check_for_setup_error()
    assert list(foreign.iterdir()) == []
