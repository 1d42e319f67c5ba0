"""What keeps tenants of the Linux back end apart, and root from what others wrote: wires between
servers, and hostile ids and values."""

from __future__ import annotations

import socket
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pyroute2 import IPRoute

from abaca.drivers.linux import bounds, namespaces, packet_filter
from abaca.drivers.linux.driver import LinuxDriver
from abaca.drivers.linux.layout import write_atomically
from abaca.errors import BackendError, Refused
from abaca.values import (
    NetworkInfo,
    NetworkInfoUpdate,
    SecurityService,
    Share,
    ShareServer,
    Snapshot,
)
from tests.contracts.drivers.linux_site import BOTH, CLIENT, Site, assert_served, rule
from tests.service import UNPRIVILEGED

pytestmark = [pytest.mark.root, pytest.mark.sampled_file(4)]

CONNECT_SECONDS = 1.0
CONFIGURED = '10.0.0.9"; } EXPORT { Path = "/"; Pseudo = "/all"; }'
ZONE = "fe80::1%x\n}"  # Python takes any text for the zone of an address
NO_ADDRESS = [
    "",
    "x",
    "10.0.0.9\n}",
    CONFIGURED,
    "10.0.0.9; touch pwned",
    "$(touch pwned)",
    "../../../../etc/passwd",
    ZONE,
    "10.0.0.9, 10.0.0.10",
]
NO_NUMBER = ["", "1500; touch pwned", "$(touch pwned)", -1, 2**40, None, 1.5]
NO_CLIENT = [
    *NO_ADDRESS,
    "*",
    "@everybody",
    "host.example.org",
    "10.0.0.0/8, 0.0.0.0/0",
    "10.0.0.0/8 ; }",
    "::/0%x",
]
HOSTILE = [
    *(
        "",
        ".",
        "..",
        "../../../../root",
        "/etc",
        "a/b",
        "a b",
        "a;touch pwned",
        "$(touch pwned)",
        "`id`",
        "-rf",
        "a\nb",
        "a\0b",
        "ä",
        '"}',
    ),
    "x" * 65,
]


def reaches(site: Site, server: ShareServer, address: str) -> bool:
    """Whether a connection from the server's namespace to the NFS server of that address comes
    about, by any of its own wires."""

    def connect(links: IPRoute) -> bool:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        packet_filter.delete_table(*bounds.TABLE)
        # as if the server had been broken into: the way there is tried on each of its links
        for name in site.port_names(server):
            links.route(
                "replace",
                dst=f"{address}/{128 if ':' in address else 32}",
                oif=links.link_lookup(ifname=name)[0],
                family=family,
            )
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
    for server in (one, both, two):
        site.share(server)  # which admits everybody
    assert (
        reaches(site, one, "10.1.0.6")
        and reaches(site, both, "10.2.0.7")
        and reaches(site, two, "fd00:2::6")
    )
    for foreign in ("10.2.0.7", "fd00:2::7"):
        assert not reaches(site, one, foreign), foreign
    for foreign in ("10.1.0.5", "fd00:1::5"):
        assert not reaches(site, two, foreign), foreign


def tree(driver: LinuxDriver) -> set[Path]:
    """Every folder and file of the installation, shares' data included; not what Ganesha itself
    keeps."""
    found = [
        path for root in (driver.layout.state_dir, driver.layout.run) for path in root.rglob("*")
    ]
    return {path for path in found if "ganesha" not in path.name and "recovery" not in path.parts}


def calls(
    driver: LinuxDriver, server: ShareServer, share: Share, hostile: str
) -> list[Callable[[], object]]:
    """Everything that a row with a hostile id of a share, a snapshot or a server could lead to."""
    bad_share, bad_server = (
        msgspec.structs.replace(share, id=hostile),
        msgspec.structs.replace(server, id=hostile),
    )
    bad_snapshot = Snapshot(
        id=hostile, snapshot_id=str(uuid.uuid4()), share=share, size=1, is_complete=True
    )
    complete = msgspec.structs.replace(bad_share, is_complete=True)
    return [
        lambda: driver.create_share(bad_share, server),
        lambda: driver.delete_share(bad_share, server),
        lambda: driver.extend_share(bad_share, 2, server),
        lambda: driver.update_access(bad_share, [rule("10.0.0.0/8")], server),
        lambda: driver.create_snapshot(bad_snapshot, server),
        lambda: driver.delete_snapshot(bad_snapshot, server),
        lambda: driver.revert_to_snapshot(bad_snapshot, share, server),
        lambda: driver.create_share_from_snapshot(
            msgspec.structs.replace(share, id=str(uuid.uuid4())), bad_snapshot, server
        ),
        lambda: driver.ensure_server(server, [share, complete]),
        lambda: driver.setup_server(hostile, server.network_info),
        lambda: driver.ensure_server(bad_server, [share]),
        lambda: driver.create_share(share, bad_server),
        lambda: driver.teardown_server(hostile, {}),
    ]


