"""`openstack share client list`, `openstack share server client list`: who is connected."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from typing import Any

from osc_lib.command import command

from abaca.osc import requests

COLUMNS = {
    "Client": "address",
    "Server Address": "server_address",
    "Subnet ID": "share_network_subnet_id",
    "Protocol": "protocol",
    "Version": "protocol_version",
    "Last Active At": "last_active_at",
    "Open Files": "open_files",
    "Locks": "locks",
    "Routed": "is_routed",
}
MASKED = "(masked)"


class _ListClients(command.Lister):
    def _listed(self, path: str) -> tuple[Iterable[str], Iterable[tuple[Any, ...]]]:
        answer = requests.get(self.app.client_manager, path)
        if not answer["is_complete"]:
            self.app.stderr.write("There may be more clients than these.\n")
        return list(COLUMNS), [_row(client) for client in answer["clients"]]


class ListShareClients(_ListClients):
    """List the clients that are connected to a share"""

    def get_parser(self, prog_name: str) -> ArgumentParser:
        parser: ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("share", metavar="<share>", help="Share (name or ID)")
        return parser

    def take_action(self, parsed_args: Namespace) -> Any:
        share_id = requests.share_id(self.app.client_manager, parsed_args.share)
        return self._listed(f"/shares/{share_id}/clients")


class ListShareServerClients(_ListClients):
    """List the clients that are connected to a share server (Admin only)"""

    def get_parser(self, prog_name: str) -> ArgumentParser:
        parser: ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("share_server", metavar="<share-server>", help="Share server (ID)")
        return parser

    def take_action(self, parsed_args: Namespace) -> Any:
        return self._listed(f"/share-servers/{parsed_args.share_server}/clients")


def _row(client: dict[str, Any]) -> tuple[Any, ...]:
    shown = {**client, "address": MASKED if client["is_address_masked"] else client["address"]}
    return tuple(shown[name] for name in COLUMNS.values())
