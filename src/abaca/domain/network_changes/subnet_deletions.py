"""Deleting a share network subnet as its project does: with its empty share servers or, when shares
are on it, from servers in use once it drains and nobody is connected there any more."""

from __future__ import annotations

from sqlalchemy.engine import Connection

from abaca.domain.network_changes import (
    client_inquiries,
    connected_clients,
    share_network_checks,
    subnet_drains,
    subnet_removals,
)
from abaca.domain.network_changes.connected_clients import SubnetClients
from abaca.domain.network_changes.share_network_checks import PendingCheck
from abaca.domain.rows.share_network_lock import lock, refuse_while_changing
from abaca.domain.share_networks import share_network_subnets as subnets
from abaca.errors import Conflict
from abaca.values import Caller


def delete(
    conn: Connection, caller: Caller, share_network_id: str, subnet_id: str
) -> PendingCheck | None:
    """None: it is deleted, or its removal has begun; a pending check: back ends are still asked who
    is connected, or whether the servers can give the subnet up. However much work of the project
    waits.

    Conflict, with what to do, for a subnet with shares that does not drain, while clients are
    connected there or that is not known, and for whatever is against a removal.
    """
    network = lock(conn, caller, share_network_id)
    refuse_while_changing(network)
    subnet = subnets.get(conn, caller, share_network_id, subnet_id)
    if not subnets.is_in_use(conn, subnet_id):
        subnets.delete(conn, caller, share_network_id, subnet_id)
        return None
    if subnet["removal_started_at"] is None:
        raise Conflict(
            f"Cannot delete share network subnet {subnet_id} of share network {share_network_id}: "
            "it has one or more shares or share groups. To take it from share servers in use let "
            "it drain first: "
            f"openstack share network subnet removal set {share_network_id} {subnet_id} (or set "
            "its property abaca:drain=true), and delete it when its clients have left."
        )
    connected = connected_clients.on_subnet(conn, network.project_id, subnet_id)
    if isinstance(connected, PendingCheck):
        return connected
    _require_nobody(connected, share_network_id, subnet_id)
    pending = subnet_removals.begin(conn, caller, share_network_id, subnet_id)
    if pending is None:
        subnet_drains.removal_begun(conn, subnet_id)
    return pending


def is_pending(conn: Connection, check_id: str) -> bool:
    """Whether what the pending check stands for has still to be answered."""
    return share_network_checks.is_pending(conn, check_id) or client_inquiries.is_pending(
        conn, check_id
    )


def total(connected: SubnetClients) -> int | None:
    """How many clients are connected by the subnet, to all share servers; None: not known."""
    counts = connected.counts.values()
    return None if None in counts else sum(count or 0 for count in counts)


def _require_nobody(connected: SubnetClients, share_network_id: str, subnet_id: str) -> None:
    count = total(connected)
    if count == 0:
        return
    if count is None:
        found = "it cannot be told now who is connected there"
    else:
        at_least = "" if connected.is_complete else "at least "
        found = f"{at_least}{count} client{'' if count == 1 else 's'} connected there"
    raise Conflict(
        f"The share network subnet {subnet_id} drains, but cannot be removed yet: {found}. Delete "
        "it again when they have left, or have it removed after a time whoever is connected: "
        "openstack share network subnet removal set --deadline SECONDS --at-deadline force "
        f"{share_network_id} {subnet_id}"
    )
