"""Managing shares that are on a share server, or on a back end without servers, and unknown to
Abaca, and unmanaging them. Servers: `share_server_management`.

On the back end, a share that Abaca made is named after the id at the end of its export paths, and
gets that id back. Its size is 0 until the driver has reported it. It counts as a share from the
beginning, and with its gigabytes once they are known, whatever the quotas.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import lock_row, utcnow
from abaca.db.tables import (
    pools,
    services,
    share_export_locations,
    share_instances,
    share_networks,
    share_servers,
    share_snapshot_instances,
    shares,
)
from abaca.domain.capacity import placement, quota_usages
from abaca.domain.rows import messages, states
from abaca.domain.rows.heartbeats import is_up
from abaca.domain.rows.share_network_lock import require_active
from abaca.domain.rows.states import Permit
from abaca.domain.share_types import share_types
from abaca.domain.shares import (
    export_choices,
    export_locations,
    mount_point_names,
    resource_lock_checks,
    schedules,
    share_membership,
    share_sizes,
    share_supports,
)
from abaca.domain.shares import share_instances as instances
from abaca.domain.shares import shares as share_nouns
from abaca.errors import Conflict, Invalid, Missing, Refused
from abaca.values import Caller, ExportChoice, Host, ManagedShare, Value


class ShareToManage(Value):
    """A share as an administrator describes it. `host`: host@backend#pool; `share_type` by id or
    name; `share_server_id` None: not given."""

    host: str
    export_path: str
    share_proto: str
    share_type: str
    share_server_id: str | None = None
    name: str | None = None
    description: str | None = None
    is_public: bool = False
    driver_options: dict[str, str] = {}
    mount_point_name: str | None = None


def manage(conn: Connection, caller: Caller, wanted: ShareToManage) -> dict[str, Any]:
    """Store the share in `manage_starting` and have it taken over; returns its view. Raises
    Missing, Invalid, Conflict with Manila's statuses."""
    service = _service(conn, wanted.host)
    share_type = share_types.lookup(conn, caller, wanted.share_type)
    specs: dict[str, str] = share_type["extra_specs"]
    is_on_servers = bool(service.stats.get("capabilities", {}).get(share_types.HANDLES_SERVERS))
    server = _server(conn, wanted, specs, is_on_servers=is_on_servers)
    share_id, instance_id, now = str(uuid4()), id_for(wanted.export_path), utcnow()
    same = (share_export_locations.c.path == wanted.export_path) | (
        share_instances.c.id == instance_id
    )
    of_snapshot = share_snapshot_instances.c.id == instance_id
    if (
        conn.execute(
            sa.select(share_instances.c.id).outerjoin(share_export_locations).where(same).limit(1)
        ).first()
        or conn.execute(sa.select(share_snapshot_instances.c.id).where(of_snapshot)).first()
    ):
        raise Conflict(f"The share under {wanted.export_path} is already managed.")
    choice = ExportChoice()
    if export_choices.is_made({}, specs):
        if server is None:
            raise export_choices.no_server()
        choice = export_choices.choose({}, specs, export_choices.subnets_of(conn, [server.id]))
        export_choices.require_capable(conn, choice, [wanted.host])
    quota_usages.claim(
        conn, caller.project_id, caller.user_id, share_type["id"], defaults=None, shares=1
    )
    mount_point_names.insert(
        conn,
        mount_point_names.whole(wanted.mount_point_name, specs, caller.project_id),
        id=share_id,
        project_id=caller.project_id,
        user_id=caller.user_id,
        display_name=wanted.name,
        display_description=wanted.description,
        size=0,
        share_proto=wanted.share_proto.upper(),
        is_public=wanted.is_public,
        metadata={},
        export_choice=export_choices.stored(choice),
        replication_type=specs.get("replication_type"),
        created_at=now,
        **share_supports.of_type(specs),
    )
    conn.execute(
        sa.insert(share_instances).values(
            id=instance_id,
            share_id=share_id,
            share_type_id=share_type["id"],
            share_network_id=server and server.share_network_id,
            share_server_id=server and server.id,
            availability_zone_id=service.availability_zone_id,
            host=wanted.host,
            status="manage_starting",
            access_rules_status="active",
            created_at=now,
        )
    )
    supports_snapshots = share_supports.is_true(specs.get(share_types.SNAPSHOT_SUPPORT))
    plans = schedules.plans({}, specs, snapshot_support=supports_snapshots)
    schedules.begin(conn, {share_id: plans})
    options = msgspec.json.encode(wanted.driver_options).decode()
    share_nouns.start_on(
        conn,
        "share_manage",
        instance_id,
        wanted.host,
        server and server.id,
        server.project_id if server else caller.project_id,
        wanted.export_path,
        options,
    )
    return {**share_nouns.get(conn, caller, share_id), "export_locations": []}


def unmanage(conn: Connection, caller: Caller, share_id: str) -> None:
    """Unmanage a share without snapshots or backups, in the background; its server is no longer
    deleted automatically. Raises Forbidden in a status with work in progress, Invalid while its
    network is being changed."""
    share = share_nouns.lock(conn, caller, share_id)
    share_nouns.require_not_soft_deleted(share)
    share_nouns.require_status(share, Permit.UNMANAGE)
    share_nouns.require_no_snapshots(conn, share)
    share_nouns.require_no_backups(conn, share)
    share_membership.require_no_member(share, "unmanaged")
    resource_lock_checks.require_share_deletable(conn, share_id)
    if not share_nouns.is_placed(share):
        instances.remove(conn, share.instance_id)
        return
    if share.share_server_id is not None:
        _keep_server(conn, share)
    states.move(conn, states.SHARE, share.instance_id, "unmanage_starting")
    share_nouns.start(conn, "share_unmanage", share)


