"""Names in DNS follow share servers, subnets, drains and shares, and hold up nothing."""

from __future__ import annotations

import logging
import socket
from collections.abc import Sequence
from ipaddress import ip_network
from pathlib import Path

import dns.zone
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.addresses import Network
from abaca.db.tables import network_allocations, share_servers
from abaca.db.tables import share_server_share_network_subnet_mappings as mappings
from abaca.dns.dynamic_updates import Primary
from abaca.dns.records import DnsError, ReadNames
from abaca.dns.refused_names import LONGEST_PAUSE
from abaca.dns.zone_file import ZoneFile
from abaca.domain.network_changes import subnet_drains
from abaca.domain.share_networks import share_network_subnets
from abaca.domain.shares import dns_names, share_export_locations, share_metadata, shares
from abaca.reconcile.dns_records import DnsRecords, Publication
from tests import name_server
from tests.name_server import write_key
from tests.operations.conftest import Install
from tests.operations.scene import available_share, server_of
from tests.stack import ADMIN, MEMBER, Stack, wait_for

DOMAIN = "nfs.example.org"


PRIVATE = [ip_network("10.0.0.0/8"), ip_network("fc00::/7")]


def names(stack: Stack, networks: Sequence[Network] = PRIVATE) -> dict[str, list[str]]:
    """Name, without the domain → the prefixes of its addresses: 10.1, 10.2, fd00."""
    found = stack.ask(dns_names.all_names, DOMAIN, networks).names
    return {
        name.removesuffix(f".{DOMAIN}"): sorted(
            ".".join(str(address).split(".")[:2]).split("::")[0] for address in addresses
        )
        for name, addresses in found.items()
    }


def subnets(stack: Stack, network: str) -> list[str]:
    return [subnet["id"] for subnet in stack.ask(share_network_subnets.find, MEMBER, network)]


def test_a_share_server_has_a_name_with_the_addresses_on_its_subnets(stack: Stack) -> None:
    assert names(stack) == {}
    pairs = stack.network("10.1.0.0/24", "fd00::/64", "10.2.0.0/24")
    network = stack.share_network(*pairs[:2])
    name = f"server-{server_of(stack, available_share(stack, network))}"
    assert names(stack) == {name: ["10.1", "fd00"]}
    stack.checked(network, pairs[2])
    stack.add_subnet(network, pairs[2])
    assert stack.settled_network(network) == "active"
    assert names(stack) == {name: ["10.1", "10.2", "fd00"]}


def test_an_address_leaves_its_name_when_the_drain_begins(stack: Stack) -> None:
    network = stack.share_network(*stack.network("10.1.0.0/24", "10.2.0.0/24"))
    share = available_share(stack, network, metadata={"dns_name": "docs"})
    name, first = f"server-{server_of(stack, share)}", subnets(stack, network)[0]
    assert names(stack) == {name: ["10.1", "10.2"], "docs.project": ["10.1", "10.2"]}
    stack.do(subnet_drains.start, MEMBER, network, first)
    assert names(stack) == {name: ["10.2"], "docs.project": ["10.2"]}
    assert len(stack.paths(share)) == 2  # clients that are there still use it
    stack.do(subnet_drains.cancel, MEMBER, network, first)
    assert names(stack) == {name: ["10.1", "10.2"], "docs.project": ["10.1", "10.2"]}


def test_an_address_leaves_its_name_as_its_removal_begins(install: Install) -> None:
    stack = install()
    with stack.working():
        network = stack.share_network(*stack.network("10.1.0.0/24", "10.2.0.0/24"))
        name = f"server-{server_of(stack, available_share(stack, network))}"
        first = subnets(stack, network)[0]
        stack.remove_subnet(network, first)
        assert names(stack) == {name: ["10.2"]}  # whether the work has begun or not
        assert stack.settled_network(network) == "active"
        assert names(stack) == {name: ["10.2"]}


def test_names_go_with_share_and_server(stack: Stack) -> None:
    network = stack.share_network(*stack.network("10.1.0.0/24"))
    share = available_share(stack, network, metadata={"dns_name": "docs"})
    name = f"server-{server_of(stack, share)}"
    stack.do(shares.delete, MEMBER, share)
    assert stack.settled_share(share) == "gone"
    assert names(stack) == {name: ["10.1"]}


