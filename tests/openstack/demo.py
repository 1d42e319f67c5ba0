"""The demonstration beside real neighbours: Keystone says who asks, Neutron keeps the networks, and
clients are on its flat networks.

`python -m tests.openstack.demo` (`make demo-openstack`) plays it with a Keystone and a Neutron of
its own; a test plays the same steps.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from keystoneauth1.adapter import Adapter
from keystoneauth1.session import Session

from abaca.admin import demo, demo_steps
from abaca.admin.demo_scene import Scene
from abaca.admin.demo_steps import Play
from abaca.drivers.linux import namespaces
from abaca.drivers.linux.wires import links
from tests.contracts.drivers.wired_hosts import Machine
from tests.openstack import keystone as keystone_module
from tests.openstack import neutron as neutron_module
from tests.openstack import process
from tests.openstack.keystone import ADMIN, REGION, Keystone, section
from tests.openstack.neutron import Neutron

CLOUD = "openstack"
PHYSICAL_NETWORKS = {"blue": "physnet1", "green": "physnet2"}
LISTED = "manila:share"


class OpenstackScene(Scene):
    """Abaca beside a Keystone and a Neutron, which run already. Each network's switch is a
    namespace, wired to an interface of this machine."""

    def __init__(self, say: Callable[[str], None], keystone: Keystone) -> None:
        super().__init__(say)
        self._keystone = keystone
        self._session = Session(keystone.auth(ADMIN, project_name=ADMIN), timeout=60)
        self._neutron = Adapter(
            self._session, service_type="network", interface="public", min_version="2"
        )
        self._machines: dict[str, Machine] = {}
        self._switches: dict[str, Machine] = {}
        self._clouds = self.folder / "clouds.yaml"

    # --- what is otherwise than by default --------------------------------------------------------

    def start(self) -> None:
        """Wire the physical networks and register Abaca in Keystone's catalogue; then as ever."""
        for network in PHYSICAL_NETWORKS:
            self._switches[network] = switch = Machine(f"{self.namespace}-{network}")
            switch.bridge("switch")
            switch.cable_here("uplink", self._interface(network), "switch")
        self._keystone.register("shared-file-system", f"http://127.0.0.1:{self.port}/v2")
        self._clouds.write_bytes(
            msgspec.yaml.encode({"clouds": {CLOUD: self._keystone.cloud(ADMIN, ADMIN)}})
        )
        super().start()

    def config_text(self) -> str:
        own_user = self._keystone.service_user("abaca")
        neutron = {
            name: own_user[name]
            for name in ("auth_url", "username", "password", "project_name", "interface")
        }
        neutron |= {
            "user_domain_id": "default",
            "project_domain_id": "default",
            "region_name": REGION,
        }
        wires = ", ".join(
            f"{physical_network}:{self._interface(network)}"
            for network, physical_network in PHYSICAL_NETWORKS.items()
        )
        return "\n".join([
            "[DEFAULT]", "enabled_share_backends = linux", "network_plugin = neutron",
            "[api]", "auth_strategy = keystone",
            "[linux]", "share_driver = linux", f"physical_networks = {wires}",
            "[neutron]", *(f"{name} = {value}" for name, value in neutron.items()),
            section(own_user),
        ])  # fmt: skip

    def environment(self) -> dict[str, str]:
        return {"OS_CLIENT_CONFIG_FILE": str(self._clouds), "OS_CLOUD": CLOUD}

    def page_login(self) -> str:
        return "log in with what `openstack token issue -f value -c id` prints"

    def headers(self) -> dict[str, str]:
        return dict(self._session.get_auth_headers() or {})

    def network_options(self, network: str) -> list[str]:
        return [
            "--provider-network-type",
            "flat",
            "--provider-physical-network",
            PHYSICAL_NETWORKS[network],
        ]

    def add_client(self, name: str, network: str, network_id: str, *addresses: str) -> str:
        self._machines[name] = machine = Machine(f"{self.namespace}-{name}")
        self._switches[network].cable(name[:15], machine, "eth0", bridge="switch")
        machine.configure("eth0", *addresses)
        return machine.namespace

    def remove_clients(self) -> None:
        for machine in self._machines.values():
            machine.remove()
        self._machines.clear()

    def remove(self) -> None:
        """As ever, and the wires."""
        try:
            super().remove()
        finally:
            for network, switch in self._switches.items():
                switch.remove()
                names = [self._interface(network)]
                namespaces.here(partial(links.delete, names=names))

    def leftovers(self) -> dict[str, list[str]]:
        """On this machine, and the ports of share servers in Neutron."""
        return super().leftovers() | {"ports": self.ports()}

    def ports(self) -> list[str]:
        """The addresses of the share servers' ports in Neutron."""
        found: list[dict[str, Any]] = self._neutron.get(
            "/ports", params={"device_owner": LISTED}
        ).json()["ports"]
        return sorted(fixed["ip_address"] for port in found for fixed in port["fixed_ips"])

    def _interface(self, network: str) -> str:
        """The interface of this machine that the physical network is reached by."""
        return links.short_name("ad", self.namespace, network)


