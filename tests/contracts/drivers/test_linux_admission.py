"""Who has no rule on any share of a share server does not reach its NFS server, and who has none
any more loses what it held there."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from abaca.drivers.linux import admission, namespaces, packet_filter
from abaca.drivers.linux.admission import TABLE
from abaca.drivers.linux.file_services.nfs.nfs4 import Nfs4Error
from abaca.drivers.linux.programs import run
from abaca.values import Share, ShareServer
from tests.contracts.drivers import linux_backend
from tests.contracts.drivers.linux_site import (
    BOTH,
    CLIENT,
    Site,
    access_of,
    assert_served,
    path,
    rule,
)
from tests.nfs4.client import Client, Client40, Client41, patiently
from tests.nfs4.connection import connect
from tests.properties import drawn, given, st
from tests.sample import FACTOR
from tests.stack import wait_for

pytestmark = [pytest.mark.root, pytest.mark.sampled_file(4)]

SERVER = ("10.0.0.5", "fd00::5")
OWN = ("10.0.0.20", "fd00::20")
STRANGER = ("10.0.0.66/24", "fd00::66/64")
LEASE_AND_MORE = 60.0  # seconds; the lease is ten
# Of eight bytes: the next header and the length are put in by the kernel; six bytes of padding.
NO_OPTIONS = bytes([0, 0, 1, 4, 0, 0, 0, 0])


def reaches(netns: str, address: str, options: dict[int, bytes] | None = None) -> bool:
    """Whether a TCP connection comes about; if not, it was refused at once. `options`: of IPv6, for
    each of its packets."""

    def dial(_: object) -> bool:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as link:
            for name, value in (options or {}).items():
                link.setsockopt(socket.IPPROTO_IPV6, name, value)
            link.settimeout(10)
            try:
                link.connect(socket.getaddrinfo(address, 2049)[0][4])  # with the zone of `%eth0`
            except ConnectionRefusedError:
                return False
            return True

    return namespaces.inside(netns, dial)


def set_rules(site: Site, share: Share, server: ShareServer, *to: str) -> None:
    assert site.driver.update_access(share, [rule(each) for each in to], server) == {}


@pytest.fixture
def server(site: Site) -> ShareServer:
    return site.server(*BOTH)


def test_who_has_no_rule_reaches_nothing(site: Site, server: ShareServer) -> None:
    shares = [site.share(server, rules=[rule(own)]) for own in OWN]
    client, stranger = (
        site.client("client", "net", *CLIENT),
        site.client("stranger", "net", *STRANGER),
    )
    for address in SERVER:
        assert reaches(client, address)
        assert not reaches(stranger, address)
    for share, address in zip(shares, SERVER, strict=True):
        set_rules(site, share, server, *OWN, STRANGER[":" in address].split("/")[0])
        assert reaches(stranger, address)
        set_rules(site, share, server, *OWN)
        assert not reaches(stranger, address)
        assert reaches(client, address)


def test_whom_a_snapshot_admits_reaches_the_server_until_it_goes(
    site: Site, server: ShareServer
) -> None:
    share = site.share(server, rules=[rule("10.0.0.20")])
    stranger = site.client("stranger", "net", *STRANGER)
    snapshot = site.snapshot(share, server, is_mountable=True)
    assert not reaches(stranger, SERVER[0])
    site.driver.update_snapshot_access(snapshot, [rule("10.0.0.66", "ro")], server)
    assert reaches(stranger, SERVER[0])
    site.driver.delete_snapshot(snapshot, server)
    assert not reaches(stranger, SERVER[0])


def test_rules_for_everybody_of_a_family(site: Site, server: ShareServer) -> None:
    share = site.share(server, rules=[])
    stranger = site.client("stranger", "net", *STRANGER)
    for rules, reached in (
        (("0.0.0.0/0",), [True, False]),
        (("::/0",), [False, True]),
        (("0.0.0.0/0", "::/0"), [True, True]),
        ((), [False] * 2),
    ):
        set_rules(site, share, server, *rules)
        assert [reaches(stranger, address) for address in SERVER] == reached, rules


def test_rules_that_overlap(site: Site, server: ShareServer) -> None:
    share, other = (site.share(server, rules=[]) for _ in range(2))
    stranger = site.client("stranger", "net", *STRANGER)
    set_rules(
        site, share, server, "10.0.0.64/26", "10.0.0.66", "10.0.0.0/24", "fd00::60/124", "fd00::66"
    )
    set_rules(site, other, server, "10.0.0.64/28")
    set_rules(site, share, server)
    assert [reaches(stranger, address) for address in SERVER] == [True, False]
    set_rules(site, other, server, "10.0.0.68/30")
    assert [reaches(stranger, address) for address in SERVER] == [False, False]


@pytest.mark.parametrize("version", [Client40, Client41])
def test_what_a_client_without_a_rule_any_more_held_goes_with_its_lease(
    site: Site, server: ShareServer, version: Callable[..., Client]
) -> None:
    share = site.share(server, rules=[rule("10.0.0.20"), rule("10.0.0.66")])
    client, former = site.client("client", "net", *CLIENT), site.client("former", "net", *STRANGER)
    folder = path(share).split(":", 1)[1]
    with version(client, SERVER[0]) as stays, version(former, SERVER[0]) as goes:
        held = patiently(lambda: goes.open(goes.handle_of(folder), "file", create=True))
        goes.lock(held)
        file = stays.open(stays.handle_of(folder), "file")
        with pytest.raises(Nfs4Error, match="DENIED"):
            stays.lock(file)
        set_rules(site, share, server, "10.0.0.20")

        def is_free() -> bool:
            with pytest.raises(OSError):  # it is reset
                goes.renew()
            try:
                stays.lock(file)
            except Nfs4Error as error:
                assert error.name == "DENIED"
                return False
            return True

        wait_for(is_free, LEASE_AND_MORE)
        with pytest.raises(ConnectionRefusedError):
            connect(former, SERVER[0])


def test_what_a_crash_leaves_is_mended_when_the_server_is_ensured(
    site: Site, server: ShareServer
) -> None:
    """The filter is open to everybody, or shut to all, as when the worker died on the way."""
    share = site.share(server, rules=[rule("10.0.0.20")])
    client, stranger = (
        site.client("client", "net", *CLIENT),
        site.client("stranger", "net", *STRANGER),
    )
    namespace = site.layout(server).namespace
    worker = linux_backend.successor(site.driver)
    for spoil in (
        lambda _: packet_filter.delete_table(*TABLE),
        lambda _: packet_filter.replace_table(*TABLE, ""),
    ):
        namespaces.inside(namespace, spoil)
        assert reaches(stranger, SERVER[0])
        worker.ensure_server(server, [share])
        assert not reaches(stranger, SERVER[0])
    admission.admit(namespace, [])
    assert not reaches(client, SERVER[0])
    worker.ensure_server(server, [share])
    assert reaches(client, SERVER[0])


def test_clients_notice_nothing_of_a_worker_that_starts(site: Site, server: ShareServer) -> None:
    share = site.share(server)
    client = site.client("client", "net", *CLIENT)
    with Client41(client, SERVER[0]) as stays:
        linux_backend.successor(site.driver).ensure_server(server, [share])
        stays.renew()
    assert_served(client, share)


def test_who_stays_admitted_notices_nothing_of_changes(site: Site, server: ShareServer) -> None:
    """Not even for a moment: a connection that is reset would be an error for who reads."""
    site.share(server, rules=[rule("10.0.0.20")])
    other = site.share(server, rules=[])
    client = site.client("client", "net", *CLIENT)
    namespace, stop = site.layout(server).namespace, Event()

    def works() -> int:
        with Client41(client, SERVER[0]) as stays:
            done = 0
            while not stop.is_set():
                stays.renew()
                done += 1
            return done

    with ThreadPoolExecutor() as threads:
        working = [threads.submit(works) for _ in range(2)]
        try:
            for number in range(5):
                set_rules(
                    site, other, server, *(f"10.0.1.{number + step}" for step in range(0, 20, 2))
                )
            for number in range(150):
                admission.admit(namespace, ("10.0.0.20", f"10.1.0.{number}", "fd00::/64"))
        finally:
            stop.set()
        assert all(each.result() > 0 for each in working)


def test_extension_headers_hide_nothing(site: Site, server: ShareServer) -> None:
    site.share(server, rules=[rule("fd00::20")])
    client, stranger = (
        site.client("client", "net", *CLIENT),
        site.client("stranger", "net", *STRANGER),
    )
    for options in ({socket.IPV6_DSTOPTS: NO_OPTIONS}, {socket.IPV6_HOPOPTS: NO_OPTIONS}):
        assert reaches(client, SERVER[1], options)
        assert not reaches(stranger, SERVER[1], options)


NETWORKS = st.lists(
    st.one_of(
        st.tuples(st.integers(0, 40), st.integers(24, 32)).map(
            lambda each: f"10.0.0.{each[0] >> 32 - each[1] << 32 - each[1]}/{each[1]}"
        ),
        st.integers(0, 20).map(lambda number: f"fd00::{number:x}"),
        st.sampled_from(
            ("0.0.0.0/1", "128.0.0.0/1", "0::/1", "8000::/1", "255.255.255.255", "fd00::/120")
        ),
    ),
    max_size=8,
)


def test_changes_one_after_the_other_are_made_in_place(site: Site) -> None:
    """Of networks that overlap, touch, hold one another: the filter holds what was asked for last,
    and is never made anew."""
    namespace = site.layout(site.server(*BOTH)).namespace

    @drawn(10 * FACTOR, "changes of admission")
    @given(st.lists(NETWORKS, min_size=2, max_size=4))
    def change(each: list[list[str]]) -> None:
        for networks in each:
            before = namespaces.inside(namespace, lambda _: handle_of_table())
            admission.admit(namespace, networks)
            assert namespaces.inside(namespace, lambda _: (admitted_now(), handle_of_table())) == (
                admission.ranges(networks),
                before,
            ), each

    change()


def test_thousands_of_rules_are_all_in_force(site: Site, server: ShareServer) -> None:
    """Of one share: more than its blocks in Ganesha's configuration hold each, of which the first
    and the last count, too."""
    share = site.share(server, rules=[])
    client, stranger = (
        site.client("client", "net", *CLIENT),
        site.client("stranger", "net", *STRANGER),
    )
    many = [f"10.1.{number >> 7}.{number & 127}" for number in range(1200)]
    for rules, expected in (
        ([*many, "10.0.0.20"], ("rw", "none")),
        (["10.0.0.66", *many], ("none", "rw")),
        (many, ("none", "none")),
    ):
        set_rules(site, share, server, *rules)
        assert (access_of(client, path(share)), access_of(stranger, path(share))) == expected


def handle_of_table() -> int:
    listed = json.loads(run("nft", "--json", "--handle", "list", "tables"))["nftables"]
    (handle,) = [
        entry["table"]["handle"]
        for entry in listed
        if entry.get("table", {}).get("name") == TABLE[1]
    ]
    return int(handle)


def admitted_now() -> dict[str, list[admission.Range]]:
    """What both copies of the sets hold."""
    sets, families = packet_filter.sets(*TABLE), ("ipv4", "ipv6")
    copies = [
        {
            family: sorted(admission.of_element(each)[0] for each in sets[f"{copy}_{family}"])
            for family in families
        }
        for copy in ("first", "second")
    ]
    assert copies[0] == copies[1]
    return copies[0]
