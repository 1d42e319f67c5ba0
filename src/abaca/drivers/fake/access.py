"""Which access rules a fake back end can enforce, and what of them it grants. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from abaca.addresses import plain_network
from abaca.drivers.capabilities import Capabilities
from abaca.drivers.export_ranges import granted
from abaca.errors import Refused
from abaca.values import AccessRule, ExportChoice, NetworkInfo

_TYPES = {"NFS": {"ip"}, "CIFS": {"ip", "user"}, "GLUSTERFS": {"ip", "cert"}}


def judged(
    rules: Sequence[AccessRule],
    share_proto: str,
    capabilities: Capabilities,
    choice: ExportChoice,
    network_info: Sequence[NetworkInfo],
) -> tuple[list[AccessRule], dict[str, str]]:
    """(what is granted, the reason by the id of each rule that is refused). A rule that holds in
    parts is there once for each of them."""
    holding: list[AccessRule] = []
    refused: dict[str, str] = {}
    for rule in rules:
        try:
            holding += _parts(rule, share_proto, capabilities, choice, network_info)
        except Refused as refusal:
            refused[rule.id] = refusal.message
    return holding, refused


def _parts(
    rule: AccessRule,
    share_proto: str,
    capabilities: Capabilities,
    choice: ExportChoice,
    network_info: Sequence[NetworkInfo],
) -> list[AccessRule]:
    if rule.access_type not in _TYPES.get(share_proto.upper(), set()):
        raise Refused(
            f"{share_proto} shares of this back end do not support access type {rule.access_type}."
        )
    if rule.access_level not in ("rw", "ro"):
        raise Refused(f"The access level {rule.access_level} is unknown.")
    if rule.access_type != "ip":
        return [rule]
    try:
        network = plain_network(rule.access_to, strict=False)
    except ValueError:
        raise Refused(f"{rule.access_to} is neither an address nor a prefix.") from None
    if not (capabilities.ipv4_support if network.version == 4 else capabilities.ipv6_support):
        raise Refused(f"This back end does not serve IPv{network.version}.")
    if choice.is_free:
        return [rule]
    return [
        msgspec.structs.replace(rule, access_to=str(part))
        for part in granted(network, choice, network_info)
    ]
