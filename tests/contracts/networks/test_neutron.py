"""The contract of network plug-ins over a real Neutron, and what is Neutron's own: segments,
sharing, quotas, answers that get lost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from abaca.errors import BackendError, NoSpace, OutcomeUnknown, Refused, Unavailable
from abaca.networks import registry
from abaca.networks.conformance import PROJECT, NetworkConformance, request, request_like
from abaca.networks.fake import MemoryPorts
from abaca.networks.interface import NetworkPlugin
from tests.openstack.keystone import Keystone
from tests.openstack.lab import NeutronLab
from tests.openstack.neutron import Neutron
from tests.openstack.proxy import Fault, Proxy

# the first one starts Keystone and Neutron
pytestmark = [
    pytest.mark.sampled_file(8),
    pytest.mark.slow("a real Neutron, which serves one request at a time"),
    pytest.mark.timeout(300),
]


class TestNeutronNetworks(NetworkConformance):
    @pytest.fixture
    def network_lab(self, neutron_lab: NeutronLab) -> NeutronLab:
        return neutron_lab


class TestSubnets:
    @pytest.mark.parametrize(
        ("provider", "segment"),
        [
            (
                {"provider:network_type": "flat", "provider:physical_network": "physnet1"},
                ("flat", None, "physnet1"),
            ),
            (
                {
                    "provider:network_type": "vlan",
                    "provider:physical_network": "physnet1",
                    "provider:segmentation_id": 1150,
                },
                ("vlan", 1150, "physnet1"),
            ),
            (
                {"provider:network_type": "vxlan", "provider:segmentation_id": 5000, "mtu": 1400},
                ("vxlan", 5000, None),
            ),
        ],
    )
    def test_segments_are_told(
        self,
        neutron_lab: NeutronLab,
        provider: dict[str, Any],
        segment: tuple[str, int | None, str | None],
    ) -> None:
        """Ids that Neutron gives to nobody by itself: other networks of the session have some of
        those."""
        found = neutron_lab.add_subnet("10.1.0.0/24", network_id=neutron_lab.network(**provider))
        assert (found.network_type, found.segmentation_id, found.physical_network) == segment
        assert found.mtu == provider.get("mtu", 1500)

    def test_a_subnet_without_a_gateway(self, neutron_lab: NeutronLab) -> None:
        network_id = neutron_lab.network()
        made = neutron_lab.made(
            "subnet",
            network_id=network_id,
            cidr="10.1.0.0/24",
            ip_version=4,
            gateway_ip=None,
            project_id=PROJECT,
        )
        assert neutron_lab.plugin.get_subnet(PROJECT, network_id, made["id"]).gateway is None

    @pytest.mark.parametrize("target", ["everybody", "one project"])
    def test_shared_networks(self, neutron_lab: NeutronLab, target: str) -> None:
        network_id = neutron_lab.network("another", shared=target == "everybody")
        subnet_id = neutron_lab.subnet_on(network_id, "10.1.0.0/24", "another")
        project = uuid4().hex
        if target == "one project":
            with pytest.raises(Refused, match="There is no subnet"):
                neutron_lab.plugin.get_subnet(project, network_id, subnet_id)
            neutron_lab.api.post("/rbac-policies", json={"rbac_policy": {
                "object_type": "network", "object_id": network_id, "action": "access_as_shared",
                 "target_tenant": project}})  # fmt: skip
            with pytest.raises(Refused, match="There is no subnet"):
                neutron_lab.plugin.get_subnet("a third", network_id, subnet_id)
        assert (
            neutron_lab.plugin.get_subnet(project, network_id, subnet_id).neutron_subnet_id
            == subnet_id
        )

    def test_a_network_that_is_seen_but_may_not_be_used(self, neutron_lab: NeutronLab) -> None:
        network_id = neutron_lab.network("another", **{"router:external": True})
        subnet_id = neutron_lab.subnet_on(network_id, "10.1.0.0/24", "another")
        with pytest.raises(Refused, match=f"The network {network_id} is external"):
            neutron_lab.plugin.get_subnet(PROJECT, network_id, subnet_id)

    def test_a_subnet_of_another_network(self, neutron_lab: NeutronLab) -> None:
        one, two = neutron_lab.add_subnet("10.1.0.0/24"), neutron_lab.add_subnet("10.2.0.0/24")
        with pytest.raises(Refused, match="There is no subnet"):
            neutron_lab.plugin.get_subnet(PROJECT, one.neutron_net_id, two.neutron_subnet_id)

    def test_the_only_subnet_need_not_be_named(self, neutron_lab: NeutronLab) -> None:
        subnet = neutron_lab.add_subnet("10.1.0.0/24")
        assert neutron_lab.plugin.get_subnet(PROJECT, subnet.neutron_net_id, None) == subnet
        neutron_lab.add_subnet("10.2.0.0/24", network_id=subnet.neutron_net_id)
        with pytest.raises(Refused, match="2 subnets"):
            neutron_lab.plugin.get_subnet(PROJECT, subnet.neutron_net_id, None)

    @pytest.mark.parametrize(
        "strange", ["../networks", "a?b=c", "%2e%2e", "x" * 300, "ä", "a&network_id=b"]
    )
    def test_ids_that_are_none(self, neutron_lab: NeutronLab, strange: str) -> None:
        with pytest.raises(Refused, match="There is no subnet"):
            neutron_lab.plugin.get_subnet(PROJECT, strange, strange)


class TestPorts:
    def test_what_a_port_says(self, neutron_lab: NeutronLab) -> None:
        subnet = neutron_lab.add_subnet("10.1.0.0/24")
        wanted = request(subnet)
        wanted = type(wanted)(
            **{name: getattr(wanted, name) for name in wanted.__struct_fields__}
            | {"project_id": PROJECT}
        )
        [[given]] = neutron_lab.plugin.allocate([wanted])
        (port,) = neutron_lab.ports(subnet.neutron_net_id)
        assert port["name"] == f"abaca-{wanted.share_network_subnet_id}-0"
        assert (port["device_id"], port["device_owner"], port["project_id"]) == (
            wanted.server_id,
            "manila:share",
            PROJECT,
        )
        assert (port["id"], port["mac_address"], port["fixed_ips"]) == (
            given.id, given.mac_address,
             [{"subnet_id": subnet.neutron_subnet_id, "ip_address": given.ip_address}])  # fmt: skip

    def test_a_subnet_that_was_deleted_since_is_named_with_its_network(
        self, neutron_lab: NeutronLab
    ) -> None:
        there, gone = neutron_lab.add_subnet("10.1.0.0/24"), neutron_lab.add_subnet("10.2.0.0/24")
        neutron_lab.api.delete(f"/subnets/{gone.neutron_subnet_id}")
        with pytest.raises(
            Refused,
            match=f"The subnet {gone.neutron_subnet_id} of the network {gone.neutron_net_id} is "
            "not there any more",
        ):
            neutron_lab.plugin.allocate([request(there), request(gone)])
        assert neutron_lab.ports(there.neutron_net_id) == []

    def test_several_networks_are_one_request(
        self, neutron_lab: NeutronLab, behind_proxy: tuple[NetworkPlugin, Proxy]
    ) -> None:
        plugin, proxy = behind_proxy
        subnets = [neutron_lab.add_subnet("10.1.0.0/24"), neutron_lab.add_subnet("fd00:1::/64")]
        plugin.allocate([request(subnet, count=3) for subnet in subnets])
        assert [seen for seen in proxy.seen if seen.startswith("POST")] == ["POST /v2.0/ports"]

    def test_other_ports_of_the_server_are_not_touched(self, neutron_lab: NeutronLab) -> None:
        subnet = neutron_lab.add_subnet("10.1.0.0/24")
        wanted = request(subnet)
        [[given]] = neutron_lab.plugin.allocate([wanted])
        foreign = neutron_lab.made(
            "port",
            network_id=subnet.neutron_net_id,
            device_id=wanted.server_id,
            device_owner="manila:share",
            name="by hand",
        )
        neutron_lab.plugin.release(wanted.server_id)
        assert [port["id"] for port in neutron_lab.ports(subnet.neutron_net_id)] == [foreign["id"]]
        assert neutron_lab.plugin.allocate([wanted])[0][0].mac_address == given.mac_address

    def test_a_port_that_somebody_deleted_is_made_again(self, neutron_lab: NeutronLab) -> None:
        wanted = request(neutron_lab.add_subnet("10.1.0.0/24"))
        [[given]] = neutron_lab.plugin.allocate([wanted])
        neutron_lab.api.delete(f"/ports/{given.id}")
        [[again]] = neutron_lab.plugin.allocate([wanted])
        assert again.mac_address == given.mac_address and again.id != given.id

    def test_a_server_has_one_port_a_place(self, neutron_lab: NeutronLab) -> None:
        one = neutron_lab.add_subnet("10.1.0.0/24")
        two = neutron_lab.add_subnet("10.2.0.0/24", network_id=one.neutron_net_id)
        wanted = request(one)
        neutron_lab.plugin.allocate([wanted])
        with pytest.raises(Refused, match="release it first"):
            neutron_lab.plugin.allocate(
                [request_like(wanted, neutron_subnet_id=two.neutron_subnet_id)]
            )

    def test_a_mac_address_that_is_another_ports(self, neutron_lab: NeutronLab) -> None:
        """It cannot be, but if it is, that is told and not tried for ever."""
        subnet = neutron_lab.add_subnet("10.1.0.0/24")
        wanted = request(subnet)
        [[given]] = neutron_lab.plugin.allocate([wanted])
        neutron_lab.api.put(f"/ports/{given.id}", json={"port": {"name": "renamed"}})
        with pytest.raises(OutcomeUnknown, match="does not list it"):
            neutron_lab.plugin.allocate([wanted])

    def test_a_quota_of_neutrons_is_told(self, neutron_lab: NeutronLab) -> None:
        project = f"poor-{uuid4().hex}"
        neutron_lab.api.put(f"/quotas/{project}", json={"quota": {"port": 0}})
        wanted = request(neutron_lab.add_subnet("10.1.0.0/24"))
        fields = {name: getattr(wanted, name) for name in wanted.__struct_fields__} | {
            "project_id": project
        }
        with pytest.raises(Refused, match="Quota exceeded"):
            neutron_lab.plugin.allocate([type(wanted)(**fields)])


@pytest.fixture
def behind_proxy(
    neutron_lab: NeutronLab, neutron: Neutron
) -> Iterator[tuple[NetworkPlugin, Proxy]]:
    """A plug-in that reaches Neutron through a proxy only."""
    with Proxy(neutron.port).running() as proxy:
        yield (
            registry.load(
                "neutron",
                neutron_lab.options | {"endpoint_override": proxy.url, "timeout": "20"},
                MemoryPorts(),
            ),
            proxy,
        )


class TestFaults:
    """Whatever becomes of a request: the next attempt finds what is there, nothing is made twice,
    and nothing stays behind."""

    @pytest.mark.parametrize(
        ("fault", "error"),
        [
            (Fault("GET", done=False), Unavailable),
            (Fault("GET", done=True, status=500), Unavailable),
            (Fault("GET", done=False, status=429), Unavailable),
            (Fault("POST", done=False), OutcomeUnknown),
            (Fault("POST", done=True), OutcomeUnknown),
            (Fault("POST", done=False, status=500), OutcomeUnknown),
            (Fault("POST", done=True, status=500), OutcomeUnknown),
            (Fault("POST", done=True, status=504), OutcomeUnknown),
            (Fault("POST", done=False, status=429), Unavailable),
            (Fault("POST", done=False, status=503), OutcomeUnknown),
            (Fault("POST", done=False, status=403), Refused),
            (Fault("POST", done=False, status=409), Refused),
        ],
        ids=str,
    )
    def test_ports_that_are_made(
        self,
        neutron_lab: NeutronLab,
        behind_proxy: tuple[NetworkPlugin, Proxy],
        fault: Fault,
        error: type[BackendError],
    ) -> None:
        plugin, proxy = behind_proxy
        subnet = neutron_lab.add_subnet("10.1.0.0/24")
        wanted = request(subnet, count=2)
        # what openstacksdk asks first is over
        plugin.get_subnet(PROJECT, subnet.neutron_net_id, subnet.neutron_subnet_id)
        proxy.faults = [fault]
        with pytest.raises(error):
            plugin.allocate([wanted])
        assert proxy.faults == []
        [given] = plugin.allocate([wanted])
        assert sorted(port["id"] for port in neutron_lab.ports(subnet.neutron_net_id)) == sorted(
            item.id for item in given
        )
        plugin.release(wanted.server_id)
        assert neutron_lab.ports(subnet.neutron_net_id) == []

    @pytest.mark.parametrize("type_", ["MacAddressInUse", "NeutronDbObjectDuplicateEntry"])
    def test_ports_that_another_request_made_meanwhile(
        self, neutron_lab: NeutronLab, behind_proxy: tuple[NetworkPlugin, Proxy], type_: str
    ) -> None:
        """What Neutron says then, on SQLite and, on MariaDB, to the one of two requests at once
        that came too late."""
        plugin, proxy = behind_proxy
        subnet = neutron_lab.add_subnet("10.1.0.0/24")
        proxy.faults = [Fault("POST", done=True, status=409, type=type_)]
        [given] = plugin.allocate([request(subnet, count=2)])
        assert proxy.faults == []
        assert sorted(port["id"] for port in neutron_lab.ports(subnet.neutron_net_id)) == sorted(
            item.id for item in given
        )

    @pytest.mark.parametrize(
        "fault",
        [
            Fault("DELETE", done=False),
            Fault("DELETE", done=True),
            Fault("DELETE", done=True, status=500),
        ],
        ids=str,
    )
    def test_ports_that_are_deleted(
        self, neutron_lab: NeutronLab, behind_proxy: tuple[NetworkPlugin, Proxy], fault: Fault
    ) -> None:
        plugin, proxy = behind_proxy
        subnet = neutron_lab.add_subnet("10.1.0.0/24")
        wanted = request(subnet, count=2)
        plugin.allocate([wanted])
        proxy.faults = [fault]
        with pytest.raises(OutcomeUnknown):
            plugin.release(wanted.server_id)
        plugin.release(wanted.server_id)
        assert neutron_lab.ports(subnet.neutron_net_id) == []

    def test_a_full_subnet_behind_a_lost_answer(
        self, neutron_lab: NeutronLab, behind_proxy: tuple[NetworkPlugin, Proxy]
    ) -> None:
        plugin, proxy = behind_proxy
        subnet = neutron_lab.add_subnet("10.1.0.0/30")
        proxy.faults = [Fault("POST", done=True)]
        with pytest.raises(OutcomeUnknown):
            plugin.allocate([request(subnet)])
        with pytest.raises(NoSpace, match=r"10\.1\.0\.0/30\) has 0 free addresses, 1 is needed"):
            plugin.allocate([request(subnet)])

    def test_neutron_that_is_down(self, neutron_lab: NeutronLab) -> None:
        plugin = registry.load(
            "neutron",
            neutron_lab.options | {"endpoint_override": "http://127.0.0.1:1"},
            MemoryPorts(),
        )
        with pytest.raises(Unavailable):
            plugin.get_subnet(PROJECT, "n", "s")
        with pytest.raises(Unavailable):
            plugin.release("server")

    def test_keystone_that_is_down_or_refuses(self, neutron_lab: NeutronLab) -> None:
        for more in ({"auth_url": "http://127.0.0.1:1/v3"}, {"password": "wrong"}):
            plugin = registry.load("neutron", neutron_lab.options | more, MemoryPorts())
            with pytest.raises(Unavailable):
                plugin.get_subnet(PROJECT, "n", "s")

    def test_a_user_that_may_not_see_segments(
        self, neutron_lab: NeutronLab, keystone: Keystone
    ) -> None:
        project = keystone.project(f"weak-{uuid4().hex[:8]}")
        keystone.user(f"weak-{project}", "member", project_id=project)
        network_id = neutron_lab.network(project)
        subnet_id = neutron_lab.subnet_on(network_id, "10.1.0.0/24", project)
        weak = {
            name: value
            for name, value in neutron_lab.options.items()
            if name not in ("project_name", "project_domain_id")
        }
        plugin = registry.load(
            "neutron", weak | {"username": f"weak-{project}", "project_id": project}, MemoryPorts()
        )
        with pytest.raises(Refused, match="not an administrator in Neutron"):
            plugin.get_subnet(project, network_id, subnet_id)

    def test_options_that_are_missing(self) -> None:
        with pytest.raises(Unavailable, match="auth_url"):
            registry.load("neutron", {}, MemoryPorts())

    def test_a_timeout_that_is_none(self) -> None:
        with pytest.raises(Unavailable, match="must be a number of seconds"):
            registry.load("neutron", {"timeout": "long"}, MemoryPorts())
