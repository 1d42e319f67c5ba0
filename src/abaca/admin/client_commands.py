"""`abaca client add | remove`: stand-ins for a tenant's machines, to try shares from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_interface
from typing import Any

import click
from oslo_config import cfg

from abaca.admin.settings import Settings, common_options
from abaca.errors import Invalid

# Namespaces of Abaca's own, which must never be taken for clients, begin with `abaca`; those of
# share servers have a dot.
NAME = re.compile(r"(?!abaca)[A-Za-z0-9][A-Za-z0-9_-]{0,31}")


@click.group("client")
def commands() -> None:
    """Clients to try shares from: network namespaces of this machine, on local networks.

    \b
    Example:
      abaca client add laptop --network blue --address 10.20.0.200/24
      ip netns exec laptop ping 10.20.0.16
    """


@commands.command("add")
@click.argument("name")
@click.option("--network", required=True, help="Name or id of a local network.")
@click.option(
    "--address",
    "addresses",
    required=True,
    multiple=True,
    help="With its prefix length; may be repeated. Choose one that no share server has.",
)
@common_options
def add_command(settings: Settings, name: str, network: str, addresses: tuple[str, ...]) -> None:
    """Put the network namespace NAME on a network; it is made when it is not there.

    May be repeated, for other networks, too. Needs root, and the default back end of `abaca serve`.

    \b
    Example:
      abaca client add laptop --network blue --address 10.20.0.200/24 --address fd00:20::200/64
    """
    from abaca.drivers.linux.clients import attach_client

    with _namespace(settings, name) as (conf, prefix):
        found = _network(conf, network)
        checked = [*map(_checked, addresses)]
        _store(conf, name, found["id"], checked)
        attach_client(prefix, found["id"], name, checked, mtu=found["mtu"])
        _announce(conf)
    click.echo(f"The network namespace {name} is on {network}, with {', '.join(addresses)}.")


@commands.command("remove")
@click.argument("name")
@common_options
def remove_command(settings: Settings, name: str) -> None:
    """Remove the network namespace NAME with its interfaces. Nothing there is no error.

    \b
    Example:
      abaca client remove laptop
    """
    from abaca.drivers.linux.clients import detach_client

    with _namespace(settings, name) as (conf, prefix):
        detach_client(name, prefix)
        _forget(conf, name)


@contextmanager
def _namespace(settings: Settings, name: str) -> Iterator[tuple[cfg.ConfigOpts, str]]:
    """The configuration, and the namespace that holds the bridges; errors are printed."""
    from abaca.admin.users import failing_clearly
    from abaca.worker.backends import network_namespace

    with failing_clearly():
        if not NAME.fullmatch(name):
            raise Invalid(
                f"'{name}' cannot be a client's name: at most 32 letters, digits, '-' and '_',"
                " and not beginning with 'abaca', as Abaca's own namespaces do."
            )
        conf = settings.load()
        yield conf, network_namespace(conf)


def _network(conf: cfg.ConfigOpts, name_or_id: str) -> dict[str, Any]:
    """The local network of that name or id."""
    from abaca.admin.database import local_network, reading

    with reading(conf) as conn:
        return local_network(conn, name_or_id)


def _store(conf: cfg.ConfigOpts, name: str, network_id: str, addresses: Sequence[str]) -> None:
    """Have other hosts, where there are tunnels to them, send to the machine."""
    from abaca.admin.database import writing
    from abaca.domain.local_networks import local_machines
    from abaca.drivers.linux.clients import machine_mac

    if conf.worker.tunnel_address:
        with writing(conf) as conn:
            local_machines.put(
                conn,
                network_id=network_id,
                host=conf.host,
                name=name,
                mac_address=machine_mac(name, network_id),
                ip_addresses=[str(ip_interface(address).ip) for address in addresses],
            )


def _announce(conf: cfg.ConfigOpts) -> None:
    """The machine is there now."""
    from abaca.admin.database import writing
    from abaca.domain.local_networks import forwarding

    if conf.worker.tunnel_address:
        with writing(conf) as conn:
            forwarding.changed(conn)


def _forget(conf: cfg.ConfigOpts, name: str) -> None:
    from abaca.admin.database import writing
    from abaca.domain.local_networks import local_machines

    if conf.worker.tunnel_address:
        with writing(conf) as conn:
            local_machines.remove(conn, host=conf.host, name=name)


def _checked(address: str) -> str:
    try:
        return str(ip_interface(address))
    except ValueError as error:
        raise Invalid(
            f"--address {address}: an address with its prefix length is expected,"
            " such as 10.20.0.200/24."
        ) from error