def start(play: Play) -> None:
    """Keystone and Neutron run; Abaca starts beside them: tokens, Neutron's networks, the Linux
    back end with wires to two physical networks."""
    demo_steps.start(play)


def make(play: Play) -> None:
    """Two flat networks in Neutron, a share network on an IPv4 and an IPv6 subnet, a share with
    access rules, two export locations."""
    demo_steps.make(play)


def remove_subnet_in_use(play: Play) -> None:
    """The client of a subnet is named and leaves; the subnet is removed while a client on another
    one keeps writing and reading. Its port in Neutron goes, too."""
    before = play.scene.leftovers()["ports"]
    play.require(len(before) == 4, f"Neutron has a port for each address: {' '.join(before)}")
    gone = play.location(4, 1).split(":", 1)[0]
    demo_steps.remove_subnet_in_use(play)
    ports = play.scene.leftovers()["ports"]
    play.require(
        ports == [address for address in before if address != gone],
        f"Neutron has no port for {gone} any more, and the others: {' '.join(ports)}",
    )


def delete(play: Play) -> None:
    """Everything is deleted again, in Neutron too, and nothing is left."""
    demo_steps.delete(play)


STEPS = (
    start,
    make,
    demo_steps.use_within_rules,
    demo_steps.add_subnet_in_use,
    remove_subnet_in_use,
    delete,
)


@contextmanager
def neighbours(
    folder: Path, keystone_template: Path, make_neutron_template: Callable[[], Path]
) -> Iterator[Keystone]:
    """A Keystone and a Neutron of one's own, running; known to each other."""
    with ExitStack() as stack:
        keystone = Keystone(keystone_template, folder / "keystone")
        stack.callback(keystone.stop)
        keystone.start()
        neutron = Neutron(make_neutron_template(), folder / "neutron", keystone)
        stack.callback(neutron.stop)
        neutron.start()
        yield keystone


def main() -> int:
    lacking = process.missing()
    with tempfile.TemporaryDirectory(prefix="abaca-openstack-") as text:
        folder = Path(text)
        with ExitStack() as stack:

            def scene(say: Callable[[str], None]) -> Scene:
                say("Keystone and Neutron are made and started: half a minute or more")
                template = keystone_module.make_template(folder / "keystone-template")
                keystone = stack.enter_context(
                    neighbours(
                        folder,
                        template,
                        lambda: neutron_module.make_template(folder / "neutron-template"),
                    )
                )
                return OpenstackScene(say, keystone)

            return demo.run("--keep" in sys.argv[1:], scene, STEPS, [lacking] if lacking else [])


if __name__ == "__main__":
    sys.exit(main())
