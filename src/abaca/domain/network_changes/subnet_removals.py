"""Taking a subnet from a share network: judged, checked by every driver concerned when servers in
use have to give it up, then begun in one transaction.

Nothing is in error when a removal is refused. What happens after it has begun:
`share_server_networks`. Deleting a subnet that no share is on: `share_network_subnets`.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.tables import share_network_subnets
from abaca.db.tables import share_server_share_network_subnet_mappings as mappings
from abaca.domain.network_changes import share_network_checks as checks
from abaca.domain.network_changes import share_server_networks, subnet_cuts
from abaca.domain.network_changes.share_network_checks import PendingCheck, Question
from abaca.domain.rows.row_limits import NO_LIMITS, RowLimits
from abaca.domain.rows.share_network_lock import lock, refuse_while_changing
from abaca.domain.share_networks import share_network_subnets as subnets
from abaca.domain.share_servers import share_servers as servers
from abaca.domain.shares import export_choices
from abaca.errors import CallerError, Conflict
from abaca.values import Caller, Value

_DENIED = "The subnet cannot be removed"


class _Removal(NamedTuple):
    """A removal that passed all rules that need no driver: the servers that give the subnet up, and
    those, without shares, that go with it because they stand on no other."""

    shrinking: list[sa.Row[Any]]
    going: list[sa.Row[Any]]

    @property
    def asked(self) -> list[str]:
        return sorted(server.id for server in self.shrinking)


def begin(
    conn: Connection,
    caller: Caller,
    share_network_id: str,
    subnet_id: str,
    *,
    denial_lasts: timedelta = checks.DENIAL_LASTS,
) -> PendingCheck | None:
    """Remove a subnet, with shares on it or not. None: it has begun, or there was nothing to wait
    for; a pending check: the drivers have yet to be asked, repeat the call.

    Taken however much work of the project waits: the same question is not asked twice at a time.
    Conflict for every reason of state or capability and when a driver denies; ServiceDown when a
    worker concerned is down; Missing.
    """
    removal = _judge(conn, caller, share_network_id, subnet_id)
    if removal.shrinking:
        outcome = checks.outcome(
            conn,
            _question(share_network_id, subnet_id, removal),
            refusal=Conflict,
            denied=_DENIED,
            denial_lasts=denial_lasts,
        )
        if isinstance(outcome, PendingCheck):
            return outcome
    checks.forget_all(conn, share_network_id)
    servers.start_deletion(conn, removal.going)
    if not removal.shrinking:
        subnets.retire(conn, subnet_id)
        return None
    conn.execute(
        sa.update(mappings)
        .where(
            mappings.c.share_server_id.in_(removal.asked),
            mappings.c.share_network_subnet_id == subnet_id,
        )
        .values(is_leaving=True)
    )
    share_server_networks.begin_change(
        conn,
        share_network_id,
        removal.asked,
        "share_server_remove_subnet",
        f"{subnet_id}:{uuid4()}",
        subnet_id,
    )
    return None


def check(
    conn: Connection,
    caller: Caller,
    share_network_id: str,
    subnet_id: str,
    *,
    reset_operation: bool,
    limits: RowLimits = NO_LIMITS,
) -> dict[str, Any]:
    """Ask the drivers alone, see `share_network_checks.ask`; with `export_locations` and
    `access_rules` that the removal would cut (`subnet_cuts`). Clients: `connected_clients.cut`."""
    removal = _judge(conn, caller, share_network_id, subnet_id)
    answer = checks.ask(
        conn,
        _question(share_network_id, subnet_id, removal),
        reset_operation=reset_operation,
        limits=limits,
    )
    told = {name: answer[name] for name in ("compatible", "hosts_check_result")}
    return {**told, **subnet_cuts.of(conn, subnet_id)}


def obstacle(conn: Connection, caller: Caller, share_network_id: str, subnet_id: str) -> str | None:
    """Why a removal would be refused now, as far as no driver has to be asked; None: it would not
    be."""
    try:
        _judge(conn, caller, share_network_id, subnet_id)
    except CallerError as error:
        return error.message
    return None


# --- for the workflow that asks -------------------------------------------------------------------


class Inquiry(Value):
    """What one back end is asked: may these of its servers give that share network subnet up?"""

    subnet_id: str
    server_ids: list[str]


def inquiry(conn: Connection, check_id: str, service_host: str) -> Inquiry | None:
    """What to ask the back end; None when the check is gone."""
    asked = checks.asked(conn, check_id, service_host)
    return Inquiry(server_ids=asked.server_ids, **asked.request) if asked else None


def answered(conn: Connection, check_id: str, service_host: str, denial: str | None) -> None:
    """Store what a back end answered: None is a yes; a denial is told to the one who asks, once:
    at a deadline it is asked again and again. Whatever goes wrong is a denial: a check is never
    left without an answer."""
    checks.answer(conn, check_id, service_host, denial, denied=_DENIED, repeats=False)


# -------------------------------------------------------------------------------------------------


def _judge(conn: Connection, caller: Caller, share_network_id: str, subnet_id: str) -> _Removal:
    """Every rule that needs no driver, the network's row held from here on."""
    network = lock(conn, caller, share_network_id)
    subnets.get(conn, caller, share_network_id, subnet_id)
    refuse_while_changing(network)
    _require_another_subnet(conn, share_network_id, subnet_id)
    standing = checks.live_servers(conn, servers.on_subnets([subnet_id]))
    elsewhere = _on_other_subnets(conn, [server.id for server in standing], subnet_id)
    removal = _Removal(
        [server for server in standing if server.id in elsewhere],
        [server for server in standing if server.id not in elsewhere],
    )
    for server in removal.going:
        _require_expendable(conn, server, subnet_id)
    export_choices.require_exported_without(conn, removal.asked, subnet_id)
    checks.require_healthy(
        conn,
        network,
        removal.shrinking,
        removal.shrinking,
        support="share_server_subnet_removal_support",
        refusal=Conflict,
    )
    return removal


