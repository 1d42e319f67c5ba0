"""Networks in a real Neutron, and Abaca's plug-in over it."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any
from uuid import uuid4

from keystoneauth1.adapter import Adapter
from keystoneauth1.session import Session

from abaca.networks import registry
from abaca.networks.conformance import PROJECT
from abaca.networks.fake import MemoryPorts
from abaca.networks.interface import NetworkPlugin
from abaca.networks.neutron import NeutronNetworks
from abaca.values import Subnet
from tests.openstack.keystone import ADMIN, Keystone


class NeutronLab:
    """A plug-in over Neutron, and Neutron's own API as its administrator. `url`: that of a Neutron
    that is not in the catalogue."""

    def __init__(self, keystone: Keystone, url: str | None = None, timeout: int = 60) -> None:
        known = keystone.service_user(f"abaca-{uuid4().hex[:8]}")
        self.options = {
            name: value for name, value in known.items() if name in NeutronNetworks.OPTIONS
        }
        self.options["timeout"] = str(timeout)
        if url is not None:
            self.options["endpoint_override"] = url
        self.plugin: NetworkPlugin = registry.load("neutron", self.options, MemoryPorts())
        session = Session(keystone.auth(ADMIN, project_name=ADMIN), timeout=60)
        place: dict[str, Any] = (
            {"endpoint_override": f"{url}/v2.0"} if url else {"min_version": "2"}
        )
        self.api = Adapter(
            session, service_type="network", interface="public", raise_exc=True, **place
        )

    def made(self, noun: str, **members: Any) -> dict[str, Any]:
        return dict(self.api.post(f"/{noun}s", json={noun: members}).json()[noun])

    def network(self, project_id: str = PROJECT, **more: Any) -> str:
        return str(self.made("network", project_id=project_id, **more)["id"])

    def subnet_on(self, network_id: str, cidr: str, project_id: str = PROJECT) -> str:
        network = ip_network(cidr)
        members = {
            "network_id": network_id,
            "cidr": cidr,
            "ip_version": network.version,
            "gateway_ip": str(network.network_address + 1),
        }
        return str(self.made("subnet", project_id=project_id, **members)["id"])

    def add_subnet(
        self, cidr: str, *, network_id: str | None = None, project_id: str = PROJECT
    ) -> Subnet:
        network_id = network_id or self.network(project_id)
        return self.plugin.get_subnet(
            project_id, network_id, self.subnet_on(network_id, cidr, project_id)
        )

    def ports(self, network_id: str) -> list[dict[str, Any]]:
        return list(self.api.get("/ports", params={"network_id": network_id}).json()["ports"])