def spoiled(entry: NetworkInfo) -> Iterator[tuple[str, object, NetworkInfo]]:
    """The entry with one of its values replaced: by what, and where."""
    replace = msgspec.structs.replace
    fields: dict[str, list[object]] = {
        "cidr": [*NO_ADDRESS, None],
        "gateway": [*NO_ADDRESS],
        "mtu": [*NO_NUMBER],
        "ip_version": [None, "4", 5, 6],
    }
    fields |= {"segmentation_id": [*NO_NUMBER[:-2]], "neutron_net_id": [*HOSTILE, None]}
    for field, values in fields.items():
        for value in values:
            yield field, value, replace(entry, subnet=replace(entry.subnet, **{field: value}))
    (allocation,) = entry.network_allocations
    fields = {
        "ip_address": [*NO_ADDRESS, None],
        "mac_address": [*NO_ADDRESS, None, "fa:16:3e:00:00"],
    }
    for field, values in fields.items():
        for value in values:
            yield (
                field,
                value,
                replace(entry, network_allocations=[replace(allocation, **{field: value})]),
            )


def network_calls(
    driver: LinuxDriver, server: ShareServer, share: Share, entry: NetworkInfo
) -> list[Callable[[], object]]:
    """Everything that a hostile subnet or address of the server could lead to."""
    hostile = msgspec.structs.replace(server, network_info=[*server.network_info, entry])
    update = NetworkInfoUpdate(current=server.network_info, added=[entry])
    service = SecurityService(id="s", type="ldap", server="10.0.0.9", domain="example.org")
    return [
        lambda: driver.setup_server(str(uuid.uuid4()), [entry]),
        lambda: driver.ensure_server(hostile, [share]),
        lambda: driver.check_update_share_server_network_allocations(update, {}, [share], []),
        lambda: driver.update_share_server_network_allocations(update, {}, [share], []),
        lambda: driver.check_update_share_server_security_service(hostile, [share], service, None),
        lambda: driver.update_share_server_security_service(hostile, [share], service, None),
    ]


def test_hostile_values_of_networks_reach_no_configuration(site: Site) -> None:
    """Wherever they are given: refused with what they are, and the server stands as it stood."""
    server = site.server(*BOTH)
    share = site.share(server)
    before, ports = tree(site.driver), site.port_names(server)
    for field, value, entry in spoiled(
        site.entry(server.id, "net", "10.0.0.9/24", gateway="10.0.0.1")
    ):
        for number, call in enumerate(network_calls(site.driver, server, share, entry)):
            try:
                call()
            except Refused:
                continue
            pytest.fail(f"{field} = {value!r} was not refused by call {number}")
        assert tree(site.driver) == before, (field, value)
    assert site.port_names(server) == ports
    assert not Path("pwned").exists()
    assert_served(site.client("client", "net", *CLIENT), share)


def test_hostile_access_rules_open_nothing(site: Site) -> None:
    server = site.server(*BOTH)
    share = site.share(server, rules=[rule("10.0.0.0/24")])
    file = site.layout(server).export_file(share.id)
    expected = file.read_text()
    hostile = [rule(to) for to in NO_CLIENT]
    hostile += [
        rule("10.1.0.0/24", access_level=level)
        for level in ("", "RW; Squash = None", "rw\n}", "root")
    ]
    hostile += [rule("10.1.0.0/24", access_type=kind) for kind in ("", "user", "ip; }")]
    assert set(site.driver.update_access(share, [rule("10.0.0.0/24"), *hostile], server)) == {
        each.id for each in hostile
    }
    assert file.read_text() == expected


@pytest.mark.parametrize("size", ["1; touch pwned", "x" * 40, "", None, 0, -5, 1.5], ids=repr)
def test_what_is_no_size_makes_no_share(site: Site, size: Any) -> None:
    server = site.server(*BOTH)
    share = site.share(server)
    before = tree(site.driver)
    new = msgspec.structs.replace(share, id=str(uuid.uuid4()), size=size)
    for call in (
        lambda: site.driver.create_share(new, server),
        lambda: site.driver.extend_share(share, size, server),
    ):
        with pytest.raises(Refused, match="is not a size"):
            call()
    assert tree(site.driver) == before


def test_configuration_is_written_over_no_link(tmp_path: Path) -> None:
    victim, file = tmp_path / "victim", tmp_path / "ganesha.conf"
    victim.write_text("precious")
    for link in (file, tmp_path / ".ganesha.conf.new"):
        link.symlink_to(victim)
    write_atomically(file, "ours")
    assert (victim.read_text(), file.read_text(), file.is_symlink()) == ("precious", "ours", False)


def test_the_apis_user_may_write_to_nothing_of_a_back_ends(site: Site) -> None:
    """Neither to its folders nor to its sockets: not even by their names, so nothing can be planted
    there."""
    server = site.server(*BOTH)
    site.share(server)
    roots = [str(site.driver.layout.state_dir), str(site.driver.layout.run)]
    command = ["find", *roots, "-writable", "!", "-type", "l"]
    assert (
        subprocess.run(
            command, user=UNPRIVILEGED, capture_output=True, text=True, check=False, cwd="/"
        ).stdout
        == ""
    )
    assert (
        str(site.layout(server).bus_socket)
        in subprocess.run(command, capture_output=True, text=True, check=False).stdout
    ), "root finds them"


def test_hostile_ids_reach_no_path_and_no_program(site: Site) -> None:
    """Rows that somebody wrote past the API: refused, with nothing made or deleted, and the next
    tenant is served."""
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
