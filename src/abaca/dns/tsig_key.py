"""The key file that updates are signed with, in the format of BIND's `tsig-keygen`."""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import Path

import dns.exception
import dns.name
import dns.tsig

from abaca.db.private_files import read_private
from abaca.dns.records import DnsError

_KEY = re.compile(
    r'\s*key\s+"?(?P<name>[A-Za-z0-9._-]{1,250})"?\s*\{'
    r"\s*algorithm\s+\"?(?P<algorithm>[a-z0-9-]+)\"?\s*;"
    r'\s*secret\s+"(?P<secret>[A-Za-z0-9+/=]+)"\s*;\s*\}\s*;\s*'
)
_ALGORITHMS = ("hmac-sha256", "hmac-sha384", "hmac-sha512")


def read_key(path: Path) -> dns.tsig.Key:
    """The key in the file. Raises DnsError, which never shows the secret."""
    try:
        match = _KEY.fullmatch(read_private(path))
    except (OSError, UnicodeDecodeError) as error:
        raise DnsError(f"the key file {path} cannot be read: {error}") from error
    if match is None:
        raise DnsError(
            f"the key file {path} is not one key as `tsig-keygen` writes it: "
            'key "NAME" { algorithm hmac-sha256; secret "…"; };'
        )
    if match["algorithm"] not in _ALGORITHMS:
        raise DnsError(
            f"the key file {path} names the algorithm {match['algorithm']}; use one of "
            f"{', '.join(_ALGORITHMS)}"
        )
    try:
        name = dns.name.from_text(match["name"])
        secret = base64.b64decode(match["secret"], validate=True)
    except (dns.exception.DNSException, binascii.Error) as error:
        raise DnsError(f"the key file {path} holds no usable key: {error}") from error
    return dns.tsig.Key(name, secret, match["algorithm"])
