"""A server, a share and an addition for the tests of the fake driver, and every call that can be
made about them. No tests here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from abaca.drivers.conformance import Networks
from abaca.drivers.fake import FakeDriver
from abaca.values import (
    AccessRule,
    NetworkInfoUpdate,
    SecurityService,
    Share,
    ShareServer,
    Snapshot,
)

LDAP = SecurityService(id="service-1", type="ldap", server="10.0.0.2")


@dataclass
class Scene:
    """One server on IPv4 and IPv6, a share on it, an addition, a snapshot and a share from that."""

    server: ShareServer
    share: Share
    update: NetworkInfoUpdate
    snapshot: Snapshot
    clone: Share

    def make(self, driver: FakeDriver) -> None:
        driver.setup_server(self.server.id, self.server.network_info)
        driver.create_share(self.share, self.server)

    def call(self, driver: FakeDriver, method: str) -> object:
        """Any method, with arguments that it accepts."""
        server, share, details = self.server, self.share, {"server_name": "known"}
        calls: dict[str, Callable[[], object]] = {
            "setup_server": lambda: driver.setup_server(server.id, server.network_info),
            "ensure_server": lambda: driver.ensure_server(server, [share]),
            "check_update_share_server_network_allocations": lambda: (
                driver.check_update_share_server_network_allocations(
                    self.update, details, [share], []
                )
            ),
            "update_share_server_network_allocations": lambda: (
                driver.update_share_server_network_allocations(self.update, details, [share], [])
            ),
            "check_update_share_server_security_service": lambda: (
                driver.check_update_share_server_security_service(server, [share], LDAP, None)
            ),
            "update_share_server_security_service": lambda: (
                driver.update_share_server_security_service(server, [share], LDAP, None)
            ),
            "create_share": lambda: driver.create_share(share, server),
            "extend_share": lambda: driver.extend_share(share, 2, server),
            "shrink_share": lambda: driver.shrink_share(share, 1, server),
            "update_access": lambda: driver.update_access(
                share,
                [AccessRule(id="r", access_type="ip", access_to="::", access_level="ro")],
                server,
            ),
            "create_snapshot": lambda: driver.create_snapshot(self.snapshot, server),
            "create_share_from_snapshot": lambda: driver.create_share_from_snapshot(
                self.clone, self.snapshot, server
            ),
            "revert_to_snapshot": lambda: driver.revert_to_snapshot(self.snapshot, share, server),
            "update_snapshot_access": lambda: driver.update_snapshot_access(
                self.snapshot,
                [AccessRule(id="r", access_type="ip", access_to="::", access_level="ro")],
                server,
            ),
            "get_clients": lambda: driver.get_clients(server),
            "delete_snapshot": lambda: driver.delete_snapshot(self.snapshot, server),
            "delete_share": lambda: driver.delete_share(share, server),
            "teardown_server": lambda: driver.teardown_server(server.id, {}),
            "get_pools": driver.get_pools,
            "check_for_setup_error": driver.check_for_setup_error,
        }
        return calls[method]()


METHODS = [
    "setup_server",
    "ensure_server",
    "check_update_share_server_network_allocations",
    "update_share_server_network_allocations",
    "check_update_share_server_security_service",
    "update_share_server_security_service",
    "create_share",
    "extend_share",
    "shrink_share",
    "update_access",
    "create_snapshot",
    "create_share_from_snapshot",
    "revert_to_snapshot",
    "update_snapshot_access",
    "get_clients",
    "delete_snapshot",
    "delete_share",
    "teardown_server",
]
"""Those about a server or a share, in an order in which each can be called."""


def make_scene() -> Scene:
    networks = Networks(1)
    server = ShareServer(
        id="server-1",
        network_info=[networks.entry("server-1", 0, 4), networks.entry("server-1", 0, 6)],
    )
    share = Share(
        id="instance-1",
        share_id="share-1",
        size=1,
        share_proto="NFS",
        pool="fake",
        share_server_id="server-1",
    )
    snapshot = Snapshot(
        id="snapshot-instance-1", snapshot_id="snapshot-1", share=share, size=1, is_mountable=True
    )
    clone = Share(
        id="instance-2",
        share_id="share-2",
        size=1,
        share_proto="NFS",
        pool="fake",
        share_server_id="server-1",
    )
    return Scene(
        server,
        share,
        NetworkInfoUpdate(current=server.network_info, added=[networks.entry("server-1", 1, 4)]),
        snapshot,
        clone,
    )