def test_a_share_has_a_name_on_the_subnets_where_it_is_exported(stack: Stack) -> None:
    network = stack.share_network(*stack.network("10.1.0.0/24", "fd00::/64"))
    share = available_share(stack, network, metadata={"dns_name": "six", "export_subnets": "ipv6"})
    assert names(stack) == {
        f"server-{server_of(stack, share)}": ["10.1", "fd00"],
        "six.project": ["fd00"],
    }
    stack.do(share_metadata.change, MEMBER, share, lambda old: old | {"export_subnets": "ipv4"})
    assert names(stack)["six.project"] == ["10.1"]


def test_what_was_stored_before_names_were_judged_takes_no_name_and_breaks_nothing(
    stack: Stack,
) -> None:
    """Metadata may be anything while nothing is published; of two shares the older has it."""
    network = stack.share_network(*stack.network("10.1.0.0/24"))
    wanted = [
        "docs",
        "docs",
        "a.b",
        "evil\n@ A 10.6.6.6",
        "*",
        "-",
        "UP",
        "x" * 64,
        "$INCLUDE",
        "ü",
    ]
    made = [available_share(stack, network, metadata={"dns_name": each}) for each in wanted]
    server = f"server-{server_of(stack, made[0])}"
    assert names(stack) == {server: ["10.1"], "docs.project": ["10.1"]}
    shown = [
        location["metadata"][dns_names.SHOWN_KEY].removesuffix(f".{DOMAIN}")
        for share in made
        for location in stack.ask(share_export_locations.find, MEMBER, share, DOMAIN)
    ]
    assert shown == ["docs.project", *[server] * (len(made) - 1)]


def test_an_address_that_is_none_is_published_nowhere(stack: Stack) -> None:
    """A network plug-in that says nonsense, or one that lies."""
    network = stack.share_network(*stack.network("10.1.0.0/24", "10.2.0.0/24"))
    name = f"server-{server_of(stack, available_share(stack, network))}"
    first = subnets(stack, network)[0]
    for nonsense in ("10.1.0.5\n@ NS evil.example.", "fe80::1%eth0", "", "localhost"):
        stack.do(
            lambda conn, text=nonsense: conn.execute(
                sa.update(network_allocations)
                .where(network_allocations.c.share_network_subnet_id == first)
                .values(ip_address=text)
            )
        )
        assert names(stack) == {name: ["10.2"]}


@pytest.mark.parametrize(
    ("project", "label"),
    [
        ("red", "red"),
        ("7c0a5bd1c2f14d1f8e6f0c9a3b1d2e4f", "7c0a5bd1c2f14d1f8e6f0c9a3b1d2e4f"),
        ("Red", None),
        ("a.b", None),
        ("a" * 64, None),
        ("xn--red", None),
        ("project-1", None),
        ("", None),
        ("ümlaut\n", None),
    ],
)
def test_each_project_has_names_of_its_own(project: str, label: str | None) -> None:
    found = dns_names.project_label(project)
    assert dns_names.is_label(found)
    assert found == label if label else found.startswith("project-")
    others = [dns_names.project_label(other) for other in ("red", "RED", "rEd", "project-2", found)]
    assert project == "red" or found not in others[:-1]
    assert project == found or others[-1] != found  # the project that is called like the hash


def renamed(stack: Stack, server_id: str, other_id: str) -> None:
    """Another share server like that one, as somebody who writes past the API would store it."""

    def store(conn: Connection) -> None:
        for table, column in (
            (share_servers, "id"),
            (mappings, "share_server_id"),
            (network_allocations, "share_server_id"),
        ):
            rows = conn.execute(sa.select(table).where(table.c[column] == server_id)).mappings()
            for row in rows.all():
                more = {"id": other_id[::-1], "ip_address": "10.6.6.6"}
                more = {name: value for name, value in more.items() if name in row}
                conn.execute(sa.insert(table).values({**row, **more, column: other_id}))

    stack.do(store)


