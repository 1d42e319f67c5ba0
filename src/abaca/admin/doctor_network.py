"""`abaca doctor --network`: why a client on a network does or does not reach a share. What the
database says is compared with what is on this machine; neither is changed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from ipaddress import ip_address, ip_network
from typing import NamedTuple

import click
import msgspec
from oslo_config import cfg
from sqlalchemy.engine import Connection, Engine

from abaca.addresses import plain_address
from abaca.admin import doctor
from abaca.admin.database import local_network, opened
from abaca.admin.doctor import Finding
from abaca.admin.settings import Depth, Settings
from abaca.db.session import read
from abaca.domain.driver_views import network_servers
from abaca.domain.driver_views.network_servers import RuleState, ServerOn, ShareOn
from abaca.domain.local_networks.local_ports import SqlPortStore
from abaca.domain.services import services
from abaca.domain.services.condition import word
from abaca.drivers.interface import ShareDriver
from abaca.errors import BackendError
from abaca.values import Finding as Seen
from abaca.values import NetworkInfo, Subnet
from abaca.worker import backends

_Look = Callable[[], Sequence[Seen]]

_UNREADABLE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    msgspec.MsgspecError,
)
"""What reading a row raises that was written past the API."""


class Question(NamedTuple):
    """Which network, and, if it matters, from which address to which share (name or id)."""

    network: str
    client: str | None
    share: str | None


def asked(network: str, client: str | None, share: str | None) -> Question:
    """Raises UsageError for a client that is no address."""
    try:
        return Question(network, client and str(plain_address(client)), share)
    except ValueError as error:
        raise click.UsageError(f"--client: {error}.") from error


class Answer(NamedTuple):
    """What the database says. `is_up`: whether a back end's worker gives signs of life, by host.
    `unreadable`: what cannot be read, each with the reason."""

    network_id: str
    subnets: Sequence[Subnet]
    servers: Sequence[ServerOn]
    is_up: Mapping[str, bool]
    unreadable: Mapping[str, str] = {}


def run(settings: Settings, question: Question) -> int:
    """Print what was found; 0 when nothing is wrong, else 1."""
    conf = settings.load(Depth.SERVICE)
    if os.geteuid() != 0:
        raise click.ClickException("it looks into network namespaces; start it as root.")
    with opened(conf) as engine:
        answer = answered(conf, engine, question)
    drivers = {backend.host: backend.driver for backend in backends.load(conf)}
    return doctor.told([*findings(answer, drivers, question)], "wrong", "Nothing is wrong.")


def findings(
    answer: Answer, drivers: Mapping[str, ShareDriver], question: Question
) -> Iterator[Finding]:
    """The network, each of its share servers, and their shares, in this order. `drivers`: of this
    machine's back ends, by host."""
    for what, reason in answer.unreadable.items():
        yield _unreadable(f"Network {answer.network_id}", reason, what)
    yield from _of_network(answer, drivers, question.client)
    asked = [each for each in answer.servers if _has(each, question.share)]
    if answer.servers and not asked:
        group = f"Network {answer.network_id}"
        yield Finding(group, f"share {question.share}", "no share server here has such a share")
    for server in asked:
        group = f"Share server {server.id} at {server.host}"
        found = _of_server(group, server, answer.is_up, drivers.get(server.host), question)
        yield from _as_far_as_readable(group, found)


def answered(conf: cfg.ConfigOpts, engine: Engine, question: Question) -> Answer:
    """What the database says. Raises Invalid for a local network that is not there."""
    with read(engine) as conn:
        network_id = _network_id(conf, conn, question.network)
        subnets = network_servers.subnets(conn, network_id)
        servers, unreadable = _servers(conn, network_id)
        is_up = {view["host"]: view["state"] == "up" for view in services.find(conn, {})}
    if conf.network_plugin == "local":
        try:
            own = SqlPortStore(engine).find(network_id=network_id, subnet_id=None)
            subnets = [item.subnet for item in own]
        except _UNREADABLE as error:
            unreadable["local subnets"] = str(error)
    return Answer(network_id, subnets, servers, is_up, unreadable)


