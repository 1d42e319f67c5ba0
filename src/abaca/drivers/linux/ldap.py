"""The LDAP security services of a share server: a client's configuration in the server's private
folder, and a proof that it works.

The proof: inside the server's network namespace and from one of its addresses, `ldapsearch` binds
as the service's user and reads the base entry. That is all that NFS with numeric owners has a use
for: names are not mapped, and access is granted by address, not by user. Not here: Kerberos and
Active Directory, which this back end refuses, and looking host names up.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from abaca.addresses import plain_address
from abaca.drivers.linux import namespaces
from abaca.drivers.linux.bounds import CALLER_GROUP, let_call
from abaca.drivers.linux.layout import ServerLayout, private_folder, safe_id, write_atomically
from abaca.drivers.linux.programs import complaint
from abaca.errors import Refused, Unavailable
from abaca.values import NetworkInfo, SecurityService

SCHEMES = {"ldap": 389, "ldaps": 636}  # and their ports
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
ANSWER_SECONDS = 5
"""For all of it: connecting, TLS, binding and the search. A server that never answers, or a byte
now and then, costs no more."""
_SPECIAL = set('"+,;<>\\=#')


class Account(NamedTuple):
    """Where and as whom a server binds. `user` and `password` are None for an anonymous one."""

    service_id: str
    uri: str
    base: str
    user: str | None
    password: str | None

    def __repr__(self) -> str:
        return f"Account({self.uri}, {self.base}, {self.user})"  # what is shown may be logged


def accounts(network_info: Sequence[NetworkInfo]) -> list[Account]:
    """The accounts of a server's security services. Raises Refused, naming the service, for one
    that this back end cannot use."""
    services = {
        service.id: service for entry in network_info for service in entry.security_services
    }
    return [_account(service) for service in services.values()]


def refuse_unreachable(wanted: Sequence[Account], network_info: Sequence[NetworkInfo]) -> None:
    """Raise Refused, naming the service, when a server on these networks has no address to ask an
    account's LDAP server from. Nobody is asked."""
    for account in wanted:
        _source(account, network_info)


def prove(
    layout: ServerLayout, wanted: Sequence[Account], network_info: Sequence[NetworkInfo]
) -> None:
    """Bind and search with each account, from within the server; changes nothing. Raises Refused
    with what the LDAP client says."""
    if not namespaces.exists(layout.namespace):
        raise Unavailable(f"share server {layout.id} is not there")
    for account in wanted:
        folder = layout.ldap / f".{safe_id(account.service_id)}.proof"
        _write(folder, account, network_info)
        try:
            said = _search(layout, folder, account)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        if said is not None:
            raise Refused(
                f"the LDAP server {account.uri} of security service {account.service_id} cannot "
                f"be used: {said}",
                is_public="/" not in said,
            )


def keep(
    layout: ServerLayout, wanted: Sequence[Account], network_info: Sequence[NetworkInfo]
) -> None:
    """Make exactly these the server's accounts: `<run>/ldap/<security service id>/ldaprc` and
    `password`."""
    for account in wanted:
        _write(layout.ldap / safe_id(account.service_id), account, network_info)
    for folder in layout.ldap.iterdir() if layout.ldap.is_dir() else []:
        if folder.name not in {account.service_id for account in wanted}:
            shutil.rmtree(folder)


def _account(service: SecurityService) -> Account:
    if service.type != "ldap":
        raise Refused(
            f"this back end supports security services of the type ldap only; {service.id} is of "
            f"type {service.type}",
            is_public=True,
        )
    for name in ("server", "domain", "ou", "user", "password"):
        text = getattr(service, name) or ""
        if not text.isprintable():
            raise Refused(
                f"the {name} of security service {service.id} contains characters that are not "
                "allowed",
                is_public=True,
            )
    base = _base(service)
    user = service.user or None
    if user is not None and "=" not in user:
        user = f"uid={_escaped(user)},{base}"
    return Account(
        service.id, _uri(service), base, user, (service.password or "") if user else None
    )


