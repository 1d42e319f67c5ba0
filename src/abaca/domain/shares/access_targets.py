"""Whom an access rule of a share or a snapshot is for: what may be given, and how it is stored."""

from __future__ import annotations

import ipaddress
import re

from abaca.addresses import plain_network
from abaca.errors import Invalid

TYPES = ("ip", "user", "cert", "cephx")
_USER = re.compile(r"[\w.\-' $@\\/]{4,255}")

_COMMON_NAME = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]{1,64}")


def normalised(access_type: str, access_to: str) -> str:
    """An address or a prefix in canonical form; the common name of a certificate without blanks
    around it; other types unchanged. Raises Invalid for an unknown type or an invalid value."""
    if access_type not in TYPES:
        raise Invalid(f"Invalid access rule: only {', '.join(TYPES)} access types are supported.")
    if access_type == "ip":
        try:
            network = plain_network(access_to, strict=False)
        except ValueError:
            raise Invalid(f"'{access_to}' does not appear to be an IPv4 or IPv6 network") from None
        if "/" in access_to and ipaddress.ip_interface(access_to).ip != network.network_address:
            raise Invalid(
                f"'{access_to}' is an address inside of a network: give {network} to let in all of "
                "it, or the address without a prefix length."
            )
        return str(network) if "/" in access_to else str(network.network_address)
    if access_type == "user" and not (_USER.fullmatch(access_to) and access_to.strip(". ")):
        raise Invalid(f"Invalid access rule: '{access_to}' is not a user or group name.")
    if access_type == "cert":
        access_to = access_to.strip()
        if not _COMMON_NAME.fullmatch(access_to):
            raise Invalid(
                f"Invalid access rule: {access_to!r} is not the common name of a certificate: 1 to "
                "64 printable characters."
            )
    if not 0 < len(access_to) <= 255:
        raise Invalid("Invalid access rule: access_to must have between 1 and 255 characters.")
    return access_to


def spellings(access_type: str, target: str) -> set[str]:
    """All canonical forms of a rule's target: a single address may be written with or without its
    prefix length."""
    if access_type != "ip":
        return {target}
    network = ipaddress.ip_network(target)
    return (
        {target, str(network), str(network.network_address)}
        if network.num_addresses == 1
        else {target}
    )