def _servers(conn: Connection, network_id: str) -> tuple[list[ServerOn], dict[str, str]]:
    """The share servers on a network, and what cannot be read; one by one only if that is so."""
    ids = network_servers.server_ids(conn, network_id)
    try:
        return network_servers.servers(conn, network_id, ids), {}
    except _UNREADABLE:
        found: list[ServerOn] = []
        unreadable: dict[str, str] = {}
    for id_ in ids:
        try:
            found += network_servers.servers(conn, network_id, [id_])
        except _UNREADABLE as error:
            unreadable[f"share server {id_}, or a share on it"] = str(error)
    return found, unreadable


def _network_id(conf: cfg.ConfigOpts, conn: Connection, name_or_id: str) -> str:
    if conf.network_plugin == "local":
        return str(local_network(conn, name_or_id)["id"])
    return name_or_id  # others' names are known to them only


def _of_network(
    answer: Answer, drivers: Mapping[str, ShareDriver], client: str | None
) -> Iterator[Finding]:
    group = f"Network {answer.network_id}"
    if not answer.subnets:
        yield Finding(
            group,
            "subnets",
            "no share network is on it, or it has no subnet: `openstack subnet create`, then "
            "`openstack share network create`; of networks of Neutron's, give the id",
        )
        return
    first = answer.subnets[0]
    wire = " ".join(
        str(part)
        for part in (first.network_type, first.physical_network, first.segmentation_id)
        if part is not None
    )
    yield Finding(group, "kind", note=f"{wire}, MTU {first.mtu}")
    for subnet in answer.subnets:
        router = f"router {subnet.gateway}" if subnet.gateway else "no router"
        yield Finding(group, f"subnet {subnet.cidr}", note=router)
    if client:
        yield from _as_far_as_readable(group, _place(group, answer.subnets, client))
    if answer.servers:
        return
    yield Finding(
        group,
        "share servers",
        "none has an address here: make a share network on one of these subnets, and a share on it",
    )
    bare = NetworkInfo(
        server_id="none", share_network_subnet_id="", subnet=first, network_allocations=[]
    )
    for host, driver in drivers.items():
        yield from _shown(f"{group}, from {host}", partial(driver.network_findings, bare))


def _place(group: str, subnets: Sequence[Subnet], client: str) -> Iterator[Finding]:
    """Where a client is, as seen from the network."""
    what, address = f"client {client}", ip_address(client)
    for subnet in subnets:
        try:
            is_there = address in ip_network(subnet.cidr)
        except _UNREADABLE as error:
            yield _unreadable(group, str(error), f"subnet {subnet.neutron_subnet_id}")
            continue
        if is_there:
            yield Finding(group, what, note=f"is on {subnet.cidr}")
            return
    routers = [
        subnet.gateway
        for subnet in subnets
        if subnet.gateway and subnet.ip_version == address.version
    ]
    yield Finding(
        group,
        what,
        None if routers else "is on none of these subnets, and they have no router to it",
        f"is behind the router {' or '.join(map(str, routers))}",
    )


def _of_server(
    group: str,
    server: ServerOn,
    is_up: Mapping[str, bool],
    driver: ShareDriver | None,
    question: Question,
) -> Iterator[Finding]:
    settled = server.status in ("active", "network_change")
    yield Finding(
        group,
        "share server",
        None
        if settled
        else f"it is {server.status}: `openstack share server show {word(server.id)}`",
        server.status,
    )
    alive = is_up.get(server.host, False)
    yield Finding(
        group,
        "worker",
        None if alive else f"it gives no sign of life: is `abaca serve` running on {server.host}?",
        "is up",
    )
    for info in server.coming:
        yield Finding(group, f"subnet {info.subnet.cidr}", "it is just being added, or that failed")
    for info in server.served:
        if question.client and ip_address(question.client).version != info.subnet.ip_version:
            continue
        if driver is None:
            yield Finding(group, "addresses", note="are another machine's; run this command there")
            continue
        yield from _as_far_as_readable(group, _of_addresses(server, info, driver, question))