def _uri(service: SecurityService) -> str:
    """`server`: an address, or `ldap[s]://address[:port]`."""
    if not service.server:
        raise Refused(
            f"the security service {service.id} needs a server: this back end does not look for "
            "one in the DNS",
            is_public=True,
        )
    try:
        bare = _literal(service.server)
        url = urlsplit(f"ldap://{bare}" if bare else service.server)
        address, port = plain_address(url.hostname or ""), url.port
    except ValueError as error:
        raise Refused(
            f"the server '{service.server}' of security service {service.id} must be an IP "
            "address or ldap[s]://address[:port]: "
            "share servers cannot look names up",
            is_public=True,
        ) from error
    if url.scheme not in SCHEMES:
        raise Refused(
            f"the server '{service.server}' of security service {service.id} cannot be reached by "
            f"{url.scheme}:"
            " use ldap or ldaps",
            is_public=True,
        )
    return f"{url.scheme}://{_literal(str(address))}{f':{port}' if port else ''}"


def _literal(text: str) -> str | None:
    """An address as it is in a URI; None when it is none."""
    try:
        address = plain_address(text.strip("[]"))
    except ValueError:
        return None
    return f"[{address}]" if address.version == 6 else str(address)


def _base(service: SecurityService) -> str:
    """`domain`: a distinguished name, or `example.org` for dc=example,dc=org; below it `ou`, if
    there is one."""
    if not service.domain:
        raise Refused(
            f"the security service {service.id} needs a domain: it is the base that is searched",
            is_public=True,
        )
    domain = service.domain
    base = (
        domain
        if "=" in domain
        else ",".join(f"dc={_escaped(part)}" for part in domain.split(".") if part)
    )
    if not service.ou:
        return base
    return f"{service.ou if '=' in service.ou else f'ou={_escaped(service.ou)}'},{base}"


def _escaped(text: str) -> str:
    """As a value within a distinguished name (RFC 4514)."""
    escaped = "".join(
        f"\\{character}" if character in _SPECIAL else character for character in text
    )
    return (
        escaped
        if escaped == escaped.strip()
        else "".join(f"\\{ord(c):02x}" if c == " " else c for c in escaped)
    )


def _write(folder: Path, account: Account, network_info: Sequence[NetworkInfo]) -> None:
    private_folder(folder)
    lines = [
        f"URI {account.uri}",
        f"BASE {account.base}",
        f"SOCKET_BIND_ADDRESSES {_source(account, network_info)}",
        f"NETWORK_TIMEOUT {ANSWER_SECONDS}",
        f"TIMELIMIT {ANSWER_SECONDS}",
        f"TLS_CACERT {CERTIFICATES}",
        "TLS_REQCERT demand",
    ]
    if account.user is not None:
        lines.append(f"BINDDN {account.user}")
    write_atomically(folder / "ldaprc", "\n".join(lines) + "\n")
    write_atomically(folder / "password", account.password or "")


def _source(account: Account, network_info: Sequence[NetworkInfo]) -> str:
    """The server's address to ask from, which decides the way: one on the LDAP server's own subnet,
    or else on one that has a router."""
    asked = ip_address(urlsplit(account.uri).hostname or "")
    own = [
        (
            asked not in ip_network(info.subnet.cidr, strict=False),
            info.subnet.gateway is None,
            position,
            allocation.ip_address,
        )
        for position, info in enumerate(network_info)
        for allocation in info.network_allocations
        if info.subnet.ip_version == asked.version
    ]
    if not own:
        why = f"the share server has no IPv{asked.version} address"
        raise Refused(
            f"the LDAP server {asked} of security service {account.service_id} cannot be reached: "
            f"{why}",
            is_public=True,
        )
    return min(own)[-1]


def _search(layout: ServerLayout, folder: Path, account: Account) -> str | None:
    """What the LDAP client complains of; None when it has found the base."""
    bind = ("-y", str(folder / "password")) if account.user is not None else ()
    search = ("ldapsearch", "-x", "-LLL", *bind, "-s", "base", "(objectClass=*)", "1.1")
    # The client reads ldaprc from home and from where it runs: ours from both, and nobody else's.
    environment = {"LDAPCONF": os.devnull, "HOME": str(folder)}
    url = urlsplit(account.uri)
    let_call(
        layout.namespace,
        ip_address(url.hostname or ""),
        url.port or SCHEMES[url.scheme],
        ANSWER_SECONDS,
    )
    # By its group it may connect to there from inside.
    inside = (
        "nsenter",
        f"--net={namespaces.path_of(layout.namespace)}",
        f"--setgid={CALLER_GROUP}",
        f"--wd={folder}",
    )
    return complaint(*inside, *search, timeout=ANSWER_SECONDS, extra_environment=environment)
