"""An authority of our own, and the certificate that it gives to the API where it listens beyond
loopback and none is configured.

Below the state directory, each written at once, so that whoever is killed half-way leaves the old
one or the new one:

- `ca.key`: the authority's certificate and key. Root's alone: the API's process, were it captured,
  must not give certificates to others.
- `ca.pem`: the authority's certificate, for clients to trust. For everybody.
- `server.pem`: the API's certificate and key, for the API's user to read.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from oslo_config import cfg

from abaca import config
from abaca.admin import state_dir
from abaca.api import certificates
from abaca.db.private_files import read_private
from abaca.db.session import utcnow
from abaca.errors import Conflict

CERTIFICATE_DAYS = 365
RENEWED_DAYS_BEFORE = 120
AUTHORITY_DAYS = 20 * 365
AUTHORITY_RENEWED_DAYS_BEFORE = 2 * 365
MADE_AGAIN = ("ca.pem", "server.pem")
"""Of the state directory: what is made of `ca.key` when it is not there."""

_EARLIER = timedelta(hours=1)  # clocks of clients may be behind ours
_MOST_NAMES = 100
_LONGEST_COMMON_NAME = 64
_LABEL = "[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*")
_LOCAL_IPV4 = re.compile(r"\|-- ([0-9.]+)\n\s+/32 host LOCAL")
_PASSING_IPV6 = 0x01 | 0x08 | 0x20 | 0x40
"""Addresses that are temporary, duplicate, deprecated or tentative."""


class Pair(NamedTuple):
    """A certificate with its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def is_needed(conf: cfg.ConfigOpts) -> bool:
    """Whether the API serves with a certificate of ours."""
    found = certificates.served(conf)
    return found is not None and found.is_own


def keep(conf: cfg.ConfigOpts, *, anew: bool = False, new_authority: bool = False) -> list[str]:
    """Make what is missing or due, where a certificate of ours is needed: a sentence for each.
    `anew`: a certificate in any case. Hold `state_dir.one_at_a_time` meanwhile. Raises Conflict
    for files that are not what was written, and OSError."""
    if not is_needed(conf):
        return []
    done = []
    path = config.state_path(conf, "ca.key")
    public = path.with_name("ca.pem")
    authority = None if new_authority else _authority(path)
    if authority is None:
        authority = make_authority()
        state_dir.replace(path, as_text(authority), 0o600, -1)
        done.append(f"Made a certificate authority: clients trust {public}.")
    elif (wrong := _wrong_now(authority.certificate)) is not None:
        authority = make_authority(key=authority.key, name=authority.certificate.subject)
        state_dir.replace(path, as_text(authority), 0o600, -1)
        done.append(
            f"Made the authority's certificate anew, until {_day(authority.certificate)}: {wrong}. "
            f"Name and key are the same, so whoever trusts the former one does so until it ends; "
            f"give clients {public} by then."
        )
    text = _public(authority.certificate)
    if not public.is_file() or public.read_bytes() != text.encode():
        state_dir.replace(public, text, 0o644, -1)
    why = "it was asked for" if anew else due(conf, authority.certificate)
    if why is not None:
        wanted = names(conf)
        pair = issue(authority, wanted)
        state_dir.replace(
            path.with_name("server.pem"), as_text(pair), 0o640, state_dir.api_group(conf)
        )
        done.append(
            f"Made a certificate until {_day(pair.certificate)} for {', '.join(wanted)}: {why}."
        )
    return done


def due(conf: cfg.ConfigOpts, authority: x509.Certificate | None) -> str | None:
    """Why the certificate has to be made (anew), or None."""
    served = certificates.read(config.state_path(conf, "server.pem"))
    if served is None:
        return "there was none"
    if authority is not None and not _is_from(served, authority):
        return "the former one is of another authority"
    ends = served.not_valid_after_utc
    if (authority is None or ends < authority.not_valid_after_utc) and ends.replace(
        tzinfo=None
    ) - utcnow() < timedelta(days=RENEWED_DAYS_BEFORE):
        return f"the former one ends on {ends:%Y-%m-%d}"
    begins = served.not_valid_before_utc
    if begins.replace(tzinfo=None) > utcnow():
        return f"the former one begins on {begins:%Y-%m-%d}: the clock was ahead"
    lacking = [name for name in names(conf) if name not in names_in(served)]
    return f"the former one lacks {', '.join(lacking)}" if lacking else None


def names(conf: cfg.ConfigOpts) -> list[str]:
    """By which names and addresses clients may call the API: those of the machine that it listens
    on, of the public endpoint, and those that are configured."""
    api = conf.api
    public = urlsplit(api.public_endpoint or "").hostname
    found = [*(api.certificate_names or ()), *([public] if public else [])]
    if api.listen in ("0.0.0.0", "::"):
        found += [socket.gethostname(), socket.getfqdn(), *_addresses()]
    else:
        found.append(api.listen)
    found += ["localhost", "127.0.0.1", "::1"]
    plain = (_plain(name) for name in found)
    return list(dict.fromkeys(name for name in plain if name is not None))[:_MOST_NAMES]


