"""LDAP security services on the Linux back end, proved against a real slapd that a share server
reaches through its share network."""

from __future__ import annotations

import resource
import stat
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from abaca.drivers.linux import ldap, namespaces
from abaca.drivers.linux.ldap import accounts
from abaca.errors import BackendError, Refused
from abaca.values import NetworkInfo, SecurityService, ShareServer
from tests.contracts.drivers import hostile_ldap, ldap_server, linux_backend
from tests.contracts.drivers.ldap_server import BASE, PASSWORD, USER
from tests.contracts.drivers.linux_site import BOTH, CLIENT, Site, assert_served

pytestmark = pytest.mark.sampled_file(4)

V4, V6 = "10.0.0.20", "fd00::20"


@pytest.fixture
def directory(site: Site, tmp_path: Path) -> Iterator[str]:
    """The namespace of a slapd on the network `net`, port 389."""
    if reason := ldap_server.unavailable_reason():
        pytest.skip(reason)
    netns = site.client("ldap", "net", *CLIENT)
    with ldap_server.slapd(netns, tmp_path / "slapd"):
        yield netns


def service(**fields: Any) -> SecurityService:
    return SecurityService(
        **{
            "id": str(uuid.uuid4()),
            "type": "ldap",
            "server": V4,
            "domain": BASE,
            "user": USER,
            "password": PASSWORD,
            **fields,
        }
    )


def joined(entries: list[NetworkInfo], *services: SecurityService) -> list[NetworkInfo]:
    return [msgspec.structs.replace(entry, security_services=list(services)) for entry in entries]


def set_up(
    site: Site, *services: SecurityService, on: tuple[tuple[str, str], ...] = BOTH
) -> ShareServer:
    server_id = str(uuid.uuid4())
    return site.set_up(
        server_id,
        joined([site.entry(server_id, network, address) for network, address in on], *services),
    )


def kept(site: Site, server: ShareServer) -> set[str]:
    """The ids of the security services in the server's configuration."""
    folder = site.layout(server).ldap
    return {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"server": V6},
        {"server": f"ldap://{V4}"},
        {"server": f"ldap://[{V6}]:389"},
        {"domain": "example.org"},
        {"domain": "example.org", "ou": "people", "user": "anna"},
        {"ou": "ou=people", "user": "anna"},
    ],
    ids=str,
)
def test_a_server_binds_through_its_share_network(
    site: Site, directory: str, fields: dict[str, str]
) -> None:
    joins = service(**fields)
    server = set_up(site, joins)
    assert kept(site, server) == {joins.id}
    for file in ("ldaprc", "password"):
        assert stat.S_IMODE((site.layout(server).ldap / joins.id / file).stat().st_mode) == 0o600
    assert (site.layout(server).ldap / joins.id / "password").read_text() == PASSWORD
    assert PASSWORD not in str(server.backend_details)
    assert_served(site.client("client", "net", "10.0.0.21/24", "fd00::21/64"), site.share(server))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"password": "wrong"}, "Invalid credentials"),
        ({"password": None}, "LDAP server"),
        ({"user": f"cn=nobody,{BASE}"}, "Invalid credentials"),
        ({"user": None, "password": None}, "Insufficient access|No such object"),
        ({"ou": "nowhere", "user": USER}, "No such object"),
        ({"server": f"{V4}:390"}, "Can't contact LDAP server"),
        ({"server": "10.0.0.99"}, "Can't contact LDAP server"),
        ({"server": "2001:db8::1"}, "Can't contact LDAP server"),
    ],
    ids=str,
)
def test_what_cannot_bind_is_refused_with_the_reason(
    site: Site, directory: str, fields: dict[str, Any], reason: str
) -> None:
    if fields.get("server", "").endswith(":390"):
        fields = {"server": f"ldap://{V4}:390"}
    started = time.monotonic()
    with pytest.raises(Refused, match=reason) as refusal:
        set_up(site, service(**fields))
    assert time.monotonic() - started < 15
    assert PASSWORD not in refusal.value.message


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("silent", "no answer within 5 seconds"),
        ("drip", "no answer within 5 seconds"),
        # which one is libldap's and the memory limit's
        ("loud", "Invalid credentials|no answer|Can.t contact LDAP server"),
        ("endless", "no answer within 5 seconds"),
    ],
)
def test_a_hostile_directory_is_given_up_within_seconds(site: Site, how: str, reason: str) -> None:
    """Whatever it says, or does not: the worker's time and memory are bounded, and what it hears is
    text of one line."""
    netns = site.client("ldap", "net", *CLIENT)
    inside = ("nsenter", f"--net={namespaces.path_of(netns)}")
    with subprocess.Popen(
        [*inside, sys.executable, hostile_ldap.__file__, how, "389"], stdout=subprocess.PIPE
    ) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == b"ready\n"
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            with pytest.raises(Refused, match=reason) as refusal:
                set_up(site, service())
            assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 48 * 1024
            assert refusal.value.message.isprintable()
            assert len(refusal.value.message) < 1000
        finally:
            server.kill()


def test_another_tenants_directory_is_not_reached(site: Site, directory: str) -> None:
    with pytest.raises(Refused, match="Can't contact LDAP server"):
        set_up(site, service(), on=(("another net", "10.0.0.5/24"),))


def test_of_several_subnets_the_directorys_own_is_asked_from(site: Site, directory: str) -> None:
    set_up(
        site,
        service(),
        on=(("another net", "10.9.0.5/24"), ("net", "10.0.0.5/24"), ("third net", "10.8.0.5/24")),
    )


