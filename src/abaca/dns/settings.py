"""Where the configuration wants names published."""

from __future__ import annotations

from pathlib import Path

from oslo_config import cfg

from abaca.addresses import Network, plain_network
from abaca.dns.dynamic_updates import Primary
from abaca.dns.zone_file import ZoneFile


def zone_file(conf: cfg.ConfigOpts) -> ZoneFile | None:
    """The zone file that is to be written; None: none is."""
    dns = conf.dns
    if not dns.domain or not dns.zone_file:
        return None
    return ZoneFile(
        path=Path(dns.zone_file),
        domain=dns.domain,
        ttl=dns.ttl,
        nameservers=tuple(dns.nameservers),
        hostmaster=dns.hostmaster or f"hostmaster.{dns.domain}",
    )


def primary(conf: cfg.ConfigOpts) -> Primary | None:
    """The server that is to be updated; None: none is."""
    dns = conf.dns
    if not dns.domain or not dns.server:
        return None
    return Primary(
        address=str(dns.server),
        port=dns.port,
        key_file=Path(dns.key_file),
        zone=dns.zone or dns.domain,
        domain=dns.domain,
        ttl=dns.ttl,
        owner=dns.owner,
    )


def networks(conf: cfg.ConfigOpts) -> list[Network]:
    """The addresses that are published. Raises cfg.Error."""
    found = []
    for text in conf.dns.networks:
        try:
            found.append(plain_network(text))
        except ValueError as error:
            raise cfg.Error(f"[dns] networks: {error}.") from error
    return found


def refuse_invalid(conf: cfg.ConfigOpts) -> None:
    """Raises cfg.Error for options that make no sense together."""
    dns = conf.dns
    networks(conf)
    if not dns.domain:
        if lone := [name for name in ("zone_file", "server") if dns[name]]:
            raise cfg.Error(f"[dns] {lone[0]} is set, but not domain: which names are meant?")
        return
    if not dns.zone_file and not dns.server:
        raise cfg.Error("[dns] domain is set, but neither zone_file nor server: names go nowhere.")
    if dns.zone_file and not dns.nameservers:
        raise cfg.Error("[dns] zone_file needs nameservers: a zone names its servers.")
    if dns.server and not dns.key_file:
        raise cfg.Error("[dns] server needs key_file: updates are signed.")
    zone = dns.zone or dns.domain
    if dns.domain != zone and not dns.domain.endswith(f".{zone}"):
        raise cfg.Error(f"[dns] domain = {dns.domain} is not in zone = {zone}.")
