"""`abaca-manage share_server …`: capabilities of share servers, and the two ways out of a failed
addition of a subnet."""

from __future__ import annotations

from typing import Any

import click

from abaca.admin.database import reading, table, writing
from abaca.admin.settings import Settings, common_options
from abaca.domain.network_changes import share_server_repairs
from abaca.domain.share_servers import share_servers
from abaca.values import Page


@click.group("share_server")
def share_server() -> None:
    """Share servers.

    \b
    Example:
      abaca-manage share_server list
    """


@share_server.command("list")
@common_options
def list_share_servers(settings: Settings) -> None:
    """List all share servers: where they are, what is wrong with them, and what they support.

    \b
    Example:
      abaca-manage share_server list
    """
    with reading(settings.load()) as conn:
        found = share_servers.find(conn, {}, Page())
    rows = [
        [
            view["id"],
            view["host"],
            _stands_on(view),
            view["status"],
            str(len(view["share_network_subnet_ids"])),
            str(view["network_allocation_update_support"]),
            str(view["share_server_subnet_removal_support"]),
            str(view["security_service_update_support"]),
            view["status_reason"] or view["move_reason"] or "-",
        ]
        for view in found
    ]
    click.echo(
        table(
            [
                "Id",
                "Host",
                "Stands on",
                "Status",
                "Subnets",
                "Network update",
                "Subnet removal",
                "Security service update",
                "Reason",
            ],
            rows,
        )
    )


@share_server.command("update_share_server_capabilities")
@click.option(
    "--share_servers", "ids", required=True, help="Ids of share servers, separated by commas."
)
@click.option(
    "--capabilities",
    required=True,
    help=f"Separated by commas: {', '.join(share_server_repairs.CAPABILITIES)}.",
)
@click.option("--value", required=True, type=click.BOOL, help="true or false.")
@click.option(
    "--check-driver", is_flag=True, help="Refuse to set what the back end does not report."
)
@common_options
def update_share_server_capabilities(
    settings: Settings, ids: str, capabilities: str, value: bool, check_driver: bool
) -> None:
    """Set capabilities of share servers, for example after an upgrade, when their driver has learnt
    to change networks.

    \b
    Example:
      abaca-manage share_server update_share_server_capabilities --share_servers 6f1c… \\
        --capabilities network_allocation_update_support --value true --check-driver
    """
    servers, names = _parts(ids), _parts(capabilities)
    with writing(settings.load()) as conn:
        share_server_repairs.update_capabilities(
            conn, servers, names, value, check_driver=check_driver
        )
    click.echo(f"{', '.join(names)} of {len(servers)} share servers: {value}.")


@share_server.command("retry_network_update")
@click.argument("share_server_id")
@common_options
def retry_network_update(settings: Settings, share_server_id: str) -> None:
    """Try again to give a share server in error its addresses on the subnet that it could not be
    given.

    \b
    Example:
      abaca-manage share_server retry_network_update 6f1c2d0e-5b7a-4c3e-9a51-0d2f6b8e7c14
    """
    with writing(settings.load()) as conn:
        share_server_repairs.retry_network_update(conn, share_server_id)
    click.echo(
        "The addition is retried; the share network is in network_change until it has ended."
    )


@share_server.command("abandon_network_update")
@click.argument("share_server_id")
@common_options
def abandon_network_update(settings: Settings, share_server_id: str) -> None:
    """Give the addition of a subnet up for a share server in error: it serves its old subnets as
    before.

    \b
    Example:
      abaca-manage share_server abandon_network_update 6f1c2d0e-5b7a-4c3e-9a51-0d2f6b8e7c14
    """
    with writing(settings.load()) as conn:
        share_server_repairs.abandon_network_update(conn, share_server_id)
    click.echo(
        "The addition is undone; the share network is in network_change until that has ended."
    )


def _stands_on(view: dict[str, Any]) -> str:
    """Of a back end that several hosts serve."""
    return f"{view['worker_host'] or '-'}{' (moving)' if view['is_moving'] else ''}"


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