def names_in(certificate: x509.Certificate) -> list[str]:
    """As `names` writes them."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [
        *found.get_values_for_type(x509.DNSName),
        *map(str, found.get_values_for_type(x509.IPAddress)),
    ]


def fingerprint(certificate: x509.Certificate) -> str:
    """Of SHA-256, as `openssl x509 -fingerprint -sha256` writes it."""
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def _authority(path: Path) -> Pair | None:
    """What `ca.key` holds; None: there is none. Raises Conflict."""
    try:
        text = read_private(path).encode()
    except FileNotFoundError:
        return None
    wrong = Conflict(
        f"{path} is not a certificate authority's certificate and key: restore it from a backup, "
        "or run `abaca tls renew --new-authority`, after which clients have to trust another one."
    )
    try:
        certificate = x509.load_pem_x509_certificate(text)
        key = serialization.load_pem_private_key(text, None)
    except (ValueError, TypeError):
        raise wrong from None
    if (
        not isinstance(key, ec.EllipticCurvePrivateKey)
        or key.public_key() != certificate.public_key()
    ):
        raise wrong
    return Pair(certificate, key)


def _wrong_now(authority: x509.Certificate) -> str | None:
    """Why its certificate has to be made anew; None: it need not. The key stays, whatever the clock
    says: another one would be refused by every client, also once the clock is right again."""
    ends = authority.not_valid_after_utc.replace(tzinfo=None)
    if ends - utcnow() < timedelta(days=AUTHORITY_RENEWED_DAYS_BEFORE):
        return f"the former one ends on {_day(authority)}"
    if authority.not_valid_before_utc.replace(tzinfo=None) > utcnow():
        return "the former one begins later than now: the clock was ahead"
    return None


def _day(certificate: x509.Certificate) -> str:
    return f"{certificate.not_valid_after_utc:%Y-%m-%d}"


def make_authority(
    days: int = AUTHORITY_DAYS,
    key: ec.EllipticCurvePrivateKey | None = None,
    name: x509.Name | None = None,
) -> Pair:
    """For so many days from now; with the key and name of an earlier one, or new ones."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    name = name or _named(f"Abaca on {socket.gethostname()} ({utcnow():%Y-%m-%d})")
    certificate = (
        _begun(name, name, key, utcnow() + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(is_authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Pair(certificate, key)


def issue(authority: Pair, wanted: list[str], days: int = CERTIFICATE_DAYS) -> Pair:
    """A certificate for these names, for so many days, and never longer than the authority's."""
    key = ec.generate_private_key(ec.SECP256R1())
    ends = min(
        utcnow() + timedelta(days=days),
        authority.certificate.not_valid_after_utc.replace(tzinfo=None),
    )
    alternatives = x509.SubjectAlternativeName([_general_name(name) for name in wanted])
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    certificate = (
        _begun(_named(f"Abaca API ({wanted[0]})"), authority.certificate.subject, key, ends)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(is_authority=False), critical=True)
        .add_extension(purpose, critical=False)
        .add_extension(alternatives, critical=False)
        .add_extension(issuer, critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    return Pair(certificate, key)


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, ends: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(utcnow() - _EARLIER)
        .not_valid_after(ends)
    )


def _usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, key_cert_sign=is_authority,
        crl_sign=is_authority, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _named(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:_LONGEST_COMMON_NAME])])


def _is_from(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _plain(name: str) -> str | None:
    """An address or a host name in the one form in which it is compared; None: it is neither, so
    that no certificate can hold it."""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        plain = name.lower().rstrip(".")
        return plain if _HOST.fullmatch(plain) else None


def _addresses() -> list[str]:
    """This machine's addresses that others may call. Read where no socket is needed: units that
    run this may open none of the kind that `ip` uses."""
    found = []
    for text in _LOCAL_IPV4.findall(_kernel("fib_trie")):
        found.append(ipaddress.ip_address(text))
    for line in _kernel("if_inet6").splitlines():
        digits, _, _, _, flags, _ = line.split()
        if not int(flags, 16) & _PASSING_IPV6:
            found.append(ipaddress.ip_address(bytes.fromhex(digits)))
    return [str(one) for one in found if not one.is_loopback and not one.is_link_local]


def _kernel(table: str) -> str:
    try:
        return Path("/proc/net", table).read_text()
    except OSError:  # a kernel without that family
        return ""


def as_text(pair: Pair) -> str:
    """As PEM, both in one."""
    return (
        _public(pair.certificate)
        + pair.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()
    )


def _public(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
