"""Who is connected: the clients of a share, of a share server and of a share network subnet, as
people see them.

What back ends say is asked live (`client_inquiries`). Here it is joined with subnets and access
rules. Addresses of machines on networks of other projects are shown to nobody but those who may see
all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.tables import (
    network_allocations,
    share_instances,
    share_network_subnets,
    share_networks,
)
from abaca.db.tables import share_server_share_network_subnet_mappings as mappings
from abaca.db.tables import share_servers as share_servers_table
from abaca.domain.network_changes import client_inquiries, share_network_checks
from abaca.domain.network_changes.client_inquiries import Answer
from abaca.domain.network_changes.share_network_checks import PendingCheck
from abaca.domain.rows.row_limits import NO_LIMITS, RowLimits
from abaca.domain.share_servers import share_servers
from abaca.domain.shares import access_rule_states, shares
from abaca.domain.shares.share_instances import IS_ACTIVE
from abaca.errors import Conflict, Missing, ServiceDown
from abaca.values import AccessRule, Caller, Client, OpenFiles, Value

_NONE = OpenFiles(files=0, locks=0)


class SubnetClients(Value):
    """Who is connected by one share network subnet: `rows` as the other functions give them, by
    share server; None for a server of which that cannot be known now. `is_complete` False: there
    are, or may be, more."""

    rows: dict[str, list[dict[str, Any]] | None]
    is_complete: bool

    @property
    def counts(self) -> dict[str, int | None]:
        """How many clients are connected, by share server; None: not known."""
        return {id_: None if rows is None else len(rows) for id_, rows in self.rows.items()}


def of_share(
    conn: Connection,
    caller: Caller,
    share_id: str,
    *,
    sees_all: bool,
    limits: RowLimits = NO_LIMITS,
) -> dict[str, Any] | PendingCheck:
    """The clients of a share: those connected to its server that have files of it open, or that its
    access rules admit. `{"clients": [...], "is_complete": …, "as_of": …}`.

    Raises Missing or Forbidden for a share of another project, Conflict and ServiceDown when it
    cannot be known. `sees_all`: addresses on networks of other projects, too.
    """
    share = shares.require_own(conn, caller, share_id)
    instance = conn.execute(
        sa.select(share_instances).where(share_instances.c.share_id == share_id, IS_ACTIVE)
    ).one_or_none()
    if instance is None or not shares.is_placed(instance):
        return {"clients": [], "is_complete": True, "as_of": None}
    if instance.share_server_id is None:
        raise Conflict(
            f"The share {share_id} is on no share server, and its back end cannot tell who is "
            "connected."
        )
    answer = _answer(conn, caller.project_id, instance.share_server_id, limits)
    if isinstance(answer, PendingCheck):
        return answer
    rules = access_rule_states.granted_to(conn, instance.id)
    subnets = _by_address(conn, [instance.share_server_id])[instance.share_server_id]
    view = _Clients(subnets, answer, share.project_id, sees_all=sees_all)
    return view.shown(
        (client, _of_instance(client, instance.id))
        for client in view.listed
        if instance.id in (client.open_files or ()) or _admits(rules, client.address)
    )


def of_server(
    conn: Connection,
    caller: Caller,
    share_server_id: str,
    *,
    sees_all: bool,
    limits: RowLimits = NO_LIMITS,
) -> dict[str, Any] | PendingCheck:
    """The same of a share server, with what clients have open in all of its shares."""
    server = share_servers.get(conn, share_server_id)
    answer = _answer(conn, caller.project_id, share_server_id, limits)
    if isinstance(answer, PendingCheck):
        return answer
    subnets = _by_address(conn, [share_server_id])[share_server_id]
    view = _Clients(subnets, answer, server["project_id"], sees_all=sees_all)
    return view.shown((client, _in_all(client)) for client in view.listed)


def on_subnet(
    conn: Connection,
    project_id: str,
    subnet_id: str,
    *,
    sees_all: bool = False,
    limits: RowLimits = NO_LIMITS,
) -> SubnetClients | PendingCheck:
    """Who is connected by a share network subnet, to whatever server: who would be cut without it.

    The servers are asked in the name of the project, and addresses shown as to it.
    """
    query = sa.select(share_servers_table).where(
        share_servers_table.c.id.in_(
            sa.select(mappings.c.share_server_id).where(
                mappings.c.share_network_subnet_id == subnet_id, mappings.c.is_served
            )
        )
    )
    servers = [row.id for row in share_network_checks.live_servers(conn, query)]
    answers = client_inquiries.ask(conn, project_id, servers, limits) if servers else {}
    if isinstance(answers, PendingCheck):
        return answers
    found: dict[str, list[dict[str, Any]] | None] = {}
    is_complete = True
    subnets = _by_address(conn, servers)
    for id_ in sorted(servers):
        answer = answers.get(id_)
        if answer is None or answer.clients is None:
            found[id_] = None
            continue
        view = _Clients(subnets[id_], answer, project_id, sees_all=sees_all)
        shown = view.shown((client, _in_all(client)) for client in view.listed)["clients"]
        rows = [row for row in shown if row["share_network_subnet_id"] == subnet_id]
        found[id_] = rows if rows or answer.clients.is_complete else None
        is_complete = is_complete and answer.clients.is_complete
    return SubnetClients(rows=found, is_complete=is_complete)


def cut(
    conn: Connection,
    subnet_id: str,
    *,
    sees_all: bool = False,
    limits: RowLimits = NO_LIMITS,
) -> dict[str, Any] | PendingCheck:
    """`clients` that the removal of a share network subnet would cut, as `on_subnet` gives them,
    each with its `share_server_id`. `all_clients`: it is certain that there are no others.

    Raises Missing when the subnet has gone.
    """
    owner = sa.select(share_networks.c.project_id).join(share_network_subnets)
    project_id = conn.scalar(owner.where(share_network_subnets.c.id == subnet_id))
    if project_id is None:  # it went while the back ends were asked
        raise Missing(f"Share network subnet {subnet_id} could not be found.")
    found = on_subnet(conn, project_id, subnet_id, sees_all=sees_all, limits=limits)
    if isinstance(found, PendingCheck):
        return found
    rows = [
        {**row, "share_server_id": server_id}
        for server_id, of_server in found.rows.items()
        for row in of_server or ()
    ]
    is_known = found.is_complete and None not in found.rows.values()
    return {"clients": rows, "all_clients": is_known}


# -------------------------------------------------------------------------------------------------


def _answer(
    conn: Connection, project_id: str, share_server_id: str, limits: RowLimits
) -> Answer | PendingCheck:
    answers = client_inquiries.ask(conn, project_id, [share_server_id], limits)
    if isinstance(answers, PendingCheck):
        return answers
    answer = answers.get(share_server_id)
    if answer is None:
        raise ServiceDown(
            f"The share server {share_server_id} cannot be asked now who is connected to it; try "
            "again in a moment."
        )
    if answer.clients is None:
        raise Conflict(
            f"The back end of share server {share_server_id} cannot tell who is connected to it."
        )
    return answer


class _Clients:
    """The clients of one server, joined with the subnets it is on."""

    def __init__(
        self,
        subnets: Mapping[str, sa.Row[Any]],
        answer: Answer,
        project_id: str,
        *,
        sees_all: bool,
    ) -> None:
        assert answer.clients is not None
        self.listed = answer.clients.listed
        self._is_complete = answer.clients.is_complete
        self._at = answer.at
        self._subnets = subnets
        self._own = {network for network, owner in answer.owners.items() if owner == project_id}
        self._sees_all = sees_all

    def shown(self, clients: Iterable[tuple[Client, OpenFiles | None]]) -> dict[str, Any]:
        return {
            "clients": [self._row(client, files) for client, files in clients],
            "is_complete": self._is_complete,
            "as_of": self._at,
        }

    def _row(self, client: Client, files: OpenFiles | None) -> dict[str, Any]:
        subnet = self._subnets.get(client.server_address)
        address = ip_address(client.address)
        is_masked = not (self._sees_all or self._is_own(subnet, address))
        return {
            "address": None if is_masked else client.address,
            "is_address_masked": is_masked,
            "server_address": client.server_address,
            "share_network_subnet_id": subnet and subnet.id,
            "is_routed": None if subnet is None else not _is_on(subnet, address),
            "protocol": client.protocol,
            "protocol_version": client.protocol_version,
            "connections": client.connections,
            "last_active_at": None
            if client.idle_seconds is None
            else self._at - timedelta(seconds=client.idle_seconds),
            "open_files": files and files.files,
            "locks": files and files.locks,
        }

    def _is_own(self, subnet: sa.Row[Any] | None, address: IPv4Address | IPv6Address) -> bool:
        """Whether the client is on a network of the project: that of the server's address or,
        behind a router, of another of the server's subnets."""
        if subnet is None or subnet.neutron_net_id not in self._own:
            return False
        return any(
            _is_on(each, address)
            for each in (subnet, *self._subnets.values())
            if each.neutron_net_id in self._own
        )


