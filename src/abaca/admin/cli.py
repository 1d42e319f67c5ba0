"""The command `abaca`. Each command is in a module of its own, which is imported when the command
is run: `--help` answers at once."""

from __future__ import annotations

import os
import signal
from functools import partial
from importlib.metadata import version
from threading import Thread

import click

from abaca.admin import (
    client_commands,
    config_commands,
    logs,
    state_dir,
    tls_commands,
    token_commands,
    users,
)
from abaca.admin.backup_commands import backup, restore
from abaca.admin.settings import Depth, Settings, address_options, common_options

_until_stdin_closes = click.option("--until-stdin-closes", is_flag=True, hidden=True)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(version("abaca"), prog_name="abaca")
def main() -> None:
    """Abaca: shared file systems for tenants' networks, over the OpenStack Manila API.

    \b
    To begin with:
      abaca doctor     what does this machine lack?
      abaca config check   is the configuration right?
      abaca serve      start everything; prints how to log in
      abaca demo       show the main job end to end, then clean up
    """
    # no Python that is started from here imports from whatever folder this was called in
    os.environ["PYTHONSAFEPATH"] = "1"
    logs.guard_terminal()


@main.command()
@address_options
@common_options
def serve(settings: Settings) -> None:
    """Start everything: the API and a worker, kept running until SIGTERM or Ctrl-C.

    No configuration is needed. The first start makes the state directory and the user `admin`,
    shows its password on a terminal, and writes a clouds.yaml for the `openstack` command. Beyond
    loopback it makes a certificate, too (`abaca tls show`). As root,
    with what `abaca doctor` asks for, shares are served by real file servers in network namespaces;
    otherwise the fake back end serves, with a warning.

    \b
    Examples:
      abaca serve
      abaca serve --state-dir /srv/abaca --port 9000
      abaca serve --listen ::
    """
    from abaca.admin.serve import run

    run(settings)


@main.command()
@common_options
def init(settings: Settings) -> None:
    """Make what API and worker need to start apart: the state directory, the tables, the key and,
    the first time, the user `admin`. `abaca serve` does so by itself.

    May be repeated: what is there stays, and tables are brought up to this release. The password of
    `admin` is shown on a terminal only; it is in the clouds.yaml of the state directory, too.

    \b
    Examples:
      abaca init
      abaca init --config-file /etc/abaca/abaca.conf --state-dir /srv/abaca
    """
    from abaca.admin.init import run

    run(settings)


@main.command()
@address_options
@common_options
@_until_stdin_closes
def api(settings: Settings, until_stdin_closes: bool) -> None:
    """Run the API alone. Started by root, it changes to the user of `[api] user` before it answers
    anything.

    The state directory must be there (`abaca init`), and a worker somewhere must do the
    work.

    \b
    Example:
      abaca api --config-file /etc/abaca/abaca.conf
    """
    from abaca.api.server import serve as serve_api

    conf = settings.load(Depth.API, is_quiet=until_stdin_closes)
    logs.set_up("api", conf.log_level)
    _end_with_parent(until_stdin_closes)
    signal.signal(signal.SIGHUP, lambda *_: None)  # until the API serves and has its own handler
    with users.failing_clearly():
        state_dir.refuse_unfinished_restore(conf)
        held = state_dir.hold_api_lock(conf)
        try:
            serve_api(conf)
        finally:
            os.close(held)


@main.command()
@address_options
@common_options
@_until_stdin_closes
def worker(settings: Settings, until_stdin_closes: bool) -> None:
    """Run a worker alone: it carries out what the API accepted, on the back ends of this host. One
    worker a host.

    \b
    Example:
      abaca worker --config-file /etc/abaca/abaca.conf
    """
    from abaca.worker.process import run

    conf = settings.load(Depth.SERVICE, is_quiet=until_stdin_closes)
    logs.set_up("worker", conf.log_level)
    _end_with_parent(until_stdin_closes)
    with users.failing_clearly():
        state_dir.refuse_unfinished_restore(conf)
        run(conf)