def _require_another_subnet(conn: Connection, share_network_id: str, subnet_id: str) -> None:
    others = sa.select(share_network_subnets.c.id).where(
        share_network_subnets.c.share_network_id == share_network_id,
        share_network_subnets.c.id != subnet_id,
        ~share_network_subnets.c.is_deleting,
    )
    if conn.execute(others.limit(1)).first() is None:
        raise Conflict(
            f"The subnet {subnet_id} is the last one of the share network {share_network_id}; add "
            "another one first, or delete the share network."
        )


def _on_other_subnets(
    conn: Connection, share_server_ids: Collection[str], subnet_id: str
) -> set[str]:
    """Those of the servers that serve another subnet beside, and do not give that up as well."""
    stay = sa.select(mappings.c.share_server_id).where(
        mappings.c.share_server_id.in_(share_server_ids),
        mappings.c.share_network_subnet_id != subnet_id,
        ~servers.is_changing(),
    )
    return set(conn.scalars(stay))


def _require_expendable(conn: Connection, server: sa.Row[Any], subnet_id: str) -> None:
    """A server that stands on nothing but the subnet goes with it, unless somebody would miss
    it."""
    if servers.is_in_use(conn, server.id):
        raise Conflict(
            f"Subnet {subnet_id} is the only one of share server {server.id}, which has shares or "
            "share groups; move or delete them first."
        )
    if not server.is_auto_deletable:
        raise Conflict(
            f"Subnet {subnet_id} is the only one of share server {server.id}, which is not deleted "
            "automatically; delete or unmanage the server first."
        )


def _question(share_network_id: str, subnet_id: str, removal: _Removal) -> Question:
    return Question(
        share_network_id=share_network_id,
        workflow="share_network_subnet_removal_check",
        subject=[subnet_id],
        asked=removal.asked,
        request={"subnet_id": subnet_id},
    )