# --- for operations -------------------------------------------------------------------------------


def managed(conn: Connection, instance_id: str, found: ManagedShare) -> None:
    """The share was taken over: its size counts, and it is available; a status that an
    administrator has set meanwhile stays.

    Raises Refused if its type does not permit a share of that size.
    """
    row = share_nouns.lock_instance(conn, instance_id)
    if row is None:
        return
    if complaint := share_sizes.complaint(
        found.size, share_types.specs_of(conn, row.share_type_id)
    ):
        raise Refused(complaint, is_public=True)
    if row.size == 0:
        quota_usages.claim(
            conn,
            row.project_id,
            row.user_id,
            row.share_type_id,
            defaults=None,
            gigabytes=found.size,
        )
        placement.release(conn, row.host, -found.size)
        conn.execute(
            sa.update(shares)
            .where(shares.c.id == row.id)
            .values(size=found.size, updated_at=utcnow())
        )
    export_locations.replace(conn, instance_id, found.export_locations)
    if states.may_follow(states.SHARE, row.status, "available"):
        states.move(conn, states.SHARE, instance_id, "available", progress="100%")


def fail_managing(
    conn: Connection, instance_id: str, _export_path: str, _driver_options: str, reason: str
) -> None:
    """The share could not be taken over; it may be unmanaged."""
    instances.fail(conn, instance_id, "manage_error", messages.Action.UPDATE, reason)


def fail_unmanaging(conn: Connection, instance_id: str, reason: str) -> None:
    """The share could not be unmanaged."""
    instances.fail(conn, instance_id, "unmanage_error", messages.Action.UPDATE, reason)


def resume_managing(
    conn: Connection, instance_id: str, export_path: str, driver_options: str
) -> None:
    """The share is `manage_starting` again."""
    share_nouns.start(
        conn,
        "share_manage",
        _again(conn, instance_id, "manage_error", "manage_starting"),
        export_path,
        driver_options,
    )


def resume_unmanaging(conn: Connection, instance_id: str) -> None:
    """The share is `unmanage_starting` again."""
    share_nouns.start(
        conn, "share_unmanage", _again(conn, instance_id, "unmanage_error", "unmanage_starting")
    )


def _service(conn: Connection, host: str) -> sa.Row[Any]:
    """The service of host@backend#pool, which must be up, with the pool's `stats`."""
    if "#" not in host:
        raise Invalid("The parameter service_host should contain the pool: host@backend#pool.")
    service = conn.execute(
        sa.select(services, pools.c.stats)
        .join(pools, pools.c.service_host == services.c.host)
        .where(pools.c.host == host)
    ).one_or_none()
    if service is None:
        raise Missing(f"Service manila-share could not be found on host {host}.")
    if not is_up(service._mapping):
        raise Invalid(f"The service {service.host} is down.")
    return service


def _keep_server(conn: Connection, share: sa.Row[Any]) -> None:
    """The server of a share that is to be unmanaged is no longer deleted automatically. Raises
    Invalid while its network is being changed."""
    network = lock_row(conn, share_networks, share.share_network_id)
    assert network is not None, "the network of a share is not deleted"
    require_active(network)
    conn.execute(
        sa.update(share_servers)
        .where(share_servers.c.id == share.share_server_id)
        .values(is_auto_deletable=False)
    )


def _server(
    conn: Connection, wanted: ShareToManage, specs: Mapping[str, str], *, is_on_servers: bool
) -> sa.Row[Any] | None:
    """The share server that the share is on, its network's row locked; None on a back end without
    servers. `is_on_servers`: what kind of back end it is; the share type with these extra specs
    must be for that kind."""
    handles_servers = share_supports.is_true(specs.get(share_types.HANDLES_SERVERS))
    if handles_servers != is_on_servers:
        raise Invalid(
            f"The share type has {share_types.HANDLES_SERVERS}={handles_servers}, and the back end "
            f"of {wanted.host} does not."
        )
    if not handles_servers:
        if wanted.share_server_id is not None:
            raise Conflict(
                "A share server may not be given: the share type has "
                f"{share_types.HANDLES_SERVERS}=False."
            )
        return None
    if wanted.share_server_id is None:
        raise Invalid(
            "The share server must be given: the share type has driver_handles_share_servers=True."
        )
    network_id = conn.scalar(
        sa.select(share_servers.c.share_network_id).where(
            share_servers.c.id == wanted.share_server_id
        )
    )
    network = lock_row(conn, share_networks, network_id or "")
    server = conn.execute(
        sa.select(share_servers).where(share_servers.c.id == wanted.share_server_id)
    ).one_or_none()
    if server is None or network is None:
        raise Invalid(f"Share server {wanted.share_server_id} could not be found.")
    if server.host != Host.parse(wanted.host).service:
        raise Invalid(f"The share server {server.id} is not on {wanted.host} but on {server.host}.")
    if server.status != "active":
        raise Conflict(f"The share server {server.id} is not active but {server.status}.")
    require_active(network)
    return server


def id_for(export_path: str) -> str:
    """The id at the end of the path, if there is one; else a new one."""
    last = export_path.replace("\\", "/").rpartition("/")[2]
    try:
        return str(UUID(last)) if len(last) == 36 else str(uuid4())
    except ValueError:
        return str(uuid4())


def _again(conn: Connection, instance_id: str, found: str, to: str) -> sa.Row[Any]:
    share = share_nouns.lock_instance(conn, instance_id)
    if share is None or share.status != found:
        raise Conflict(
            f"The share is {share.status if share else 'gone'}, no longer {found}; the operation "
            "cannot be resumed."
        )
    states.move(conn, states.SHARE, instance_id, to)
    return share