@main.command()
@click.option("--network", help="Name or id of a network: say why its clients reach no share.")
@click.option("--client", help="Address of a client on that network, or behind its router.")
@click.option("--share", help="Name or id of the share that it wants.  [default: all]")
@address_options
@common_options
def doctor(settings: Settings, network: str | None, client: str | None, share: str | None) -> None:
    """Say what this machine lacks for the Linux back end, and whether state directory, database and
    port are in order.

    With --network: whether clients of that network reach share servers and their shares, and why
    not: link, bridge, tag, port, address, route, NFS server, access rule, export. Run it on the
    machine that has the share server, as root.

    Changes nothing. The exit status is 0 when nothing is missing, or wrong, else 1.

    \b
    Examples:
      abaca doctor --state-dir /srv/abaca
      abaca doctor --network office --client 192.0.2.30 --share papers
    """
    if network is None:
        if client or share:
            raise click.UsageError("--client and --share go with --network.")
        from abaca.admin.doctor import run

        raise SystemExit(run(settings))
    from abaca.admin import doctor_network

    raise SystemExit(doctor_network.run(settings, doctor_network.asked(network, client, share)))


@main.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON, with all that needs attention.")
@address_options
@common_options
def status(settings: Settings, as_json: bool) -> None:
    """Say how the installation is: what runs on this machine, the back ends with their servers,
    shares and room, the work, and what needs attention, with the command to run next.

    The exit status is 0 when all is well, 1 when something needs attention, 2 when it cannot be
    told: the configuration is wrong, or the database does not answer.

    \b
    Examples:
      abaca status
      abaca status --json
      abaca status --port 9000   (of `abaca serve --port 9000`)
    """
    from abaca.admin.status import run

    raise SystemExit(run(settings, as_json))


@main.command()
@click.option(
    "--keep",
    is_flag=True,
    help="Leave everything running before the clean-up, until Ctrl-C, to look around.",
)
@click.option(
    "--ipv6-only",
    is_flag=True,
    help="Have the API listen on ::1 and all subnets IPv6 only.",
)
def demo(keep: bool, ipv6_only: bool) -> None:
    """Show the main job end to end on this machine: a share on several subnets over IPv4 and IPv6,
    and a subnet added while a client writes.

    Uses a state directory, a port and network namespaces of its own, and takes everything away
    again. Needs root; the exit status is 2 when something is missing, 1 when a step fails.

    \b
    Examples:
      abaca demo
      abaca demo --keep
      abaca demo --ipv6-only
    """
    from abaca.admin.demo import run
    from abaca.admin.demo_scene import Scene

    # the environment counts, as for the service that it starts
    Settings((os.devnull,), (), None, False).load(Depth.SERVICE)
    if ipv6_only:
        raise SystemExit(run(keep, partial(Scene, listen="::1"), families=(6,)))
    raise SystemExit(run(keep))


@main.command()
@click.option("--data", is_flag=True, help="Delete the data of all shares and snapshots, too.")
@click.option("--state", is_flag=True, help="Delete database, users and keys, too.")
@click.option("--dry-run", is_flag=True, help="Only show what would be removed.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print what was removed as JSON.")
@common_options
def uninstall(settings: Settings, **wanted: bool) -> None:
    """Take away what Abaca made on this machine: NFS servers, network namespaces, packet filters,
    mounts, loop devices. Shares keep their data, and the next start serves them again.

    With --data shares are deleted, with --state also the state directory. Stop Abaca first. What is
    about to go is shown, and asked for. When it is interrupted, run it again. A database in
    PostgreSQL, ports in Neutron, names in DNS, the audit file and /etc/abaca are left to you.

    \b
    Examples:
      abaca uninstall --dry-run
      abaca uninstall
      abaca uninstall --data --state
    """
    from abaca.admin.uninstall import run

    run(settings, **wanted)


main.add_command(backup)
main.add_command(client_commands.commands)
main.add_command(restore)
main.add_command(tls_commands.commands)
main.add_command(token_commands.commands)
main.add_command(users.commands)
main.add_command(config_commands.commands)


def _end_with_parent(wanted: bool) -> None:
    if wanted:
        from abaca.admin.serve import stop_when_input_ends

        Thread(
            target=stop_when_input_ends,
            args=(lambda: os.kill(os.getpid(), signal.SIGTERM),),
            name="parent",
            daemon=True,
        ).start()


if __name__ == "__main__":
    main()
