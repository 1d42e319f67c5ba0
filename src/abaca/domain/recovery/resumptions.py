"""Resuming parked work: its resources go back into their transitional states, and it is enqueued
again.

Each function has the name and the arguments of its workflow, and raises Conflict if the resources
are not as the failure left them. For changes of share servers in use see `share_server_repairs` and
`security_service_changes`.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import lock_row
from abaca.db.tables import share_backups as share_backups_table
from abaca.db.tables import (
    share_instances,
    share_network_subnets,
    share_networks,
    share_servers,
)
from abaca.domain.backups import share_backups
from abaca.domain.rows import states
from abaca.domain.share_groups import (
    group_from_snapshot,
    share_group_snapshots,
    share_groups,
)
from abaca.domain.share_networks import share_network_subnets as subnets
from abaca.domain.share_servers import share_servers as servers
from abaca.domain.shares import access_rule_states, affinity, share_ground, shares
from abaca.domain.snapshots import snapshots
from abaca.domain.snapshots.snapshots import Held
from abaca.errors import Conflict


def share_create(conn: Connection, instance_id: str, *_tried: str) -> None:
    """The share, and a share server whose set-up was interrupted, are `creating` again; room is
    still claimed."""
    share = _share(conn, instance_id, "error")
    if not shares.is_placed(share) and share.host is not None:
        hinted = affinity.pools_for(conn, share, share.share_network_id)
        share_ground.choose_server_again(conn, instance_id, hinted.apart_from)
        share = _share(conn, instance_id, "error")
    if share.host is None:
        raise Conflict(f"The share {share.id} was never placed: it has to be created anew.")
    if share.share_server_id is not None:
        _set_up_again(conn, share.share_server_id)
    states.move(conn, states.SHARE, instance_id, "creating")
    shares.start(conn, "share_create", share)


def _set_up_again(conn: Connection, share_server_id: str) -> None:
    """A share server whose set-up was interrupted is `creating` again. Raises Conflict if it is of
    no use any more."""
    server = conn.execute(
        sa.select(share_servers).where(share_servers.c.id == share_server_id)
    ).one_or_none()
    if (
        server is None
        or server.status == "deleting"
        or (server.status == "error" and server.identifier is not None)
    ):
        raise Conflict(
            f"The share server {share_server_id} is {server.status if server else 'gone'}: "
            "nothing can be created on it."
        )
    if server.status == "error":
        states.move(conn, states.SHARE_SERVER, server.id, "creating", status_reason=None)


def share_group_create(conn: Connection, group_id: str, _server_id: str, _host: str) -> None:
    """The group, and a share server whose set-up was interrupted, are `creating` again."""
    group = share_groups.lock(conn, shares.ANYBODY, group_id)
    if group.status != "error" or group.host is None:
        raise _changed("share group", group_id, group.status, "error")
    if group.share_network_id is not None and group.share_server_id is None:
        raise Conflict(f"The share server of share group {group_id} is gone: make another group.")
    if group.share_server_id is not None:
        _set_up_again(conn, group.share_server_id)
    states.move(conn, states.SHARE_GROUP, group_id, "creating")
    share_groups.start_creation(conn, group_id)


def share_group_clone(conn: Connection, group_id: str, _server_id: str, _host: str) -> None:
    """The group and its shares are `creating` again."""
    group = share_groups.lock(conn, shares.ANYBODY, group_id)
    if group.status != "error":
        raise _changed("share group", group_id, group.status, "error")
    group_from_snapshot.begin_again(conn, group_id)
    states.move(conn, states.SHARE_GROUP, group_id, "creating")
    share_groups.start_creation(conn, group_id)


def share_delete(conn: Connection, instance_id: str) -> None:
    """The share is `deleting` again, or `deferred_deleting`."""
    if shares.retry_deletion(conn, instance_id):
        return
    share = _share(conn, instance_id, "error_deleting")
    states.move(conn, states.SHARE, instance_id, "deleting")
    shares.start(conn, "share_delete", share)


def share_extend(conn: Connection, instance_id: str, new_size: str) -> None:
    """The share is `extending` again, the room claimed again. Raises Conflict also if the pool has
    no room."""
    if not shares.start_extension(
        conn, _share(conn, instance_id, "extending_error"), int(new_size)
    ):
        raise Conflict(f"The pool no longer has room for a share of {new_size} GiB.")


def share_shrink(conn: Connection, instance_id: str, new_size: str) -> None:
    """The share is `shrinking` again."""
    share = _share(conn, instance_id, "shrinking_error")
    states.move(conn, states.SHARE, instance_id, "shrinking")
    shares.start(conn, "share_shrink", share, new_size)


def share_revert(conn: Connection, instance_id: str, snapshot_instance_id: str, _size: str) -> None:
    """The share is `reverting` and its snapshot `restoring` again, the room claimed again."""
    share = _share(conn, instance_id, "reverting_error")
    snapshots.start_reversion(
        conn, share, _snapshot(conn, snapshot_instance_id, "available").snapshot
    )


def snapshot_create(conn: Connection, _share_instance_id: str, instance_id: str) -> None:
    """The snapshot is `creating` again."""
    held = _snapshot(conn, instance_id, "error")
    states.move(conn, states.SNAPSHOT, instance_id, "creating")
    shares.start(conn, "snapshot_create", held.share, instance_id)


def snapshot_delete(conn: Connection, _share_instance_id: str, instance_id: str) -> None:
    """The snapshot is `deleting` again, or `deferred_deleting`."""
    if snapshots.retry_deletion(conn, instance_id):
        return
    snapshots.start_deletion(conn, _snapshot(conn, instance_id, "error_deleting"))


def share_group_snapshot_create(
    conn: Connection, group_snapshot_id: str, _server_id: str, _host: str
) -> None:
    """The group snapshot and its members are `creating` again."""
    group_snapshot = _group_snapshot(conn, group_snapshot_id)
    wrong = {
        member.status
        for member in share_group_snapshots.members(conn, group_snapshot_id)
        if member.status != "error"
    }
    if wrong:
        raise _changed("member of group snapshot", group_snapshot_id, min(wrong), "error")
    share_group_snapshots.start(conn, group_snapshot, "creating")


def share_group_snapshot_delete(
    conn: Connection, group_snapshot_id: str, _server_id: str, _host: str
) -> None:
    """The group snapshot and what is left of its members are `deleting` again."""
    share_group_snapshots.start(conn, _group_snapshot(conn, group_snapshot_id), "deleting")


def share_backup_create(conn: Connection, backup_id: str, instance_id: str) -> None:
    """The backup is `creating` again, of what the share holds now. Raises Conflict for a share of
    another size: quotas count the size that the backup was asked for with."""
    held = _backup(conn, backup_id, "error", instance_id, "available")
    if held.share.size != held.backup.size:
        raise Conflict(
            f"The share {held.share.id} has {held.share.size} GiB now, not {held.backup.size} as "
            "when the backup was asked for: delete the backup, and ask for a new one."
        )
    states.move(conn, states.SHARE, instance_id, "backup_creating")
    states.move(conn, states.BACKUP, backup_id, "creating")
    share_backups.start(conn, "share_backup_create", held.backup, held.share)


def share_backup_restore(conn: Connection, backup_id: str, instance_id: str) -> None:
    """The backup is `restoring` again, the share `backup_restoring`."""
    held = _backup(conn, backup_id, "available", instance_id, "backup_restoring_error")
    share_backups.start_restoration(conn, held)


def share_backup_delete(conn: Connection, backup_id: str, instance_id: str) -> None:
    """The backup is `deleting` again."""
    share_backups.start_deletion(conn, _backup(conn, backup_id, "error_deleting", instance_id))


def access_apply(conn: Connection, instance_id: str) -> None:
    """The share instance's rules in error are queued again."""
    instance = lock_row(conn, share_instances, instance_id)
    if instance is None or instance.access_rules_status != "error":
        raise _changed(
            "access to share instance",
            instance_id,
            instance.access_rules_status if instance else "gone",
            "error",
        )
    access_rule_states.apply_again(conn, share_instances.c.id == instance_id)