def test_an_exchange(site: Site, directory: str) -> None:
    first, second, wrong = service(), service(server=V6), service(password="wrong")
    server = set_up(site, first)
    driver = site.driver
    asked = msgspec.structs.replace(server, network_info=joined(server.network_info, wrong))
    for call in (
        driver.check_update_share_server_security_service,
        driver.update_share_server_security_service,
    ):
        with pytest.raises(Refused, match="Invalid credentials"):
            call(asked, [], wrong, first)
        assert kept(site, server) == {first.id}, "as it was"
    wanted = msgspec.structs.replace(server, network_info=joined(server.network_info, second))
    assert driver.check_update_share_server_security_service(wanted, [], second, first)
    assert kept(site, server) == {first.id}
    for _ in range(2):
        driver.update_share_server_security_service(wanted, [], second, first)
        assert kept(site, server) == {second.id}


def test_a_directory_that_is_down_takes_no_share_away(site: Site, tmp_path: Path) -> None:
    if reason := ldap_server.unavailable_reason():
        pytest.skip(reason)
    joins = service()
    with ldap_server.slapd(site.client("ldap", "net", *CLIENT), tmp_path / "slapd"):
        server = set_up(site, joins)
    share = site.share(server)
    server_lost = site.layout(server).ldap / joins.id / "ldaprc"
    server_lost.unlink()
    linux_backend.successor(site.driver).ensure_server(server, [share])
    assert server_lost.exists()
    assert_served(site.client("client", "net", "10.0.0.21/24", "fd00::21/64"), share)
    site.driver.teardown_server(server.id, {})
    assert kept(site, server) == set()


def test_a_lost_server_cannot_be_asked(site: Site) -> None:
    server = site.server(*BOTH)
    namespaces.remove(site.layout(server).namespace)
    asked = msgspec.structs.replace(server, network_info=joined(server.network_info, service()))
    with pytest.raises(BackendError, match="is not there"):
        site.driver.check_update_share_server_security_service(asked, [], service(), None)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"type": "kerberos"}, "of the type ldap only"),
        ({"type": "active_directory"}, "of the type ldap only"),
        ({"server": None, "dns_ip": "10.0.0.1"}, "needs a server"),
        ({"server": "ldap.example.org"}, "must be an IP address"),
        ({"server": "http://10.0.0.1"}, "http"),
        ({"server": "ldap://10.0.0.1:port"}, "must be an IP address"),
        ({"domain": None}, "needs a domain"),
        ({"domain": "dc=a\nURI ldap://evil"}, "contains characters that are not allowed"),
        ({"user": "x\nTLS_REQCERT never"}, "contains characters that are not allowed"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(fields: dict[str, Any], reason: str) -> None:
    entry = msgspec.convert(
        {
            "server_id": "s",
            "share_network_subnet_id": "n",
            "subnet": {
                "neutron_net_id": "n",
                "neutron_subnet_id": "s",
                "cidr": "10.0.0.0/24",
                "ip_version": 4,
            },
            "network_allocations": [],
            "security_services": [msgspec.structs.asdict(service(**fields))],
        },
        NetworkInfo,
    )
    with pytest.raises(Refused, match=reason):
        accounts([entry])


@pytest.mark.parametrize("field", ["server", "domain", "ou", "user", "password"])
@pytest.mark.parametrize(
    "value",
    ["x\nTLS_REQCERT never", "x\r", "x\0", "x\u2028URI ldap://10.0.0.99", "x\x1b[2J"],
    ids=ascii,
)
def test_what_would_be_another_line_of_the_configuration_is_refused(field: str, value: str) -> None:
    with pytest.raises(Refused, match=f"the {field} of security service"):
        ldap._account(service(**{field: value}))


@pytest.mark.parametrize(
    "server",
    [
        "fe80::1%x ldap://10.0.0.99",
        "ldap://[fe80::1%x]",
        "10.0.0.1 ldapi:///",
        "10.0.0.1; touch pwned",
        "../x",
        "ldapi://10.0.0.1",
    ],
)
def test_a_server_is_one_address_and_nothing_more(server: str) -> None:
    with pytest.raises(Refused, match="the server"):
        ldap._account(service(server=server))


@pytest.mark.parametrize(
    "hostile",
    ['a"; b', "$(touch pwned)", "../../../../etc/passwd", "a,dc=b", "# x", "\\", "-y /etc/shadow"],
)
def test_hostile_names_stay_values_of_their_lines(site: Site, hostile: str) -> None:
    server = site.server(*BOTH)
    account = accounts(
        joined(
            server.network_info,
            service(server="10.0.0.9", domain=hostile, ou=hostile, user=hostile, password=hostile),
        )
    )
    ldap.keep(site.layout(server), account, server.network_info)
    (folder,) = site.layout(server).ldap.iterdir()
    keywords = [
        "URI",
        "BASE",
        "SOCKET_BIND_ADDRESSES",
        "NETWORK_TIMEOUT",
        "TIMELIMIT",
        "TLS_CACERT",
        "TLS_REQCERT",
        "BINDDN",
    ]
    assert [line.split(" ")[0] for line in (folder / "ldaprc").read_text().splitlines()] == keywords
    assert (folder / "password").read_text() == hostile
    assert {path.name for path in folder.iterdir()} == {"ldaprc", "password"}


def test_names_are_escaped_in_distinguished_names() -> None:
    found = ldap._account(service(domain="example.org", ou="a,b", user="o=k"))
    assert (found.base, found.user) == ("ou=a\\,b,dc=example,dc=org", "o=k")
    assert (
        ldap._account(service(domain="example.org", user='j"r')).user
        == 'uid=j\\"r,dc=example,dc=org'
    )
