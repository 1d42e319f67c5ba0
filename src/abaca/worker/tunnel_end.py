"""This host's end of the tunnels to other hosts, as its options say, and its registration."""

from __future__ import annotations

from ipaddress import ip_interface

from oslo_config import cfg
from sqlalchemy.engine import Engine

from abaca.db.session import begin
from abaca.domain.services import hosts
from abaca.drivers.linux.wires.wiring import underlay
from abaca.errors import Refused, Unavailable
from abaca.values import TunnelEnd


def of(conf: cfg.ConfigOpts) -> TunnelEnd | None:
    """None: this host has none. Raises Unavailable for an address that makes no sense."""
    text = conf.worker.tunnel_address
    if not text:
        return None
    try:
        address = ip_interface(text)
    except ValueError as error:
        raise Unavailable(f"option tunnel_address: {error}") from error
    ip = address.ip
    if ip.is_multicast or ip.is_unspecified or ip.is_loopback or ip.is_link_local:
        raise Unavailable(f"option tunnel_address: {ip} is not an address that other hosts reach")
    if not address.network.prefixlen:
        raise Unavailable(
            "option tunnel_address: its prefix length is that of the network which all hosts are "
            "in, not 0"
        )
    return TunnelEnd(address=str(address), port=conf.worker.tunnel_port)


def register(engine: Engine, host: str, end: TunnelEnd | None) -> None:
    """Have other hosts know this one. Raises Unavailable when this machine has no such address, and
    Conflict when it does not go with those of other hosts."""
    with begin(engine) as conn:
        if end is None:
            hosts.register(conn, host)
            return
        address = ip_interface(end.address).ip
        try:
            mtu = underlay(address, "tunnel_address").mtu
        except Refused as refused:
            raise Unavailable(refused.message) from refused
        hosts.register(
            conn, host, tunnel_address=str(address), tunnel_port=end.port, underlay_mtu=mtu
        )
