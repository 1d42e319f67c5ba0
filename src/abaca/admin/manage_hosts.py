"""`abaca-manage host …`: worker hosts, and which of them get new shares."""

from __future__ import annotations

import click

from abaca.admin.database import reading, table, writing
from abaca.admin.settings import Settings, common_options
from abaca.domain.server_moves import rebalancing, share_server_moves
from abaca.domain.services import hosts


@click.group("host")
def host() -> None:
    """Worker hosts: each serves its back ends, and may reach the others by tunnels.

    \b
    Example:
      abaca-manage host list
    """


@host.command("list")
@common_options
def list_hosts(settings: Settings) -> None:
    """List the hosts: whether they take shares, and by which address others reach them.

    \b
    Example:
      abaca-manage host list
    """
    with reading(settings.load()) as conn:
        found = hosts.find(conn)
    rows = [
        [
            view["name"],
            view["state"],
            view["tunnel_address"] or "-",
            str(view["back_ends"]),
            str(view["share_servers"]),
            view["state_reason"] or view["failover_refusal"] or view["unreached"] or "-",
        ]
        for view in found
    ]
    head = ["Host", "State", "Tunnel address", "Back ends", "Share servers", "Reason"]
    click.echo(table(head, rows))


@host.command("show")
@click.argument("name")
@common_options
def show(settings: Settings, name: str) -> None:
    """Show one host, and what could not be connected with the others.

    \b
    Example:
      abaca-manage host show store-1
    """
    with reading(settings.load()) as conn:
        view = hosts.get(conn, name)
    shown = (
        "name",
        "state",
        "state_reason",
        "failover_refusal",
        "failed_over_at",
        "tunnel_address",
        "tunnel_port",
        "underlay_mtu",
        "unreached",
        "back_ends",
        "share_servers",
        "created_at",
    )
    rows = [[field, "-" if view[field] is None else str(view[field])] for field in shown]
    click.echo(table(["Field", "Value"], rows))


@host.command("drain")
@click.argument("name")
@click.option("--reason", help="Why, for others who look.")
@common_options
def drain(settings: Settings, name: str, reason: str | None) -> None:
    """Put no new shares on the host NAME, and have its share servers go to others. One whose data
    are on this host only, on btrfs, stays, and is served as before.

    \b
    Example:
      abaca-manage host drain store-1 --reason "new disks on Friday"
    """
    with writing(settings.load()) as conn:
        moves = share_server_moves.drain(conn, name, reason)
        state = hosts.get(conn, name)["stored_state"]
    _tell(name, state, moves)


@host.command("evacuate")
@click.argument("name")
@click.option("--reason", help="Why, for others who look.")
@common_options
def evacuate(settings: Settings, name: str, reason: str | None) -> None:
    """Have others take the share servers of the host NAME over, which is gone: it is fenced, and
    what may still run there is shut out from its data. One whose data are on that host only, on
    btrfs, stays. May be repeated.

    \b
    Example:
      abaca-manage host evacuate store-1 --reason "its power supply has burnt"
    """
    with writing(settings.load()) as conn:
        moves = share_server_moves.evacuate(conn, name, reason)
    _tell(name, "fenced", moves)


@host.command("rebalance")
@click.option("--dry-run", is_flag=True, help="Only say what would move.")
@click.option(
    "--at-once",
    type=click.IntRange(1, 1000),
    default=4,
    show_default=True,
    help="Most share servers that move at once.",
)
@common_options
def rebalance(settings: Settings, dry_run: bool, at_once: int) -> None:
    """Have share servers go from hosts that have most to those that have fewest, of back ends that
    several hosts serve: after a host was added, or is enabled again. Clients of each wait while it
    moves. Repeat the command until it says that nothing moves.

    \b
    Example:
      abaca-manage host rebalance --dry-run
    """
    conf = settings.load()
    if dry_run:
        with reading(conf) as conn:
            plan = rebalancing.plan(conn, at_once)
    else:
        with writing(conf) as conn:
            plan = rebalancing.rebalance(conn, at_once)
    if plan.going:
        rows = [[id_, source, target] for id_, (source, target) in plan.going.items()]
        click.echo(table(["Share server", "From", "To"], rows))
    if plan.waiting:
        click.echo(f"{plan.waiting} more wait until others stand: repeat the command then.")
    elif not plan.going:
        click.echo("Nothing moves.")


@host.command("enable")
@click.argument("name")
@common_options
def enable(settings: Settings, name: str) -> None:
    """Put new shares on the host NAME again, and connect it with the others if it was fenced.

    \b
    Example:
      abaca-manage host enable store-1
    """
    _set(settings, name, "up", None)


@host.command("fence")
@click.argument("name")
@click.option("--reason", help="Why, for others who look.")
@common_options
def fence(settings: Settings, name: str, reason: str | None) -> None:
    """Cut the host NAME off: no other host sends to it on tenants' networks, or takes anything from
    it. Its clients on the host itself are served as before.

    \b
    Example:
      abaca-manage host fence store-1 --reason "somebody was on it"
    """
    _set(settings, name, "fenced", reason)


@host.command("delete")
@click.argument("name")
@common_options
def delete(settings: Settings, name: str) -> None:
    """Forget the host NAME, which is gone for good: networks need no longer fit through its
    tunnels. Refused while its worker lives or share servers are on it.

    \b
    Example:
      abaca-manage host delete store-1
    """
    with writing(settings.load()) as conn:
        hosts.delete(conn, name)
    click.echo(f"The host {name} is forgotten.")


def _tell(name: str, state: str, moves: share_server_moves.Moves) -> None:
    click.echo(f"The host {name} is {state}.")
    rows = [[id_, f"goes to {target}"] for id_, target in moves.going.items()]
    rows += [[id_, f"stays: {why}"] for id_, why in moves.staying.items()]
    if rows:
        click.echo(table(["Share server", "What becomes of it"], rows))


def _set(settings: Settings, name: str, state: str, reason: str | None) -> None:
    with writing(settings.load()) as conn:
        hosts.set_state(conn, name, state, reason)
        view = hosts.get(conn, name)
    click.echo(f"The host {name} is {view['state']}.")
