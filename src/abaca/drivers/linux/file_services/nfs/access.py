"""Access rules as Ganesha's CLIENT blocks. Pure: text out, nothing is asked or changed.

Ganesha takes the first block that matches, so the longest prefix comes first, and of the same
length `ro` before `rw`. Rules that say the same of prefixes of one length share blocks: with one
block each, Ganesha 4.3 takes seconds for some thousands. What cannot be enforced is refused with a
reason and grants nothing. How much of what clients say of themselves is believed is in each
block, too (`drivers/nfs_specs.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network

from abaca.drivers.export_ranges import granted
from abaca.drivers.nfs_specs import NfsSpecs, nfs_specs
from abaca.errors import Refused
from abaca.values import AccessRule, ExportChoice, NetworkInfo

# Ganesha 4.3 does not parse an IPv6 prefix length of three digits. Up to this many addresses are
# listed one by one instead; a block has no more than these.
ENUMERATED_ADDRESSES = 256
MAPPED_IPV4 = IPv6Network("::ffff:0:0/96")
_EVERYWHERE = ExportChoice()
ACCESS_LEVELS = {"rw": "RW", "ro": "RO"}
SQUASHES = {
    "no_root_squash": "No_Root_Squash",
    "root_squash": "Root_Squash",
    "all_squash": "All_Squash",
}


def client_blocks(
    rules: Sequence[AccessRule],
    extra_specs: Mapping[str, str],
    choice: ExportChoice = _EVERYWHERE,
    networks: Sequence[NetworkInfo] = (),
) -> tuple[str, dict[str, str]]:
    """(the CLIENT blocks, reasons by the id of each rule that is refused).

    `extra_specs`: of the share's type. If they cannot be applied, every rule is refused. `choice`:
    on which of `networks` the share is exported. Of a rule that holds in parts each stands where
    the whole would: which rule a client goes by is no matter of the choice.
    """
    clients: dict[tuple[int, str], list[str]] = {}
    refused: dict[str, str] = {}
    for rule in rules:
        try:
            network = _network(rule)
            options = _options(rule.access_level, nfs_specs(extra_specs))
            parts = granted(network, choice, networks)
            listed = [client for part in parts for client in _clients(part)]
            clients.setdefault((network.max_prefixlen - network.prefixlen, options), []).extend(
                listed
            )
        except Refused as refusal:
            refused[rule.id] = refusal.message
    return "".join(
        _blocks(sorted(each), options) for (_, options), each in sorted(clients.items())
    ), refused


def _network(rule: AccessRule) -> IPv4Network | IPv6Network:
    if rule.access_type != "ip":
        raise Refused(
            f"this back end supports access of the type ip only, not {rule.access_type}",
            is_public=True,
        )
    if rule.access_level not in ACCESS_LEVELS:
        raise Refused(f"'{rule.access_level}' is not an access level: use rw or ro", is_public=True)
    try:
        network = ip_network(rule.access_to, strict=False)
    except ValueError as error:
        raise Refused(
            f"'{rule.access_to}' is neither an address nor a prefix", is_public=True
        ) from error
    if network.num_addresses == 1 and network.network_address.is_unspecified:
        # Ganesha takes the bare 0.0.0.0 for everybody, in both families.
        raise Refused(
            f"'{rule.access_to}' is not the address of a client; to allow everybody, use "
            f"{network.network_address}/0",
            is_public=True,
        )
    if isinstance(network, IPv6Network):
        if network.network_address.scope_id:
            raise Refused(
                f"'{rule.access_to}': an address with a zone is not supported", is_public=True
            )
        if network.subnet_of(MAPPED_IPV4):
            raise Refused(
                f"'{rule.access_to}': write an IPv4 address as such, not mapped into IPv6",
                is_public=True,
            )
    return network


def _options(access_level: str, specs: NfsSpecs) -> str:
    parts = (
        "Protocols = 4",
        f"Access_Type = {ACCESS_LEVELS[access_level]}",
        f"Squash = {SQUASHES[specs.squash]}",
        f"Anonymous_Uid = {specs.anonymous_uid}",
        f"Anonymous_Gid = {specs.anonymous_gid}",
        f"PrivilegedPort = {str(specs.privileged_ports).lower()}",
    )
    return "; ".join(parts)


def _blocks(clients: Sequence[str], options: str) -> str:
    parts = (
        clients[first : first + ENUMERATED_ADDRESSES]
        for first in range(0, len(clients), ENUMERATED_ADDRESSES)
    )
    return "".join(f"    CLIENT {{ Clients = {', '.join(part)}; {options}; }}\n" for part in parts)


def _clients(network: IPv4Network | IPv6Network) -> list[str]:
    if network.prefixlen == 0:
        return [_prefix(half) for half in network.subnets()]  # Ganesha refuses /0 in both families.
    if network.num_addresses == 1:
        return [str(network.network_address)]
    if network.version == 6 and network.prefixlen >= 100:
        if network.num_addresses > ENUMERATED_ADDRESSES:
            raise Refused(
                f"'{network}': this back end cannot enforce IPv6 prefixes from /100 to /119; use "
                "a shorter or a longer one",
                is_public=True,
            )
        return [str(address) for address in network]
    return [_prefix(network)]


def _prefix(network: IPv4Network | IPv6Network) -> str:
    # `::/1` would do, but a leading digit is what Ganesha is known to take.
    address = str(network.network_address)
    return f"{'0' if address == '::' else ''}{address}/{network.prefixlen}"
