"""A host for the Linux back end with machines around it, and servers on networks that are theirs,
too."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from abaca.drivers.linux import namespaces
from abaca.drivers.linux.driver import LinuxDriver
from abaca.drivers.linux.wires.interface import Segment
from abaca.values import NetworkInfo, Share, ShareServer
from tests.contracts.drivers.linux_site import CLIENT, Site
from tests.contracts.drivers.wired_hosts import Machine

OPTIONS = {
    "physical_networks": "physnet1:ext, physnet2:nic",
    "vxlan_local_address": "198.18.0.1",
    "vxlan_remotes": "198.18.0.2",
}
FLAT, NIC = Segment("flat", None, "physnet1"), Segment("flat", None, "physnet2")
VNI = 5000
VXLAN = Segment("vxlan", VNI)
TUNNEL_MTU = 1450
SERVER, SERVER4, SERVER6 = "10.0.0.5", "10.0.0.5/24", "fd00::5/64"


class Neighbourhood:
    """The host, a machine on the host's bridge `ext`, one at the other end of its interface `nic`,
    and one behind another host's tunnel.

    `namespace`: of the installation, by which the machines are called.
    """

    def __init__(self, namespace: str) -> None:
        self.host, self.near, self.apart, self.remote, self.far = (
            Machine(f"{namespace}-{name}") for name in ("host", "near", "apart", "remote", "far")
        )
        self.host.bridge("ext")
        self.host.cable("tap", self.near, "eth0", bridge="ext")
        self.host.cable("nic", self.apart, "eth0")
        self.host.cable("tun", self.remote, "tun")
        self.host.configure("tun", "198.18.0.1/24", "fd00:198::1/64")
        self.remote.configure("tun", "198.18.0.2/24", "fd00:198::2/64")
        for machine in (self.near, self.apart):
            machine.configure("eth0", *CLIENT)

    def tunnel(self, **more: str | int) -> None:
        """Put `far` behind the tunnel of VNI; other ends than before, when it already is."""
        namespaces.inside(
            self.far.namespace,
            lambda links: [
                links.link("del", index=found) for found in links.link_lookup(ifname="vx")
            ],
        )
        self.remote.tunnel_end(
            self.far, "vx", vxlan_id=VNI, vxlan_port=4789, mtu=TUNNEL_MTU, **more
        )
        self.far.configure("vx", *CLIENT)

    def remove(self) -> None:
        for machine in (self.host, self.near, self.apart, self.remote, self.far):
            machine.remove()


class Town(Neighbourhood):
    """With a back end on the host."""

    def __init__(self, driver: LinuxDriver) -> None:
        super().__init__(driver.layout.namespace)
        self.driver = driver


def entries(
    site: Site,
    server_id: str,
    segment: Segment,
    mtu: int = 1500,
    at: Sequence[str] = (SERVER4, SERVER6),
    mac: str | None = None,
) -> list[NetworkInfo]:
    """Subnets of one network that is such a segment, with the server's addresses there; all on one
    port, if `mac` is given."""
    made = [site.entry(server_id, f"net {segment}", address, mtu=mtu, mac=mac) for address in at]
    return [
        msgspec.structs.replace(
            entry, subnet=msgspec.structs.replace(entry.subnet, **segment._asdict())
        )
        for entry in made
    ]


def serving(town: Town, site: Site, infos: list[NetworkInfo]) -> ShareServer:
    """A server on these subnets."""
    return town.host.do(lambda: site.set_up(infos[0].server_id, infos))


def served(town: Town, site: Site, infos: list[NetworkInfo]) -> tuple[ShareServer, Share]:
    """A server on these subnets with a share."""
    server = serving(town, site, infos)
    return server, town.host.do(lambda: site.share(server))