def share_server_delete(conn: Connection, share_server_id: str) -> None:
    """The server, which still has no shares, is `deleting` again."""
    if (status := servers.status_of(conn, share_server_id)[0]) != "error":
        raise _changed("share server", share_server_id, status, "error")
    servers.delete(conn, share_server_id)


def share_network_subnet_resolve(conn: Connection, subnet_id: str) -> None:
    """Look up the subnet's Neutron ids again."""
    table = share_network_subnets
    row = conn.execute(
        sa.select(table.c.cidr, table.c.neutron_net_id).where(table.c.id == subnet_id)
    ).one_or_none()
    if row is None or row.cidr is not None:
        raise _changed("share network subnet", subnet_id, "known" if row else "gone", "unknown")
    subnets.start_resolution(conn, subnet_id, row.neutron_net_id)


def _share(conn: Connection, instance_id: str, status: str) -> sa.Row[Any]:
    """The share as `shares.lock_instance` returns it; its share network, if any, must be active."""
    share = shares.lock_instance(conn, instance_id)
    if share is None:
        raise _changed("share instance", instance_id, "gone", status)
    if share.status != status:
        raise _changed("share", share.id, share.status, status)
    network = conn.scalar(
        sa.select(share_networks.c.status).where(share_networks.c.id == share.share_network_id)
    )
    if network not in (None, "active"):
        raise Conflict(
            f"The share network {share.share_network_id} is {network}; try again when it is active."
        )
    return share


def _snapshot(conn: Connection, instance_id: str, status: str) -> Held:
    held = snapshots.lock_instance(conn, instance_id)
    if held is None:
        raise _changed("snapshot instance", instance_id, "gone", status)
    if held.snapshot.status != status:
        raise _changed("snapshot", held.snapshot.id, held.snapshot.status, status)
    return held


def _group_snapshot(conn: Connection, group_snapshot_id: str) -> sa.Row[Any]:
    """As `share_group_snapshots.lock` returns it."""
    group_snapshot = share_group_snapshots.lock(conn, shares.ANYBODY, group_snapshot_id)
    if group_snapshot.status != "error":
        raise _changed("group snapshot", group_snapshot_id, group_snapshot.status, "error")
    return group_snapshot


def _backup(
    conn: Connection,
    backup_id: str,
    status: str,
    instance_id: str,
    share_status: str | None = None,
) -> share_backups.Held:
    """The backup with the share of that instance. `share_status` None: whatever it is."""
    share = shares.lock_instance(conn, instance_id)
    if share is None or (share_status is not None and share.status != share_status):
        status_now = share.status if share else "gone"
        raise _changed("share instance", instance_id, status_now, share_status or "there")
    found = lock_row(conn, share_backups_table, backup_id)
    if found is None or found.status != status:
        raise _changed("backup", backup_id, found.status if found else "gone", status)
    return share_backups.Held(found, share)


def _changed(noun: str, key: str, status: str, expected: str) -> Conflict:
    return Conflict(
        f"The {noun} {key} is {status}, no longer {expected}: it has changed since, so the "
        "operation cannot be resumed."
    )