@pytest.mark.parametrize(
    "bad", ["x 60 A 10.6.6.6\nwww A 10.6.6.6\ny", "ü", "a..b", "a.project", "*", "A", "-"]
)
def test_an_id_that_is_no_label_is_published_nowhere_and_costs_no_other_name(
    stack: Stack, tmp_path: Path, caplog: pytest.LogCaptureFixture, bad: str
) -> None:
    network = stack.share_network(*stack.network("10.1.0.0/24"))
    server = server_of(stack, available_share(stack, network))
    renamed(stack, server, bad)
    path = tmp_path / "zone"
    file = ZoneFile(path, DOMAIN, 60, ("ns1.example",), "a.example")
    records = DnsRecords(stack.engine, DOMAIN, PRIVATE, 1.0, file)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            records.bring_in_line()
    zone = dns.zone.from_file(str(path), DOMAIN)
    assert {str(name) for name in zone} == {"@", f"server-{server}"}
    assert names(stack) == {f"server-{server}": ["10.1"]}
    (told,) = [record.getMessage() for record in caplog.records]
    assert told.startswith("names in DNS: 1 left out: ")
    assert "\n" not in told


def test_addresses_of_others_networks_are_published_nowhere(
    stack: Stack, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Projects choose the ranges of their subnets, and so the addresses of their names."""
    network = stack.share_network(*stack.network("203.0.113.0/29", "10.1.0.0/24", "2001:db8::/64"))
    share = available_share(stack, network, metadata={"dns_name": "login"})
    server = f"server-{server_of(stack, share)}"
    assert names(stack) == {server: ["10.1"], "login.project": ["10.1"]}
    four, six = ip_network("203.0.113.0/29"), ip_network("2001:db8::/48")
    assert names(stack, [*PRIVATE, four])[server] == ["10.1", "203.0"]
    assert names(stack, [six]) == {server: ["2001:db8"], "login.project": ["2001:db8"]}
    assert names(stack, []) == {}
    file = ZoneFile(tmp_path / "zone", DOMAIN, 60, ("ns1.example",), "a.example")
    records = DnsRecords(stack.engine, DOMAIN, PRIVATE, 1.0, file)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            records.bring_in_line()
    (told,) = [record.getMessage() for record in caplog.records]
    assert told.startswith("names in DNS: 2 left out: ")
    assert "203.0.113." in told
    assert "[dns] networks" in told
    assert "203.0.113." not in (tmp_path / "zone").read_text()


# --- the pass -----------------------------------------------------------------------------------


def test_a_worker_publishes_in_a_zone_file(install: Install, tmp_path: Path) -> None:
    path = tmp_path / "zone"
    stack = install(
        **{
            "dns.domain": DOMAIN,
            "dns.interval": 0.05,
            "dns.zone_file": str(path),
            "dns.nameservers": ["ns1.example.org"],
        }
    )

    def held() -> set[str]:
        zone = dns.zone.from_file(str(path), DOMAIN)
        return {str(name) for name in zone if str(name) != "@"}

    with stack.working():
        wait_for(path.exists)
        assert held() == set()
        network = stack.share_network(*stack.network("10.1.0.0/24"))
        share = available_share(stack, network, metadata={"dns_name": "docs"})
        name = f"server-{server_of(stack, share)}"
        wait_for(lambda: held() == {name, "docs.project"})
        stack.do(shares.delete, MEMBER, share)
        wait_for(lambda: held() == {name})


def test_a_worker_publishes_on_a_server_that_comes_later(install: Install, tmp_path: Path) -> None:
    folder = tmp_path / "server"
    folder.mkdir()
    server = name_server.NameServer(folder)
    stack = install(
        **{
            "dns.domain": DOMAIN,
            "dns.interval": 0.05,
            "dns.server": "127.0.0.1",
            "dns.port": server.port,
            "dns.key_file": str(server.key_file),
        }
    )
    with stack.working():
        network = stack.share_network(*stack.network("10.1.0.0/24", "fd00::/64"))
        share = available_share(stack, network, metadata={"dns_name": "docs"})
        with server.served():
            wait_for(lambda: len(server.addresses(f"docs.project.{DOMAIN}")) == 2, 60)
            assert len(server.addresses(f"server-{server_of(stack, share)}.{DOMAIN}")) == 2
            stack.do(subnet_drains.start, MEMBER, network, subnets(stack, network)[0])
            wait_for(lambda: len(server.addresses(f"docs.project.{DOMAIN}")) == 1, 60)


def test_a_server_that_hangs_and_a_folder_that_is_not_there_stop_nothing(
    install: Install, tmp_path: Path
) -> None:
    """Shares are made and deleted, and the worker stops, while nobody answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        stack = install(
            **{
                "dns.domain": DOMAIN,
                "dns.interval": 0.05,
                "dns.zone_file": str(tmp_path / "missing" / "zone"),
                "dns.nameservers": ["ns1.example.org"],
                "dns.server": "127.0.0.1",
                "dns.port": silent.getsockname()[1],
                "dns.key_file": str(write_key(tmp_path / "dns-key")),
            }
        )
        with stack.working():
            connection, _ = silent.accept()  # it waits for an answer from now on
            network = stack.share_network(*stack.network("10.1.0.0/24"))
            share = available_share(stack, network, metadata={"dns_name": "docs"})
            stack.do(shares.delete, MEMBER, share)
            assert stack.settled_share(share) == "gone"
        connection.close()


def test_one_kind_of_publication_that_fails_is_nothing_to_the_other(
    stack: Stack, tmp_path: Path
) -> None:
    available_share(stack, stack.share_network(*stack.network("10.1.0.0/24")))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        key = write_key(tmp_path / "dns-key")
        missing = ZoneFile(tmp_path / "missing" / "zone", DOMAIN, 60, ("ns1.example",), "a.example")
        primary = Primary("127.0.0.1", port, key, DOMAIN, DOMAIN, 60, "abaca", seconds=0.2)
        DnsRecords(stack.engine, DOMAIN, PRIVATE, 1.0, missing, primary).bring_in_line()
        silent.settimeout(20)
        silent.accept()[0].close()  # it was asked although the file failed
        good = ZoneFile(tmp_path / "zone", DOMAIN, 60, ("ns1.example",), "a.example")
        DnsRecords(stack.engine, DOMAIN, PRIVATE, 1.0, good, primary).bring_in_line()
    assert "server-" in (tmp_path / "zone").read_text()


def test_a_failure_is_a_line_of_the_log_and_pauses_grow(
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked = []

    def fails(_: ReadNames) -> str:
        asked.append(1)
        raise DnsError("no\nfurther " + "x" * 10_000)

    publication = Publication(fails, shortest_pause=LONGEST_PAUSE)
    with caplog.at_level(logging.INFO):
        for _ in range(1000):
            publication.bring_in_line(dict)
    assert len(asked) == 1
    assert len(caplog.records) == 1
    assert len(caplog.records[0].getMessage()) < 600


def test_a_look_that_costs_much_is_followed_by_a_rest() -> None:
    """A zone that changes at each look is read whole each time: at most a quarter of the time."""
    now = spent = 0.0
    looks = []

    def reads(_: ReadNames) -> str:
        nonlocal now, spent
        looks.append(now)
        now, spent = now + 9.0, spent + 4.0  # seconds, and those of them that it computes
        return ""

    publication = Publication(reads, 10.0, now=lambda: now, spent=lambda: spent)
    for _ in range(100):
        publication.bring_in_line(dict)
        now += 1.0
    assert looks == [0.0, 21.0, 42.0, 63.0, 84.0, 105.0, 126.0, 147.0, 168.0]


def test_names_that_cannot_be_published_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    complaints = iter(["1 cannot", "1 cannot", "1 cannot", "2 cannot", "", ""])
    publication = Publication(lambda _: next(complaints), 0.05, spent=lambda: 0.0)
    with caplog.at_level(logging.INFO):
        for _ in range(6):
            publication.bring_in_line(dict)
    assert [record.getMessage() for record in caplog.records] == [
        "names in DNS: 1 cannot",
        "names in DNS: 2 cannot",
        "names in DNS: all is published again",
    ]


def test_a_share_of_another_project_has_another_name(install: Install) -> None:
    """The same label, asked for by two projects."""
    stack = install()
    with stack.working():
        available_share(
            stack, stack.share_network(*stack.network("10.1.0.0/24")), metadata={"dns_name": "docs"}
        )
        network = stack.network("10.2.0.0/24", caller=ADMIN)
        available_share(
            stack,
            stack.share_network(*network, caller=ADMIN),
            caller=ADMIN,
            metadata={"dns_name": "docs"},
        )
        found = names(stack)
    assert (found["docs.project"], found["docs.admin-project"]) == (["10.1"], ["10.2"])
    assert len(found) == 4
