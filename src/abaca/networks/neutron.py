"""Neutron, by openstacksdk: its networks and subnets, and a port for each address. Needs the extra
`openstack`.

A port is found again by its device id (the share server's) and its name, which says share network
subnet and position. It is made with a MAC address that follows from the same three, which Neutron
gives only once on a network: so a create that is sent twice, because the answer to the first was
lost or is still to come, or because two ask at once, never makes two. Ports of one call are made by
one request, which makes all or none.

Not here: binding ports to hosts, and wires.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

from openstack.config import OpenStackConfig
from openstack.connection import Connection
from openstack.exceptions import NotFoundException
from openstack.network.v2._proxy import Proxy
from openstack.network.v2.network import Network
from openstack.network.v2.port import Port

from abaca.bounded_http import bound
from abaca.errors import NoSpace, OutcomeUnknown, Refused, Unavailable
from abaca.networks.interface import AllocationRequest, NetworkPlugin
from abaca.networks.local import PortKey, PortStore, mac_address, no_space, require_within
from abaca.networks.neutron_answers import Conflict, all_of, allocation, lost_as, subnet
from abaca.plugin_options import Option
from abaca.values import NetworkAllocation, Subnet

OWNER = "manila:share"
"""The ports' device owner, which Neutron's tools know."""

_PREFIX = "abaca-"
# With several API threads on MariaDB, one of two creates at once is tried again in Neutron for
# minutes, and ends with the second.
_ALREADY_THERE = ("MacAddressInUse", "NeutronDbObjectDuplicateEntry")
_LOOKS = 3  # a port that was made by somebody else meanwhile is there at the second look

_AUTH_OPTIONS = {
    "auth_url": Option("Keystone's address: https://keystone.example.org/v3."),
    "username": Option("Abaca's user, with the role admin."),
    "password": Option("The password of that user.", is_secret=True),
    "user_domain_id": Option("The user's domain, by id."),
    "user_domain_name": Option("The user's domain, by name: Default."),
    "project_id": Option("The user's project, by id."),
    "project_name": Option("The user's project, by name: service."),
    "project_domain_id": Option("The project's domain, by id."),
    "project_domain_name": Option("The project's domain, by name: Default."),
    "application_credential_id": Option(
        "Application credential instead of user and project, with auth_type "
        "v3applicationcredential."
    ),
    "application_credential_secret": Option("The application credential's secret.", is_secret=True),
}


class NeutronNetworks(NetworkPlugin):
    """The network plug-in over Neutron, as a user with the role admin there."""

    OPTIONS: ClassVar[Mapping[str, Option]] = _AUTH_OPTIONS | {
        "auth_type": Option("How to log in: password or v3applicationcredential.", "password"),
        "region_name": Option("Neutron's region in the catalogue. By default any."),
        "interface": Option(
            "Which of Neutron's endpoints to use: internal, public or admin.", "internal"
        ),
        "endpoint_override": Option(
            "Neutron's address, instead of the catalogue's: https://neutron.example.org:9696."
        ),
        "cafile": Option("PEM file of the certificates to trust. By default the system's."),
        "insecure": Option("true: certificates of Keystone and Neutron are not checked.", "false"),
        "timeout": Option(
            "Seconds that an answer of Keystone or Neutron may take, to its end.", "60"
        ),
    }

    MAY_COME_LATE = True

    def __init__(self, options: Mapping[str, str], store: PortStore | None = None) -> None:
        """Asks nothing yet. `store` is not used: Neutron keeps the addresses."""
        timeout = options.get("timeout", "60")
        if not timeout.isdecimal():
            raise Unavailable(f"timeout = {timeout}: must be a number of seconds.")
        self._seconds = int(timeout)
        with lost_as(Unavailable):
            self._region = OpenStackConfig(
                load_yaml_config=False, load_envvars=False, app_name="abaca"
            ).get_one(
                auth_type=options.get("auth_type", "password"),
                auth={name: options[name] for name in _AUTH_OPTIONS if name in options},
                region_name=options.get("region_name"),
                interface=options.get("interface", "internal"),
                network_endpoint_override=options.get("endpoint_override"),
                cacert=options.get("cafile"),
                verify=options.get("insecure", "").lower() != "true",
                api_timeout=self._seconds,
            )

    @cached_property
    def _neutron(self) -> Proxy:
        """Neutron's API at an address that names the version: openstacksdk would ask for it, and
        take what goes wrong then for an answer."""
        bound(self._region.get_session(), seconds=self._seconds)
        address = self._region.get_session_client("network").get_endpoint(skip_discovery=True)
        if address is None:
            raise Unavailable(
                "Keystone's catalogue has no endpoint of the service type network for this region "
                "and interface."
            )
        self._region.set_service_value(
            "endpoint_override", "network", f"{address.rstrip('/').removesuffix('/v2.0')}/v2.0"
        )
        return Connection(config=self._region, strict_proxies=True).network

    # --- subnets ----------------------------------------------------------------------------------

    def get_subnet(
        self, project_id: str, neutron_net_id: str | None, neutron_subnet_id: str | None
    ) -> Subnet:
        """As the interface says; the subnet may be left out where the network has only one."""
        wanted = {"network_id": neutron_net_id, "id": neutron_subnet_id}
        named = {name: value for name, value in wanted.items() if value}
        if not named:
            raise Refused("No network or subnet is given.", is_public=True)
        with lost_as(Unavailable):
            found = all_of(self._neutron.subnets(**named), self._seconds)
            network = self._network(project_id, found[0].network_id) if found else None
            if network is None:
                said = (
                    f"There is no subnet {neutron_subnet_id or ''} on the network "
                    f"{neutron_net_id or 'given'}."
                ).replace("  ", " ")
                raise Refused(said, is_public=True)
            if not self._may_be_used(project_id, network):
                said = (
                    f"The network {network.id} is external: the project sees it, but may not "
                    "have share servers on it. Use one of its own."
                )
                raise Refused(said, is_public=True)
            if len(found) > 1:
                raise Refused(
                    f"The network {neutron_net_id} has {len(found)} subnets: name one of them.",
                    is_public=True,
                )
            if network.provider_network_type is None:
                kind = f"Neutron does not tell what kind the network {network.id} is"
                raise Refused(
                    f"{kind}: it has several segments, or Abaca's user is not an administrator in "
                    "Neutron."
                )
            return subnet(found[0], network)

    def owner(self, neutron_net_id: str) -> str | None:
        with lost_as(Unavailable):
            owner = self._neutron.get_network(neutron_net_id).project_id
            return owner if isinstance(owner, str) else None

    def free_addresses(self, subnet: Subnet) -> int | None:
        """None where Neutron does not count."""
        with lost_as(Unavailable):
            return self._free(subnet.neutron_net_id, subnet.neutron_subnet_id)

    def _free(self, network_id: str, subnet_id: str) -> int | None:
        try:
            counted = self._neutron.get_network_ip_availability(network_id)
        except NotFoundException:
            return None
        found = (item for item in counted.subnet_ip_availability if item["subnet_id"] == subnet_id)
        return next((int(item["total_ips"]) - int(item["used_ips"]) for item in found), None)

    def _network(self, project_id: str, network_id: str) -> Network | None:
        """The network, if the project sees it."""
        network = self._neutron.get_network(network_id)
        return (
            network
            if network.is_router_external or self._may_be_used(project_id, network)
            else None
        )

    def _may_be_used(self, project_id: str, network: Network) -> bool:
        """Whether the network is the project's or shared with it, or with all."""
        if network.is_shared or network.project_id == project_id:
            return True
        wanted = {
            "object_id": network.id,
            "target_project_id": project_id,
            "action": "access_as_shared",
        }
        shared = all_of(self._neutron.rbac_policies(**wanted), self._seconds)
        return any(policy.object_id == network.id for policy in shared)

    # --- addresses --------------------------------------------------------------------------------

    def allocate(self, requests: Sequence[AllocationRequest]) -> list[list[NetworkAllocation]]:
        wanted = {key: request for request in requests for key in _keys(request)}
        for _ in range(_LOOKS):
            ports = {
                key: port
                for server_id in {key.server_id for key in wanted}
                for key, port in self._ports(server_id).items()
            }
            missing = {key: request for key, request in wanted.items() if key not in ports}
            ports |= self._create(missing) if missing else {}
            if wanted.keys() <= ports.keys():
                with lost_as(OutcomeUnknown):
                    return [
                        [allocation(ports[key], request) for key in _keys(request)]
                        for request in requests
                    ]
        raise OutcomeUnknown("Neutron says that the port exists, but does not list it.")

    def set_aside(self, server_id: str, ip_addresses: Sequence[str]) -> None:
        """Neutron is not kept from giving them again, but chooses at random. Ports of ours that
        hold them would count against the project's quota, and be nobody's to remove."""
        for port in self._ports(server_id).values():
            if any(fixed["ip_address"] in ip_addresses for fixed in port.fixed_ips):
                with lost_as(OutcomeUnknown):
                    self._neutron.delete_port(port)

    def take_over(
        self, request: AllocationRequest, ip_addresses: Sequence[str]
    ) -> list[NetworkAllocation]:
        with lost_as(Unavailable):
            found = self._neutron.get_subnet(request.neutron_subnet_id)
            for address in ip_addresses:
                require_within(request.neutron_subnet_id, found.cidr, found.gateway_ip, address)
        kept = []
        for position, address in enumerate(ip_addresses):
            key = PortKey(
                server_id=request.server_id,
                share_network_subnet_id=request.share_network_subnet_id,
                position=position,
            )
            with lost_as(OutcomeUnknown):
                kept.append(allocation(self._take_over(key, request, address), request))
        return kept

    def _take_over(self, key: PortKey, request: AllocationRequest, address: str) -> Port:
        fixed = {"subnet_id": request.neutron_subnet_id, "ip_address": address}
        port = next(
            (port for port in self._ports(key.server_id).values() if fixed in port.fixed_ips), None
        )
        if port is None:  # Neutron refuses what another port has
            made: Port = self._neutron.create_port(
                **_new_port(key, request) | {"fixed_ips": [fixed]}
            )
            return made
        if port.name != _name(key):
            port = self._neutron.update_port(port, name=_name(key))
        return port

    def release(
        self, server_id: str, share_network_subnet_ids: Sequence[str] | None = None
    ) -> None:
        for key, port in self._ports(server_id).items():
            if (
                share_network_subnet_ids is None
                or key.share_network_subnet_id in share_network_subnet_ids
            ):
                with lost_as(OutcomeUnknown):
                    self._neutron.delete_port(port)

    def _ports(self, server_id: str) -> dict[PortKey, Port]:
        with lost_as(Unavailable):
            found = all_of(
                self._neutron.ports(device_id=server_id, device_owner=OWNER), self._seconds
            )
            keyed = [
                (_key(server_id, port.name), port) for port in found if port.device_id == server_id
            ]
        return {key: port for key, port in keyed if key is not None}

    def _create(self, missing: Mapping[PortKey, AllocationRequest]) -> dict[PortKey, Port]:
        """Make the ports, all or none; none when somebody else is just making one of them."""
        try:
            with lost_as(OutcomeUnknown):
                made = all_of(
                    self._neutron.create_ports(
                        [_new_port(key, request) for key, request in missing.items()]
                    ),
                    self._seconds,
                )
                return dict(zip(missing, made, strict=True))
        except Conflict as conflict:
            if conflict.type.startswith("IpAddressGenerationFailure"):
                lack = self._lack(list(missing.values()))
                raise NoSpace(lack or conflict.message, is_public=lack is not None) from conflict
            if conflict.type not in _ALREADY_THERE:
                raise
            return {}
        except Refused as refusal:
            gone = self._gone(list(missing.values()))
            raise Refused(gone or refusal.message, is_public=gone is not None) from refusal

    def _gone(self, requests: list[AllocationRequest]) -> str | None:
        """Which subnet is not there any more; Neutron's own words name the first thing that it
        misses."""
        for request in requests:
            with lost_as(Unavailable):
                found = all_of(
                    self._neutron.subnets(
                        id=request.neutron_subnet_id, network_id=request.neutron_net_id
                    ),
                    self._seconds,
                )
            if not found:
                return (
                    f"The subnet {request.neutron_subnet_id} of the network "
                    f"{request.neutron_net_id} is not there any more."
                )
        return None

    def _lack(self, requests: Sequence[AllocationRequest]) -> str | None:
        """Which subnet has too few addresses left; Neutron's own words name the network only."""
        for subnet_id, needed in Counter(request.neutron_subnet_id for request in requests).items():
            with lost_as(Unavailable):
                found = self._neutron.get_subnet(subnet_id)
                free = self._free(found.network_id, subnet_id)
            if free is not None and free < needed:
                return no_space(subnet_id, found.cidr, free, needed)
        return None


def _keys(request: AllocationRequest) -> list[PortKey]:
    return [
        PortKey(
            server_id=request.server_id,
            share_network_subnet_id=request.share_network_subnet_id,
            position=position,
        )
        for position in range(request.count)
    ]


def _name(key: PortKey) -> str:
    return f"{_PREFIX}{key.share_network_subnet_id}-{key.position}"


def _key(server_id: str, name: str | None) -> PortKey | None:
    """What a port of that name is; None: none of ours."""
    share_network_subnet_id, _, position = (name or "").removeprefix(_PREFIX).rpartition("-")
    if not position.isdecimal():
        return None
    key = PortKey(
        server_id=server_id, share_network_subnet_id=share_network_subnet_id, position=int(position)
    )
    return key if _name(key) == name else None


def _new_port(key: PortKey, request: AllocationRequest) -> dict[str, Any]:
    return {
        "name": _name(key),
        "device_id": key.server_id,
        "device_owner": OWNER,
        "network_id": request.neutron_net_id,
        "fixed_ips": [{"subnet_id": request.neutron_subnet_id}],
        "mac_address": mac_address(key),
    } | ({"project_id": request.project_id} if request.project_id else {})
