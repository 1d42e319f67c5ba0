"""What keeps tenants of the Linux back end apart, and root from what others wrote: wires between servers, and hostile ids and values."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from abaca.drivers.linux import namespaces
from abaca.drivers.linux.driver import LinuxDriver
from abaca.errors import BackendError
from abaca.values import Share, ShareServer, Snapshot
from tests.contracts.drivers.linux_site import BOTH, CLIENT, Site, assert_served, rule

pytestmark = pytest.mark.root

CONNECT_SECONDS = 1.0
HOSTILE = [
    *("", ".", "..", "../../../../root", "/etc", "a/b", "a b", "a;touch pwned", "$(touch pwned)", "`id`", "-rf", "a\nb", "a\0b", "ä", '"}'),
    "x" * 65,
]


def reaches(site: Site, server: ShareServer, address: str) -> bool:
    """Whether a connection from the server's namespace to the NFS server of that address comes about, by any of its own wires."""

    def connect(links: namespaces.IPRoute) -> bool:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        for name in site.port_names(server):  # as if the server had been broken into: the way there is tried on each of its links
            links.route("replace", dst=f"{address}/{128 if ':' in address else 32}", oif=links.link_lookup(ifname=name)[0], family=family)
            try:
                socket.create_connection((address, 2049), timeout=CONNECT_SECONDS).close()
            except OSError:
                continue
            return True
        return False

    return namespaces.inside(site.layout(server).namespace, connect)


def test_servers_reach_each_other_only_by_a_network_that_both_are_on(site: Site) -> None:
    one = site.server(("one", "10.1.0.5/24"), ("one", "fd00:1::5/64"))
    both = site.server(("one", "10.1.0.6/24"), ("two", "10.2.0.6/24"), ("two", "fd00:2::6/64"))
    two = site.server(("two", "10.2.0.7/24"), ("two", "fd00:2::7/64"))
    assert reaches(site, one, "10.1.0.6") and reaches(site, both, "10.2.0.7") and reaches(site, two, "fd00:2::6")
    for foreign in ("10.2.0.7", "fd00:2::7"):
        assert not reaches(site, one, foreign), foreign
    for foreign in ("10.1.0.5", "fd00:1::5"):
        assert not reaches(site, two, foreign), foreign


def tree(driver: LinuxDriver) -> set[Path]:
    """Every folder and file of the installation, shares' data included; not what Ganesha itself keeps."""
    found = [path for root in (driver.layout.state_dir, driver.layout.run) for path in root.rglob("*")]
    return {path for path in found if "ganesha" not in path.name and "recovery" not in path.parts}


def calls(driver: LinuxDriver, server: ShareServer, share: Share, hostile: str) -> list[Callable[[], object]]:
    """Everything that a row with a hostile id of a share, a snapshot or a server could lead to."""
    bad_share, bad_server = msgspec.structs.replace(share, id=hostile), msgspec.structs.replace(server, id=hostile)
    bad_snapshot = Snapshot(id=hostile, snapshot_id=str(uuid.uuid4()), share=share, size=1, is_complete=True)
    complete = msgspec.structs.replace(bad_share, is_complete=True)
    return [
        lambda: driver.create_share(bad_share, server),
        lambda: driver.delete_share(bad_share, server),
        lambda: driver.extend_share(bad_share, 2, server),
        lambda: driver.update_access(bad_share, [rule("10.0.0.0/8")], server),
        lambda: driver.create_snapshot(bad_snapshot, server),
        lambda: driver.delete_snapshot(bad_snapshot, server),
        lambda: driver.revert_to_snapshot(bad_snapshot, share, server),
        lambda: driver.create_share_from_snapshot(msgspec.structs.replace(share, id=str(uuid.uuid4())), bad_snapshot, server),
        lambda: driver.ensure_server(server, [share, complete]),
        lambda: driver.setup_server(hostile, server.network_info),
        lambda: driver.ensure_server(bad_server, [share]),
        lambda: driver.create_share(share, bad_server),
        lambda: driver.teardown_server(hostile, {}),
    ]


def test_hostile_ids_reach_no_path_and_no_program(site: Site) -> None:
    """Rows that somebody wrote past the API: refused, with nothing made or deleted, and the next tenant is served."""
    server = site.server(*BOTH)
    share = site.share(server)
    netns = site.client("client", "net", *CLIENT)
    assert_served(netns, share)
    before = tree(site.driver)
    for hostile in HOSTILE:
        for number, call in enumerate(calls(site.driver, server, share, hostile)):
            with pytest.raises(BackendError):
                call()
            assert tree(site.driver) == before, (hostile, number)
        assert site.driver.unserved([hostile, server.id]) == [hostile]
    assert not Path("pwned").exists()
    assert_served(netns, share)
