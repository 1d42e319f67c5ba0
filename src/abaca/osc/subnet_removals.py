"""`openstack share network subnet removal …`: a subnet of share servers in use drains, and leaves
them."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from osc_lib.command import command

from abaca.osc import requests


def _with_subnet(parser: ArgumentParser) -> ArgumentParser:
    parser.add_argument("share_network", metavar="<share-network>", help="Name or ID")
    parser.add_argument(
        "share_network_subnet", metavar="<share-network-subnet>", help="Share network subnet (ID)"
    )
    return parser


def _url(client_manager: Any, parsed_args: Namespace, what: str) -> str:
    network = requests.share_network_id(client_manager, parsed_args.share_network)
    return f"/share-networks/{network}/subnets/{parsed_args.share_network_subnet}/{what}"


def _columns(row: dict[str, Any]) -> tuple[list[str], list[Any]]:
    return sorted(row), [row[name] for name in sorted(row)]


class SetSubnetRemoval(command.ShowOne):
    """Let a subnet drain before it is removed from the share servers in use"""

    def get_parser(self, prog_name: str) -> ArgumentParser:
        parser = _with_subnet(super().get_parser(prog_name))
        parser.add_argument(
            "--deadline",
            type=int,
            metavar="<seconds>",
            help="How long the subnet drains (default: a day)",
        )
        parser.add_argument(
            "--at-deadline",
            choices=["cancel", "force"],
            help="Then cancel the drain (the default), or remove the subnet even if clients are "
            "connected",
        )
        return parser

    def take_action(self, parsed_args: Namespace) -> Any:
        wanted = {"deadline": parsed_args.deadline, "at_deadline": parsed_args.at_deadline}
        body = {name: value for name, value in wanted.items() if value is not None}
        manager = self.app.client_manager
        return _columns(
            requests.put(manager, _url(manager, parsed_args, "removal"), body)["removal"]
        )


class ShowSubnetRemoval(command.ShowOne):
    """Show the drain of a subnet, and how many clients are still connected there"""

    def get_parser(self, prog_name: str) -> ArgumentParser:
        return _with_subnet(super().get_parser(prog_name))

    def take_action(self, parsed_args: Namespace) -> Any:
        manager = self.app.client_manager
        return _columns(requests.get(manager, _url(manager, parsed_args, "removal"))["removal"])


class UnsetSubnetRemoval(command.Command):
    """Cancel the drain of a subnet"""

    def get_parser(self, prog_name: str) -> ArgumentParser:
        return _with_subnet(super().get_parser(prog_name))

    def take_action(self, parsed_args: Namespace) -> None:
        manager: Any = self.app.client_manager
        manager.share.client.delete(_url(manager, parsed_args, "removal"))


class CheckSubnetRemoval(command.ShowOne):
    """Ask whether a subnet can be removed, and what that would cut (Admin only)"""

    def get_parser(self, prog_name: str) -> ArgumentParser:
        parser = _with_subnet(super().get_parser(prog_name))
        parser.add_argument("--reset", action="store_true", help="Ask the back ends anew")
        return parser

    def take_action(self, parsed_args: Namespace) -> Any:
        manager = self.app.client_manager
        body = {"share_network_subnet_delete_check": {"reset_operation": parsed_args.reset}}
        return _columns(requests.post(manager, _url(manager, parsed_args, "action"), body))


class ForceSubnetRemoval(command.Command):
    """Remove a subnet, whoever is connected there (Admin only)"""

    def get_parser(self, prog_name: str) -> ArgumentParser:
        return _with_subnet(super().get_parser(prog_name))

    def take_action(self, parsed_args: Namespace) -> None:
        manager = self.app.client_manager
        requests.post(manager, _url(manager, parsed_args, "action"), {"force_delete": None})
