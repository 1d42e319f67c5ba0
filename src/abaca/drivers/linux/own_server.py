"""The one file server of a back end without share servers: a share server like any other, that is
described by options instead of by the service."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Collection, Mapping, Sequence
from ipaddress import IPv4Interface, IPv6Interface, ip_interface

import msgspec

from abaca.addresses import Address, plain_address, special_part
from abaca.drivers.capabilities import Capabilities
from abaca.drivers.linux.option_values import flag, items
from abaca.errors import Unavailable
from abaca.plugin_options import Option
from abaca.values import NetworkAllocation, NetworkInfo, ShareServer, Subnet

OPTIONS = {
    "driver_handles_share_servers": Option(
        "true: each tenant network gets share servers of its own. false: the back end has one file "
        "server, at export_addresses, for the shares of all projects, which then need no share "
        "network. Cannot be changed while the back end has shares.",
        "true",
    ),
    "export_addresses": Option(
        "Addresses of the one file server, IPv4 and IPv6, each with the prefix length of its "
        "subnet, separated by commas: 192.0.2.5/24, 2001:db8::5/64. Nothing else may use them. "
        "Only with driver_handles_share_servers = false."
    ),
    "export_network": Option(
        "The network of export_addresses: one of physical_networks, for a VLAN with its id: "
        "physnet1 or physnet1:100. Without physical_networks it is left out: the file server is "
        "then reached from this machine only."
    ),
    "export_gateways": Option(
        "Routers by which clients outside the subnets of export_addresses are reached, separated "
        "by commas: 192.0.2.1, fe80::1."
    ),
}
_OTHERS = [name for name in OPTIONS if name.startswith("export_")]
_LONGEST_NAME = 32  # of a back end: paths of sockets have 108 characters
_MTU = 1500
_VLAN_IDS = range(1, 4095)

Interface = IPv4Interface | IPv6Interface


def described(
    options: Mapping[str, str], backend_name: str, physical_networks: Collection[str]
) -> ShareServer | None:
    """The file server that these options describe; None: the back end makes share servers. Raises
    Unavailable, naming the option, for what makes no sense.

    One entry an address, all of one port. Ids and the MAC address follow from the options, so they
    are the same at each start.
    """
    if flag(options, "driver_handles_share_servers"):
        for name in _OTHERS:
            if options[name]:
                raise Unavailable(f"option {name} needs driver_handles_share_servers = false")
        return None
    if flag(options, "image_per_share_server"):
        raise Unavailable(
            "option image_per_share_server needs driver_handles_share_servers = true: here one "
            "file server has all shares"
        )
    if len(backend_name) > _LONGEST_NAME:
        raise Unavailable(
            f"with driver_handles_share_servers = false the name of a back end has at most "
            f"{_LONGEST_NAME} characters, and {backend_name} has {len(backend_name)}"
        )
    own_id = server_id(backend_name)
    subnets = _subnets(options, physical_networks, own_id)
    (first, its_subnet), *_ = subnets
    mac_address = _mac_address(its_subnet, first)
    return ShareServer(
        id=own_id,
        network_info=[
            NetworkInfo(
                server_id=own_id,
                share_network_subnet_id=_id(own_id, "subnet", str(address)),
                subnet=subnet,
                network_allocations=[
                    NetworkAllocation(
                        id=_id(own_id, "address", str(address)),
                        ip_address=str(address.ip),
                        mac_address=mac_address,
                    )
                ],
            )
            for address, subnet in subnets
        ],
    )


def server_id(backend_name: str) -> str:
    """By which the driver, and its namespaces, know the one file server of a back end."""
    return f"own-{backend_name}"


def capabilities(of_share_servers: Capabilities, own: ShareServer) -> Capabilities:
    """What a back end can do whose one file server is `own`: nothing of what is about share servers
    and their subnets, and the IP versions of its addresses."""
    versions = {info.subnet.ip_version for info in own.network_info}
    return msgspec.structs.replace(
        of_share_servers,
        driver_handles_share_servers=False,
        share_server_multiple_subnet_support=False,
        network_allocation_update_support=False,
        share_server_subnet_removal_support=False,
        security_service_update_support=False,
        export_subnets_support=False,
        ipv4_support=4 in versions,
        ipv6_support=6 in versions,
    )


def _subnets(
    options: Mapping[str, str], physical_networks: Collection[str], own_id: str
) -> list[tuple[Interface, Subnet]]:
    addresses = _addresses(options)
    gateways = _gateways(options, addresses)
    physical_network, vlan = _network(options["export_network"], physical_networks)
    # Two back ends of one installation on one wire are on one bridge.
    network_id = _id(*([str(physical_network), str(vlan)] if physical_network else [own_id]))
    return [
        (
            address,
            Subnet(
                neutron_net_id=network_id,
                neutron_subnet_id=_id(network_id, str(address.network)),
                cidr=str(address.network),
                ip_version=address.version,
                gateway=gateways.get(address),
                mtu=int(options["mtu"] or _MTU),
                network_type=("vlan" if vlan else "flat") if physical_network else "local",
                segmentation_id=vlan,
                physical_network=physical_network,
                is_local=True,
            ),
        )
        for address in addresses
    ]


def _addresses(options: Mapping[str, str]) -> list[Interface]:
    texts = items(options["export_addresses"])
    if not texts:
        raise Unavailable(
            "with driver_handles_share_servers = false the option export_addresses must name the "
            "addresses of the file server, each with its prefix length: 192.0.2.5/24"
        )
    found: list[Interface] = []
    for text in texts:
        address = _address(text)
        if address.ip in [each.ip for each in found]:
            raise Unavailable(f"option export_addresses names {address.ip} twice")
        found.append(address)
    return found


def _address(text: str) -> Interface:
    def wrong(why: str) -> Unavailable:
        return Unavailable(f"option export_addresses, '{text}': {why}")

    plain, slash, length = text.partition("/")
    try:
        address = ip_interface(f"{plain_address(plain)}/{int(length or '0')}")
    except ValueError as error:
        raise wrong(f"must be an address with a prefix length, 192.0.2.5/24: {error}") from error
    if not slash:
        raise wrong("the prefix length of its subnet is missing")
    network = address.network
    if (special := special_part(network)) is not None:
        raise wrong(f"not a range for hosts: it overlaps {special}")
    if network.prefixlen < network.max_prefixlen - 1:
        if address.ip == network.network_address:
            raise wrong("that is the address of the subnet, not of a machine in it")
        if address.version == 4 and address.ip == network.broadcast_address:
            raise wrong("that is the broadcast address of the subnet")
    return address


def _gateways(options: Mapping[str, str], addresses: Sequence[Interface]) -> dict[Interface, str]:
    """By address: the router of its subnet."""
    found: dict[Interface, str] = {}
    for text in items(options["export_gateways"]):
        try:
            router = plain_address(text)
        except ValueError as error:
            raise Unavailable(f"option export_gateways, '{text}': {error}") from error
        reached = [each for each in addresses if _reaches(each, router)]
        if not reached:
            raise Unavailable(f"option export_gateways, '{text}': in no subnet of export_addresses")
        for address in reached:
            if address.ip == router:
                raise Unavailable(
                    f"option export_gateways, '{text}': that is an address of the file server"
                )
            if address in found:
                raise Unavailable(
                    f"option export_gateways: {address.network} has two, {found[address]} and "
                    f"{text}"
                )
            found[address] = str(router)
    return found


def _reaches(address: Interface, router: Address) -> bool:
    """Whether the router can be one of that address's subnet: a link-local one is of each IPv6
    subnet."""
    return address.version == router.version and (
        router in address.network or (router.version == 6 and router.is_link_local)
    )


def _network(text: str, physical_networks: Collection[str]) -> tuple[str | None, int | None]:
    """Physical network and VLAN id."""
    if not text:
        if physical_networks:
            raise Unavailable(
                "with driver_handles_share_servers = false and physical_networks the option "
                f"export_network must name one of these: {', '.join(physical_networks)}"
            )
        return None, None
    name, colon, vlan = text.partition(":")
    if name not in physical_networks:
        raise Unavailable(
            f"option export_network, '{text}': the option physical_networks does not name {name}"
        )
    if not colon:
        return name, None
    if not (vlan.isascii() and vlan.isdecimal()) or int(vlan) not in _VLAN_IDS:
        raise Unavailable(
            f"option export_network, '{text}': a VLAN id is a number from {_VLAN_IDS[0]} to "
            f"{_VLAN_IDS[-1]}"
        )
    return name, int(vlan)


def _id(*parts: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, " ".join(["abaca", *parts])))


def _mac_address(subnet: Subnet, address: Interface) -> str:
    """A locally administered unicast address that two machines on one wire do not share, as their
    addresses differ: the names of their back ends may not."""
    wire = f"{subnet.network_type} {subnet.segmentation_id}"
    digest = hashlib.sha256(f"abaca {wire} {address.ip}".encode()).digest()[:6]
    return bytes((digest[0] & 0xFC | 0x02, *digest[1:])).hex(":")