def _by_address(
    conn: Connection, share_server_ids: Collection[str]
) -> dict[str, dict[str, sa.Row[Any]]]:
    """Share server id → the subnets of the server, by its addresses on them; one statement."""
    columns = [share_network_subnets.c[name] for name in ("id", "cidr", "neutron_net_id")]
    rows = conn.execute(
        sa.select(network_allocations.c.share_server_id, network_allocations.c.ip_address, *columns)
        .join(
            network_allocations,
            network_allocations.c.share_network_subnet_id == share_network_subnets.c.id,
        )
        .where(network_allocations.c.share_server_id.in_(share_server_ids))
    )
    found: dict[str, dict[str, sa.Row[Any]]] = {id_: {} for id_ in share_server_ids}
    for row in rows:
        found[row.share_server_id][row.ip_address] = row
    return found


def _is_on(subnet: sa.Row[Any], address: IPv4Address | IPv6Address) -> bool:
    return address.is_link_local or address in ip_network(subnet.cidr, strict=False)


def _admits(rules: Collection[AccessRule], address: str) -> bool:
    """Whether a client with the address may use a share. One that is admitted by a name or a
    certificate may have any address."""
    parsed = ip_address(address)
    return any(
        rule.access_type != "ip" or parsed in ip_network(rule.access_to, strict=False)
        for rule in rules
    )


def _of_instance(client: Client, instance_id: str) -> OpenFiles | None:
    return None if client.open_files is None else client.open_files.get(instance_id, _NONE)


def _in_all(client: Client) -> OpenFiles | None:
    if client.open_files is None:
        return None
    each = list(client.open_files.values())
    locks = [files.locks for files in each if files.locks is not None]
    return OpenFiles(
        files=sum(files.files for files in each),
        locks=sum(locks) if len(locks) == len(each) else None,
    )