def _of_addresses(
    server: ServerOn, info: NetworkInfo, driver: ShareDriver, question: Question
) -> Iterator[Finding]:
    """The way from the network to a share server's addresses there, and to its shares."""
    addresses = ", ".join(each.ip_address for each in info.network_allocations)
    group = f"Share server {server.id}: {addresses}, on {info.subnet.cidr}"
    if info.is_draining:
        yield Finding(
            group,
            "drain",
            "the subnet is to leave: new clients are refused, and sent to other addresses",
        )
    yield from _shown(group, lambda: driver.network_findings(info, question.client))
    for each in server.shares:
        if _is_asked(each, question.share):
            title = f"{group}: share {_name(each)}"
            found = _of_share(title, each, info, driver, question.client)
            yield from _as_far_as_readable(title, found)


def _of_share(
    group: str, on: ShareOn, info: NetworkInfo, driver: ShareDriver, client: str | None
) -> Iterator[Finding]:
    is_there = on.share.is_complete
    lack = f"it is {on.status}: `openstack share message list` says why"
    yield Finding(group, "share", None if is_there else lack, on.status)
    if client:
        yield from _rules(group, on, client)
    elif not on.rules:
        yield Finding(group, "rules", "none: nobody may use it; `openstack share access create`")
    if is_there:
        yield from _shown(group, lambda: driver.export_findings(on.share, info, client))


def _rules(group: str, on: ShareOn, client: str) -> Iterator[Finding]:
    """The rule that lets a client in: the one that names the fewest addresses; and those that
    cannot be read."""
    matching: list[tuple[int, RuleState]] = []
    for each in on.rules:
        try:
            if each.rule.access_type == "ip":
                named = ip_network(each.rule.access_to, strict=False)
                if ip_address(client) in named:
                    matching.append((named.num_addresses, each))
        except _UNREADABLE as error:
            yield _unreadable(group, str(error), f"rule {each.rule.id}")
    if not matching:
        create = f"`openstack share access create {word(on.share.share_id)} ip {client}`"
        yield Finding(group, f"rule for {client}", f"none lets it in: {create}")
        return
    _, best = min(matching, key=lambda pair: pair[0])
    lack = f"{best.rule.access_to} is {best.state}: `openstack share access list`"
    yield Finding(
        group,
        f"rule for {client}",
        None if best.state == "active" else lack,
        f"{best.rule.access_to}, {best.rule.access_level}",
    )


def _has(server: ServerOn, share: str | None) -> bool:
    """Whether the question is about this server."""
    return share is None or any(_is_asked(each, share) for each in server.shares)


def _is_asked(each: ShareOn, share: str | None) -> bool:
    return share in (None, each.share.share_id, each.share.id, each.share.name)


def _name(each: ShareOn) -> str:
    return f"{each.share.name} ({each.share.share_id})" if each.share.name else each.share.share_id


def _shown(group: str, look: _Look) -> Iterator[Finding]:
    try:
        seen = look()
    except BackendError as error:
        yield Finding(group, "this machine", f"cannot be looked at: {error.message}")
        return
    except _UNREADABLE as error:
        yield _unreadable(group, str(error), "this machine")
        return
    for each in seen:
        yield Finding(group, each.what, each.lack, each.seen)


def _as_far_as_readable(group: str, found: Iterator[Finding]) -> Iterator[Finding]:
    """A row that cannot be read ends these findings with one that says so, and no others."""
    try:
        yield from found
    except _UNREADABLE as error:
        yield _unreadable(group, str(error), "database")


def _unreadable(group: str, reason: str, what: str) -> Finding:
    return Finding(group, what, f"a row of the database cannot be read: {reason}")
